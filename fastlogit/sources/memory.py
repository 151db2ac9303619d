"""Rows that lie in memory."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.kernels import passes
from fastlogit.kernels.jit import n_chunks
from fastlogit.kernels.losses import LOSS, N_CORRECT, SMALLEST_MARGIN, Loss
from fastlogit.kernels.passes import Targets
from fastlogit.kernels.storage import pack, pack_coefficients
from fastlogit.prediction import decision_function, parts
from fastlogit.sources.protocol import Moments, PassSums, add_up, n_margins

_SHIFT_ROWS = 256


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
    """

    def __init__(
        self, storage: Any, targets: Targets, loss: Loss, dtype: Any, rows_per_part: int | None = None
    ) -> None:
        self.storage, self.targets, self.loss, self.dtype = storage, targets, loss, np.dtype(dtype)
        self.n_samples, self.n_features = storage.shape
        self.n_classes = loss.n_classes
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
        passes.moments(self.storage, self.targets, packed, first, last, chunks, sums, weights)
        weight = float(weights.sum())
        if weight == 0.0:
            return Moments(last - first, 0.0, np.zeros_like(shift), np.zeros_like(shift))
        with np.errstate(invalid="ignore", over="ignore"):  # reported by row and column, not by NumPy
            step, squares = sums.sum(axis=0)[:, : self.n_features]
            return Moments(last - first, weight, shift + step / weight, np.maximum(squares - step**2 / weight, 0.0))

    def _raise_not_finite(self, moments: Moments) -> None:
        zero = np.zeros(self.n_features)
        for first, last in self._parts:
            # a product with 0 is NaN where an element is not finite
            W = np.zeros((self.n_features + 1, 1))
            products = decision_function(self.storage, W, zero, np.float64, rows=(first, last))
            for row in (first + np.flatnonzero(np.isnan(products[:, 0]))).tolist():
                values = self._shifted_moments(row, row + 1, zero).mean
                for column in np.flatnonzero(~np.isfinite(values)).tolist():
                    what = "NaN" if np.isnan(values[column]) else "infinity"
                    raise ValueError(
                        f"X has {what} in row {row}, column {column}: drop or impute it, fastlogit needs finite values"
                    )
        column = int(np.flatnonzero(~np.isfinite(moments.squares))[0])
        raise ValueError(
            f"X has values in column {column} whose squares overflow float64 (about 1e154 and more): rescale the column"
        )

    def loss_grad(self, W: NDArray[np.float64], center: NDArray[np.float64]) -> PassSums:
        """See `fastlogit.sources.protocol.Source.loss_grad`."""
        packed = pack_coefficients(W, center, self.dtype)
        sums: PassSums = add_up(self._loss_grad_of(first, last, *packed) for first, last in self._parts)
        return sums

    def _loss_grad_of(self, first: int, last: int, W: Any, b: Any, center: Any) -> PassSums:
        K, D = b.size, self.n_features
        chunks = n_chunks(last - first, K * center.size)
        G, totals = np.empty((chunks, K, center.size)), np.empty((chunks, K + 3))
        passes.loss_grad(self.storage, self.targets, self.loss, W, b, center, first, last, chunks, G, totals)
        grad = np.empty((D + 1, K))
        grad[:D] = G.sum(axis=0)[:, :D].T
        grad[D] = totals[:, :K].sum(axis=0)
        soft = self.targets.y.ndim == 2
        return PassSums(
            loss_sum=float(totals[:, K + LOSS].sum()),
            grad=grad,
            smallest_margin=-np.inf if soft else float(totals[:, K + SMALLEST_MARGIN].min()),
            n_correct=int(totals[:, K + N_CORRECT].sum()),
        )
