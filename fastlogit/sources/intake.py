"""Conversion of X, of any supported type, to a storage that kernels read: no other module tests the type of X.

Nothing is copied that can be read in place; :func:`as_storage` lists what is.
"""

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.exceptions import warn
from fastlogit.kernels.machine.jit import read_only
from fastlogit.kernels.storages import csr
from fastlogit.kernels.storages.columns import Columns
from fastlogit.kernels.storages.csr import CSR
from fastlogit.kernels.storages.rows import Rows
from fastlogit.kernels.storages.storage import computing_dtype
from fastlogit.kernels.storages.table import Column, Table
from fastlogit.sources.frames import (
    arrow_columns,
    is_arrow,
    is_pandas,
    is_series,
    is_sparse_frame,
    pandas_columns,
    pandas_matrix,
)
from fastlogit.sources.numbers import as_numbers, check_is_data, first_of

Storage = Rows | Columns | Table | CSR


def as_storage(X: Any, name: str = "X") -> tuple[Storage, np.dtype[Any]]:
    """Return the storage of a matrix and the type in which its margins are computed.

    Read in place, with any strides, read-only or memory-mapped:

    - NumPy arrays of float16, float32, float64, integers and booleans, in either byte order;
    - pandas, polars and Arrow frames of such columns, in any number of pieces (polars and Arrow through pyarrow);
    - CPU tensors of any library that supports DLPack, such as PyTorch;
    - SciPy's CSR matrices and arrays whose column indices ascend within each row.

    Where the elements of a row or of a column are adjacent, they are converted in registers; otherwise a tile at a time
    is cast.

    Converted first, at the cost of a second array:

    - nested lists, long double (rounded) and Python objects that are numbers, to float64; in a frame only such columns;
    - a pandas frame of sparse columns, to CSR, and sparse columns among dense ones, to dense ones; with a warning;
    - SciPy's other formats, and CSR with repeated column indices, to CSR; with a warning;
    - CSR with unsorted column indices, or data in float16 or the other byte order.

    Parameters
    ----------
    X : array_like or frame (n_samples, n_features)
        The matrix.
    name : str
        Its name in error messages.

    Returns
    -------
    storage : Storage
        The matrix as kernels read it.
    dtype : dtype
        float32 if it holds every value of the stored type exactly, else float64.

    Raises
    ------
    ModuleNotFoundError
        If X is an Arrow frame and pyarrow is not installed.
    InputError
        If elements are not numbers, or X is a lazy frame or a dict. It is both a TypeError and a ValueError.
    ValueError
        If X is complex, is not a matrix, has no rows or no columns, or has a missing value.
    """
    check_is_table(X, name)
    if hasattr(type(X), "tocsr"):
        return _of_sparse(X, name)
    if is_pandas(X):
        if is_sparse_frame(X):
            rows, hint = X.sparse.to_coo().tocsr(), f"{name}.sparse.to_coo().tocsr()"
            return _of_sparse(_converted(rows, f"{name} is a frame of sparse columns, and rows are read", hint), name)
        matrix = pandas_matrix(X)
        if matrix is None:
            return _of_columns(pandas_columns(X, name), X.shape, name)
        X = matrix
    if is_arrow(X):
        return _of_columns(arrow_columns(X, name), (0, 0), name)
    return _of_array(as_numbers(name, X), name)


def check_is_table(X: Any, name: str) -> None:
    """Raise InputError or ValueError if X is a lazy frame, a dict or a series."""
    check_is_data(name, X)
    if is_series(X):
        raise ValueError(
            f"Expected 2D array: {name} is a {type(X).__name__} of {X.shape[0]}, but (n_samples, n_features) is "
            "needed. Of a frame, frame[['name']] is one column, frame.iloc[[0]] one row"
        )


def check_is_matrix(array: NDArray[Any], name: str) -> None:
    """Raise ValueError if an array has not two dimensions, or no elements."""
    if array.ndim != 2:
        raise ValueError(
            f"Expected 2D array: {name} has {array.ndim} dimensions {array.shape}, but (n_samples, n_features) is "
            f"needed. Reshape your data: {name}.reshape(-1, 1) is one column, {name}.reshape(1, -1) one row"
        )
    check_shape(array.shape, name)


