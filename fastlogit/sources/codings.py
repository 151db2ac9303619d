"""Codings: a category's codes and the value of each, read where they lie from columns of any kind."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.exceptions import InputError
from fastlogit.kernels.machine.jit import read_only
from fastlogit.kernels.storages.table import Column
from fastlogit.sources.numbers import is_missing

# Codes that are looked up at a time, in NumPy.
_BLOCK = 1 << 16
_SIGNED = (np.int8, np.int16, np.int32)
#: Most codes: places are 32 bits.
MOST_CODES = 2**31 - 1


@dataclass(frozen=True)
class Coding:
    """A column of categories.

    Attributes
    ----------
    column : Column
        The codes, -1 where a value is missing.
    values : ndarray (n_codes,)
        The value of each code: distinct, none of them missing.
    missing : object
        What a missing value is called: NaN or None.
    """

    column: Column
    values: NDArray[Any]
    missing: Any

    def pieces(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield the codes of at most 65,536 rows at a time, as views, and the number of the first row of each."""
        first = 0
        for address, rows in self.column.pieces:
            codes = self.column.view(address, rows)
            for start in range(0, rows, _BLOCK):
                yield first + start, codes[start : start + _BLOCK]
            first += rows

    @property
    def may_miss(self) -> bool:
        """Whether a code is -1, that is, a value missing."""
        return self.column.dtype.kind == "i" and any(codes.min() < 0 for _, codes in self.pieces())

    def first_row_of(self, is_meant: NDArray[np.bool_]) -> int | None:
        """Return the first row whose code is meant, or None; ``is_meant`` (n_codes + 1,) is for -1, 0, 1, ..."""
        for first, codes in self.pieces():
            found = is_meant[codes.astype(np.int64) + 1]
            if found.any():
                return first + int(found.argmax())
        return None

    def recoded(self, codes: NDArray[np.int64], values: NDArray[Any]) -> "Coding":
        """Return a copy with other codes: ``codes`` (n_codes + 1,) for -1, 0, 1, ..., and the ``values`` they have."""
        table = codes.astype(_smallest(len(values)))
        n = sum(rows for _, rows in self.column.pieces)
        copy = np.empty(n, table.dtype)
        for first, block in self.pieces():
            copy[first : first + len(block)] = table[block.astype(np.int64) + 1]
        return replace(self, column=Column.of(read_only(copy)), values=values)


def _smallest(n_codes: int) -> Any:
    return next(kind for kind in _SIGNED if n_codes - 1 <= np.iinfo(kind).max)


def _coding(column: Column, values: Any, missing: Any, what: str, *, is_distinct: bool = True) -> Coding:
    """Return the coding of codes and their values; codes are new if values are missing or repeat."""
    values = np.asarray(values)
    if len(values) > MOST_CODES:
        raise ValueError(f"{what} has {len(values):,} levels, but at most {MOST_CODES:,} are possible")
    coding = Coding(column, values, missing)
    for _, codes in coding.pieces():
        if codes.min() < -1 or codes.max() >= len(values):
            raise ValueError(f"{what} has codes from {codes.min()} to {codes.max()}, but {len(values)} levels")
    return coding if is_distinct else _distinct(coding, what)


def _distinct(coding: Coding, what: str) -> Coding:
    values = coding.values
    if values.dtype.kind in "biuU" or (values.dtype.kind in "fmM" and not _missing(values).any()):
        distinct = np.unique(values)
        if len(distinct) == len(values):
            return coding
        return coding.recoded(np.append(-1, np.searchsorted(distinct, values)), distinct)
    places: dict[Any, int] = {}
    codes, kept = np.full(len(values) + 1, -1), list[int]()
    try:
        for code, value in enumerate(values.tolist()):
            if not is_missing(value):
                codes[code + 1] = place = places.setdefault(value, len(kept))
                if place == len(kept):
                    kept.append(code)
    except TypeError as error:
        raise _no_levels(what, error) from error
    return coding if len(kept) == len(values) else coding.recoded(codes, values[kept])


