"""A problem: rows that are surveyed once and minimised over any number of times, with any penalties."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit import solvers
from fastlogit.kernels.machine import blas, clock
from fastlogit.kernels.machine.jit import threads
from fastlogit.objective import Objective
from fastlogit.partitions import Partitions
from fastlogit.penalties import Array, Penalty
from fastlogit.plan import plan
from fastlogit.scaling import Scaling
from fastlogit.solvers.solution import Row, Solution, Status
from fastlogit.sources.numbers import named
from fastlogit.sources.protocol import Source
from fastlogit.sources.sums import Moments, n_margins

Progress = Callable[[Row, Callable[[], Array]], Any]

# Squares of smaller values may underflow.
_TINY, _EPS = 1e-140, float(np.finfo(np.float64).eps)
# Means and deviations above this may have squares that overflow, in outliers of small weight at the latest.
_HUGE = 1e130
# In float32 coefficients of columns overflow whose deviations are above this or below its inverse.
_HUGE_32 = 1e30


@dataclass
class Problem:
    """Rows, the coordinates that solvers work in, and a sample to start on.

    Attributes
    ----------
    source : Source
        The rows.
    scaling : Scaling
        The coordinates: standardised columns.
    weight : float
        ``sum_i s_i``.
    sample : Source or None
        A sample of the rows, weighted to represent all of them.
    fit_intercept : bool
        Whether there are intercepts.
    widest : float
        A bound on the largest ``||x~_i||``, infinity if none is known.
    n_passes : int
        Reads of X by `prepare`.
    leading : ndarray of int or None
        See `Objective`.
    """

    source: Source
    scaling: Scaling
    weight: float
    sample: Source | None = None
    fit_intercept: bool = True
    widest: float = float("inf")
    n_passes: int = 1
    leading: NDArray[np.int64] | None = None

    @classmethod
    def prepare(
        cls,
        source: Source,
        sample_rows: int | None = None,
        seed: int = 0,
        *,
        fit_intercept: bool = True,
        eliminates: bool = False,
    ) -> "Problem":
        """Survey the rows and draw a sample; one read of X.

        Parameters
        ----------
        source : Source
            The rows.
        sample_rows : int or None
            About the number of rows of the sample; None for no sample.
        seed : int
            Seed of the sample.
        fit_intercept : bool
            Whether there are intercepts.
        eliminates : bool
            Whether the Hessian is to be an `fastlogit.hessians.Arrow`: its leading columns are then not centred.

        Raises
        ------
        ValueError
            If X is not finite, or so large or small that sums overflow or underflow; the message names the column.
        """
        if sample_rows is None:
            moments, sample, reach = source.moments(), None, None
        else:
            moments, sample, reach = source.survey(sample_rows, seed)
        _check_underflow(source, moments)
        _check_room(source, np.maximum(np.abs(moments.mean), 1.0), moments.weight)
        leading = source.leading if eliminates else None
        scaling = Scaling.standard(moments, source.dtype, centered=fit_intercept, except_of=leading)
        _check_room(source, scaling.scale, moments.weight)
        widest = float("inf") if reach is None else reach.norm(scaling.center, scaling.scale)
        return cls(source, scaling, moments.weight, sample, fit_intercept, widest, leading=leading)

    def objective(self, penalty: Penalty) -> Objective:
        """Return the objective with this penalty."""
        return Objective(
            *(self.source, self.scaling, penalty, self.fit_intercept, self.weight, self.sample),
            widest=self.widest,
            n_passes=self.n_passes,
            leading=self.leading,
        )

    def minimise(
        self,
        penalty: Penalty,
        names: Sequence[str],
        *,
        is_own_choice: bool = False,
        tol: float = 1e-8,
        max_iter: int = 200,
        start: Array | None = None,
        callback: Progress | None = None,
        began: float = 0.0,
    ) -> tuple[Solution, Objective, KeyboardInterrupt | None]:
        """Minimise with a penalty, by solvers in turn.

        Parameters
        ----------
        names : sequence of str
            Solvers, as in `fastlogit.solvers.minimise`.
        is_own_choice : bool
            Whether the caller chose the first solver: see there.
        began : float
            Start of the fit, by ``time.perf_counter``; by default now.
        penalty, tol, max_iter, start, callback
            As in `minimise`, which has the same results too.

        Raises
        ------
        OutOfTime
            If the caller's time limit passed before the first point.
        """
        objective = self.objective(penalty)
        x0 = np.zeros(objective.shape) if start is None else self.scaling.from_data(_centred_classes(start))
        x0 = objective.chosen(x0.ravel())

        # without a penalty nothing else chooses among coefficients of the same margins
        sets = self.source.partitions if self.fit_intercept and objective.smooth.is_none else []
        free = Partitions.of(sets, self.scaling, objective.smooth)

        def to_data(x: Array) -> Array:
            U = x.reshape(objective.shape)
            return _centred_classes(self.scaling.to_data(U if free is None else free.chosen(U)))

        solution, interrupt = solvers.minimise(
            objective,
            names,
            x0,
            tol=tol,
            max_iter=max_iter,
            callback=None if callback is None else lambda row, x: callback(row, lambda: to_data(x())),
            start=began,
            is_own_choice=is_own_choice,
        )
        direction = solution.direction
        in_data = replace(solution, x=to_data(solution.x), direction=None if direction is None else to_data(direction))
        return in_data, objective, interrupt


@contextmanager
def machine(n_threads: int | None = None, time_limit: float | None = None) -> Iterator[None]:
    """Set the threads and the time limit in seconds of a fit; by default all threads."""
    with threads(n_threads), blas.on_one_thread(), clock.limited(time_limit):
        yield


def minimise(
    source: Source,
    penalty: Penalty,
    *,
    solver: str = "auto",
    fit_intercept: bool = True,
    tol: float = 1e-8,
    max_iter: int = 200,
    random_state: int = 0,
    time_limit: float | None = None,
    n_threads: int | None = None,
    memory_limit: int | None = None,
    start: Array | None = None,
    callback: Progress | None = None,
) -> tuple[Solution, Objective | None, KeyboardInterrupt | None]:
    """Survey a source and minimise over it, without warnings; parameters, checked by the caller, as `fastlogit.solve`.

    Parameters
    ----------
    penalty : Penalty
        Penalty on the coefficients in the data's own units.
    memory_limit : int, optional
        Largest number of bytes held besides X; see `fastlogit.plan`.
    start : ndarray of shape W, optional
        Coefficients in the data's own units to start from.
    callback : callable, optional
        Called with each line of the history, and a function that returns the coefficients there in the data's own
        units; stops the fit by returning True.

    Returns
    -------
    (Solution, Objective or None, KeyboardInterrupt or None)
        The best point, in the data's own units. If the time limit passed before the end of the first read, there is no
        objective, and the point is the start, of unknown value. If Ctrl-C ended the fit, the interrupt, for the caller
        to raise.

    Raises
    ------
    MemoryError, ValueError
        If the memory limit is too low, or X is not valid.
    """
    began, problem, source = time.perf_counter(), None, source.light()
    how = plan(source, solver, not penalty.is_none, memory_limit)
    try:
        with machine(n_threads, time_limit):
            problem = Problem.prepare(
                source, how.sample, random_state, fit_intercept=fit_intercept, eliminates=how.eliminates
            )
            return problem.minimise(
                penalty,
                how.solvers,
                is_own_choice=solver != "auto",
                tol=tol,
                max_iter=max_iter,
                start=start,
                callback=callback,
                began=began,
            )
    except clock.OutOfTime:
        W0 = _centred_classes(
            np.zeros((source.n_features + 1, n_margins(source.n_classes))) if start is None else start
        )
        if problem is None:
            return _unread(W0, 0), None, None
        return _unread(W0, problem.n_passes), problem.objective(penalty), None


def _unread(W: Array, n_passes: int) -> Solution:
    """Return the solution of a fit that ran out of time before it evaluated a point."""
    nan, inf = float("nan"), float("inf")
    return Solution(W, nan, nan, inf, "estimate", n_iter=0, n_passes=n_passes, status=Status.TIME_LIMIT)


def _centred_classes(W: Array) -> Array:
    """Return the coefficients with their mean over classes subtracted: equal probabilities, at most equal penalty."""
    return W if W.shape[1] == 1 else W - W.mean(axis=1, keepdims=True)


def _check_room(source: Source, size: Array, weight: float) -> None:
    """Raise ValueError if squares of ``size``, or in float32 its inverse or the weight, would overflow or underflow.

    ``size`` (n_features,): the columns' means or deviations.
    """
    is_float32 = source.dtype == np.float32
    is_bad = (size > _HUGE_32) | ((size > 0.0) & (size < 1.0 / _HUGE_32)) if is_float32 else size > _HUGE
    if is_bad.any():
        column = named(int(is_bad.argmax()), source.feature_names)
        raise ValueError(
            f"X has values in column {column} of about {size[is_bad][0]:.0e}, which {source.dtype} has no room to "
            f"compute with: rescale the column{' or use float64' * is_float32}"
        )
    if is_float32 and not 1.0 / _HUGE_32 <= weight <= _HUGE_32:
        raise ValueError(
            f"sample_weight times class_weight sums to {weight:.0e}, which float32 has no room to compute with: "
            "rescale the weights, and C against them, or use float64 for X"
        )


def _check_underflow(source: Source, moments: Moments) -> None:
    """Raise ValueError if a column seems constant because its squares underflow; a read of X if one might."""
    tiny = (moments.variance == 0.0) & (moments.mean != 0.0) & (np.abs(moments.mean) < _TINY)
    if not tiny.any():
        return
    scale = np.where(tiny, np.maximum(np.abs(moments.mean), 1e-300), np.inf)
    if source.widest_row(moments.mean, scale) > _EPS:
        column = named(int(np.flatnonzero(tiny)[0]), source.feature_names)
        raise ValueError(
            f"X has values in column {column} whose squares underflow float64 (below about 1e-154): rescale the column"
        )
