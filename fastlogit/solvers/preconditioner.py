"""An approximate Hessian that is cheap to invert for many classes: a Kronecker product of two curvatures."""

from collections.abc import Callable

import numpy as np

from fastlogit.objective import Array, Objective


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
    if K > 1:
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
