"""Margins and probabilities of the rows of a storage, in one read of X."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.kernels.losses import Loss
from fastlogit.kernels.machine.jit import n_chunks, read_only
from fastlogit.kernels.passes import first_order

# A part is one kernel call, and Ctrl-C waits for its end: 256 MiB of X take 15 ms if memory bandwidth is the limit, 4e9
# multiply-adds 100 ms if arithmetic is.
_PART_BYTES = 1 << 28
_PART_PRODUCTS = 1 << 32
# Products for a Hessian are twice as fast, and larger parts have fewer Hessians to be added up.
_GRAM_PRODUCTS = 1 << 33


def parts(storage: Any, K: int, rows_per_part: int | None = None) -> list[tuple[int, int]]:
    """Return the parts ``(first, last)`` of a storage's rows, by default of a size that the shape alone decides."""
    n_samples = storage.shape[0]
    if rows_per_part is None:
        size = max(1, storage.row_bytes)
        products = 2 * storage.row_elements * K
        rows_per_part = max(64, min(_PART_BYTES // size, _PART_PRODUCTS // products) // 64 * 64)
    return [(first, min(first + rows_per_part, n_samples)) for first in range(0, n_samples, rows_per_part)]


def cut_by_products(parts: list[tuple[int, int]], products_per_row: int) -> list[tuple[int, int]]:
    """Return the parts, cut into smaller ones where a row takes many products: each a kernel call of about 100 ms."""
    size = max(64, _GRAM_PRODUCTS // max(1, products_per_row) // 64 * 64)
    return [(first, min(first + size, last)) for begin, last in parts for first in range(begin, last, size)]


_NO_OFFSET = read_only(np.empty((0, 0)))


def _walk(
    run: Callable[..., None], storage: Any, rows: tuple[int, int] | None, K: int, out: NDArray[Any], *args: Any
) -> NDArray[Any]:
    """Run a kernel over the parts of the rows, each of which writes its rows of ``out``."""
    begin, end = rows or (0, storage.shape[0])
    for first, last in parts(storage, K):
        low, high = max(first, begin), min(last, end)
        if low < high:
            chunks = n_chunks(high - low, 1, storage.products(K))
            run(chunks, storage, *args, low, high, out[low - begin : high - begin])
    return out


def _n_rows(storage: Any, rows: tuple[int, int] | None) -> int:
    return int(storage.shape[0] if rows is None else rows[1] - rows[0])


def decision_function(
    storage: Any,
    W: NDArray[np.float64],
    center: NDArray[np.float64],
    dtype: Any,
    offset: NDArray[Any] = _NO_OFFSET,
    rows: tuple[int, int] | None = None,
) -> NDArray[Any]:
    """Return the margins ``z_ik = sum_j (x_ij - center_j) W_jk + W_nk + offset_ik``.

    Parameters
    ----------
    storage : Storage
        The rows of X.
    W : ndarray (n_features + 1, K)
        Coefficients, intercepts in the last row.
    center : ndarray (n_features,)
        The coefficients act on ``x - center``.
    dtype : dtype
        Computing type, and that of the result: float32 or float64.
    offset : ndarray (n_samples, K), optional
        Added to the margins; read-only.
    rows : (first, last), optional
        Row range; by default all rows.

    Returns
    -------
    ndarray (last - first, K)
        The margins.
    """
    out = np.empty((_n_rows(storage, rows), W.shape[1]), dtype)
    packed = storage.pack(W, center, dtype)
    return _walk(first_order.decision, storage, rows, W.shape[1], out, offset, *packed)


def predict_proba(
    storage: Any,
    loss: Loss,
    W: NDArray[np.float64],
    center: NDArray[np.float64],
    dtype: Any,
    offset: NDArray[Any] = _NO_OFFSET,
    rows: tuple[int, int] | None = None,
) -> NDArray[Any]:
    """Return the class probabilities (last - first, n_classes); other parameters as in `decision_function`."""
    out = np.empty((_n_rows(storage, rows), loss.n_classes), dtype)
    packed = storage.pack(W, center, dtype)
    return _walk(first_order.predict_proba, storage, rows, W.shape[1], out, offset, loss, *packed)
