"""Solvers one after the other, on one record, until one bounds the gap."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastlogit.kernels.machine.clock import OutOfTime
from fastlogit.objective import Objective
from fastlogit.solvers.lbfgs import lbfgs
from fastlogit.solvers.newton import newton
from fastlogit.solvers.newton_cg import newton_cg
from fastlogit.solvers.solution import Callback, Record, Solution, Solver, Status
from fastlogit.solvers.span import span

SOLVERS: dict[str, Solver] = {"newton": newton, "lbfgs": lbfgs, "newton-cg": newton_cg}
_ALL = SOLVERS | {"span": span}

# Where Newton's method comes after it, a solver has so many steps; where another does, all but so many.
_FIRST_STEPS = 50
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

    Parameters
    ----------
    objective : Objective
        What to minimise.
    names : sequence of str
        Of `SOLVERS`, or "span".
    x0 : ndarray (n,)
        Where to begin.
    tol : float
        The relative gap ``(F - F*) / F`` to reach.
    max_iter : int
        Steps at most, of all solvers.
    callback : callable, optional
        Called with each `Row` and what returns its point; stops by returning True.
    start : float
        When the fit began, by ``time.perf_counter``; by default now.
    is_own_choice : bool
        Whether the caller chose the first solver: it then has all steps, and others come in only where it gives up.

    Returns
    -------
    (Solution, KeyboardInterrupt or None)
        The best point, also after Ctrl-C, which is given back: it is the caller's to raise.

    Raises
    ------
    KeyboardInterrupt, OutOfTime
        Where there is no point yet.
    """
    record, x = Record(objective, tol, max_iter, callback, start), x0
    try:
        for i, name in enumerate(names):
            is_last, after_newton = i + 1 == len(names), "newton" in names[:i]
            record.is_patient = is_own_choice or (is_last and not after_newton)
            record.max_iter = max_iter
            if not (is_own_choice or is_last or name == "newton"):  # newton stalls before it is out of steps
                most = max_iter - _FIRST_STEPS if names[i + 1] == "newton-cg" else 0
                record.max_iter = min(max_iter, max(record.n_iter + _FIRST_STEPS, most))
            solution = _ALL[name](objective, x, record)
            if solution.status not in _GAVE_UP or record.n_iter >= max_iter:
                break
            x = record.lowest.x
    except KeyboardInterrupt as interrupt:
        if record.is_empty:
            raise
        return record.solution(Status.INTERRUPTED), interrupt
    except OutOfTime:
        if record.is_empty:
            raise
        return record.solution(Status.TIME_LIMIT), None
    return solution, None
