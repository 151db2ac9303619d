"""CSR: compressed sparse rows, of which only the nonzeros are stored, in SciPy's arrays.

Kernels do not centre rows; a centre c is subtracted by algebra:

    (x - c)' w + b                 = x' w + (b - c' w)                                  `Storage.pack`
    sum_i r_i (x_i - c)            = sum_i r_i x_i - c sum_i r_i                        `fastlogit.sources.block`
    sum_j ((x_j - c_j) s_j)^2      = sum_j (c_j s_j)^2 + sum_{x_j != 0} ((x_j - c_j)^2 - c_j^2) s_j^2
    sum_i s_i (x_ij - c_j)^p       = sum_{x_ij != 0} s_i (x_ij - c_j)^p + (-c_j)^p (sum_i s_i - sum_{x_ij != 0} s_i)

The last is why moments have one sum more than those of dense rows, that of the weights of a column's nonzeros. It
involves no cancellation.

The coefficients of a column are adjacent in memory, and so are its sums: a nonzero has those of all classes in one
place.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from fastlogit.kernels.machine.jit import kernel, n_chunks, power_of_2, read_only
from fastlogit.kernels.storages.protocol import row_bounds
from fastlogit.kernels.storages.storage import Storage, padded

# Up to this share of all weight, that of a column's zeros is a rounding error: it has none.
_ROUNDING = 1e-12
# Indices that NumPy looks through in less time than a kernel's first call takes.
_FEW_INDICES = 1 << 17
#: Each chunk costs one array over all columns: there is one for this many nonzeros of a column, but at least two.
NONZEROS_PER_COLUMN = 16


class _Arrays(NamedTuple):
    data: NDArray[Any]
    indices: NDArray[Any]
    indptr: NDArray[Any]
    n_features: int


class CSR(_Arrays, Storage):
    """Sparse X (n_samples, n_features).

    Row i has ``data[p]`` in column ``indices[p]`` for ``indptr[i] <= p < indptr[i + 1]``. The columns of a row ascend,
    each at most once. Indices are viewed as unsigned integers, which compiled code need not test for being negative.
    """

    __slots__ = ()
    takes_tiles, load, n_powers, n_squares = False, 16, 3, 4

    @classmethod
    def of(cls, data: NDArray[Any], indices: NDArray[Any], indptr: NDArray[Any], n_features: int) -> "CSR":
        """Return the storage of SciPy's three arrays, which are not copied."""
        indices, indptr = (read_only(a.view(f"u{a.itemsize}")) for a in (indices, indptr))
        return cls(read_only(data), indices, indptr, n_features)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_samples, n_features)."""
        return len(self.indptr) - 1, self.n_features

    @property
    def dtype(self) -> np.dtype[Any]:
        """The stored type."""
        return self.data.dtype

    @property
    def row_bytes(self) -> int:
        """Bytes of a row as stored, on average."""
        n_nonzeros = int(self.indptr[-1]) - int(self.indptr[0])
        return n_nonzeros * (self.data.itemsize + self.indices.itemsize) // max(1, len(self.indptr) - 1)

    def elements_of(self, row_bytes: int) -> int:
        """See `Storage.elements_of`."""
        return max(1, row_bytes // (self.data.itemsize + self.indices.itemsize))

    def first_not_finite(self) -> tuple[int, int, float] | None:
        """See `Storage.first_not_finite`."""
        bad = np.flatnonzero(~np.isfinite(self.data[self.indptr[0] : self.indptr[-1]])) + int(self.indptr[0])
        if not len(bad):
            return None
        row = int(np.searchsorted(self.indptr, bad[0], side="right")) - 1
        return row, int(self.indices[bad[0]]), float(self.data[bad[0]])

    def dense(self, columns: slice) -> NDArray[np.float64]:
        """See `Storage.dense`."""
        X: NDArray[np.float64] = self._matrix().toarray()[:, columns]
        return X

    def rows(self, first: int, last: int) -> "CSR":
        """Return rows ``first`` to ``last`` as views."""
        indptr = self.indptr[first : last + 1]
        part = slice(int(indptr[0]), int(indptr[-1]))
        return CSR(self.data[part], self.indices[part], read_only(indptr - indptr[0]), self.n_features)

    def take(self, rows: NDArray[np.intp]) -> "CSR":
        """See `Storage.take`."""
        first, last = (self.indptr[rows + step].astype(np.int64) for step in (0, 1))
        starts = np.concatenate([[0], np.cumsum(last - first)])
        at = np.arange(starts[-1])
        at += np.repeat(first - starts[:-1], last - first)
        indptr = read_only(starts.astype(self.indptr.dtype))
        return CSR(read_only(self.data[at]), read_only(self.indices[at]), indptr, self.n_features)

    @classmethod
    def join(cls, parts: Sequence["CSR"]) -> "CSR":
        """See `Storage.join`."""
        parts = [part.rows(0, part.shape[0]) for part in parts]
        ends = np.cumsum([0, *(len(part.data) for part in parts)])
        data, indices = (np.concatenate([getattr(part, name) for part in parts]) for name in ("data", "indices"))
        indptr = [part.indptr[:-1] + part.indptr.dtype.type(end) for part, end in zip(parts, ends, strict=False)]
        starts = np.concatenate([*indptr, ends[-1:].astype(indptr[0].dtype)])
        return cls(read_only(data), read_only(indices), read_only(starts), parts[0].n_features)

    def uncentred(self, center: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `Storage.uncentred`: the whole centre."""
        return center

    def square_of_zeros(self, center: NDArray[Any], inverse_scale: NDArray[Any]) -> float:
        """See `Storage.square_of_zeros`."""
        return float(np.sum((center.astype(np.float64) * inverse_scale[: center.size].astype(np.float64)) ** 2))

    def pack_coefficients(self, W: NDArray[np.float64], dtype: Any) -> NDArray[Any]:
        """See `Storage.pack_coefficients`: classes of a column are adjacent."""
        adjacent = np.zeros((padded(len(W)), self.n_adjacent(W.shape[1])), dtype)
        adjacent[: len(W), : W.shape[1]] = W
        return adjacent[:, : W.shape[1]].T

    def n_adjacent(self, K: int) -> int:
        """See `Storage.n_adjacent`."""
        return n_adjacent(K)

    def n_chunks(self, first: int, last: int, n_sums: int, size: int) -> int:
        """See `Storage.n_chunks`."""
        nonzeros = int(self.indptr[last]) - int(self.indptr[first])
        most = super().n_chunks(first, last, n_sums, size)
        return min(most, power_of_2(max(2, nonzeros // (NONZEROS_PER_COLUMN * size))))

    def empty_sums(self, n_chunks: int, n_sums: int, size: int) -> NDArray[np.float64]:
        """See `Storage.empty_sums`: sums of a column are adjacent."""
        return np.empty((n_chunks, size, n_sums)).transpose(0, 2, 1)

    def few_moments(
        self, first: int, last: int, weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `Storage.few_moments`: a kernel would need an array over all columns for every chunk."""
        part = self.rows(first, last)
        lengths: Any = np.diff(part.indptr.astype(np.intp))
        j, x = part.indices.astype(np.intp), part.data.astype(np.float64)
        s, weight = np.repeat(weights, lengths), float(weights.sum())

        def sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray(np.bincount(j, values, self.n_features), np.float64)

        mean = sums(s * x) / (weight or 1.0)
        return mean, sums(s * (x - mean[j]) ** 2) + mean**2 * weight_of_zeros(weight, sums(s))

    def powers(self, sums: NDArray[np.float64], shift: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
        """See `Storage.powers`: the first of three sums is that of the nonzeros' weights."""
        weights, step, squares = sums
        zeros = weight_of_zeros(weight, weights)
        return np.stack([step - shift * zeros, squares + shift**2 * zeros])

    def column_squares(
        self, sums: NDArray[np.float64], totals: NDArray[np.float64], center: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """See `Storage.column_squares`: the first two of four sums are those of the nonzeros' weights and squares."""
        weights, squares_of_weights, a, squares_of_a = sums
        return np.stack(
            [
                a + center**2 * weight_of_zeros(totals[0], weights),
                squares_of_a + center**4 * weight_of_zeros(totals[1], squares_of_weights),
            ]
        )

    def row_products(self, center: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `Storage.row_products`: a sparse product, centred by algebra."""
        A, root = self._matrix(), np.sqrt(weight)
        A.data *= root[A.indices]
        c = center * root
        left = (A @ c)[:, None]
        return np.asarray((A @ A.T).toarray() - left - left.T + c @ c)

    def combination(
        self, center: NDArray[np.float64], rows: NDArray[np.intp], shares: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """See `Storage.combination`."""
        return np.asarray(self._matrix()[rows].T @ shares - np.outer(center, shares.sum(axis=0)))

    def _matrix(self) -> Any:
        """Return a copy of the rows as SciPy's array."""
        begin, end = int(self.indptr[0]), int(self.indptr[-1])
        arrays = self.data[begin:end].astype(np.float64), self.indices[begin:end], self.indptr - begin
        return import_module("scipy.sparse").csr_array(arrays, shape=self.shape)


def n_adjacent(K: int) -> int:
    """Return the room in memory for K classes of a column: 1, 2, or a multiple of 4.

    Loads and stores then need no mask: a masked store is not forwarded to the next load.
    """
    return -(-K // 4) * 4 if K > 2 else K


def weight_of_zeros(weight: float, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weight (n_features,) of each column's zeros, from that of all rows and those of its nonzeros."""
    zeros = weight - weights
    zeros[zeros <= _ROUNDING * weight] = 0.0
    return zeros


@kernel
def _falls(chunk: int, n_chunks: int, indices: Any, indptr: Any, out: Any) -> None:
    """Write to ``out`` (n_chunks,) whether a row has a column index that is not greater than the one before."""
    begin, end = row_bounds(0, indptr.size - 1, chunk, n_chunks)
    falls = False
    for row in range(begin, end):
        for p in range(indptr[row] + 1, indptr[row + 1]):
            falls |= indices[p] <= indices[p - 1]
    out[chunk] = falls


def ascends(indices: NDArray[Any], indptr: NDArray[Any]) -> bool:
    """Return whether the column indices of every row ascend; ``indices`` and ``indptr`` must be in range."""
    if len(indices) <= _FEW_INDICES:
        rises = np.append(indices[1:] > indices[:-1], True)
        rises[indptr[1:-1][indptr[1:-1] > 0].astype(np.intp) - 1] = True  # from one row to the next
        return bool(rises[indptr[0] : indptr[-1]].all())
    out = np.zeros(n_chunks(len(indptr) - 1, 1, 2 * int(indptr[-1]) // max(1, len(indptr) - 1)), np.uint8)
    _falls(len(out), read_only(indices), read_only(indptr), out)
    return not out.any()


def is_csr(kind: Any) -> bool:
    """Return whether a numba type is `CSR`."""
    return isinstance(kind, types.NamedTuple) and kind.instance_class is CSR
