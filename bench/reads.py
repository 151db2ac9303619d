"""Reads of X to a relative gap of 1e-8 on data that are hard for samples or solvers: `python bench/reads.py [--save]`.

``--save`` writes the table between the marks of docs/performance.md.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench"), str(ROOT)]

import conftest  # noqa: E402, F401  (the cache of kernels)
import numpy as np  # noqa: E402
import report  # noqa: E402

import fastlogit as fl  # noqa: E402

N, D = 200_000, 50


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
    """Return the reads of X and the certificate that closed it."""
    solution = fl.solve(X, y, C=C)
    return f"{solution.n_passes}, {solution.gap_kind}" if solution.converged else f"{solution.status.name}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save", action="store_true", help="write docs/performance.md")
    options = parser.parse_args()
    print(HEADER)
    table = [HEADER]
    for name, X, y in data_sets():
        cells = " | ".join(cell(X, y, C) for C in (1.0, 1000 / N, np.inf))
        table.append(f"| {name} | {cells} |")
        print(table[-1], flush=True)
    if options.save:
        report.replace(ROOT / "docs" / "performance.md", "reads", "\n".join(table))


if __name__ == "__main__":
    main()
