"""Which solver is quickest where: ``python bench/crossovers.py [--save]``.

Seconds and reads of X to a relative gap of 1e-8, the survey included, of every solver on data of growing width; the
rule of ``solver="auto"`` is read off this table. Rows: 256 MB of float32, 300,000 at most, columns scaled over two
decades. A solver is stopped after 12 seconds; "newton" is not tried where its Hessian is too large. ``--save`` writes
the table between the marks of docs/performance.md.
"""

import sys
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench"), str(ROOT)]

import conftest  # noqa: E402, F401  (the cache of kernels)
import numpy as np  # noqa: E402
import report  # noqa: E402

import fastlogit as fl  # noqa: E402
from fastlogit.costs import Shape  # noqa: E402
from fastlogit.plan import LARGEST_HESSIAN, chosen  # noqa: E402
from fastlogit.solvers import SOLVERS  # noqa: E402

CASES = [(2, D) for D in (30, 100, 300, 1000, 2000)] + [(10, D) for D in (10, 50, 200, 800)] + [(100, 200)]
X_BYTES, MOST_ROWS, LIMIT = 1 << 28, 300_000, 12.0
RULE = "|--:|--:|--:|--:|" + "--:|" * len(SOLVERS) + "---|"
HEADER = f"| classes | columns | parameters | rows | {' | '.join(SOLVERS)} | auto |\n{RULE}"


def generate(K, D):
    rng = np.random.default_rng(0)
    N = min(MOST_ROWS, X_BYTES // (4 * D))
    X = rng.standard_normal((N, D), dtype=np.float32)
    Z = X @ (1.5 / np.sqrt(D) * rng.standard_normal((D, K), dtype=np.float32))
    y = (Z - np.log(rng.standard_exponential(Z.shape))).argmax(axis=1)
    X *= rng.permutation(np.geomspace(0.1, 10.0, D)).astype(np.float32)
    return X, y


def run(X, y, solver):
    """Return what a cell says."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fl.ConvergenceWarning)
        solution = fl.solve(X, y, solver=solver, time_limit=LIMIT, max_iter=1000)
    seconds = time.perf_counter() - start
    return f"{seconds:.2f} s, {solution.n_passes} reads" if solution.converged else ""


def lines():
    yield HEADER
    for K, D in CASES:
        X, y = generate(K, D)
        n = (D + 1) * (1 if K == 2 else K)
        tried = [solver for solver in SOLVERS if solver != "newton" or n <= LARGEST_HESSIAN]
        for solver in tried:  # compiled, or loaded
            run(X[:40_000], y[:40_000], solver)
        cells = " | ".join(run(X, y, solver) if solver in tried else "" for solver in SOLVERS)
        auto = ", ".join(chosen(Shape.of(X, 1 if K == 2 else K), True))
        yield f"| {K} | {D} | {n} | {len(X)} | {cells} | {auto} |"


if __name__ == "__main__":
    report.print_table(__doc__, "crossovers", lines())
