"""Passes of second order: Hessians, Hessians times a direction, and losses along one, each in one read of X.

With ``c_kl = s p_k (delta_kl - p_l)`` the Hessian's block of classes k and l is ``sum_i c_kl x~_i x~_i'``, where
``x~ = (x - center, 1)``; with two classes there is one block, ``c = s p (1 - p)``. Arguments that passes share are
described in `fastlogit.kernels.passes.first_order`.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from fastlogit.kernels.losses.protocol import LOSS, SMALLEST_MARGIN, Tile, losses, probabilities, weigh_and_sum
from fastlogit.kernels.machine.jit import kernel
from fastlogit.kernels.machine.jit import tile as compiled
from fastlogit.kernels.machine.pointer import i64
from fastlogit.kernels.machine.vector import Sum, Vector, muladd, where
from fastlogit.kernels.passes.first_order import class_factors, put_totals, row_weights, tile_for
from fastlogit.kernels.storages.protocol import (
    ROWS_AT_ONCE,
    accumulate,
    accumulate_moments,
    as_rows,
    bounds,
    margins,
    padded_rows,
    take,
    tile_rows,
)
from fastlogit.kernels.storages.tiles import accumulate_gram, put_intercept, squares, tile_scratch

#: Rows of a tile of `grad_hess`.
HESS_ROWS = 128


@compiled
def _curvature(P: Any, s: Any, k: int, m: int, K: int, n: int, c: Any) -> None:
    """``c[r] = s[r] p_k (delta_km - p_m)``; above 1/2, ``1 - p_k`` is summed over the other classes, without loss."""
    for r in range(n):
        if K == 1:
            c[r] = s[r] * P[0, r] * P[1, r]
        elif k == m:
            rest = 1.0 - P[k, r]
            if rest < 0.5:
                rest = 0.0
                for other in range(K):
                    if other != k:
                        rest += P[other, r]
            c[r] = s[r] * P[k, r] * rest
        else:
            c[r] = -s[r] * P[k, r] * P[m, r]


@kernel
def grad_hess(
    chunk: int,
    n_chunks: int,
    storage: Any,
    targets: Any,
    loss: Any,
    W: Any,
    b: Any,
    center: Any,
    inverse_scale: Any,
    base: float,
    place: int,
    first: int,
    last: int,
    G: Any,
    totals: Any,
    H: Any,
) -> None:
    """Compute loss, gradient and Hessian.

    ``G`` and ``totals`` (n_chunks, K + 4) as in `first_order.loss_grad`; the last total is the largest
    ``||x~ * inverse_scale||^2`` over rows of positive weight. ``H`` (n_chunks, K (K + 1) / 2, size, size) float64
    receives the upper triangles of the blocks of classes k <= l, row by row of the upper triangle of blocks, with the
    intercept in row and column ``place``. ``inverse_scale`` (size,), 0 for the intercept, has the type in which the
    Hessian's products are computed. ``base``: see `fastlogit.kernels.storages.tiles.squares`.
    """
    begin, end = bounds(storage, first, last, chunk, n_chunks)
    K, T = b.size, HESS_ROWS
    tile = tile_for(W, T)
    Z = as_rows(tile)
    P = np.empty((loss.n_classes, T), W.dtype)
    F, M, c = np.empty(T, W.dtype), np.empty(T, W.dtype), np.empty(T)
    factor = np.empty(T if targets.class_weight.size else 0, W.dtype)
    sums = np.zeros((K + 3, ROWS_AT_ONCE))
    sums[K + SMALLEST_MARGIN] = np.inf
    B = tile_scratch(storage, T, inverse_scale)
    Q = tile_scratch(storage, T, inverse_scale)
    square = np.empty(T, inverse_scale.dtype)
    center_of_tile = center.astype(inverse_scale.dtype)
    gradient = G[chunk]
    gradient[:] = 0.0
    H[chunk] = 0.0
    largest = 0.0
    for start in range(begin, end, T):
        n = min(T, end - start)
        margins(storage, start, n, W, center, tile, 2)
        probabilities(loss, targets.offset, start, n, b, Z, P)
        losses(loss, targets.y, targets.offset, start, n, b, Z, F, M)
        class_factors(targets, start, n, factor)
        weigh_and_sum(targets.weight, factor, start, n, Z, F, M, sums)
        accumulate(storage, start, n, tile, center, gradient, 2)
        take(storage, start, n, center_of_tile, B)
        put_intercept(storage, place, B)
        squares(storage, start, n, center, inverse_scale, base, B, square)
        for r in range(n):
            if F[r] > 0.0:
                largest = max(largest, square[r])
        block = 0
        for k in range(K):
            for m in range(k, K):
                _curvature(P, F, k, m, K, n, c)
                accumulate_gram(storage, start, n, place, c, B, Q, H[chunk, block])
                block += 1
    put_totals(sums, K, totals[chunk])
    totals[chunk, K + 3] = 1.0 + largest


@kernel
def diagonal(
    chunk: int,
    n_chunks: int,
    storage: Any,
    targets: Any,
    loss: Any,
    W: Any,
    b: Any,
    center: Any,
    shift: Any,
    first: int,
    last: int,
    G: Any,
    totals: Any,
) -> None:
    """Compute the moments of the columns with each class's curvature ``s_i p_k (1 - p_k)`` for weights.

    ``G`` (n_chunks, K m, padded) receives for each class the m sums of `first_order.moments`; ``totals`` (n_chunks, K)
    the sums of weights. ``shift`` is ``center`` in float64.
    """
    begin, end = bounds(storage, first, last, chunk, n_chunks)
    K, m = b.size, G.shape[1] // b.size
    T = tile_rows(storage, K)
    tile = tile_for(W, T)
    Z, P = as_rows(tile), np.empty((loss.n_classes, padded_rows(T)), W.dtype)
    S, F, c = np.empty(padded_rows(T)), np.zeros(padded_rows(T)), np.empty(padded_rows(T))
    factor = np.empty(padded_rows(T) if targets.class_weight.size else 0)
    sums = np.zeros((4, ROWS_AT_ONCE))
    G[chunk] = 0.0
    totals[chunk] = 0.0
    for start in range(begin, end, T):
        n = min(T, end - start)
        margins(storage, start, n, W, center, tile, 2)
        probabilities(loss, targets.offset, start, n, b, Z, P)
        row_weights(targets, start, n, factor, S, F, sums)
        for k in range(K):
            _curvature(P, F, k, k, K, n, c)
            accumulate_moments(storage, start, n, c, shift, G[chunk, k * m : (k + 1) * m], 2)
            totals[chunk, k] += c[:n].sum()


@intrinsic
def _along(typingctx: Any, n: Any, b: Any, P: Any, Z: Any) -> Any:
    """``Z[k] = p_k (v_k - sum_l p_l v_l)``, ``v_k = Z[K + k] + b[K + k]``: the derivative of residuals along v.

    ``Z`` (2 K, rows), ``b`` (2 K,); ``P`` (n_classes, rows) probabilities.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        tile: Any = Tile(context, builder, signature, args, "n b P Z")
        lanes, K = tile.lanes, builder.sdiv(tile.Z.shape[0], i64(2))
        two = builder.icmp_signed(">", tile.P.shape[0], K)  # two classes have one margin, that of the second

        def direction(k: Any, r: Any) -> Vector:
            row = builder.add(K, k)
            v: Vector = lanes.load(tile.Z.at(row, r)) + lanes.splat(tile.b.load(row))
            return v

        with lanes.rows(tile.n) as (r, _), builder.if_else(two) as (of_two, of_more):
            with of_two:
                p, q = (lanes.load(tile.P.at(i64(k), r)) for k in (1, 0))
                lanes.store(p * q * direction(i64(0), r), tile.Z.at(i64(0), r))
            with of_more:
                # v_k - sum_l p_l v_l, with the likeliest class's v subtracted from all: no cancellation as its p -> 1
                likeliest, reference = Sum(lanes, lanes.zero), Sum(lanes, lanes.zero)
                with lanes.loop(i64(0), K) as k:
                    p = lanes.load(tile.P.at(k, r))
                    likelier = p > likeliest.value
                    reference.value = where(likelier, direction(k, r), reference.value)
                    likeliest.value = where(likelier, p, likeliest.value)
                mean = Sum(lanes, lanes.zero)
                with lanes.loop(i64(0), K) as k:
                    difference = direction(k, r) - reference.value
                    mean.value = muladd(lanes.load(tile.P.at(k, r)), difference, mean.value)
                with lanes.loop(i64(0), K) as k:
                    difference = direction(k, r) - reference.value
                    lanes.store(lanes.load(tile.P.at(k, r)) * (difference - mean.value), tile.Z.at(k, r))
        return context.get_dummy_value()

    return types.void(types.int64, b, P, Z), codegen


