"""What a fit holds beside X."""

import subprocess
import sys
from itertools import product

import pytest

pytestmark = pytest.mark.usefixtures("kernels")

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
    estimator=lambda X, y, epochs: fl.LogisticRegression().fit(X, y),
    frame=lambda X, y, epochs: fl.LogisticRegression().fit(as_frame(X), y),
)[sys.argv[1]]

def as_frame(X):  # every fourth column of another type
    import pandas as pd
    columns = {str(j): x for j, x in enumerate(X.T)}
    columns |= {str(j): np.ones(len(X), np.int16) for j in range(0, 64, 4)}
    return pd.DataFrame(columns, copy=False)

small = np.asarray(rng.standard_normal((100, 64)).astype(np.float32), order=sys.argv[2])
train(small, np.arange(100) % 2 == 0, epochs=1)  # loads the kernels
many = np.asarray(rng.standard_normal((20_000, 64)).astype(np.float32), order=sys.argv[2])
train(many, np.arange(20_000) % 3 == 0, epochs=1)  # those of a sample
X = np.zeros((3_000_000, 64), np.float32, order=sys.argv[2])
X += np.float32(1.5)  # touches every page, 0.75 GB
Y = np.zeros(len(X), bool)
Y[::3] = True
if sys.argv[1] == "frame":
    X, train = as_frame(X), lambda X, y, epochs: fl.LogisticRegression().fit(X, y)
before = peak()
train(X, Y, epochs=3)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="resource is POSIX")
@pytest.mark.parametrize(
    ("kind", "order"), [*product(("binary", "multi", "solve"), "CF"), ("estimator", "C"), ("frame", "F")]
)
def test_a_fit_holds_little_beside_X(kind, order):
    """64 MiB; where a sample is drawn also that, a sixteenth of X."""
    done = subprocess.run([sys.executable, "-c", CODE, kind, order], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    sample = 0 if kind in ("binary", "multi") else 3_000_000 * 64 * 4 // 16
    assert int(done.stdout) <= (64 << 20) + sample


PLANNED = """
import resource, sys, warnings
import numpy as np
import fastlogit as fl
from fastlogit.plan import plan
from fastlogit.sources.targets import memory_source

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

def data(N, D):
    X = rng.standard_normal((N, D), dtype=np.float32)
    return X, np.where(X[:, 0] > 0.5, 0, rng.integers(0, K, N)).astype(np.uint8)

warnings.simplefilter("ignore")
solver, (N, D, K) = sys.argv[1], map(int, sys.argv[2:])
rng = np.random.default_rng(0)
for shape in ((8000, 5), (30_000, 5), (20_000, 330 // K + 2)):
    fl.solve(*data(*shape), solver=solver, max_iter=3)  # loads the kernels
X, y = data(N, D)
before = peak()
fl.solve(X, y, solver=solver)
print(peak() - before, plan(memory_source(X, y), solver, 1.0, None).total)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="resource is POSIX")
@pytest.mark.parametrize(
    ("solver", "shape"),
    [("newton", "6000 1500 2"), ("newton", "6000 200 10"), ("newton", "100000 1000 2"), ("lbfgs", "60000 1500 2")],
)
def test_a_plan_holds_what_it_says(solver, shape):
    """Within 32 MiB for what is not planned: threads' scratch, the allocator's own."""
    done = subprocess.run([sys.executable, "-c", PLANNED, solver, *shape.split()], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    held, planned = map(int, done.stdout.split())
    assert held <= planned + (32 << 20)
