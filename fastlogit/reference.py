"""The specification in plain NumPy, float64: what the compiled code is tested against.

The first five functions are those of the NumPy notebook that fastlogit began with; `objective` is the exact penalised
objective with its gradient and Hessian.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Forward = Callable[[ArrayLike], NDArray[np.float64]]


def softmax(x: ArrayLike, axis: int = -1) -> NDArray[np.float64]:
    """Return ``e^x / sum e^x`` along an axis, the largest element subtracted first; of the shape of x."""
    x = np.asarray(x, dtype=np.float64)
    powers: NDArray[np.float64] = np.exp(x - x.max(axis=axis, keepdims=True))
    powers /= powers.sum(axis=axis, keepdims=True)
    return powers


def cross_entropy_loss(logits: ArrayLike, labels: ArrayLike) -> float:
    """Return the mean over rows of ``-ln softmax(logits)[label]``.

    Parameters
    ----------
    logits : array_like (N, K)
        Margins.
    labels : array_like (N,) of int
        Class codes 0 to K - 1.

    Returns
    -------
    float
        The loss in nats per row.
    """
    z = np.asarray(logits, dtype=np.float64)
    labels = np.asarray(labels)
    z = z - z.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), labels]))


def grad_of_loss_wrt_logits(logits: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Return the gradient of `cross_entropy_loss`: ``(softmax(logits) - onehot(labels)) / N``, shape (N, K)."""
    grad = softmax(logits, axis=1)
    grad[np.arange(len(grad)), np.asarray(labels)] -= 1.0
    return grad / len(grad)


def _sigmoid(z: NDArray[np.float64]) -> NDArray[np.float64]:
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, e) / (1.0 + e)


def binary_classifier_from(
    X: ArrayLike,
    Y: ArrayLike,
    *,
    epochs: int = 200,
    learning_rate: float = 0.001,
    epsilon: float = 1e-5,
    seed: int = 42,
    callback: Callable[[int, float], None] | None = None,
    verbose: bool = False,
) -> Forward:
    """Train a logistic regression of two classes by gradient descent on all rows.

    Columns are standardised, ``(x - mean) / (std + epsilon)``, with the population's standard deviation. With
    ``p = sigmoid(x w + b)`` each epoch takes one step against the gradient of the *sum* of losses:

        ``w -= learning_rate * sum_i (p_i - y_i) x_i``,  ``b -= learning_rate * sum_i (p_i - y_i)``

    The recorded loss is the one before the step, ``mean(-y ln(p + epsilon) - (1 - y) ln(1 - p + epsilon))``.

    Parameters
    ----------
    X : array_like (N, D)
        The rows.
    Y : array_like (N,) of bool
        The labels.
    epochs, learning_rate, epsilon
        As above.
    seed : int
        Coefficients start as ``RandomState(seed).randn(D)``, the intercept at 0.
    callback : callable, optional
        Called as ``callback(epoch, loss_mean)`` after each step.
    verbose : bool
        Print ``loss.mean=...`` each epoch.

    Returns
    -------
    forward : callable
        ``forward(vectors)`` maps rows (M, D) to probabilities of True (M,); ``forward.history`` lists the losses.
    """
    X = np.asarray(X, dtype=np.float64)
    labels = np.asarray(Y) * 1.0
    W = np.random.RandomState(seed).randn(X.shape[1])
    b = 0.0
    mean, std = X.mean(axis=0), X.std(axis=0)

    def forward(vectors: ArrayLike) -> NDArray[np.float64]:
        return _sigmoid((np.asarray(vectors, dtype=np.float64) - mean) / (std + epsilon) @ W + b)

    history: list[float] = []
    for epoch in range(epochs):
        p = forward(X)
        losses = -labels * np.log(p + epsilon) - (1.0 - labels) * np.log(1.0 - p + epsilon)
        residual = p - labels
        W = W - learning_rate * (((X - mean) / (std + epsilon)).T @ residual)
        b = b - learning_rate * residual.sum()
        _record(history, float(losses.mean()), epoch, callback, verbose)
    forward.history = history  # type: ignore[attr-defined]
    return forward


