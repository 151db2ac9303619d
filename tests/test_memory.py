"""What a fit holds beside X."""

import subprocess
import sys

import pytest

CODE = """
import resource, sys
import numpy as np
import fastlogit as fl

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

rng = np.random.default_rng(0)
train = dict(
    binary=fl.binary_classifier_from,
    multi=fl.multiclass_classifier_from,
    solve=lambda X, y, epochs: fl.solve(X, y),
)[sys.argv[1]]
small = np.asarray(rng.standard_normal((100, 64)).astype(np.float32), order=sys.argv[2])
train(small, np.arange(100) % 2 == 0, epochs=1)  # loads the kernels
many = np.asarray(rng.standard_normal((20_000, 64)).astype(np.float32), order=sys.argv[2])
train(many, np.arange(20_000) % 3 == 0, epochs=1)  # those of a sample
X = np.zeros((6_000_000, 64), np.float32, order=sys.argv[2])
X += np.float32(1.5)  # touches every page, 1.5 GB
Y = np.zeros(len(X), bool)
Y[::3] = True
before = peak()
train(X, Y, epochs=3)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="resource is POSIX")
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["binary", "multi", "solve"])
def test_a_fit_holds_little_beside_X(kind, order):
    """64 MiB; where a sample is drawn also that, a sixteenth of X."""
    done = subprocess.run([sys.executable, "-c", CODE, kind, order], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    sample = 6_000_000 * 64 * 4 // 16 if kind == "solve" else 0
    assert int(done.stdout) <= (64 << 20) + sample
