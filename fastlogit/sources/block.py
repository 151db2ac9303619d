"""Operations on a block of rows: each is a generator that yields the sums of one part after another.

An operation depends on its block and arguments alone. What it yields is added up, over parts and blocks, in the order
of rows: that is all that `fastlogit.sources.protocol.Source.run` has to do, wherever the blocks are.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.kernels.losses import Logistic
from fastlogit.kernels.losses.protocol import LOSS, N_CORRECT, SMALLEST_MARGIN
from fastlogit.kernels.machine.jit import LOSS_PRODUCTS, n_chunks, read_only
from fastlogit.kernels.passes import curvature, first_order, survey
from fastlogit.kernels.storages.storage import padded
from fastlogit.prediction import cut_by_products, decision_function, predict_proba
from fastlogit.sources.observations import Array, Observations
from fastlogit.sources.sampling import Limits, Surveyed, drawn, pieces
from fastlogit.sources.sums import ArrowSums, ClassProducts, CurvatureSums, Largest, Moments, PassSums, centred

_NONE = read_only(np.empty((0, 0)))
# Weighted rows whose mean shifts the columns of a part.
_FEW_ROWS = 256
#: Fewest rows of a chunk with a Hessian: of 64 rows it takes twice as long to add up as to compute.
HESSIAN_ROWS = 256
# Rows whose probabilities are held at a time.
_PROBABILITIES = 1 << 16
#: Relative rounding error of a row's squared norm in float32, by which the largest is enlarged.
WIDEST_ROUNDING = 1e-4


@dataclass(frozen=True)
class Block(Observations):
    """Rows with their targets, and the operations on them.

    Each operation is a generator of one value for each part. Arguments, shapes and formulas are those of the method of
    `fastlogit.sources.protocol.Source` that has the same name; a ``dtype`` is always given.
    """

    # Sums over rows ------------------------------------------------------------------------------------------------

    def moments(self) -> Iterator[Moments]:
        """Yield the moments of the columns, from sums in float64 of columns shifted to near their means."""
        for first, last in self.parts:
            # shifted by the mean of the first weighted rows, squares do not cancel
            begin, end, found = self.first_weighted(first, last, _FEW_ROWS)
            yield self._moments_of(first, last, self.few_moments(begin, end).mean if found else self._zeros)

    @property
    def _zeros(self) -> Array:
        return np.zeros(self.n_features)

    def few_moments(self, first: int, last: int) -> Moments:
        """Return the moments of rows ``first`` to ``last``."""
        weights = self.row_weights(first, last)
        with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity are reported later, by row and column
            few = self.storage.few_moments(first, last, weights)
        if few is None:
            return self._moments_of(first, last, self._zeros)
        return Moments(last - first, float(weights.sum()), *few)

    def _moments_of(self, first: int, last: int, shift: Array) -> Moments:
        """Return the moments of rows ``first`` to ``last``, summed about ``shift``."""
        packed = self.storage.pack_columns(shift, np.float64)
        sums, weights = self._empty_sums(first, last, self.storage.n_powers, 1)
        first_order.moments(len(sums), self.storage, self.targets, packed, first, last, sums, weights)
        return self._moments_from(last - first, shift, sums, weights)

    def _moments_from(self, n_samples: int, shift: Array, sums: Array, weights: Array) -> Moments:
        """Return the moments from each chunk's sums about ``shift`` and its sum of weights."""
        weight = float(weights.sum())
        with np.errstate(invalid="ignore", over="ignore"):  # as above
            total = self._over_chunks(sums)
            if weight == 0.0:  # the squares are 0, or NaN where an element is not finite
                return Moments(n_samples, 0.0, np.zeros_like(shift), self.storage.powers(total, shift, weight)[1])
            return Moments(n_samples, weight, *self.storage.mean_and_squares(total, shift, weight))

    def _empty_sums(self, first: int, last: int, n_sums: int, n_totals: int) -> tuple[Array, Array]:
        """Return uninitialised arrays for each chunk's sums over rows (n_sums, size) and its ``n_totals`` totals."""
        size = self.storage.sums_size
        chunks = self.storage.n_chunks(first, last, n_sums, size)
        return self.storage.empty_sums(chunks, n_sums, size), np.empty((chunks, n_totals))

    def _over_chunks(self, sums: Array) -> Array:
        """Return each column's sums (n_sums, n_features) from those of chunks."""
        total: Array = self.storage.unpacked_sums(sums.sum(axis=0))
        return total

    def _empty_gradients(self, first: int, last: int, K: int, n_totals: int) -> tuple[Array, Array]:
        """Return the same for sums (K, size) of K classes, in the storage's order in memory."""
        G, totals = self._empty_sums(first, last, self.storage.n_adjacent(K), n_totals)
        return G[:, :K], totals

    def class_counts(self) -> Iterator[NDArray[np.int64]]:
        """Yield each class's number of rows of positive weight; soft labels count as one class. X is not read."""
        y, weight = self.targets.y, self.targets.weight
        strata = 1 if y.ndim == 2 else self.loss.n_classes
        for first, last in self.parts:
            counts = np.empty((n_chunks(last - first, strata, 1), strata), np.int64)
            survey.count_strata(len(counts), y, weight, first, last, counts)
            some: NDArray[np.int64] = counts.sum(axis=0)
            if self.targets.class_weight.size:
                some[self.targets.class_weight[:strata] == 0.0] = 0
            yield some

    def survey(self, rough: Moments, far: float, most: int, limits: Limits) -> Iterator[Surveyed]:
        """Yield the moments, the outliers and the rows drawn for a sample; see `fastlogit.sources.sampling`.

        Parameters
        ----------
        rough : Moments
            Moments of a few rows, which standardise the columns in the search for outliers.
        far : float
            Squared norm, in these columns, above which a row is an outlier.
        most : int
            Number of outliers to keep: the farthest.
        limits : Limits
            The hashes below which a row is drawn.
        """
        spread, pack = np.sqrt(rough.variance), self.storage.pack_columns
        dtype = self.storage.computing_dtype
        inverse_scale = pack(np.where(spread > 0.0, 1.0 / np.where(spread > 0.0, spread, 1.0), 0.0), dtype)
        shift = pack(rough.mean, np.float64)
        base = self.storage.square_of_zeros(shift.astype(dtype), inverse_scale)
        for first, last in self.parts:
            sums, weights = self._empty_sums(first, last, self.storage.n_powers, 1)
            rows, squares = np.empty(last - first, np.int64), np.empty(last - first)
            counts = np.empty((len(sums), 2), np.int64)
            survey.survey(
                *(len(sums), self.storage, self.targets, shift, inverse_scale, base, far, first, last),
                *(sums, weights, squares, rows, counts),
            )
            moments = self._moments_from(last - first, rough.mean, sums, weights)
            rows, squares = pieces(rows, counts), pieces(squares, counts)
            weighted = self.is_weighted(rows)
            some = drawn(self.targets, limits, self.first_row, first, last)
            found = Surveyed.of(moments, self, rows[weighted], squares[weighted], some, most)
            yield found if self.stays else found.taken()

    def loss_grad(self, W: Array, center: Array, dtype: Any) -> Iterator[PassSums]:
        """Yield loss and gradient at ``W``, computed in ``dtype``."""
        packed = W_, b, c = self.storage.pack(W, center, dtype)
        for first, last in self.parts:
            G, totals = self._empty_gradients(first, last, b.size, b.size + 3)
            first_order.loss_grad(len(G), self.storage, self.targets, self.loss, *packed, first, last, G, totals)
            yield PassSums(*self._sums(G, totals, c))

    def _gradient(self, G: Array, totals: Array, center: NDArray[Any]) -> Array:
        """Return the gradient, of shape W, from chunks' sums of residuals times rows, and of residuals (chunks, K)."""
        grad = np.empty((self.n_features + 1, G.shape[1]))
        grad[:-1] = self._over_chunks(G).T
        np.sum(totals, axis=0, out=grad[-1])
        left = self.storage.uncentred(self.storage.unpacked(center))
        if left is not None:
            grad[:-1] -= np.outer(left, grad[-1])
        return grad

    def _sums(self, G: Array, totals: Array, center: NDArray[Any]) -> tuple[float, Array, float, int]:
        """Return the fields of `PassSums` from the chunks' sums."""
        soft, K = self.targets.y.ndim == 2, G.shape[1]
        return (
            float(totals[:, K + LOSS].sum()),
            self._gradient(G, totals[:, :K], center),
            -np.inf if soft else float(totals[:, K + SMALLEST_MARGIN].min()),
            int(totals[:, K + N_CORRECT].sum()),
        )

    def grad_hess(self, W: Array, center: Array, scale: Array, dtype: Any) -> Iterator[CurvatureSums]:
        """Yield loss, gradient and Hessian at ``W``, the products of the Hessian in ``dtype``."""
        yield from self._grad_hess(W, center, scale, dtype, is_arrow=False)

    def grad_arrow(self, W: Array, center: Array, scale: Array, dtype: Any) -> Iterator[CurvatureSums]:
        """Yield the same as `grad_hess`, the Hessian as an arrow; ``center`` is 0 for the leading columns."""
        yield from self._grad_hess(W, center, scale, dtype, is_arrow=True)

    def _grad_hess(
        self, W: Array, center: Array, scale: Array, dtype: Any, *, is_arrow: bool
    ) -> Iterator[CurvatureSums]:
        storage, place = self.storage, self.storage.intercept_place
        inverse_scale = np.zeros(padded(place + 1 + is_arrow), dtype)
        inverse_scale[:place] = storage.pack_columns(1.0 / scale, dtype)[:place]
        packed = W_, b, c = storage.pack(W, center, np.float64)
        base = storage.square_of_zeros(c, inverse_scale)
        K, size = b.size, inverse_scale.size
        blocks, width = K * (K + 1) // 2, size - storage.lead * is_arrow
        products = blocks * min(size, storage.row_elements) ** 2 // 2  # upper triangles
        for first, last in cut_by_products(self.parts, products):
            chunks = n_chunks(last - first, blocks * size * width, products // 2, max(width, HESSIAN_ROWS))
            G = storage.empty_sums(chunks, storage.n_adjacent(K), storage.sums_size)[:, :K]
            totals, H = np.empty((chunks, K + 4)), np.empty((chunks, blocks, size, width))
            rows = (base, place, first, last)
            curvature.grad_hess(chunks, storage, self.targets, self.loss, *packed, inverse_scale, *rows, G, totals, H)
            total, center_of_rows = H.sum(axis=0) if chunks > 1 else H[0], storage.uncentred(storage.unpacked(c))
            hess: Any
            if is_arrow:
                hess = ArrowSums(*storage.unpacked_arrow(total)).centred(center_of_rows)
            else:
                hess = centred(storage.unpacked_square(total), center_of_rows)
            yield CurvatureSums(*self._sums(G, totals, c), hess=hess, largest_square=float(totals[:, K + 3].max()))

    def gram(self, center: Array, dtype: Any) -> Iterator[Array]:
        """Yield ``sum_i s_i x~_i x~_i'``: four times the logistic loss's Hessian at 0, which no label enters."""
        zero, ones = np.zeros((self.n_features + 1, 1)), np.ones(self.n_features)
        plain = replace(self, targets=self.targets._replace(offset=_NONE), loss=Logistic())
        for sums in plain.grad_hess(zero, center, ones, dtype):
            yield 4.0 * sums.hess[0]

    def hess_diag(self, W: Array, center: Array, dtype: Any) -> Iterator[Array]:
        """Yield the Hessian's diagonal at ``W``, computed in ``dtype``."""
        W_, b, packed = self.storage.pack(W, center, dtype)
        K, m, shift = b.size, self.storage.n_powers, self.storage.pack_columns(center, np.float64)
        for first, last in self.parts:
            G, totals = self._empty_sums(first, last, K * m, K)
            curvature.diagonal(
                len(G), self.storage, self.targets, self.loss, W_, b, packed, shift, first, last, G, totals
            )
            sums, weights = self._over_chunks(G), totals.sum(axis=0)
            squares = [self.storage.powers(sums[k * m : (k + 1) * m], center, weights[k])[1] for k in range(K)]
            yield np.vstack([np.array(squares).T, weights])

    def hess_vec(self, W: Array, V: Array, center: Array, dtype: Any) -> Iterator[Array]:
        """Yield the Hessian at ``W`` times ``V``, computed in ``dtype``."""
        packed = W_, b, c = self.storage.pack(np.hstack([W, V]), center, dtype)
        K = b.size // 2
        for first, last in self.parts:
            G, totals = self._empty_gradients(first, last, K, K)
            curvature.hess_vec(len(G), self.storage, self.targets, self.loss, *packed, first, last, G, totals)
            yield self._gradient(G, totals, c)

    def losses_along(self, W: Array, V: Array, center: Array, steps: Array, dtype: Any) -> Iterator[Array]:
        """Yield the sums of losses at ``W + t V`` for each t of ``steps``, computed in ``dtype``."""
        packed = self.storage.pack(np.hstack([W, V]), center, dtype)
        at = steps.astype(dtype)
        for first, last in self.parts:
            products = self.storage.products(2) + LOSS_PRODUCTS * steps.size
            totals = np.empty((n_chunks(last - first, steps.size, products), steps.size))
            curvature.losses_along(len(totals), self.storage, self.targets, self.loss, *packed, at, first, last, totals)
            yield totals.sum(axis=0)

    def class_curvature(self, W: Array, center: Array, dtype: Any) -> Iterator[ClassProducts]:
        """Yield the sums of products of two classes' probabilities at ``W``, computed in ``dtype``."""
        for first in range(0, self.n_samples, _PROBABILITIES):
            rows = first, min(first + _PROBABILITIES, self.n_samples)
            P = predict_proba(self.storage, self.loss, W, center, dtype, self.targets.offset, rows)
            yield ClassProducts(P.T @ (P * self.row_weights(*rows)[:, None]))

    def column_squares(self, center: Array) -> Iterator[Array]:
        """Yield ``sum_i a_ij`` and ``sum_i a_ij^2`` with ``a_ij = s_i (x_ij - center_j)^2``."""
        packed = self.storage.pack_columns(center, np.float64)
        for first, last in self.parts:
            sums, totals = self._empty_sums(first, last, self.storage.n_squares, 2)
            survey.column_squares(len(sums), self.storage, self.targets, packed, first, last, sums, totals)
            yield self.storage.column_squares(self._over_chunks(sums), totals.sum(axis=0), center)

    # The largest over rows -----------------------------------------------------------------------------------------

    def widest_row(self, center: Array, scale: Array) -> Iterator[Largest]:
        """Yield the largest ``sum_j ((x_ij - center_j) / scale_j)^2`` over rows, or up to 1e-4 of it more."""
        dtype = self.storage.computing_dtype
        packed = self.storage.pack_columns(center, dtype), self.storage.pack_columns(1.0 / scale, dtype)
        base = self.storage.square_of_zeros(*packed)
        for first, last in self.parts:
            totals = np.empty(n_chunks(last - first, 1, self.storage.products(1)))
            survey.widest_row(totals.size, self.storage, *packed, base, first, last, totals)
            yield Largest((1.0 + WIDEST_ROUNDING) * float(totals.max()))

    def largest_square(self, W: Array, center: Array) -> Iterator[Largest]:
        """Yield the largest ``||x~_i W||^2`` over rows of positive weight."""
        packed = self.storage.pack(W, center, np.float64)
        for first, last in self.parts:
            totals = np.empty(n_chunks(last - first, 1, self.storage.products(W.shape[1])))
            curvature.largest_square(totals.size, self.storage, self.targets, *packed, first, last, totals)
            yield Largest(float(totals.max()))

    # Few rows at once ----------------------------------------------------------------------------------------------

    def margins(self, W: Array, center: Array) -> Array:
        """Return the margins (n_samples, K) of all rows without offsets, in float64."""
        return decision_function(self.storage, W, center, np.float64)

    @property
    def rows(self) -> Any:
        """The storage that answers for products of few rows."""
        return self.storage

    # Errors --------------------------------------------------------------------------------------------------------

    def first_not_finite(self) -> tuple[int, int, float] | None:
        """Return row (among all of the source), column and value of the first element that is NaN or infinite."""
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
