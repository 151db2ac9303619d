"""`solve`: from arrays to a certified optimum."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastlogit import solvers
from fastlogit.exceptions import ConvergenceWarning, Interrupted, SeparationWarning, warn
from fastlogit.kernels.machine import clock
from fastlogit.kernels.machine.jit import threads
from fastlogit.objective import Objective
from fastlogit.parameters import check, seed_of
from fastlogit.plan import is_short, plan
from fastlogit.scaling import Scaling
from fastlogit.solvers.solution import Row, Solution, Status
from fastlogit.sources.numbers import named
from fastlogit.sources.protocol import Source
from fastlogit.sources.sums import Moments, n_margins
from fastlogit.sources.targets import check_classes, memory_source

Progress = Callable[[Row, Callable[[], NDArray[np.float64]]], Any]
# A warning of separation names so many columns at most, those that count at least this share of the first.
_NAMED, _LEADING = 5, 0.3
_SEPARATIONS = (Status.SEPARATED, Status.QUASI_SEPARATED, Status.WEAKLY_PENALIZED)
# Squares of what is smaller are 0, or nearly.
_TINY, _EPS = 1e-140, float(np.finfo(np.float64).eps)
# Of columns larger than the first squares overflow, at least in rows of small weight, which may lie further out; of
# those larger than the second, or smaller than its inverse, coefficients do in float32.
_HUGE, _HUGE_32 = 1e130, 1e30


def solve(
    X: ArrayLike,
    y: ArrayLike,
    *,
    C: float = 1.0,
    sample_weight: ArrayLike | None = None,
    class_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    fit_intercept: bool = True,
    standardize: bool = False,
    solver: str = "auto",
    tol: float = 1e-8,
    max_iter: int = 200,
    time_limit: float | None = None,
    n_threads: int | None = None,
    random_state: int | np.random.RandomState | None = 0,
    callback: Callable[[Row], Any] | None = None,
) -> Solution:
    """Minimise ``sum_i s_i loss_i + (1 / C) (1/2 ||w||^2)`` to a relative gap of ``tol``.

    The loss is the logistic one for two classes, that of softmax for more; intercepts are not penalised. The answer
    does not depend on how the columns are scaled or shifted.

    Parameters
    ----------
    X : array_like (n_samples, n_features)
        Read as it lies, never copied or written; see `fastlogit.sources.intake.as_storage`.
    y : array_like (n_samples,) or (n_samples, n_classes)
        Class codes 0, 1, ..., or probabilities.
    C : float
        Inverse strength of the penalty, infinity for none.
    sample_weight : array_like (n_samples,) or float, optional
        Row weights, not negative; one number is that of every row.
    class_weight : array_like (n_classes,), optional
        Multiplies the weights of each class.
    offset : array_like (n_samples,) for two classes, (n_samples, n_classes) for more, optional
        Added to the margins.
    fit_intercept : bool
        Whether there are intercepts.
    standardize : bool
        Penalise the coefficients of standardised columns instead.
    solver : {"auto", "newton", "lbfgs", "newton-cg"}
        "auto": see `fastlogit.plan.chosen`.
    tol : float
        Relative gap ``(F - F*) / F`` to reach.
    max_iter : int
        Iterations at most.
    time_limit : float, optional
        Seconds, after which the best point so far is returned: no later than 0.2 s and one kernel call after it.
    n_threads : int, optional
        Threads of the kernels; by default all, but one where there is little to do.
    random_state : int, RandomState or None
        Seeds the sample's hash; None draws a seed from NumPy's global state.
    callback : callable, optional
        Called with a `fastlogit.solvers.solution.Row` after each iteration; returning True stops.

    Returns
    -------
    Solution
        With ``coef`` (n_features, K), ``intercept`` (K,), a bound ``gap`` on the distance to the optimum, ``status``
        and ``history``.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what it has, and what is needed.

    fastlogit.Interrupted
        On Ctrl-C; its ``solution`` has the best point so far.

    Warns
    -----
    ConvergenceWarning
        If the gap was not shown to be within ``tol`` by a bound; not where the callback stopped the fit.
    SeparationWarning
        If there is no finite optimum, or only a penalty too weak to tell makes one; it names the columns along which
        the coefficients grow. Separation but for rows on the boundary is looked for by "newton" alone.
    """
    check(
        "solve",
        C=C,
        fit_intercept=fit_intercept,
        standardize=standardize,
        solver=solver,
        tol=tol,
        max_iter=max_iter,
        time_limit=time_limit,
        n_threads=n_threads,
    )
    seed = seed_of(random_state)
    source = memory_source(X, y, sample_weight, class_weight, offset)
    check_classes(source.targets)
    solution, objective, interrupt = minimise(
        source,
        C=C,
        fit_intercept=fit_intercept,
        standardize=standardize,
        solver=solver,
        tol=tol,
        max_iter=max_iter,
        time_limit=time_limit,
        n_threads=n_threads,
        random_state=seed,
        callback=None if callback is None else lambda row, _: callback(row),
    )
    if interrupt is not None:
        raise Interrupted(solution) from interrupt
    complaint = complaint_of(solution, objective)
    if complaint is not None:
        warn(*complaint)
    return solution


def minimise(
    source: Source,
    *,
    C: float,
    fit_intercept: bool,
    standardize: bool,
    solver: str,
    tol: float,
    max_iter: int,
    random_state: int,
    time_limit: float | None = None,
    n_threads: int | None = None,
    memory_limit: int | None = None,
    start: NDArray[np.float64] | None = None,
    callback: Progress | None = None,
) -> tuple[Solution, Objective | None, KeyboardInterrupt | None]:
    """Minimise over a source as `solve` says; no warnings. Callers check parameters.

    Parameters
    ----------
    memory_limit : int, optional
        Bytes that may be held beside X; see `fastlogit.plan`.
    start : ndarray of shape W, optional
        Coefficients of the data's own units to begin at.
    callback : callable, optional
        Called with each row of the history and what returns the coefficients there, of the data's own units.

    Returns
    -------
    (Solution, Objective or None, KeyboardInterrupt or None)
        The best point, of the data's own units. No objective where the time limit passed before the first read had
        ended: the point is then where the fit would have begun, of unknown value. The interrupt, where Ctrl-C ended the
        fit, is the caller's to raise.

    Raises
    ------
    MemoryError, ValueError
        Naming the argument, what it has, and what is needed.
    """
    began = time.perf_counter()
    how = plan(source, solver, C, memory_limit)
    if n_threads is None and is_short(source):
        n_threads = 1
    shape = source.n_features + 1, n_margins(source.n_classes)
    W0 = np.zeros(shape) if start is None else _identified(start)
    objective = None
    try:
        with threads(n_threads), _blas.on_one_thread(), clock.limited(time_limit):
            objective = survey(
                source, how.sample, random_state, C=C, fit_intercept=fit_intercept, standardize=standardize
            )
            scaling = objective.scaling

            def to_data(x: NDArray[np.float64]) -> NDArray[np.float64]:
                return _identified(scaling.to_data(x.reshape(shape)))

            solution, interrupt = solvers.minimise(
                objective,
                how.solvers,
                scaling.from_data(W0).ravel(),
                tol=tol,
                max_iter=max_iter,
                callback=None if callback is None else lambda row, x: callback(row, lambda: to_data(x())),
                start=began,
                is_own_choice=solver != "auto",
            )
    except clock.OutOfTime:
        return _unread(W0, 0 if objective is None else objective.n_passes), objective, None
    direction = solution.direction
    found = replace(solution, x=to_data(solution.x), direction=None if direction is None else to_data(direction))
    return found, objective, interrupt


def _unread(W: NDArray[np.float64], n_passes: int) -> Solution:
    """Return what a fit that was out of time before it had looked at a point ends with."""
    nan, inf = float("nan"), float("inf")
    return Solution(W, nan, nan, inf, "estimate", n_iter=0, n_passes=n_passes, status=Status.TIME_LIMIT)


class _Blas:
    """BLAS on one thread: its others would go on spinning beside the kernels that follow.

    A third of the time of 200 classes (`bench/peers.py`, probe): 10.2 -> 6.6 s. Calls that overlap share one limit:
    each would otherwise restore what the other had set.
    """

    def __init__(self) -> None:
        self._lock, self._running = threading.Lock(), 0
        self._controller: Any = None
        self._limiter: Any = None

    @contextmanager
    def on_one_thread(self) -> Iterator[None]:
        """Limit BLAS while the block, or another that began meanwhile, runs."""
        with self._lock:
            if self._controller is None:
                import scipy.linalg  # noqa: F401  (its BLAS is one of those to limit)
                from threadpoolctl import ThreadpoolController

                self._controller = ThreadpoolController()
            if self._running == 0:
                self._limiter = self._controller.limit(limits=1, user_api="blas")
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                if self._running == 0:
                    self._limiter.restore_original_limits()


_blas = _Blas()


def _identified(W: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the coefficients whose classes sum to 0: the same probabilities, and no more penalty."""
    return W if W.shape[1] == 1 else W - W.mean(axis=1, keepdims=True)


