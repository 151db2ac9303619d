"""The penalised objective as a function of one flat vector: what a solver minimises.

Whatever needs a read of X is a generator of `fastlogit.reads.Read`: ``point = yield from objective.at(x)`` in another
generator, ``run(objective.at(x))`` elsewhere.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fastlogit.penalties import Array as Array
from fastlogit.penalties import Penalty, Quadratic, Ridge
from fastlogit.reads import Read, Reads
from fastlogit.scaling import Scaling
from fastlogit.sources.protocol import Source
from fastlogit.sources.sums import ClassProducts, CurvatureSums, Largest, PassSums, n_margins

_FEW_ROWS, _LARGE = 100.0, 1e30
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
    """``F(u) = sum_i s_i loss_i + penalty`` over scaled coordinates u.

    The flat vector is the C order of ``U`` (n_features + 1, K), the coefficients of scaled columns with the intercepts
    in the last row. Intercepts are never penalised; without ``fit_intercept`` they are held at 0.

    Attributes
    ----------
    source : Source
        The rows.
    scaling : Scaling
        The coordinates: a preconditioner, it does not change the minimum.
    penalty : Penalty
        On the coefficients of the data's own units.
    weight : float
        ``sum_i s_i``: what the Hessian's entries are like in scaled coordinates.
    sample : Source or None
        Some rows, weighted so that they stand for all.
    n_passes : int
        Reads of X so far.
    ridge : ndarray (n_features,) or float
        More penalty on each scaled column, which a sample has that knows little of some.
    smooth : Quadratic
        The penalty over the flat vector.
    """

    source: Source
    scaling: Scaling
    penalty: Penalty = Ridge()
    fit_intercept: bool = True
    weight: float = 1.0
    sample: Source | None = None
    n_passes: int = 0
    ridge: Array | float = 0.0
    smooth: Quadratic = field(init=False)
    _longest_row: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if not self.fit_intercept and np.any(self.scaling.center):
            raise ValueError("a scaling with a centre needs an intercept: use one that is not centred")
        self.smooth = self.penalty.in_coordinates(self.scaling, self.shape[1]).plus(self.ridge, self.weight)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of W: (n_features + 1, K)."""
        return self.source.n_features + 1, n_margins(self.source.n_classes)

    @property
    def is_weakly_penalized(self) -> bool:
        """Whether there is no penalty, or one that tells next to nothing of scaled columns."""
        return self.smooth.is_weak(self.weight)

    def _read(self, operation: str, *args: Any) -> Reads[Any]:
        """Read X: every read is counted here."""
        sums = yield Read(self.source, operation, args)
        self.n_passes += 1
        return sums

    def _to_pass(self, x: Array) -> Array:
        """Return the coefficients of ``x - center``, as a pass takes them."""
        return self.scaling.to_pass(x.reshape(self.shape))

    def on_sample(self) -> "Reads[Objective | None]":
        """Return the same objective over the sample's rows alone; None where there is no sample.

        Each column gets a ridge worth one of the rows that tell of it, or less where they are many: a rare level of
        which the sample has one class only would otherwise go to infinity there.
        """
        if self.sample is None:
            return None
        alone = replace(self, source=self.sample, sample=None, n_passes=0)
        rows = np.maximum((yield from alone.effective_rows()), 1.0)
        return replace(alone, ridge=0.25 * self.weight / rows * np.minimum(1.0, _FEW_ROWS / rows))

    def _grad(self, U: Array, grad: Array) -> Array:
        grad = self.scaling.grad_from_pass(grad) + self.smooth.grad(U)
        if grad.shape[1] > 1:  # residuals of softmax sum to 0, and nothing else holds intercepts that all move alike
            grad[-1] -= grad[-1].mean()
        if not self.fit_intercept:
            grad[-1] = 0.0
        return grad.ravel()

    def _point(self, x: Array, sums: PassSums, **more: Any) -> Point:
        value = sums.loss_sum + self.smooth.value(x)
        return Point(x, value, self._grad(x.reshape(self.shape), sums.grad), sums.smallest_margin, **more)

    def at(self, x: Array, dtype: Any = np.float64) -> Reads[Point]:
        """Return value and gradient at ``x``, computed in ``dtype``; one read of X."""
        W = self._to_pass(x)
        return self._point(x, (yield from self._read("loss_grad", W, self.scaling.center, self._with_room(W, dtype))))

    def _with_room(self, W: Array, dtype: Any) -> Any:
        """Return ``dtype``, or float64 where coefficients, and margins, are too large for float32."""
        return np.float64 if np.abs(W).max() > _LARGE else dtype

    def curvature_at(self, x: Array, dtype: Any = np.float64) -> Reads[Point]:
        """Return value, gradient and Hessian at ``x``, the Hessian's products in ``dtype``; one read of X."""
        scaling = self.scaling
        sums: CurvatureSums = yield from self._read("grad_hess", self._to_pass(x), scaling.center, scaling.scale, dtype)
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
        hess[np.diag_indices_from(hess)] += self.smooth.curvature
        return hess

    def hess_vec(self, x: Array, v: Array, dtype: Any = None) -> Reads[Array]:
        """Return the Hessian at ``x`` times ``v``, computed in ``dtype`` (by default the source's); one read of X."""
        size = np.ldexp(1.0, np.frexp(np.abs(v).max())[1])  # a power of two: float32 has room for v / size
        W, V = self._to_pass(x), self._to_pass(v / size)
        dtype = self._with_room(W, dtype or self.source.dtype)
        product = yield from self._read("hess_vec", W, V, self.scaling.center, dtype)
        return self._grad(v.reshape(self.shape), size * product)

    def hess_diag(self, x: Array) -> Reads[Array]:
        """Return the Hessian's diagonal at ``x``; one read of X."""
        read = self._read("hess_diag", self._to_pass(x), self.scaling.center, self.source.dtype)
        diagonal = self.scaling.to_pass(self.scaling.to_pass((yield from read))) + self.smooth.by_column[:, None]
        if not self.fit_intercept:
            diagonal[-1] = 1.0  # never moves: its gradient is 0
        return np.asarray(diagonal.ravel())

    @property
    def hess_diag_at_zero(self) -> Array:
        """The Hessian's diagonal at 0 but for offsets and constant columns: scaled columns have the weight for square.

        No read of X.
        """
        curvature = 1.0 / self.source.n_classes * (1.0 - 1.0 / self.source.n_classes)
        return np.asarray(curvature * self.weight + self.smooth.curvature)

    def values_along(self, x: Array, v: Array, steps: Array) -> Reads[Array]:
        """Return ``F(x + t v)`` for each t of ``steps``, computed in float64; one read of X."""
        arguments = self._to_pass(x), self._to_pass(v), self.scaling.center, steps, np.dtype(np.float64)
        losses = yield from self._read("losses_along", *arguments)
        return np.asarray(losses + [self.smooth.value(x + t * v) for t in steps])

    def largest_norm(self, T: Array) -> Reads[float]:
        """Return the largest ``||x~_i' T||`` over rows of positive weight, for T (n_features + 1, m); one read of X."""
        read = self._read("largest_square", self.scaling.to_pass(T), self.scaling.center)
        largest: Largest = yield from read
        return float(largest.value**0.5)

    def widest_row(self) -> Reads[float]:
        """Return the largest ``||x~_i||``, or a little more; one read of X."""
        largest: Largest = yield from self._read("widest_row", self.scaling.center, self.scaling.scale)
        return float((1.0 + largest.value) ** 0.5)

    def class_curvature(self, x: Array, dtype: Any = None) -> Reads[Array]:
        """Return ``sum_i s_i (diag(p_i) - p_i p_i')`` (K, K) at ``x``, p of ``dtype``; one read of X."""
        W = self._to_pass(x)
        dtype = self._with_room(W, dtype or self.source.dtype)
        products: ClassProducts = yield from self._read("class_curvature", W, self.scaling.center, dtype)
        return products.curvature

    @property
    def lost_digits(self) -> Array:
        """Factor by which each column's rounding error exceeds that of centred rows: ``1 + (mean / deviation)^2``.

        1 where rows are centred element by element.
        """
        left = self.source.uncentred(self.scaling.center)
        return np.ones(self.source.n_features) if left is None else 1.0 + (left / self.scaling.scale) ** 2

    def rounding(self, point: Point) -> Reads[Array]:
        """How far off the elements of a float64 gradient may be: four standard deviations of its sums, and more.

        In scaled coordinates the absolute values of each sum's terms add up to the weight at most, and to
        ``sqrt(2 F weight)``, because the residuals' squares add up to ``2 F`` at most (Pinsker's inequality). Where all
        rows are on their class's side, residuals are as small as losses: the terms then add up to F times the longest
        row, and err by as much as margins do, relative to themselves. Of rows that are centred by algebra they add up
        to more where a mean is large compared with its deviation. A read of X the first time that classes are
        separated.
        """
        lost = self.lost_digits
        size = np.append(np.sqrt(lost) + np.sqrt(lost - 1.0), 1.0)
        terms = min(self.weight, (2.0 * abs(point.value) * self.weight) ** 0.5)
        if point.smallest_margin > 0.0:
            if self._longest_row is None:
                self._longest_row = yield from self.widest_row()
            terms = min(terms, point.value * self._longest_row * (1.0 + point.smallest_margin))
        return np.asarray(_ROUNDINGS * _EPS * terms * np.repeat(size, self.shape[1]))

    def hess_below(self, x: Array, dtype: Any) -> Reads[Array | None]:
        """Return a matrix below the Hessian at ``x``, from the sample's rows alone; None where there is no sample.

        Each row's part of the Hessian is positive semidefinite, so that the sum over some rows is below that over all.
        A row of the sample counts for `Source.largest_share` rows at most: divided by it, it counts for itself.
        """
        if self.sample is None:
            return None
        alone = replace(self, source=self.sample, sample=None, n_passes=0)
        hess = (yield from alone.curvature_at(x, dtype)).hess
        assert hess is not None
        penalty = np.diag(self.smooth.curvature)
        return np.asarray((hess - penalty) / self.sample.largest_share + penalty)

    def mean_curvature(self, x: Array) -> Reads[tuple[Array, Array]]:
        """Return ``G = sum_i s_i x~_i x~_i'`` of the scaled columns, and the mean of ``diag(p) - p p'`` at ``x``.

        Shapes (n_features + 1, n_features + 1) and (K, K); products of X in the source's type. Two reads of X.
        """
        gram = yield from self._read("gram", self.scaling.center, self.source.dtype)
        S = (yield from self.class_curvature(x)) / self.weight
        scale = np.append(self.scaling.scale, 1.0)
        gram = gram / np.outer(scale, scale)
        if not self.fit_intercept:
            gram[-1] = gram[:, -1] = 0.0
            gram[-1, -1] = 1.0
        return gram, S

    def effective_rows(self) -> Reads[Array]:
        """Return how many rows tell of each column: ``(sum a)^2 / sum a^2`` with ``a = s (x - center)^2``.

        One read of X.
        """
        sums = yield from self._read("column_squares", self.scaling.center)
        return np.asarray(sums[0] ** 2 / np.where(sums[1] > 0.0, sums[1], 1.0))
