"""Reads of X to a gap of 1e-6, 1e-8, 1e-10 on data that are hard for samples or solvers: `python bench/reads.py`.

``--save`` writes the table between the marks of docs/performance.md.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench"), str(ROOT)]

import conftest  # noqa: E402, F401  (the cache of kernels)
import numpy as np  # noqa: E402
import report  # noqa: E402

import fastlogit as fl  # noqa: E402

N, D = 200_000, 50
GAPS = (1e-6, 1e-8, 1e-10)


def draw(rng, z):
    return (rng.random(len(z)) < 1 / (1 + np.exp(-z))).astype(int)


def data_sets():
    """Yield (name, X, y)."""
    rng = np.random.default_rng(0)
    X, coef = rng.standard_normal((N, D)), rng.standard_normal(D) / np.sqrt(D) * 1.5
    y = draw(rng, X @ coef)
    yield "well behaved", X, y
    Q = np.linalg.qr(rng.standard_normal((D, D)))[0]
    yield "condition 1e6", X @ (Q * np.geomspace(1, 1e-6, D)) @ Q.T, y
    order = np.argsort(y, kind="stable")
    yield "sorted labels", X[order], y[order]
    yield "1 % positives", X, draw(rng, X @ coef - 5.3)
    yield "near-separable", X, draw(rng, 15 * X @ coef)
    heavy = rng.standard_t(2.1, (N, D))
    yield "heavy-tailed rows", heavy, draw(rng, heavy @ coef / 2)
    share = np.arange(1.0, 41.0) ** -2.5
    level = rng.choice(40, N, p=share / share.sum())
    rare = np.zeros((N, D))
    rare[:, :10], rare[np.arange(N), 10 + level] = X[:, :10], 1.0
    yield "rare one-hot levels", rare, draw(rng, X[:, :10] @ coef[:10] + rng.standard_normal(40)[level])


HEADER = "| data | C = 1 | C = 1000/N | C = inf |\n|---|--:|--:|--:|"


def cell(X, y, C):
    """Return the reads of X and the certificate that closed them, for each gap."""
    found = [fl.solve(X, y, C=C, tol=gap) for gap in GAPS]
    return " · ".join(f"{s.n_passes} {s.gap_kind}" if s.converged else s.status.name for s in found)


def lines():
    yield HEADER
    for name, X, y in data_sets():
        yield f"| {name} | {' | '.join(cell(X, y, C) for C in (1.0, 1000 / N, np.inf))} |"


if __name__ == "__main__":
    report.print_table(__doc__, "reads", lines())
