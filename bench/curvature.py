"""Passes of second order against what they are made of: ``python bench/curvature.py [--save]``.

`hess_vec` is timed in turn with `loss_grad` of the same data, on all threads. `grad_hess` runs on one thread, against
BLAS's ``syrk`` on a tile that stays in the cache: the share is its rate, all of the read and the loss included, over
that of the product alone. ``--save`` writes the table between the marks of docs/performance.md.
"""

import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench"), str(ROOT)]

import conftest  # noqa: E402, F401  (the cache of kernels)
import numpy as np  # noqa: E402
import report  # noqa: E402
from scipy.linalg import blas  # noqa: E402
from subjects import random_matrix, source_of  # noqa: E402
from threadpoolctl import threadpool_limits  # noqa: E402

from fastlogit.kernels.machine.jit import threads  # noqa: E402

X_BYTES, TILE_BYTES, ROUNDS = 1 << 28, 1 << 18, 7
HEADER = "| pass | case | ms | against | GF/s | its GF/s | share |\n|---|---|--:|---|--:|--:|--:|"


def clock(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def in_turn(first, second):
    """Return the median seconds of the first, and the median ratio of the second to it."""
    first(), second()
    pairs = [(clock(first), clock(second)) for _ in range(ROUNDS)]
    return np.median([a for a, _ in pairs]), np.median([b / a for a, b in pairs])


def products(dtype, D):
    """Return a run of symmetric products of a tile of D columns, and its flops."""
    A = (
        np.random.default_rng(0)
        .standard_normal((max(D, TILE_BYTES // (D * np.dtype(dtype).itemsize)), D))
        .astype(dtype)
    )
    C, syrk = np.zeros((D, D), dtype, order="F"), blas.ssyrk if dtype == "float32" else blas.dsyrk
    times = max(1, int(5e8 / (len(A) * D * D)))

    def run():
        for _ in range(times):
            syrk(1.0, A.T, beta=1.0, c=C, overwrite_c=1)

    return run, times * len(A) * D * (D + 1)


def hess_vec(source, W, center, case):
    def loss_grad():
        source.loss_grad(W, center)

    seconds, ratio = in_turn(lambda: source.hess_vec(W, W, center), loss_grad)
    products = source.n_samples * W.size
    rate, other = 6 * products / seconds / 1e9, 4 * products / (ratio * seconds) / 1e9
    return f"| hess_vec | {case} | {seconds * 1e3:.1f} | loss_grad | {rate:.0f} | {other:.0f} | {ratio:.2f} |"


def grad_hess(source, W, center, case):
    D, dtype = source.n_features, source.dtype
    with threads(1), threadpool_limits(1):
        syrk, flops = products(dtype.name, D)
        seconds, ratio = in_turn(lambda: source.grad_hess(W, center, np.ones(D), dtype), syrk)
    rate, peak = source.n_samples * D * (D + 1) / seconds / 1e9, flops / (ratio * seconds) / 1e9
    return (
        f"| grad_hess, 1 thread | {case} | {seconds * 1e3:.0f} | syrk | {rate:.0f} | {peak:.0f} | {rate / peak:.2f} |"
    )


def lines():
    yield HEADER
    for dtype in ("float32", "float64"):
        for storage in ("rows", "columns"):
            for K, D in ((1, 28), (1, 100), (1, 500), (3, 54)):
                N = X_BYTES // (D * np.dtype(dtype).itemsize) - 37
                source = source_of(random_matrix(N, D, dtype, storage), storage, K)
                W, center = np.zeros((D + 1, K)), np.full(D, 0.5)
                case = f"{storage} {dtype} D = {D}" + (f", K = {K}" if K > 1 else "")
                yield hess_vec(source, W, center, case)
                if K == 1:
                    yield grad_hess(source, W, center, case)


if __name__ == "__main__":
    report.print_table(__doc__, "second order", lines())
