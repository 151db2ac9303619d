"""Places: the order of columns that kernels have for categories, and the way back from it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.kernels.storages.storage import padded, symmetric

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Places:
    """A place for every code, then for every number, then for the intercept.

    Attributes
    ----------
    features, places : ndarray (n,) of int
        Columns, and the place of each. A level without a code has none.
    n_features : int
        Number of columns.
    intercept : int
        The intercept's place.
    lead : int
        Places of the first category, padded.
    leading : ndarray (L,) of int
        The columns of its levels, ascending.
    """

    features: NDArray[np.int64]
    places: NDArray[np.int64]
    n_features: int
    intercept: int
    lead: int
    leading: NDArray[np.int64]

    @property
    def size(self) -> int:
        """Number of places without the intercept's, padded."""
        return padded(self.intercept)

    def pack(self, values: Array, dtype: Any) -> NDArray[Any]:
        """See `Storage.pack_columns`."""
        packed = np.zeros((*values.shape[:-1], self.size), dtype)
        packed[..., self.places] = values[..., self.features]
        return packed

    def unpacked(self, packed: NDArray[Any]) -> NDArray[Any]:
        """See `Storage.unpacked`."""
        values = np.zeros((*packed.shape[:-1], self.n_features))
        values[..., self.features] = packed[..., self.places]
        return values

    def unpacked_square(self, H: Array) -> Array:
        """See `Storage.unpacked_square`."""
        hess = np.zeros((len(H), self.n_features + 1, self.n_features + 1))
        features, places = np.append(self.features, self.n_features), np.append(self.places, self.intercept)
        hess[:, features[:, None], features] = symmetric(H)[:, places[:, None], places]
        return hess

    def unpacked_arrow(self, H: Array) -> tuple[NDArray[np.int64], Array, Array, Array]:
        """Return the parts of a Hessian whose block of the first category's levels is diagonal.

        Parameters
        ----------
        H : ndarray (blocks, size, size - lead)
            As kernels write it: without columns for the first ``lead`` places, but for a last one that has the
            diagonal of these rows, in the column that follows the intercept's.

        Returns
        -------
        (ndarray (L,), ndarray (blocks, L), ndarray (blocks, L, m), ndarray (blocks, m, m))
            `leading`; the diagonal; these rows' products with the other columns, in ascending order, and with the
            intercept; and the products of those.
        """
        place = np.empty(self.n_features + 1, np.int64)
        place[self.features], place[-1] = self.places, self.intercept
        rest = np.delete(place, self.leading) - self.lead
        rows = H[:, _as_slice(place[self.leading])]
        diagonal, border = rows[..., self.intercept + 1 - self.lead], rows[..., _as_slice(rest)]
        return self.leading, diagonal, border, symmetric(H[:, self.lead :])[:, rest[:, None], rest]


def _as_slice(places: NDArray[np.int64]) -> Any:
    """Return consecutive places as a slice, which selects without a copy; others as they are."""
    first, n = int(places[0]), len(places)
    return slice(first, first + n) if np.array_equal(places, np.arange(first, first + n)) else places
