"""Preconditioned L-BFGS: recent steps correct an approximate inverse Hessian, and a read of X computes a gradient.

The two-loop recursion is that of J. Nocedal, "Updating quasi-Newton matrices with limited storage", Mathematics of
Computation 35 (1980) 773, with the preconditioner in place of the multiple of the identity.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fastlogit.objective import Array, Objective, Point
from fastlogit.reads import Reads
from fastlogit.solvers.duality import Ending, Within
from fastlogit.solvers.line_search import lower_point
from fastlogit.solvers.preconditioner import Fixed, Preconditioner
from fastlogit.solvers.solution import SAMPLE_TOL, Record, Solution, Status, better_start

_MEMORY = 20
#: Down to this relative gap reads of float32 data compute in float32 (and add up gradients in float64).
_ROUGH_TOL = 1e-9
# Below this relative gap a whole step needs no search.
_NEAR = 1e-3


class Pairs:
    """An approximate inverse Hessian: a preconditioner, and recent steps with the gradient's changes along them."""

    def __init__(self, inverse: Preconditioner | Fixed) -> None:
        self.inverse = inverse
        self._pairs: deque[tuple[Array, Array, float]] = deque(maxlen=_MEMORY)

    @classmethod
    def of(cls, solve: Callable[[Array], Array]) -> "Pairs":
        """Return pairs that correct a fixed inverse Hessian."""
        return cls(Fixed(solve))

    def add(self, step: Array, change: Array) -> None:
        """Add the change (n,) of the gradient along a step (n,).

        F is convex: pairs of non-positive curvature are rounding errors and are skipped.
        """
        from scipy.linalg.blas import dnrm2  # its squares do not overflow

        curvature = float(step @ change)
        if curvature > 1e-14 * dnrm2(step) * dnrm2(change):
            self._pairs.append((step, change, curvature))

    def solve(self, g: Array) -> Array:
        """Return the approximate inverse Hessian times ``g`` (n,)."""
        from scipy.linalg.blas import daxpy  # y += a x without a temporary array

        q, shares = g.copy(), []
        for step, change, curvature in reversed(self._pairs):
            shares.append((step @ q) / curvature)
            q = daxpy(change, q, a=-shares[-1])
        q = self.inverse.solve(q)
        for (step, change, curvature), share in zip(self._pairs, reversed(shares), strict=True):
            q = daxpy(step, q, a=share - (change @ q) / curvature)
        return q


def lbfgs_descent(
    objective: Objective, point: Point, pairs: Pairs, record: Record, ending: Ending | Within, dtype: Any = np.float64
) -> Reads[tuple[Point, float, Status | None]]:
    """Take L-BFGS steps until the ending or the record stops them, or no step lowers the objective.

    Parameters
    ----------
    objective, point : Objective, Point
        What to minimise, and the start.
    pairs : Pairs
        The approximate inverse Hessian; each step is added to it.
    record : Record
        Receives every point.
    ending : Ending or Within
        Decides when to stop.
    dtype : dtype
        Type in which reads compute.

    Returns
    -------
    (Point, float, Status or None)
        The last point, an estimate of its gap, and the reason to stop; None for the ending's decision.

    Notes
    -----
    The estimate is ``1/2 g' M g``, M being the corrected inverse Hessian, and at the end the preconditioner if that
    gives more.
    """
    while True:
        if (yield from pairs.inverse.renew(point)):
            ending.restart()
        pairs.inverse.count(objective)
        step = -pairs.solve(point.grad)
        slope = float(point.grad @ step)
        estimate = -0.5 * slope
        if (yield from ending.gives_up(point, estimate)):
            estimate = max(estimate, 0.5 * float(point.grad @ pairs.inverse.solve(point.grad)))
        stop = record.add(point, estimate, "estimate")
        if (yield from ending.is_bounded(point, estimate)) or (yield from ending.gives_up(point, estimate)):
            return point, estimate, None
        if stop is not None:
            return point, estimate, stop
        if np.array_equal(point.x + step, point.x):  # the step is below rounding, and so would be all others
            return point, estimate, Status.STALLED
        evaluate = partial(objective.at, dtype=dtype)
        search = lower_point(objective, point, step, slope, evaluate, dtype=dtype, learn=pairs.add)
        following, _ = yield from search
        if following is None:
            return point, estimate, Status.STALLED
        pairs.add(following.x - point.x, following.grad - point.grad)
        point = following


def on_sample(smaller: Objective, x: Array, pairs: Pairs, record: Record, dtype: Any) -> Reads[Array]:
    """Return the minimum (n,) over the sample, to a relative gap of `SAMPLE_TOL`."""
    point, within = (yield from smaller.at(x, dtype)), Within(SAMPLE_TOL)
    return (yield from lbfgs_descent(smaller, point, pairs, record.on_sample(smaller), within, dtype))[0].x


def lbfgs(objective: Objective, x0: Array, record: Record) -> Reads[Solution]:
    """Minimise by L-BFGS, preconditioned as in `fastlogit.solvers.preconditioner`, for many parameters.

    Parameters and result as in `fastlogit.solvers.solution.Solver`. The gap is bound D of `fastlogit.solvers.duality`
    if the penalty allows one, else the estimate of `lbfgs_descent`.

    Notes
    -----
    A read of X for each step. Memory: 42 vectors (n,), and the preconditioner's.
    """
    dtype = objective.source.dtype
    smaller = yield from objective.on_sample()
    inverse = Preconditioner(objective) if smaller is None else Preconditioner(smaller, whole=objective)
    pairs, x = Pairs(inverse), x0
    if smaller is not None:
        low = objective.chosen((yield from on_sample(smaller, x0, pairs, record, dtype)))
        x = yield from better_start(objective, x0, low)
    point = yield from objective.at(x, dtype)
    if smaller is not None and (yield from inverse.settle(point)):
        pairs = Pairs(inverse)  # without those that correct what was there before
    if dtype != np.float64:
        rough = Within(max(_ROUGH_TOL, record.tol))
        point, gap, stop = yield from lbfgs_descent(objective, point, pairs, record, rough, dtype)
        if stop is not None and stop is not Status.STALLED:
            return record.solution(stop, point, gap, "estimate")
        is_near = stop is None and gap <= _NEAR * abs(point.value) and record.n_iter < record.max_iter
        # near the minimum the next point serves; where a step may lead anywhere the same point is read again
        point = yield from objective.at(point.x - pairs.solve(point.grad) if is_near else point.x)
    ending = Ending(objective, record)
    return ending.solution(*(yield from lbfgs_descent(objective, point, pairs, record, ending)))
