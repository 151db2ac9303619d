"""What every solver returns, and the record of how it came there."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import wraps
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.objective import Objective, Point

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
        Whether every row of positive weight is on its class's side: a proof of separation.
    quasi_separated : bool
        Whether "newton" found a direction along which no row's margin falls by more than a thousandth of what others
        rise: coefficients would grow along it for ever.
    direction : ndarray or None
        Where separated in either way: a direction of the shape of ``x`` along which the coefficients grow.
    history : list of Row
        One for each iteration.
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
        """Whether the gap is within tol: by a bound, or by an estimate where ``gap_kind`` says so."""
        return self.status is Status.CONVERGED

    @property
    def coef(self) -> NDArray[np.float64]:
        """The coefficients (n_features, K) of a `fastlogit.solve`."""
        return self.x[:-1]

    @property
    def intercept(self) -> NDArray[np.float64]:
        """The intercepts (K,) of a `fastlogit.solve`."""
        return np.asarray(self.x[-1])


#: Called with each row of the history and the point.
Callback = Callable[[Row, NDArray[np.float64]], Any]


class Record:
    """Keeps the history and the best point, and says when to stop.

    A callback that returns True stops the solver; Ctrl-C and the time limit do too. All keep the best point.
    """

    def __init__(
        self,
        objective: Objective,
        tol: float,
        max_iter: int,
        callback: Callback | None = None,
        time_limit: float | None = None,
    ) -> None:
        self.objective, self.tol, self.max_iter = objective, tol, max_iter
        self._callback, self._time_limit = callback, time_limit
        self._start = time.perf_counter()
        self.history: list[Row] = []
        self.best: Point | None = None

    def on_sample(self, smaller: Objective) -> "Record":
        """Return the record of a solve on the sample, by the same clock."""
        record = Record(smaller, SAMPLE_TOL, self.max_iter, time_limit=self._time_limit)
        record._start = self._start
        return record

    @property
    def is_late(self) -> bool:
        """Whether the time limit has passed."""
        return self._time_limit is not None and time.perf_counter() - self._start > self._time_limit

    def is_small(self, gap: float, value: float) -> bool:
        """Tell whether a gap is within tol of the objective's value."""
        return gap <= self.tol * abs(value)

    def add(self, point: Point, gap: float, gap_kind: str) -> Status | None:
        """Record a point; return why to stop here, if there is a reason other than convergence."""
        seconds = time.perf_counter() - self._start
        norm = float(np.abs(point.grad).max())
        self.history.append(Row(self.objective.n_passes, point.value, norm, gap, gap_kind, seconds))
        if self.best is None or point.value <= self.best.value:  # after its row, which Ctrl-C looks for
            self.best = point
        if point.smallest_margin > 0.0 and not np.any(self.objective.strength):
            return Status.SEPARATED
        if self._callback is not None and self._callback(self.history[-1], point.x):
            return Status.INTERRUPTED
        if self.is_late:
            return Status.TIME_LIMIT
        return Status.MAX_ITER if len(self.history) > self.max_iter else None

    def solution(
        self,
        status: Status,
        point: Point | None = None,
        gap: float = np.inf,
        kind: str = "",
        direction: NDArray[np.float64] | None = None,
    ) -> Solution:
        """Return the solution at ``point``, by default the best one with the gap that was found for it."""
        if point is None:
            assert self.best is not None
            point = self.best
            row = next(row for row in self.history if row.value == point.value)
            gap, kind = row.gap, row.gap_kind
        return Solution(
            x=point.x,
            value=point.value,
            grad_norm=float(np.abs(point.grad).max()),
            gap=gap,
            gap_kind=kind,
            n_iter=len(self.history) - (kind != "P"),
            n_passes=self.objective.n_passes,
            status=status,
            separated=status is Status.SEPARATED,
            quasi_separated=status is Status.QUASI_SEPARATED,
            direction=point.x if status is Status.SEPARATED else direction,
            history=self.history,
        )


def better_start(objective: Objective, x0: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lower of a given start and the minimum over the sample; one read of X, none where x0 is 0."""
    if not np.any(x0):
        return x
    at_start, at_sample = objective.values_along(x0, x - x0, np.array([0.0, 1.0]))
    return x if at_sample <= at_start else x0


Solver = Callable[..., Solution]


def solver(run: Callable[[Objective, NDArray[np.float64], Record], Solution]) -> Solver:
    """Make a solver of a function that minimises and keeps a record: what every solver is called with.

    ``solve(objective, x0, *, tol=1e-8, max_iter=200, callback=None, time_limit=None)``: ``x0`` (n,) is where it starts,
    or else at the minimum over the sample where that is lower (softmax: its classes sum to 0); ``tol`` the relative gap
    ``(F - F*) / F`` to reach; ``callback`` is called with each `Row` and its point, and stops by returning True;
    ``time_limit`` is in seconds. Ctrl-C returns the best point.
    """

    @wraps(run)
    def solve(
        objective: Objective,
        x0: NDArray[np.float64],
        *,
        tol: float = 1e-8,
        max_iter: int = 200,
        callback: Callback | None = None,
        time_limit: float | None = None,
    ) -> Solution:
        record = Record(objective, tol, max_iter, callback, time_limit)
        try:
            return run(objective, x0, record)
        except KeyboardInterrupt:
            if record.best is None:
                raise
            return record.solution(Status.INTERRUPTED)

    return solve
