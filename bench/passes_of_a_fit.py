"""A fit in units of a gradient pass: ``python bench/passes_of_a_fit.py``.

For each shape the time of one pass for loss and gradient over X, that of a whole fit to a certified gap of 1e-8, survey
included, and their ratio; medians of several, in turn. Columns are scaled over two decades and shifted.
"""

import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench"), str(ROOT)]

import conftest  # noqa: E402, F401  (the cache of kernels)
import numpy as np  # noqa: E402
import peers  # noqa: E402

import fastlogit as fl  # noqa: E402
from fastlogit.sources.targets import memory_source  # noqa: E402

SHAPES = [
    (2_000_000, 10, "float64"),
    (10_000_000, 28, "float32"),
    (200_000, 50, "float64"),
    (100_000, 100, "float64"),
    (1_000_000, 100, "float64"),
    (100_000, 1000, "float32"),
]
TIMES = 7


def seconds(run):
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def line(N, D, dtype):
    X, y = peers.generate_dense(N, D, dtype, 2)
    source, W, center = memory_source(X, y), np.zeros((D + 1, 1)), np.zeros(D)
    fl.solve(X, y)  # compiled, or loaded
    passes, fits = [], []
    for _ in range(TIMES):
        passes.append(seconds(lambda: source.loss_grad(W, center))[0])
        fits.append(seconds(lambda: fl.solve(X, y)))
    one, whole, solution = statistics.median(passes), statistics.median(fit[0] for fit in fits), fits[-1][1]
    cells = f"{one * 1e3:.1f} | {whole * 1e3:.0f} | {whole / one:.1f} | {solution.n_passes} | {solution.gap_kind}"
    return f"| {N:,} x {D} {dtype} | {cells} |"


def main():
    print("| shape | a pass, ms | a fit, ms | passes | reads | bound |\n|---|--:|--:|--:|--:|---|")
    for shape in SHAPES:
        print(line(*shape), flush=True)


if __name__ == "__main__":
    main()
