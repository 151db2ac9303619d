"""Approximate Hessians that are cheap to invert: of one class itself, a Kronecker product, or the diagonal."""

from collections.abc import Callable

import numpy as np

from fastlogit.objective import Array, Objective
from fastlogit.solvers.certificates import Factor

#: With more columns than this their Gram matrix, and what its eigenvectors cost, are too large.
LARGEST_GRAM = 4096


def preconditioner(objective: Objective, x: Array) -> Callable[[Array], Array]:
    """Return an approximate inverse Hessian at ``x`` as a function of a flat vector; at most two reads of X."""
    if objective.source.n_features > LARGEST_GRAM:
        diagonal = objective.hess_diag(x) if np.any(x) else objective.hess_diag_at_zero
        inverse = 1.0 / np.where(diagonal > 0.0, diagonal, 1.0)
        return lambda g: inverse * g
    if objective.shape[1] == 1:
        hess = objective.curvature_at(x, objective.source.dtype).hess
        assert hess is not None
        return Factor.of(hess).solve
    return kronecker(objective, x)


def kronecker(objective: Objective, x: Array) -> Callable[[Array], Array]:
    """Return the inverse of ``G (x) S + P`` as a function of a flat vector.

    ``G = sum_i s_i x~_i x~_i'`` is the Gram matrix of the scaled columns, ``S`` the mean over rows of
    ``diag(p) - p p'`` at ``x``, and ``P`` the penalty. With ``P^-1/2 G P^-1/2 = V Gamma V'`` and ``S = Q Lambda Q'``
    the inverse is ``P^-1/2 V [ (Gamma_i Lambda_q + 1)^-1 ] V' P^-1/2`` on the left and Q on the right: one
    eigendecomposition for all classes. Directions in which all classes move alike get the mean curvature.

    Two reads of X: meant for a sample.
    """
    from scipy import linalg

    size, K = objective.shape
    gram, S = objective.mean_curvature(x)
    S = S + np.trace(S) / K / K
    values, Q = linalg.eigh(S)
    values = np.maximum(values, 1e-3 * values[-1])
    # the intercept's penalty, and every one where C is infinite, is 0: a trace of the curvature stands in
    strength = objective.strength.reshape(size, K)[:, 0]
    root = np.sqrt(np.maximum(strength, 1e-8 * np.diag(gram) * values[-1]))
    gamma, V = linalg.eigh(gram / np.outer(root, root))
    divisor = np.maximum(gamma, 0.0)[:, None] * values + 1.0
    left = V / root[:, None]

    def solve(g: Array) -> Array:
        return np.asarray(left @ ((left.T @ g.reshape(size, K) @ Q) / divisor) @ Q.T).ravel()

    return solve
