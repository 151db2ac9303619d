"""Rows that lie in memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.kernels import curvature, passes, survey
from fastlogit.kernels.jit import n_chunks, read_only
from fastlogit.kernels.losses import LOSS, N_CORRECT, SMALLEST_MARGIN, Logistic, Loss
from fastlogit.kernels.passes import Targets
from fastlogit.kernels.storage import pack, pack_coefficients
from fastlogit.prediction import decision_function, parts, predict_proba
from fastlogit.sources.intake import named, not_finite
from fastlogit.sources.protocol import CurvatureSums, Moments, PassSums, add_up, n_margins

_NONE = read_only(np.empty((0, 0)))
_BLOCK = 1 << 16
_SHIFT_ROWS = 256
_ROUGH_ROWS = 4096
# A row lies far out from 8 times the mean square of standardised rows on: Gaussian rows never do, one in eight at most.
_FAR = 8.0
_WIDEST_ROUNDING = 1e-4


class FarRows:
    """The rows that lie farthest out, at most ``most`` of them."""

    def __init__(self, limit: float, most: int) -> None:
        self.limit, self._most = limit, most
        self.rows, self._squares = np.empty(0, np.int64), np.empty(0)

    def add(self, rows: NDArray[np.int64], squares: NDArray[np.float64]) -> None:
        """Add rows that are farther out than ``limit``; it rises where there are too many."""
        self.rows, self._squares = np.append(self.rows, rows), np.append(self._squares, squares)
        if len(self.rows) > self._most:
            farthest = np.argsort(-self._squares, kind="stable")[: self._most]
            self.rows, self._squares = self.rows[farthest], self._squares[farthest]
            self.limit = float(self._squares.min()) if self._most else np.inf


def _starts(first: int, last: int, chunks: int) -> NDArray[np.int64]:
    """Return where each chunk begins, counted from ``first``; see `fastlogit.kernels.passes.bounds`."""
    blocks = -(-(last - first) // 64)
    return 64 * (np.arange(chunks) * blocks // chunks)


def _pieces(values: NDArray[Any], starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[Any]:
    return np.concatenate([values[a : a + n] for a, n in zip(starts, counts, strict=True)])


class MemorySource:
    """Rows of a storage in memory, with their targets.

    Parameters
    ----------
    storage : NamedTuple
        Any storage of `fastlogit.kernels.storage`, with ``shape`` and ``dtype``.
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
        self.row_bytes = self.n_features * storage.dtype.itemsize
        self._parts = parts(storage, n_margins(self.n_classes), rows_per_part)

    def moments(self) -> Moments:
        """See `fastlogit.sources.protocol.Source.moments`. Shifted float64 sums, merged by Chan's rule."""
        moments: Moments = add_up(self._moments_of(first, last) for first, last in self._parts)
        if not np.isfinite(moments.squares).all():
            self._raise_not_finite(moments)
        return moments

    def _moments_of(self, first: int, last: int) -> Moments:
        # the mean of a part's first rows is near enough for the squares not to cancel
        rough = self._shifted_moments(first, min(first + _SHIFT_ROWS, last), np.zeros(self.n_features))
        return self._shifted_moments(first, last, rough.mean)

    def _shifted_moments(self, first: int, last: int, shift: NDArray[np.float64]) -> Moments:
        packed = pack(shift, np.float64)
        chunks = n_chunks(last - first, 2 * packed.size)
        sums, weights = np.empty((chunks, 2, packed.size)), np.empty((chunks, 1))
        passes.moments(chunks, self.storage, self.targets, packed, first, last, sums, weights)
        return self._moments_from(last - first, shift, sums, weights)

    def _moments_from(
        self, n_samples: int, shift: NDArray[np.float64], sums: NDArray[np.float64], weights: NDArray[np.float64]
    ) -> Moments:
        weight = float(weights.sum())
        if weight == 0.0:
            return Moments(n_samples, 0.0, np.zeros_like(shift), np.zeros_like(shift))
        with np.errstate(invalid="ignore", over="ignore"):  # reported by row and column, not by NumPy
            step, squares = sums.sum(axis=0)[:, : self.n_features]
            return Moments(n_samples, weight, shift + step / weight, np.maximum(squares - step**2 / weight, 0.0))

    def _raise_not_finite(self, moments: Moments) -> None:
        zero, none = np.zeros(self.n_features), read_only(np.empty(0))
        unweighted = MemorySource(
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
        first, last = self._parts[0]
        rough = self._shifted_moments(first, min(first + _ROUGH_ROWS, last), np.zeros(self.n_features))
        spread = np.sqrt(rough.variance)
        inverse_scale = pack(np.where(spread > 0.0, 1.0 / np.where(spread > 0.0, spread, 1.0), 0.0), self.dtype)
        far = FarRows(_FAR * self.n_features, n // 4)
        moments: Moments = add_up(
            self._survey_of(first, last, rough.mean, inverse_scale, far) for first, last in self._parts
        )
        if not np.isfinite(moments.squares).all():
            self._raise_not_finite(moments)
        return moments, self._sample(n, seed, np.sort(far.rows))

    def _survey_of(
        self, first: int, last: int, shift: NDArray[np.float64], inverse_scale: NDArray[Any], far: FarRows
    ) -> Moments:
        packed = pack(shift, np.float64)
        chunks = n_chunks(last - first, 2 * packed.size)
        sums, weights = np.empty((chunks, 2, packed.size)), np.empty((chunks, 1))
        rows, squares, counts = np.empty(last - first, np.int64), np.empty(last - first), np.empty(chunks, np.int64)
        survey.survey(
            *(chunks, self.storage, self.targets, packed, inverse_scale, far.limit, first, last),
            *(sums, weights, squares, rows, counts),
        )
        starts = _starts(first, last, chunks)
        far.add(_pieces(rows, starts, counts), _pieces(squares, starts, counts))
        return self._moments_from(last - first, shift, sums, weights)

    def _sample(self, n: int, seed: int, far: NDArray[np.int64]) -> "MemorySource":
        """Return the rows ``far`` and others drawn by class, with weights that make them stand for all rows."""
        y = self.targets.y
        strata = self.n_classes if y.ndim == 1 else 1
        class_of = y if y.ndim == 1 else np.zeros(self.n_samples, np.uint8)
        chunks = n_chunks(self.n_samples, strata)
        counts = np.empty((chunks, strata), np.int64)
        survey.count_strata(chunks, y, counts)
        total = counts.sum(axis=0)
        rate = np.minimum(1.0, np.maximum(n / self.n_samples, n / (2 * strata) / np.maximum(total, 1)))
        limits = np.minimum(rate * 2.0**64, 2.0**64 - 2048.0).astype(np.uint64)
        drawn = np.concatenate([self._draw(limits, seed, first, last) for first, last in self._parts])
        drawn = np.setdiff1d(drawn, far, assume_unique=True) if len(far) else drawn
        rest = total - np.bincount(class_of[far], minlength=strata)
        share = rest / np.maximum(np.bincount(class_of[drawn], minlength=strata), 1)
        rows = np.concatenate([far, drawn]) if len(far) else drawn
        weight = share[class_of[rows]]
        if len(far):
            weight[: len(far)] = 1.0
            order = np.argsort(rows)
            rows, weight = rows[order], weight[order]
        if self.targets.weight.size:
            weight *= self.targets.weight[rows]
        offset = self.targets.offset[rows] if self.targets.offset.size else self.targets.offset
        targets = Targets(*(read_only(a) for a in (y[rows], weight, self.targets.class_weight, offset)))
        sample = MemorySource(self.storage.take(rows), targets, self.loss, self.dtype)
        sample.largest_share = float(max(1.0, share.max()))
        return sample

    def _draw(self, limits: NDArray[np.uint64], seed: int, first: int, last: int) -> NDArray[np.int64]:
        chunks = n_chunks(last - first, 1)
        rows, counts = np.empty(last - first, np.int64), np.empty(chunks, np.int64)
        survey.draw(chunks, self.targets.y, limits, np.uint64(seed), first, last, rows, counts)
        return _pieces(rows, _starts(first, last, chunks), counts)

    def loss_grad(self, W: NDArray[np.float64], center: NDArray[np.float64], dtype: Any = None) -> PassSums:
        """See `fastlogit.sources.protocol.Source.loss_grad`."""
        packed = pack_coefficients(W, center, dtype or self.dtype)
        sums: PassSums = add_up(self._loss_grad_of(first, last, *packed) for first, last in self._parts)
        return sums

    def _loss_grad_of(self, first: int, last: int, W: Any, b: Any, center: Any) -> PassSums:
        K = b.size
        chunks = n_chunks(last - first, K * center.size)
        G, totals = np.empty((chunks, K, center.size)), np.empty((chunks, K + 3))
        passes.loss_grad(chunks, self.storage, self.targets, self.loss, W, b, center, first, last, G, totals)
        return PassSums(*self._sums(G, totals, K))

    def _gradient(self, G: NDArray[np.float64], totals: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return chunks' sums over rows, and over residuals, as a gradient of the shape of W."""
        return np.vstack([G.sum(axis=0)[:, : self.n_features].T, totals.sum(axis=0)])

    def _sums(
        self, G: NDArray[np.float64], totals: NDArray[np.float64], K: int
    ) -> tuple[float, NDArray[np.float64], float, int]:
        """Return the fields of `PassSums` from the sums of chunks."""
        soft = self.targets.y.ndim == 2
        return (
            float(totals[:, K + LOSS].sum()),
            self._gradient(G, totals[:, :K]),
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
        packed = pack_coefficients(W, center, np.float64)
        sums: CurvatureSums = add_up(
            self._grad_hess_of(first, last, *packed, inverse_scale) for first, last in self._parts
        )
        return sums

    def _grad_hess_of(self, first: int, last: int, W: Any, b: Any, center: Any, inverse_scale: Any) -> CurvatureSums:
        K, size = b.size, inverse_scale.size
        blocks = K * (K + 1) // 2
        chunks = n_chunks(last - first, blocks * size * size)
        G, totals = np.empty((chunks, K, center.size)), np.empty((chunks, K + 4))
        H = np.empty((chunks, blocks, size, size))
        rows = (self.n_features, first, last)
        curvature.grad_hess(
            chunks, self.storage, self.targets, self.loss, W, b, center, inverse_scale, *rows, G, totals, H
        )
        upper = np.triu(H.sum(axis=0)[:, : self.n_features + 1, : self.n_features + 1])
        return CurvatureSums(
            *self._sums(G, totals, K),
            hess=upper + np.triu(upper, 1).transpose(0, 2, 1),
            largest_square=float(totals[:, K + 3].max()),
        )

    def hess_vec(
        self, W: NDArray[np.float64], V: NDArray[np.float64], center: NDArray[np.float64], dtype: Any = None
    ) -> NDArray[np.float64]:
        """See `fastlogit.sources.protocol.Source.hess_vec`."""
        packed = pack_coefficients(np.hstack([W, V]), center, dtype or self.dtype)
        product: NDArray[np.float64] = add_up(self._hess_vec_of(first, last, *packed) for first, last in self._parts)
        return product

    def _hess_vec_of(self, first: int, last: int, W: Any, b: Any, center: Any) -> NDArray[np.float64]:
        K = b.size // 2
        chunks = n_chunks(last - first, K * center.size)
        G, totals = np.empty((chunks, K, center.size)), np.empty((chunks, K))
        curvature.hess_vec(chunks, self.storage, self.targets, self.loss, W, b, center, first, last, G, totals)
        return self._gradient(G, totals)

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
        packed = pack_coefficients(np.hstack([W, V]), center, dtype)
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
        return (1.0 + _WIDEST_ROUNDING) * max(self._widest_row_of(first, last, *packed) for first, last in self._parts)

    def _widest_row_of(self, first: int, last: int, center: Any, inverse_scale: Any) -> float:
        totals = np.empty(n_chunks(last - first, 1))
        survey.widest_row(totals.size, self.storage, center, inverse_scale, first, last, totals)
        return float(totals.max())

    def information(self, center: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `fastlogit.sources.protocol.Source.information`."""
        packed = pack(center, np.float64)
        sums: NDArray[np.float64] = add_up(self._information_of(first, last, packed) for first, last in self._parts)
        return sums

    def _information_of(self, first: int, last: int, center: NDArray[np.float64]) -> NDArray[np.float64]:
        chunks = n_chunks(last - first, 2 * center.size)
        sums = np.empty((chunks, 2, center.size))
        survey.information(chunks, self.storage, self.targets, center, first, last, sums)
        total: NDArray[np.float64] = sums.sum(axis=0)[:, : self.n_features]
        return total

    def largest_square(self, W: NDArray[np.float64], center: NDArray[np.float64]) -> float:
        """See `fastlogit.sources.protocol.Source.largest_square`."""
        packed = pack_coefficients(W, center, np.float64)
        return max(self._largest_square_of(first, last, *packed) for first, last in self._parts)

    def _largest_square_of(self, first: int, last: int, W: Any, b: Any, center: Any) -> float:
        chunks = n_chunks(last - first, 1)
        totals = np.empty(chunks)
        curvature.largest_square(chunks, self.storage, self.targets, W, b, center, first, last, totals)
        return float(totals.max())

    def mean_curvature(
        self, W: NDArray[np.float64], center: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `fastlogit.sources.protocol.Source.mean_curvature`.

        The Gram matrix is four times the Hessian of the logistic loss at 0, where labels do not matter.
        """
        zero, ones = np.zeros((self.n_features + 1, 1)), np.ones(self.n_features)
        K = n_margins(self.n_classes)
        curvature, total = np.zeros((K, K)), 0.0
        for first in range(0, self.n_samples, _BLOCK):
            rows = first, min(first + _BLOCK, self.n_samples)
            weight = self._row_weights(*rows)
            P = predict_proba(self.storage, self.loss, W, center, self.dtype, self.targets.offset, rows)[:, -K:]
            weighted = P * weight[:, None]
            curvature += np.diag(weighted.sum(axis=0)) - P.T @ weighted
            total += weight.sum()
        plain = MemorySource(self.storage, self.targets._replace(offset=_NONE), Logistic(), self.dtype)
        return 4.0 * plain.grad_hess(zero, center, ones, self.dtype).hess[0], curvature / total

    def _row_weights(self, first: int, last: int) -> NDArray[np.float64]:
        """Return sample weights times class weights."""
        targets, weight = self.targets, np.ones(last - first)
        if targets.weight.size:
            weight *= targets.weight[first:last]
        if targets.class_weight.size:
            weight *= targets.class_weight[targets.y[first:last]]
        return weight
