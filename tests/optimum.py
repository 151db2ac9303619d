"""The optimum in extended precision, by plain Newton steps: what certificates are judged by."""

import numpy as np

LONG = np.longdouble


def value_and_derivatives(W, X, y, weight, offset, C):
    """Return F, gradient and a function that gives the Hessian, which takes nearly all of the time, in long double.

    As in `fastlogit.reference.objective`; y are probabilities.
    """
    N, K = len(X), W.shape[1]
    ones = np.column_stack([X, np.ones(N, LONG)])
    Z = ones @ W + offset
    full = np.column_stack([np.zeros(N, LONG), Z]) if K == 1 else Z
    largest = full.max(axis=1, keepdims=True)
    e = np.exp(full - largest)
    P = e / e.sum(axis=1, keepdims=True)
    losses = np.log(e.sum(axis=1)) + largest[:, 0] - np.sum(y * full, axis=1)
    R = P - y
    sure = y == 1  # nothing cancels where a row is of one class: the others' part is summed apart
    rows = sure.any(axis=1)
    others = np.where(sure, 0, np.exp(full - np.sum(np.where(sure, full, 0), axis=1, keepdims=True)))
    losses = np.where(rows, np.log1p(others.sum(axis=1)), losses)
    R = np.where(sure, -np.where(sure, 0, P).sum(axis=1, keepdims=True), R)[:, -K:]
    rest = (P @ (1 - np.eye(P.shape[1], dtype=LONG)))[:, -K:]  # what the other classes have
    P = P[:, -K:]
    penalty = np.full(W.shape, 1 / LONG(C))
    penalty[-1] = 0
    value = weight @ losses + np.sum(penalty * W**2) / 2
    grad = ones.T @ (weight[:, None] * R) + penalty * W

    def hess():
        H = np.zeros((W.size, W.size), LONG)
        for k in range(K):
            for m in range(k, K):
                c = weight * P[:, k] * (rest[:, k] if k == m else -P[:, m])
                H[k::K, m::K] = H[m::K, k::K] = (ones * c[:, None]).T @ ones
        return H + np.diag(penalty.ravel())

    return value, grad, hess


def true_value(W, X, y, sample_weight=None, offset=None, C=1.0):
    """Return F at W in long double: float64 would lose the digits of losses that are nearly 0."""
    W, X, y = np.asarray(W, LONG), np.asarray(X, LONG), np.asarray(y)
    N, K = len(X), W.shape[1]
    y = np.eye(max(K, 2), dtype=LONG)[y] if y.ndim == 1 else y.astype(LONG)
    weight = np.ones(N, LONG) if sample_weight is None else np.asarray(sample_weight, LONG)
    offset = np.zeros((N, K), LONG) if offset is None else np.asarray(offset, LONG).reshape(N, K)
    with np.errstate(over="ignore"):  # far from the optimum F may be infinite
        return value_and_derivatives(W, X, y, weight, offset, C)[0]


def value_grad_hess(W, X, y, weight, offset, C):
    """Return F, gradient and Hessian."""
    value, grad, hess = value_and_derivatives(W, X, y, weight, offset, C)
    return value, grad, hess()


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
        value, grad, hess = value_and_derivatives(U, Xs, y, weight, offset, np.inf)
        penalty = np.zeros(U.shape, LONG)
        penalty[:-1] = (1 / LONG(C) / scale**2)[:, None]
        return value + np.sum(penalty * U**2) / 2, grad + penalty * U, lambda: hess() + np.diag(penalty.ravel())

    rounding = len(X) * np.finfo(LONG).eps
    U = np.zeros((X.shape[1] + 1, K), LONG)
    value, grad, hess = at(U)
    for _ in range(steps):
        step = -solve(hess(), grad.ravel()).reshape(U.shape)
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


def dual_gap(X, y, C, W):
    """Return F at W and bound D on its gap, long double, for class codes y and any number of columns."""
    X, W, C = np.asarray(X, LONG), np.asarray(W, LONG), LONG(C)
    N, K, M = len(X), int(y.max()) + 1, W.shape[1]
    own = np.eye(K)[y] == 1
    Z = X @ W[:-1] + W[-1]
    full = np.column_stack([np.zeros(N, LONG), Z]) if M == 1 else Z
    e = np.where(own, 0, np.exp(full - np.sum(np.where(own, full, 0), axis=1, keepdims=True)))
    others = e.sum(axis=1)
    P = np.where(own, 1, e) / (1 + others)[:, None]
    R = np.where(own, -(others / (1 + others))[:, None], P)[:, -M:]
    value = np.log1p(others).sum() + np.sum(W[:-1] ** 2) / 2 / C
    g, g_b = X.T @ R + W[:-1] / C, R.sum(axis=0)
    if M == 1:
        c = (P[:, 0] * P[:, 1])[:, None]
        u = g_b / c.sum()
        changes = c * u
    else:
        P = P[:, -M:]

        def changes_along(u):
            d = u - u[y][:, None]  # from the own class on: nothing cancels where it is sure
            return P * (d - np.sum(P * d, axis=1, keepdims=True))

        columns = [changes_along(unit).sum(axis=0) for unit in np.eye(M, dtype=LONG)]
        inverse = np.linalg.pinv(np.array(columns, float), rcond=1e-13, hermitian=True)
        u = np.zeros(M, LONG)
        for _ in range(8):
            u = u + inverse @ (g_b - changes_along(u).sum(axis=0)).astype(float)
        changes = changes_along(u)
    if np.ptp(np.append(u, 0)) > 1:
        return value, np.inf
    return value, C * np.sum((g - X.T @ changes) ** 2) / 2 + np.sum(u * changes.sum(axis=0))
