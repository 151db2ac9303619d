"""Rows that a fitted model is asked about."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils.validation import check_is_fitted, validate_data

from fastlogit.kernels.jit import threads
from fastlogit.kernels.losses import Logistic, Loss, Softmax
from fastlogit.kernels.storage import margins_at
from fastlogit.prediction import decision_function, parts, predict_proba
from fastlogit.sources.frames import names_of
from fastlogit.sources.intake import as_storage
from fastlogit.sources.numbers import not_finite
from fastlogit.sources.targets import as_offset


def dense(coef: Any) -> NDArray[np.float64]:
    """Return coefficients as an array, also those that `sparsify` keeps otherwise."""
    return np.asarray(coef.toarray() if issparse(coef) else coef, np.float64)


class AskedRows:
    """Rows, as the model reads them."""

    def __init__(self, model: Any, X: Any, offset: Any) -> None:
        check_is_fitted(model)
        self.storage, self._dtype = as_storage(X)
        validate_data(model, X, reset=False, skip_check_array=True)
        if self.storage.shape[1] != model.n_features_in_:
            raise ValueError(
                f"X has {self.storage.shape[1]} features, but {type(model).__name__} is expecting "
                f"{model.n_features_in_} features as input"
            )
        self._X, self._n_threads, self._n_classes = X, model.n_threads, len(model.classes_)
        coef = dense(model.coef_).T
        center = getattr(model, "_center", np.zeros(len(coef))).astype(self._dtype).astype(np.float64)
        self._at = np.vstack([coef, model.intercept_ + margins_at(center, coef)]), center, self._dtype
        self._offset = as_offset(offset, self.storage.shape[0], coef.shape[1])

    def margins(self, rows: tuple[int, int] | None = None) -> NDArray[Any]:
        """Return the margins (rows, K)."""
        with threads(self._n_threads):
            Z = decision_function(self.storage, *self._at, self._offset, rows)
        first = 0 if rows is None else rows[0]
        self._check(~np.isfinite(Z), first)
        return Z

    def probabilities(self) -> NDArray[Any]:
        """Return the probabilities (rows, n_classes)."""
        loss: Loss = Logistic() if self._n_classes == 2 else Softmax(self._n_classes)
        with threads(self._n_threads):
            P = predict_proba(self.storage, loss, *self._at, self._offset)
        for first, last in parts(self.storage, self._n_classes):
            self._check(~(P[first:last] > 0.0), first)  # what infinity leaves; rare else
        return P

    def _check(self, suspicious: NDArray[np.bool_], first: int) -> None:
        """Raise where X is not finite in a row of which an element is ``suspicious``."""
        if not suspicious.any():
            return
        rows = first + np.flatnonzero(suspicious.any(axis=1))
        for start in range(0, len(rows), 4096):
            some = rows[start : start + 4096]
            found = self.storage.take(some).first_not_finite()
            if found is not None:
                row, column, value = found
                raise not_finite(value, int(some[row]), column, names_of(self._X))
