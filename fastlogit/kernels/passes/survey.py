"""Passes that survey X: moments and outliers, rows drawn by a hash, and sums and maxima of squares.

Arguments that passes share are described in `fastlogit.kernels.passes.first_order`.
"""

from typing import Any

import numpy as np
from numba.extending import overload

from fastlogit.kernels.machine.jit import TILE_OPTIONS, kernel
from fastlogit.kernels.machine.jit import tile as compiled
from fastlogit.kernels.passes.first_order import row_weights
from fastlogit.kernels.storages.protocol import (
    ROWS_AT_ONCE,
    accumulate_moments,
    bounds,
    row_bounds,
    take,
    tile_rows,
)
from fastlogit.kernels.storages.tiles import accumulate_squares, squares, tile_scratch

# Rows of a tile.
_ROWS = 128


@compiled
def _hash(x: Any) -> Any:
    """Return a well mixed 64-bit number: the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    x = x * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _stratum(y: Any, row: int) -> int:
    """Return the class of a row; soft labels count as one class."""
    raise TypeError("_stratum is for compiled code")


@overload(_stratum, jit_options=TILE_OPTIONS)
def _stratum_of(y: Any, row: Any) -> Any:
    def code(y: Any, row: Any) -> Any:
        return np.int64(y[row])

    def soft(y: Any, row: Any) -> Any:
        return 0

    return code if y.ndim == 1 else soft


@kernel
def count_strata(chunk: int, n_chunks: int, y: Any, weight: Any, first: int, last: int, counts: Any) -> None:
    """Write each class's number of rows of positive weight to ``counts`` (n_chunks, n_strata)."""
    begin, end = row_bounds(first, last, chunk, n_chunks)
    counts[chunk] = 0
    for row in range(begin, end):
        if not weight.size or weight[row] > 0.0:
            counts[chunk, _stratum(y, row)] += 1


@kernel
def draw(
    chunk: int,
    n_chunks: int,
    y: Any,
    weight: Any,
    limits: Any,
    seed: Any,
    first: int,
    last: int,
    rows: Any,
    counts: Any,
) -> None:
    """Find the rows of positive weight whose hash, of index plus seed, is below their class's limit.

    ``limits`` (n_strata,) uint64. Chunk c writes their indices to ``rows`` (last - first,), from position
    ``counts[c, 0]`` on, and their number to ``counts[c, 1]``.
    """
    begin, end = row_bounds(first, last, chunk, n_chunks)
    found = begin - first
    for row in range(begin, end):
        if _hash(np.uint64(row) + seed) < limits[_stratum(y, row)] and (not weight.size or weight[row] > 0.0):
            rows[found] = row
            found += 1
    counts[chunk, 0], counts[chunk, 1] = begin - first, found - (begin - first)


@kernel
def survey(
    chunk: int,
    n_chunks: int,
    storage: Any,
    targets: Any,
    shift: Any,
    inverse_scale: Any,
    base: float,
    limit: float,
    first: int,
    last: int,
    G: Any,
    totals: Any,
    far: Any,
    rows: Any,
    counts: Any,
) -> None:
    """Compute moments as `fastlogit.kernels.passes.first_order.moments` does, and find outliers.

    An outlier has ``sum_j ((x_j - shift_j) inverse_scale_j)^2 > limit``: its index is written to ``rows``, the sum to
    ``far``, and positions to ``counts`` as in `draw`. ``base``: see `fastlogit.kernels.storages.tiles.squares`.
    """
    begin, end = bounds(storage, first, last, chunk, n_chunks)
    T = min(_ROWS, tile_rows(storage, 1))
    S, F, square = np.empty(_ROWS), np.zeros(_ROWS), np.empty(_ROWS, inverse_scale.dtype)
    factor = np.empty(_ROWS if targets.class_weight.size else 0)
    sums = np.zeros((4, ROWS_AT_ONCE))
    B, center = tile_scratch(storage, T, inverse_scale), shift.astype(inverse_scale.dtype)
    found = begin - first
    G[chunk] = 0.0
    for start in range(begin, end, T):
        n = min(T, end - start)
        row_weights(targets, start, n, factor, S, F, sums)
        accumulate_moments(storage, start, n, S, shift, G[chunk], 1)
        take(storage, start, n, center, B)
        squares(storage, start, n, center, inverse_scale, base, B, square)
        for r in range(n):
            if square[r] > limit:
                rows[found], far[found] = start + r, square[r]
                found += 1
    totals[chunk, 0] = sums[0].sum()
    counts[chunk, 0], counts[chunk, 1] = begin - first, found - (begin - first)


@kernel
def column_squares(
    chunk: int, n_chunks: int, storage: Any, targets: Any, center: Any, first: int, last: int, sums: Any, totals: Any
) -> None:
    """Compute each column's sums of ``a = s (x - center)^2`` and of ``a^2``.

    ``sums`` (n_chunks, n_squares, padded) float64 receives them, or the sums that a sparse storage's `column_squares`
    takes; ``totals`` (n_chunks, 2) receives the sums of s and ``s^2``.
    """
    begin, end = bounds(storage, first, last, chunk, n_chunks)
    S, F = np.empty(_ROWS), np.zeros(_ROWS)
    factor = np.empty(_ROWS if targets.class_weight.size else 0)
    weights = np.zeros((4, ROWS_AT_ONCE))
    B = tile_scratch(storage, _ROWS, center)
    sums[chunk] = 0.0
    totals[chunk] = 0.0
    for start in range(begin, end, _ROWS):
        n = min(_ROWS, end - start)
        row_weights(targets, start, n, factor, S, F, weights)
        take(storage, start, n, center, B)
        accumulate_squares(storage, start, n, F, center, B, sums[chunk])
        for r in range(n):
            totals[chunk, 0] += F[r]
            totals[chunk, 1] += F[r] * F[r]


@kernel
def widest_row(
    chunk: int,
    n_chunks: int,
    storage: Any,
    center: Any,
    inverse_scale: Any,
    base: float,
    first: int,
    last: int,
    totals: Any,
) -> None:
    """Write the largest ``sum_j ((x_j - center_j) inverse_scale_j)^2`` to ``totals`` (n_chunks,)."""
    begin, end = bounds(storage, first, last, chunk, n_chunks)
    square, B = np.empty(_ROWS, inverse_scale.dtype), tile_scratch(storage, _ROWS, inverse_scale)
    largest = 0.0
    for start in range(begin, end, _ROWS):
        n = min(_ROWS, end - start)
        take(storage, start, n, center, B)
        squares(storage, start, n, center, inverse_scale, base, B, square)
        for r in range(n):
            largest = max(largest, square[r])
    totals[chunk] = largest
