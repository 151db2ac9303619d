"""pandas and Arrow frames: the names of their columns, and where these are in memory.

Frames are recognised by attributes of their type, not of the object: a pandas frame has its columns as attributes too,
so that a column named "tocsr" would make it look like a sparse matrix.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.exceptions import InputError, warn
from fastlogit.kernels.storages.storage import computing_dtype
from fastlogit.kernels.storages.table import Column
from fastlogit.sources import codings
from fastlogit.sources.numbers import as_numbers, named

# A frame of at most this many rows is copied: for 30 columns 0.03 ms, where pandas takes 0.3 ms to make an object of
# each column.
_FEW_ROWS = 16
#: What to do about a column that is no numbers, in messages.
AS_CATEGORIES = "encode it as numbers first, or, for LogisticRegression, name it in categorical_features"
# An error names at most this many columns.
_NAMED = 5


def is_pandas(X: Any) -> bool:
    """Return whether X is a pandas frame, or has its interface."""
    return all(hasattr(type(X), name) for name in ("iloc", "dtypes", "columns"))


def is_arrow(X: Any) -> bool:
    """Return whether X exports Arrow arrays: a frame or series of polars or of Arrow."""
    return hasattr(type(X), "__arrow_c_stream__") or hasattr(type(X), "__arrow_c_array__")


def is_series(X: Any) -> bool:
    """Return whether X is a series of pandas or polars: one column, or one row."""
    return (hasattr(type(X), "iloc") or is_arrow(X)) and len(getattr(X, "shape", (0, 0))) == 1


def names_of(X: Any) -> list[str] | None:
    """Return the names of a frame's columns; None if X has no names."""
    if not is_pandas(X) and not is_arrow(X):
        return None
    columns = next((getattr(X, name) for name in ("column_names", "columns") if hasattr(type(X), name)), None)
    if columns is None and hasattr(type(X), "schema"):
        columns = X.schema.names
    return None if columns is None else [str(name) for name in columns]


def check_names(X: Any) -> None:
    """Raise ValueError if columns of a frame share a name: estimators identify columns by name."""
    names = X.columns if is_pandas(X) else getattr(X, "column_names", ()) if is_arrow(X) else ()
    if getattr(names, "is_unique", False) or len(set(names)) == len(names):
        return
    repeated = next(name for name in names if list(names).count(name) > 1)
    raise ValueError(f"X has several columns of the name {repeated!r}: give each its own, or drop the copies")


def is_sparse_frame(X: Any) -> bool:
    """Return whether all columns of a pandas frame are sparse with fill value 0."""
    return X.shape[1] > 0 and all(_is_sparse(dtype) and dtype.fill_value == 0 for dtype in X.dtypes)


def _is_sparse(dtype: Any) -> bool:
    return type(dtype).__name__ == "SparseDtype"


def pandas_matrix(X: Any) -> NDArray[Any] | None:
    """Return the matrix in memory of a pandas frame that is a single block, without a copy; None for other frames."""
    if 0 in X.shape:
        return None
    ends = X.iloc[:, 0], X.iloc[:, -1]
    if not all(isinstance(end.dtype, np.dtype) and end.dtype.kind in "biuf" for end in ends):
        return None
    first, last = (end.to_numpy() for end in ends)
    if first.base is None or first.base is not last.base:
        return None
    # a row of a frame of one block is a view of it; of a frame of several blocks it is a copy
    return X.to_numpy() if np.may_share_memory(X.iloc[:1].to_numpy(), first) else None


def pandas_columns(X: Any, name: str, categories: Collection[int] = ()) -> list[Any]:
    """Return the columns of a pandas frame, by their place in memory: a `Coding` for each of the given categories.

    Raises
    ------
    InputError, ValueError
        If columns are not numbers or a value is missing; the message names them.
    """
    dtypes = list(X.dtypes)
    if len(X) <= _FEW_ROWS and all(isinstance(dtype, np.dtype) and dtype.kind in "biuf" for dtype in set(dtypes)):
        if not dtypes:
            return []
        few = X.to_numpy(computing_dtype(np.result_type(*set(dtypes), np.uint8)))
        address, kind, (down, along) = few.ctypes.data, few.dtype.str[1:], few.strides
        return [Column(kind, down, [(address + j * along, len(few))], few) for j in range(len(dtypes))]
    sparse = sum(map(_is_sparse, dtypes))
    if sparse:
        warn(
            f"{name} has {sparse} sparse columns, of which dense copies were made: sparse rows are made of them only "
            "where all columns are sparse, with 0 between their elements",
            import_module("scipy.sparse").SparseEfficiencyWarning,
        )
    columns = (series for _, series in X.items())
    return _read((_pandas_column, codings.of_pandas), columns, categories, names_of(X), name)


