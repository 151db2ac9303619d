"""Conversion of array-likes to arrays of real numbers, and the parts of messages that name rows and columns."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.exceptions import InputError


def named(column: int, names: Sequence[str] | None) -> str:
    """Return the number and, if there is one, the name of a column, for messages."""
    if names is not None and hasattr(names, "named"):  # of categories: the frame's column, and the level
        return str(names.named(column))
    return str(column) if names is None else f"{column} ({names[column]!r})"


def not_finite(value: float, row: int, column: int, names: Sequence[str] | None) -> ValueError:
    """Return the error for an element of X that is NaN or infinite."""
    what = "NaN" if np.isnan(value) else "infinity"
    return ValueError(
        f"Input X contains {what}. It is in row {row}, column {named(column, names)}: drop or impute it, fastlogit "
        "needs finite values"
    )


def is_missing(value: Any) -> bool:
    """Return whether a value is None, NaN, NaT, or pandas' NA (whose comparison with itself is NA)."""
    return value is None or type(value).__name__ == "NAType" or value != value


def no_label(name: str, what: str, row: int) -> ValueError:
    """Return the error for a label that is missing or infinite."""
    return ValueError(f"Input {name} contains {what}, in row {row}: a label is needed")


def first_of(condition: NDArray[np.bool_]) -> int:
    """Return the index of the first true element."""
    return int(np.flatnonzero(condition)[0])


def check_is_data(name: str, values: Any) -> None:
    """Raise InputError if ``values`` are a lazy frame or a dict."""
    if hasattr(type(values), "shape"):
        return
    if hasattr(type(values), "collect_schema"):
        raise InputError(f"{name} is a {type(values).__name__}, which has no rows yet: {name}.collect() has them")
    if isinstance(values, Mapping):
        raise InputError(f"{name} is a {type(values).__name__}, not an array: pandas.DataFrame({name}) is one")


def check_not_masked(name: str, values: Any) -> None:
    """Raise ValueError if elements of a masked array are masked: the values under the mask would be read."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        row = int(np.argwhere(np.ma.getmaskarray(values))[0][0])
        raise ValueError(f"{name} has a masked element in row {row}: drop or impute it")


def as_numbers(name: str, values: Any) -> NDArray[Any]:
    """Return ``values`` as an array of real numbers.

    Parameters
    ----------
    name : str
        Their name in error messages.
    values : array_like
        Numbers, booleans, or Python objects that are numbers.

    Returns
    -------
    ndarray
        Without a copy where NumPy can read them in place. Booleans are uint8; objects and long double become float64.

    Raises
    ------
    InputError, TypeError, ValueError
        If they are not numbers, are in memory that NumPy cannot read, or are masked, complex or ragged.
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
            raise InputError(f"{name} has dtype object, and not all of it are numbers: {error}") from error
    if kind not in "iuf":
        raise InputError(f"{name} has dtype {array.dtype}, which is not a real number: encode it as numbers first")
    return array if kind != "f" or array.dtype.itemsize <= 8 else array.astype(np.float64)


def _as_array(name: str, values: Any) -> NDArray[Any]:
    """Return ``values`` as an array; tensors share their memory with it."""
    if isinstance(values, np.ndarray):
        check_not_masked(name, values)
        return values
    # not by the DLPack of Arrow, which has no nulls and no bits
    if not hasattr(values, "__dlpack__") or hasattr(type(values), "__arrow_c_array__"):
        try:
            return np.asarray(values)
        except ValueError as error:
            raise ValueError(f"{name} is no array of equal rows: {error}") from error
    try:
        return np.from_dlpack(values)
    except (BufferError, RuntimeError, TypeError) as error:
        raise TypeError(
            f"{name} is a {type(values).__name__} that NumPy cannot read in place ({error}): move it to the CPU, "
            "detach it, and make it float32 or float64"
        ) from error
