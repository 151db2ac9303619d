"""Bound D on the gap ``F - F*``, from the gradient and the penalty by Fenchel duality; no Hessian is needed.

Let P be the penalty's second derivative, positive for every coefficient and 0 for intercepts, ``g = (g_w, g_b)`` the
gradient, ``C_i = s_i (diag(p_i) - p_i p_i')``, and f_i any numbers from 0 to f. With ``h = sum_i f_i C_i``,
``a = sum_i f_i x_i C_i`` and ``u = h^+ g_b``

    F - F*  <=  1/2 sum_j (g_w - a u)_j^2 / P_j  +  f g_b' u          if f (max u - min u) <= 1.

Proof: ``q_i = p_i - f_i (diag(p_i) - p_i p_i') u`` are probabilities, so that ``loss_i(z) >= (q_i - y_i)' z + H(q_i)``
for every z, where H is the entropy. The sum over rows of ``s_i (q_i - y_i)`` is ``g_b - h u = 0``: intercepts drop out.
The remaining lower bound of F is smallest at ``w = -P^-1 (g_w - a u - P w)``. Its difference to F is half the squared
norm above plus the sum of ``s_i KL(q_i || p_i)``, each at most chi-squared, ``f_i^2 u' C_i u <= f f_i u' C_i u``. With
two classes there is one margin, and u is a number.

All f_i are 1, or each is the number of rows that a row of the sample stands for, and 0 for the other rows: then h and a
cost a read of the sample alone, and the last term, as a rule much the smaller one, is up to f times larger.

The bound holds at any point, near the optimum or not. It may exceed the gap by a factor of the loss's curvature over
the penalty's, which a few more steps make up for.
"""

import numpy as np

from fastlogit.hessians import Hessian
from fastlogit.objective import Array, Objective, Point
from fastlogit.reads import Reads
from fastlogit.solvers.factor import DenseFactor
from fastlogit.solvers.solution import Record, Solution, Status

# The bound is computed when its expected value is at most this share of the gap to reach: intercepts and rounding take
# the rest.
_SHARE = 0.25
_ENDLESS = float("inf")
# The bound has to halve within this many steps: if another solver may follow, and if none does.
_PATIENCE, _LAST_PATIENCE = 10, 40
# A relative fall of the objective in that many steps that may be rounding alone.
_FLAT = 1e-13


def expected_gap(objective: Objective, point: Point) -> float:
    """Return bound D under the assumption that intercepts are optimal; no read of X."""
    return 0.5 * objective.smooth.dual_square(point.grad)


def gap(
    objective: Objective, point: Point, hess: Hessian | None = None, sample: Objective | None = None
) -> Reads[float]:
    """Return bound D at a point, or infinity if it does not exist.

    Parameters
    ----------
    objective, point : Objective, Point
        A point whose gradient was computed in float64.
    hess : Hessian, optional
        The Hessian there, in float64.
    sample : Objective, optional
        The objective over the sample, which then is read for the intercepts' part instead of X.

    Notes
    -----
    Reads of X: none without intercepts or with ``hess``, else one for two classes and two for more, of the sample alone
    with ``sample``.
    """
    read, share = (objective, 1.0) if sample is None else (sample, sample.source.largest_share)
    K, g, squared = objective.shape[1], point.grad, objective.smooth.dual_square
    rounding = yield from objective.rounding(point)
    error = squared(rounding) ** 0.5
    if not np.isfinite(error):
        return _ENDLESS
    if not objective.fit_intercept:
        return float(0.5 * (squared(g) ** 0.5 + error) ** 2)
    along: Array | None = None  # the Hessian's column of the one intercept: (a, h)
    if hess is not None:
        h = hess.of_intercepts(K)
    elif K == 1:
        along = yield from read.hess_vec(point.x, np.append(np.zeros(len(g) - 1), 1.0), np.float64)
        h = along[-1:, None].copy()
    else:
        h = yield from read.class_curvature(point.x, np.float64)
    if not h.diagonal().min() > 0.0:
        return _ENDLESS
    if K > 1:  # h is singular for equal changes of all intercepts, which have no gradient: any curvature will do
        h += np.sqrt(np.outer(h.diagonal(), h.diagonal())) / K
    factor = DenseFactor.of(h)
    u = factor.solve(g[-K:])
    if factor.is_singular or share * np.ptp(np.append(u, 0.0)) > 1.0:
        return _ENDLESS
    shift = np.zeros_like(g)
    shift[-K:] = u
    if along is not None:
        left = g - along * u
    else:
        left = g - ((yield from read.hess_vec(point.x, shift, np.float64)) if hess is None else hess @ shift)
    # rounding errors of the intercepts' part: the residual of u, and those of g_b
    rest = factor.norm_bound(left[-K:]) + factor.norm_bound(rounding[-K:])
    intercepts = max(float(g[-K:] @ u), 0.0) ** 0.5 + rest
    return float(0.5 * (squared(left) ** 0.5 + error) ** 2 + share * intercepts**2)


