"""Newton's method where columns outnumber rows: in the span of the rows, where the minimum is."""

from fastlogit.objective import Array, Objective
from fastlogit.reads import Reads
from fastlogit.solvers.duality import Ending, expected_gap
from fastlogit.solvers.newton import newton
from fastlogit.solvers.solution import Record, Solution, Status
from fastlogit.span import Span

# Of the gap to reach, what the way back to all coefficients may add to by rounding.
_SHARE = 0.25


def span(objective: Objective, x0: Array, record: Record) -> Reads[Solution]:
    """Minimise over coefficients in the span of the rows, n_samples of them for each class and not n_features.

    Called as `fastlogit.solvers.solution.Solver` says. The end is bound D, which carries over to all coefficients: it
    is computed anew there, from X itself. Without a penalty there is no such bound, but the classes are separated there
    as a rule, which is told from X itself too.

    Notes
    -----
    Reads of X: one for the products of rows, one to come back, up to three for the bound, one more from a start that is
    not 0. What is read between is a matrix (n_samples, n_samples), and counts too. Memory: some of those.
    """
    rows = Span.of(objective)
    inner = record.inside(rows.inner, rows.leave, _SHARE)
    found = yield from newton(rows.inner, rows.enter(x0), inner)
    objective.n_passes = rows.inner.n_passes
    if found.status in (Status.INTERRUPTED, Status.MAX_ITER):
        return record.solution(found.status)
    point, ending = (yield from objective.at(rows.leave(found.x))), Ending(objective, record)
    estimate = min(expected_gap(objective, point), found.gap)
    stop = record.add(point, estimate, "estimate")
    yield from ending.is_bounded(point, estimate)
    return ending.solution(point, estimate, stop)
