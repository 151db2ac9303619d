"""Passes of first order: kernels that read a range of rows once, tile by tile, and write each chunk's sums.

Every pass has the same structure: chunks over threads, tiles within a chunk, ``margins -> losses -> accumulate`` within
a tile. Storage and loss are bound by type, so that neither knows the other and each pair is compiled once.

Arguments that all passes share:

- ``chunk``, ``n_chunks``: the chunk that a call computes, and their number (see `fastlogit.kernels.machine.jit`);
- ``storage``, ``targets``, ``loss``: the rows, what comes with them, and the formula;
- ``W`` (K, padded) or (padded,), ``b`` (K,), ``center`` (padded,): coefficients, intercepts and centre, packed by
  `fastlogit.kernels.storages.storage.Storage.pack`;
- ``first``, ``last``: the row range;
- ``G`` (n_chunks, K, padded) float64: receives each chunk's sums over rows for each column;
- ``totals`` (n_chunks, m) float64: receives each chunk's other sums.
"""

from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from fastlogit.kernels.losses.protocol import SMALLEST_MARGIN, losses, probabilities, weigh_and_sum
from fastlogit.kernels.machine.jit import TILE_OPTIONS, kernel
from fastlogit.kernels.machine.jit import tile as compiled
from fastlogit.kernels.storages.protocol import (
    ROWS_AT_ONCE,
    accumulate,
    accumulate_moments,
    as_rows,
    bounds,
    margins,
    padded_rows,
    tile_rows,
)
from fastlogit.kernels.storages.transpose import empty_tile, put_rows


class Targets(NamedTuple):
    """Labels, weights and offsets of rows; read-only arrays, so that one compiled kernel serves every caller.

    ``y``: class codes (N,) or probabilities (N, n_classes). ``weight`` (N,), ``class_weight`` (n_classes,) and
    ``offset`` (N, K) are empty if absent.
    """

    y: NDArray[Any]
    weight: NDArray[Any]
    class_weight: NDArray[np.float64]
    offset: NDArray[Any]


def _class_factor(class_weight: Any, y: Any, row: int) -> Any:
    """Return the class weight of a row."""
    raise TypeError("_class_factor is for compiled code")


@overload(_class_factor, jit_options=TILE_OPTIONS)
def _class_factor_impl(class_weight: Any, y: Any, row: Any) -> Any:

    def code(class_weight: Any, y: Any, row: Any) -> Any:
        return class_weight[y[row]]

    def soft(class_weight: Any, y: Any, row: Any) -> Any:
        return 1.0  # never used: class weights of soft labels are refused at intake

    return code if y.ndim == 1 else soft


def tile_for(W: Any, rows: int) -> Any:
    """Return an uninitialised tile for the margins of ``W``: (rows,) or (K, rows), padded."""
    raise TypeError("tile_for is for compiled code")


@overload(tile_for, jit_options=TILE_OPTIONS)
def _tile_for(W: Any, rows: Any) -> Any:
    def vector(W: Any, rows: Any) -> Any:
        return np.empty(padded_rows(rows), W.dtype)

    def matrix(W: Any, rows: Any) -> Any:
        return empty_tile(W.shape[0], rows, W.dtype)

    return vector if W.ndim == 1 else matrix


@compiled
def class_factors(targets: Any, start: int, n: int, factor: Any) -> None:
    """Fill ``factor`` (rows,) with the class weights of the tile's rows; it is empty if there are none."""
    if factor.size:
        for r in range(n):
            factor[r] = _class_factor(targets.class_weight, targets.y, start + r)


@compiled
def row_weights(targets: Any, start: int, n: int, factor: Any, S: Any, F: Any, sums: Any) -> None:
    """Fill ``S`` and ``F`` (rows,) with the weights of the tile's rows, and add them to ``sums[0]``."""
    S[:] = 1.0
    class_factors(targets, start, n, factor)
    weigh_and_sum(targets.weight, factor, start, n, as_rows(S), F, F, sums)


@compiled
def put_totals(sums: Any, K: int, totals: Any) -> None:
    """Write what `weigh_and_sum` left in each lane of ``sums`` to ``totals`` (K + 3,), added up, or the smallest."""
    for k in range(K + 3):
        total = sums[k, 0]
        for other in sums[k, 1:]:
            if k != K + SMALLEST_MARGIN:
                total += other
            elif other < total:
                total = other
        totals[k] = total


