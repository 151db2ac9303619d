"""L-BFGS on a preconditioner: the memory of past steps corrects a fixed inverse Hessian, and a read takes the gradient.

The two-loop recursion is that of J. Nocedal, "Updating quasi-Newton matrices with limited storage", Mathematics of
Computation 35 (1980) 773, with the preconditioner in the place of its multiple of the identity.
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
from fastlogit.solvers.preconditioner import preconditioner
from fastlogit.solvers.solution import SAMPLE_TOL, Record, Solution, Status, better_start

_MEMORY = 20
#: Down to this relative gap float32 data are computed in float32 (their gradients are added up in float64).
_ROUGH_TOL = 1e-9


class Pairs:
    """The inverse Hessian: a fixed one, corrected by the last steps and the changes of the gradient along them."""

    def __init__(self, precondition: Callable[[Array], Array]) -> None:
        self.precondition = precondition
        self._pairs: deque[tuple[Array, Array, float]] = deque(maxlen=_MEMORY)

    def add(self, step: Array, change: Array) -> None:
        """Learn that the gradient changed by ``change`` along ``step``; what is not convex is rounding: left out."""
        from scipy.linalg.blas import dnrm2  # whose squares do not overflow

        curvature = float(step @ change)
        if curvature > 1e-14 * dnrm2(step) * dnrm2(change):
            self._pairs.append((step, change, curvature))

    def solve(self, g: Array) -> Array:
        """Return the inverse Hessian times ``g``."""
        from scipy.linalg.blas import daxpy  # y += a x, without an array for a x

        q, shares = g.copy(), []
        for step, change, curvature in reversed(self._pairs):
            shares.append((step @ q) / curvature)
            q = daxpy(change, q, a=-shares[-1])
        q = self.precondition(q)
        for (step, change, curvature), share in zip(self._pairs, reversed(shares), strict=True):
            q = daxpy(step, q, a=share - (change @ q) / curvature)
        return q


def descend(
    objective: Objective, point: Point, pairs: Pairs, record: Record, ending: Ending | Within, dtype: Any = np.float64
) -> Reads[tuple[Point, float, Status | None]]:
    """Descend from ``point`` until the ending says so, or nothing is gained.

    Parameters
    ----------
    objective, point, record
        Where to begin, and what to keep.
    pairs : Pairs
        The approximate inverse Hessian, which learns from each step.
    ending : Ending or Within
        Tells where to stop.
    dtype : dtype
        What reads compute in.

    Returns
    -------
    (Point, float, Status or None)
        The last point, the estimate of its gap, and why it is the last; None where the ending said so.

    Notes
    -----
    The estimate is ``1/2 g' M g`` with the corrected inverse Hessian, and at the end with the preconditioner if that is
    larger.
    """
    while True:
        step = -pairs.solve(point.grad)
        slope = float(point.grad @ step)
        estimate = -0.5 * slope
        if (yield from ending.gives_up(point, estimate)):
            estimate = max(estimate, 0.5 * float(point.grad @ pairs.precondition(point.grad)))
        stop = record.add(point, estimate, "estimate")
        if (yield from ending.is_bounded(point, estimate)) or (yield from ending.gives_up(point, estimate)):
            return point, estimate, None
        if stop is not None:
            return point, estimate, stop
        if np.array_equal(point.x + step, point.x):  # nor will it ever move again
            return point, estimate, Status.STALLED
        evaluate = partial(objective.at, dtype=dtype)
        search = lower_point(objective, point, step, slope, evaluate, dtype=dtype, learn=pairs.add)
        following, _ = yield from search
        if following is None:
            return point, estimate, Status.STALLED
        pairs.add(following.x - point.x, following.grad - point.grad)
        point = following


def on_sample(smaller: Objective, x: Array, pairs: Pairs, record: Record, dtype: Any) -> Reads[Array]:
    """Return the minimum over the sample, to a tenth of what its own noise leaves of the whole."""
    point, within = (yield from smaller.at(x, dtype)), Within(SAMPLE_TOL)
    return (yield from descend(smaller, point, pairs, record.on_sample(smaller), within, dtype))[0].x


def lbfgs(objective: Objective, x0: Array, record: Record) -> Reads[Solution]:
    """Minimise by L-BFGS on a Kronecker product of curvatures or on the diagonal, for many parameters.

    Called as `fastlogit.solvers.solution.Solver` says. The gap is bound D of `fastlogit.solvers.duality` where the
    penalty allows one, else an estimate, by the corrected inverse Hessian or the preconditioner, the larger of the two.

    Notes
    -----
    Each read takes the gradient alone. Memory: 42 vectors of n, and what the preconditioner holds.
    """
    dtype = objective.source.dtype
    smaller = yield from objective.on_sample()
    pairs = Pairs((yield from preconditioner(smaller or objective, x0)))
    x = x0
    if smaller is not None:  # what the sample taught of the curvature serves on
        low = yield from on_sample(smaller, x0, pairs, record, dtype)
        x = yield from better_start(objective, x0, low)
    if dtype != np.float64:
        rough = Within(max(_ROUGH_TOL, record.tol))
        point = yield from objective.at(x, dtype)
        point, gap, stop = yield from descend(objective, point, pairs, record, rough, dtype)
        if stop is not None and stop is not Status.STALLED:
            return record.solution(stop, point, gap, "estimate")
        x = point.x
    ending, point = Ending(objective, record), (yield from objective.at(x))
    return ending.solution(*(yield from descend(objective, point, pairs, record, ending)))
