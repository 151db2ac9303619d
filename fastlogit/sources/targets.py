"""Labels, weights and offsets: checked, and converted to what kernels read, without a copy where possible."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastlogit.exceptions import InputError
from fastlogit.kernels.losses import Logistic, Loss, Softmax
from fastlogit.kernels.machine.jit import read_only
from fastlogit.kernels.passes.first_order import Targets
from fastlogit.sources.block import Block
from fastlogit.sources.frames import is_arrow, names_of
from fastlogit.sources.intake import as_storage
from fastlogit.sources.memory import MemorySource
from fastlogit.sources.numbers import as_numbers, check_is_data, check_not_masked, first_of, is_missing, no_label
from fastlogit.sources.sums import n_margins

_BLOCK = 1 << 20
#: Largest sum of weights: second moments of weights times squares stay below 1e308 for columns up to 1e50.
MOST_WEIGHT = 1e100
#: Smallest sum of weights: squares of curvatures, and quotients by them, are neither 0 nor infinite.
LEAST_WEIGHT = 1e-100
#: Largest offset: margins in float32, and sums of losses, stay finite; -1e30 does rule out a class in a row.
MOST_OFFSET = 1e30


def _check_rows(name: str, array: NDArray[Any], n_samples: int) -> None:
    if array.shape[0] != n_samples:
        raise ValueError(f"{name} has {array.shape[0]} rows, but X has {n_samples}: one for each row is needed")


def _check_finite(name: str, array: NDArray[Any]) -> None:
    with np.errstate(over="ignore"):
        finite = array.dtype.kind != "f" or np.isfinite(array.sum(dtype=np.float64))
    if not finite:
        bad = ~np.isfinite(array)
        if bad.any():
            row = int(np.argwhere(bad)[0][0])
            raise ValueError(f"{name} has {'NaN' if np.isnan(array[row]).any() else 'infinity'} in row {row}")


def as_labels(name: str, y: Any) -> Any:
    """Return labels unchanged if they have a shape or are Arrow's, else as an array.

    Raises
    ------
    InputError
        If they are sparse, a lazy frame or a dict.
    ValueError
        If they are rows of different lengths.
    """
    check_is_data(name, y)
    if hasattr(type(y), "tocsr"):
        raise InputError(
            f"{name} is sparse, but dense labels are needed: {name}.toarray(){'.ravel()' * (1 in y.shape)}"
        )
    check_not_masked(name, y)
    if hasattr(y, "shape") or is_arrow(y):
        return y
    try:
        return np.asarray(y)
    except ValueError as error:
        raise ValueError(f"{name} must be 1-D, a label for each row: {error}") from error


def as_codes(labels: ArrayLike, n_samples: int, n_classes: int | None = None, name: str = "Y") -> NDArray[Any]:
    """Return class codes in the smallest unsigned type that holds them; booleans are not copied.

    Parameters
    ----------
    labels : array_like (n_samples,)
        Booleans, or whole numbers 0, 1, ... of any integer type.
    n_samples : int
        The rows of X.
    n_classes : int, optional
        Codes must be below it; by default it is the largest code plus 1.
    name : str
        Name of the labels in error messages.

    Raises
    ------
    InputError
        If labels are neither booleans nor integers.
    ValueError
        If their number is wrong, a code is out of range, or there is one class only.
    """
    array = np.asarray(labels)
    if array.ndim != 1:
        raise ValueError(f"{name} has {array.ndim} dimensions {array.shape}, but (n_samples,) is needed")
    _check_rows(name, array, n_samples)
    if array.dtype.kind not in "biu":
        missing = next((row for row, label in enumerate(array.tolist()) if is_missing(label)), None)
        if missing is not None:
            raise no_label(name, "NaN", missing)
        raise InputError(
            f"{name} has dtype {array.dtype}: class codes 0, 1, ... are needed as integers or booleans, or a matrix of "
            f"probabilities (n_samples, n_classes), of two classes np.column_stack([1 - {name}, {name}])"
        )
    low, high = int(array.min()), int(array.max())
    if low < 0 or (n_classes is not None and high >= n_classes):
        row = first_of(array < 0) if low < 0 else first_of(array >= n_classes)
        limit = "" if n_classes is None else f" to {n_classes - 1}"
        raise ValueError(f"{name} has {array[row]} in row {row}, but class codes go from 0{limit}")
    if low == high:
        raise ValueError(f"{name} has one class only ({low}): at least two are needed")
    if array.dtype == np.bool_:
        return read_only(np.ascontiguousarray(array).view(np.uint8))
    smallest = next(t for t in (np.uint8, np.uint16, np.uint32) if high <= np.iinfo(t).max)
    return read_only(np.ascontiguousarray(array, dtype=smallest))


def as_soft(values: ArrayLike, n_samples: int) -> NDArray[Any]:
    """Return probabilities (n_samples, n_classes); errors as in `as_offset`."""
    y = np.asarray(values)
    _check_rows("y", y, n_samples)
    if y.shape[1] < 2:
        raise ValueError(f"y has shape {y.shape}, but probabilities of at least two classes are needed")
    if y.dtype.kind not in "biufO":
        raise InputError(
            f"y must be 1-D, a label for each row, or a matrix of probabilities (n_samples, n_classes); it has shape "
            f"{y.shape} and dtype {y.dtype}"
        )
    _check_finite("y", y)
    soft = _as_float("y", y)
    total = soft.sum(axis=1, dtype=np.float64)
    bad = (np.abs(total - 1.0) > 1e-5) | (soft < 0).any(axis=1)
    if bad.any():
        row = first_of(bad)
        raise ValueError(f"y has {soft[row]} in row {row}: probabilities must be at least 0 and sum to 1")
    return read_only(soft)


def _as_float(name: str, values: Any) -> NDArray[Any]:
    """Return a contiguous array: float32 and float64 keep their type, others become float64."""
    array = as_numbers(name, values)
    native = array.dtype.kind == "f" and array.dtype.itemsize in (4, 8) and array.dtype.isnative
    return np.ascontiguousarray(array, dtype=array.dtype if native else np.float64)


def as_weight(values: ArrayLike | None, n_samples: int) -> NDArray[Any]:
    """Return the row weights (n_samples,), or an empty array for None; one number is every row's weight.

    Errors as in `as_offset`.
    """
    if values is None:
        return read_only(np.empty(0))
    if isinstance(values, Real):
        values = np.full(n_samples, float(values))
    weight = _as_float("sample_weight", values)
    if weight.ndim != 1:
        hint = ": np.ravel(sample_weight) has it" if weight.size == n_samples else ""
        raise ValueError(
            f"sample_weight has {weight.ndim} dimensions {weight.shape}, but ({n_samples},) is needed{hint}"
        )
    _check_rows("sample_weight", weight, n_samples)
    _check_finite("sample_weight", weight)
    if weight.min() < 0:
        row = first_of(weight < 0)
        raise ValueError(f"sample_weight has {weight[row]} in row {row}: weights must be at least 0")
    if weight.max() == 0:
        raise ValueError("sample_weight is zero in every row: at least one row must count")
    return read_only(weight)


def as_offset(values: ArrayLike | None, n_samples: int, K: int) -> NDArray[Any]:
    """Return offsets of the margins (n_samples, K), or an empty array for None; for two classes (n_samples,) will do.

    Raises
    ------
    TypeError, ValueError
        If the values are not numbers, the shape is another, or a value is not finite or above 1e30 in absolute value.
    """
    if values is None:
        return read_only(np.empty((0, 0)))
    offset = _as_float("offset", values)
    if offset.shape not in ({(n_samples,), (n_samples, 1)} if K == 1 else {(n_samples, K)}):
        needed = f"({n_samples},) is needed for two classes" if K == 1 else f"({n_samples}, {K}) is needed"
        raise ValueError(f"offset has shape {offset.shape}, but {needed}: what is added to each row's margins")
    offset = offset.reshape(n_samples, K)
    _check_finite("offset", offset)
    if max(offset.max(), -offset.min()) > MOST_OFFSET:
        row = first_of((np.abs(offset) > MOST_OFFSET).any(axis=1))
        raise ValueError(
            f"offset has {offset[row]} in row {row}, but {MOST_OFFSET:.0e} at most is needed: margins would overflow, "
            "and from 1e16 on coefficients are lost beside it"
        )
    return read_only(offset)


def memory_source(
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    class_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    *,
    loss: Loss | None = None,
    rows_per_part: int | None = None,
) -> MemorySource:
    """Return the source of rows in memory; what kernels can read in place is not copied.

    Parameters
    ----------
    X : array_like (n_samples, n_features)
        See :func:`as_storage`.
    y : array_like (n_samples,) or (n_samples, n_classes)
        Class codes, or probabilities.
    sample_weight : array_like (n_samples,) or float, optional
        Row weights, not negative; one number is every row's weight. float32 and float64 are read in place.
    class_weight : array_like (n_classes,), optional
        Multiplies the weights of each class's rows; with class codes only.
    offset : array_like (n_samples,) or (n_samples, K), optional
        Added to the margins.
    loss : Loss, optional
        By default `Logistic` for two classes, `Softmax` for more.
    rows_per_part : int, optional
        See `Block`.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what it has, and what is needed.
    """
    storage, _ = as_storage(X)
    n_samples = storage.shape[0]
    labels = np.asarray(as_labels("y", y))
    if labels.ndim == 2:
        labels = as_soft(labels, n_samples)
        n_classes = labels.shape[1]
    else:
        labels = as_codes(labels, n_samples, None if loss is None else loss.n_classes, "y")
        n_classes = int(labels.max()) + 1
    if loss is None:
        loss = Logistic() if n_classes == 2 else Softmax(n_classes)
    offsets = as_offset(offset, n_samples, n_margins(loss.n_classes))
    targets = targets_of(labels, loss, as_weight(sample_weight, n_samples), class_weight, offsets)
    return MemorySource([Block(storage, targets, loss, rows_per_part=rows_per_part)], names_of(X))


def targets_of(
    y: NDArray[Any], loss: Loss, weight: NDArray[Any], class_weight: ArrayLike | None, offset: NDArray[Any]
) -> Targets:
    """Return the targets of rows from the results of `as_codes` or `as_soft`, `as_weight` and `as_offset`.

    Raises
    ------
    ValueError
        If the class weights are not n_classes numbers of at least 0, or all weights sum to too much or too little.
    """
    if class_weight is None:
        return _weighed(Targets(y, weight, read_only(np.empty(0)), offset))
    if y.ndim == 2:
        raise ValueError(
            "class_weight needs one class a row, but y has probabilities: put the weights in sample_weight"
        )
    if isinstance(class_weight, str | Mapping):
        raise ValueError(
            f"class_weight is {class_weight!r}, but an array ({loss.n_classes},) is needed: a weight for each class. "
            "LogisticRegression takes a dict or 'balanced'"
        )
    factors = _as_float("class_weight", class_weight).astype(np.float64)
    if factors.shape != (loss.n_classes,):
        raise ValueError(f"class_weight has shape {factors.shape}, but ({loss.n_classes},) is needed")
    if not (np.isfinite(factors).all() and (factors >= 0).all() and (factors > 0).any()):
        raise ValueError(f"class_weight is {factors}: weights must be finite, at least 0, and not all 0")
    return _weighed(Targets(y, weight, read_only(factors), offset))


def _weighed(targets: Targets) -> Targets:
    """Return the targets, or raise ValueError if squares of the sum of weights, or their inverses, would overflow."""
    factor = float(targets.class_weight.max(initial=0.0)) if targets.class_weight.size else 1.0
    with np.errstate(over="ignore"):
        total = factor * float(targets.weight.sum(dtype=np.float64) if targets.weight.size else len(targets.y))
    if not LEAST_WEIGHT <= total <= MOST_WEIGHT:
        most = total > MOST_WEIGHT
        needed, does, undoes = (MOST_WEIGHT, "divide", "multiply") if most else (LEAST_WEIGHT, "multiply", "divide")
        raise ValueError(
            f"{_names_of_weights(targets)} sums to {total:.0e}, but {needed:.0e} at {'most' if most else 'least'} is "
            f"needed, so that squares of sums are finite: {does} the weights by some number and {undoes} C by it, "
            "which changes no coefficient"
        )
    return targets


def _names_of_weights(targets: Targets) -> str:
    names = ("sample_weight", targets.weight), ("class_weight", targets.class_weight)
    return " times ".join(name for name, weights in names if weights.size)


def check_classes(targets: Targets) -> None:
    """Raise ValueError if all rows of positive weight are of one class."""
    y, weight, factors = targets.y, targets.weight, targets.class_weight
    soft = y.ndim == 2
    if not soft and (not weight.size or weight.min() > 0.0) and (not factors.size or factors.min() > 0.0):
        return  # already checked, by `as_codes` or `fastlogit.estimators.labels.encoded`
    n_classes = y.shape[1] if soft else int(y.max()) + 1
    present = np.zeros(n_classes, np.bool_)
    for first in range(0, len(y), _BLOCK):
        rows = y[first : first + _BLOCK]
        if weight.size:
            rows = rows[weight[first : first + _BLOCK] > 0.0]
        present |= (rows > 0.0).any(axis=0) if soft else np.bincount(rows, minlength=n_classes) > 0
        if factors.size:
            present &= factors[:n_classes] > 0.0
        if np.count_nonzero(present) > 1:
            return
    among = _names_of_weights(targets)
    among = f" among rows of positive {among}" if among else ""
    raise ValueError(f"y has one class only{among}: at least two classes are needed")
