"""Categories of a model: the levels of each, as in scikit-learn's `OneHotEncoder`, and the columns that they are.

What is known here is known of values, never of codes: a frame whose dictionary is in another order means the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.exceptions import InputError
from fastlogit.kernels.passes.levels import rows_of_codes
from fastlogit.kernels.storages.coded import Coded, Codes
from fastlogit.kernels.storages.nothing import Nothing
from fastlogit.kernels.storages.storage import computing_dtype
from fastlogit.kernels.storages.table import Column, Table
from fastlogit.sources.codings import MOST_CODES, Coding
from fastlogit.sources.numbers import is_missing, named

# Codes that are no level are left out, at the cost of a copy, if they are more than this many for each that is one.
_UNUSED, _FEW_CODES = 4, 256
# An error shows at most this many characters of a value.
_SHOWN = 60


@dataclass(frozen=True)
class Categories:
    """Which columns of a frame are categories, and what their levels are.

    Attributes
    ----------
    n_columns : int
        Number of the frame's columns.
    levels : dict of int to ndarray
        The sorted levels of each category, by its column; a missing value, if it is a level, is the last.
    drops_first : bool
        Whether the first level of each category has no coefficient.
    ignores_unknown : bool
        Whether rows with another value have none of the levels; else they are an error.
    """

    n_columns: int
    levels: Mapping[int, NDArray[Any]]
    drops_first: bool = False
    ignores_unknown: bool = False
    _known: dict[int, dict[Any, int]] = field(default_factory=dict, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": {}}

    @classmethod
    def learnt(
        cls, frame: "Frame", *, drops_first: bool = False, ignores_unknown: bool = False
    ) -> "tuple[Categories, Coded]":
        """Return the categories whose levels are the values of a frame's rows, and the storage of the rows.

        Raises
        ------
        InputError
            If values of a category cannot be put in order; the message names it.
        """
        counts = rows_of_codes([coding.column for coding in frame.codings.values()], frame.n_codes)
        levels, codings, places, rows = {}, {}, {}, {}
        for (column, coding), found in zip(frame.codings.items(), counts, strict=True):
            used = np.flatnonzero(found[1:])
            used = used[_order(coding.values[used], frame.named(column))]
            levels[column] = _levels(coding.values[used], coding.missing, bool(found[0]))
            if len(coding.values) > _UNUSED * len(used) + _FEW_CODES:
                codes = np.full(len(coding.values) + 1, -1)
                codes[used + 1] = np.arange(len(used))
                coding, found = coding.recoded(codes, coding.values[used]), found[np.append(-1, used) + 1]
                used = np.arange(len(used))
            codings[column], places[column] = coding, np.full(len(coding.values) + 1, -1)
            places[column][used + 1] = np.arange(len(used))
            if found[0]:
                places[column][0] = len(used)
            rows[column] = found
        categories = cls(frame.n_columns, levels, drops_first, ignores_unknown)
        if not categories.n_features:
            raise ValueError(
                f"{frame.name} has no columns left: each is a category of one level, which drop='first' leaves out"
            )
        return categories, categories._storage(frame.with_codings(codings), places, rows=rows)

    @staticmethod
    def are_alike(a: "Categories | None", b: "Categories | None") -> bool:
        """Return whether two models have the same columns, for which the same coefficients would do."""
        if a is None or b is None:
            return a is b
        if (a.n_columns, a.drops_first, list(a.levels)) != (b.n_columns, b.drops_first, list(b.levels)):
            return False
        return all(
            list(map(_key, one.tolist())) == list(map(_key, other.tolist()))
            for one, other in zip(a.levels.values(), b.levels.values(), strict=True)
        )

    # Columns of the model ------------------------------------------------------------------------------------------

    @cached_property
    def _first(self) -> list[int]:
        """The first of the model's columns that each of the frame's stands for, then their number."""
        widths = (self._n_kept(column) for column in range(self.n_columns))
        return [0, *accumulate(widths)]

    def _n_kept(self, column: int) -> int:
        return len(self.levels[column]) - self.drops_first if column in self.levels else 1

    @property
    def n_features(self) -> int:
        """Number of coefficients of a class."""
        return self._first[-1]

    def features_of(self, column: int) -> range:
        """Return which of the model's columns a column of the frame stands for."""
        return range(self._first[column], self._first[column + 1])

    # Rows ----------------------------------------------------------------------------------------------------------

    def storage(self, frame: "Frame") -> Coded:
        """Return the storage of a frame's rows to predict.

        Raises
        ------
        ValueError
            If a row has a value that is no level, unless these are ignored; the message names column, row and value.
        """
        places, are_whole = {}, {}
        for column, coding in frame.codings.items():
            places[column] = self._places_of(column, coding)
            unknown = places[column] < 0
            unknown[0] &= coding.may_miss
            row = coding.first_row_of(unknown) if unknown.any() else None
            are_whole[column] = row is None
            if row is not None and not self.ignores_unknown:
                raise self._unknown(column, row, coding, frame)
        return self._storage(frame, places, are_whole)

    def _storage(
        self,
        frame: "Frame",
        places: Mapping[int, NDArray[np.int64]],
        are_whole: Mapping[int, bool] | None = None,
        rows: Mapping[int, NDArray[np.int64]] | None = None,
    ) -> Coded:
        """Return the storage, ``places`` (n_codes + 1,) being the level of -1, 0, 1, ... of each category, -1 for none.

        ``are_whole``: whether every row has a level; by default they have. ``rows``: see `Codes`.
        """
        codes = []
        for column, coding in frame.codings.items():
            features = places[column] - self.drops_first
            features[features >= 0] += self._first[column]
            is_whole = not self.drops_first and (are_whole is None or are_whole[column])
            counts = None if rows is None else rows[column]
            codes.append(Codes(coding.column, np.maximum(features, -1), is_whole, counts))
        of_numbers = np.array([self._first[j] for j in range(self.n_columns) if j not in self.levels], np.int64)
        numbers: Table | Nothing = Nothing.of(frame.n_samples)
        if frame.numbers:
            dtype = computing_dtype(np.result_type(*{column.dtype for column in frame.numbers}, np.uint8))
            numbers = Table.of(frame.numbers, dtype)
        return Coded.of(codes, numbers, of_numbers, self.n_features)

    def _places_of(self, column: int, coding: Coding) -> NDArray[np.int64]:
        """Return the level (n_codes + 1,) of the codes -1, 0, 1, ... of a column; -1 for none."""
        levels, values = self.levels[column], coding.values
        kinds = levels.dtype.kind + values.dtype.kind
        if set(kinds) <= set("biuf") or kinds in ("mm", "MM"):  # times of any units
            place = np.minimum(np.searchsorted(levels, values), len(levels) - 1)
            missing = len(levels) - 1 if levels[-1] != levels[-1] else -1
            return np.append(missing, np.where(levels[place] == values, place, -1))
        known = self._known.setdefault(column, {})
        if not known:
            known.update((_key(value), place) for place, value in enumerate(levels.tolist()))
        return np.array([known.get(value, -1) for value in [_MISSING, *values.tolist()]], np.int64)

    def _unknown(self, column: int, row: int, coding: Coding, frame: "Frame") -> ValueError:
        code = int(coding.column.take(np.array([row]))[0])
        value = coding.missing if code < 0 else coding.values.tolist()[code]
        shown = "a missing value" if code < 0 else repr(value)[:_SHOWN]
        return ValueError(
            f"Found unknown categories: {frame.name} column {frame.named(column)} has {shown} in row {row}, which no "
            "row of training had. handle_unknown='ignore' takes such rows as none of the levels"
        )


