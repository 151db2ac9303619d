"""Newton's method that starts on a sample and ends with a certificate: a handful of reads of X.

Reads: the survey that drew the sample, then one for each step. Bound P certifies the last step without another read.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastlogit.kernels.passes.curvature import HESS_ROWS
from fastlogit.objective import Array, Objective, Point
from fastlogit.solvers import certificates
from fastlogit.solvers.certificates import Factor
from fastlogit.solvers.duality import Ending, Within
from fastlogit.solvers.lbfgs import Pairs, descend
from fastlogit.solvers.line_search import is_lower, shorter
from fastlogit.solvers.separation import Tail, is_separating
from fastlogit.solvers.solution import SAMPLE_TOL, Record, Solution, Status, better_start

#: Up to this many parameters the Hessian is computed at every read.
EVERY_READ = 320
#: Above, a Hessian is kept from this relative gap on, and L-BFGS corrects it; farther out it changes too much.
_KEEP = 1e-3
#: Before the sample certifies, the gap is this much smaller than what its bound loses by counting its rows alone.
_LOOSER = 2.0
#: From this relative gap on bound A is finite as a rule, so that a loose ``tol`` needs no Hessian of all rows either.
_BOUNDED = 1e-6
#: From here on an estimate without a bound makes one look for separation; and from here on for the exact radius. A step
#: costs one read too, and as a rule ends in a bound: these do not depend on ``tol``, so that a looser one is as quick.
_TAIL, _NEAR = 1e-6, 1e-10
# So many steps there that do not halve the gap are the last.
_IDLE = 2
_KEEP_ON_SAMPLE = 0.03
_SAMPLE_STEPS = 30
_ROUNDINGS = 2.0 * HESS_ROWS**0.5  # with u = eps / 2, four standard deviations
#: Damping begins at this share of the rows' weight, and grows a hundredfold.
_FIRST_DAMPING = 1e-8
#: With more classes the exact radius would take more than ten reads.
_PAIRED_CLASSES = 5
#: Where the Hessian is singular, the share of the gradient that may lie in directions in which it is 0.
_LOST = 1e-6


@dataclass(frozen=True)
class _Model:
    """The quadratic model at a point: its step, and what the certificates need.

    The true Hessian is at least ``sure`` times the computed one.
    """

    factor: Factor
    step: Array
    decrement: float
    error: float
    radius: float
    sure: float = 1.0

    @classmethod
    def at(cls, objective: Objective, point: Point, dtype: Any) -> "_Model":
        """Return the model at a point whose Hessian's products were computed in ``dtype``."""
        assert point.hess is not None
        K = objective.shape[1]
        H = _identified(point.hess, K)
        factor, step, damping = _newton_step(H, point.grad, point.value, objective.weight)
        step -= factor.solve(point.grad + H @ step) if damping == 0.0 else 0.0  # refined: bound P needs H d = -g
        residual = point.grad + H @ step
        decrement = max(float(step @ (H @ step)), 0.0) ** 0.5
        # An entry's rounding, of the square root of its two diagonal entries: the true Hessian is at least (1 - doubt)
        # times this one. Within a tile, where float32 may be the type, some square root of its rows matter (N. Higham
        # and T. Mary, "A new approach to probabilistic rounding error analysis", SIAM J. Sci. Comput. 41 (2019)).
        doubt = _ROUNDINGS * float(np.finfo(dtype).eps) * len(H) / max(factor.smallest, 1e-300)
        doubt *= float(objective.lost_digits.max())
        error = factor.norm_bound(residual) + factor.norm_bound(objective.rounding(point))
        if damping > 0.0 or _leaves_out(factor, residual, point.grad) or not doubt < 0.5:
            return cls(factor, step, decrement, np.inf, np.inf)
        sure = (1.0 - doubt) ** 0.5
        radius = point.largest_norm * float(factor.scale.max()) / factor.smallest**0.5 * (1.0 if K == 1 else 2.0**0.5)
        error = (error + 2.0 * doubt * decrement) / sure
        return cls(factor, step, decrement / sure + error, error, radius / sure, 1.0 - doubt)

    def with_exact_radius(self, objective: Objective) -> "_Model":
        """Return the model with the exact R, which the cheap one may exceed a thousandfold.

        One read of X; for softmax one for each pair of classes, where they are few.
        """
        K = objective.shape[1]
        if K > _PAIRED_CLASSES or not np.isfinite(self.radius):
            return self
        root = self.factor.inverse_root.reshape(*objective.shape, -1)
        differences = (root[:, k] - root[:, m] for k in range(K) for m in range(k)) if K > 1 else (root[:, 0],)
        return replace(self, radius=max(map(objective.largest_norm, differences)) / self.sure**0.5)

    def gap(self) -> tuple[float, str]:
        """Return a bound on the gap at the point, or an estimate."""
        bound = certificates.at_point(self.decrement, self.radius)
        return (bound, "A") if np.isfinite(bound) else (0.5 * self.decrement**2, "estimate")

    def gap_after_step(self) -> float:
        """Return a bound on the gap at the point after the step, infinity where there is none."""
        return certificates.after_step(self.decrement, self.radius, self.error)


