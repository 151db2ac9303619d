"""A block of rows, and the sums that can be had of it: each operation gives those of one part after another.

An operation is a method that yields. It depends on the block alone, and what it yields adds up with what other blocks
yield, in the order of rows: `fastlogit.sources.protocol.Source.run` is all that a transport adds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.kernels.losses import Logistic, Loss
from fastlogit.kernels.losses.protocol import LOSS, N_CORRECT, SMALLEST_MARGIN
from fastlogit.kernels.machine.jit import n_chunks, read_only
from fastlogit.kernels.passes import curvature, first_order, survey
from fastlogit.kernels.passes.first_order import Targets
from fastlogit.kernels.storages.storage import pack
from fastlogit.prediction import cut_by_products, decision_function, parts, predict_proba
from fastlogit.sources.sampling import Limits, Surveyed, drawn, pieces
from fastlogit.sources.sums import ClassProducts, CurvatureSums, Largest, Moments, PassSums, n_margins

_NONE = read_only(np.empty((0, 0)))
_ROWS, _FEW_ROWS = 4096, 256
_PROBABILITIES = 1 << 16
_WIDEST_ROUNDING = 1e-4

Array = NDArray[np.float64]


def _square_of_zeros(center: NDArray[Any], inverse_scale: NDArray[Any]) -> float:
    """Return ``sum_j (center_j inverse_scale_j)^2`` of the numbers that the kernel reads."""
    return float(np.sum((center.astype(np.float64) * inverse_scale.astype(np.float64)) ** 2))


@dataclass(frozen=True)
class Block:
    """Rows of a storage with their targets.

    Attributes
    ----------
    storage : Storage
        Any of `fastlogit.kernels.storages`.
    targets : Targets
        Labels, weights and offsets of the same rows, read-only arrays.
    loss : Loss
        What is summed.
    first_row : int
        The number of its first row among all rows of the source.
    rows_per_part : int or None
        Rows of a part; by default a size that the shape alone decides.
    stays : bool
        Whether it is there for as long as the source is. Of one that does not a survey copies the rows that it finds.
    """

    storage: Any
    targets: Targets
    loss: Loss
    first_row: int = 0
    rows_per_part: int | None = None
    stays: bool = True

    @property
    def n_samples(self) -> int:
        """Its rows."""
        return int(self.storage.shape[0])

    @property
    def n_features(self) -> int:
        """Its columns."""
        return int(self.storage.shape[1])

    @cached_property
    def parts(self) -> list[tuple[int, int]]:
        """The rows ``(first, last)`` of each part, counted from the block's own first."""
        return parts(self.storage, n_margins(self.loss.n_classes), self.rows_per_part)

    def take(self, rows: NDArray[np.int64]) -> "Block":
        """Return some rows, in ascending order, copied."""
        y, weight, class_weight, offset = self.targets
        some = (a[rows] if a.size else a for a in (weight, offset))
        targets = Targets(read_only(y[rows]), read_only(next(some)), class_weight, read_only(next(some)))
        return Block(self.storage.take(rows), targets, self.loss)

    @staticmethod
    def join(blocks: "list[Block]") -> "Block":
        """Return the rows of blocks, one after another; a block alone as it is."""
        if len(blocks) == 1:
            return blocks[0]
        first, targets = blocks[0], [block.targets for block in blocks]
        y, weight, offset = (
            read_only(np.concatenate([getattr(each, name) for each in targets])) for name in ("y", "weight", "offset")
        )
        storage = type(first.storage).join([block.storage for block in blocks])
        return Block(storage, Targets(y, weight, first.targets.class_weight, offset), first.loss)

    def row_weights(self, first: int, last: int) -> Array:
        """Return sample weights times class weights (last - first,)."""
        targets, weight = self.targets, np.ones(last - first)
        if targets.weight.size:
            weight *= targets.weight[first:last]
        if targets.class_weight.size:
            weight *= targets.class_weight[targets.y[first:last]]
        return weight

    def first_weighted(self, first: int, last: int, most: int) -> tuple[int, int, int]:
        """Return the range of rows from the first that has a weight to the ``most``-th, and how many in it have one.

        Of ``first`` to ``last``; no weight is looked at that is not needed.
        """
        begin = end = first
        found = 0
        for start in range(first, last, _ROWS):
            weights = self.row_weights(start, min(start + _ROWS, last))
            rows = start + np.flatnonzero(weights > 0.0)[: most - found]
            if len(rows):
                begin, end = begin if found else int(rows[0]), int(rows[-1]) + 1
                found += len(rows)
            if found == most:
                break
        return begin, end, found

    # Sums over rows ------------------------------------------------------------------------------------------------

    def moments(self) -> Iterator[Moments]:
        """Yield the moments of the columns: shifted float64 sums."""
        for first, last in self.parts:
            # the mean of the first rows that count is near enough for the squares not to cancel
            begin, end, found = self.first_weighted(first, last, _FEW_ROWS)
            yield self._moments_of(first, last, self.few_moments(begin, end).mean if found else self._zeros)

    @property
    def _zeros(self) -> Array:
        return np.zeros(self.n_features)

    def few_moments(self, first: int, last: int) -> Moments:
        """Return the moments of some rows."""
        weights = self.row_weights(first, last)
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is reported by row and column
            few = self.storage.few_moments(first, last, weights)
        if few is None:
            return self._moments_of(first, last, self._zeros)
        return Moments(last - first, float(weights.sum()), *few)

    def _moments_of(self, first: int, last: int, shift: Array) -> Moments:
        packed = pack(shift, np.float64)
        sums, weights = self._empty_sums(first, last, self.storage.n_powers, packed.size, 1)
        first_order.moments(len(sums), self.storage, self.targets, packed, first, last, sums, weights)
        return self._moments_from(last - first, shift, sums, weights)

    def _moments_from(self, n_samples: int, shift: Array, sums: Array, weights: Array) -> Moments:
        weight = float(weights.sum())
        with np.errstate(invalid="ignore", over="ignore"):  # reported by row and column, not by NumPy
            step, squares = self.storage.powers(sums.sum(axis=0)[:, : self.n_features], shift, weight)
            if weight == 0.0:  # zeros, or NaN where a row is not finite
                return Moments(n_samples, 0.0, np.zeros_like(shift), squares)
            return Moments(n_samples, weight, shift + step / weight, np.maximum(squares - step**2 / weight, 0.0))

    def _empty_sums(self, first: int, last: int, n_sums: int, size: int, n_totals: int) -> tuple[Array, Array]:
        """Return room for each chunk's sums over rows (n_sums, size), and its totals."""
        chunks = self.storage.n_chunks(first, last, n_sums, size)
        return self.storage.empty_sums(chunks, n_sums, size), np.empty((chunks, n_totals))

    def _empty_gradients(self, first: int, last: int, K: int, size: int, n_totals: int) -> tuple[Array, Array]:
        """Return room for each chunk's sums of K classes, and its totals."""
        G, totals = self._empty_sums(first, last, self.storage.n_adjacent(K), size, n_totals)
        return G[:, :K], totals

    def class_counts(self) -> Iterator[NDArray[np.int64]]:
        """Yield the rows of positive weight of each class; those of soft labels are all of one. X is not read."""
        y, weight = self.targets.y, self.targets.weight
        strata = 1 if y.ndim == 2 else self.loss.n_classes
        for first, last in self.parts:
            counts = np.empty((n_chunks(last - first, strata), strata), np.int64)
            survey.count_strata(len(counts), y, weight, first, last, counts)
            some: NDArray[np.int64] = counts.sum(axis=0)
            if self.targets.class_weight.size:
                some[self.targets.class_weight[:strata] == 0.0] = 0
            yield some

    def survey(self, rough: Moments, far: float, most: int, limits: Limits) -> Iterator[Surveyed]:
        """Yield the moments, the rows that lie far out, at most ``most``, and those that are drawn.

        ``rough`` are moments of a few rows; see `fastlogit.sources.sampling`.
        """
        spread = np.sqrt(rough.variance)
        dtype = self.storage.computing_dtype
        inverse_scale = pack(np.where(spread > 0.0, 1.0 / np.where(spread > 0.0, spread, 1.0), 0.0), dtype)
        shift = pack(rough.mean, np.float64)
        base = _square_of_zeros(shift.astype(dtype), inverse_scale)
        for first, last in self.parts:
            sums, weights = self._empty_sums(first, last, self.storage.n_powers, shift.size, 1)
            rows, squares = np.empty(last - first, np.int64), np.empty(last - first)
            counts = np.empty((len(sums), 2), np.int64)
            survey.survey(
                *(len(sums), self.storage, self.targets, shift, inverse_scale, base, far, first, last),
                *(sums, weights, squares, rows, counts),
            )
            moments = self._moments_from(last - first, rough.mean, sums, weights)
            outliers = self._counting(pieces(rows, counts), pieces(squares, counts))
            some = drawn(self.targets, limits, self.first_row, first, last)
            found = Surveyed.of(moments, self, *outliers, some, most)
            yield found if self.stays else found.taken()

    def _counting(self, rows: NDArray[np.int64], squares: Array) -> tuple[NDArray[np.int64], Array]:
        """Return those of some rows, with their squares, that have a weight."""
        y, weight, class_weight, _ = self.targets
        counts = np.ones(len(rows), np.bool_)
        if weight.size:
            counts &= weight[rows] > 0.0
        if class_weight.size:
            counts &= class_weight[y[rows]] > 0.0
        return rows[counts], squares[counts]

    def loss_grad(self, W: Array, center: Array, dtype: Any) -> Iterator[PassSums]:
        """Yield loss and gradient at ``W``."""
        packed = W_, b, c = self.storage.pack(W, center, dtype)
        for first, last in self.parts:
            G, totals = self._empty_gradients(first, last, b.size, c.size, b.size + 3)
            first_order.loss_grad(len(G), self.storage, self.targets, self.loss, *packed, first, last, G, totals)
            yield PassSums(*self._sums(G, totals, c))

    def _gradient(self, G: Array, totals: Array, center: NDArray[Any]) -> Array:
        """Return chunks' sums over rows, and over residuals, as a gradient of the shape of W."""
        grad = np.empty((self.n_features + 1, G.shape[1]))
        np.sum(G[:, :, : self.n_features], axis=0, out=grad[:-1].T)
        np.sum(totals, axis=0, out=grad[-1])
        left = self.storage.uncentred(center[: self.n_features])
        if left is not None:
            grad[:-1] -= np.outer(left, grad[-1])
        return grad

    def _sums(self, G: Array, totals: Array, center: NDArray[Any]) -> tuple[float, Array, float, int]:
        """Return the fields of `PassSums` from the sums of chunks."""
        soft, K = self.targets.y.ndim == 2, G.shape[1]
        return (
            float(totals[:, K + LOSS].sum()),
            self._gradient(G, totals[:, :K], center),
            -np.inf if soft else float(totals[:, K + SMALLEST_MARGIN].min()),
            int(totals[:, K + N_CORRECT].sum()),
        )

    def grad_hess(self, W: Array, center: Array, scale: Array, dtype: Any) -> Iterator[CurvatureSums]:
        """Yield loss, gradient and Hessian at ``W``, the Hessian's products in ``dtype``."""
        inverse_scale = pack(np.append(1.0 / scale, 1.0), dtype)
        base = 1.0 + _square_of_zeros(center, inverse_scale[: self.n_features])
        packed = W_, b, c = self.storage.pack(W, center, np.float64)
        K, size = b.size, inverse_scale.size
        blocks = K * (K + 1) // 2
        for first, last in cut_by_products(self.parts, blocks * size**2 // 2):  # the upper triangle
            chunks = n_chunks(last - first, blocks * size * size)
            G = self.storage.empty_sums(chunks, self.storage.n_adjacent(K), c.size)[:, :K]
            totals, H = np.empty((chunks, K + 4)), np.empty((chunks, blocks, size, size))
            rows = (base, self.n_features, first, last)
            curvature.grad_hess(
                chunks, self.storage, self.targets, self.loss, *packed, inverse_scale, *rows, G, totals, H
            )
            upper = np.triu(H.sum(axis=0)[:, : self.n_features + 1, : self.n_features + 1])
            yield CurvatureSums(
                *self._sums(G, totals, c),
                hess=self._centred(upper + np.triu(upper, 1).transpose(0, 2, 1), c),
                largest_square=float(totals[:, K + 3].max()),
            )

    def _centred(self, H: Array, center: NDArray[Any]) -> Array:
        """Return the Hessian's blocks of centred rows: ``T' H T`` with ``(x - c, 1) = T' (x, 1)``.

        The intercept's row, times c, leaves every other.
        """
        c = self.storage.uncentred(center[: self.n_features])
        if c is None:
            return H
        h = H[:, :-1, -1].copy()
        for block, row, corner in zip(H, h, 0.5 * H[:, -1, -1], strict=True):
            left = np.outer(row - corner * c, c)
            block[:-1, :-1] -= left + left.T
        H[:, :-1, -1] = H[:, -1, :-1] = h - H[:, -1:, -1] * c
        return H

    def gram(self, center: Array, dtype: Any) -> Iterator[Array]:
        """Yield ``sum_i s_i x~_i x~_i'``: four times the Hessian of the logistic loss at 0, whatever the labels."""
        zero, ones = np.zeros((self.n_features + 1, 1)), np.ones(self.n_features)
        plain = replace(self, targets=self.targets._replace(offset=_NONE), loss=Logistic())
        for sums in plain.grad_hess(zero, center, ones, dtype):
            yield 4.0 * sums.hess[0]

    def hess_diag(self, W: Array, center: Array, dtype: Any) -> Iterator[Array]:
        """Yield the Hessian's diagonal at ``W``."""
        W_, b, packed = self.storage.pack(W, center, dtype)
        K, m, shift = b.size, self.storage.n_powers, pack(center, np.float64)
        for first, last in self.parts:
            G, totals = self._empty_sums(first, last, K * m, shift.size, K)
            curvature.diagonal(
                len(G), self.storage, self.targets, self.loss, W_, b, packed, shift, first, last, G, totals
            )
            sums, weights = G.sum(axis=0)[:, : self.n_features], totals.sum(axis=0)
            squares = [self.storage.powers(sums[k * m : (k + 1) * m], center, weights[k])[1] for k in range(K)]
            yield np.vstack([np.array(squares).T, weights])

    def hess_vec(self, W: Array, V: Array, center: Array, dtype: Any) -> Iterator[Array]:
        """Yield the Hessian at ``W`` times ``V``."""
        packed = W_, b, c = self.storage.pack(np.hstack([W, V]), center, dtype)
        K = b.size // 2
        for first, last in self.parts:
            G, totals = self._empty_gradients(first, last, K, c.size, K)
            curvature.hess_vec(len(G), self.storage, self.targets, self.loss, *packed, first, last, G, totals)
            yield self._gradient(G, totals, c)

    def losses_along(self, W: Array, V: Array, center: Array, steps: Array, dtype: Any) -> Iterator[Array]:
        """Yield the losses at ``W + t V`` for each t of ``steps``."""
        packed = self.storage.pack(np.hstack([W, V]), center, dtype)
        at = steps.astype(dtype)
        for first, last in self.parts:
            totals = np.empty((n_chunks(last - first, steps.size), steps.size))
            curvature.losses_along(len(totals), self.storage, self.targets, self.loss, *packed, at, first, last, totals)
            yield totals.sum(axis=0)

    def class_curvature(self, W: Array, center: Array, dtype: Any) -> Iterator[ClassProducts]:
        """Yield the products of classes' probabilities at ``W``."""
        for first in range(0, self.n_samples, _PROBABILITIES):
            rows = first, min(first + _PROBABILITIES, self.n_samples)
            P = predict_proba(self.storage, self.loss, W, center, dtype, self.targets.offset, rows)
            yield ClassProducts(P.T @ (P * self.row_weights(*rows)[:, None]))

    def information(self, center: Array) -> Iterator[Array]:
        """Yield ``sum_i a_ij`` and ``sum_i a_ij^2`` with ``a_ij = s_i (x_ij - center_j)^2``."""
        packed = pack(center, np.float64)
        for first, last in self.parts:
            sums, totals = self._empty_sums(first, last, self.storage.n_information, packed.size, 2)
            survey.information(len(sums), self.storage, self.targets, packed, first, last, sums, totals)
            yield self.storage.information(sums.sum(axis=0)[:, : self.n_features], totals.sum(axis=0), center)

    # The largest over rows -----------------------------------------------------------------------------------------

    def widest_row(self, center: Array, scale: Array) -> Iterator[Largest]:
        """Yield the largest ``sum_j ((x_ij - center_j) / scale_j)^2``, to 1e-4, never less."""
        dtype = self.storage.computing_dtype
        packed = pack(center, dtype), pack(1.0 / scale, dtype)
        base = _square_of_zeros(*packed)
        for first, last in self.parts:
            totals = np.empty(n_chunks(last - first, 1))
            survey.widest_row(totals.size, self.storage, *packed, base, first, last, totals)
            yield Largest((1.0 + _WIDEST_ROUNDING) * float(totals.max()))

    def largest_square(self, W: Array, center: Array) -> Iterator[Largest]:
        """Yield the largest ``||x~_i W||^2`` over rows of positive weight."""
        packed = self.storage.pack(W, center, np.float64)
        for first, last in self.parts:
            totals = np.empty(n_chunks(last - first, 1))
            curvature.largest_square(totals.size, self.storage, self.targets, *packed, first, last, totals)
            yield Largest(float(totals.max()))

    # What is wrong -------------------------------------------------------------------------------------------------

    def first_not_finite(self) -> tuple[int, int, float] | None:
        """Return row (of the source), column and value of the first element that is NaN or infinite."""
        W, zero = np.zeros((self.n_features + 1, 1)), self._zeros
        for first, last in self.parts:
            # a product with 0 is NaN where an element is not finite
            products = decision_function(self.storage, W, zero, np.float64, rows=(first, last))
            bad = first + np.flatnonzero(np.isnan(products[:, 0]))
            if len(bad):
                found = self.storage.take(bad[:1]).first_not_finite()
                if found is not None:
                    return self.first_row + int(bad[0]), *found[1:]
        return None
