"""`solve`: from arrays to a certified optimum."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastlogit.exceptions import ConvergenceWarning, Interrupted, SeparationWarning, warn
from fastlogit.objective import Objective
from fastlogit.parameters import check, seed_of
from fastlogit.penalties import Ridge
from fastlogit.problem import minimise
from fastlogit.solvers.solution import Row, Solution, Status
from fastlogit.sources.numbers import named
from fastlogit.sources.targets import check_classes, memory_source

# A warning of separation names at most this many columns, whose coefficients are at least this share of the largest.
_NAMED, _LEADING = 5, 0.3
_SEPARATIONS = (Status.SEPARATED, Status.QUASI_SEPARATED, Status.WEAKLY_PENALIZED)


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

    The loss is logistic for two classes, softmax cross-entropy for more; intercepts are not penalised. Solvers
    work on standardised columns: how the columns are scaled or shifted slows none of them down.

    Parameters
    ----------
    X : array_like (n_samples, n_features)
        Read in place, never copied or written; see `fastlogit.sources.intake.as_storage`.
    y : array_like (n_samples,) or (n_samples, n_classes)
        Class codes 0, 1, ..., or probabilities.
    C : float
        Inverse strength of the penalty, infinity for none.
    sample_weight : array_like (n_samples,) or float, optional
        Row weights, not negative; one number is every row's weight.
    class_weight : array_like (n_classes,), optional
        Multiplies the weights of each class's rows.
    offset : array_like (n_samples,) for two classes, (n_samples, n_classes) for more, optional
        Added to the margins.
    fit_intercept : bool
        Whether there are intercepts.
    standardize : bool
        Whether w in the penalty are the coefficients of standardised columns.
    solver : {"auto", "newton", "lbfgs", "newton-cg"}
        "auto" chooses by the shape of X: see `fastlogit.plan.chosen`.
    tol : float
        Relative gap ``(F - F*) / F`` to reach.
    max_iter : int
        Largest number of iterations.
    time_limit : float, optional
        Seconds after which the fit ends with the best point so far, at most 0.2 s and one kernel call late.
    n_threads : int, optional
        Threads of the kernels; by default all, or one where there is little to do.
    random_state : int, RandomState or None
        Seed of the sample; None draws one from NumPy's global state.
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
        If an argument is not valid: the message names it, what it has, and what is needed.

    fastlogit.Interrupted
        On Ctrl-C; its ``solution`` has the best point so far.

    Warns
    -----
    ConvergenceWarning
        If no bound shows that the gap is within ``tol``, unless the callback stopped the fit.
    SeparationWarning
        If there is no finite optimum, or only because of a negligible penalty; it names the columns whose coefficients
        grow. Quasi-complete separation (some rows on the boundary) is detected by "newton" alone.
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
        Ridge(C, standardize),
        fit_intercept=fit_intercept,
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
    warning = warning_for(solution, objective)
    if warning is not None:
        warn(*warning)
    return solution


def warning_for(solution: Solution, objective: Objective | None) -> tuple[str, type[ConvergenceWarning]] | None:
    """Return the message and class of a solution's warning; None if it converged, or the caller stopped the fit."""
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
