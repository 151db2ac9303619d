"""Implementations of `protocol` and `tiles` for `Coded`: coefficients gathered, and sums added, by place."""

from typing import Any

import numpy as np
from numba.extending import overload

from fastlogit.kernels.machine.jit import TILE_OPTIONS, tile
from fastlogit.kernels.storages import protocol, tiles
from fastlogit.kernels.storages.coded import is_coded
from fastlogit.kernels.storages.decode import decode
from fastlogit.kernels.storages.gram import add_gram, row_squares, scale_rows
from fastlogit.kernels.storages.nonzeros import accumulate_row, margins_of_row
from fastlogit.kernels.storages.scatter import gather, scatter

# Bytes of a tile's places, 4 for each code, so that they stay in the L1 cache.
_PLACE_BYTES = 1 << 14


def _of_coded(function: Any) -> Any:
    """Register an implementation for `Coded`."""

    def decorate(implementation: Any) -> Any:
        implementation.__qualname__ = f"{function.__name__}.coded"

        @overload(function, jit_options=TILE_OPTIONS, strict=False)
        def bind(storage: Any, *args: Any) -> Any:
            return implementation if is_coded(storage) else None

        return implementation

    return decorate


@tile
def decoded(storage: Any, decoding: Any, start: int, n: int) -> Any:
    """Return what the codes of a tile become, (n_lines, n): places, or cells."""
    starts, kinds, strides = storage.starts, storage.kinds, storage.strides
    numbers = np.empty((decoding.n_lines, n), np.uint32)
    address, first = np.int64(numbers.ctypes.data), np.searchsorted(starts, start, "right") - 1
    for j in range(kinds.size):
        to, base, adds = address + 4 * decoding.lines[j] * n, decoding.bases[j], decoding.adds[j]
        done, piece = 0, first
        while done < n:
            row = start + done - starts[piece]
            count = min(n - done, starts[piece + 1] - starts[piece] - row)
            codes, multiplier = storage.addresses[piece, j] + row * strides[j], decoding.multipliers[j]
            decode(storage.decoder, kinds[j], codes, strides[j], count, multiplier, base, adds, to + 4 * done)
            done += count
            piece += 1
    return numbers


@tile
def _by_rows(storage: Any, decoding: Any, start: int, n: int) -> Any:
    """Return the same row by row, (n, n_lines)."""
    numbers = decoded(storage, decoding, start, n)
    of_rows = np.empty((n, numbers.shape[0]), np.uint32)
    for j in range(numbers.shape[0]):
        for r in range(n):
            of_rows[r, j] = numbers[j, r]
    return of_rows


@_of_coded(protocol.bounds)
def _bounds(storage: Any, first: int, last: int, chunk: int, n_chunks: int) -> Any:
    return protocol.row_bounds(first, last, chunk, n_chunks)


