"""Approximate Hessians that are cheap to invert.

For two classes the Hessian itself, for more a Kronecker product, for very many columns the diagonal.
"""

from collections.abc import Callable

import numpy as np

from fastlogit.cholesky import cholesky
from fastlogit.objective import Array, Objective
from fastlogit.reads import Reads

#: For more columns than this a Gram matrix and its factorisations take too much time and memory.
LARGEST_GRAM = 4096
# Added to the unit diagonal of a matrix: a preconditioner need not distinguish singular from nearly singular.
_RIDGE = 1e-10
# Class directions' curvatures are raised to at least this share of the largest,
_SMALLEST_CURVATURE = 1e-3
# and divided into at most this many groups, each with one factorisation.
_FACTORS = 6


def preconditioner(objective: Objective, x: Array) -> Reads[Callable[[Array], Array]]:
    """Return the approximate inverse Hessian at ``x`` (n,), as a function of a vector (n,); at most two reads of X."""
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
    """Return ``(H + ridge)^-1`` as a function of vectors (n,) or (n, m); the ridge is 1e-10 of the diagonal."""
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
    """Return the inverse of about ``G (x) S + P`` as a function of a flat vector; two reads of X, meant for a sample.

    ``G = sum_i s_i x~_i x~_i'`` is the Gram matrix of the scaled columns, ``S`` the mean over rows of
    ``diag(p) - p p'`` at ``x``, and ``P`` the penalty's second derivative. With ``S = Q Lambda Q'`` the class
    directions q, the columns of Q, decouple: each has its own matrix ``Lambda_q G + P``. Directions of nearly the same
    curvature share a factorisation. The direction of equal changes of all classes, in which S is 0, gets the mean
    curvature.

    Eigenvectors of G would serve all directions exactly; factorisations take a tenth of the time at 784 columns, and
    Ctrl-C takes effect between their blocks.
    """
    size, K = objective.shape
    gram, S = yield from objective.mean_curvature(x)
    S = S + np.trace(S) / K / K
    values, Q = np.linalg.eigh(S)
    largest = values[-1] if values[-1] > 0.0 else 1.0 / K  # S is 0: offsets make every p 0 or 1
    values = np.maximum(values, _SMALLEST_CURVATURE * largest)
    # P is 0 for the intercept, and everywhere if C is infinite: at least a trace of the curvature takes its place
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
    """Return slices that group ascending positive values by at most `_FACTORS` equal intervals of their logarithms."""
    step = np.log(values[-1] / values[0]) / _FACTORS
    places = np.zeros(len(values)) if step == 0.0 else np.minimum(np.log(values / values[0]) // step, _FACTORS - 1)
    ends = [0, *(np.flatnonzero(np.diff(places)) + 1), len(values)]
    return [slice(int(a), int(b)) for a, b in zip(ends, ends[1:], strict=False)]
