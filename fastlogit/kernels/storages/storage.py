"""What every storage answers in Python: how its coefficients and sums are packed, and what a centre leaves to algebra.

The answers of `Storage` are those of rows whose centre the kernels subtract element by element, and that give a tile of
themselves (`fastlogit.kernels.storages.protocol.take`). `fastlogit.kernels.storages.csr` has others.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fastlogit.kernels.machine import clock
from fastlogit.kernels.machine.jit import n_chunks

#: Coefficients of a class are padded to a multiple of this many columns.
PADDING = 16
# Columns of few rows that are centred and multiplied at a time.
_COLUMNS = 2048


class Storage:
    """A base of the ``NamedTuple`` that kernels read; a subclass has at least ``shape``, ``dtype``, ``take``, ``join``.

    Attributes
    ----------
    takes_tiles : bool
        Whether compiled code can take a tile of centred rows.
    n_powers, n_squares : int
        How many sums `accumulate_moments` and `accumulate_squares` add up for each column.
    """

    __slots__ = ()
    takes_tiles: ClassVar[bool] = True
    n_powers: ClassVar[int] = 2
    n_squares: ClassVar[int] = 2
    shape: Any
    dtype: Any

    @property
    def computing_dtype(self) -> np.dtype[Any]:
        """What margins are computed in: float32 where it holds every stored value exactly, else float64."""
        return computing_dtype(self.dtype)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row as stored; of a sparse storage on average."""
        return int(self.shape[1] * self.dtype.itemsize)

    def take(self, rows: NDArray[np.intp]) -> Any:
        """Return a storage of some rows, in ascending order, copied."""
        raise NotImplementedError

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Return the rows of storages of this type, one after another."""
        raise NotImplementedError

    def dense(self, columns: slice) -> NDArray[np.float64]:
        """Return a copy of some columns of all rows."""
        raise NotImplementedError

    def first_not_finite(self) -> tuple[int, int, float] | None:
        """Return row, column and value of an element that is NaN or infinite, None where there is none."""
        X = self.dense(slice(None))
        bad = np.argwhere(~np.isfinite(X))
        return (int(bad[0, 0]), int(bad[0, 1]), float(X[tuple(bad[0])])) if len(bad) else None

    def uncentred(self, center: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Return the part of a centre that kernels do not subtract, (n_features,); None where there is none.

        Whoever asks for sums then subtracts it by algebra: ``(x - c)' w + b = x' w + (b - c' w)``.
        """
        return None

    def pack(
        self, W: NDArray[np.float64], center: NDArray[np.float64], dtype: Any
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Return coefficients, intercepts and centre as a pass reads them; ``W`` is (n_features + 1, K)."""
        left, intercepts = self.uncentred(center), W[-1]
        if left is not None:
            intercepts = intercepts - margins_at(left, W[:-1])
        coefficients = self.pack_coefficients(W[:-1], dtype)
        return coefficients[0] if W.shape[1] == 1 else coefficients, intercepts.astype(dtype), pack(center, dtype)

    def pack_coefficients(self, W: NDArray[np.float64], dtype: Any) -> NDArray[Any]:
        """Return coefficients (K, padded) in the order in memory that kernels read; ``W`` is (n_features, K)."""
        return pack(W.T, dtype)

    def n_chunks(self, first: int, last: int, n_sums: int, size: int) -> int:
        """Return the number of chunks for a pass over some rows whose chunks have sums (n_sums, size) each."""
        return n_chunks(last - first, n_sums * size)

    def n_adjacent(self, K: int) -> int:
        """Return for how many sums of classes a column has room where there are K."""
        return K

    def empty_sums(self, n_chunks: int, n_sums: int, size: int) -> NDArray[np.float64]:
        """Return room for each chunk's sums (n_sums, size), in the order in memory that kernels write."""
        return np.empty((n_chunks, n_sums, size))

    def few_moments(
        self, first: int, last: int, weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Return means and centred squares of a few rows where that is quicker without a kernel; else None."""
        return None

    def powers(self, sums: NDArray[np.float64], shift: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
        """Return ``sum_i s_i (x_i - shift)^p`` for p = 1, 2, shape (2, n_features), from what kernels have added up.

        ``sums`` (n_powers, n_features); ``weight`` is ``sum_i s_i``.
        """
        return sums

    def column_squares(
        self, sums: NDArray[np.float64], totals: NDArray[np.float64], center: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return ``sum_i a_ij^p`` for p = 1, 2 with ``a_ij = s_i (x_ij - center_j)^2`` from what kernels have added up.

        ``sums`` (n_squares, n_features); ``totals`` (2,) are ``sum_i s_i`` and ``sum_i s_i^2``.
        """
        return sums

    def row_products(self, center: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ``sum_j weight_j (x_ij - center_j) (x_lj - center_j)`` (n_samples, n_samples), for few rows."""
        products = np.zeros((self.shape[0], self.shape[0]))
        for first in range(0, self.shape[1], _COLUMNS):
            clock.check()
            some = slice(first, first + _COLUMNS)
            A = (self.dense(some) - center[some]) * np.sqrt(weight[some])
            products += A @ A.T
        return products

    def combination(
        self, center: NDArray[np.float64], rows: NDArray[np.intp], shares: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return ``sum_i (x_i - center) shares_i`` (n_features, K) over some rows; ``shares`` (rows, K)."""
        sums = np.empty((self.shape[1], shares.shape[1]))
        for first in range(0, self.shape[1], _COLUMNS):
            some = slice(first, first + _COLUMNS)
            sums[some] = (self.dense(some)[rows] - center[some]).T @ shares
        return sums


def computing_dtype(stored: np.dtype[Any]) -> np.dtype[Any]:
    """Return what margins of such an X are computed in: float32 where that holds every stored value exactly."""
    return np.dtype(np.float32 if np.can_cast(stored, np.float32) else np.float64)


def padded(n_features: int) -> int:
    """Return the length of a coefficient row: ``n_features`` up to a multiple of `PADDING`."""
    return -(-n_features // PADDING) * PADDING


def pack(values: NDArray[np.float64], dtype: Any) -> NDArray[Any]:
    """Return ``values`` (..., n_features) zero-padded to ``(..., padded)`` in ``dtype``."""
    packed = np.zeros((*values.shape[:-1], padded(values.shape[-1])), dtype)
    packed[..., : values.shape[-1]] = values
    return packed


def margins_at(x: NDArray[np.float64], W: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``x W`` (K,) for one row x.

    Not by BLAS, whose threads would go on spinning next to the passes that follow, some 80 ms long.
    """
    product: NDArray[np.float64] = np.einsum("j,jk", x, W)
    return product
