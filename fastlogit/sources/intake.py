"""From a matrix as people have it to what kernels read: the only place that looks at the types of X.

Nothing is copied that can be read as it lies; :func:`as_storage` lists what cannot.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.exceptions import warn
from fastlogit.kernels import csr
from fastlogit.kernels.columns import Columns
from fastlogit.kernels.csr import CSR
from fastlogit.kernels.jit import read_only
from fastlogit.kernels.rows import Rows
from fastlogit.kernels.table import Column, Table

Storage = Rows | Columns | Table | CSR


def named(column: int, names: Sequence[str] | None) -> str:
    """Return how messages call a column: its number, and its name where there is one."""
    return str(column) if names is None else f"{column} ({names[column]!r})"


def not_finite(value: float, row: int, column: int, names: Sequence[str] | None) -> ValueError:
    """Return the error of an element of X that is NaN or infinite."""
    what = "NaN" if np.isnan(value) else "infinity"
    return ValueError(
        f"Input X contains {what}. It is in row {row}, column {named(column, names)}: drop or impute it, fastlogit "
        "needs finite values"
    )


def names_of(X: Any) -> list[str] | None:
    """Return the names of a frame's columns; None where X has none."""
    if not _is_pandas(X) and not _is_arrow(X):
        return None
    columns = getattr(X, "column_names", None) or getattr(X, "columns", None)
    if columns is None and hasattr(X, "schema"):
        columns = X.schema.names
    return None if columns is None else [str(name) for name in columns]


def computing_dtype(stored: np.dtype[Any]) -> np.dtype[Any]:
    """Return what margins of such an X are computed in: float32 where that holds every stored value exactly."""
    return np.dtype(np.float32 if np.can_cast(stored, np.float32) else np.float64)


def as_storage(X: Any, name: str = "X") -> tuple[Storage, np.dtype[Any]]:
    """Return the storage of a matrix and the type that its margins are computed in.

    Read as they lie, with any strides, read-only or memory-mapped: NumPy arrays of float16, float32, float64, integers
    and booleans in either byte order; pandas, polars and Arrow frames of such columns, in any number of pieces (Arrow's
    own and polars' through pyarrow); CPU tensors of any library that speaks DLPack (PyTorch). Where rows or columns are
    adjacent, they are read in place and widened in registers; else a tile at a time is cast. SciPy's CSR matrices and
    arrays are read as they lie where their column indices ascend; others are converted, with a warning, and the data of
    those in float16 or the other byte order without one.

    Converted whole, at the cost of a second array, are: nested lists, long double (to float64, rounded) and Python
    objects that are numbers (to float64), in a frame those columns alone.

    Parameters
    ----------
    X : array_like or frame (n_samples, n_features)
        The matrix.
    name : str
        What error messages call it.

    Raises
    ------
    ModuleNotFoundError
        If an Arrow frame needs pyarrow.
    TypeError
        If elements are not numbers.
    ValueError
        If X is complex, is not a matrix, has no rows or no columns, or misses a value.
    """
    if hasattr(X, "tocsr"):
        return _of_sparse(X, name)
    if _is_pandas(X):
        return _of_columns([_pandas_column(X, j, name) for j in range(X.shape[1])], X.shape, name)
    if _is_arrow(X):
        return _of_columns(_arrow_columns(X, name), None, name)
    array = as_numbers(name, X)
    if array.ndim != 2:
        raise ValueError(
            f"{name} has {array.ndim} dimensions {array.shape}, but (n_samples, n_features) is needed. Reshape your "
            "data: X.reshape(-1, 1) is one column, X.reshape(1, -1) one row"
        )
    _check_shape(array.shape, name)
    dtype, itemsize = computing_dtype(array.dtype), array.dtype.itemsize
    if array.dtype.isnative and array.dtype != np.float16:
        if array.shape[1] == 1 or array.strides[1] == itemsize:
            return Rows(read_only(array)), dtype
        if array.shape[0] == 1 or array.strides[0] == itemsize:
            return Columns(read_only(array)), dtype
    return Table.of([Column.of(column) for column in array.T], dtype), dtype


