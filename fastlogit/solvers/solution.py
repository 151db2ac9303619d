"""The result of a solver, and the record of its steps."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.kernels.machine import clock
from fastlogit.objective import Objective, Point
from fastlogit.reads import Reads

#: A sample is solved to this relative gap, about a tenth of the gap that its minimum has over all rows.
SAMPLE_TOL = 1e-5


class Status(Enum):
    """How a solver ended; the value is a sentence for users."""

    CONVERGED = "The gap to the optimum is within tol."
    MAX_ITER = "max_iter iterations were done before the gap was within tol: raise max_iter."
    TIME_LIMIT = "time_limit passed before the gap was within tol; this is the best point so far."
    INTERRUPTED = "Interrupted; this is the best point so far."
    SEPARATED = (
        "The classes are separated, so that without a penalty there is no finite optimum: give C a finite value."
    )
    QUASI_SEPARATED = (
        "The classes are separated but for rows on the boundary, so that without a penalty there is no finite optimum: "
        "give C a finite value."
    )
    WEAKLY_PENALIZED = (
        "The classes are separated, at most but for rows on the boundary, so that without a penalty there is no finite "
        "optimum, and one so weak hardly makes one: give C a smaller value."
    )
    UNBOUNDED = "The gap is within tol by an estimate only: no bound on it could be shown."
    STALLED = "No step lowers the objective any further, in float64; the gap could not be shown to be within tol."


@dataclass(frozen=True)
class Row:
    """A line of the history.

    Attributes
    ----------
    n_passes : int
        Reads of X so far.
    value : float
        The objective.
    grad_norm : float
        The gradient's largest element in absolute value, in scaled coordinates.
    gap : float
        Bound on ``value`` minus the optimum, or an estimate of it.
    gap_kind : str
        "A", "P" or "D" for the bound (`fastlogit.solvers.certificates`, `fastlogit.solvers.duality`), or "estimate".
    seconds : float
        Time since the start of the fit.
    """

    n_passes: int
    value: float
    grad_norm: float
    gap: float
    gap_kind: str
    seconds: float


@dataclass(frozen=True)
class Solution:
    """The point at which a fit ended, and what is known of it.

    Attributes
    ----------
    x : ndarray
        The coefficients (n_features + 1, K), intercepts in the last row. (From a solver itself, a flat vector.)
    value : float
        The objective there; the quadratic model's value if ``gap_kind`` is "P", which saves a read.
    grad_norm : float
        Largest element, in absolute value, of the last gradient computed, in scaled coordinates.
    gap : float
        Bound on ``value`` minus the optimum, or an estimate of it.
    gap_kind : str
        "A", "P" or "D" for the formula of the bound, or "estimate".
    n_iter : int
        Number of steps on all rows.
    n_passes : int
        Number of reads of X, the survey included.
    status : Status
        How the fit ended.
    separated : bool
        Whether the classes are separated (every row of positive weight is on its class's side) and there is no penalty,
        or one of at most 1e-9 of the rows' weight in units of standardised columns.
    quasi_separated : bool
        Whether "newton" found a direction along which coefficients would grow without limit: no row's margin falls by
        more than a thousandth of the largest rise of another.
    direction : ndarray or None
        If separated in either way, a direction of the shape of ``x`` along which the coefficients grow.
    history : list of Row
        A line for each step, and a further one if more became known of its point.
    """

    x: NDArray[np.float64]
    value: float
    grad_norm: float
    gap: float
    gap_kind: str
    n_iter: int
    n_passes: int
    status: Status
    separated: bool = False
    quasi_separated: bool = False
    direction: NDArray[np.float64] | None = field(default=None, repr=False)
    history: list[Row] = field(default_factory=list, repr=False)

    @property
    def converged(self) -> bool:
        """Whether a bound shows that the gap is within tol."""
        return self.status is Status.CONVERGED

    @property
    def coef(self) -> NDArray[np.float64]:
        """The coefficients (n_features, K), in the result of `fastlogit.solve`."""
        return self.x[:-1]

    @property
    def intercept(self) -> NDArray[np.float64]:
        """The intercepts (K,), in the result of `fastlogit.solve`."""
        return np.asarray(self.x[-1])


#: Called with each line of the history and a function that returns its point (n,); stops the fit by returning True.
Callback = Callable[[Row, Callable[[], NDArray[np.float64]]], Any]


class Record:
    """History and best point of a fit, shared by all its solvers, and its limits.

    Parameters
    ----------
    objective : Objective
        The objective.
    tol : float
        Relative gap to reach.
    max_iter : int
        Largest number of steps.
    callback : Callback, optional
        Called after each step.
    start : float
        Start of the fit, by ``time.perf_counter``; by default now.

    Attributes
    ----------
    history : list of Row
        The lines so far.
    n_iter : int
        Steps so far: the number of points after the first.
    is_patient : bool
        Whether to wait longer for a bound that improves slowly, because no other solver is likely to find one.
    needs_duality : bool
        Whether bound D alone may end the fit, because the bound has to hold in other coordinates too.
    """

    needs_duality = False

    def __init__(
        self, objective: Objective, tol: float, max_iter: int, callback: Callback | None = None, start: float = 0.0
    ) -> None:
        self.objective, self.tol, self.max_iter, self.is_patient = objective, tol, max_iter, True
        self._callback, self._start = callback, start or time.perf_counter()
        self.history: list[Row] = []
        self.n_iter = 0
        self._last: NDArray[np.float64] | None = None
        self._best: tuple[Point, Row] | None = None
        self._inner: tuple[Record, Callable[[NDArray[np.float64]], NDArray[np.float64]]] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no point has been added yet."""
        return self._best is None and (self._inner is None or self._inner[0].is_empty)

    @property
    def lowest(self) -> Point:
        """The point of the lowest value so far."""
        self._come_back()
        assert self._best is not None
        return self._best[0]

    def inside(
        self, inner: Objective, leave: Callable[[NDArray[np.float64]], NDArray[np.float64]], share: float
    ) -> "Record":
        """Return the record of a minimisation in other coordinates, with the same history and limits.

        Parameters
        ----------
        inner : Objective
            The objective in these coordinates.
        leave : callable
            The map back to this record's coordinates.
        share : float
            Share of ``tol`` to reach there.
        """
        callback = self._callback
        there = None if callback is None else lambda row, x: callback(row, lambda: leave(x()))
        record = Record(inner, share * self.tol, self.max_iter - self.n_iter, there, self._start)
        record.needs_duality, record.history = not inner.smooth.is_none, self.history
        self._inner = record, leave
        return record

    def _come_back(self) -> None:
        """Take over steps and best point of the record in other coordinates."""
        if self._inner is None:
            return
        (inner, leave), self._inner = self._inner, None
        self.n_iter += inner.n_iter
        if inner._best is not None and (self._best is None or inner._best[0].value < self._best[0].value):
            with clock.limited(None):
                point, row = inner._best
                self._best = replace(point, x=leave(point.x)), row

    def on_sample(self, smaller: Objective) -> "Record":
        """Return the record of a minimisation over the sample."""
        return Record(smaller, SAMPLE_TOL, self.max_iter)

    def is_small(self, gap: float, value: float) -> bool:
        """Return whether a gap is within tol, relative to the objective's value."""
        return gap <= self.tol * abs(value)

    def add(self, point: Point, gap: float, gap_kind: str) -> Status | None:
        """Add a point to the history, or a further line for the last point; return a reason to stop, if there is one.

        Convergence is not one of the reasons: the solver decides about it.
        """
        self._come_back()
        seconds = time.perf_counter() - self._start
        norm = float(np.abs(point.grad).max())
        row = Row(self.objective.n_passes, point.value, norm, gap, gap_kind, seconds)
        self.history.append(row)
        if self._last is not None and not np.array_equal(self._last, point.x):
            self.n_iter += 1
        self._last = point.x
        if self._best is None or point.value <= self._best[0].value:
            self._best = point, row
        if point.smallest_margin > 0.0 and self.objective.smooth.is_none:
            return Status.SEPARATED
        if self._callback is not None:
            with clock.limited(None):
                if self._callback(row, lambda: point.x):
                    return Status.INTERRUPTED
        clock.check()
        return Status.MAX_ITER if self.n_iter >= self.max_iter else None

    def solution(
        self,
        status: Status,
        point: Point | None = None,
        gap: float = np.inf,
        kind: str = "",
        direction: NDArray[np.float64] | None = None,
    ) -> Solution:
        """Return the solution at ``point``; by default at the best point, with the gap in its line of the history."""
        self._come_back()
        if point is None:
            assert self._best is not None
            point, row = self._best
            gap, kind = row.gap, row.gap_kind
        separated = point.smallest_margin > 0.0 and self.objective.is_weakly_penalized
        if separated and status in (Status.MAX_ITER, Status.STALLED, Status.UNBOUNDED):
            status = Status.WEAKLY_PENALIZED
        return Solution(
            x=point.x,
            value=point.value,
            grad_norm=float(np.abs(point.grad).max()),
            gap=gap,
            gap_kind=kind,
            n_iter=self.n_iter + (kind == "P"),
            n_passes=self.objective.n_passes,
            status=status,
            separated=separated,
            quasi_separated=not separated and status in (Status.QUASI_SEPARATED, Status.WEAKLY_PENALIZED),
            direction=point.x if separated else direction,
            history=self.history,
        )


def better_start(objective: Objective, x0: NDArray[np.float64], x: NDArray[np.float64]) -> Reads[NDArray[np.float64]]:
    """Return the lower of a start ``x0`` and the minimum ``x`` over the sample; one read of X, none if x0 is 0."""
    if not np.any(x0):
        return x
    at_start, at_sample = yield from objective.values_along(x0, x - x0, np.array([0.0, 1.0]))
    return x if at_sample <= at_start else x0


#: A solver ``f(objective, x0, record)``: it minimises from the flat vector x0 (n,), or from the minimum over the sample
#: if that is lower, adds every point to the record, and returns the solution. For softmax, x0 sums to 0 over classes.
#: Exceptions by Ctrl-C and the time limit pass through it: the record has the best point.
Solver = Callable[[Objective, NDArray[np.float64], Record], Reads[Solution]]
