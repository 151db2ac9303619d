"""Newton's method for many parameters, with as few Hessians as possible: each takes longer than its read of X.

The sample's Hessian preconditions L-BFGS, whose reads compute gradients alone. The sample certifies the end, at a tenth
of the arithmetic of all rows. If it does not, one read computes the Hessian of all rows, which then is the
preconditioner.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from fastlogit.objective import Array, Objective, Point
from fastlogit.reads import Reads
from fastlogit.solvers.duality import Within
from fastlogit.solvers.from_sample import newton_on_sample
from fastlogit.solvers.lbfgs import Pairs, lbfgs_descent
from fastlogit.solvers.line_search import lower_point
from fastlogit.solvers.newton_ending import NewtonEnding
from fastlogit.solvers.quadratic_model import Model
from fastlogit.solvers.solution import Record, Solution, Status, better_start

#: Up to this relative gap a Hessian is kept, and corrected by L-BFGS; above, it changes too much from step to step.
_KEEP = 1e-3
#: The sample's bound is up to `largest_share` times the gap: L-BFGS descends to ``tol`` divided by that and by this.
_LOOSER = 2.0
# If that is not enough, it descends to this share of it.
_NEARER = 0.01
#: From this relative gap on bound A is usually finite: a larger ``tol`` is treated as this, which saves the Hessian of
#: all rows.
_BOUNDED = 1e-6


def few_hessians(objective: Objective, x0: Array, record: Record) -> Reads[Solution]:
    """Minimise by Newton's method with few Hessians, from the minimum over the sample.

    Parameters and result as in `fastlogit.solvers.solution.Solver`; it ends as `fastlogit.solvers.newton.newton` does.
    """
    dtype, tol = objective.source.dtype, min(record.tol, _BOUNDED)
    x, precondition = yield from _from_sample(objective, x0, record)
    if precondition is not None:
        point, solution = yield from by_gradients(objective, x, precondition, record)
        if solution is not None:
            return solution
        x = point.x
    point, ending = (yield from objective.curvature_at(x, dtype)), NewtonEnding(objective, record, dtype)
    while True:
        model, gap, end = yield from ending.look(point)
        if end is not None:
            return end
        with_hessian = partial(objective.curvature_at, dtype=ending.dtype)
        keep = not record.needs_duality and gap <= _KEEP * abs(point.value)
        evaluate = objective.at if keep else with_hessian
        slope = -(model.decrement**2)
        search = lower_point(objective, point, model.step, slope, evaluate, shortened=with_hessian)
        following, is_whole = yield from search
        if following is None:
            return (yield from ending.stalled(point, model))
        if keep and is_whole:
            pairs = Pairs.of(model.factor.solve)
            following, _, stop = yield from lbfgs_descent(objective, following, pairs, record, Within(tol))
            if stop is not None and stop is not Status.STALLED:
                return record.solution(stop)
            following = yield from with_hessian(following.x)
        point = following


def by_gradients(
    objective: Objective, x: Array, precondition: Callable[[Array], Array], record: Record, pace: float = np.inf
) -> Reads[tuple[Point, Solution | None]]:
    """Descend by reads of gradients alone, preconditioned by the sample, and certify the end by the sample.

    Parameters
    ----------
    objective : Objective
        An objective with a sample.
    x : ndarray (n,)
        The start, near the sample's minimum.
    precondition : callable
        ``g -> M^-1 g`` for g (n,), M being the sample's Hessian.
    record : Record
        Receives every point.
    pace : float
        Largest share of the gap that a step may leave; where one leaves more, the sample is of little use.

    Returns
    -------
    (Point, Solution or None)
        The last point, or the start if a single step was too slow, and the solution if the fit ends there.
    """
    assert objective.sample is not None
    enough = min(record.tol, _BOUNDED) / (_LOOSER * objective.sample.largest_share)
    start, pairs = (yield from objective.at(x)), Pairs.of(precondition)
    point = start
    for tol in (enough, _NEARER * enough):  # where bound A does not exist yet it often does after a step more
        nearer = Within(tol, pace)
        point, estimate, stop = yield from lbfgs_descent(objective, point, pairs, record, nearer)
        if stop is not None and stop is not Status.STALLED:
            return point, record.solution(stop)
        if not estimate <= enough * abs(point.value):
            # a single step, too slow: it has sent coefficients of rare levels anywhere
            return start if nearer.n_steps == 1 else point, None
        if tol < enough and nearer.n_steps == 0:  # no step further: the same bound again
            break
        gap = yield from _gap_by_sample(objective, point, objective.source.dtype)
        if record.is_small(gap, point.value):
            record.add(point, gap, "A")
            return point, record.solution(Status.CONVERGED, point, gap, "A")
    return point, None


def _gap_by_sample(objective: Objective, point: Point, dtype: Any) -> Reads[float]:
    """Return bound A, or infinity, with a lower bound in place of the Hessian: not a smaller bound.

    No read of X if a bound on the rows' norms is known, else one.
    """
    hess = yield from objective.hess_below(point.x, dtype)
    widest = objective.widest if np.isfinite(objective.widest) else (yield from objective.widest_row())
    below = replace(point, hess=hess, largest_norm=widest)
    gap, kind = (yield from Model.at(objective, below, dtype)).gap()
    return gap if kind == "A" else np.inf


def _from_sample(
    objective: Objective, x0: Array, record: Record
) -> Reads[tuple[Array, Callable[[Array], Array] | None]]:
    """Return where to start, and the sample's inverse Hessian near its minimum, or None if there is no sample."""
    smaller = yield from objective.on_sample()
    if smaller is None:
        return x0, None
    low, factor = yield from newton_on_sample(smaller, x0, record, smaller.source.dtype)
    return (yield from better_start(objective, x0, objective.chosen(low.x))), objective.within(factor.solve)