def complaint_of(solution: Solution, objective: Objective | None) -> tuple[str, type[ConvergenceWarning]] | None:
    """Return the warning that a solution deserves; None where it converged, or where the caller stopped the fit."""
    if solution.status is Status.INTERRUPTED or (solution.converged and not solution.separated):
        return None
    if objective is None or solution.direction is None:
        how = " by an estimate" if solution.gap_kind == "estimate" else ""
        known = np.isfinite(solution.gap) and solution.value != 0.0
        gap = f"The relative gap is {solution.gap / abs(solution.value):.1e}{how}." if known else "Its gap is unknown."
        return f"{solution.status.value} {gap}", ConvergenceWarning
    whys = [] if solution.converged else [solution.status]
    if solution.status not in _SEPARATIONS:
        whys.append(Status.WEAKLY_PENALIZED)
    size = np.abs(solution.direction[:-1] * objective.scaling.scale[:, None]).max(axis=1)  # of standardised columns
    leading = np.argsort(-size, kind="stable")[:_NAMED]
    names = objective.source.feature_names
    columns = ", ".join(named(int(j), names) for j in leading if size[j] >= _LEADING * size.max())
    return f"{' '.join(why.value for why in whys)} Columns that lead: {columns}.", SeparationWarning


def survey(source: Source, sample_rows: int | None, seed: int, **settings: Any) -> Objective:
    """Return the objective in scaled coordinates, with a sample where one is worth it; one read of X."""
    if sample_rows is None:
        moments, sample = source.moments(), None
    else:
        moments, sample = source.survey(sample_rows, seed)
    _check_underflow(source, moments)
    _check_room(source, np.maximum(np.abs(moments.mean), 1.0), moments.weight)
    scaling = Scaling.standard(moments, source.dtype, centered=settings["fit_intercept"])
    _check_room(source, scaling.scale, moments.weight)
    return Objective(source, scaling, weight=moments.weight, sample=sample, n_passes=1, **settings)


def _check_room(source: Source, size: NDArray[np.float64], weight: float) -> None:
    """Raise where squares of columns' means, or deviations, or in float32 their inverses or sums, would overflow."""
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
    """Raise where a column seems constant because its squares are 0 in float64; a read of X where that may be."""
    tiny = (moments.variance == 0.0) & (moments.mean != 0.0) & (np.abs(moments.mean) < _TINY)
    if not tiny.any():
        return
    scale = np.where(tiny, np.maximum(np.abs(moments.mean), 1e-300), np.inf)
    if source.widest_row(moments.mean, scale) > _EPS:
        column = named(int(np.flatnonzero(tiny)[0]), source.feature_names)
        raise ValueError(
            f"X has values in column {column} whose squares underflow float64 (below about 1e-154): rescale the column"
        )
