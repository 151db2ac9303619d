"""The notebook's training loops, fused: the same names, numbers and traces as in `fastlogit.reference`."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastlogit.kernels.losses import Loss, NotebookLogistic, Softmax
from fastlogit.kernels.machine.jit import threads
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
