"""Predictions of a fitted model, and the checks of the rows that it is given."""

from copy import copy
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix, issparse
from scipy.special import log_expit, log_softmax
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from fastlogit.costs import is_little
from fastlogit.estimators.encoder import in_pipeline
from fastlogit.estimators.labels import is_soft
from fastlogit.kernels.losses import Logistic, Loss, Softmax
from fastlogit.kernels.machine.jit import max_threads, threads
from fastlogit.kernels.storages.storage import margins_at
from fastlogit.objective import LARGE
from fastlogit.prediction import decision_function, parts, predict_proba
from fastlogit.sources import plain
from fastlogit.sources.categories import FeatureNames
from fastlogit.sources.frames import check_names
from fastlogit.sources.mixed import recoded
from fastlogit.sources.numbers import not_finite
from fastlogit.sources.targets import as_labels, as_offset, as_soft

_BLOCK = 1 << 18


def dense(coef: Any) -> NDArray[np.float64]:
    """Return coefficients as an array, also those that `Predictions.sparsify` made a sparse matrix."""
    return np.asarray(coef.toarray() if issparse(coef) else coef, np.float64)


class PredictionInput:
    """Rows to predict, checked against a fitted model, with the model's coefficients."""

    def __init__(self, model: Any, X: Any, offset: Any) -> None:
        check_is_fitted(model)
        self.storage, self._names, n_columns = recoded(X, getattr(model, "_categories", None))
        check_names(X)
        validate_data(model, X, reset=False, skip_check_array=True)
        if n_columns != model.n_features_in_:
            raise ValueError(
                f"X has {n_columns} features, but {type(model).__name__} is expecting "
                f"{model.n_features_in_} features as input"
            )
        self._dtype, self._n_classes = self.storage.computing_dtype, len(model.classes_)
        # a model may have been fitted on a machine with more cores
        n = model.n_threads
        self._n_threads: Any = min(int(n), max_threads()) if isinstance(n, Integral) else n
        coef = dense(model.coef_).T
        center = getattr(model, "_center", np.zeros(len(coef))).astype(self._dtype).astype(np.float64)
        W = np.vstack([coef, model.intercept_ + margins_at(center, coef)])
        if np.abs(W).max() > LARGE:
            self._dtype = np.dtype(np.float64)
        self._at = W, center, self._dtype
        self._offset = as_offset(offset, self.storage.shape[0], coef.shape[1])

    @property
    def _is_little(self) -> bool:
        return is_little(self.storage.shape[0], *self._at[0].shape)

    def margins(self, rows: tuple[int, int] | None = None) -> NDArray[Any]:
        """Return the margins (rows, K), of all rows or of a range (first, last); of few rows without a kernel."""
        if self._is_little:
            with np.errstate(over="ignore"):  # infinite where float32 has no room, as a kernel's
                Z = self._little_margins().astype(self._dtype)[slice(None) if rows is None else slice(*rows)]
        else:
            with threads(self._n_threads):
                Z = decision_function(self.storage, *self._at, self._offset, rows)
        first = 0 if rows is None else rows[0]
        self._check(~np.isfinite(Z), first)
        return Z

    def probabilities(self) -> NDArray[Any]:
        """Return the probabilities (rows, n_classes)."""
        loss: Loss = Logistic() if self._n_classes == 2 else Softmax(self._n_classes)
        if self._is_little:
            P = plain.probabilities(self._little_margins()).astype(self._dtype)
        else:
            with threads(self._n_threads):
                P = predict_proba(self.storage, loss, *self._at, self._offset)
        for first, last in parts(self.storage, self._n_classes):
            self._check(~(P[first:last] > 0.0), first)  # 0 or NaN: rare, but the result of NaN or infinity in X
        return P

    def _little_margins(self) -> NDArray[np.float64]:
        return plain.margins(self.storage, *self._at[:2], self._offset)

    def _check(self, suspicious: NDArray[np.bool_], first: int) -> None:
        """Raise ValueError if X is not finite in a row with a ``suspicious`` element; ``first`` is their first row."""
        if not suspicious.any():
            return
        rows = first + np.flatnonzero(suspicious.any(axis=1))
        for start in range(0, len(rows), 4096):
            some = rows[start : start + 4096]
            found = self.storage.take(some).first_not_finite()
            if found is not None:
                row, column, value = found
                raise not_finite(value, int(some[row]), column, self._names)


