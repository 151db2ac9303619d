"""Data with categories: which columns they are, and the columns read as what they are."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.exceptions import InputError
from fastlogit.kernels.machine.jit import read_only
from fastlogit.kernels.storages.table import Column
from fastlogit.sources import codings
from fastlogit.sources.categories import Categories, FeatureNames, Frame
from fastlogit.sources.codings import Coding
from fastlogit.sources.frames import (
    arrow_columns,
    arrow_table,
    is_arrow,
    is_pandas,
    is_series,
    names_of,
    pandas_columns,
)
from fastlogit.sources.intake import as_storage, check_is_matrix, check_is_table, check_shape
from fastlogit.sources.numbers import as_numbers, named

FROM_DTYPE = "from_dtype"


def categorical_columns(X: Any, asked: Any, name: str = "X") -> list[int]:
    """Return the numbers of the columns that are categories, ascending.

    Parameters
    ----------
    X : array_like or frame
        The data.
    asked : "from_dtype", None, or array_like
        "from_dtype": a frame's columns of a categorical type, pandas' ``category``, polars' ``Categorical`` and
        ``Enum``, Arrow's dictionaries. None: none. Else numbers or names of columns, or a mask of booleans.

    Raises
    ------
    ValueError
        If a column is named that X does not have; the message names it.
    """
    if asked is None or (isinstance(asked, str) and asked == FROM_DTYPE):
        return [] if asked is None else _by_type(X, name)
    check_is_table(X, name)
    what, names = "categorical_features", names_of(X)
    n_columns = (
        X.shape[1] if hasattr(type(X), "tocsr") else len(names) if names is not None else _matrix(X, name).shape[1]
    )
    given = np.asarray(asked)
    if given.size == 0:
        return []
    if given.ndim != 1:
        raise ValueError(f"{what} has shape {given.shape}, but a list of columns is needed")
    if given.dtype.kind == "b":
        if len(given) != n_columns:
            raise ValueError(f"{what} is a mask of {len(given)} columns, but {name} has {n_columns}")
        return np.flatnonzero(given).tolist()
    if given.dtype.kind in "iu":
        strays = given[(given < 0) | (given >= n_columns)]
        if len(strays):
            raise ValueError(f"{what} has column {strays[0]}, but columns of {name} go from 0 to {n_columns - 1}")
        return sorted(set(given.tolist()))
    if given.dtype.kind not in "OUT" or not all(isinstance(each, str) for each in given.tolist()):
        raise ValueError(
            f"{what}={asked!r}, but {FROM_DTYPE!r}, None, or numbers, names or a mask of columns is needed"
        )
    if names is None:
        raise ValueError(f"{what} has names, but {name} is a {type(X).__name__}, which has none: give columns' numbers")
    missing = [each for each in given.tolist() if each not in names]
    if missing:
        raise ValueError(f"{what} has {missing[0]!r}, which is no column of {name}")
    return sorted({names.index(each) for each in given.tolist()})


def _by_type(X: Any, name: str) -> list[int]:
    if is_series(X):
        return []
    if is_pandas(X):
        return [j for j, dtype in enumerate(X.dtypes) if _is_categorical(dtype)]
    if is_arrow(X) and not hasattr(type(X), "tocsr"):
        table = arrow_table(X, name)
        return [j for j, kind in enumerate(table.schema.types) if str(kind).startswith("dictionary")]
    return []


def _is_categorical(dtype: Any) -> bool:
    return type(dtype).__name__ == "CategoricalDtype" or str(getattr(dtype, "pyarrow_dtype", "")).startswith(
        "dictionary"
    )


def as_frame(X: Any, columns: Collection[int], name: str = "X") -> Frame:
    """Return data with some columns, at least one, as categories; nothing is copied that can be read in place.

    Copied are codes that are made, of columns that have none; of Arrow columns with missing values; and of those whose
    dictionary changes from chunk to chunk, or has far more values than there are levels.

    Raises
    ------
    ModuleNotFoundError, InputError, ValueError
        As in `fastlogit.sources.intake.as_storage`; also if a category's values are no levels.
    """
    check_is_table(X, name)
    if hasattr(type(X), "tocsr"):
        raise InputError(
            f"{name} is sparse, and categorical_features are columns of frames and arrays: encode them first"
        )
    names = names_of(X)
    if is_pandas(X) or is_arrow(X):
        read = (pandas_columns if is_pandas(X) else arrow_columns)(X, name, columns)
    else:
        array = _matrix(X, name)
        read = [_column_of(array, j, j in columns, f"{name} column {named(j, names)}") for j in range(array.shape[1])]
    first = read[0].column if isinstance(read[0], Coding) else read[0]
    n_samples = sum(rows for _, rows in first.pieces)
    check_shape((n_samples, len(read)), name)
    found = {j: each for j, each in enumerate(read) if isinstance(each, Coding)}
    return Frame(n_samples, len(read), found, [each for each in read if not isinstance(each, Coding)], names, name)


def _matrix(X: Any, name: str) -> NDArray[Any]:
    """Return an array, or nested lists as objects, which keep their numbers beside texts."""
    array = np.asarray(X, None if hasattr(X, "dtype") else object)
    check_is_matrix(array, name)
    return array


def _column_of(array: NDArray[Any], j: int, is_category: bool, what: str) -> Any:
    values = array[:, j]
    return codings.of_array(values, what) if is_category else Column.of(read_only(as_numbers(what, values)))


def learnt(
    X: Any, asked: Any, *, drops_first: bool, ignores_unknown: bool
) -> tuple[Any, Sequence[str] | None, Categories | None]:
    """Return the storage of rows to learn from, its columns' names, and the categories, None if there are none.

    Parameters
    ----------
    X : array_like or frame
        The rows.
    asked : see `categorical_columns`
        Which columns are categories.
    drops_first, ignores_unknown : bool
        See `Categories`.
    """
    columns = categorical_columns(X, asked)
    if not columns:
        return as_storage(X)[0], names_of(X), None
    categories, storage = Categories.learnt(
        as_frame(X, columns), drops_first=drops_first, ignores_unknown=ignores_unknown
    )
    return storage, FeatureNames(categories, names_of(X)), categories


def recoded(X: Any, categories: Categories | None) -> tuple[Any, Sequence[str] | None, int]:
    """Return the storage of rows to predict, its columns' names, and the number of columns of X.

    Values are taken as the levels of ``categories``; raises ValueError if one is none.
    """
    if categories is None:
        storage = as_storage(X)[0]
        return storage, names_of(X), storage.shape[1]
    frame = as_frame(X, categories.levels.keys())
    if frame.n_columns != categories.n_columns:
        return None, frame.names, frame.n_columns
    return categories.storage(frame), FeatureNames(categories, frame.names), frame.n_columns
