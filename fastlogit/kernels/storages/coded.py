"""Coded: columns of categories, kept as codes where they lie in memory, beside columns of numbers.

A category with L levels stands for L columns of zeros and ones, one of them 1 in each row; what is stored is which. A
code selects the level's coefficient in margins, and its sum in gradients. As for `csr`, kernels do not centre these
columns; that is done by algebra. Columns of numbers are a `Table`, which centres its own.

Kernels have their own order of columns, in *places*: the categories one after another, the one of most codes first,
with a place for every code, those that are no level included, and one for a missing value; then, from place ``cut`` on,
the numbers; then the intercept. `Storage.pack_columns` and `Storage.unpacked` convert: nothing else knows of places.

Margins and sums over rows have yet another order, for speed alone: `cells`, then numbers. For more than one class the
coefficients of a cell are adjacent in memory, and so are its sums.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from fastlogit.kernels.machine.jit import power_of_2, read_only
from fastlogit.kernels.storages.cells import Cells, Decoding
from fastlogit.kernels.storages.csr import NONZEROS_PER_COLUMN, n_adjacent, weight_of_zeros
from fastlogit.kernels.storages.decode import KINDS, decoder
from fastlogit.kernels.storages.nothing import Nothing
from fastlogit.kernels.storages.places import Places
from fastlogit.kernels.storages.storage import Storage, padded
from fastlogit.kernels.storages.table import Column, Table, addresses_of


@dataclass(frozen=True)
class Codes:
    """A category: its codes, and what each of them means.

    Attributes
    ----------
    column : Column
        The codes, integers from -1 on; -1 is a missing value.
    features : ndarray (n_codes + 1,) of int
        Which of the storage's columns is 1 for the codes -1, 0, 1, ...; -1 for none.
    is_whole : bool
        Whether no row has a code for which there is no column.
    rows : ndarray (n_codes + 1,) of int or None
        How many rows have the codes -1, 0, 1, ..., if that is known.
    """

    column: Column
    features: NDArray[np.int64]
    is_whole: bool = True
    rows: NDArray[np.int64] | None = None

    @property
    def never_misses(self) -> bool:
        """Whether no row has the code -1."""
        return self.rows is not None and self.rows[0] == 0


class _Arrays(NamedTuple):
    """The fields that kernels read.

    ``numbers``: the columns of numbers. ``starts`` (n_pieces + 1,): the first row of each piece, then the number of
    rows. ``addresses`` (n_pieces, n_categories) of codes. ``strides`` in bytes and ``kinds`` in `decode.KINDS`
    (n_categories,). ``places``, ``cells``: what codes become. ``cut``, ``cut_of_cells``: where numbers begin after
    places, and after cells. ``lead``: the places of the first category, padded. ``decoder``: the address of the
    function that decodes.
    """

    numbers: Any
    starts: NDArray[np.int64]
    addresses: NDArray[np.int64]
    strides: NDArray[np.int64]
    kinds: NDArray[np.int64]
    places: Decoding
    cells: Decoding
    cut: int
    cut_of_cells: int
    lead: int
    decoder: int


class Coded(_Arrays, Storage):
    """Categories and numbers; `Coded.of` makes one."""

    takes_tiles, load, n_squares = False, 16, 2
    categories: Sequence[Codes]
    of_numbers: NDArray[np.int64]
    _n_features: int
    _cells: Cells

    @classmethod
    def of(
        cls, categories: Sequence[Codes], numbers: Table | Nothing, of_numbers: NDArray[np.int64], n_features: int
    ) -> "Coded":
        """Return the storage of some categories, at least one, and numbers, which may have no columns.

        Parameters
        ----------
        categories : sequence of Codes
            The categories.
        numbers : Table or Nothing
            The columns of numbers, of the same rows.
        of_numbers : ndarray of int
            Which of the storage's columns each of them is.
        n_features : int
            Number of columns: levels and numbers.
        """
        categories = sorted(categories, key=lambda each: -len(each.features))
        first = np.cumsum([0, *(len(each.features) for each in categories)])
        lead = padded(int(first[1]))
        first[1:] += lead - first[1]
        columns = [each.column for each in categories]
        starts, addresses = addresses_of(columns)
        kinds = [KINDS.index(column.kind) for column in columns]
        strides = [column.stride for column in columns]
        arrays = (read_only(np.asarray(a, np.int64)) for a in (starts, addresses, strides, kinds))
        places = Decoding.of(range(len(columns)), np.ones(len(columns)), first[:-1] + 1)
        lowest = [0 if each.never_misses else -1 for each in categories]
        features = [each.features[low + 1 :] for each, low in zip(categories, lowest, strict=True)]
        cells = Cells.of(features, lowest, int(starts[-1]))
        cuts = padded(int(first[-1])), padded(int(cells.first[-1]))
        storage = cls._make((numbers, *arrays, places, cells.decoding, *cuts, lead, decoder()))
        storage.categories, storage.of_numbers, storage._n_features = categories, of_numbers, n_features
        storage._cells = cells
        return storage

    # The order of columns ------------------------------------------------------------------------------------------

    @cached_property
    def _places(self) -> Places:
        features, places = [self.of_numbers], [self.cut + np.arange(len(self.of_numbers))]
        for each, base in zip(self.categories, self.places.bases, strict=True):
            codes = np.flatnonzero(each.features >= 0)
            features.append(each.features[codes])
            places.append(codes + base - 1)
        leading = np.sort(features[1])
        arrays = np.concatenate(features), np.concatenate(places)
        return Places(*arrays, self._n_features, self.cut + len(self.of_numbers), self.lead, leading)

    @property
    def intercept_place(self) -> int:
        """See `Storage.intercept_place`."""
        return self._places.intercept

    @property
    def n_places(self) -> int:
        """Number of places without the intercept's, padded."""
        return self._places.size

    def pack_columns(self, values: NDArray[np.float64], dtype: Any) -> NDArray[Any]:
        """See `Storage.pack_columns`."""
        return self._places.pack(values, dtype)

    def unpacked(self, sums: NDArray[Any]) -> NDArray[Any]:
        """See `Storage.unpacked`."""
        return self._places.unpacked(sums)

    def unpacked_square(self, H: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `Storage.unpacked_square`."""
        return self._places.unpacked_square(H)

    def unpacked_arrow(self, H: NDArray[np.float64]) -> tuple[NDArray[Any], ...]:
        """See `Places.unpacked_arrow`."""
        return self._places.unpacked_arrow(H)

    @property
    def leading(self) -> NDArray[np.int64]:
        """See `Storage`: the levels of the first category."""
        return self._places.leading

    @property
    def partitions(self) -> list[NDArray[np.int64]]:
        """See `Storage`: the levels of each category."""
        return [each.features[each.features >= 0] for each in self.categories if each.is_whole]

    @property
    def sums_size(self) -> int:
        """See `Storage.sums_size`: cells, then numbers."""
        return self.cut_of_cells + padded(len(self.of_numbers))

    def unpacked_sums(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `Storage.unpacked_sums`."""
        values = np.zeros((*sums.shape[:-1], self._n_features))
        self._cells.add_up(sums, values)
        values[..., self.of_numbers] = sums[..., self.cut_of_cells : self.cut_of_cells + len(self.of_numbers)]
        return values

    def pack_coefficients(self, W: NDArray[np.float64], dtype: Any) -> NDArray[Any]:
        """See `Storage.pack_coefficients`: those of cells, then of numbers; classes are adjacent."""
        K, cut = W.shape[1], self.cut_of_cells
        adjacent = np.zeros((self.sums_size, n_adjacent(K)), dtype)
        self._cells.spread(W, adjacent[:, :K])
        adjacent[cut : cut + len(self.of_numbers), :K] = W[self.of_numbers]
        return adjacent[:, :K].T

    def n_adjacent(self, K: int) -> int:
        """See `Storage.n_adjacent`."""
        return n_adjacent(K)

    def empty_sums(self, n_chunks: int, n_sums: int, size: int) -> NDArray[np.float64]:
        """See `Storage.empty_sums`: sums of a cell are adjacent."""
        return np.empty((n_chunks, size, n_sums)).transpose(0, 2, 1)

    # Sizes ---------------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, int]:
        """(n_samples, n_features)."""
        return int(self.starts[-1]), self._n_features

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the numbers."""
        dtype: np.dtype[Any] = self.numbers.dtype
        return dtype

    @property
    def row_bytes(self) -> int:
        """Bytes of a row as stored."""
        return int(self.numbers.row_bytes) + sum(each.column.dtype.itemsize for each in self.categories)

    def elements_of(self, row_bytes: int) -> int:
        """See `Storage.elements_of`: a code is an element."""
        return len(self.categories) + len(self.of_numbers)

    def n_chunks(self, first: int, last: int, n_sums: int, size: int) -> int:
        """See `Storage.n_chunks`: fewer where levels have few rows, as for `csr`."""
        most, codes = super().n_chunks(first, last, n_sums, size), (last - first) * len(self.categories)
        return min(most, power_of_2(max(2, codes // (NONZEROS_PER_COLUMN * size))))

    # Rows ----------------------------------------------------------------------------------------------------------

    def take(self, rows: NDArray[np.intp]) -> "Coded":
        """See `Storage.take`."""
        categories = [
            replace(each, column=Column.of(read_only(each.column.take(rows))), rows=None) for each in self.categories
        ]
        return Coded.of(categories, _as_table(self.numbers.take(rows)), self.of_numbers, self._n_features)

    @classmethod
    def join(cls, parts: Sequence["Coded"]) -> "Coded":
        """See `Storage.join`."""
        rows = [part.take(np.arange(part.shape[0])) for part in parts]
        categories = [
            replace(same[0], column=Column.of(read_only(np.concatenate([each.column.owner for each in same]))))
            for same in zip(*(part.categories for part in rows), strict=True)
        ]
        numbers = _as_table(type(rows[0].numbers).join([part.numbers for part in rows]))
        return cls.of(categories, numbers, parts[0].of_numbers, parts[0]._n_features)

    def _levels(self, rows: NDArray[np.intp]) -> list[NDArray[np.int64]]:
        """Return for each category the column that is 1 in each of some rows, -1 for none."""
        return [each.features[each.column.take(rows).astype(np.int64) + 1] for each in self.categories]

    def dense(self, columns: slice) -> NDArray[np.float64]:
        """See `Storage.dense`."""
        n = self.shape[0]
        wanted = np.full(self._n_features + 1, -1)  # -1, the last, is no level
        wanted[np.arange(self._n_features)[columns]] = np.arange(len(range(*columns.indices(self._n_features))))
        X, rows = np.zeros((n, int(wanted.max()) + 1)), np.arange(n)
        for j in self._levels(rows):
            at = wanted[j]
            X[rows[at >= 0], at[at >= 0]] = 1.0
        at = wanted[self.of_numbers]
        if (at >= 0).any():
            X[:, at[at >= 0]] = self.numbers.dense(slice(None))[:, at >= 0]
        return X

    def first_not_finite(self) -> tuple[int, int, float] | None:
        """See `Storage.first_not_finite`."""
        found = self.numbers.first_not_finite()
        return None if found is None else (found[0], int(self.of_numbers[found[1]]), found[2])

    # Centring by algebra -------------------------------------------------------------------------------------------

    def uncentred(self, center: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `Storage.uncentred`: that of the categories."""
        left = center.copy()
        left[self.of_numbers] = 0.0
        return left

    def square_of_zeros(self, center: NDArray[Any], inverse_scale: NDArray[Any]) -> float:
        """See `Storage.square_of_zeros`: of the categories alone."""
        return float(np.sum((center[: self.cut].astype(np.float64) * inverse_scale[: self.cut]) ** 2))

    def few_moments(
        self, first: int, last: int, weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `Storage.few_moments`; of levels that are counted those of all rows: few rows lack rare ones."""
        rows, weight = np.arange(first, last), float(weights.sum())
        sums = np.zeros(self._n_features + 1)
        for each, j in zip(self.categories, self._levels(rows), strict=True):
            if each.rows is None:
                sums += np.bincount(j + 1, weights, len(sums))
            else:
                sums += np.bincount(each.features + 1, each.rows * (weight / self.shape[0]), len(sums))
        n = sums[1:]
        mean = n / (weight or 1.0)
        squares = n * (1.0 - mean) ** 2 + mean**2 * weight_of_zeros(weight, n)
        if len(self.of_numbers):
            X = self.numbers.take(rows).dense(slice(None))
            mean[self.of_numbers] = about = weights @ X / (weight or 1.0)
            squares[self.of_numbers] = weights @ (X - about) ** 2
        return mean, squares

    def powers(self, sums: NDArray[np.float64], shift: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
        """See `Storage.powers`: the first sum of a level is the weight of its rows."""
        n = sums[0]
        zeros = weight_of_zeros(weight, n)
        powers = np.stack([n * (1.0 - shift) - shift * zeros, n * (1.0 - shift) ** 2 + shift**2 * zeros])
        powers[:, self.of_numbers] = sums[:, self.of_numbers]
        return powers

    def mean_and_squares(
        self, sums: NDArray[np.float64], shift: NDArray[np.float64], weight: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `Storage.mean_and_squares`: a level of all weight, or of none, is constant, to the last bit."""
        mean, squares = super().mean_and_squares(sums, shift, weight)
        levels = np.delete(np.arange(self._n_features), self.of_numbers)
        n = sums[0, levels]
        mean[levels], squares[levels] = n / weight, n * (weight_of_zeros(weight, n) / weight)
        return mean, squares

    def column_squares(
        self, sums: NDArray[np.float64], totals: NDArray[np.float64], center: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """See `Storage.column_squares`: the sums of a level are those of its rows' weights, and of their squares."""
        weights, squares_of_weights = sums
        squares = np.stack(
            [
                weights * (1.0 - center) ** 2 + center**2 * weight_of_zeros(totals[0], weights),
                squares_of_weights * (1.0 - center) ** 4 + center**4 * weight_of_zeros(totals[1], squares_of_weights),
            ]
        )
        squares[:, self.of_numbers] = sums[:, self.of_numbers]
        return squares


def _as_table(rows: Any) -> Any:
    """Return copied numbers as the storage that they were copied from, for which kernels are compiled already."""
    return rows if isinstance(rows, Nothing) else Table.of_matrix(rows.X)


def is_coded(kind: Any) -> bool:
    """Return whether a numba type is `Coded`."""
    return isinstance(kind, types.NamedTuple) and kind.instance_class is Coded
