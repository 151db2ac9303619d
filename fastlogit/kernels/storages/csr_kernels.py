"""Implementations of `protocol` and `tiles` for `CSR`: loops over the nonzeros of rows."""

from typing import Any

import numpy as np
from numba.extending import overload

from fastlogit.kernels.machine.jit import TILE_OPTIONS, tile
from fastlogit.kernels.storages import protocol, tiles
from fastlogit.kernels.storages.csr import is_csr
from fastlogit.kernels.storages.nonzeros import accumulate_row, add_powers, add_row, add_squares, margins_of_row

# Bytes of a tile: its second sweep reads it from the cache.
TILE_BYTES = 1 << 16


def _of_csr(function: Any) -> Any:
    """Register an implementation for `CSR`."""

    def decorate(implementation: Any) -> Any:
        implementation.__qualname__ = f"{function.__name__}.csr"

        @overload(function, jit_options=TILE_OPTIONS, strict=False)
        def bind(storage: Any, *args: Any) -> Any:
            return implementation if is_csr(storage) else None

        return implementation

    return decorate


@tile
def _nonzeros(storage: Any, row: int) -> Any:
    """Return the range of positions of a row's nonzeros."""
    at = np.uint64(row)
    return np.uint64(storage.indptr[at]), np.uint64(storage.indptr[at + np.uint64(1)])


@tile
def _row_at(indptr: Any, first: int, last: int, position: Any) -> Any:
    """Return the first row, of ``first`` to ``last``, whose nonzeros begin at ``position`` or later."""
    while first < last:
        middle = (first + last) // 2
        if np.int64(indptr[middle]) < position:
            first = middle + 1
        else:
            last = middle
    return first


@_of_csr(protocol.bounds)
def _bounds(storage: Any, first: int, last: int, chunk: int, n_chunks: int) -> Any:
    # chunks of about equal numbers of nonzeros, in whole rows
    indptr = storage.indptr
    base, total = np.int64(indptr[first]), np.int64(indptr[last]) - np.int64(indptr[first])
    begin = _row_at(indptr, first, last, base + chunk * total // n_chunks) if chunk > 0 else first
    end = _row_at(indptr, first, last, base + (chunk + 1) * total // n_chunks) if chunk + 1 < n_chunks else last
    return begin, end


@_of_csr(protocol.tile_rows)
def _tile_rows(storage: Any, K: int) -> Any:
    rows = storage.indptr.size - 1
    n_bytes = np.int64(storage.indptr[rows] - storage.indptr[0]) * (storage.data.itemsize + storage.indices.itemsize)
    return min(1024, max(16, TILE_BYTES * rows // max(n_bytes, 1) // 16 * 16))


@tile
def _dot(storage: Any, row: int, w: Any) -> Any:
    """Return ``sum_j x_j w_j`` of a row; of four sums none has to wait for its last addition."""
    data, indices = storage.data, storage.indices
    p, end = _nonzeros(storage, row)
    real = w.dtype.type
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    a, b, c, d = real(0), real(0), real(0), real(0)
    while p + four <= end:
        a += real(data[p]) * w[indices[p]]
        b += real(data[p + one]) * w[indices[p + one]]
        c += real(data[p + two]) * w[indices[p + two]]
        d += real(data[p + three]) * w[indices[p + three]]
        p += four
    while p < end:
        a += real(data[p]) * w[indices[p]]
        p += one
    return (a + b) + (c + d)


@overload(protocol.margins, jit_options=TILE_OPTIONS)
def _margins(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> Any:
    if not is_csr(storage):
        return None

    def vector(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> None:
        for r in range(n):
            B[r] = _dot(storage, start + r, A)

    def matrix(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> None:
        for r in range(n):
            p, end = _nonzeros(storage, start + r)
            margins_of_row(storage.data, storage.indices, p, end, A, B, r)

    impl = vector if A.ndim == 1 else matrix
    impl.__qualname__ = f"margins.csr.{impl.__name__}"
    return impl


@overload(protocol.accumulate, jit_options=TILE_OPTIONS)
def _accumulate(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> Any:
    if not is_csr(storage):
        return None

    def vector(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> None:
        for r in range(n):
            p, end = _nonzeros(storage, start + r)
            add_row(storage.data, storage.indices, p, end, np.float64(A[r]), B[0])

    def matrix(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> None:
        K = A.shape[0]
        if K == 1:
            protocol.accumulate(storage, start, n, A[0], center, B, sweeps)
            return
        weights = np.zeros(K + 3)
        for r in range(n):
            for k in range(K):
                weights[k] = A[k, r]
            p, end = _nonzeros(storage, start + r)
            accumulate_row(storage.data, storage.indices, p, end, weights, B)

    impl = vector if A.ndim == 1 else matrix
    impl.__qualname__ = f"accumulate.csr.{impl.__name__}"
    return impl


@_of_csr(protocol.accumulate_moments)
def _accumulate_moments(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> None:
    # B[p, j] += sum over nonzeros of s (x - center_j)^p, for p < 3
    for r in range(n):
        p, end = _nonzeros(storage, start + r)
        add_powers(storage.data, storage.indices, p, end, np.float64(A[r]), center, B)


@_of_csr(protocol.take)
def _take(storage: Any, start: int, n: int, center: Any, B: Any) -> None:
    pass


@_of_csr(tiles.tile_scratch)
def _tile_scratch(storage: Any, rows: int, like: Any) -> Any:
    return np.zeros((0, like.size), like.dtype)


@_of_csr(tiles.put_intercept)
def _put_intercept(storage: Any, place: int, B: Any) -> None:
    pass


@_of_csr(tiles.squares)
def _squares(storage: Any, start: int, n: int, center: Any, inverse_scale: Any, base: float, B: Any, out: Any) -> None:
    data, indices = storage.data, storage.indices
    for r in range(n):
        total = base
        p, end = _nonzeros(storage, start + r)
        for at in range(p, end):
            j = indices[at]
            x, c, s = np.float64(data[at]), np.float64(center[j]), np.float64(inverse_scale[j])
            total += x * (x - 2.0 * c) * s * s
        out[r] = max(total, 0.0)


@_of_csr(tiles.accumulate_squares)
def _accumulate_squares(storage: Any, start: int, n: int, S: Any, center: Any, B: Any, sums: Any) -> None:
    # sums[p, j] += sum over nonzeros of s, s^2, a and a^2 with a = s (x - center_j)^2
    for r in range(n):
        p, end = _nonzeros(storage, start + r)
        add_squares(storage.data, storage.indices, p, end, S[r], center, sums)


@_of_csr(tiles.accumulate_gram)
def _accumulate_gram(storage: Any, start: int, n: int, place: int, c: Any, B: Any, Q: Any, H: Any) -> None:
    # columns ascend, so that all is in the upper triangle
    data, indices, last = storage.data, storage.indices, np.uint64(place)
    for r in range(n):
        p, end = _nonzeros(storage, start + r)
        for at in range(p, end):
            row, weight = H[indices[at]], c[r] * np.float64(data[at])
            add_row(data, indices, at, end, weight, row)
            row[last] += weight
        H[last, last] += c[r]
