"""Approximate Hessians that are cheap to invert: of one class itself, a Kronecker product, or the diagonal."""

from collections.abc import Callable

import numpy as np

from fastlogit.cholesky import cholesky
from fastlogit.objective import Array, Objective
from fastlogit.reads import Reads

#: With more columns than this their Gram matrix, and what its factors cost, are too large.
LARGEST_GRAM = 4096
# What is added to a matrix of unit diagonal: a preconditioner need not tell what is singular from what is nearly so.
_RIDGE = 1e-10
# Of the curvatures of the classes' directions, those below this share of the largest count as that,
_SMALLEST_CURVATURE = 1e-3
# and there is a factor for so many of them at most: the others take the nearest.
_FACTORS = 6


def preconditioner(objective: Objective, x: Array) -> Reads[Callable[[Array], Array]]:
    """Return an approximate inverse Hessian at ``x`` as a function of a flat vector; at most two reads of X."""
    if objective.source.n_features > LARGEST_GRAM:
        diagonal = (yield from objective.hess_diag(x)) if np.any(x) else objective.hess_diag_at_zero
        inverse = 1.0 / np.where(diagonal > 0.0, diagonal, 1.0)
        return lambda g: inverse * g
    if objective.shape[1] == 1:
        hess = (yield from objective.curvature_at(x, objective.source.dtype)).hess
        assert hess is not None
        return inverse_of(hess)
    return (yield from kronecker(objective, x))


def inverse_of(H: Array) -> Callable[[Array], Array]:
    """Return ``(H + ridge)^-1`` as a function of vectors (n,) or (n, m), the ridge 1e-10 of the diagonal."""
    from scipy.linalg import cho_solve

    diagonal = np.diag(H)
    scale = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    A = H * scale[:, None] * scale
    ridge = _RIDGE
    while True:
        L = cholesky(A + ridge * np.eye(len(A)))
        if L is not None:
            break
        ridge *= 100.0

    def solve(g: Array) -> Array:
        s = scale if g.ndim == 1 else scale[:, None]
        return np.asarray(s * cho_solve((L, True), s * g, check_finite=False))

    return solve


def kronecker(objective: Objective, x: Array) -> Reads[Callable[[Array], Array]]:
    """Return the inverse of about ``G (x) S + P`` as a function of a flat vector.

    ``G = sum_i s_i x~_i x~_i'`` is the Gram matrix of the scaled columns, ``S`` the mean over rows of
    ``diag(p) - p p'`` at ``x``, and ``P`` the penalty. With ``S = Q Lambda Q'`` the classes' directions q come apart,
    each with its own matrix ``Lambda_q G + P``. Directions of nearly the same curvature share a factor. That in which
    all classes move alike gets the mean curvature.

    Two reads of X: meant for a sample. Factors, and not eigenvectors of G, which would serve all directions exactly: a
    tenth of the time at 784 columns, and between the factors' blocks Ctrl-C is heard.
    """
    size, K = objective.shape
    gram, S = yield from objective.mean_curvature(x)
    S = S + np.trace(S) / K / K
    values, Q = np.linalg.eigh(S)
    largest = values[-1] if values[-1] > 0.0 else 1.0 / K  # offsets so large that every p is 0 or 1
    values = np.maximum(values, _SMALLEST_CURVATURE * largest)
    # the intercept's penalty, and every one where C is infinite, is 0: a trace of the curvature stands in
    penalty = np.diag(np.maximum(objective.smooth.by_column, 1e-8 * np.diag(gram) * values[-1]))
    groups = _alike(values)
    inverses = [inverse_of(gram * np.exp(np.log(values[group]).mean()) + penalty) for group in groups]

    def solve(g: Array) -> Array:
        rotated = g.reshape(size, K) @ Q
        for group, inverse in zip(groups, inverses, strict=True):
            rotated[:, group] = inverse(rotated[:, group])
        return np.asarray(rotated @ Q.T).ravel()

    return solve


def _alike(values: Array) -> list[slice]:
    """Return slices of ascending values, few enough, of equal ratios between their ends."""
    step = np.log(values[-1] / values[0]) / _FACTORS
    places = np.zeros(len(values)) if step == 0.0 else np.minimum(np.log(values / values[0]) // step, _FACTORS - 1)
    ends = [0, *(np.flatnonzero(np.diff(places)) + 1), len(values)]
    return [slice(int(a), int(b)) for a, b in zip(ends, ends[1:], strict=False)]