class Ending:
    """When a solver that only estimates its gap stops: if bound D is within tol, or does not improve any more."""

    def __init__(self, objective: Objective, record: Record) -> None:
        self._objective, self._record = objective, record
        self._lowest, self._value, self._idle = _ENDLESS, _ENDLESS, 0
        self._tried, self._bound = _ENDLESS, _ENDLESS

    def is_bounded(self, point: Point, estimate: float, hess: Hessian | None = None) -> Reads[bool]:
        """Return whether bound D is within tol; reads of X as in `gap`, or none.

        The bound is computed only if its expected value is small enough, and after a failure again only once that has
        halved. ``estimate`` of the gap serves to judge what intercepts add: at most as much again.
        """
        self._bound = _ENDLESS  # a bound is of one point
        if point.value == 0.0 and not point.smallest_margin > 0.0:  # thanks to offsets; no loss is negative
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
        self._tried, sample = expected, self._objective.over_sample
        if hess is None and sample is not None:
            self._bound = yield from gap(self._objective, point, sample=sample)
            if self._record.is_small(self._bound, point.value):
                return True
        self._bound = yield from gap(self._objective, point, hess)
        return self._record.is_small(self._bound, point.value)

    def restart(self) -> None:
        """Wait anew: what follows has another preconditioner."""
        self._idle = 0

    def gives_up(self, point: Point, estimate: float) -> Reads[bool]:
        """Return whether to stop without a bound.

        That is when the objective does not fall any more, or the estimate is within tol but bound D cannot be: it has
        not halved for too long, or the rounding errors of the gradient alone exceed it.
        """
        patience = _LAST_PATIENCE if self._record.is_patient else _PATIENCE
        if self._idle > patience and self._value - point.value <= _FLAT * abs(point.value):
            return True
        if not self._record.is_small(estimate, point.value):
            return False
        floor = 0.5 * self._objective.smooth.dual_square((yield from self._objective.rounding(point)))
        return self._idle > patience or not self._record.is_small(floor / _SHARE, point.value)

    def solution(self, point: Point, estimate: float, stop: Status | None) -> Solution:
        """Return the solution at the last point, with bound D for its gap if that is within tol, else the estimate."""
        if self._record.is_small(self._bound, point.value):
            return self._record.solution(Status.CONVERGED, point, self._bound, "D")
        if stop is None:
            stop = Status.UNBOUNDED if self._record.is_small(estimate, point.value) else Status.STALLED
        if point.value > self._record.lowest.value:
            return self._record.solution(stop)
        return self._record.solution(stop, point, estimate, "estimate")


class Within:
    """The ending by an estimate of the relative gap alone: on a sample, or ahead of a phase that finds a bound.

    Parameters
    ----------
    tol : float
        Relative gap to reach.
    pace : float
        Largest share of the gap that a step may leave.

    Attributes
    ----------
    n_steps : int
        Steps so far.
    """

    def __init__(self, tol: float, pace: float = _ENDLESS) -> None:
        self._tol, self._pace = tol, pace
        self._point: Point | None = None
        self._before, self._estimate = _ENDLESS, _ENDLESS
        self.n_steps = -1

    def is_bounded(self, point: Point, estimate: float) -> Reads[bool]:
        """Return False: no bound is computed."""
        yield from ()
        return False

    def restart(self) -> None:
        """Do nothing: an estimate alone decides."""

    def gives_up(self, point: Point, estimate: float) -> Reads[bool]:
        """Return whether the estimate is within the relative gap, or falls too slowly."""
        yield from ()
        if point is not self._point:
            self._point, self._before, self.n_steps = point, self._estimate, self.n_steps + 1
        self._estimate = estimate
        return estimate <= self._tol * abs(point.value) or estimate > self._pace * self._before