def _of_sparse(X: Any, name: str) -> tuple[CSR, np.dtype[Any]]:
    """Return the storage of a SciPy matrix or array: CSR in canonical form as it lies, others converted."""
    if X.ndim != 2:
        raise ValueError(f"{name} has {X.ndim} dimensions {X.shape}, but (n_samples, n_features) is needed")
    _check_shape(X.shape, name)
    if X.format != "csr":
        if hasattr(X, "check_format"):  # SciPy's conversions trust it
            X.check_format(full_check=True)
        X = _converted(X.tocsr(), f"{name} is {X.format.upper()}, and rows are read")
    fault = _fault(X)
    if fault:
        raise ValueError(f"{name} is not a CSR matrix: {fault}")
    if not csr.ascends(X.indices, X.indptr):
        summed = X.copy()
        summed.has_canonical_format = False
        summed.sum_duplicates()
        X = _converted(summed, f"{name} has rows whose column indices do not ascend, or repeat (those are added up)")
    data = as_numbers(name, X.data)
    if data.dtype == np.float16 or not data.dtype.isnative:
        data = data.astype(computing_dtype(data.dtype))
    data, indices, indptr = (np.ascontiguousarray(a) for a in (data, X.indices, X.indptr))
    return CSR.of(data, indices, indptr, X.shape[1]), computing_dtype(data.dtype)


def _converted(X: Any, why: str) -> Any:
    n_bytes = sum(a.nbytes for a in (X.data, X.indices, X.indptr))
    warn(
        f"{why}: a copy of {n_bytes:,} bytes was made. X.tocsr() with X.sum_duplicates(), done once, saves it",
        import_module("scipy.sparse").SparseEfficiencyWarning,
    )
    return X


def _fault(X: Any) -> str | None:
    """Return what is wrong with the arrays of a CSR matrix, which SciPy lets people set at will."""
    data, indices, indptr, (n_samples, n_features) = X.data, X.indices, X.indptr, X.shape
    if indptr.shape != (n_samples + 1,):
        return f"indptr has {len(indptr)} elements for {n_samples} rows, but one more than rows is needed"
    if indptr.dtype.kind != "i" or indices.dtype.kind != "i":
        return f"indptr and indices have dtypes {indptr.dtype} and {indices.dtype}, but signed integers are needed"
    falls = indptr[1:] < indptr[:-1]
    if indptr[0] < 0:
        return f"indptr begins at {indptr[0]}, but at least 0 is needed"
    if falls.any():
        row = first_of(falls)
        return f"indptr falls from {indptr[row]} to {indptr[row + 1]} at row {row}"
    if indptr[-1] > min(len(data), len(indices)):
        return f"indptr ends at {indptr[-1]}, but data and indices have {len(data)} and {len(indices)} elements"
    used = indices[indptr[0] : indptr[-1]]
    if len(used) and (used.min() < 0 or used.max() >= n_features):
        bad = int(indptr[0]) + first_of((used < 0) | (used >= n_features))
        row = int(np.searchsorted(indptr, bad, side="right")) - 1
        return f"row {row} has a column index {indices[bad]}, but columns go from 0 to {n_features - 1}"
    return None


def first_of(condition: NDArray[np.bool_]) -> int:
    """Return the first place that is true."""
    return int(np.flatnonzero(condition)[0])


def _check_shape(shape: tuple[int, ...], name: str) -> None:
    if 0 in shape:
        what = "sample" if shape[0] == 0 else "feature"
        raise ValueError(f"{name} has 0 {what}(s) (shape={shape}) while a minimum of 1 is required.")


def as_numbers(name: str, values: Any) -> NDArray[Any]:
    """Return ``values`` as an array of real numbers, booleans as bytes.

    Raises
    ------
    TypeError, ValueError
        If they are not numbers, or are complex.
    """
    array = _as_array(name, values)
    kind = array.dtype.kind
    if kind == "c":
        raise ValueError(f"Complex data not supported: {name} has dtype {array.dtype}; take the real part")
    if kind == "b":
        return array.view(np.uint8)
    if kind == "O":
        try:
            return array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name} has dtype object, and not all of it are numbers: {error}") from error
    if kind not in "iuf":
        raise TypeError(f"{name} has dtype {array.dtype}, which is not a real number: encode it as numbers first")
    return array if kind != "f" or array.dtype.itemsize <= 8 else array.astype(np.float64)