def multiclass_classifier_from(
    X: ArrayLike,
    Y: ArrayLike,
    *,
    epochs: int = 200,
    learning_rate: float = 0.001,
    epsilon: float = 1e-5,
    seed: int = 42,
    callback: Callable[[int, float], None] | None = None,
    verbose: bool = False,
) -> Forward:
    """Train a softmax regression of K classes by gradient descent on all rows.

    As `binary_classifier_from`, with ``softmax(x W + b) - onehot(y)`` in the place of ``p - y``. ``Y`` (N,) has class
    codes 0 to K - 1; K is the largest plus 1. Coefficients start as ``RandomState(seed).randn(D, K)``, intercepts at 0.
    The recorded loss is the mean cross-entropy before the step; ``forward(vectors)`` returns probabilities (M, K).
    """
    X = np.asarray(X, dtype=np.float64)
    labels = np.asarray(Y)
    K = int(labels.max()) + 1
    onehot = np.eye(K)[labels]
    W = np.random.RandomState(seed).randn(X.shape[1], K)
    b = np.zeros(K)
    mean, std = X.mean(axis=0), X.std(axis=0)

    def logits(vectors: ArrayLike) -> NDArray[np.float64]:
        product: NDArray[np.float64] = (np.asarray(vectors, dtype=np.float64) - mean) / (std + epsilon) @ W + b
        return product

    def forward(vectors: ArrayLike) -> NDArray[np.float64]:
        return softmax(logits(vectors), axis=-1)

    history: list[float] = []
    for epoch in range(epochs):
        z = logits(X)
        residual = softmax(z, axis=1) - onehot
        loss = cross_entropy_loss(z, labels)
        W = W - learning_rate * (((X - mean) / (std + epsilon)).T @ residual)
        b = b - learning_rate * residual.sum(axis=0)
        _record(history, loss, epoch, callback, verbose)
    forward.history = history  # type: ignore[attr-defined]
    return forward


def _record(
    history: list[float], loss: float, epoch: int, callback: Callable[[int, float], None] | None, verbose: bool
) -> None:
    history.append(loss)
    if verbose:
        print(f"loss.mean={loss}")
    if callback is not None:
        callback(epoch, loss)


def objective(
    W: ArrayLike,
    X: ArrayLike,
    y: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    C: float = 1.0,
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Return the penalised objective with its gradient and Hessian.

    ``F(W) = sum_i s_i (ln sum_k e^{z_ik} - sum_k y_ik z_ik) + (1 / C) 1/2 ||w||^2`` with
    ``z_i = (x_i, 1) W + offset_i``. With K = 1 there are two classes, and the margin of class 0 is 0.

    Parameters
    ----------
    W : array_like (D + 1, K)
        Coefficients ``w``, intercepts in the last row; these are not penalised.
    X : array_like (N, D)
        The rows.
    y : array_like (N,) or (N, n_classes)
        Class codes, or probabilities.
    sample_weight : array_like (N,), optional
        The weights s.
    offset : array_like (N,) or (N, K), optional
        Added to the margins.
    C : float
        Inverse strength of the penalty, infinity for none.

    Returns
    -------
    value : float
        F(W).
    grad : ndarray (D + 1, K)
        d F / d W.
    hess : ndarray ((D + 1) K, (D + 1) K)
        Second derivatives by the elements of W in C order.
    """
    W, X = np.asarray(W, dtype=np.float64), np.asarray(X, dtype=np.float64)
    N, K = len(X), W.shape[1]
    ones = np.column_stack([X, np.ones(N)])
    s = np.ones(N) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    Z = ones @ W
    if offset is not None:
        Z = Z + np.asarray(offset, dtype=np.float64).reshape(N, K)
    y = np.asarray(y)
    n_classes = max(K, 2)
    Y = np.eye(n_classes)[y] if y.ndim == 1 else y.astype(np.float64)
    full = np.column_stack([np.zeros(N), Z]) if K == 1 else Z
    largest = full.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(full - largest).sum(axis=1)) + largest[:, 0]
    losses = Y.sum(axis=1) * log_sum - np.where(Y > 0, Y * full, 0.0).sum(axis=1)
    P = softmax(full, axis=1)
    R = P - Y
    if K == 1:
        P, R = P[:, 1:], R[:, 1:]
    penalty = np.full_like(W, 1.0 / C)
    penalty[-1] = 0.0
    value = float(s @ losses + 0.5 * np.sum(penalty * W**2))
    grad = ones.T @ (s[:, None] * R) + penalty * W
    hess = np.zeros((W.size, W.size))
    for k in range(K):
        for m in range(K):
            curvature = P[:, k] * ((k == m) - P[:, m])
            hess[k::K, m::K] = (ones * (s * curvature)[:, None]).T @ ones
    hess += np.diag(penalty.ravel())
    return value, grad, hess


__all__ = [
    "binary_classifier_from",
    "cross_entropy_loss",
    "grad_of_loss_wrt_logits",
    "multiclass_classifier_from",
    "objective",
    "softmax",
]
