"""The base of storages in Python: layouts of coefficients and sums, and centring by algebra.

The methods of `Storage` are right for rows that kernels centre element by element, and that have
`fastlogit.kernels.storages.protocol.take`. `fastlogit.kernels.storages.csr` overrides them.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fastlogit.kernels.machine import clock
from fastlogit.kernels.machine.jit import n_chunks

#: Coefficients of a class are padded to a multiple of this many columns.
PADDING = 16
# Columns that are centred and multiplied at a time, for few rows.
_COLUMNS = 512


class Storage:
    """Base of the ``NamedTuple`` that kernels read; a subclass has at least ``shape``, ``dtype``, ``take``, ``join``.

    Attributes
    ----------
    shape : (int, int)
        (n_samples, n_features).
    dtype : dtype
        The stored type.
    takes_tiles : bool
        Whether `protocol.take` is registered for the type.
    lead : int
        Number of the first places in the kernels' order of columns of which no two are in the same row, so that the
        Hessian's block of them is diagonal; 0 where that is not known of any.
    leading : ndarray of int or None
        The columns that they are.
    partitions : sequence of ndarray of int
        Sets of columns that add up to 1 in every row; no column is in two.
    load : int
        An element takes at least as long as this many multiply-adds.
    n_powers, n_squares : int
        Number of sums for each column that `accumulate_moments` and `accumulate_squares` compute.
    """

    __slots__ = ()
    takes_tiles: ClassVar[bool] = True
    lead: Any = 0
    leading: Any = None
    partitions: Any = ()
    load: ClassVar[int] = 3
    n_powers: ClassVar[int] = 2
    n_squares: ClassVar[int] = 2
    shape: Any
    dtype: Any

    @property
    def computing_dtype(self) -> np.dtype[Any]:
        """Type in which margins are computed: see `computing_dtype`."""
        return computing_dtype(self.dtype)

    @property
    def row_elements(self) -> int:
        """Elements of a row as stored, on average."""
        return self.elements_of(self.row_bytes)

    def products(self, n_sums: int) -> int:
        """Return as how many multiply-adds a row with ``n_sums`` sums for each element counts in `jit.n_chunks`."""
        return max(n_sums, self.load) * self.row_elements

    def elements_of(self, row_bytes: int) -> int:
        """Return how many elements as stored take so many bytes, at least 1."""
        return max(1, row_bytes // int(self.dtype.itemsize))

    @property
    def row_bytes(self) -> int:
        """Bytes of a row as stored, on average."""
        return int(self.shape[1] * self.dtype.itemsize)

    def take(self, rows: NDArray[np.intp]) -> Any:
        """Return a storage of this type with a copy of the rows with these indices, which ascend."""
        raise NotImplementedError

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Return a storage with the rows of all parts, in order."""
        raise NotImplementedError

    def dense(self, columns: slice) -> NDArray[np.float64]:
        """Return a copy (n_samples, len(columns)) of some columns in float64."""
        raise NotImplementedError

    def first_not_finite(self) -> tuple[int, int, float] | None:
        """Return row, column and value of the first element that is NaN or infinite, None if there is none."""
        X = self.dense(slice(None))
        bad = np.argwhere(~np.isfinite(X))
        return (int(bad[0, 0]), int(bad[0, 1]), float(X[tuple(bad[0])])) if len(bad) else None

    def uncentred(self, center: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Return the part c (n_features,) of a centre that kernels do not subtract, or None for no part.

        It is subtracted by algebra: before the pass ``(x - c)' w + b = x' w + (b - c' w)``, in `pack`, and after it
        from sums over rows, in `fastlogit.sources.block`.
        """
        return None

    def pack(
        self, W: NDArray[np.float64], center: NDArray[np.float64], dtype: Any
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Return coefficients, intercepts and centre in the layout that passes read.

        Parameters
        ----------
        W : ndarray (n_features + 1, K)
            Coefficients, intercepts in the last row.
        center : ndarray (n_features,)
            The centre.
        dtype : dtype
            Computing type.

        Returns
        -------
        (ndarray (K, padded) or (padded,), ndarray (K,), ndarray (padded,))
            All in ``dtype``.
        """
        left, intercepts = self.uncentred(center), W[-1]
        if left is not None:
            intercepts = intercepts - margins_at(left, W[:-1])
        coefficients = self.pack_coefficients(W[:-1], dtype)
        packed = coefficients[0] if W.shape[1] == 1 else coefficients
        return packed, intercepts.astype(dtype), self.pack_columns(center, dtype)

    def pack_columns(self, values: NDArray[np.float64], dtype: Any) -> NDArray[Any]:
        """Return numbers of columns (..., n_features) in the order that kernels have, zero-padded, in ``dtype``."""
        return pack(values, dtype)

    def unpacked(self, sums: NDArray[Any]) -> NDArray[Any]:
        """Return numbers of columns (..., n_features) from the kernels' order: the inverse of the above."""
        return sums[..., : self.shape[1]]

    def unpacked_square(self, H: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the Hessian's blocks (blocks, n_features + 1, n_features + 1) from the upper triangles of kernels'."""
        size = self.shape[1] + 1
        return symmetric(H[:, :size, :size])

    @property
    def sums_size(self) -> int:
        """Number of sums over rows that kernels have for a class: those of columns, padded, or others."""
        return padded(int(self.shape[1]))

    def unpacked_sums(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return sums over rows of columns (..., n_features) from those of kernels (..., sums_size)."""
        return self.unpacked(sums)

    @property
    def intercept_place(self) -> int:
        """The place of the intercept in the order that kernels have: the number of their columns."""
        return int(self.shape[1])

    def square_of_zeros(self, center: NDArray[Any], inverse_scale: NDArray[Any]) -> float:
        """Return ``sum_j (center_j inverse_scale_j)^2`` over columns that kernels do not centre, from packed values.

        Kernels add to it what elements make of it that are not zero.
        """
        return 0.0

    def pack_coefficients(self, W: NDArray[np.float64], dtype: Any) -> NDArray[Any]:
        """Return coefficients (K, padded) in the memory order that kernels read, from ``W`` (n_features, K)."""
        return pack(W.T, dtype)

    def n_chunks(self, first: int, last: int, n_sums: int, size: int) -> int:
        """Return the number of chunks of a pass over rows ``first`` to ``last``, each with sums (n_sums, size)."""
        return n_chunks(last - first, n_sums * size, self.products(n_sums))

    def n_adjacent(self, K: int) -> int:
        """Return the number of sums for K classes that a column has room for in memory: at least K."""
        return K

    def empty_sums(self, n_chunks: int, n_sums: int, size: int) -> NDArray[np.float64]:
        """Return an uninitialised array (n_chunks, n_sums, size), in the memory order that kernels write."""
        return np.empty((n_chunks, n_sums, size))

    def few_moments(
        self, first: int, last: int, weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Return ``sum_i s_i x_i / sum_i s_i`` and ``sum_i s_i (x_i - mean)^2`` of few rows, each (n_features,).

        ``weights`` (last - first,) are the s_i. None if a kernel is faster.
        """
        return None

    def powers(self, sums: NDArray[np.float64], shift: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
        """Return ``sum_i s_i (x_i - shift)^p`` for p = 1, 2, shape (2, n_features), from the sums of kernels.

        ``sums`` (n_powers, n_features); ``weight`` is ``sum_i s_i``.
        """
        return sums

    def mean_and_squares(
        self, sums: NDArray[np.float64], shift: NDArray[np.float64], weight: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return ``sum_i s_i x_i / sum_i s_i`` and ``sum_i s_i (x_i - mean)^2``; arguments as in `powers`."""
        step, squares = self.powers(sums, shift, weight)
        return shift + step / weight, np.maximum(squares - step**2 / weight, 0.0)

    def column_squares(
        self, sums: NDArray[np.float64], totals: NDArray[np.float64], center: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return ``sum_i a_ij^p`` for p = 1, 2, ``a_ij = s_i (x_ij - center_j)^2``, shape (2, n_features).

        ``sums`` (n_squares, n_features) are those of kernels; ``totals`` (2,) are ``sum_i s_i`` and ``sum_i s_i^2``.
        """
        return sums

    def row_products(self, center: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ``sum_j weight_j (x_ij - center_j) (x_lj - center_j)`` (n_samples, n_samples), of few rows."""
        products = np.zeros((self.shape[0], self.shape[0]))
        for first in range(0, self.shape[1], _COLUMNS):
            clock.check()
            some = slice(first, first + _COLUMNS)
            A = self.dense(some)
            A -= center[some]
            A *= np.sqrt(weight[some])
            products += A @ A.T
        return products

    def combination(
        self, center: NDArray[np.float64], rows: NDArray[np.intp], shares: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return ``sum_i (x_i - center) shares_i`` (n_features, K) over the given rows; ``shares`` (len(rows), K)."""
        sums, of_rows = np.empty((self.shape[1], shares.shape[1])), np.zeros((self.shape[0], shares.shape[1]))
        of_rows[rows] = shares
        for first in range(0, self.shape[1], _COLUMNS):
            some = slice(first, first + _COLUMNS)
            A = self.dense(some)
            A -= center[some]
            sums[some] = A.T @ of_rows
        return sums


def symmetric(H: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return matrices (blocks, n, n) whose upper triangles are those of ``H``."""
    upper = np.triu(H)
    return np.asarray(upper + np.triu(upper, 1).transpose(0, 2, 1))


def computing_dtype(stored: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type in which margins are computed: float32 if it holds all stored values exactly, else float64."""
    return np.dtype(np.float32 if np.can_cast(stored, np.float32) else np.float64)


def padded(n_features: int) -> int:
    """Return ``n_features`` rounded up to a multiple of `PADDING`."""
    return -(-n_features // PADDING) * PADDING


def pack(values: NDArray[np.float64], dtype: Any) -> NDArray[Any]:
    """Return ``values`` (..., n_features) zero-padded to ``(..., padded)`` in ``dtype``."""
    packed = np.zeros((*values.shape[:-1], padded(values.shape[-1])), dtype)
    packed[..., : values.shape[-1]] = values
    return packed


def margins_at(x: NDArray[np.float64], W: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``x W`` (K,) for one row x.

    Not by BLAS, whose threads would busy-wait for another 80 ms, during the passes that follow.
    """
    product: NDArray[np.float64] = np.einsum("j,jk", x, W)
    return product
