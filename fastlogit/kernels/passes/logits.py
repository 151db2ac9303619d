"""Softmax and cross-entropy of given logits: the formulas of `losses` on tiles that are copied from an array."""

from typing import Any

import numpy as np

from fastlogit.kernels.losses import Softmax
from fastlogit.kernels.losses.long_rows import cross_entropy_grad_of_row, cross_entropy_of_row, softmax_of_row
from fastlogit.kernels.losses.protocol import losses, probabilities
from fastlogit.kernels.machine.jit import kernel
from fastlogit.kernels.machine.jit import tile as compiled
from fastlogit.kernels.storages.protocol import padded_rows
from fastlogit.kernels.storages.transpose import empty_tile, put_rows, take_rows

TILE_BYTES = 1 << 14
#: From this many classes on, vectors run along a row (`losses.long_rows`) instead of over rows of a transposed tile.
LONG = 64


@compiled
def _tile_rows(K: int, itemsize: int) -> int:
    return min(256, max(128 // itemsize, TILE_BYTES // (K * itemsize) // 16 * 16))


@compiled
def _bounds(n: int, chunk: Any, n_chunks: int) -> Any:
    return chunk * n // n_chunks, (chunk + 1) * n // n_chunks


@kernel
def softmax_of_rows(chunk: int, n_chunks: int, logits: Any, out: Any) -> None:
    """Write the softmax of each row of ``logits`` (N, K) into ``out`` (N, K)."""
    first, last = _bounds(logits.shape[0], chunk, n_chunks)
    K = logits.shape[1]
    if K >= LONG:
        for row in range(first, last):
            softmax_of_row(logits, row, out)
        return
    T = _tile_rows(K, out.itemsize)
    Z, b = empty_tile(K, T, out.dtype), np.zeros(K, out.dtype)
    absent = np.empty((0, 0), out.dtype)
    for start in range(first, last, T):
        n = min(T, last - start)
        take_rows(logits, start, n, Z)
        probabilities(Softmax(K), absent, start, n, b, Z, Z)
        put_rows(Z, n, 1.0, out, start)


@kernel
def softmax_of_columns(chunk: int, n_chunks: int, logits: Any, out: Any) -> None:
    """Write the softmax along the middle axis of ``logits`` (outer, K, inner) into ``out`` of the same shape."""
    outer, K, inner = logits.shape
    T = _tile_rows(K, out.itemsize)
    tiles = (inner + T - 1) // T
    first, last = _bounds(outer * tiles, chunk, n_chunks)
    Z, b = empty_tile(K, T, out.dtype), np.zeros(K, out.dtype)
    absent = np.empty((0, 0), out.dtype)
    for index in range(first, last):
        i, start = index // tiles, index % tiles * T
        n = min(T, inner - start)
        for k in range(K):
            for r in range(n):
                Z[k, r] = logits[i, k, start + r]
        probabilities(Softmax(K), absent, start, n, b, Z, Z)
        for k in range(K):
            for r in range(n):
                out[i, k, start + r] = Z[k, r]


@kernel
def cross_entropy(chunk: int, n_chunks: int, logits: Any, labels: Any, totals: Any) -> None:
    """Write each chunk's sum of ``-ln softmax(logits)[label]`` into ``totals`` (n_chunks,) float64."""
    first, last = _bounds(logits.shape[0], chunk, n_chunks)
    K = logits.shape[1]
    if K >= LONG:
        total = 0.0
        for row in range(first, last):
            total += cross_entropy_of_row(logits, labels, row)
        totals[chunk] = total
        return
    T = _tile_rows(K, logits.itemsize)
    Z, b = empty_tile(K, T, logits.dtype), np.zeros(K, logits.dtype)
    F, M = np.empty(padded_rows(T), logits.dtype), np.empty(padded_rows(T), logits.dtype)
    absent, sums = np.empty((0, 0), logits.dtype), np.zeros(T)
    for start in range(first, last, T):
        n = min(T, last - start)
        take_rows(logits, start, n, Z)
        losses(Softmax(K), labels, absent, start, n, b, Z, F, M)
        for r in range(n):
            sums[r] += F[r]
    totals[chunk] = sums.sum()


@kernel
def cross_entropy_grad(chunk: int, n_chunks: int, logits: Any, labels: Any, factor: Any, out: Any) -> None:
    """Write ``factor * (softmax(logits) - onehot(labels))`` into ``out`` (N, K)."""
    first, last = _bounds(logits.shape[0], chunk, n_chunks)
    K = logits.shape[1]
    if K >= LONG:
        for row in range(first, last):
            cross_entropy_grad_of_row(logits, labels, row, factor, out)
        return
    T = _tile_rows(K, logits.itemsize)
    Z, b = empty_tile(K, T, logits.dtype), np.zeros(K, logits.dtype)
    F, M = np.empty(padded_rows(T), logits.dtype), np.empty(padded_rows(T), logits.dtype)
    absent = np.empty((0, 0), logits.dtype)
    for start in range(first, last, T):
        n = min(T, last - start)
        take_rows(logits, start, n, Z)
        losses(Softmax(K), labels, absent, start, n, b, Z, F, M)
        put_rows(Z, n, factor, out, start)
