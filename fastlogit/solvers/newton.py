"""Newton's method, from the minimum over a sample to a proved bound on the gap, in a handful of reads of X.

After the survey that drew the sample there is one read for each step but the last, which bound P certifies without one.
For more than `EVERY_READ` parameters see `fastlogit.solvers.few_hessians`.
"""

import numpy as np

from fastlogit.objective import Array, Objective
from fastlogit.reads import Reads
from fastlogit.solvers.few_hessians import few_hessians
from fastlogit.solvers.from_sample import newton_on_sample
from fastlogit.solvers.line_search import lower_point
from fastlogit.solvers.newton_ending import NewtonEnding
from fastlogit.solvers.solution import Record, Solution, better_start

#: Up to this many parameters the Hessian is computed at every read.
EVERY_READ = 320


def newton(objective: Objective, x0: Array, record: Record) -> Reads[Solution]:
    """Minimise by Newton's method from the minimum over the sample.

    Parameters and result as in `fastlogit.solvers.solution.Solver`. It ends when one of the bounds A, P and D is within
    tol, or no step lowers the objective, never because an estimate is within tol.

    Notes
    -----
    A read of X for each step. Memory: several matrices (n, n) float64; `fastlogit.plan` counts them.
    """
    if x0.size > EVERY_READ:
        return (yield from few_hessians(objective, x0, record))
    x, smaller = x0, (yield from objective.on_sample())
    if smaller is not None:
        low, _, _ = yield from newton_on_sample(smaller, x0, np.float64)
        x = yield from better_start(objective, x0, low.x)
    point, ending = (yield from objective.curvature_at(x)), NewtonEnding(objective, record, np.dtype(np.float64))
    while True:
        model, _, end = yield from ending.look(point)
        if end is not None:
            return end
        search = lower_point(objective, point, model.step, -(model.decrement**2), objective.curvature_at)
        following, _ = yield from search
        if following is None:
            return (yield from ending.stalled(point, model))
        point = following