@kernel
def loss_grad(
    chunk: int,
    n_chunks: int,
    storage: Any,
    targets: Any,
    loss: Any,
    W: Any,
    b: Any,
    center: Any,
    first: int,
    last: int,
    G: Any,
    totals: Any,
) -> None:
    """Compute loss, gradient, smallest margin and the number of correct rows.

    ``G`` receives ``sum_i s_i r_i (x_i - center)``; ``totals`` (n_chunks, K + 3) ``sum_i s_i r_i`` (K elements),
    ``sum_i s_i loss_i``, smallest margin over rows of positive weight, and number of rows whose true class leads.
    """
    begin, end = bounds(storage, first, last, chunk, n_chunks)
    K = b.size
    T = tile_rows(storage, K)
    tile = tile_for(W, T)
    Z = as_rows(tile)
    F, M = np.empty(padded_rows(T), W.dtype), np.empty(padded_rows(T), W.dtype)
    factor = np.empty(padded_rows(T) if targets.class_weight.size else 0, W.dtype)
    sums = np.zeros((K + 3, ROWS_AT_ONCE))
    sums[K + SMALLEST_MARGIN] = np.inf
    gradient = G[chunk]
    gradient[:] = 0.0
    for start in range(begin, end, T):
        n = min(T, end - start)
        margins(storage, start, n, W, center, tile, 2)
        losses(loss, targets.y, targets.offset, start, n, b, Z, F, M)
        class_factors(targets, start, n, factor)
        weigh_and_sum(targets.weight, factor, start, n, Z, F, M, sums)
        accumulate(storage, start, n, tile, center, gradient, 2)
    put_totals(sums, K, totals[chunk])


@kernel
def moments(
    chunk: int, n_chunks: int, storage: Any, targets: Any, shift: Any, first: int, last: int, G: Any, totals: Any
) -> None:
    """Compute weighted first and second moments of the columns, in float64 for every storage.

    ``G`` (n_chunks, n_powers, padded) receives ``sum_i s_i (x_i - shift)`` and ``sum_i s_i (x_i - shift)^2``, for a
    sparse storage the sums that its `powers` takes; ``totals`` (n_chunks, 1) receives ``sum_i s_i``.
    """
    begin, end = bounds(storage, first, last, chunk, n_chunks)
    T = tile_rows(storage, 1)
    S, F = np.empty(padded_rows(T)), np.zeros(padded_rows(T))
    factor = np.empty(padded_rows(T) if targets.class_weight.size else 0)
    sums = np.zeros((4, ROWS_AT_ONCE))
    G[chunk] = 0.0
    for start in range(begin, end, T):
        n = min(T, end - start)
        row_weights(targets, start, n, factor, S, F, sums)
        accumulate_moments(storage, start, n, S, shift, G[chunk], 1)
    totals[chunk, 0] = sums[0].sum()


@kernel
def decision(
    chunk: int, n_chunks: int, storage: Any, offset: Any, W: Any, b: Any, center: Any, first: int, last: int, out: Any
) -> None:
    """Write the margins of rows ``first`` to ``last`` to ``out`` (last - first, K)."""
    begin, end = bounds(storage, first, last, chunk, n_chunks)
    T = tile_rows(storage, b.size)
    tile = tile_for(W, T)
    Z = as_rows(tile)
    for start in range(begin, end, T):
        n = min(T, end - start)
        margins(storage, start, n, W, center, tile, 1)
        for k in range(b.size):
            for r in range(n):
                Z[k, r] += b[k]
            if offset.size:
                for r in range(n):
                    Z[k, r] += offset[start + r, k]
        put_rows(Z, n, 1.0, out, start - first)


@kernel
def predict_proba(
    chunk: int,
    n_chunks: int,
    storage: Any,
    offset: Any,
    loss: Any,
    W: Any,
    b: Any,
    center: Any,
    first: int,
    last: int,
    out: Any,
) -> None:
    """Write the class probabilities of rows ``first`` to ``last`` to ``out`` (last - first, n_classes)."""
    begin, end = bounds(storage, first, last, chunk, n_chunks)
    T = tile_rows(storage, b.size)
    tile = tile_for(W, T)
    Z = as_rows(tile)
    P = np.empty((2, padded_rows(T)), W.dtype) if b.size == 1 else Z
    for start in range(begin, end, T):
        n = min(T, end - start)
        margins(storage, start, n, W, center, tile, 1)
        probabilities(loss, offset, start, n, b, Z, P)
        put_rows(P, n, 1.0, out, start - first)
