"""Softmax, cross-entropy and its gradient, of given logits: the fused form of those of `fastlogit.reference`."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastlogit.kernels.machine.jit import LOSS_PRODUCTS, n_chunks, read_only, threads
from fastlogit.kernels.passes import logits as passes


def _as_logits(values: ArrayLike, name: str) -> NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {array.dtype}, but real numbers are needed")
    return array if array.dtype in (np.float32, np.float64) and array.dtype.isnative else array.astype(np.float64)


def _output(out: NDArray[Any] | None, like: NDArray[Any]) -> NDArray[Any]:
    """Return an array for the result: ``out`` if it is one, else a new one."""
    if out is None:
        return np.empty(like.shape, like.dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out is a {type(out).__name__}, but a NumPy array is needed")
    if out.shape != like.shape or out.dtype != like.dtype or not out.flags.c_contiguous or not out.flags.writeable:
        kind = f"{out.dtype} {out.shape}{'' if out.flags.c_contiguous else ' not in C order'}"
        raise ValueError(
            f"out is {kind}{'' if out.flags.writeable else ' and read-only'}, but the result needs a writable array "
            f"{like.dtype} {like.shape} in C order"
        )
    if np.shares_memory(out, like):
        raise ValueError("out overlaps the input, which is read after out is written to: give an array of its own")
    return out


def softmax(
    x: ArrayLike, axis: int = -1, *, out: NDArray[Any] | None = None, n_threads: int | None = None
) -> NDArray[Any]:
    """Return ``e^x / sum e^x`` along an axis, the largest element subtracted first.

    Parameters
    ----------
    x : array_like
        Logits, of any shape.
    axis : int
        The axis of the classes.
    out : ndarray, optional
        Receives the result: an array in C order of the result's shape and type, apart from x. Without it a third of the
        time goes into new memory.
    n_threads : int, optional
        Threads of the kernel; by default all.

    Returns
    -------
    ndarray
        Of the shape of x; float32 if x is, else float64. ``out`` if given.

    Raises
    ------
    numpy.exceptions.AxisError
        If x has no such axis.
    TypeError, ValueError
        If x does not have real numbers, or out is not as described.

    Notes
    -----
    One read of x and one write, in parallel. An array that is not in C order is copied first.
    """
    z = _as_logits(x, "x")
    axis = np.lib.array_utils.normalize_axis_index(axis, z.ndim)
    out = _output(out, z)
    if z.size == 0:
        return out
    outer, K = int(np.prod(z.shape[:axis])), z.shape[axis]
    inner = z.size // (outer * K)
    cube = read_only(np.ascontiguousarray(z)).reshape(outer, K, inner)
    with threads(n_threads):
        if inner == 1:
            passes.softmax_of_rows(n_chunks(outer, 1, LOSS_PRODUCTS * K), cube[:, :, 0], out.reshape(outer, K))
        else:
            passes.softmax_of_columns(n_chunks(outer * inner, 1, LOSS_PRODUCTS * K), cube, out.reshape(outer, K, inner))
    return out


def _as_matrix(logits: ArrayLike, labels: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    z = _as_logits(logits, "logits")
    if z.ndim != 2 or 0 in z.shape:
        raise ValueError(f"logits have shape {z.shape}, but (N, K) with at least one row and class is needed")
    codes = np.asarray(labels)
    if codes.dtype.kind not in "biu":
        raise TypeError(f"labels have dtype {codes.dtype}: class codes 0, 1, ... are needed as integers")
    if codes.shape != (z.shape[0],):
        raise ValueError(f"labels have shape {codes.shape}, but logits {z.shape} need ({z.shape[0]},)")
    if codes.min() < 0 or codes.max() >= z.shape[1]:
        row = int(np.flatnonzero((codes < 0) | (codes >= z.shape[1]))[0])
        raise ValueError(f"labels have {codes[row]} in row {row}, but class codes go from 0 to {z.shape[1] - 1}")
    smallest = next(t for t in (np.uint8, np.uint16, np.uint32) if z.shape[1] - 1 <= np.iinfo(t).max)
    return read_only(np.ascontiguousarray(z)), read_only(np.ascontiguousarray(codes, dtype=smallest))


def cross_entropy_loss(logits: ArrayLike, labels: ArrayLike, *, n_threads: int | None = None) -> float:
    """Return the mean over rows of ``-ln softmax(logits)[label]``.

    Parameters
    ----------
    logits : array_like (N, K)
        Margins; float32 and float64 are used without conversion, other types are converted to float64.
    labels : array_like (N,) of int
        Class codes 0 to K - 1.
    n_threads : int, optional
        Threads of the kernel; by default all.

    Returns
    -------
    float
        The loss in nats per row.

    Raises
    ------
    TypeError
        If logits are not real numbers, or labels not integers.
    ValueError
        If the shapes do not match or a label is out of range; the message names the row.

    Notes
    -----
    One read of the logits, in parallel. Logits in C order are not copied, and no array of their size is allocated.
    """
    z, codes = _as_matrix(logits, labels)
    totals = np.empty(n_chunks(len(z), 1, LOSS_PRODUCTS * z.shape[1]))
    with threads(n_threads):
        passes.cross_entropy(totals.size, z, codes, totals)
    return float(totals.sum() / len(z))


def grad_of_loss_wrt_logits(
    logits: ArrayLike, labels: ArrayLike, *, out: NDArray[Any] | None = None, n_threads: int | None = None
) -> NDArray[Any]:
    """Return the gradient of `cross_entropy_loss`: ``(softmax(logits) - onehot(labels)) / N``, shape (N, K).

    Parameters and errors as in `cross_entropy_loss`, ``out`` as in `softmax`; float32 if the logits are, else float64.
    One read of the logits and one write. The entry of a row's own label is computed as minus the sum of the others, so
    that it keeps its digits where that label's probability is near 1.
    """
    z, codes = _as_matrix(logits, labels)
    out, chunks = _output(out, z), n_chunks(len(z), 1, LOSS_PRODUCTS * z.shape[1])
    with threads(n_threads):
        passes.cross_entropy_grad(chunks, z, codes, z.dtype.type(1.0 / len(z)), out)
    return out
