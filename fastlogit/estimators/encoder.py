"""A model's categories as scikit-learn's encoders."""

from importlib import import_module
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.sources.categories import Categories


def in_pipeline(model: Any, categories: Categories, names: NDArray[np.object_] | None) -> Any:
    """Return a fitted pipeline that encodes categories as columns of zeros and ones, then applies a fitted model.

    Parameters
    ----------
    model : estimator
        scikit-learn's, of the encoded columns.
    categories : Categories
        The columns and their levels.
    names : ndarray of str or None
        Names of the columns, if they are those of a frame.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    steps = []
    for is_category, group in groupby(range(categories.n_columns), lambda column: column in categories.levels):
        columns, step = list(group), "passthrough"
        if is_category:
            step = OneHotEncoder(
                categories=[categories.levels[column] for column in columns],
                drop="first" if categories.drops_first else None,
                handle_unknown="ignore" if categories.ignores_unknown else "error",
            )
        steps.append(
            (f"columns {columns[0]} to {columns[-1]}", step, columns if names is None else list(names[columns]))
        )
    rows = _rows_with_all_levels(categories, names)
    return Pipeline([("encode", ColumnTransformer(steps, verbose_feature_names_out=False).fit(rows)), ("fit", model)])


def _rows_with_all_levels(categories: Categories, names: NDArray[np.object_] | None) -> Any:
    """Return a frame, or a matrix, that has every level of every category, and zeros for numbers."""
    n = max(len(levels) for levels in categories.levels.values())
    columns = [
        np.resize(categories.levels[column], n) if column in categories.levels else np.zeros(n)
        for column in range(categories.n_columns)
    ]
    if names is not None:
        return import_module("pandas").DataFrame(dict(zip(names, columns, strict=True)))
    if not any(column.dtype == object for column in columns):
        return np.column_stack(columns)
    rows = np.empty((n, len(columns)), object)
    for j, column in enumerate(columns):
        rows[:, j] = column.astype(object)
    return rows
