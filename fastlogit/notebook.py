"""Training by gradient descent, one read of X an epoch: the fused form of two functions of `fastlogit.reference`.

Names, arguments and numbers are those of the NumPy notebook that fastlogit began with; ``loss.mean`` of every epoch
agrees. A *read of X* is one pass over all its elements.
"""

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
    """A trained classifier: ``forward(vectors)`` returns probabilities.

    Attributes
    ----------
    history : list of float
        The mean loss in nats per row, before each epoch's step.
    """

    def __init__(self, loss: Loss, W: NDArray[np.float64], center: NDArray[np.float64], history: list[float]) -> None:
        self._loss, self._W, self._center, self.history = loss, W, center, history

    def __call__(self, vectors: ArrayLike, *, n_threads: int | None = None) -> Any:
        """Return the probability of True, or of each of K classes.

        Parameters
        ----------
        vectors : array_like or frame (M, D) or (D,)
            The rows to classify, or one row; read once, in the type that they are stored in.
        n_threads : int, optional
            Threads of the kernels; by default all.

        Returns
        -------
        ndarray (M,), or (M, K) for K classes
            Without the first axis for one row. float32 if the vectors are float32 or narrower, else float64. A row with
            NaN has NaN.

        Raises
        ------
        TypeError, ValueError
            If the vectors are not a matrix of real numbers, or their number of columns is not that of training.
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
    """Train by gradient descent on all rows: one read of X for the moments and one for each epoch."""
    moments = source.moments()
    mean, deviation = moments.mean, np.sqrt(moments.variance) + epsilon
    center = mean.astype(source.dtype).astype(np.float64)
    rounding = center - mean  # for float32: the mean itself is rarely a float32 number
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
    """Return the source of the rows with their class codes; ``loss_of`` makes the loss of a number of classes."""
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
    """Train a logistic regression of two classes by gradient descent on all rows.

    The fused form of `fastlogit.reference.binary_classifier_from`. Columns are standardised inside the pass,
    ``(x - mean) / (std + epsilon)``, with the population's standard deviation. With ``p = sigmoid(x w + b)`` each epoch
    takes one step against the gradient of the *sum* of losses:

        ``w -= learning_rate * sum_i (p_i - y_i) x_i``,  ``b -= learning_rate * sum_i (p_i - y_i)``

    The recorded loss is the one before the step, ``mean(-y ln(p + epsilon) - (1 - y) ln(1 - p + epsilon))``.

    Parameters
    ----------
    X : array_like or frame (N, D)
        The rows: float32, float64, integers or booleans, in C or F order; read in place, never copied or written.
        `fastlogit.sources.intake.as_storage` lists what is converted first.
    Y : array_like (N,) of bool
        The labels; also integers 0 and 1.
    epochs : int
        Number of steps; 0 gives the untrained classifier.
    learning_rate : float
        Factor of the summed gradient: for N rows begin at about 1 / N.
    epsilon : float
        Positive; added to standard deviations and inside logarithms.
    seed : int
        Coefficients start as ``RandomState(seed).randn(D)``, the intercept at 0. NumPy's global state is not used.
    callback : callable, optional
        Called as ``callback(epoch, loss_mean)`` after each step.
    verbose : bool
        Print ``loss.mean=...`` each epoch.
    n_threads : int, optional
        Threads of the kernels, by default all; the bits of the result do not depend on it.

    Returns
    -------
    forward : Forward
        ``forward(vectors)`` maps rows (M, D) to probabilities of True (M,); ``forward.history`` lists the losses, in
        nats per row.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described; the message names it, what it has, and what is needed.

    Notes
    -----
    ``epochs + 1`` reads of X. Memory besides X: at most 64 MiB, and the labels as bytes unless they are booleans or
    uint8. float32 data are computed in float32 and added up in float64. For float64 data the history equals the
    reference's to 1e-12.
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
    """Train a softmax regression of K classes by gradient descent on all rows.

    The fused form of `fastlogit.reference.multiclass_classifier_from`; like `binary_classifier_from`, with
    ``softmax(x W + b) - onehot(y)`` in the place of ``p - y``. The recorded loss is the mean cross-entropy before the
    step.

    Parameters
    ----------
    X : array_like or frame (N, D)
        The rows.
    Y : array_like (N,) of int
        Class codes 0 to K - 1; K is the largest plus 1.
    epochs, learning_rate, epsilon, callback, verbose, n_threads
        As in `binary_classifier_from`; ``epsilon`` is added to standard deviations only.
    seed : int
        Coefficients start as ``RandomState(seed).randn(D, K)``, intercepts at 0.

    Returns
    -------
    forward : Forward
        ``forward(vectors)`` maps rows (M, D) to probabilities (M, K); ``forward.history`` lists the losses, in nats per
        row.

    Raises
    ------
    TypeError, ValueError
        As in `binary_classifier_from`.
    """
    _check(epochs, learning_rate, epsilon)
    source = _source(X, Y, None, Softmax)
    start = np.random.RandomState(seed).randn(source.n_features, source.n_classes)
    with threads(n_threads):
        return _train(source, start, epochs, learning_rate, epsilon, callback, verbose)
