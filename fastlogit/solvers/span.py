"""Newton's method for more columns than rows: in the span of the rows, which contains the minimum."""

from fastlogit.objective import Array, Objective
from fastlogit.reads import Reads
from fastlogit.solvers.duality import Ending, expected_gap
from fastlogit.solvers.newton import newton
from fastlogit.solvers.solution import Record, Solution, Solver, Status
from fastlogit.span import Span

# Share of the gap that is to be reached in the span: rounding in the map back to all coefficients adds to it.
_SHARE = 0.25


def span(objective: Objective, x0: Array, record: Record, solver: Solver = newton) -> Reads[Solution]:
    """Minimise over coefficients in the span of the rows, by another solver: at most n_samples for each class.

    Other parameters and result as in `fastlogit.solvers.solution.Solver`. It ends by bound D, which holds for all
    coefficients too: it is computed again for them, from X itself. Without a penalty there is no such bound, but the
    classes are usually separated, which is also checked on X itself.

    Notes
    -----
    Reads of X: one for the products of rows, one for the map back, up to three for the bound, and one if the start is
    not 0. Reads in between are of a matrix (n_samples, n_samples), and are counted too. Memory: several such matrices.
    """
    rows = Span.of(objective)
    inner = record.inside(rows.inner, rows.leave, _SHARE)
    found = yield from solver(rows.inner, rows.enter(x0), inner)
    objective.n_passes = rows.inner.n_passes
    if found.status in (Status.INTERRUPTED, Status.MAX_ITER):
        return record.solution(found.status)
    point, ending = (yield from objective.at(rows.leave(found.x))), Ending(objective, record)
    estimate = min(expected_gap(objective, point), found.gap)
    stop = record.add(point, estimate, "estimate")
    yield from ending.is_bounded(point, estimate)
    return ending.solution(point, estimate, stop)
