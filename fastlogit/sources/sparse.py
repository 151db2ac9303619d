"""Sparse rows: what kernels add up without a centre, centred by algebra; see `fastlogit.kernels.storages.csr`."""

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.kernels.machine.jit import n_chunks, power_of_2
from fastlogit.sources.memory import MemorySource
from fastlogit.sources.protocol import Moments

# A chunk's sums are written and added up besides: so many nonzeros for each column, but two chunks.
_NONZEROS_PER_COLUMN = 16
# A share of the weight that is no more than rounding: the column has no zeros.
_ROUNDING = 1e-12


def _positive(weight: float, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weight of each column's zeros, from that of all rows and those of its nonzeros."""
    zeros = weight - weights
    zeros[zeros <= _ROUNDING * weight] = 0.0
    return zeros


class SparseSource(MemorySource):
    """Rows of a `fastlogit.kernels.storages.csr.CSR` with their targets."""

    subtracts_center = False
    _moments, _informations = 3, 4

    def _n_chunks(self, first: int, last: int, n_sums: int, size: int) -> int:
        nonzeros = int(self.storage.indptr[last]) - int(self.storage.indptr[first])
        most = n_chunks(last - first, n_sums * size)
        return min(most, power_of_2(max(2, nonzeros // (_NONZEROS_PER_COLUMN * size))))

    def _rough_moments(self, first: int, last: int) -> Moments:
        # of a few rows: without an array of all columns for every chunk
        part, weights = self.storage.rows(first, last), self._row_weights(first, last)
        j, x = part.indices.astype(np.intp), part.data.astype(np.float64)
        s, weight = np.repeat(weights, np.diff(part.indptr.astype(np.intp))), float(weights.sum())

        def sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray(np.bincount(j, values, self.n_features), np.float64)

        with np.errstate(invalid="ignore", over="ignore"):  # as in `_moments_from`
            mean = sums(s * x) / (weight or 1.0)
            squares = sums(s * (x - mean[j]) ** 2) + mean**2 * _positive(weight, sums(s))
        return Moments(last - first, weight, mean, squares)

    def _powers(self, sums: NDArray[np.float64], shift: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
        weights, step, squares = sums
        zeros = _positive(weight, weights)
        return np.stack([step - shift * zeros, squares + shift**2 * zeros])

    def _information_from(
        self, sums: NDArray[np.float64], totals: NDArray[np.float64], center: Any
    ) -> NDArray[np.float64]:
        weights, squares_of_weights, a, squares_of_a = sums
        center = center[: self.n_features]
        return np.stack(
            [
                a + center**2 * _positive(totals[0], weights),
                squares_of_a + center**4 * _positive(totals[1], squares_of_weights),
            ]
        )

    def _gradient(self, G: NDArray[np.float64], totals: NDArray[np.float64], center: Any) -> NDArray[np.float64]:
        grad = super()._gradient(G, totals, center)
        grad[:-1] -= np.outer(center[: self.n_features], grad[-1])
        return grad

    def _hessian(self, H: NDArray[np.float64], center: Any) -> NDArray[np.float64]:
        """``T' H T`` with ``(x - c, 1) = T' (x, 1)``: the intercept's row, times c, leaves every other."""
        c, h = center[: self.n_features], H[:, :-1, -1].copy()
        half = 0.5 * H[:, -1, -1]
        for block, row, corner in zip(H, h, half, strict=True):
            left = np.outer(row - corner * c, c)
            block[:-1, :-1] -= left + left.T
        H[:, :-1, -1] = H[:, -1, :-1] = h - H[:, -1:, -1] * c
        return H

    def row_products(self, center: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `fastlogit.sources.protocol.Source.row_products`: of nonzeros, centred by algebra."""
        A, root = self._matrix(), np.sqrt(weight)
        A.data *= root[A.indices]
        c = center * root
        left = (A @ c)[:, None]
        return np.asarray((A @ A.T).toarray() - left - left.T + c @ c)

    def combination(
        self, center: NDArray[np.float64], rows: NDArray[np.intp], shares: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """See `fastlogit.sources.protocol.Source.combination`."""
        return np.asarray(self._matrix()[rows].T @ shares - np.outer(center, shares.sum(axis=0)))

    def _matrix(self) -> Any:
        """Return a copy of the rows as SciPy's."""
        csr, (data, indices, indptr, _) = import_module("scipy.sparse"), self.storage
        begin, end = int(indptr[0]), int(indptr[-1])
        arrays = data[begin:end].astype(np.float64), indices[begin:end], indptr - begin
        return csr.csr_array(arrays, shape=self.storage.shape)