class Predictions:
    """Methods of a fitted model that use ``coef_``, ``intercept_`` and ``classes_`` only."""

    coef_: Any
    intercept_: NDArray[np.float64]
    classes_: NDArray[Any]

    def decision_function(self, X: Any, *, offset: ArrayLike | None = None) -> NDArray[Any]:
        """Return the margins ``X @ coef_.T + intercept_ + offset``.

        Parameters
        ----------
        X : array_like or frame (n_samples, n_features)
            The rows, read once, in place.
        offset : array_like (n_samples,) for two classes, (n_samples, n_classes) for more, optional
            Added to the margins. A model that was fitted with an offset needs that of these rows.

        Returns
        -------
        ndarray (n_samples,) for two classes, (n_samples, n_classes) for more
            float32 if X is float32 or narrower, else float64.

        Raises
        ------
        TypeError, ValueError
            If X is not a matrix of finite real numbers with the columns of the fit, or ``offset`` does not match.
        """
        rows = PredictionInput(self, X, offset)
        Z = rows.margins()
        return Z[:, 0] if Z.shape[1] == 1 else Z

    def predict(self, X: Any, *, offset: ArrayLike | None = None) -> NDArray[Any]:
        """Return the most probable class of each row (n_samples,); parameters as in `decision_function`."""
        rows = PredictionInput(self, X, offset)
        n = rows.storage.shape[0]
        codes = np.empty(n, np.min_scalar_type(len(self.classes_)))
        for first in range(0, n, _BLOCK):
            last = min(first + _BLOCK, n)
            Z = rows.margins((first, last))
            codes[first:last] = Z[:, 0] > 0.0 if Z.shape[1] == 1 else Z.argmax(axis=1)
        return np.asarray(self.classes_[codes])

    def predict_proba(self, X: Any, *, offset: ArrayLike | None = None) -> NDArray[Any]:
        """Return the probabilities of ``classes_`` (n_samples, n_classes); parameters as in `decision_function`."""
        return PredictionInput(self, X, offset).probabilities()

    def predict_log_proba(self, X: Any, *, offset: ArrayLike | None = None) -> NDArray[Any]:
        """Return the logarithms of the probabilities (n_samples, n_classes), finite where these themselves round to 0.

        Parameters as in `decision_function`.
        """
        Z = PredictionInput(self, X, offset).margins()
        if Z.shape[1] == 1:
            return np.asarray(log_expit(np.concatenate([-Z, Z], axis=1)))
        return np.asarray(log_softmax(Z, axis=1))

    def score(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, *, offset: ArrayLike | None = None
    ) -> float:
        """Return the accuracy: the weighted share of rows whose label is the most probable class.

        Parameters
        ----------
        X : array_like or frame (n_samples, n_features)
            The rows.
        y : array_like (n_samples,) or (n_samples, n_classes)
            Labels; of probabilities, the class that is the most probable.
        sample_weight : array_like (n_samples,), optional
            Row weights.
        offset : array_like, optional
            As in `decision_function`.
        """
        predicted, y = self.predict(X, offset=offset), as_labels("y", y)
        if is_soft(y):
            P = as_soft(y, len(predicted))
            if P.shape[1] != len(self.classes_):
                raise ValueError(f"y has shape {P.shape}, but the model has {len(self.classes_)} classes")
            y = self.classes_[P.argmax(axis=1)]
        return float(accuracy_score(y, predicted, sample_weight=sample_weight))

    def sparsify(self) -> Self:
        """Convert ``coef_`` to a SciPy CSR matrix, which is smaller if most coefficients are 0; return self."""
        check_is_fitted(self)
        self.coef_ = csr_matrix(self.coef_)
        return self

    def densify(self) -> Self:
        """Convert ``coef_`` back to an array; return self."""
        check_is_fitted(self)
        self.coef_ = dense(self.coef_)
        return self

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the columns of ``coef_``: those of X, and ``column_level`` for each level of a category.

        Parameters
        ----------
        input_features : array_like of str, optional
            Names of the columns of X; by default those that it had, or ``x0, x1, ...``.

        Returns
        -------
        ndarray of str (n_coefficients,)
            As scikit-learn's ``OneHotEncoder`` names them.
        """
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        categories = getattr(self, "_categories", None)
        return np.asarray(names if categories is None else list(FeatureNames(categories, list(names))), object)

    def to_sklearn(self) -> Any:
        """Return a model of scikit-learn's that predicts the same, for tools such as ONNX, PMML and SHAP.

        Returns
        -------
        sklearn.linear_model.LogisticRegression or sklearn.pipeline.Pipeline
            With categories a pipeline, whose first step encodes them by ``OneHotEncoder``. The model has the parameters
            that both classes share; it takes no offset.
        """
        import sklearn.linear_model

        check_is_fitted(self)
        shared = ("C", "fit_intercept", "class_weight", "tol", "max_iter", "warm_start")
        twin = sklearn.linear_model.LogisticRegression(**{name: getattr(self, name) for name in shared})
        for name in ("coef_", "intercept_", "classes_", "n_iter_", "n_features_in_", "feature_names_in_"):
            if hasattr(self, name):
                setattr(twin, name, copy(getattr(self, name)))
        categories = getattr(self, "_categories", None)
        if categories is None:
            return twin
        twin.n_features_in_ = categories.n_features
        twin.__dict__.pop("feature_names_in_", None)
        return in_pipeline(twin, categories, getattr(self, "feature_names_in_", None))

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether there are coefficients."""
        return hasattr(self, "coef_")
