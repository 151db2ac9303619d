"""The optimum in extended precision, by plain Newton steps: what certificates are judged by."""

import numpy as np

LONG = np.longdouble


def value_grad_hess(W, X, y, weight, offset, C, fit_intercept=True):
    """Return F, gradient and Hessian in long double, as in `fastlogit.reference.objective`; y are probabilities."""
    N, K = len(X), W.shape[1]
    ones = np.column_stack([X, np.ones(N, LONG)])
    Z = ones @ W + offset
    full = np.column_stack([np.zeros(N, LONG), Z]) if K == 1 else Z
    largest = full.max(axis=1, keepdims=True)
    e = np.exp(full - largest)
    total = e.sum(axis=1, keepdims=True)
    P = e / total
    losses = np.log(total[:, 0]) + largest[:, 0] - np.sum(y * full, axis=1)
    R = (P - y)[:, -K:]
    P = P[:, -K:]
    penalty = np.full(W.shape, 1 / LONG(C))
    penalty[-1] = 0
    value = weight @ losses + np.sum(penalty * W**2) / 2
    grad = ones.T @ (weight[:, None] * R) + penalty * W
    hess = np.zeros((W.size, W.size), LONG)
    for k in range(K):
        for m in range(k, K):
            c = weight * P[:, k] * ((k == m) - P[:, m])
            hess[k::K, m::K] = hess[m::K, k::K] = (ones * c[:, None]).T @ ones
    hess += np.diag(penalty.ravel())
    return value, grad, hess


def solve(H, g):
    """Solve with refinement: the factor is float64's, the residual long double's."""
    scale = 1 / np.sqrt(np.maximum(np.diag(H), np.diag(H).max() * LONG(1e-30)))
    A = (H * scale[:, None] * scale).astype(float)
    inverse = np.linalg.pinv(A, rcond=1e-15, hermitian=True)
    x = np.zeros(len(g), LONG)
    for _ in range(4):
        x += (inverse @ ((g - H @ x) * scale).astype(float)) * scale
    return x


def optimum(X, y, *, sample_weight=None, offset=None, C=1.0, steps=60):
    """Return W and F at the minimum, long double."""
    X = np.asarray(X, LONG)
    y = np.asarray(y)
    if y.ndim == 1:
        y = np.eye(int(y.max()) + 1)[y]
    K = 1 if y.shape[1] == 2 else y.shape[1]
    weight = np.ones(len(X), LONG) if sample_weight is None else np.asarray(sample_weight, LONG)
    offset = np.zeros((len(X), K), LONG) if offset is None else np.asarray(offset, LONG).reshape(len(X), K)
    center, scale = X.mean(axis=0), X.std(axis=0)
    scale = np.where(scale > 0, scale, 1)
    # standardised columns, with the penalty of the data's own: a better conditioned problem with the same optimum
    Xs = (X - center) / scale

    def at(U):
        W = U.copy()
        W[:-1] /= scale[:, None]
        value, grad, hess = value_grad_hess(U, Xs, y, weight, offset, np.inf)
        penalty = np.zeros(U.shape, LONG)
        penalty[:-1] = (1 / LONG(C) / scale**2)[:, None]
        return value + np.sum(penalty * U**2) / 2, grad + penalty * U, hess + np.diag(penalty.ravel())

    rounding = len(X) * np.finfo(LONG).eps
    U = np.zeros((X.shape[1] + 1, K), LONG)
    value, grad, hess = at(U)
    for _ in range(steps):
        step = -solve(hess, grad.ravel()).reshape(U.shape)
        decrement = -np.sum(grad * step)
        t = LONG(1)
        while True:
            new = at(U + t * step)
            if new[0] <= value + rounding * abs(value) or t < 1e-10:  # which must not keep a last step back
                break
            t /= 2
        if decrement <= 1e-30 * abs(value) or t < 1e-10:
            break
        U, (value, grad, hess) = U + t * step, new
    W = U.copy()
    W[:-1] /= scale[:, None]
    W[-1] -= center @ W[:-1]
    return W, value
