"""Rows that lie in memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.kernels.losses.protocol import LOSS, N_CORRECT, SMALLEST_MARGIN, Logistic, Loss
from fastlogit.kernels.machine import clock
from fastlogit.kernels.machine.jit import n_chunks, read_only
from fastlogit.kernels.passes import curvature, first_order, survey
from fastlogit.kernels.passes.first_order import Targets
from fastlogit.kernels.storages.protocol import empty_sums, n_adjacent, pack, pack_coefficients
from fastlogit.kernels.storages.rows import Rows
from fastlogit.prediction import cut_by_products, decision_function, parts, predict_proba, row_bytes
from fastlogit.sources.numbers import named, not_finite
from fastlogit.sources.protocol import CurvatureSums, Moments, PassSums, add_up, n_margins
from fastlogit.sources.sampling import FarRows, counted, drawn_by_class, pieces

_NONE = read_only(np.empty((0, 0)))
_BLOCK = 1 << 16
# Columns of few rows that are centred and multiplied at a time.
_COLUMNS = 2048
_SHIFT_ROWS = 256
_ROUGH_ROWS = 4096
# A row lies far out from 8 times the mean square of standardised rows on: Gaussian rows never do, one in eight at most.
_FAR = 8.0
_WIDEST_ROUNDING = 1e-4


def _square_of_zeros(center: NDArray[Any], inverse_scale: NDArray[Any]) -> float:
    """Return ``sum_j (center_j inverse_scale_j)^2`` of the numbers that the kernel reads."""
    return float(np.sum((center.astype(np.float64) * inverse_scale.astype(np.float64)) ** 2))


class MemorySource:
    """Rows of a storage in memory, with their targets.

    Parameters
    ----------
    storage : NamedTuple
        Any storage of `fastlogit.kernels.storages.protocol`, with ``shape`` and ``dtype``.
    targets : Targets
        Labels, weights and offsets of the same rows, read-only arrays.
    loss : Loss
        What is summed.
    dtype : dtype
        float32 or float64: what margins are computed in.
    rows_per_part : int, optional
        Rows of a part; by default a size that the shape alone decides.
    feature_names : sequence of str, optional
        What messages call the columns.
    """

    subtracts_center = True
    #: How many sums a column has in `moments` and `information`.
    _moments, _informations = 2, 2

    def __init__(
        self,
        storage: Any,
        targets: Targets,
        loss: Loss,
        dtype: Any,
        rows_per_part: int | None = None,
        feature_names: Sequence[str] | None = None,
    ) -> None:
        self.storage, self.targets, self.loss, self.dtype = storage, targets, loss, np.dtype(dtype)
        self.n_samples, self.n_features = storage.shape
        self.n_classes = loss.n_classes
        self.largest_share, self.feature_names = 1.0, feature_names
        self.row_bytes = row_bytes(storage)
        self._parts = parts(storage, n_margins(self.n_classes), rows_per_part)

    def moments(self) -> Moments:
        """See `fastlogit.sources.protocol.Source.moments`. Shifted float64 sums, merged by Chan's rule."""
        moments: Moments = add_up(self._moments_of(first, last) for first, last in self._parts)
        if not np.isfinite(moments.squares).all():
            self._raise_not_finite(moments)
        return moments

    def _moments_of(self, first: int, last: int) -> Moments:
        # the mean of the first rows that count is near enough for the squares not to cancel
        begin, end, found = counted(self._row_weights, first, last, _SHIFT_ROWS)
        shift = self._rough_moments(begin, end).mean if found else np.zeros(self.n_features)
        return self._shifted_moments(first, last, shift)

    def _rough_moments(self, first: int, last: int) -> Moments:
        """Return the moments of some rows, for a shift."""
        return self._shifted_moments(first, last, np.zeros(self.n_features))

    def _shifted_moments(self, first: int, last: int, shift: NDArray[np.float64]) -> Moments:
        packed = pack(shift, np.float64)
        sums, weights = self._empty_sums(first, last, self._moments, packed.size, 1)
        first_order.moments(len(sums), self.storage, self.targets, packed, first, last, sums, weights)
        return self._moments_from(last - first, shift, sums, weights)

    def _moments_from(
        self, n_samples: int, shift: NDArray[np.float64], sums: NDArray[np.float64], weights: NDArray[np.float64]
    ) -> Moments:
        weight = float(weights.sum())
        with np.errstate(invalid="ignore", over="ignore"):  # reported by row and column, not by NumPy
            step, squares = self._powers(sums.sum(axis=0)[:, : self.n_features], shift, weight)
            if weight == 0.0:  # zeros, or NaN where a row is not finite
                return Moments(n_samples, 0.0, np.zeros_like(shift), squares)
            return Moments(n_samples, weight, shift + step / weight, np.maximum(squares - step**2 / weight, 0.0))

    def _powers(self, sums: NDArray[np.float64], shift: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
        """Return ``sum_i s_i (x_i - shift)`` and ``sum_i s_i (x_i - shift)^2`` from what the storage adds up."""
        return sums

    def _empty_sums(
        self, first: int, last: int, n_sums: int, size: int, n_totals: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return room for each chunk's sums over rows (n_sums, size), and its totals."""
        chunks = self._n_chunks(first, last, n_sums, size)
        return empty_sums(self.storage, chunks, n_sums, size), np.empty((chunks, n_totals))

    def _empty_gradients(
        self, first: int, last: int, K: int, size: int, n_totals: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return room for each chunk's sums of K classes, as the storage wants them, and its totals."""
        G, totals = self._empty_sums(first, last, n_adjacent(self.storage, K), size, n_totals)
        return G[:, :K], totals

    def _n_chunks(self, first: int, last: int, n_sums: int, size: int) -> int:
        return n_chunks(last - first, n_sums * size)

    def _raise_not_finite(self, moments: Moments) -> None:
        zero, none = np.zeros(self.n_features), read_only(np.empty(0))
        unweighted = type(self)(
            self.storage, self.targets._replace(weight=none, class_weight=none), self.loss, self.dtype
        )
        for first, last in self._parts:
            # a product with 0 is NaN where an element is not finite
            W = np.zeros((self.n_features + 1, 1))
            products = decision_function(self.storage, W, zero, np.float64, rows=(first, last))
            for row in (first + np.flatnonzero(np.isnan(products[:, 0]))).tolist():
                values = unweighted._shifted_moments(row, row + 1, zero).mean
                for column in np.flatnonzero(~np.isfinite(values)).tolist():
                    raise not_finite(values[column], row, column, self.feature_names)
        column = int(np.flatnonzero(~np.isfinite(moments.squares))[0])
        raise ValueError(
            f"X has values in column {named(column, self.feature_names)} whose squares overflow float64 (about 1e154 "
            "and more): rescale the column"
        )

    def survey(self, n: int, seed: int) -> tuple[Moments, "MemorySource"]:
        """See `fastlogit.sources.protocol.Source.survey`. Memory: the sample, and an index for each row of a part."""
        rough = self._rough_scales()
        spread = np.sqrt(rough.variance)
        inverse_scale = pack(np.where(spread > 0.0, 1.0 / np.where(spread > 0.0, spread, 1.0), 0.0), self.dtype)
        far = FarRows(_FAR * self.n_features, n // 4)
        moments: Moments = add_up(
            self._survey_of(first, last, rough.mean, inverse_scale, far) for first, last in self._parts
        )
        if not np.isfinite(moments.squares).all():
            self._raise_not_finite(moments)
        return moments, self._sample(n, seed, np.sort(far.rows))

    def _rough_scales(self) -> Moments:
        """Return the moments of the first rows that have a weight: a fold's mask may leave out any number before."""
        some, missing = [], _ROUGH_ROWS
        for first, last in self._parts:
            begin, end, found = counted(self._row_weights, first, last, missing)
            if found:
                some.append(self._rough_moments(begin, end))
            missing -= found
            if missing <= 0:
                break
        moments: Moments = add_up(some)
        return moments

    def _survey_of(
        self, first: int, last: int, shift: NDArray[np.float64], inverse_scale: NDArray[Any], far: FarRows
    ) -> Moments:
        packed = pack(shift, np.float64)
        sums, weights = self._empty_sums(first, last, self._moments, packed.size, 1)
        rows, squares = np.empty(last - first, np.int64), np.empty(last - first)
        counts, base = np.empty((len(sums), 2), np.int64), _square_of_zeros(packed.astype(self.dtype), inverse_scale)
        survey.survey(
            *(len(sums), self.storage, self.targets, packed, inverse_scale, base, far.limit, first, last),
            *(sums, weights, squares, rows, counts),
        )
        far.add(pieces(rows, counts), pieces(squares, counts))
        return self._moments_from(last - first, shift, sums, weights)

    def _sample(self, n: int, seed: int, far: NDArray[np.int64]) -> "MemorySource":
        """Return the rows ``far`` and others drawn by class, with weights that make them stand for all rows."""
        y = self.targets.y
        rows, weight, largest_share = drawn_by_class(y, self.n_classes, far, n, seed, self._parts)
        if self.targets.weight.size:
            weight *= self.targets.weight[rows]
        offset = self.targets.offset[rows] if self.targets.offset.size else self.targets.offset
        targets = Targets(*(read_only(a) for a in (y[rows], weight, self.targets.class_weight, offset)))
        sample = type(self)(self.storage.take(rows), targets, self.loss, self.dtype)
        sample.largest_share = largest_share
        return sample

    def loss_grad(self, W: NDArray[np.float64], center: NDArray[np.float64], dtype: Any = None) -> PassSums:
        """See `fastlogit.sources.protocol.Source.loss_grad`."""
        packed = pack_coefficients(self.storage, W, center, dtype or self.dtype)
        sums: PassSums = add_up(self._loss_grad_of(first, last, *packed) for first, last in self._parts)
        return sums

    def _loss_grad_of(self, first: int, last: int, W: Any, b: Any, center: Any) -> PassSums:
        G, totals = self._empty_gradients(first, last, b.size, center.size, b.size + 3)
        first_order.loss_grad(len(G), self.storage, self.targets, self.loss, W, b, center, first, last, G, totals)
        return PassSums(*self._sums(G, totals, center))

    def _gradient(self, G: NDArray[np.float64], totals: NDArray[np.float64], center: Any) -> NDArray[np.float64]:
        """Return chunks' sums over rows, and over residuals, as a gradient of the shape of W."""
        grad = np.empty((self.n_features + 1, G.shape[1]))
        np.sum(G[:, :, : self.n_features], axis=0, out=grad[:-1].T)
        np.sum(totals, axis=0, out=grad[-1])
        return grad

    def _sums(
        self, G: NDArray[np.float64], totals: NDArray[np.float64], center: Any
    ) -> tuple[float, NDArray[np.float64], float, int]:
        """Return the fields of `PassSums` from the sums of chunks."""
        soft, K = self.targets.y.ndim == 2, G.shape[1]
        return (
            float(totals[:, K + LOSS].sum()),
            self._gradient(G, totals[:, :K], center),
            -np.inf if soft else float(totals[:, K + SMALLEST_MARGIN].min()),
            int(totals[:, K + N_CORRECT].sum()),
        )

    def grad_hess(
        self,
        W: NDArray[np.float64],
        center: NDArray[np.float64],
        scale: NDArray[np.float64],
        dtype: Any = np.float64,
    ) -> CurvatureSums:
        """See `fastlogit.sources.protocol.Source.grad_hess`."""
        inverse_scale = pack(np.append(1.0 / scale, 1.0), dtype)
        base = 1.0 + _square_of_zeros(center, inverse_scale[: self.n_features])
        packed = pack_coefficients(self.storage, W, center, np.float64)
        K = n_margins(self.n_classes)
        finer = cut_by_products(self._parts, K * (K + 1) // 2 * inverse_scale.size**2 // 2)  # the upper triangle
        sums: CurvatureSums = add_up(
            self._grad_hess_of(first, last, *packed, inverse_scale, base) for first, last in finer
        )
        return sums

    def _grad_hess_of(
        self, first: int, last: int, W: Any, b: Any, center: Any, inverse_scale: Any, base: float
    ) -> CurvatureSums:
        K, size = b.size, inverse_scale.size
        blocks = K * (K + 1) // 2
        chunks = n_chunks(last - first, blocks * size * size)
        G = empty_sums(self.storage, chunks, n_adjacent(self.storage, K), center.size)[:, :K]
        totals, H = np.empty((chunks, K + 4)), np.empty((chunks, blocks, size, size))
        rows = (base, self.n_features, first, last)
        curvature.grad_hess(
            chunks, self.storage, self.targets, self.loss, W, b, center, inverse_scale, *rows, G, totals, H
        )
        upper = np.triu(H.sum(axis=0)[:, : self.n_features + 1, : self.n_features + 1])
        return CurvatureSums(
            *self._sums(G, totals, center),
            hess=self._hessian(upper + np.triu(upper, 1).transpose(0, 2, 1), center),
            largest_square=float(totals[:, K + 3].max()),
        )

    def _hessian(self, H: NDArray[np.float64], center: Any) -> NDArray[np.float64]:
        """Return the blocks of the Hessian from what the storage adds up."""
        return H

    def hess_diag(self, W: NDArray[np.float64], center: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `fastlogit.sources.protocol.Source.hess_diag`."""
        packed = pack_coefficients(self.storage, W, center, self.dtype)
        diagonal: NDArray[np.float64] = add_up(
            self._hess_diag_of(first, last, *packed, center) for first, last in self._parts
        )
        return diagonal

    def _hess_diag_of(
        self, first: int, last: int, W: Any, b: Any, packed: Any, center: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        K, m, shift = b.size, self._moments, pack(center, np.float64)
        G, totals = self._empty_sums(first, last, K * m, shift.size, K)
        curvature.diagonal(len(G), self.storage, self.targets, self.loss, W, b, packed, shift, first, last, G, totals)
        sums, weights = G.sum(axis=0)[:, : self.n_features], totals.sum(axis=0)
        squares = [self._powers(sums[k * m : (k + 1) * m], center, weights[k])[1] for k in range(K)]
        return np.vstack([np.array(squares).T, weights])

    def hess_vec(
        self, W: NDArray[np.float64], V: NDArray[np.float64], center: NDArray[np.float64], dtype: Any = None
    ) -> NDArray[np.float64]:
        """See `fastlogit.sources.protocol.Source.hess_vec`."""
        packed = pack_coefficients(self.storage, np.hstack([W, V]), center, dtype or self.dtype)
        product: NDArray[np.float64] = add_up(self._hess_vec_of(first, last, *packed) for first, last in self._parts)
        return product

    def _hess_vec_of(self, first: int, last: int, W: Any, b: Any, center: Any) -> NDArray[np.float64]:
        K = b.size // 2
        G, totals = self._empty_gradients(first, last, K, center.size, K)
        curvature.hess_vec(len(G), self.storage, self.targets, self.loss, W, b, center, first, last, G, totals)
        return self._gradient(G, totals, center)

    def losses_along(
        self,
        W: NDArray[np.float64],
        V: NDArray[np.float64],
        center: NDArray[np.float64],
        steps: NDArray[np.float64],
        dtype: Any = None,
    ) -> NDArray[np.float64]:
        """See `fastlogit.sources.protocol.Source.losses_along`."""
        dtype = np.dtype(dtype or self.dtype)
        packed = pack_coefficients(self.storage, np.hstack([W, V]), center, dtype)
        at = steps.astype(dtype)
        losses: NDArray[np.float64] = add_up(
            self._losses_along_of(first, last, *packed, at) for first, last in self._parts
        )
        return losses

    def _losses_along_of(self, first: int, last: int, W: Any, b: Any, center: Any, steps: Any) -> NDArray[np.float64]:
        chunks = n_chunks(last - first, steps.size)
        totals = np.empty((chunks, steps.size))
        curvature.losses_along(chunks, self.storage, self.targets, self.loss, W, b, center, steps, first, last, totals)
        sums: NDArray[np.float64] = totals.sum(axis=0)
        return sums

    def widest_row(self, center: NDArray[np.float64], scale: NDArray[np.float64]) -> float:
        """See `fastlogit.sources.protocol.Source.widest_row`."""
        packed = pack(center, self.dtype), pack(1.0 / scale, self.dtype)
        base = _square_of_zeros(*packed)
        widest = max(self._widest_row_of(first, last, *packed, base) for first, last in self._parts)
        return (1.0 + _WIDEST_ROUNDING) * widest

    def _widest_row_of(self, first: int, last: int, center: Any, inverse_scale: Any, base: float) -> float:
        totals = np.empty(n_chunks(last - first, 1))
        survey.widest_row(totals.size, self.storage, center, inverse_scale, base, first, last, totals)
        return float(totals.max())

    def information(self, center: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `fastlogit.sources.protocol.Source.information`."""
        packed = pack(center, np.float64)
        sums: NDArray[np.float64] = add_up(self._information_of(first, last, packed) for first, last in self._parts)
        return sums

    def _information_of(self, first: int, last: int, center: NDArray[np.float64]) -> NDArray[np.float64]:
        sums, totals = self._empty_sums(first, last, self._informations, center.size, 2)
        survey.information(len(sums), self.storage, self.targets, center, first, last, sums, totals)
        return self._information_from(sums.sum(axis=0)[:, : self.n_features], totals.sum(axis=0), center)

    def _information_from(
        self, sums: NDArray[np.float64], totals: NDArray[np.float64], center: Any
    ) -> NDArray[np.float64]:
        """Return what `information` does from what the storage adds up."""
        return sums

    def largest_square(self, W: NDArray[np.float64], center: NDArray[np.float64]) -> float:
        """See `fastlogit.sources.protocol.Source.largest_square`."""
        packed = pack_coefficients(self.storage, W, center, np.float64)
        return max(self._largest_square_of(first, last, *packed) for first, last in self._parts)

    def _largest_square_of(self, first: int, last: int, W: Any, b: Any, center: Any) -> float:
        chunks = n_chunks(last - first, 1)
        totals = np.empty(chunks)
        curvature.largest_square(chunks, self.storage, self.targets, W, b, center, first, last, totals)
        return float(totals.max())

    def gram(self, center: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `fastlogit.sources.protocol.Source.gram`: four times the Hessian of the logistic loss at 0.

        Labels do not matter there.
        """
        zero, ones = np.zeros((self.n_features + 1, 1)), np.ones(self.n_features)
        plain = type(self)(self.storage, self.targets._replace(offset=_NONE), Logistic(), self.dtype)
        return np.asarray(4.0 * plain.grad_hess(zero, center, ones, self.dtype).hess[0])

    def class_curvature(
        self, W: NDArray[np.float64], center: NDArray[np.float64], dtype: Any = None
    ) -> NDArray[np.float64]:
        """See `fastlogit.sources.protocol.Source.class_curvature`."""
        K = self.n_classes
        products = np.zeros((K, K))
        for first in range(0, self.n_samples, _BLOCK):
            rows = first, min(first + _BLOCK, self.n_samples)
            P = predict_proba(self.storage, self.loss, W, center, dtype or self.dtype, self.targets.offset, rows)
            products += P.T @ (P * self._row_weights(*rows)[:, None])
        np.fill_diagonal(products, 0.0)  # p - p^2 is what p has with the others: nothing cancels where p is nearly 1
        curvature = np.diag(products.sum(axis=0)) - products
        return curvature[-n_margins(K) :, -n_margins(K) :]

    def row_products(self, center: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `fastlogit.sources.protocol.Source.row_products`."""
        products = np.zeros((self.n_samples, self.n_samples))
        for first in range(0, self.n_features, _COLUMNS):
            clock.check()
            some = slice(first, first + _COLUMNS)
            A = (self.storage.dense(some) - center[some]) * np.sqrt(weight[some])
            products += A @ A.T
        return products

    def combination(
        self, center: NDArray[np.float64], rows: NDArray[np.intp], shares: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """See `fastlogit.sources.protocol.Source.combination`."""
        sums = np.empty((self.n_features, shares.shape[1]))
        for first in range(0, self.n_features, _COLUMNS):
            some = slice(first, first + _COLUMNS)
            sums[some] = (self.storage.dense(some)[rows] - center[some]).T @ shares
        return sums

    def margins(self, W: NDArray[np.float64], center: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `fastlogit.sources.protocol.Source.margins`."""
        return decision_function(self.storage, W, center, np.float64)

    def with_rows(self, X: NDArray[np.float64]) -> "MemorySource":
        """See `fastlogit.sources.protocol.Source.with_rows`."""
        return MemorySource(Rows(read_only(np.ascontiguousarray(X))), self.targets, self.loss, np.float64)

    def _row_weights(self, first: int, last: int) -> NDArray[np.float64]:
        """Return sample weights times class weights."""
        targets, weight = self.targets, np.ones(last - first)
        if targets.weight.size:
            weight *= targets.weight[first:last]
        if targets.class_weight.size:
            weight *= targets.class_weight[targets.y[first:last]]
        return weight
