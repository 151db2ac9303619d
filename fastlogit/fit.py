"""`solve`: from arrays to a certified optimum."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastlogit.exceptions import ConvergenceWarning, SeparationWarning, warn
from fastlogit.kernels.jit import threads
from fastlogit.objective import Objective
from fastlogit.parameters import check, seed_of
from fastlogit.plan import is_short, plan
from fastlogit.scaling import Scaling
from fastlogit.solvers import SOLVERS
from fastlogit.solvers.solution import Row, Solution, Status
from fastlogit.sources.numbers import named
from fastlogit.sources.protocol import Source
from fastlogit.sources.targets import check_classes, memory_source

Progress = Callable[[Row, NDArray[np.float64]], Any]
# A warning of separation names so many columns at most, those that count at least this share of the first.
_NAMED, _LEADING = 5, 0.3
# Where another solver comes after it, the first one has so many steps.
_FIRST_STEPS = 50


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
        Seconds; the best point so far is returned.
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

    Warns
    -----
    ConvergenceWarning
        If the gap is not within ``tol``, by a bound or, where ``gap_kind`` says so, by an estimate; not where the
        caller interrupted the fit.
    SeparationWarning
        If there is no finite optimum; it names the columns along which the coefficients grow. Separation but for rows
        on the boundary is looked for by "newton" alone.
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
    solution, objective = minimise(
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
) -> tuple[Solution, Objective]:
    """Minimise over a source as `solve` says, and return the objective too; no warnings. Callers check parameters.

    Parameters
    ----------
    memory_limit : int, optional
        Bytes that may be held beside X; see `fastlogit.plan`.
    start : ndarray of shape W, optional
        Coefficients of the data's own units to begin at.
    callback : callable, optional
        Called with each row of the history and the coefficients there, of the data's own units.

    Raises
    ------
    MemoryError, ValueError
        Naming the argument, what it has, and what is needed.
    """
    how = plan(source, solver, C, memory_limit)
    if n_threads is None and is_short(source):
        n_threads = 1
    with threads(n_threads), _blas.on_one_thread():
        objective = survey(source, how.sample, random_state, C=C, fit_intercept=fit_intercept, standardize=standardize)
        scaling, shape = objective.scaling, objective.shape

        def to_data(x: NDArray[np.float64]) -> NDArray[np.float64]:
            return _identified(scaling.to_data(x.reshape(shape)))

        x0 = np.zeros(shape) if start is None else scaling.from_data(_identified(start))
        solution = _in_turn(
            objective,
            how.solvers,
            x0.ravel(),
            tol=tol,
            max_iter=max_iter,
            callback=None if callback is None else lambda row, x: callback(row, to_data(x)),
            time_limit=time_limit,
        )
        direction = solution.direction
        found = replace(solution, x=to_data(solution.x), direction=None if direction is None else to_data(direction))
    return found, objective


def _in_turn(
    objective: Objective,
    solvers: list[str],
    x0: NDArray[np.float64],
    *,
    max_iter: int,
    time_limit: float | None,
    **settings: Any,
) -> Solution:
    """Call solvers in turn, each from where the last one ended, until one bounds the gap or the caller stops it."""
    name, *others = solvers
    most = min(max_iter, _FIRST_STEPS) if others else max_iter
    start = time.perf_counter()
    solution = SOLVERS[name](objective, x0, max_iter=most, time_limit=time_limit, **settings)
    is_bounded = solution.converged and solution.gap_kind != "estimate"
    gave_up = solution.status in (Status.MAX_ITER, Status.STALLED, Status.CONVERGED)
    if not others or is_bounded or not gave_up or solution.n_iter >= max_iter:
        return solution
    seconds = time.perf_counter() - start
    left = None if time_limit is None else max(time_limit - seconds, 0.0)
    last = _in_turn(objective, others, solution.x, max_iter=max_iter - solution.n_iter, time_limit=left, **settings)
    history = [*solution.history, *(replace(row, seconds=row.seconds + seconds) for row in last.history)]
    return replace(last, n_iter=solution.n_iter + last.n_iter, history=history)


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


def complaint_of(solution: Solution, objective: Objective) -> tuple[str, type[ConvergenceWarning]] | None:
    """Return the warning that a solution deserves; None where it converged, or where the caller interrupted it."""
    if solution.status in (Status.CONVERGED, Status.INTERRUPTED):
        return None
    if solution.direction is None:
        gap = f"The relative gap is {solution.gap / abs(solution.value):.1e}"
        how = " by an estimate" if solution.gap_kind == "estimate" else ""
        return f"{solution.status.value} {gap}{how}.", ConvergenceWarning
    size = np.abs(solution.direction[:-1] * objective.scaling.scale[:, None]).max(axis=1)  # of standardised columns
    leading = np.argsort(-size, kind="stable")[:_NAMED]
    names = objective.source.feature_names
    columns = ", ".join(named(int(j), names) for j in leading if size[j] >= _LEADING * size.max())
    return f"{solution.status.value} Columns that lead: {columns}.", SeparationWarning


def survey(source: Source, sample_rows: int | None, seed: int, **settings: Any) -> Objective:
    """Return the objective in scaled coordinates, with a sample where one is worth it; one read of X."""
    if sample_rows is None:
        moments, sample = source.moments(), None
    else:
        moments, sample = source.survey(sample_rows, seed)
    scaling = Scaling.standard(moments, source.dtype, centered=settings["fit_intercept"])
    return Objective(source, scaling, weight=moments.weight, sample=sample, n_passes=1, **settings)
