"""Operations on few rows, in NumPy: nothing is compiled, loaded or run on threads.

A kernel's call takes as long as NumPy needs for some ten thousand elements, and its first call in a process a hundred
times as long.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.kernels.machine import blas
from fastlogit.kernels.machine.jit import read_only
from fastlogit.kernels.storages.rows import Rows
from fastlogit.sources.block import Block
from fastlogit.sources.observations import Array
from fastlogit.sources.sums import ClassProducts, CurvatureSums, Largest, Moments, PassSums, n_margins


@dataclass(frozen=True)
class PlainBlock(Block):
    """Few rows with their targets, and `Block`'s operations on them, all in float64.

    What is computed again and again is kept: the centred rows, the squares of their norms, and the
    probabilities at the last coefficients.
    """

    @classmethod
    def of(cls, block: Block) -> "PlainBlock":
        """Return the same rows with their targets."""
        return cls(**{each.name: getattr(block, each.name) for each in fields(block)})

    def _kept(self, name: str, keys: tuple[Any, ...], compute: Any) -> Any:
        """Return the value of ``compute``, called anew if the arrays ``keys`` are others than at the last call."""
        last = self.__dict__.get(name)
        if last is None or not all(a is b or np.array_equal(a, b) for a, b in zip(last[0], keys, strict=True)):
            last = self.__dict__[name] = keys, compute()
        return last[1]

    @cached_property
    def _rows(self) -> Array:
        return np.asarray(self.storage.dense(slice(None)))

    @cached_property
    def _weights(self) -> Array | None:
        """The rows' weights (n_samples,), or None if all are 1."""
        targets = self.targets
        if not targets.weight.size and not targets.class_weight.size:
            return None
        return self.row_weights(0, self.n_samples)

    @cached_property
    def _labels(self) -> Any:
        """For two classes whether a row is of the second, for more the index of its class; None for soft labels."""
        y = self.targets.y
        if y.ndim == 2:
            return None
        return y > 0 if n_margins(self.loss.n_classes) == 1 else y.astype(np.intp)

    @cached_property
    def _shares(self) -> Array:
        """Soft labels in float64."""
        return np.asarray(self.targets.y, np.float64)

    def _rows_about(self, center: Array) -> Array:
        """Return ``x~`` (n_samples, n_features + 1)."""

        def compute() -> Array:
            rows = np.ones((self.n_samples, self.n_features + 1))
            np.subtract(self._rows, center, out=rows[:, :-1])
            return rows

        rows: Array = self._kept("_x~", (center,), compute)
        return rows

    def _squares(self, center: Array, scale: Array) -> Array:
        """Return each row's ``sum_j ((x_ij - center_j) / scale_j)^2``."""

        def compute() -> Array:
            rows = self._rows_about(center)[:, :-1] / scale
            return np.asarray(np.einsum("ij,ij->i", rows, rows))

        squares: Array = self._kept("_norms", (center, scale), compute)
        return squares

    def _weighted(self, values: Array) -> Array:
        """Return values of rows, (n_samples,) or (n_samples, m), times the weights; 0 where the weight is 0."""
        s = self._weights
        if s is None:
            return values
        s = s if values.ndim == 1 else s[:, None]
        return np.where(s > 0.0, values * s, 0.0)

    def _largest(self, values: Array) -> float:
        """Return the largest value over rows of positive weight, at least 0."""
        s = self._weights
        return float(max(0.0, (values if s is None else values[s > 0.0]).max(initial=0.0)))

    # Sums over rows ------------------------------------------------------------------------------------------------

    def moments(self) -> Iterator[Moments]:
        """See `Block.moments`."""
        X, s, zero = self._rows, self._weights, self._zeros
        infinite = np.where(np.isfinite(X).all(axis=0), 0.0, np.nan)  # of rows without weight too
        if s is not None:
            X, s = X[s > 0.0], s[s > 0.0]
        if not len(X):
            yield Moments(self.n_samples, 0.0, zero, zero + infinite)
            return
        left = X - X[0]  # exactly 0 in a constant column
        weight = float(len(X) if s is None else s.sum())
        step = left.mean(axis=0) if s is None else s @ left / weight
        left -= step
        squares = np.einsum("ij,ij->j", left, left if s is None else s[:, None] * left)
        yield Moments(self.n_samples, weight, X[0] + step, squares + infinite)

    def _margins(self, W: Array, center: Array) -> Array:
        """Return the margins with offsets (n_samples, K), for two classes (n_samples,)."""
        return self._offset(np.asarray(self._rows_about(center) @ (W[:, 0] if W.shape[1] == 1 else W)))

    def _offset(self, z: Array) -> Array:
        offset = self.targets.offset
        return np.asarray(z + (offset[:, 0] if z.ndim == 1 else offset)) if offset.size else z

    def _losses(self, z: Array) -> tuple[Array, Array]:
        """Return losses (n_samples,) and residuals, of the shape of the margins ``z``."""
        y = self._labels
        if z.ndim == 1:
            if y is None:
                of_first, of_second = _logistic(-z), _logistic(z)
                y = self._shares
                return y[:, 0] * of_first[0] + y[:, 1] * of_second[0], y[:, 0] * of_first[1] - y[:, 1] * of_second[1]
            loss, q = _logistic(np.where(y, z, -z))
            return loss, np.where(y, -q, q)
        return _softmax_codes(z, y) if y is not None else _softmax_soft(z, self._shares)

    def _leads(self, z: Array) -> Array:
        """Return by how much each row's true, or likeliest, class leads, from margins without offsets."""
        y = self._labels
        if z.ndim == 1:
            return np.where(self.targets.y[:, 1] > self.targets.y[:, 0] if y is None else y, z, -z)
        at = np.arange(len(z)), self.targets.y.argmax(axis=1) if y is None else y
        others = z.copy()
        others[at] = -np.inf
        return np.asarray(z[at] - others.max(axis=1))

    def _pass(self, W: Array, center: Array) -> PassSums:
        z = self._rows_about(center) @ (W[:, 0] if W.shape[1] == 1 else W)
        leads, s = self._leads(z), self._weights
        losses, residuals = self._losses(self._offset(z))
        residuals = self._weighted(residuals)
        grad = self._rows_about(center).T @ residuals
        grad[-1] = residuals.sum(axis=0)  # in pairs: BLAS adds one by one, and loses digits that bounds rely on
        if s is not None:
            leads = leads[s > 0.0]
        return PassSums(
            float(self._weighted(losses).sum()),
            grad[:, None] if grad.ndim == 1 else grad,
            -np.inf if self.targets.y.ndim == 2 else float(leads.min(initial=np.inf)),
            int(np.count_nonzero(leads > 0.0)),
        )

    def loss_grad(self, W: Array, center: Array, dtype: Any) -> Iterator[PassSums]:
        """See `Block.loss_grad`."""
        yield self._pass(W, center)

    def _probabilities(self, W: Array, center: Array) -> tuple[Array, Array]:
        """Return the probabilities (n_samples, n_classes) and 1 minus them, both to full precision."""

        def compute() -> tuple[Array, Array]:
            P = probabilities(self._margins(W, center).reshape(self.n_samples, -1))
            at = np.arange(len(P)), P.argmax(axis=1)
            others = P.copy()
            others[at] = 0.0
            Q = 1.0 - P
            Q[at] = others.sum(axis=1)
            return P, Q

        P, Q = self._kept("_p", (W, center), compute)
        return P, Q

    def _curvature(self, W: Array, center: Array) -> Array:
        """Return ``s_i p_i (1 - p_i)`` (n_samples,) of two classes."""

        def compute() -> Array:
            e = np.exp(-np.abs(self._margins(W, center)))
            return self._weighted(e / (1.0 + e) ** 2)

        curvature: Array = self._kept("_c", (W, center), compute)
        return curvature

    def _curvatures(self, W: Array, center: Array, k: int) -> Array:
        """Return ``s_i p_ik (1 - p_ik)`` and, for m = k + 1, ..., ``s_i p_ik p_im``: (n_samples, K - k)."""
        P, Q = self._probabilities(W, center)
        others = P[:, k:].copy()
        others[:, 0] = Q[:, k]
        return self._weighted(P[:, k, None] * others)

    def grad_hess(self, W: Array, center: Array, scale: Array, dtype: Any) -> Iterator[CurvatureSums]:
        """See `Block.grad_hess`."""
        rows, K, first = self._rows_about(center), W.shape[1], self._pass(W, center)
        if K == 1:
            weighted = rows * np.sqrt(self._curvature(W, center))[:, None]
            hess = (weighted.T @ weighted)[None]
        else:
            hess, end = np.empty((K * (K + 1) // 2, rows.shape[1], rows.shape[1])), 0
            for k in range(K):
                begin, end = end, end + K - k
                many = rows * np.sqrt(self._curvatures(W, center, k)).T[:, :, None]
                np.matmul(many.transpose(0, 2, 1), many, out=hess[begin:end])
                np.negative(hess[begin + 1 : end], out=hess[begin + 1 : end])
        yield CurvatureSums(
            *(first.loss_sum, first.grad, first.smallest_margin, first.n_correct),
            hess=hess,
            largest_square=1.0 + self._largest(self._squares(center, scale)),
        )

    def hess_vec(self, W: Array, V: Array, center: Array, dtype: Any) -> Iterator[Array]:
        """See `Block.hess_vec`."""
        rows = self._rows_about(center)
        if W.shape[1] == 1:
            yield (rows.T @ (self._curvature(W, center) * (rows @ V[:, 0])))[:, None]
            return
        P, _ = self._probabilities(W, center)
        Z = rows @ V  # less that of the likeliest class, so that no nearly equal numbers are subtracted
        Z -= np.take_along_axis(Z, P.argmax(axis=1)[:, None], axis=1)
        Z -= np.einsum("ik,ik->i", P, Z)[:, None]
        yield rows.T @ self._weighted(P * Z)

    def hess_diag(self, W: Array, center: Array, dtype: Any) -> Iterator[Array]:
        """See `Block.hess_diag`."""
        if W.shape[1] == 1:
            curvature = self._curvature(W, center)[:, None]
        else:
            P, Q = self._probabilities(W, center)
            curvature = self._weighted(P * Q)
        yield (self._rows_about(center) ** 2).T @ curvature

    def losses_along(self, W: Array, V: Array, center: Array, steps: Array, dtype: Any) -> Iterator[Array]:
        """See `Block.losses_along`."""
        rows, one = self._rows_about(center), W.shape[1] == 1
        z, v = rows @ (W[:, 0] if one else W), rows @ (V[:, 0] if one else V)
        yield np.array([self._weighted(self._losses(self._offset(z + t * v))[0]).sum() for t in steps])

    def class_curvature(self, W: Array, center: Array, dtype: Any) -> Iterator[ClassProducts]:
        """See `Block.class_curvature`."""
        P, _ = self._probabilities(W, center)
        yield ClassProducts(P.T @ self._weighted(P))

    def column_squares(self, center: Array) -> Iterator[Array]:
        """See `Block.column_squares`."""
        a = self._weighted(self._rows_about(center)[:, :-1] ** 2)
        yield np.array([a.sum(axis=0), (a**2).sum(axis=0)])

    # The largest over rows -----------------------------------------------------------------------------------------

    def widest_row(self, center: Array, scale: Array) -> Iterator[Largest]:
        """See `Block.widest_row`."""
        yield Largest(float(self._squares(center, scale).max()))

    def largest_square(self, W: Array, center: Array) -> Iterator[Largest]:
        """See `Block.largest_square`."""
        Z = self._rows_about(center) @ W
        yield Largest(self._largest(np.einsum("ik,ik->i", Z, Z)))

    # Few rows at once ----------------------------------------------------------------------------------------------

    def margins(self, W: Array, center: Array) -> Array:
        """See `Block.margins`."""
        with np.errstate(all="ignore"):
            return np.asarray(self._rows_about(center) @ W)

    @property
    def rows(self) -> Rows:
        """See `Block.rows`: dense, so that products of the same rows are the same, however these are stored."""
        return Rows(read_only(self._rows))

    def first_not_finite(self) -> tuple[int, int, float] | None:
        """See `Block.first_not_finite`."""
        found = np.argwhere(~np.isfinite(self._rows))
        if not len(found):
            return None
        row, column = found[0]
        return self.first_row + int(row), int(column), float(self._rows[row, column])


def margins(storage: Any, W: Array, center: Array, offset: Array) -> Array:
    """Return the margins (n_samples, K) of few rows, as `fastlogit.prediction.decision_function`, in float64."""
    with np.errstate(all="ignore"), blas.on_one_thread():
        z: Array = (storage.dense(slice(None)) - center) @ W[:-1] + W[-1]
        return np.asarray(z + offset if offset.size else z)


def probabilities(z: Array) -> Array:
    """Return the probabilities (n, n_classes) for margins (n, K) with offsets; small ones have all their digits."""
    with np.errstate(all="ignore"):
        if z.shape[1] == 1:
            return np.hstack([1.0 / (1.0 + np.exp(z)), 1.0 / (1.0 + np.exp(-z))])
        P: Array = np.exp(z - z.max(axis=1, keepdims=True))
        P /= P.sum(axis=1, keepdims=True)
    return P


def _logistic(lead: Array) -> tuple[Array, Array]:
    """Return losses and |residuals| of rows whose true class leads by ``lead``; 1 - p is never computed."""
    e = np.exp(-np.abs(lead))
    return np.log1p(e) + np.maximum(-lead, 0.0), np.where(lead >= 0.0, e, 1.0) / (1.0 + e)


def _softmax_codes(z: Array, y: NDArray[np.intp]) -> tuple[Array, Array]:
    """Return losses and residuals; the true class's term is kept apart, so that no nearly equal numbers are subtracted.

    With others = ``sum_{k != y} e^{z_k - max z}`` the residual ``p_y - 1`` is -others / total.
    """
    at = np.arange(len(z)), y
    e = np.exp(z - z.max(axis=1, keepdims=True))
    lead = z[at] - z.max(axis=1)
    own = e[at]
    e[at] = 0.0
    others = e.sum(axis=1)
    e[at] = -others
    return np.log1p(others + (own - 1.0)) - lead, e / (others + own)[:, None]


def _softmax_soft(z: Array, y: Array) -> tuple[Array, Array]:
    """Return losses and residuals; the likeliest class's term is kept apart, as in `_softmax_codes`."""
    at = np.arange(len(z)), y.argmax(axis=1)
    z = z - z.max(axis=1, keepdims=True)
    e = np.exp(z)
    own = e[at]
    e[at] = 0.0
    others = e.sum(axis=1)
    total = others + own
    residuals = e / total[:, None] - y
    residuals[at] = (1.0 - y[at]) - others / total
    linear = np.where(y == 0.0, 0.0, y * z).sum(axis=1)
    return np.log1p(others + (own - 1.0)) - linear, residuals
