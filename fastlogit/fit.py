"""`solve`: from arrays to a certified optimum."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastlogit.exceptions import ConvergenceWarning, SeparationWarning
from fastlogit.kernels.jit import threads
from fastlogit.objective import Objective
from fastlogit.scaling import Scaling
from fastlogit.solvers import SOLVERS
from fastlogit.solvers.solution import Callback, Solution, Status
from fastlogit.sources.intake import memory_source
from fastlogit.sources.protocol import Source, n_margins

# A sample of a 16th, or of so many rows a column; where that is more than a fourth of all, none.
_SHARE, _ROWS_PER_COLUMN, _LARGEST_SHARE = 1.0 / 16.0, 10, 0.25
_SMALLEST_SAMPLE = 4096
#: Above so many parameters the Hessian, and what it costs, are too large for Newton's method.
LARGEST_HESSIAN = 2048
# A warning of separation names so many columns at most, those that count at least this share of the first.
_NAMED, _LEADING = 5, 0.3


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
    random_state: int = 0,
    callback: Callback | None = None,
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
    sample_weight : array_like (n_samples,), optional
        Row weights, not negative.
    class_weight : array_like (n_classes,), optional
        Multiplies the weights of each class.
    offset : array_like (n_samples,) or (n_samples, K), optional
        Added to the margins.
    fit_intercept : bool
        Whether there are intercepts.
    standardize : bool
        Penalise the coefficients of standardised columns instead.
    solver : {"auto", "newton", "lbfgs", "newton-cg"}
        "auto": "newton" up to `LARGEST_HESSIAN` parameters, "lbfgs" above.
    tol : float
        Relative gap ``(F - F*) / F`` to reach.
    max_iter : int
        Iterations at most.
    time_limit : float, optional
        Seconds; the best point so far is returned.
    n_threads : int, optional
        Threads of the kernels.
    random_state : int
        Seeds the sample's hash.
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
    if not tol > 0.0:
        raise ValueError(f"tol={tol}, but a positive number is needed")
    if max_iter < 1:
        raise ValueError(f"max_iter={max_iter}, but at least 1 is needed")
    if solver not in ("auto", *SOLVERS):
        raise ValueError(f"solver={solver!r}, but one of {', '.join(map(repr, ('auto', *SOLVERS)))} is needed")
    if not C > 0.0:
        raise ValueError(f"C={C}, but a positive number is needed (infinity for no penalty)")
    with threads(n_threads), _blas.on_one_thread():
        source = memory_source(X, y, sample_weight, class_weight, offset)
        objective = survey(source, random_state, C=C, fit_intercept=fit_intercept, standardize=standardize)
        n = objective.shape[0] * objective.shape[1]
        solution = SOLVERS[chosen(n) if solver == "auto" else solver](
            objective, np.zeros(n), tol=tol, max_iter=max_iter, callback=callback, time_limit=time_limit
        )
    _warn(solution, objective)
    direction = solution.direction
    return replace(
        solution,
        x=objective.scaling.to_data(solution.x.reshape(objective.shape)),
        direction=None if direction is None else objective.scaling.to_data(direction.reshape(objective.shape)),
    )


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


def chosen(n_parameters: int) -> str:
    """Return the solver that "auto" takes; `bench/crossovers.py` measures where another would be quicker."""
    return "newton" if n_parameters <= LARGEST_HESSIAN else "lbfgs"


def _warn(solution: Solution, objective: Objective) -> None:
    """Warn of what was not reached, except where the caller interrupted it."""
    if solution.status in (Status.CONVERGED, Status.INTERRUPTED):
        return
    if solution.direction is None:
        gap = f"The relative gap is {solution.gap / abs(solution.value):.1e}"
        how = " by an estimate" if solution.gap_kind == "estimate" else ""
        warnings.warn(f"{solution.status.value} {gap}{how}.", ConvergenceWarning, stacklevel=3)
        return
    size = np.abs(solution.direction.reshape(objective.shape)[:-1]).max(axis=1)  # of standardised columns
    leading = np.argsort(-size, kind="stable")[:_NAMED]
    names = ", ".join(str(j) for j in leading if size[j] >= _LEADING * size.max())
    warnings.warn(f"{solution.status.value} Columns that lead: {names}.", SeparationWarning, stacklevel=3)


def survey(source: Source, seed: int, **settings: Any) -> Objective:
    """Return the objective in scaled coordinates, with a sample where one is worth it; one read of X."""
    n = sample_size(source)
    if n is None:
        moments, sample = source.moments(), None
    else:
        moments, sample = source.survey(n, seed)
    scaling = Scaling.standard(moments, source.dtype, centered=settings["fit_intercept"])
    return Objective(source, scaling, weight=moments.weight, sample=sample, n_passes=1, **settings)


def sample_size(source: Source) -> int | None:
    """Return the rows of the sample that a solver starts on; None where it would not be much smaller than all."""
    n_parameters = (source.n_features + 1) * n_margins(source.n_classes)
    n = max(int(_SHARE * source.n_samples), _ROWS_PER_COLUMN * n_parameters, _SMALLEST_SAMPLE)
    return n if n <= _LARGEST_SHARE * source.n_samples else None
