"""The notebook's functions, fused: the same names, numbers and traces as `fastlogit.reference`, at memory speed."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastlogit.kernels.losses import Loss, NotebookLogistic, Softmax
from fastlogit.kernels.machine.jit import n_chunks, read_only, threads
from fastlogit.kernels.passes import logits as passes
from fastlogit.kernels.storages.storage import margins_at
from fastlogit.prediction import predict_proba
from fastlogit.sources.block import Block
from fastlogit.sources.frames import names_of
from fastlogit.sources.intake import as_storage
from fastlogit.sources.memory import MemorySource
from fastlogit.sources.sums import n_margins
from fastlogit.sources.targets import as_codes, as_offset, as_weight, targets_of

Callback = Callable[[int, float], None]


class Forward:
    """A trained classifier: ``forward(vectors)`` gives probabilities.

    Attributes
    ----------
    history : list of float
        The mean loss before each epoch's step.
    """

    def __init__(self, loss: Loss, W: NDArray[np.float64], center: NDArray[np.float64], history: list[float]) -> None:
        self._loss, self._W, self._center, self.history = loss, W, center, history

    def __call__(self, vectors: ArrayLike, *, n_threads: int | None = None) -> Any:
        """Return the probability of True (M,), or of each class (M, K), of vectors (M, D); of one vector (D,) alike.

        One read of the vectors, in the type that they are stored in. A NaN in a row gives NaN for that row.

        Raises
        ------
        ValueError
            If the vectors do not have the columns that the classifier was trained on.
        """
        X: Any = vectors if hasattr(vectors, "shape") else np.asarray(vectors)
        is_one = len(X.shape) == 1
        if is_one:
            X = X.reshape(1, -1)
            X = X.tocsr() if hasattr(X, "tocsr") else X
        storage, dtype = as_storage(X, "vectors")
        if storage.shape[1] != len(self._center):
            raise ValueError(
                f"vectors have {storage.shape[1]} columns, but the classifier was trained on {len(self._center)}"
            )
        center = self._center.astype(dtype).astype(np.float64)
        W = self._W.copy()
        W[-1] += margins_at(center - self._center, W[:-1])
        with threads(n_threads):
            p = predict_proba(storage, self._loss, W, center, dtype)
        p = p[:, 1] if isinstance(self._loss, NotebookLogistic) else p
        return p[0] if is_one else p


def _train(
    source: Any,
    start: NDArray[np.float64],
    epochs: int,
    learning_rate: float,
    epsilon: float,
    callback: Callback | None,
    verbose: bool,
) -> Forward:
    """Gradient descent on all rows: one read of X for the moments and one for each epoch."""
    moments = source.moments()
    mean, deviation = moments.mean, np.sqrt(moments.variance) + epsilon
    center = mean.astype(source.dtype).astype(np.float64)
    rounding = center - mean  # not 0 for float32: the mean itself is then no float32 number
    W, b = start, np.zeros(start.shape[1])

    def coefficients() -> NDArray[np.float64]:
        scaled = W / deviation[:, None]
        return np.vstack([scaled, b + margins_at(rounding, scaled)])

    history: list[float] = []
    for epoch in range(epochs):
        sums = source.loss_grad(coefficients(), center)
        residual = sums.grad[-1]
        W = W - learning_rate * (sums.grad[:-1] + np.outer(rounding, residual)) / deviation[:, None]
        b = b - learning_rate * residual
        loss = sums.loss_sum / source.n_samples
        history.append(loss)
        if verbose:
            print(f"loss.mean={loss}")
        if callback is not None:
            callback(epoch, loss)
    return Forward(source.loss, coefficients(), center, history)


def _source(X: Any, Y: Any, n_classes: int | None, loss_of: Callable[[int], Loss]) -> MemorySource:
    """Return the rows with their codes, and the loss for as many classes."""
    storage, _ = as_storage(X)
    n_samples = storage.shape[0]
    codes = as_codes(Y, n_samples, n_classes)
    loss = loss_of(int(codes.max()) + 1)
    offset = as_offset(None, n_samples, n_margins(loss.n_classes))
    targets = targets_of(codes, loss, as_weight(None, n_samples), None, offset)
    return MemorySource([Block(storage, targets, loss)], names_of(X))


def _check(epochs: int, learning_rate: float, epsilon: float) -> None:
    if epochs < 0:
        raise ValueError(f"epochs={epochs}, but a number of at least 0 is needed")
    if not np.isfinite(learning_rate):
        raise ValueError(f"learning_rate={learning_rate}, but a finite number is needed")
    if not (np.isfinite(epsilon) and epsilon > 0):
        raise ValueError(f"epsilon={epsilon}, but a positive number is needed")


def binary_classifier_from(
    X: ArrayLike,
    Y: ArrayLike,
    *,
    epochs: int = 200,
    learning_rate: float = 0.001,
    epsilon: float = 1e-5,
    seed: int = 42,
    callback: Callback | None = None,
    verbose: bool = False,
    n_threads: int | None = None,
) -> Forward:
    """Train the notebook's binary classifier by gradient descent on all rows.

    Columns are standardised inside the pass, ``(x - mean) / (std + epsilon)``, with the population deviation. Each
    epoch steps along the gradient of the *sum* of losses, ``p - y`` for each row. The recorded loss is the one before
    the step, ``mean(-y ln(p + epsilon) - (1 - y) ln(1 - p + epsilon))``.

    Parameters
    ----------
    X : array_like (N, D)
        The rows: float32, float64, integers or booleans, in C or F order; read as they lie, never copied or written.
        What must be converted whole is listed in `fastlogit.sources.intake.as_storage`.
    Y : array_like (N,) of bool
        The labels; also integers 0 and 1.
    epochs : int
        Steps; 0 gives the untrained classifier.
    learning_rate : float
        Step length for the summed gradient: for N rows about 1 / N is a beginning.
    epsilon : float
        Keeps deviations and logarithms from 0.
    seed : int
        Coefficients start as ``RandomState(seed).randn(D)``, the intercept at 0. NumPy's global state is left alone.
    callback : callable, optional
        Called as ``callback(epoch, loss_mean)`` after each step.
    verbose : bool
        Print the notebook's line ``loss.mean=...`` each epoch.
    n_threads : int, optional
        Threads of the kernels; the bits of the result do not depend on it.

    Returns
    -------
    forward : Forward
        ``forward(vectors)`` (M, D) -> probabilities (M,), with the list of losses as ``forward.history``.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what it has, and what is needed.

    Notes
    -----
    ``epochs + 1`` reads of X. Beyond X: at most 64 MiB, and the labels as bytes unless they are booleans or uint8.
    float32 data are computed in float32, added up in float64. The trace of float64 data equals the reference's to
    1e-12.
    """
    _check(epochs, learning_rate, epsilon)
    source = _source(X, Y, 2, lambda n_classes: NotebookLogistic(float(epsilon)))
    start = np.random.RandomState(seed).randn(source.n_features)[:, None]
    with threads(n_threads):
        return _train(source, start, epochs, learning_rate, epsilon, callback, verbose)


def multiclass_classifier_from(
    X: ArrayLike,
    Y: ArrayLike,
    *,
    epochs: int = 200,
    learning_rate: float = 0.001,
    epsilon: float = 1e-5,
    seed: int = 42,
    callback: Callback | None = None,
    verbose: bool = False,
    n_threads: int | None = None,
) -> Forward:
    """Train the same for K classes: softmax, with ``softmax - onehot`` for each row.

    ``Y`` (N,) holds the codes 0 to K - 1, K being the largest plus 1. Coefficients start as
    ``RandomState(seed).randn(D, K)``, intercepts at 0; the recorded loss is the mean cross-entropy before the step;
    ``forward(vectors)`` gives probabilities (M, K). Otherwise as `binary_classifier_from`.
    """
    _check(epochs, learning_rate, epsilon)
    source = _source(X, Y, None, Softmax)
    start = np.random.RandomState(seed).randn(source.n_features, source.n_classes)
    with threads(n_threads):
        return _train(source, start, epochs, learning_rate, epsilon, callback, verbose)


def _as_logits(values: ArrayLike, name: str) -> NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {array.dtype}, but real numbers are needed")
    return array if array.dtype in (np.float32, np.float64) and array.dtype.isnative else array.astype(np.float64)


def softmax(x: ArrayLike, axis: int = -1, *, n_threads: int | None = None) -> NDArray[Any]:
    """Return ``e^x / sum e^x`` along an axis, the largest element subtracted first.

    Parameters
    ----------
    x : array_like
        Logits of any shape; float32 gives float32, all else float64.
    axis : int
        The classes' axis.
    n_threads : int, optional
        Threads of the kernel.

    Returns
    -------
    ndarray of the shape of x

    Raises
    ------
    numpy.exceptions.AxisError
        If there is no such axis.
    TypeError
        If x is not real.

    Notes
    -----
    One read of x and one write, in parallel. An array that is not in C order is copied first.
    """
    z = _as_logits(x, "x")
    axis = np.lib.array_utils.normalize_axis_index(axis, z.ndim)
    out = np.empty(z.shape, z.dtype)
    if z.size == 0:
        return out
    outer, K = int(np.prod(z.shape[:axis])), z.shape[axis]
    inner = z.size // (outer * K)
    cube = read_only(np.ascontiguousarray(z)).reshape(outer, K, inner)
    with threads(n_threads):
        if inner == 1:
            passes.softmax_of_rows(n_chunks(outer, 1), cube[:, :, 0], out.reshape(outer, K))
        else:
            passes.softmax_of_columns(n_chunks(outer * inner, 1), cube, out.reshape(outer, K, inner))
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
        Margins; float32 and float64 as they lie, all else converted to float64.
    labels : array_like (N,)
        Class codes 0 to K - 1.
    n_threads : int, optional
        Threads of the kernel.

    Raises
    ------
    TypeError, ValueError
        If the shapes do not match or a label is out of range; the message names the row.

    Notes
    -----
    One read of the logits, in parallel; nothing of their size is made.
    """
    z, codes = _as_matrix(logits, labels)
    totals = np.empty(n_chunks(len(z), 1))
    with threads(n_threads):
        passes.cross_entropy(totals.size, z, codes, totals)
    return float(totals.sum() / len(z))


def grad_of_loss_wrt_logits(logits: ArrayLike, labels: ArrayLike, *, n_threads: int | None = None) -> NDArray[Any]:
    """Return the gradient of `cross_entropy_loss`: ``(softmax(logits) - onehot(labels)) / N``, shape (N, K).

    Parameters and errors as in `cross_entropy_loss`; one read of the logits and one write. The label's own entry is
    computed as minus the sum of the others, so that it does not cancel when its probability nears 1.
    """
    z, codes = _as_matrix(logits, labels)
    out = np.empty(z.shape, z.dtype)
    with threads(n_threads):
        passes.cross_entropy_grad(n_chunks(len(z), 1), z, codes, z.dtype.type(1.0 / len(z)), out)
    return out