def _read(
    readers: tuple[Callable[[Any, str], Any], Callable[[Any, str], Any]],
    columns: Iterable[Any],
    categories: Collection[int],
    names: Sequence[str] | None,
    name: str,
) -> list[Any]:
    """Return what the first reader makes of each column, or the second of one of the categories.

    The error names all columns that are not numbers.
    """
    found, errors, refused = [], [], []
    for j, column in enumerate(columns):
        read = readers[j in categories]
        try:
            found.append(read(column, f"{name} column {named(j, names)}"))
        except InputError as error:
            errors.append(error)
            refused.append(f"{named(j, names)} is {column.dtype if hasattr(column, 'dtype') else column.type}")
    if not errors:
        return found
    if len(errors) == 1:
        raise errors[0]
    more = f" and {len(errors) - _NAMED} more" if len(errors) > _NAMED else ""
    raise InputError(
        f"{name} has {len(errors)} columns that are not real numbers ({', '.join(refused[:_NAMED])}{more}): "
        f"{AS_CATEGORIES.replace('it', 'them')}"
    ) from errors[0]


def _pandas_column(series: Any, what: str) -> Column:
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        return Column.of(as_numbers(what, series.to_numpy()))
    if _is_sparse(dtype):
        return Column.of(as_numbers(what, np.asarray(series.array)))
    if hasattr(dtype, "pyarrow_dtype"):
        return _arrow_column(series.array.__arrow_array__(), what)
    kind = getattr(dtype, "numpy_dtype", None)  # masked arrays have it; others are categories, texts, times
    if not isinstance(kind, np.dtype) or kind.kind not in "biuf":
        raise InputError(f"{what} has dtype {dtype}, which is not a real number: {AS_CATEGORIES}")
    missing = np.asarray(series.isna())
    if missing.any():
        raise _missing(what, int(missing.argmax()))
    return Column.of(as_numbers(what, series.array.to_numpy(dtype=kind, copy=False)))


def _missing(what: str, row: int) -> ValueError:
    return ValueError(f"{what} has a missing value (null, NaN) in row {row}: drop or impute it")


def _pyarrow() -> Any:
    try:
        return import_module("pyarrow")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("Arrow frames are read through pyarrow: pip install 'fastlogit[arrow]'") from error


def arrow_columns(X: Any, name: str, categories: Collection[int] = ()) -> list[Any]:
    """Return the columns of an Arrow table, or of what exports one; errors as in `pandas_columns`."""
    table = arrow_table(X, name)
    return _read((_arrow_column, codings.of_arrow), table.columns, categories, table.column_names, name)


def arrow_table(X: Any, name: str) -> Any:
    """Return an Arrow table, or what exports one, as pyarrow's.

    Raises
    ------
    ModuleNotFoundError, ValueError
        If pyarrow is not installed, or X is no table.
    """
    pa = _pyarrow()
    try:
        return pa.table(X)
    except (pa.ArrowInvalid, TypeError) as error:
        raise ValueError(f"{name} is a {type(X).__name__} and no table of columns: {error}") from error


def _arrow_column(column: Any, what: str) -> Column:
    """Return an Arrow array, or chunked array, of numbers or booleans as a column, by its place in memory."""
    pa = _pyarrow()
    kind, chunks = column.type, getattr(column, "chunks", [column])
    bits = pa.types.is_boolean(kind)
    if not (bits or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise InputError(f"{what} has type {kind}, which is not a real number: {AS_CATEGORIES}")
    first = 0
    for chunk in chunks:
        if chunk.null_count:
            raise _missing(what, first + int(np.asarray(chunk.is_null()).argmax()))
        first += len(chunk)
    dtype = None if bits else np.dtype(kind.to_pandas_dtype())
    width = 1 if dtype is None else dtype.itemsize
    pieces = [
        (chunk.buffers()[1].address * (8 if bits else 1) + chunk.offset * width, len(chunk))
        for chunk in chunks
        if len(chunk)
    ]
    return Column("bits" if dtype is None else dtype.str[1:], width, pieces, column)