def _newton_step(H: Array, g: Array, value: float, weight: float) -> tuple[Factor, Array, float]:
    """Return the factor of ``H + damping I``, the step ``-(H + damping I)^-1 g``, and the damping.

    The gap cannot be larger than the value, because no loss is negative. A model that promises more is far outside of
    where it holds (margins so large that their curvature vanished): it is damped until it promises less. So is one
    that leaves out a direction of no curvature at all in which there is a gradient.
    """
    damping = 0.0
    while True:
        factor = Factor.of(H + damping * np.eye(len(H)) if damping else H)
        step = -factor.solve(g)
        lost = damping == 0.0 and _leaves_out(factor, g + H @ step, g)
        if (-0.5 * float(g @ step) <= value and not lost) or damping > weight:
            return factor, step, damping
        damping = max(_FIRST_DAMPING * weight, 100.0 * damping)


def _leaves_out(factor: Factor, residual: Array, g: Array) -> bool:
    """Tell whether a step leaves out directions in which there is a gradient."""
    return factor.basis is not None and bool(np.abs(residual).max() > _LOST * np.abs(g).max())


def _identified(H: Array, K: int) -> Array:
    """Give the directions in which all classes move alike, along which softmax is constant, a curvature of their own.

    The gradient has no part in them, so that no step does.
    """
    if K == 1:
        return H
    H = H.copy()
    blocks = H.reshape(len(H) // K, K, len(H) // K, K)
    features = range(len(H) // K)
    blocks[features, :, features, :] += np.diag(H).reshape(-1, K).mean(axis=1)[:, None, None] / K
    return H


def newton(objective: Objective, x0: Array, record: Record) -> Solution:
    """Minimise by Newton's method from the minimum over a sample.

    Called as `fastlogit.solvers.solution.Solver` says. It goes on until a bound is within tol, A, P or D, or no step
    gains anything: an estimate within tol ends nothing.

    Notes
    -----
    Up to `EVERY_READ` parameters each read takes the Hessian with it. Above, reads take the gradient alone and L-BFGS
    descends on the sample's Hessian; the sample's rows certify the end, at a tenth of the whole's arithmetic. Where
    they do not, one read takes the Hessian, and it serves anew. Memory: some n^2 float64.
    """
    x, precondition = _start(objective, x0, record)
    dtype = objective.source.dtype if x.size > EVERY_READ else np.dtype(np.float64)
    until = Within(min(record.tol, _BOUNDED))
    if x.size > EVERY_READ and precondition is not None:
        assert objective.sample is not None
        nearer = Within(min(record.tol, _BOUNDED) / (_LOOSER * objective.sample.largest_share))
        point, _, stop = descend(objective, objective.at(x), Pairs(precondition), record, nearer)
        if stop is not None and stop is not Status.STALLED:
            return record.solution(stop)
        gap = _gap_by_sample(objective, point, dtype)
        if record.is_small(gap, point.value):
            record.add(point, gap, "A")
            return record.solution(Status.CONVERGED, point, gap, "A")
        x = point.x
    point, ending, tail, before = objective.curvature_at(x, dtype), Ending(objective, record), Tail(objective), np.inf
    idle = 0
    while True:
        model = _Model.at(objective, point, dtype)
        gap, kind = model.gap()
        if kind == "estimate" and gap <= _NEAR * abs(point.value):
            model = model.with_exact_radius(objective)
            gap, kind = model.gap()
        after = model.gap_after_step()
        stop = record.add(point, gap, kind)
        if not record.needs_duality:
            stepped = _stepped(point, model)
            if record.is_small(after, max(stepped.value, 0.0)):
                return record.solution(Status.CONVERGED, stepped, after, "P")
            if kind == "A" and record.is_small(gap, point.value):
                return record.solution(Status.CONVERGED, point, gap, kind)
        if ending.is_bounded(point, min(gap, 0.5 * model.decrement**2), point.hess if dtype == np.float64 else None):
            return ending.solution(point, gap, None)
        if stop is not None:
            return record.solution(stop)
        if (kind == "estimate" or record.needs_duality) and gap <= _TAIL * abs(point.value):
            if dtype != np.float64:
                dtype = np.dtype(np.float64)
            elif tail.is_separating(model.step, gap):
                return record.solution(Status.QUASI_SEPARATED, direction=model.step)
            idle = idle + 1 if gap >= 0.5 * before else 0  # 0 is not half of 0
            if idle > _IDLE:  # rounding is all that is left
                return _stalled(objective, record, ending, point, model, gap)
            before = gap
        keep = x.size > EVERY_READ and not record.needs_duality and gap <= _KEEP * abs(point.value)
        x = point.x + model.step
        if np.array_equal(x, point.x):  # nor will it ever move again
            return _stalled(objective, record, ending, point, model, gap)
        following = objective.at(x) if keep else objective.curvature_at(x, dtype)
        if not is_lower(following, point, -(model.decrement**2)):
            step = shorter(objective, point, model.step)
            if step is None:
                return _stalled(objective, record, ending, point, model, gap)
            following = objective.curvature_at(point.x + step, dtype)
        elif keep:
            following, _, stop = descend(objective, following, Pairs(model.factor.solve), record, until)
            if stop is not None and stop is not Status.STALLED:
                return record.solution(stop)
            following = objective.curvature_at(following.x, dtype)
        point = following


def _stalled(objective: Objective, record: Record, ending: Ending, point: Point, model: _Model, gap: float) -> Solution:
    """Return the solution where nothing is left to gain, and no bound says so."""
    if objective.is_weakly_penalized and is_separating(objective, model.step):
        return record.solution(Status.WEAKLY_PENALIZED, point, gap, "estimate", model.step)
    return ending.solution(point, gap, None)


def _gap_by_sample(objective: Objective, point: Point, dtype: Any) -> float:
    """Return bound A with a matrix below the Hessian in its place, which can only make it larger; one read of X."""
    below = replace(point, hess=objective.hess_below(point.x, dtype), largest_norm=objective.widest_row())
    gap, kind = _Model.at(objective, below, dtype).gap()
    return gap if kind == "A" else np.inf


def _stepped(point: Point, model: _Model) -> Point:
    """Return the point after the step, its value by the quadratic model."""
    return Point(
        point.x + model.step, point.value + 0.5 * float(point.grad @ model.step), point.grad, point.smallest_margin
    )


def _start(objective: Objective, x0: Array, record: Record) -> tuple[Array, Callable[[Array], Array] | None]:
    """Return where to start, and the sample's inverse Hessian at its minimum; None where there is no sample."""
    smaller = objective.on_sample()
    if smaller is None:
        return x0, None
    dtype = smaller.source.dtype if x0.size > EVERY_READ else np.float64
    point = smaller.curvature_at(x0, dtype)
    for _ in range(_SAMPLE_STEPS):
        assert point.hess is not None
        H = _identified(point.hess, smaller.shape[1])
        factor, step, _ = _newton_step(H, point.grad, point.value, smaller.weight)
        slope = float(point.grad @ step)
        if point.smallest_margin > 0.0 or -0.5 * slope < SAMPLE_TOL * point.value:
            break
        if x0.size > EVERY_READ and -0.5 * slope < _KEEP_ON_SAMPLE * point.value:
            following, pairs = smaller.at(point.x + step, dtype), Pairs(factor.solve)
            point = descend(smaller, following, pairs, record.on_sample(smaller), Within(SAMPLE_TOL), dtype)[0]
            break
        following = smaller.curvature_at(point.x + step, dtype)
        if not is_lower(following, point, slope):
            shortened = shorter(smaller, point, step)
            if shortened is None:
                break
            following = smaller.curvature_at(point.x + shortened, dtype)
        point = following
    return better_start(objective, x0, point.x), factor.solve
