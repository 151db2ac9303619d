"""Bound D on ``F - F*``, for solvers that know no Hessian: from the gradient and the penalty, by Fenchel duality.

With P the penalty's curvature, positive for every coefficient and 0 for intercepts, ``g = (g_w, g_b)`` the gradient,
``C_i = s_i (diag(p_i) - p_i p_i')``, ``h = sum_i C_i``, ``a = sum_i x_i C_i``, and ``u = h^+ g_b``,

    F - F*  <=  1/2 sum_j (g_w - a u)_j^2 / P_j  +  g_b' u          where max u - min u <= 1.

Why: ``q_i = p_i - (diag(p_i) - p_i p_i') u`` are probabilities, so that ``loss_i(z) >= (q_i - y_i)' z + H(q_i)`` for
every z, H being the entropy. The sum over rows of ``s_i (q_i - y_i)`` is ``g_b - h u = 0``: intercepts drop out. What
is left is least at ``w = -P^-1 (g_w - a u - P w)``, and its distance to F is half the squared norm above and the sum of
``s_i KL(q_i || p_i)``, each at most chi-squared, ``u' C_i u``. With two classes there is one margin, u is a number.

The bound holds at any point, near the optimum or not. It is as loose as curvature is beside the penalty: some more
steps make good for that.
"""

import numpy as np

from fastlogit.objective import Array, Objective, Point
from fastlogit.solvers.solution import Record, Solution, Status

# Of the gap to reach, what is left to the intercepts and to rounding.
_SHARE = 0.5
_ENDLESS = float("inf")
_PATIENCE = 10


def _squared(objective: Objective, g: Array) -> float:
    """Return ``sum_j g_j^2 / P_j`` over coefficients, infinity where one has no penalty."""
    K = objective.shape[1]
    strength = objective.strength[:-K]
    return float(g[:-K] @ (g[:-K] / strength)) if strength.min() > 0.0 else _ENDLESS


def expected_gap(objective: Objective, point: Point) -> float:
    """Return what bound D will be where intercepts are nearly optimal; no read of X."""
    return 0.5 * _squared(objective, point.grad)


def gap(objective: Objective, point: Point) -> float:
    """Return bound D for a gradient in float64, or infinity; two reads of X where there are intercepts."""
    K, g, rounding = objective.shape[1], point.grad, objective.rounding
    error = _squared(objective, rounding) ** 0.5
    if not np.isfinite(error):
        return _ENDLESS
    if not objective.fit_intercept:
        return float(0.5 * (_squared(objective, g) ** 0.5 + error) ** 2)
    values, vectors = np.linalg.eigh(objective.class_curvature(point.x, np.float64))
    kept = slice(0 if K == 1 else 1, None)  # all intercepts alike change nothing
    values, vectors = values[kept], vectors[:, kept]
    if not values[0] > 0.0:
        return _ENDLESS
    u = vectors @ ((vectors.T @ g[-K:]) / values)
    if np.ptp(np.append(u, 0.0)) > 1.0:
        return _ENDLESS
    shift = np.zeros_like(g)
    shift[-K:] = u
    left = g - objective.hess_vec(point.x, shift, np.float64)
    # what rounding leaves of the intercepts' part, and may have taken from it
    rest = float(np.linalg.norm(left[-K:]) + np.linalg.norm(rounding[-K:])) / float(values[0]) ** 0.5
    intercepts = float(np.linalg.norm((vectors.T @ g[-K:]) / values**0.5)) + rest
    return float(0.5 * (_squared(objective, left) ** 0.5 + error) ** 2 + intercepts**2)


class Ending:
    """When a solver that only estimates its gap may stop: where bound D is within tol too, or is getting nowhere.

    An estimate within tol may be wrong by far; from there on the bound has to halve within every ten reads.
    """

    def __init__(self, objective: Objective, record: Record) -> None:
        self._objective, self._record = objective, record
        floor = 0.5 * _squared(objective, objective.rounding)
        self._is_near = np.isfinite(floor) and record.is_small(floor / _SHARE, objective.weight)
        self._lowest, self._read = _ENDLESS, 0

    def __call__(self, point: Point, estimate: float) -> bool:
        """Tell whether to stop."""
        if not self._record.is_small(estimate, point.value):
            return False
        expected = expected_gap(self._objective, point)
        if not self._is_near or self._record.is_small(expected / _SHARE, point.value):
            return True
        if expected <= 0.5 * self._lowest:
            self._lowest, self._read = expected, self._objective.n_passes
        return self._objective.n_passes - self._read > _PATIENCE

    def solution(self, point: Point, estimate: float, stop: Status | None) -> Solution:
        """Return the solution at the last point, its gap bounded where that shows it to be within tol."""
        if self._record.is_small(expected_gap(self._objective, point), point.value):
            bound = gap(self._objective, point)
            if self._record.is_small(bound, point.value):
                return self._record.solution(Status.CONVERGED, point, bound, "D")
        if stop is not Status.INTERRUPTED and self._record.is_small(estimate, point.value):
            stop = Status.CONVERGED
        return self._record.solution(stop or Status.CONVERGED, point, estimate, "estimate")