def _of_array(array: NDArray[Any], name: str) -> tuple[Storage, np.dtype[Any]]:
    """Return the storage of an array of numbers."""
    check_is_matrix(array, name)
    dtype, itemsize = computing_dtype(array.dtype), array.dtype.itemsize
    if array.dtype.isnative and array.dtype != np.float16:
        if array.shape[1] == 1 or array.strides[1] == itemsize:
            return Rows(read_only(array)), dtype
        if array.shape[0] == 1 or array.strides[0] == itemsize:
            return Columns(read_only(array)), dtype
    return Table.of([Column.of(column) for column in array.T], dtype), dtype


def _of_columns(columns: list[Column], shape: tuple[int, int], name: str) -> tuple[Storage, np.dtype[Any]]:
    """Return the storage of a frame's columns; ``shape`` is used for a frame without columns only."""
    n_samples = sum(rows for _, rows in columns[0].pieces) if columns else shape[0]
    check_shape((n_samples, len(columns)), name)
    dtype = computing_dtype(np.result_type(*{column.dtype for column in columns}, np.uint8))
    return Table.of(columns, dtype), dtype


def _of_sparse(X: Any, name: str) -> tuple[CSR, np.dtype[Any]]:
    """Return the storage of a SciPy matrix or array: CSR in canonical form in place, others converted."""
    if X.ndim != 2:
        raise ValueError(f"{name} has {X.ndim} dimensions {X.shape}, but (n_samples, n_features) is needed")
    check_shape(X.shape, name)
    if X.format != "csr":
        if hasattr(X, "check_format"):  # SciPy's conversions trust it
            X.check_format(full_check=True)
        X = _converted(X.tocsr(), f"{name} is {X.format.upper()}, and rows are read", f"{name}.tocsr()")
    fault = _fault(X)
    if fault:
        raise ValueError(f"{name} is not a CSR matrix: {fault}")
    if not csr.ascends(X.indices, X.indptr):
        X = _in_order(X, name)
    data = as_numbers(name, X.data)
    if data.dtype == np.float16 or not data.dtype.isnative:
        data = data.astype(computing_dtype(data.dtype))
    data, indices, indptr = (np.ascontiguousarray(a) for a in (data, X.indices, X.indptr))
    return CSR.of(data, indices, indptr, X.shape[1]), computing_dtype(data.dtype)


def _in_order(X: Any, name: str) -> Any:
    """Return a copy of a CSR matrix with ascending column indices; warn only if some are repeated.

    `TfidfVectorizer` returns unsorted indices, and its users cannot change that: they get no warning.
    """
    X = X.copy()
    X.has_sorted_indices = X.has_canonical_format = False  # cached flags, wrong if the user has changed the indices
    X.sort_indices()
    if csr.ascends(X.indices, X.indptr):
        return X
    X.sum_duplicates()
    return _converted(
        X, f"{name} has rows whose column indices repeat (those are added up)", f"{name}.sum_duplicates()"
    )


def _converted(X: Any, why: str, remedy: str) -> Any:
    n_bytes = sum(a.nbytes for a in (X.data, X.indices, X.indptr))
    warn(
        f"{why}: a copy of {n_bytes:,} bytes was made. {remedy}, done once, saves it",
        import_module("scipy.sparse").SparseEfficiencyWarning,
    )
    return X


def _fault(X: Any) -> str | None:
    """Return what is wrong with the arrays of a CSR matrix, or None; SciPy does not check arrays that users set."""
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


def check_shape(shape: tuple[int, ...], name: str) -> None:
    """Raise ValueError if there are no rows, or no columns."""
    if 0 in shape:
        what = "sample" if shape[0] == 0 else "feature"
        raise ValueError(f"{name} has 0 {what}(s) (shape={shape}) while a minimum of 1 is required.")
