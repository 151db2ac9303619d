"""Problems of every shape, penalty and kind, and who ended where on them: for `test_endings` and `bench/endings.py`.

A third is separable; columns are 0.1 to 20 times as many as rows, scaled over decades, shifted or repeated at times;
penalties are weak and strong.
"""

import time
import warnings
from typing import NamedTuple

import numpy as np
import scipy.sparse
from optimum import dual_gap, optimum

import fastlogit as fl

SOLVERS = ("auto", "newton", "lbfgs", "newton-cg")
#: Newton's method is not asked for more parameters than this.
MOST = 4200


class Problem(NamedTuple):
    """Rows, class codes, and C."""

    X: np.ndarray
    y: np.ndarray
    C: float

    @property
    def n_parameters(self):
        K = int(self.y.max()) + 1
        return (self.X.shape[1] + 1) * (1 if K == 2 else K)


def problem(seed):
    rng = np.random.default_rng(seed)
    is_wide = seed % 20 == 7
    N = int(rng.integers(100, 160) if is_wide else rng.integers(20, 120))
    K = int(rng.choice([2, 2, 2, 3, 5]))
    if K > 2:
        N = min(N, 60)
    D = max(1, int(N * 10 ** rng.uniform(-1, np.log10(20))))
    if is_wide:
        D = int(2500 / (1 if K == 2 else K))
    is_sparse = rng.random() < 0.3
    X = rng.standard_normal((N, D))
    if is_sparse:
        X *= rng.random((N, D)) < rng.uniform(0.03, 0.3)
    if rng.random() < 0.4:
        X *= 10 ** rng.uniform(-3, 3, D)
    if rng.random() < 0.2 and not is_sparse:
        X += rng.standard_normal(D) * 10
    if rng.random() < 0.15 and D > 2:
        X[:, -1] = X[:, 0]
    Z = X / np.maximum(X.std(axis=0), 1e-300) @ rng.standard_normal((D, 1 if K == 2 else K)) / np.sqrt(D)
    noise = 0 if rng.random() < 1 / 3 else 1
    if K == 2:
        y = (Z[:, 0] + noise * rng.logistic(size=N) > 0).astype(int)
    else:
        y = (Z - noise * np.log(-np.log(rng.random(Z.shape)))).argmax(axis=1)
    y[:K] = np.arange(K)
    C = np.inf if rng.random() < 0.15 else float(10 ** rng.uniform(-4, 12))
    X = X.astype(np.float32 if rng.random() < 0.3 else np.float64)
    return Problem(scipy.sparse.csr_array(X) if is_sparse else X, y, C)


class End(NamedTuple):
    """Where a solver ended: its solution, seconds, and the true relative gap, NaN where there is no minimum."""

    solution: fl.Solution
    seconds: float
    gap: float


def solved(given, solver="auto", tol=1e-8):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fl.ConvergenceWarning)
        return fl.solve(given.X, given.y, C=given.C, solver=solver, tol=tol)


def ends(given, solvers=SOLVERS, tol=1e-8):
    """Return where each solver ends, and true gaps: above the best lower bound that points near the minimum have."""
    found = {}
    for solver in solvers:
        if solver == "newton" and given.n_parameters > MOST:
            continue
        begin = time.perf_counter()
        solution = solved(given, solver, tol)
        found[solver] = solution, time.perf_counter() - begin
    X = given.X.toarray() if scipy.sparse.issparse(given.X) else given.X
    if np.isfinite(given.C):
        points = [solution.x for solution, _ in found.values()]
        bounds = [dual_gap(X, given.y, given.C, x) for x in [*points, solved(given, tol=tol * 1e-4).x]]
        values, lowest = [value for value, _ in bounds], max(value - gap for value, gap in bounds)
        if min(values) - lowest > 0.1 * tol * lowest and given.n_parameters <= 160:
            lowest = optimum(X, given.y, C=given.C, steps=300)[1]
    elif any(solution.converged for solution, _ in found.values()):
        values = [dual_gap(X, given.y, np.inf, solution.x)[0] for solution, _ in found.values()]
        lowest = optimum(X, given.y, C=np.inf, steps=300)[1]
    else:
        values, lowest = [np.nan] * len(found), np.nan
    return {
        solver: End(solution, seconds, float((value - lowest) / value))
        for (solver, (solution, seconds)), value in zip(found.items(), values, strict=False)
    }
