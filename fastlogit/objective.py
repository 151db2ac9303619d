"""The penalised objective as a function of one flat vector: what a solver minimises."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.scaling import Scaling
from fastlogit.sources.protocol import Source
from fastlogit.sources.sums import CurvatureSums, PassSums, n_margins

Array = NDArray[np.float64]
_FEW_ROWS, _LARGE = 100.0, 1e30
# A penalty's second derivative, beside the rows' weight: above it the penalty is taken at its word.
_WEAK = 1e-9
# and below this there is none: what is divided by it overflows.
_NONE = 1e-100
_EPS, _ROUNDINGS = float(np.finfo(np.float64).eps), 16.0


@dataclass(frozen=True)
class Point:
    """The objective at a vector.

    Attributes
    ----------
    x : ndarray (n,)
        The vector.
    value : float
        ``F(x)``.
    grad : ndarray (n,)
        Its gradient.
    smallest_margin : float
        See `fastlogit.sources.protocol.PassSums`.
    hess : ndarray (n, n) or None
        Its Hessian, where it was asked for.
    largest_norm : float
        The largest ``||x~_i||``, ``x~ = ((x - center) / scale, 1)``, over rows of positive weight; known with ``hess``.
    """

    x: Array
    value: float
    grad: Array
    smallest_margin: float
    hess: Array | None = None
    largest_norm: float = float("nan")


@dataclass
class Objective:
    """``F(u) = sum_i s_i loss_i + (1 / C) (1/2 ||w||^2)`` over scaled coordinates u.

    The flat vector is the C order of ``U`` (n_features + 1, K), the coefficients of scaled columns with the intercepts
    in the last row. ``w`` are the coefficients in the data's own units, or with ``standardize`` those of the scaled
    columns. Intercepts are never penalised; without ``fit_intercept`` they are held at 0.

    Attributes
    ----------
    source : Source
        The rows.
    scaling : Scaling
        The coordinates: a preconditioner, it does not change the minimum (unless ``standardize``).
    C : float
        Inverse strength of the penalty, infinity for none.
    weight : float
        ``sum_i s_i``: what the Hessian's entries are like in scaled coordinates.
    sample : Source or None
        Some rows, weighted so that they stand for all.
    n_passes : int
        Reads of X so far.
    ridge : ndarray (n_features,) or float
        More penalty on each scaled column, which a sample has that knows little of some.
    """

    source: Source
    scaling: Scaling
    C: float = 1.0
    fit_intercept: bool = True
    standardize: bool = False
    weight: float = 1.0
    sample: Source | None = None
    n_passes: int = 0
    ridge: Array | float = 0.0

    def __post_init__(self) -> None:
        if not self.C > 0.0:
            raise ValueError(f"C={self.C}, but a positive number is needed (infinity for no penalty)")
        if not self.fit_intercept and np.any(self.scaling.center):
            raise ValueError("a scaling with a centre needs an intercept: use one that is not centred")
        strength = np.full(self.source.n_features + 1, 1.0 / self.C if self.C > 1e-308 else np.inf)
        strength[-1] = 0.0
        if not self.standardize:
            with np.errstate(over="ignore", divide="ignore"):
                strength[:-1] /= self.scaling.scale**2
        strength[:-1] += self.ridge
        if not np.isfinite(strength).all():
            column = int(np.flatnonzero(~np.isfinite(strength))[0])
            raise ValueError(
                f"C={self.C} makes a penalty that overflows float64 in units of column {column}, whose deviation is "
                f"{self.scaling.scale[column]:.1e}: raise C or rescale the column"
            )
        self._strength = (strength if strength.max() > _NONE * self.weight else np.zeros_like(strength))[:, None]

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of W: (n_features + 1, K)."""
        return self.source.n_features + 1, n_margins(self.source.n_classes)

    @cached_property
    def strength(self) -> Array:
        """The penalty's second derivative for each element of the flat vector."""
        return np.repeat(self._strength, self.shape[1], axis=1).ravel()

    @property
    def is_weakly_penalized(self) -> bool:
        """Whether there is no penalty, or one that tells next to nothing of scaled columns."""
        return float(self._strength.max()) <= _WEAK * self.weight

    def on_sample(self) -> "Objective | None":
        """Return the same objective over the sample's rows alone.

        Each column gets a ridge worth one of the rows that tell of it, or less where they are many: a rare level of
        which the sample has one class only would otherwise go to infinity there.
        """
        if self.sample is None:
            return None
        alone = replace(self, source=self.sample, sample=None, n_passes=0)
        rows = np.maximum(alone.effective_rows(), 1.0)
        return replace(alone, ridge=0.25 * self.weight / rows * np.minimum(1.0, _FEW_ROWS / rows))

    def _grad(self, U: Array, grad: Array) -> Array:
        grad = self.scaling.grad_from_pass(grad) + self._strength * U
        if grad.shape[1] > 1:  # residuals of softmax sum to 0, and nothing else holds intercepts that all move alike
            grad[-1] -= grad[-1].mean()
        if not self.fit_intercept:
            grad[-1] = 0.0
        return grad.ravel()

    def _point(self, x: Array, sums: PassSums, **more: Any) -> Point:
        U = x.reshape(self.shape)
        self.n_passes += 1
        value = sums.loss_sum + self._penalty(U)
        return Point(x, value, self._grad(U, sums.grad), sums.smallest_margin, **more)

    def _penalty(self, U: Array) -> float:
        return 0.5 * float(self.strength * U.ravel() @ U.ravel())

    def at(self, x: Array, dtype: Any = np.float64) -> Point:
        """Return value and gradient at ``x``, computed in ``dtype``; one read of X."""
        W = self.scaling.to_pass(x.reshape(self.shape))
        return self._point(x, self.source.loss_grad(W, self.scaling.center, self._with_room(W, dtype)))

    def _with_room(self, W: Array, dtype: Any) -> Any:
        """Return ``dtype``, or float64 where coefficients, and margins, are too large for float32."""
        return np.float64 if np.abs(W).max() > _LARGE else dtype

    def value_grad(self, x: Array) -> tuple[float, Array]:
        """Return ``F(x)`` and its gradient, computed in the source's type; one read of X."""
        point = self.at(x, self.source.dtype)
        return point.value, point.grad

    def curvature_at(self, x: Array, dtype: Any = np.float64) -> Point:
        """Return value, gradient and Hessian at ``x``, the Hessian's products in ``dtype``; one read of X."""
        scaling = self.scaling
        sums = self.source.grad_hess(scaling.to_pass(x.reshape(self.shape)), scaling.center, scaling.scale, dtype)
        return self._point(x, sums, hess=self._hess(sums), largest_norm=float(np.sqrt(sums.largest_square)))

    def _hess(self, sums: CurvatureSums) -> Array:
        """Return the Hessian in the order of the flat vector: the one place that knows it."""
        size, K = self.shape
        scale = np.append(self.scaling.scale, 1.0)
        H = np.empty((size, K, size, K))
        pairs = ((k, m) for k in range(K) for m in range(k, K))
        for (k, m), block in zip(pairs, sums.hess / np.outer(scale, scale), strict=True):
            H[:, k, :, m] = H[:, m, :, k] = block
        if not self.fit_intercept:
            H[-1] = H[:, :, -1] = 0.0
            H[-1, range(K), -1, range(K)] = 1.0  # never moves: its gradient is 0
        hess = H.reshape(size * K, size * K)
        hess[np.diag_indices_from(hess)] += self.strength
        return hess

    def hess_vec(self, x: Array, v: Array, dtype: Any = None) -> Array:
        """Return the Hessian at ``x`` times ``v``, computed in ``dtype`` (by default the source's); one read of X."""
        U, V = x.reshape(self.shape), v.reshape(self.shape)
        size = np.ldexp(1.0, np.frexp(np.abs(v).max())[1])  # a power of two: float32 has room for v / size
        W, V_ = self.scaling.to_pass(U), self.scaling.to_pass(V / size)
        product = self.source.hess_vec(W, V_, self.scaling.center, self._with_room(W, dtype))
        self.n_passes += 1
        return self._grad(V, size * product)

    def hess_diag(self, x: Array) -> Array:
        """Return the Hessian's diagonal at ``x``; one read of X."""
        diagonal = self.source.hess_diag(self.scaling.to_pass(x.reshape(self.shape)), self.scaling.center)
        self.n_passes += 1
        diagonal = self.scaling.to_pass(self.scaling.to_pass(diagonal)) + self._strength
        if not self.fit_intercept:
            diagonal[-1] = 1.0  # never moves: its gradient is 0
        return np.asarray(diagonal.ravel())

    @property
    def hess_diag_at_zero(self) -> Array:
        """The Hessian's diagonal at 0 but for offsets and constant columns: scaled columns have the weight for square.

        No read of X.
        """
        curvature = 1.0 / self.source.n_classes * (1.0 - 1.0 / self.source.n_classes)
        return np.asarray(curvature * self.weight + self.strength)

    def values_along(self, x: Array, v: Array, steps: Array) -> Array:
        """Return ``F(x + t v)`` for each t of ``steps``, computed in float64; one read of X."""
        U, V = x.reshape(self.shape), v.reshape(self.shape)
        scaling = self.scaling
        losses = self.source.losses_along(scaling.to_pass(U), scaling.to_pass(V), scaling.center, steps, np.float64)
        self.n_passes += 1
        return np.asarray(losses + [self._penalty(U + t * V) for t in steps])

    def largest_norm(self, T: Array) -> float:
        """Return the largest ``||x~_i' T||`` over rows of positive weight, for T (n_features + 1, m); one read of X."""
        self.n_passes += 1
        return float(self.source.largest_square(self.scaling.to_pass(T), self.scaling.center) ** 0.5)

    def widest_row(self) -> float:
        """Return the largest ``||x~_i||``, or a little more; one read of X."""
        self.n_passes += 1
        return float((1.0 + self.source.widest_row(self.scaling.center, self.scaling.scale)) ** 0.5)

    def class_curvature(self, x: Array, dtype: Any = None) -> Array:
        """Return ``sum_i s_i (diag(p_i) - p_i p_i')`` (K, K) at ``x``, p of ``dtype``; one read of X."""
        self.n_passes += 1
        W = self.scaling.to_pass(x.reshape(self.shape))
        return self.source.class_curvature(W, self.scaling.center, self._with_room(W, dtype))

    @property
    def lost_digits(self) -> Array:
        """How many times more than of centred rows rounding is, for each column: ``1 + (mean / deviation)^2``.

        1 where rows are centred element by element.
        """
        left = self.source.uncentred(self.scaling.center)
        return np.ones(self.source.n_features) if left is None else 1.0 + (left / self.scaling.scale) ** 2

    def rounding(self, point: Point) -> Array:
        """How far off the elements of a float64 gradient may be: four standard deviations of its sums, and more.

        In scaled coordinates the absolute values of each sum's terms add up to the weight at most, and to
        ``sqrt(2 F weight)``, because the residuals' squares add up to ``2 F`` at most (Pinsker's inequality). Where all
        rows are on their class's side, residuals are as small as losses: the terms then add up to F times the longest
        row, and err by as much as margins do, relative to themselves. Of rows that are centred by algebra they add up
        to more where a mean is large beside its deviation. A read of X the first time that classes are separated.
        """
        lost = self.lost_digits
        size = np.append(np.sqrt(lost) + np.sqrt(lost - 1.0), 1.0)
        terms = min(self.weight, (2.0 * abs(point.value) * self.weight) ** 0.5)
        if point.smallest_margin > 0.0:
            terms = min(terms, point.value * self._longest_row * (1.0 + point.smallest_margin))
        return np.asarray(_ROUNDINGS * _EPS * terms * np.repeat(size, self.shape[1]))

    @cached_property
    def _longest_row(self) -> float:
        return self.widest_row()

    def hess_below(self, x: Array, dtype: Any) -> Array | None:
        """Return a matrix below the Hessian at ``x``, from the sample's rows alone; None where there is no sample.

        Each row's part of the Hessian is positive semidefinite, so that the sum over some rows is below that over all.
        A row of the sample counts for `Source.largest_share` rows at most: divided by it, it counts for itself.
        """
        if self.sample is None:
            return None
        alone = replace(self, source=self.sample, sample=None, n_passes=0)
        hess = alone.curvature_at(x, dtype).hess
        assert hess is not None
        penalty = np.diag(self.strength)
        return np.asarray((hess - penalty) / self.sample.largest_share + penalty)

    def mean_curvature(self, x: Array) -> tuple[Array, Array]:
        """Return ``G = sum_i s_i x~_i x~_i'`` of the scaled columns, and the mean of ``diag(p) - p p'`` at ``x``.

        Shapes (n_features + 1, n_features + 1) and (K, K); products of X in the source's type. Two reads of X.
        """
        gram, S = self.source.gram(self.scaling.center), self.class_curvature(x) / self.weight
        self.n_passes += 1
        scale = np.append(self.scaling.scale, 1.0)
        gram = gram / np.outer(scale, scale)
        if not self.fit_intercept:
            gram[-1] = gram[:, -1] = 0.0
            gram[-1, -1] = 1.0
        return gram, S

    def effective_rows(self) -> Array:
        """Return how many rows tell of each column: ``(sum a)^2 / sum a^2`` with ``a = s (x - center)^2``.

        One read of X.
        """
        sums = self.source.information(self.scaling.center)
        self.n_passes += 1
        return np.asarray(sums[0] ** 2 / np.where(sums[1] > 0.0, sums[1], 1.0))