@_of_coded(protocol.tile_rows)
def _tile_rows(storage: Any, K: int) -> Any:
    rows = max(64, _PLACE_BYTES // (4 * storage.kinds.size) // 64 * 64)
    return min(rows, protocol.tile_rows(storage.numbers, K))


@tile
def _has_numbers(storage: Any) -> Any:
    return protocol.n_features(storage.numbers) > 0


@overload(protocol.margins, jit_options=TILE_OPTIONS)
def _margins(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> Any:
    if not is_coded(storage):
        return None

    def vector(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> None:
        protocol.margins(storage.numbers, start, n, A[storage.cut_of_cells :], center[storage.cut :], B, sweeps)
        gather(decoded(storage, storage.cells, start, n), n, A, B)

    def matrix(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> None:
        cells, ones = _by_rows(storage, storage.cells, start, n), np.ones(storage.cells.n_lines, A.dtype)
        for r in range(n):
            margins_of_row(ones, cells[r], np.uint64(0), np.uint64(ones.size), A, B, r)
        if _has_numbers(storage):
            W = np.ascontiguousarray(A[:, storage.cut_of_cells :])
            protocol.add_margins(storage.numbers, start, n, W, center[storage.cut :], B, sweeps)

    impl = vector if A.ndim == 1 else matrix
    impl.__qualname__ = f"margins.coded.{impl.__name__}"
    return impl


@overload(protocol.accumulate, jit_options=TILE_OPTIONS)
def _accumulate(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> Any:
    if not is_coded(storage):
        return None

    def vector(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> None:
        protocol.accumulate(storage.numbers, start, n, A, center[storage.cut :], B[:, storage.cut_of_cells :], sweeps)
        scatter(decoded(storage, storage.cells, start, n), n, A, B[0])

    def matrix(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> None:
        K = A.shape[0]
        if K == 1:
            protocol.accumulate(storage, start, n, A[0], center, B, sweeps)
            return
        cells, ones = _by_rows(storage, storage.cells, start, n), np.ones(storage.cells.n_lines)
        weights = np.zeros(K + 3)
        for r in range(n):
            for k in range(K):
                weights[k] = A[k, r]
            accumulate_row(ones, cells[r], np.uint64(0), np.uint64(ones.size), weights, B)
        if _has_numbers(storage):
            G = np.zeros((K, center.size - storage.cut))
            protocol.accumulate(storage.numbers, start, n, A, center[storage.cut :], G, sweeps)
            B[:, storage.cut_of_cells :] += G

    impl = vector if A.ndim == 1 else matrix
    impl.__qualname__ = f"accumulate.coded.{impl.__name__}"
    return impl


@_of_coded(protocol.accumulate_moments)
def _accumulate_moments(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> None:
    # of a level, B[0] receives the sum of the weights of its rows
    if _has_numbers(storage):
        G = np.zeros((B.shape[0], center.size - storage.cut))
        protocol.accumulate_moments(storage.numbers, start, n, A, center[storage.cut :], G, sweeps)
        B[:, storage.cut_of_cells :] += G
    scatter(decoded(storage, storage.cells, start, n), n, A, B[0])


@_of_coded(protocol.take)
def _take(storage: Any, start: int, n: int, center: Any, B: Any) -> None:
    # the numbers alone
    protocol.take(storage.numbers, start, n, center[storage.cut :], B)


@_of_coded(tiles.put_intercept)
def _put_intercept(storage: Any, place: int, B: Any) -> None:
    B[:, place - storage.cut] = 1.0


@_of_coded(tiles.tile_scratch)
def _tile_scratch(storage: Any, rows: int, like: Any) -> Any:
    return np.zeros((rows, like.size - storage.cut), like.dtype)


@_of_coded(tiles.squares)
def _squares(storage: Any, start: int, n: int, center: Any, inverse_scale: Any, base: float, B: Any, out: Any) -> None:
    # ((1 - c)^2 - c^2) s^2 = (1 - 2 c) s^2 for the level of a row; base is that of zeros alone
    row_squares(B, inverse_scale[storage.cut :], n, out)
    places = decoded(storage, storage.places, start, n)
    for r in range(n):
        total = base
        for j in range(places.shape[0]):
            s = np.float64(inverse_scale[places[j, r]])
            total += (1.0 - 2.0 * np.float64(center[places[j, r]])) * s * s
        out[r] += max(total, 0.0)


@_of_coded(tiles.accumulate_squares)
def _accumulate_squares(storage: Any, start: int, n: int, S: Any, center: Any, B: Any, sums: Any) -> None:
    # of a level, the sums of the weights of its rows and of their squares
    cells = decoded(storage, storage.cells, start, n)
    scatter(cells, n, S, sums[0])
    scatter(cells, n, S * S, sums[1])
    for r in range(n):
        for j in range(center.size - storage.cut):
            a = S[r] * B[r, j] * B[r, j]
            sums[0, storage.cut_of_cells + j] += a
            sums[1, storage.cut_of_cells + j] += a * a


@_of_coded(tiles.accumulate_gram)
def _accumulate_gram(storage: Any, start: int, n: int, place: int, c: Any, B: Any, Q: Any, H: Any) -> None:
    # places ascend from one category to the next, so that all is in the upper triangle
    cut, is_arrow = storage.cut, H.shape[1] < H.shape[0]
    left, numbers = storage.lead if is_arrow else 0, place - cut + 1
    scale_rows(B, c, n, Q)
    add_gram(B, Q, n, H[cut:, cut - left : cut - left + B.shape[1]])
    places = _by_rows(storage, storage.places, start, n)
    for r in range(n):
        for j in range(places.shape[1]):
            p = places[r, j]
            row = H[p]
            row[place + 1 - left if is_arrow and j == 0 else np.int64(p) - left] += c[r]
            for m in range(j + 1, places.shape[1]):
                row[np.int64(places[r, m]) - left] += c[r]
            products = row[cut - left :]
            for i in range(numbers):
                products[i] += Q[r, i]
