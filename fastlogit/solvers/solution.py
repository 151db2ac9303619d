"""What every solver returns, and the record of how it came there."""

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

#: A sample is solved to this relative gap: a tenth of what its own noise leaves of the whole.
SAMPLE_TOL = 1e-5


class Status(Enum):
    """How a solver ended; the value is a sentence for people."""

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
    value, grad_norm : float
        The objective, and its gradient's largest element in absolute value, in scaled coordinates.
    gap : float
        How far ``value`` is above the optimum at most; an estimate where ``gap_kind`` says so.
    gap_kind : str
        Which formula gave it: see `fastlogit.solvers.certificates` and `duality`.
    seconds : float
        Since the solver began.
    """

    n_passes: int
    value: float
    grad_norm: float
    gap: float
    gap_kind: str
    seconds: float


@dataclass(frozen=True)
class Solution:
    """Where a solver ended.

    Attributes
    ----------
    x : ndarray
        The point: a flat vector from a solver; from `fastlogit.solve` (n_features + 1, K), intercepts in the last row.
    value : float
        The objective there. After a last step that another read was saved for: its quadratic model's value.
    grad_norm : float
        The largest element of the last gradient read, in absolute value, in scaled coordinates.
    gap : float
        A bound on ``value`` minus the optimum; an estimate where ``gap_kind`` is "estimate".
    gap_kind : str
        "A", "P" or "D", the certificate that gave the bound, or "estimate".
    n_iter, n_passes : int
        Steps on the whole of X, and reads of it, all of them included.
    status : Status
        How it ended.
    separated : bool
        Whether every row of positive weight was seen on its class's side, which proves separation, and there is no
        penalty, or one of less than 1e-9 of the rows' weight, in units of standardised columns.
    quasi_separated : bool
        Whether "newton" found a direction along which no row's margin falls by more than a thousandth of what others
        rise: coefficients would grow along it for ever.
    direction : ndarray or None
        Where separated in either way: a direction of the shape of ``x`` along which the coefficients grow.
    history : list of Row
        One for each step, and one more where more became known of its point.
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
        """Whether the gap is within tol, by a bound."""
        return self.status is Status.CONVERGED

    @property
    def coef(self) -> NDArray[np.float64]:
        """The coefficients (n_features, K) of a `fastlogit.solve`."""
        return self.x[:-1]

    @property
    def intercept(self) -> NDArray[np.float64]:
        """The intercepts (K,) of a `fastlogit.solve`."""
        return np.asarray(self.x[-1])


#: Called with each row of the history and what returns the point.
Callback = Callable[[Row, Callable[[], NDArray[np.float64]]], Any]


class Record:
    """Keeps the history and the best point, and says when to stop.

    One record serves all solvers of a fit, in turn.

    Attributes
    ----------
    n_iter : int
        Steps so far: points, but the first.
    is_patient : bool
        Whether a bound that hardly comes nearer is waited for: another solver would not find one, as far as is known.
    needs_duality : bool
        Whether bound D alone may end the fit, because it has to carry over to other coordinates.
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
        """Whether there is no point yet."""
        return self._best is None and (self._inner is None or self._inner[0].is_empty)

    @property
    def lowest(self) -> Point:
        """The lowest point so far."""
        self._come_back()
        assert self._best is not None
        return self._best[0]

    def inside(
        self, inner: Objective, leave: Callable[[NDArray[np.float64]], NDArray[np.float64]], share: float
    ) -> "Record":
        """Return the record of a solve in other coordinates, to a share of the gap; ``leave`` leads back from them.

        It writes into the same history, and its best point counts.
        """
        callback = self._callback
        there = None if callback is None else lambda row, x: callback(row, lambda: leave(x()))
        record = Record(inner, share * self.tol, self.max_iter - self.n_iter, there, self._start)
        record.needs_duality, record.history = not inner.smooth.is_none, self.history
        self._inner = record, leave
        return record

    def _come_back(self) -> None:
        """Take over what the record inside has found."""
        if self._inner is None:
            return
        (inner, leave), self._inner = self._inner, None
        self.n_iter += inner.n_iter
        if inner._best is not None and (self._best is None or inner._best[0].value < self._best[0].value):
            with clock.limited(None):
                point, row = inner._best
                self._best = replace(point, x=leave(point.x)), row

    def on_sample(self, smaller: Objective) -> "Record":
        """Return the record of a solve on the sample."""
        return Record(smaller, SAMPLE_TOL, self.max_iter)

    def is_small(self, gap: float, value: float) -> bool:
        """Tell whether a gap is within tol of the objective's value."""
        return gap <= self.tol * abs(value)

    def add(self, point: Point, gap: float, gap_kind: str) -> Status | None:
        """Record a point, once more where more is known of it; return why to stop here, but for convergence."""
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
        """Return the solution at ``point``, by default the best one with the gap that was found for it."""
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
    """Return the lower of a given start and the minimum over the sample; one read of X, none where x0 is 0."""
    if not np.any(x0):
        return x
    at_start, at_sample = yield from objective.values_along(x0, x - x0, np.array([0.0, 1.0]))
    return x if at_sample <= at_start else x0


#: Minimises from a flat vector (n,), or from the minimum over the sample where that is lower (softmax: its classes sum
#: to 0), keeps a record, and returns the solution. Ctrl-C and the time limit pass through: the record has the best
#: point.
Solver = Callable[[Objective, NDArray[np.float64], Record], Reads[Solution]]