_MISSING = type("_Missing", (), {"__repr__": lambda self: "missing"})()


def _key(value: Any) -> Any:
    return _MISSING if is_missing(value) else value


def _order(values: NDArray[Any], what: str) -> NDArray[np.intp]:
    """Return the order in which distinct values ascend."""
    if values.dtype.kind not in "OT":
        return np.argsort(values)
    found = values.tolist()
    try:
        return np.array(sorted(range(len(found)), key=found.__getitem__), np.intp)
    except TypeError as error:
        raise InputError(f"column {what} is a category whose values cannot be put in order: {error}") from error


def _levels(values: NDArray[Any], missing: Any, has_missing: bool) -> NDArray[Any]:
    """Return ascending values in the type of `OneHotEncoder.categories_`; a missing one is the last."""
    kind = values.dtype.kind
    if kind in "OT":
        levels = np.empty(len(values) + has_missing, object)
        levels[:] = [*values.tolist(), *[missing] * has_missing]
        return levels
    if not has_missing:
        return values
    if kind in "iuf":
        return np.append(values.astype(np.float64), np.nan)
    if kind in "mM":
        return np.append(values, np.array("NaT", values.dtype))
    return np.append(values.astype(object), np.array([missing], object))


class FeatureNames(Sequence[str]):
    """The names of a model's columns, as `OneHotEncoder` names levels; made when asked for, since they may be many."""

    def __init__(self, categories: Categories, names: Sequence[str] | None) -> None:
        self._categories, self._names = categories, names

    def __len__(self) -> int:
        return self._categories.n_features

    def _column_of(self, feature: int) -> int:
        return int(np.searchsorted(self._categories._first, feature, side="right")) - 1

    def _level(self, feature: int) -> tuple[int, Any]:
        """Return the frame's column, and the level in a list, as an element of its array, or none for a number."""
        column = self._column_of(feature)
        levels = self._categories.levels.get(column)
        if levels is None:
            return column, []
        place = feature - self._categories._first[column] + self._categories.drops_first
        return column, [levels[place]]

    def __getitem__(self, feature: Any) -> Any:
        if isinstance(feature, slice):
            return [self[j] for j in range(*feature.indices(len(self)))]
        column, level = self._level(feature)
        name = f"x{column}" if self._names is None else self._names[column]
        return "_".join([name, *map(str, level)])

    def named(self, feature: int) -> str:
        """Return the frame's column, and the level, for messages."""
        column, level = self._level(feature)
        return " = ".join([named(column, self._names), *(repr(str(value)) for value in level)])


@dataclass(frozen=True)
class Frame:
    """Columns of a frame or matrix: codings of categories, by column, and the numbers, in order.

    Attributes
    ----------
    n_samples, n_columns : int
        Its shape.
    codings : dict of int to Coding
        The categories.
    numbers : list of Column
        The other columns.
    names : sequence of str or None
        Names of all columns.
    name : str
        Its name in messages.
    """

    n_samples: int
    n_columns: int
    codings: dict[int, Coding]
    numbers: list[Column]
    names: Sequence[str] | None
    name: str = "X"

    def __post_init__(self) -> None:
        if sum(self.n_codes) > MOST_CODES:
            raise ValueError(f"{self.name} has {sum(self.n_codes):,} levels, but at most {MOST_CODES:,} are possible")

    @property
    def n_codes(self) -> list[int]:
        """Number of codes of each category."""
        return [len(coding.values) for coding in self.codings.values()]

    def named(self, column: int) -> str:
        """Return the number and, if there is one, the name of a column, for messages."""
        return named(column, self.names)

    def with_codings(self, codings: dict[int, Coding]) -> "Frame":
        """Return the frame with other codings of the same values."""
        return Frame(self.n_samples, self.n_columns, codings, self.numbers, self.names, self.name)
