"""Solvers called in turn, on one record, until one bounds the gap; and the driver that handles Ctrl-C and time."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fastlogit.kernels.machine.clock import OutOfTime
from fastlogit.objective import Objective
from fastlogit.reads import Reads, run
from fastlogit.solvers.lbfgs import lbfgs
from fastlogit.solvers.newton import newton
from fastlogit.solvers.newton_cg import newton_cg
from fastlogit.solvers.solution import Callback, Record, Solution, Solver, Status
from fastlogit.solvers.span import span


@dataclass(frozen=True)
class Entry:
    """A solver, and what it needs of a penalty: see `fastlogit.penalties.Quadratic.offers`."""

    solver: Solver
    needs: frozenset[str]


SOLVERS: dict[str, Entry] = {
    "newton": Entry(newton, frozenset({"gradient", "curvature"})),
    "lbfgs": Entry(lbfgs, frozenset({"gradient", "curvature"})),
    "newton-cg": Entry(newton_cg, frozenset({"gradient", "curvature"})),
}
# What a plan names, and nobody else.
_OF_SPAN = frozenset({"gradient", "curvature", "duality"})
_INTERNAL = {"span": Entry(span, _OF_SPAN), "span-cg": Entry(partial(span, solver=newton_cg), _OF_SPAN)}

# A solver that another one follows has this many steps; before "newton-cg" it has all but this many.
_FIRST_STEPS = 100
_GAVE_UP = (Status.MAX_ITER, Status.STALLED, Status.UNBOUNDED, Status.WEAKLY_PENALIZED)


def minimise(
    objective: Objective,
    names: Sequence[str],
    x0: NDArray[np.float64],
    *,
    tol: float = 1e-8,
    max_iter: int = 200,
    callback: Callback | None = None,
    start: float = 0.0,
    is_own_choice: bool = False,
) -> tuple[Solution, KeyboardInterrupt | None]:
    """Call solvers in turn, each from the best point so far, until one bounds the gap or the fit is stopped.

    Ctrl-C and the time limit are handled here, and nowhere below.

    Parameters
    ----------
    objective : Objective
        The objective to minimise.
    names : sequence of str
        Names in `SOLVERS`, or "span" and "span-cg".
    x0 : ndarray (n,)
        The start.
    tol : float
        Relative gap ``(F - F*) / F`` to reach.
    max_iter : int
        Largest number of steps, of all solvers together.
    callback : callable, optional
        Called with each `Row` of the history and a function that returns its point; stops the fit by returning True.
    start : float
        Start of the fit, by ``time.perf_counter``; by default now.
    is_own_choice : bool
        Whether the caller chose the first solver: it then may use all steps, and others follow only if it gives up.

    Returns
    -------
    (Solution, KeyboardInterrupt or None)
        The best point; after Ctrl-C also the interrupt, for the caller to raise.

    Raises
    ------
    KeyboardInterrupt, OutOfTime
        If there is no point yet.
    """
    record = Record(objective, tol, max_iter, callback, start)
    try:
        return run(in_turn(objective, names, x0, record, max_iter, is_own_choice)), None
    except KeyboardInterrupt as interrupt:
        if record.is_empty:
            raise
        return record.solution(Status.INTERRUPTED), interrupt
    except OutOfTime:
        if record.is_empty:
            raise
        return record.solution(Status.TIME_LIMIT), None


def in_turn(
    objective: Objective,
    names: Sequence[str],
    x: NDArray[np.float64],
    record: Record,
    max_iter: int,
    is_own_choice: bool = False,
) -> Reads[Solution]:
    """Call solvers in turn, on one record: `minimise` as a generator of reads, for a driver of one fit or of many.

    Raises
    ------
    ValueError
        If a solver needs what the penalty does not offer.
    """
    for i, name in enumerate(names):
        entry = SOLVERS.get(name) or _INTERNAL[name]
        missing = sorted(entry.needs - objective.smooth.offers)
        if missing:
            kind = type(objective.penalty).__name__
            raise ValueError(
                f"solver {name!r} needs the penalty's {' and '.join(missing)}, which {kind} does not offer"
            )
        is_last, after_newton = i + 1 == len(names), "newton" in names[:i]
        record.is_patient = is_own_choice or (is_last and not after_newton)
        record.max_iter = max_iter
        if not (is_own_choice or is_last or name == "newton"):  # newton gives up before its steps run out
            most = max_iter - _FIRST_STEPS if names[i + 1] == "newton-cg" else 0
            record.max_iter = min(max_iter, max(record.n_iter + _FIRST_STEPS, most))
        solution = yield from entry.solver(objective, x, record)
        if solution.status not in _GAVE_UP or record.n_iter >= max_iter:
            break
        x = record.lowest.x
    return solution
