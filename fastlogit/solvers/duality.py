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
from fastlogit.reads import Reads
from fastlogit.solvers.factor import DenseFactor
from fastlogit.solvers.solution import Record, Solution, Status

# Of the gap to reach, what is left to the intercepts and to rounding.
_SHARE = 0.25
_ENDLESS = float("inf")
# The bound has to halve within so many steps: where another solver may go on, and where none does.
_PATIENCE, _LAST_PATIENCE = 10, 40
# What the objective falls by in these, relative to itself, where it is only rounding that moves it.
_FLAT = 1e-13


def expected_gap(objective: Objective, point: Point) -> float:
    """Return what bound D will be where intercepts are nearly optimal; no read of X."""
    return 0.5 * objective.smooth.dual_square(point.grad)


def gap(objective: Objective, point: Point, hess: Array | None = None) -> Reads[float]:
    """Return bound D for a gradient in float64, or infinity.

    Where there are intercepts one read of X for two classes, two for more; none where ``hess``, the Hessian there in
    float64, is given.
    """
    K, g, squared = objective.shape[1], point.grad, objective.smooth.dual_square
    rounding = yield from objective.rounding(point)
    error = squared(rounding) ** 0.5
    if not np.isfinite(error):
        return _ENDLESS
    if not objective.fit_intercept:
        return float(0.5 * (squared(g) ** 0.5 + error) ** 2)
    along: Array | None = None  # the Hessian times the one intercept, which has h for its last element
    if hess is not None:
        h = hess[-K:, -K:].copy()
    elif K == 1:
        along = yield from objective.hess_vec(point.x, np.append(np.zeros(len(g) - 1), 1.0), np.float64)
        h = along[-1:, None].copy()
    else:
        h = yield from objective.class_curvature(point.x, np.float64)
    if not h.diagonal().min() > 0.0:
        return _ENDLESS
    if K > 1:  # all intercepts alike change nothing, and have no gradient: a curvature of their own
        h += np.sqrt(np.outer(h.diagonal(), h.diagonal())) / K
    factor = DenseFactor.of(h)
    u = factor.solve(g[-K:])
    if factor.is_singular or np.ptp(np.append(u, 0.0)) > 1.0:
        return _ENDLESS
    shift = np.zeros_like(g)
    shift[-K:] = u
    if along is not None:
        left = g - along * u
    else:
        left = g - ((yield from objective.hess_vec(point.x, shift, np.float64)) if hess is None else hess @ shift)
    # what rounding leaves of the intercepts' part, and may have taken from it
    rest = factor.norm_bound(left[-K:]) + factor.norm_bound(rounding[-K:])
    intercepts = max(float(g[-K:] @ u), 0.0) ** 0.5 + rest
    return float(0.5 * (squared(left) ** 0.5 + error) ** 2 + intercepts**2)


class Ending:
    """When a solver that only estimates its gap may stop: where bound D is within tol, or is getting nowhere."""

    def __init__(self, objective: Objective, record: Record) -> None:
        self._objective, self._record = objective, record
        self._lowest, self._value, self._idle = _ENDLESS, _ENDLESS, 0
        self._tried, self._bound = _ENDLESS, _ENDLESS

    def is_bounded(self, point: Point, estimate: float, hess: Array | None = None) -> Reads[bool]:
        """Tell whether bound D is within tol; it is tried where it promises to be, anew at half of what failed.

        The estimate of the gap tells what intercepts may add, which at most double it. Reads as `gap`.
        """
        self._bound = _ENDLESS  # of this point alone
        if point.value == 0.0 and not point.smallest_margin > 0.0:  # by the offset alone; no loss is negative
            self._bound = 0.0
            return True
        expected = expected_gap(self._objective, point)
        size = expected if expected < _ENDLESS else float(np.abs(point.grad).max())
        self._idle += 1
        if size < 0.5 * self._lowest:
            self._lowest, self._value, self._idle = size, point.value, 0
        promised = max(expected, 2.0 * estimate) / _SHARE
        if expected > 0.5 * self._tried or not self._record.is_small(promised, point.value):
            return False
        self._tried, self._bound = expected, (yield from gap(self._objective, point, hess))
        return self._record.is_small(self._bound, point.value)

    def gives_up(self, point: Point, estimate: float) -> Reads[bool]:
        """Tell whether nothing is gained any more, or only an estimate is within tol and no bound is coming nearer."""
        patience = _LAST_PATIENCE if self._record.is_patient else _PATIENCE
        if self._idle > patience and self._value - point.value <= _FLAT * abs(point.value):
            return True
        if not self._record.is_small(estimate, point.value):
            return False
        floor = 0.5 * self._objective.smooth.dual_square((yield from self._objective.rounding(point)))
        return self._idle > patience or not self._record.is_small(floor / _SHARE, point.value)

    def solution(self, point: Point, estimate: float, stop: Status | None) -> Solution:
        """Return the solution at the last point, whose gap is the bound where that is within tol."""
        if self._record.is_small(self._bound, point.value):
            return self._record.solution(Status.CONVERGED, point, self._bound, "D")
        if stop is None:
            stop = Status.UNBOUNDED if self._record.is_small(estimate, point.value) else Status.STALLED
        if point.value > self._record.lowest.value:
            return self._record.solution(stop)
        return self._record.solution(stop, point, estimate, "estimate")


class Within:
    """Stops where an estimate is within a relative gap: on a sample, or before a bound is looked for."""

    def __init__(self, tol: float) -> None:
        self._tol = tol

    def is_bounded(self, point: Point, estimate: float) -> Reads[bool]:
        """No bound is looked for."""
        yield from ()
        return False

    def gives_up(self, point: Point, estimate: float) -> Reads[bool]:
        """Tell whether the estimate is small."""
        yield from ()
        return estimate <= self._tol * abs(point.value)
