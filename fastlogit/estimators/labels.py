"""Encoding of labels of any kind as class codes of the smallest type, a block at a time.

The codes are the only array of their length that is allocated.
"""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.multiclass import check_classification_targets

from fastlogit.exceptions import InputError, warn
from fastlogit.kernels.machine.jit import read_only
from fastlogit.sources.numbers import as_numbers, first_of, is_missing, no_label

_BLOCK = 1 << 20
# Integers within a range smaller than this are marked in a table; others are sorted.
_TABLE = 1 << 20
# An error message shows at most this many labels.
_SHOWN = 10


def _shape(y: Any) -> tuple[int, ...]:
    return tuple(y.shape) if hasattr(y, "shape") else np.asarray(y).shape


def is_soft(y: Any) -> bool:
    """Return whether labels are a matrix of more than one column, that is, probabilities."""
    shape = _shape(y)
    return len(shape) == 2 and shape[1] > 1


def encoded(y: Any, n_samples: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the classes and each row's class code.

    Parameters
    ----------
    y : array_like (n_samples,) or (n_samples, 1)
        Booleans, integers, integer-valued floats, texts or categories, as an array, list, or series of pandas, polars
        or Arrow.
    n_samples : int
        Number of rows of X.

    Returns
    -------
    classes : ndarray (n_classes,)
        The labels that occur, sorted.
    codes : ndarray (n_samples,)
        The index in ``classes`` of each row's label, in the smallest unsigned type.

    Raises
    ------
    TypeError, ValueError
        If there are not as many labels as rows, a label is missing, labels are continuous, cannot be sorted, or are all
        of one class.

    Notes
    -----
    Two reads of y. Booleans, and uint8 labels 0, 1, ... without a gap, are not copied: they are their own codes.
    """
    labels = _Labels(y)
    if labels.n != n_samples:
        raise ValueError(f"y has {labels.n} rows, but X has {n_samples}: Found input variables with inconsistent "
                         f"numbers of samples: [{n_samples}, {labels.n}]")  # fmt: skip
    classes = labels.classes()
    if len(classes) < 2:
        label = classes[0] if classes.dtype.kind in "mM" else classes.tolist()[0]  # 0.0, not np.float64(0.0)
        raise ValueError(f"y has one class only ({label!r}): at least two classes are needed")
    return classes, labels.codes(classes)


class _Labels:
    """Labels, read a block at a time."""

    def __init__(self, y: Any) -> None:
        self._categories: NDArray[Any] | None = None
        if getattr(getattr(y, "dtype", None), "name", "") == "category" and hasattr(y, "cat"):
            self._categories, y = np.asarray(y.cat.categories), y.cat.codes
        if not (isinstance(y, np.ndarray) or hasattr(y, "iloc") or hasattr(y, "__arrow_c_stream__")):
            y = np.asarray(y)
        shape = _shape(y)
        if len(shape) == 2 and shape[1] == 1:
            warn(
                "A column-vector y was passed when a 1d array was expected. Please change the shape of y to "
                "(n_samples,), for example using ravel().",
                DataConversionWarning,
            )
            y = np.asarray(y)[:, 0]
        elif len(shape) != 1:
            raise ValueError(f"y should be a 1d array, or (n_samples, n_classes) probabilities; its shape is {shape}")
        self._y, self.n = y, shape[0]

    def _blocks(self) -> Iterator[tuple[slice, NDArray[Any]]]:
        rows = getattr(self._y, "iloc", self._y)
        for first in range(0, self.n, _BLOCK):
            part = slice(first, min(first + _BLOCK, self.n))
            yield part, np.asarray(rows[part])

    def classes(self) -> NDArray[Any]:
        """Return the labels that occur, sorted."""
        found: NDArray[Any] | None = None
        for part, block in self._blocks():
            new = _distinct(block, part.start)
            found = new if found is None else _sorted(np.concatenate([found, new]))
        if found is None:
            raise ValueError("y has no rows")
        if self._categories is None:
            return found
        if found[0] < 0:
            raise self._missing_category()
        return _sorted(self._categories[found])

    def _missing_category(self) -> ValueError:
        row = next(part.start + first_of(block < 0) for part, block in self._blocks() if (block < 0).any())
        return ValueError(f"Input y contains NaN, in row {row}: a category is missing")

    def codes(self, classes: NDArray[Any]) -> NDArray[Any]:
        """Return the index in ``classes`` of each row's label."""
        K, y = len(classes), self._y
        if isinstance(y, np.ndarray) and y.dtype in (np.bool_, np.uint8) and np.array_equal(classes, range(K)):
            return read_only(np.ascontiguousarray(y).view(np.uint8))
        kind = next(t for t in (np.uint8, np.uint16, np.uint32) if K - 1 <= np.iinfo(t).max)
        codes = np.empty(self.n, kind)
        if self._categories is not None:
            order = {value: code for code, value in enumerate(classes.tolist())}
            places = np.array([order.get(value, 0) for value in self._categories.tolist()], kind)
        for part, block in self._blocks():
            codes[part] = _places(block, classes) if self._categories is None else places[block]
        return read_only(codes)


def factors_of(
    class_weight: Mapping[Any, float] | str, codes: NDArray[Any], classes: NDArray[Any], sample_weight: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the factor of each class's row weights.

    Parameters
    ----------
    class_weight : mapping or "balanced"
        Factors by label; "balanced" is ``sum of weights / (n_classes * sum of the class's weights)``.
    codes : ndarray (n_samples,)
        Class codes. Probabilities (n_samples, n_classes) are left to `targets_of`, which refuses them.
    classes : ndarray (n_classes,)
        The labels.
    sample_weight : ndarray (n_samples,)
        Row weights, or empty.

    Returns
    -------
    ndarray (n_classes,)
        1 for a label without a key.

    Raises
    ------
    ValueError
        If a key is no label. If every label has a key, further keys are allowed: a fold may lack a class.
    """
    if codes.ndim == 2:
        return np.empty(0)  # `targets_of` refuses class weights of probabilities
    if isinstance(class_weight, str):
        totals = np.zeros(len(classes))
        for first in range(0, len(codes), _BLOCK):
            rows = slice(first, first + _BLOCK)
            weight = sample_weight[rows] if sample_weight.size else None
            totals += np.bincount(codes[rows], weight, len(classes))
        present = np.where(totals > 0.0, totals, np.inf)
        return np.asarray(totals.sum() / (len(classes) * present))
    labels = list(classes)
    known = set(labels)
    strays = [key for key in class_weight if key not in known]
    if strays and any(label not in class_weight for label in labels):
        raise ValueError(
            f"class_weight has keys that are no labels, {_few(strays)}: the labels of y are {_few(classes.tolist())}"
        )
    return as_numbers("class_weight", [class_weight.get(label, 1.0) for label in labels]).astype(np.float64)


def _few(values: list[Any]) -> str:
    more = ", ..." if len(values) > _SHOWN else ""
    return ", ".join(map(repr, values[:_SHOWN])) + more


def _above(whole: NDArray[Any], low: int) -> NDArray[Any]:
    """Return ``whole - low``, for ``low`` at most the smallest, without overflow of the integers' own type."""
    return np.asarray(whole - whole.dtype.type(low) if whole.dtype.itemsize == 8 else whole.astype(np.int64) - low)


def _distinct(block: NDArray[Any], first: int) -> NDArray[Any]:
    """Return the labels that occur in a block whose first row is row ``first``, sorted."""
    kind = block.dtype.kind
    if kind == "c":
        raise ValueError("Complex data not supported: y is complex")
    if kind in "iu":
        low, high = int(block.min()), int(block.max())
        if high - low < _TABLE:
            seen = np.zeros(high - low + 1, np.bool_)
            seen[_above(block, low)] = True
            return np.asarray(np.flatnonzero(seen).astype(block.dtype) + block.dtype.type(low))
    if kind in "fmM":
        missing = ~np.isfinite(block)  # of times, NaT is not finite
        if missing.any():
            row = first_of(missing)
            raise no_label("y", "infinity" if kind == "f" and np.isinf(block[row]) else "NaN", first + row)
    if kind == "S":
        raise _bytes()
    labels = _sorted(block, first)
    if kind in "fOUSV":
        with warnings.catch_warnings():
            if first:  # it warns about many classes among few labels, which any last block may be
                warnings.simplefilter("ignore")
            try:
                check_classification_targets(block)
            except TypeError as error:
                raise _mixed(error) from error
            except ValueError as error:
                if kind != "f" or block.min() < 0.0 or block.max() > 1.0:
                    raise
                raise ValueError(
                    f"{error} Shares, or probabilities of class 1, are given as a matrix (n_samples, n_classes): "
                    "np.column_stack([1 - y, y])"
                ) from error
    return labels


def _bytes() -> InputError:
    return InputError("y has labels of bytes, which are not supported: decode them, [label.decode() for label in y]")


def _sorted(labels: NDArray[Any], first: int = 0) -> NDArray[Any]:
    """Return the distinct labels, sorted; ``first`` is the number of the first row, for messages.

    Texts and objects are hashed first, so that no array of a block's length is sorted.
    """
    if labels.dtype.kind not in "OUT":
        return np.unique(labels)
    try:
        distinct = set(labels.tolist())
    except TypeError as error:  # lists, dicts, arrays
        raise InputError(f"y must be 1-D, a label for each row: {error}") from error
    for value in distinct:
        if is_missing(value):
            raise no_label("y", "NaN", first + next(i for i, label in enumerate(labels.tolist()) if is_missing(label)))
        if isinstance(value, bytes):
            raise _bytes()
        if isinstance(value, tuple):
            raise InputError(f"y must be 1-D, a label for each row, but it has tuples: {value!r}")
    try:
        return np.array(sorted(distinct), labels.dtype)
    except TypeError as error:
        raise _mixed(error) from error


def _mixed(error: TypeError) -> ValueError:
    return ValueError(f"y mixes labels that cannot be put in order: {error}")


def _places(block: NDArray[Any], classes: NDArray[Any]) -> NDArray[Any]:
    """Return the index in ``classes`` of each label of a block."""
    if block.dtype.kind in "OUT":
        place = {value: code for code, value in enumerate(classes.tolist())}
        return np.fromiter(map(place.__getitem__, block.tolist()), np.int64, len(block))
    if block.dtype.kind in "iu":
        low, high = int(classes[0]), int(classes[-1])
        if high - low < _TABLE:
            table = np.zeros(high - low + 1, np.min_scalar_type(len(classes)))
            table[_above(classes, low)] = np.arange(len(classes))
            return np.asarray(table[_above(block, low)])
    return np.searchsorted(classes, block)