@kernel
def hess_vec(
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
    """Compute the Hessian at W times a direction V.

    ``W`` (2 K, padded) and ``b`` (2 K,) hold the coefficients, then the direction. ``G`` receives
    ``sum_i s_i r_i (x_i - center)`` with ``r_k = p_k (v_k - sum_l p_l v_l)``, v being the direction's margins;
    ``totals`` (n_chunks, K) receives ``sum_i s_i r_i``.
    """
    begin, end = bounds(storage, first, last, chunk, n_chunks)
    K = b.size // 2
    T = tile_rows(storage, K)
    Z, P = tile_for(W, T), np.empty((loss.n_classes, padded_rows(T)), W.dtype)
    F, M = np.zeros(padded_rows(T), W.dtype), np.zeros(padded_rows(T), W.dtype)
    factor = np.empty(padded_rows(T) if targets.class_weight.size else 0, W.dtype)
    sums = np.zeros((K + 3, ROWS_AT_ONCE))
    gradient = G[chunk]
    gradient[:] = 0.0
    for start in range(begin, end, T):
        n = min(T, end - start)
        margins(storage, start, n, W, center, Z, 2)
        probabilities(loss, targets.offset, start, n, b, Z[:K], P)
        _along(n, b, P, Z)
        class_factors(targets, start, n, factor)
        weigh_and_sum(targets.weight, factor, start, n, Z[:K], F, M, sums)
        accumulate(storage, start, n, Z[:K], center, gradient, 2)
    for k in range(K):
        totals[chunk, k] = sums[k].sum()


@kernel
def losses_along(
    chunk: int,
    n_chunks: int,
    storage: Any,
    targets: Any,
    loss: Any,
    W: Any,
    b: Any,
    center: Any,
    steps: Any,
    first: int,
    last: int,
    totals: Any,
) -> None:
    """Compute the losses at ``W + t V`` for each t of ``steps``.

    ``W`` and ``b`` as in `hess_vec`; ``totals`` (n_chunks, len(steps)) receives ``sum_i s_i loss_i``.
    """
    begin, end = bounds(storage, first, last, chunk, n_chunks)
    K = b.size // 2
    T = tile_rows(storage, K)
    Z, at = tile_for(W, T), np.zeros((K, padded_rows(T)), W.dtype)
    F, M = np.empty(padded_rows(T), W.dtype), np.empty(padded_rows(T), W.dtype)
    factor = np.empty(padded_rows(T) if targets.class_weight.size else 0, W.dtype)
    sums = np.zeros((steps.size, K + 3, ROWS_AT_ONCE))
    for start in range(begin, end, T):
        n = min(T, end - start)
        margins(storage, start, n, W, center, Z, 1)
        class_factors(targets, start, n, factor)
        for i in range(steps.size):
            for k in range(K):
                for r in range(n):
                    at[k, r] = Z[k, r] + steps[i] * (Z[K + k, r] + b[K + k])
            losses(loss, targets.y, targets.offset, start, n, b[:K], at, F, M)
            weigh_and_sum(targets.weight, factor, start, n, at, F, M, sums[i])
    for i in range(steps.size):
        totals[chunk, i] = sums[i, K + LOSS].sum()


@kernel
def largest_square(
    chunk: int,
    n_chunks: int,
    storage: Any,
    targets: Any,
    W: Any,
    b: Any,
    center: Any,
    first: int,
    last: int,
    totals: Any,
) -> None:
    """Find the largest ``||(x - center) W' + b||^2`` over rows of positive weight.

    ``W`` (m, padded) and ``b`` (m,) for any m; ``totals`` (n_chunks,).
    """
    begin, end = bounds(storage, first, last, chunk, n_chunks)
    T = tile_rows(storage, b.size)
    tile, square = tile_for(W, T), np.zeros((1, padded_rows(T)), W.dtype)
    Z = as_rows(tile)
    F, M = np.zeros(padded_rows(T), W.dtype), np.zeros(padded_rows(T), W.dtype)
    factor = np.empty(padded_rows(T) if targets.class_weight.size else 0, W.dtype)
    sums = np.zeros((4, ROWS_AT_ONCE))
    largest = 0.0
    for start in range(begin, end, T):
        n = min(T, end - start)
        margins(storage, start, n, W, center, tile, 1)
        class_factors(targets, start, n, factor)
        weigh_and_sum(targets.weight, factor, start, n, square, F, M, sums)
        square[:] = 0.0
        for k in range(b.size):
            for r in range(n):
                square[0, r] += (Z[k, r] + b[k]) ** 2
        for r in range(n):
            if F[r] > 0.0:
                largest = max(largest, square[0, r])
    totals[chunk] = largest
