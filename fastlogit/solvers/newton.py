"""Newton's method, from the minimum over a sample to a proved bound on the gap, in a handful of reads of X.

After the survey that drew the sample there is one read for each step but the last, which bound P certifies without one.
For more than `EVERY_READ` parameters see `fastlogit.solvers.few_hessians`.
"""

import numpy as np

from fastlogit.objective import Array, Objective, Point
from fastlogit.reads import Reads
from fastlogit.solvers.factor import Factor
from fastlogit.solvers.few_hessians import by_gradients, few_hessians
from fastlogit.solvers.from_sample import newton_on_sample
from fastlogit.solvers.line_search import lower_point
from fastlogit.solvers.newton_ending import NewtonEnding
from fastlogit.solvers.solution import Record, Solution, Status, better_start

#: Up to this many parameters the Hessian is computed at every read but the first.
EVERY_READ = 320
#: Where it takes longer than this many reads, and there is a sample, gradients alone are read first, as long as each
#: step leaves no more than the second number's share of the gap.
DEAR_HESSIAN, _PACE = 3.0, 0.1
# Above this relative gap the sample's Hessian is of little use.
_FAR = 0.1


def newton(objective: Objective, x0: Array, record: Record) -> Reads[Solution]:
    """Minimise by Newton's method from the minimum over the sample.

    Parameters and result as in `fastlogit.solvers.solution.Solver`. It ends when one of the bounds A, P and D is within
    tol, or no step lowers the objective, never because an estimate is within tol.

    Notes
    -----
    A read of X for each step. Memory: several matrices (n, n) float64; `fastlogit.plan` counts them.
    """
    if objective.n_dense > EVERY_READ:
        return (yield from few_hessians(objective, x0, record))
    x, point, smaller = x0, None, (yield from objective.on_sample())
    if smaller is not None:
        low, factor = yield from newton_on_sample(smaller, x0, record, np.float64)
        of_sample = objective.chosen(low.x)
        x = yield from better_start(objective, x0, of_sample)
        if x is of_sample and _hessian_is_dear(objective):
            last, end = yield from by_gradients(objective, x, objective.within(factor.solve), record, _PACE)
            if end is not None:
                return end
            x = last.x
        elif x is of_sample:
            point, stop = yield from _step_by_sample(objective, x, factor, record)
            if stop is not None:
                return record.solution(stop)
    if point is None:
        point = yield from objective.curvature_at(x)
    ending = NewtonEnding(objective, record, np.dtype(np.float64))
    while True:
        model, _, end = yield from ending.look(point)
        if end is not None:
            return end
        search = lower_point(objective, point, model.step, -(model.decrement**2), objective.curvature_at)
        following, _ = yield from search
        if following is None:
            return (yield from ending.stalled(point, model))
        point = following


def _hessian_is_dear(objective: Objective) -> bool:
    """Return whether reads of gradients alone, preconditioned by the sample, take less time."""
    shape = objective.source.costs
    return shape._replace(itemsize=8).hessian() > DEAR_HESSIAN * shape.read()


def _step_by_sample(
    objective: Objective, x: Array, factor: Factor, record: Record
) -> Reads[tuple[Point | None, Status | None]]:
    """Return the end of a step by the sample's Hessian, with the Hessian of all rows there, and no reason to stop.

    None for the point if the step leads nowhere, or there is a reason.

    The step gains two digits of the gap or more, for a read that takes a fraction of one with its Hessian.
    """
    start = yield from objective.at(x)
    step = -objective.within(factor.solve)(start.grad)
    slope = float(start.grad @ step)
    stop = record.add(start, -0.5 * slope, "estimate")
    if stop is not None or -0.5 * slope > _FAR * abs(start.value):
        return None, stop
    point, _ = yield from lower_point(objective, start, step, slope, objective.curvature_at)
    return point, None