def _as_array(name: str, values: Any) -> NDArray[Any]:
    """Return ``values`` as an array; of tensors their own memory."""
    if isinstance(values, np.ndarray) or not hasattr(values, "__dlpack__"):
        return np.asarray(values)
    try:
        return np.from_dlpack(values)
    except (BufferError, RuntimeError, TypeError) as error:
        raise TypeError(
            f"{name} is a {type(values).__name__} that NumPy cannot read in place ({error}): move it to the CPU, "
            "detach it, and make it float32 or float64"
        ) from error


def _of_columns(columns: list[Column], shape: tuple[int, int] | None, name: str) -> tuple[Storage, np.dtype[Any]]:
    """Return the storage of a frame's columns: a matrix where they lie like one."""
    n_samples = sum(rows for _, rows in columns[0].pieces) if columns else (shape or (0, 0))[0]
    _check_shape((n_samples, len(columns)), name)
    dtype = computing_dtype(np.result_type(*{column.dtype for column in columns}, np.uint8))
    matrix = _as_matrix(columns, n_samples)
    if matrix is not None:
        return as_storage(matrix)
    return Table.of(columns, dtype), dtype


def _as_matrix(columns: list[Column], n_samples: int) -> NDArray[Any] | None:
    """Return columns of one type, in one piece each and at equal distances, as the matrix that they are in memory."""
    first = columns[0]
    if any(
        len(c.pieces) != 1 or (c.kind, c.stride) != (first.kind, first.stride) or not isinstance(c.owner, np.ndarray)
        for c in columns
    ):
        return None
    addresses = np.array([column.pieces[0][0] for column in columns])
    steps = np.unique(np.diff(addresses))
    base = first.owner.base  # pandas keeps columns of one type in one block: its memory outlives the view
    if len(steps) > 1 or (len(columns) > 1 and base is None) or any(c.owner.base is not base for c in columns):
        return None
    step = int(steps[0]) if len(steps) else first.owner.itemsize
    return np.lib.stride_tricks.as_strided(first.owner, (n_samples, len(columns)), (first.stride, step))


def _is_pandas(X: Any) -> bool:
    return hasattr(X, "iloc") and hasattr(X, "dtypes") and hasattr(X, "columns")


def _pandas_column(X: Any, j: int, name: str) -> Column:
    series = X.iloc[:, j]
    what = f"{name} column {named(j, names_of(X))}"
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        return Column.of(as_numbers(what, series.to_numpy()))
    if hasattr(dtype, "pyarrow_dtype"):
        return _arrow_column(series.array.__arrow_array__(), what)
    if type(dtype).__name__ == "SparseDtype":
        raise TypeError(f"{what} is sparse: {name}.sparse.to_coo().tocsr() makes sparse rows of it")
    kind = getattr(dtype, "numpy_dtype", None)  # of a masked array; others are categories, texts, times
    if not isinstance(kind, np.dtype) or kind.kind not in "biuf":
        raise TypeError(f"{what} has dtype {dtype}, which is not a real number: encode it as numbers first")
    missing = np.asarray(series.isna())
    if missing.any():
        raise _missing(what, int(missing.argmax()))
    return Column.of(as_numbers(what, series.array.to_numpy(dtype=kind, copy=False)))


def _missing(what: str, row: int) -> ValueError:
    return ValueError(f"{what} has a missing value (null, NaN) in row {row}: drop or impute it")


def _is_arrow(X: Any) -> bool:
    return hasattr(X, "__arrow_c_stream__") or hasattr(X, "__arrow_c_array__")


def _pyarrow() -> Any:
    try:
        return import_module("pyarrow")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("Arrow frames are read through pyarrow: pip install 'fastlogit[arrow]'") from error


def _arrow_columns(X: Any, name: str) -> list[Column]:
    table = _pyarrow().table(X)
    names = table.column_names
    return [_arrow_column(column, f"{name} column {named(j, names)}") for j, column in enumerate(table.columns)]


def _arrow_column(column: Any, what: str) -> Column:
    """Return where an Arrow array, or chunked array, of numbers or booleans lies."""
    pa = _pyarrow()
    kind, chunks = column.type, getattr(column, "chunks", [column])
    bits = pa.types.is_boolean(kind)
    if not (bits or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise TypeError(f"{what} has type {kind}, which is not a real number: encode or cast it first")
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