def _no_levels(what: str, error: Exception) -> InputError:
    return InputError(f"{what} has values that are no levels of a category: {error}")


def _missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(values != values)


def of_pandas(series: Any, what: str) -> Coding:
    """Return the coding of a pandas series: its own if it is a category, else one that is made."""
    dtype = series.dtype
    if hasattr(dtype, "pyarrow_dtype"):
        return of_arrow(series.array.__arrow_array__(), what)
    if type(dtype).__name__ == "CategoricalDtype":
        return _coding(Column.of(np.asarray(series.array.codes)), dtype.categories, np.nan, what)
    try:
        codes, values = import_module("pandas").factorize(series)
    except TypeError as error:
        raise _no_levels(what, error) from error
    return _made(codes, values, np.nan, what)


def of_array(values: NDArray[Any], what: str) -> Coding:
    """Return the coding of an array (n,) of texts, numbers or objects."""
    if values.dtype.kind not in "OT":
        distinct, codes = np.unique(values, return_inverse=True)
        return _made(codes, distinct, np.nan, what)
    places: dict[Any, int] = {}
    codes = np.empty(len(values), np.int64)
    missing: Any = np.nan
    try:
        for row, value in enumerate(values.tolist()):
            if is_missing(value):
                codes[row], missing = -1, value
            else:
                codes[row] = places.setdefault(value, len(places))
    except TypeError as error:
        raise _no_levels(what, error) from error
    distinct = np.empty(len(places), object)
    distinct[:] = list(places)
    return _made(codes, distinct, missing, what)


def _made(codes: NDArray[Any], values: Any, missing: Any, what: str) -> Coding:
    """Return the coding of codes that were made, in the smallest type."""
    values = np.asarray(values)
    if values.dtype.kind == "c":
        raise InputError(f"{what} has complex numbers, which are no levels of a category")
    column = Column.of(read_only(codes.astype(_smallest(len(values)))))
    return _coding(column, values, missing, what, is_distinct=values.dtype.kind not in "fmM")  # NaN is a value there


def of_arrow(column: Any, what: str) -> Coding:
    """Return the coding of an Arrow array, or chunked array: its own if that is a dictionary, else one that is made."""
    pa = import_module("pyarrow")
    if not pa.types.is_dictionary(column.type):
        try:
            column = column.dictionary_encode()
        except pa.ArrowNotImplementedError as error:
            raise InputError(f"{what} has type {column.type}, whose values are no levels of a category") from error
    if hasattr(column, "chunks"):
        chunks = [chunk for chunk in column.chunks if len(chunk)]
        if any(not chunk.dictionary.equals(chunks[0].dictionary) for chunk in chunks[1:]):
            chunks = column.unify_dictionaries().chunks
    else:
        chunks = [column]
    if not chunks:
        return Coding(Column("i1", 1, [(0, 0)], None), np.empty(0, object), None)
    dictionary = chunks[0].dictionary
    indices = [chunk.indices for chunk in chunks]
    if any(each.null_count for each in indices):
        signed = pa.from_numpy_dtype(_smallest(len(dictionary)))
        indices = [each.cast(signed, safe=False).fill_null(-1) for each in indices]
    kind = np.dtype(indices[0].type.to_pandas_dtype())
    pieces = [(each.buffers()[1].address + each.offset * kind.itemsize, len(each)) for each in indices if len(each)]
    codes, values = Column(kind.str[1:], kind.itemsize, pieces, indices), dictionary.to_numpy(zero_copy_only=False)
    return _coding(codes, values, None, what, is_distinct=_is_distinct(dictionary))


def _is_distinct(dictionary: Any) -> bool:
    """Return whether an Arrow array's values are known to be distinct, and none of them missing."""
    pa = import_module("pyarrow")
    if dictionary.null_count or pa.types.is_floating(dictionary.type):
        return False
    try:
        return bool(import_module("pyarrow.compute").count_distinct(dictionary).as_py() == len(dictionary))
    except pa.ArrowNotImplementedError:
        return False
