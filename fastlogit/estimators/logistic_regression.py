"""`LogisticRegression`: fastlogit's solvers with scikit-learn's conventions."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import validate_data

from fastlogit import exceptions
from fastlogit.estimators import starts
from fastlogit.estimators.callbacks import CallbackSupportMixin, FitTask, with_callbacks
from fastlogit.estimators.convergence import OF_SCIKIT_LEARN
from fastlogit.estimators.labels import encoded, factors_of, is_soft
from fastlogit.estimators.prediction_input import Predictions, dense
from fastlogit.estimators.progress import shown
from fastlogit.fit import warning_for
from fastlogit.kernels.losses import Logistic, Loss, Softmax
from fastlogit.parameters import FLAGS, NAMES, RANGES, seed_of
from fastlogit.penalties import Ridge
from fastlogit.problem import minimise
from fastlogit.solvers.solution import Row
from fastlogit.sources.block import Block
from fastlogit.sources.categories import Categories
from fastlogit.sources.frames import check_names
from fastlogit.sources.memory import MemorySource
from fastlogit.sources.mixed import FROM_DTYPE, learnt
from fastlogit.sources.sums import n_margins
from fastlogit.sources.targets import as_labels, as_offset, as_soft, as_weight, check_classes, targets_of


class LogisticRegression(CallbackSupportMixin, Predictions, ClassifierMixin, BaseEstimator):
    """Logistic regression of two classes, softmax regression of more, to a certified optimum.

    With weights s and margins ``z_i = x_i w + b + offset_i`` it minimises

        ``F = sum_i s_i loss(z_i, y_i) + (1 / C) (1/2 ||w||^2)``

    where the loss is ``ln(1 + e^z) - y z`` for two classes and ``ln(sum_k e^{z_k}) - z_y`` for more. Intercepts are not
    penalised. F is scikit-learn's objective divided by C, with the same minimum. Columns are centred and scaled inside,
    which changes the path but not the result. Its bits do not depend on the number of threads.

    Parameters
    ----------
    C : float
        Inverse strength of the penalty; infinity for no penalty.
    fit_intercept : bool
        Whether there are intercepts.
    standardize : bool
        Penalise the coefficients of standardised columns instead of those of the data's own columns. ``coef_`` is in
        the data's units in either case.
    class_weight : dict or "balanced", optional
        Factor of the weights of each class's rows, by label; "balanced" is
        ``sum of weights / (n_classes * sum of the class's weights)``.
    categorical_features : "from_dtype", None, or array_like
        Which columns are categories: those that have a categorical type (pandas ``category``, polars ``Categorical``
        and ``Enum``, Arrow dictionaries); none; or those with the given numbers or names, or marked by a mask. Columns
        of text are never categories by themselves.
    handle_unknown : {"error", "ignore"}
        What to do with a row to predict whose value of a category no row of training had: raise ValueError, or take it
        as none of the levels.
    drop : "first", optional
        Leave out the first level of each category: coefficients are then differences from it. By default all levels
        are kept, so that predictions do not depend on which is the first.
    solver : {"auto", "newton", "lbfgs", "newton-cg"}
        See `fastlogit.solve`.
    tol : float
        The relative gap ``(F - F*) / F`` to reach, where F* is the minimum; the same for every solver.
    max_iter : int
        Maximum number of steps.
    warm_start : bool
        Start at the last fit's coefficients, if the classes and the number of features are the same.
    n_threads : int, optional
        Threads of the kernels, for fitting and predicting; by default all, but one for a short fit.
    memory_limit : int, optional
        Bytes that a fit may hold besides X. It selects a solver and a sample that fit, or raises MemoryError.
    time_limit : float, optional
        Seconds after which the fit ends with the best point so far.
    random_state : int, RandomState or None
        Seed of the sample of rows that the solver starts on; None draws a seed from NumPy's global state.
    verbose : bool
        Show a progress bar with reads of X, objective, gap and remaining time (extra ``cli``). The same is always
        logged to ``logging.getLogger("fastlogit")``.

    Attributes
    ----------
    coef_ : ndarray (1 or n_classes, n_features)
        Coefficients, in units of the data's own columns; of a category one for each level, in the place of its column.
        `get_feature_names_out` has their names.
    intercept_ : ndarray (1 or n_classes,)
        Intercepts.
    classes_ : ndarray (n_classes,)
        The labels, sorted; ``0, 1, ...`` if y has probabilities.
    n_iter_ : ndarray (1,)
        Number of steps on the whole of X.
    n_features_in_, feature_names_in_ : int, ndarray
        As in scikit-learn: of the columns of X.
    categories_ : list of ndarray
        The sorted levels of each category, as in scikit-learn's ``OneHotEncoder``: the values that occur in the rows of
        training, a missing one last.
    objective_ : float
        F at ``coef_``.
    gap_ : float
        An upper bound on ``F - F*`` in the units of F; an estimate if ``gap_kind_`` is "estimate".
    gap_kind_ : str
        The bound that gave ``gap_``: "A", from gradient and Hessian at ``coef_``; "P", from those before the last step;
        "D", from the gradient and the penalty, by duality. Otherwise "estimate".
    converged_ : bool
        Whether a bound, not an estimate, is within ``tol``.
    status_ : str
        How the fit ended, as a sentence.
    n_passes_ : int
        Reads of X: how often all its elements were read. Reads of the sample alone are not counted.
    separated_ : bool
        Whether the classes are completely or quasi-completely separated and the penalty, if any, is too weak to keep
        the coefficients from growing.
    history_ : dict of ndarray
        ``n_passes``, ``objective``, ``grad_norm``, ``gap``, ``gap_kind`` and ``seconds`` of each step;
        ``pandas.DataFrame(history_)`` is a table.

    Notes
    -----
    X is read in place and not copied; `fastlogit.sources.intake.as_storage` and `fastlogit.sources.mixed.as_frame` list
    the exceptions.

    Categories mean what they mean to scikit-learn's ``OneHotEncoder`` before this estimator, and are never encoded as
    columns of zeros and ones. All levels have a coefficient, and the penalty makes them add up to 0. Without a penalty
    they could all rise together while the intercept falls: of these the coefficients are chosen whose sum, weighted by
    the levels' rows, is 0. A level that only rows of weight 0 have gets the coefficient 0.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **{
            name: [Interval(each.kind, each.low, None, closed=each.closed), *([None] if each.optional else [])]
            for name, each in RANGES.items()
        },
        **{name: ["boolean"] for name in (*FLAGS, "warm_start")},
        "class_weight": [Mapping, StrOptions({"balanced"}), None],
        "categorical_features": ["array-like", StrOptions({FROM_DTYPE}), None],
        "handle_unknown": [StrOptions({"error", "ignore"})],
        "drop": [StrOptions({"first"}), None],
        "solver": [StrOptions(set(NAMES))],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        C: float = 1.0,
        fit_intercept: bool = True,
        standardize: bool = False,
        class_weight: Mapping[Any, float] | str | None = None,
        categorical_features: Any = "from_dtype",
        handle_unknown: str = "error",
        drop: str | None = None,
        solver: str = "auto",
        tol: float = 1e-8,
        max_iter: int = 200,
        warm_start: bool = False,
        n_threads: int | None = None,
        memory_limit: int | None = None,
        time_limit: float | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: bool = False,
    ) -> None:
        self.C = C
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.class_weight = class_weight
        self.categorical_features = categorical_features
        self.handle_unknown = handle_unknown
        self.drop = drop
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.n_threads = n_threads
        self.memory_limit = memory_limit
        self.time_limit = time_limit
        self.random_state = random_state
        self.verbose = verbose

    @with_callbacks
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        offset: ArrayLike | None = None,
        coef_init: ArrayLike | None = None,
        intercept_init: ArrayLike | None = None,
    ) -> Self:
        """Fit the model to rows X with labels y.

        Parameters
        ----------
        X : array_like or frame (n_samples, n_features)
            The rows, read in place.
        y : array_like (n_samples,) or (n_samples, n_classes)
            Labels of any kind, or each row's probabilities of the classes.
        sample_weight : array_like (n_samples,) or float, optional
            Row weights, not negative: 0 leaves a row out, 2 is a row twice. One number is the weight of every row.
        offset : array_like (n_samples,) for two classes, (n_samples, n_classes) for more, optional
            Added to the margins.
        coef_init, intercept_init : array_like, optional
            Starting point, of the shapes of ``coef_`` and ``intercept_``.

        Returns
        -------
        self

        Raises
        ------
        MemoryError, TypeError, ValueError
            If an argument is not as described; the message names it, the row and column, what is there, and what is
            needed. The model is unchanged.
        fastlogit.Interrupted
            On Ctrl-C. The model has the best point so far. It is a ``KeyboardInterrupt``, so that loops end too.

        Warns
        -----
        fastlogit.ConvergenceWarning, fastlogit.SeparationWarning
            As in `fastlogit.solve`; both are scikit-learn's ``ConvergenceWarning`` too.
        """
        self._validate_once()
        check_names(X)
        storage, names, categories = learnt(
            *(X, self.categorical_features),
            drops_first=self.drop == "first",
            ignores_unknown=self.handle_unknown == "ignore",
        )
        fitted = copy(self)  # `self` is changed all at once at the end: not at all if the fit fails
        fitted.__dict__.pop("feature_names_in_", None)
        validate_data(fitted, X, y, skip_check_array=True)
        source, classes = self._source(storage, names, as_labels("y", y), sample_weight, offset)
        task = FitTask(self, X, y, sample_weight, n_features_in_=fitted.n_features_in_)
        with shown(self.verbose, self.tol) as show:

            def callback(row: Row, W: Callable[[], NDArray[np.float64]]) -> bool:
                show(row)
                return task.step(lambda: _attributes(W(), classes))

            solution, objective, interrupt = minimise(
                source,
                Ridge(self.C, self.standardize),
                fit_intercept=self.fit_intercept,
                solver=self.solver,
                tol=self.tol,
                max_iter=self.max_iter,
                time_limit=self.time_limit,
                n_threads=self.n_threads,
                memory_limit=self.memory_limit,
                random_state=seed_of(self.random_state),
                start=self._start(classes, source.n_features, categories, coef_init, intercept_init),
                callback=callback,
            )
        task.end(_attributes(solution.x, classes))
        rows = solution.history
        fitted.__dict__.update(
            _attributes(solution.x, classes),
            n_iter_=np.array([max(min(1, self.max_iter), solution.n_iter)], np.int32),
            objective_=solution.value,
            gap_=solution.gap,
            gap_kind_=solution.gap_kind,
            converged_=solution.converged,
            status_=solution.status.value,
            n_passes_=solution.n_passes,
            separated_=solution.separated or solution.quasi_separated,
            history_={
                name: np.array([getattr(row, field) for row in rows])
                for name, field in zip(_HISTORY, Row.__dataclass_fields__, strict=True)
            },
            categories_=[] if categories is None else list(categories.levels.values()),
            _categories=categories,
            _center=np.zeros(source.n_features) if objective is None else objective.scaling.center,
        )
        self.__dict__.update(fitted.__dict__)
        if not hasattr(fitted, "feature_names_in_"):
            self.__dict__.pop("feature_names_in_", None)
        if interrupt is not None:
            raise exceptions.Interrupted(solution) from interrupt
        warning = warning_for(solution, objective)
        if warning is not None:
            exceptions.warn(warning[0], OF_SCIKIT_LEARN[warning[1]])
        return self

    def _validate_once(self) -> None:
        """Validate the parameters, unless these values have been found valid before: a tenth of the time of 100 x 5."""
        values = [getattr(self, name) for name in self._parameter_constraints]
        key: Any = (type(self), *map(type, values), *values)
        plain = all(each is None or isinstance(each, str | int | float) for each in values)  # kept alive for ever
        if plain and key in _valid:
            return
        self._validate_params()
        if plain and len(_valid) < _MOST_VALID:
            _valid.add(key)

    def _source(
        self, storage: Any, names: Sequence[str] | None, y: Any, sample_weight: Any, offset: Any
    ) -> tuple[MemorySource, NDArray[Any]]:
        """Return the source of rows and targets, and the classes."""
        n_samples = storage.shape[0]
        if is_soft(y):
            codes = as_soft(y, n_samples)
            classes = np.arange(codes.shape[1])
        else:
            classes, codes = encoded(y, n_samples)
        loss: Loss = Logistic() if len(classes) == 2 else Softmax(len(classes))
        weight = as_weight(sample_weight, n_samples)
        factors = None if self.class_weight is None else factors_of(self.class_weight, codes, classes, weight)
        targets = targets_of(codes, loss, weight, factors, as_offset(offset, n_samples, n_margins(len(classes))))
        check_classes(targets)
        return MemorySource([Block(storage, targets, loss)], names), classes

    def _start(
        self, classes: NDArray[Any], n_features: int, categories: Categories | None, coef: Any, intercept: Any
    ) -> NDArray[np.float64] | None:
        """Return the starting point, of the shape of W; None for the solver's own choice."""
        shape = n_margins(len(classes)), n_features
        if coef is not None or intercept is not None:
            return starts.as_given(coef, intercept, shape, self.fit_intercept)
        if not (self.warm_start and hasattr(self, "coef_") and np.array_equal(self.classes_, classes)):
            return None
        if not Categories.are_alike(categories, getattr(self, "_categories", None)):
            return None
        return starts.of_last_fit(dense(self.coef_), self.intercept_, shape, self.fit_intercept)

    def __sklearn_tags__(self) -> Any:
        """Declare to scikit-learn that sparse rows and categories are accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.categorical = True
        return tags


# Parameters that were found valid, with their types.
_valid: set[tuple[Any, ...]] = set()
_MOST_VALID = 1024
_HISTORY = ("n_passes", "objective", "grad_norm", "gap", "gap_kind", "seconds")


def _attributes(W: NDArray[np.float64], classes: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return the attributes that predictions need."""
    return {"coef_": np.ascontiguousarray(W[:-1].T), "intercept_": W[-1].copy(), "classes_": classes}
