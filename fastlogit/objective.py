"""The penalised objective as a function of one flat vector: what a solver minimises.

A method that reads X is a generator of `fastlogit.reads.Read`: ``point = yield from objective.at(x)`` in another
generator, ``run(objective.at(x))`` elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.hessians import Arrow, Dense, Hessian
from fastlogit.partitions import Partitions
from fastlogit.penalties import Array as Array
from fastlogit.penalties import Penalty, Quadratic, Ridge
from fastlogit.reads import Read, Reads
from fastlogit.scaling import Scaling
from fastlogit.sources.protocol import Source
from fastlogit.sources.sums import ArrowSums, ClassProducts, CurvatureSums, Largest, PassSums, n_margins

# With more effective rows than this a column's ridge on the sample falls faster.
_FEW_ROWS = 100.0
#: Above this size of coefficients margins in float32 may overflow.
LARGE = 1e30
# A deviation whose square, and that of rows a thousand times farther out, float32 can hold; so for its inverse.
_LARGE_COLUMN = 1e15
_EPS, _ROUNDINGS = float(np.finfo(np.float64).eps), 16.0


@dataclass(frozen=True)
class Point:
    """The objective at a flat vector.

    Attributes
    ----------
    x : ndarray (n,)
        The flat vector.
    value : float
        ``F(x)``.
    grad : ndarray (n,)
        Gradient of F.
    smallest_margin : float
        See `fastlogit.sources.sums.PassSums`.
    hess : Hessian or None
        Hessian of F (n, n), if it was computed.
    largest_norm : float
        The largest ``||x~_i||`` over rows of positive weight, if ``hess`` was computed, else NaN.
    """

    x: Array
    value: float
    grad: Array
    smallest_margin: float
    hess: Hessian | None = None
    largest_norm: float = float("nan")


@dataclass
class Objective:
    """``F(u) = sum_i s_i loss_i + penalty`` as a function of scaled coefficients u.

    The flat vector has n = (n_features + 1) K elements, those of ``U`` (n_features + 1, K) in C order: coefficients of
    scaled columns, intercepts in the last row. Intercepts are not penalised; without ``fit_intercept`` they are held
    at 0.
    ``x~`` is ``((x - center) / scale, 1)``.

    Attributes
    ----------
    source : Source
        The rows.
    scaling : Scaling
        The coordinates; as a preconditioner they do not change the minimum.
    penalty : Penalty
        Penalty on the coefficients in the data's own units.
    fit_intercept : bool
        Whether there are intercepts.
    weight : float
        ``sum_i s_i``, the scale of the Hessian's entries in scaled coordinates.
    sample : Source or None
        A sample of the rows, weighted to represent all of them.
    widest : float
        A bound on the largest ``||x~_i||``, infinity if none is known.
    n_passes : int
        Reads of X so far.
    leading : ndarray (L,) of int or None
        Columns whose block of the Hessian is diagonal, if the Hessian is to be an `Arrow`: its other parameters, m, are
        then what factorisations take.
    ridge : ndarray (n_features,) or float
        Further ridge penalty on scaled columns: see `on_sample`.
    smooth : Quadratic
        The penalty as a function of the flat vector.
    partitions : Partitions or None
        Directions along which the losses are constant.
    """

    source: Source
    scaling: Scaling
    penalty: Penalty = Ridge()
    fit_intercept: bool = True
    weight: float = 1.0
    sample: Source | None = None
    widest: float = float("inf")
    n_passes: int = 0
    leading: NDArray[np.int64] | None = None
    ridge: Array | float = 0.0
    smooth: Quadratic = field(init=False)
    partitions: Partitions | None = field(default=None, init=False)
    _longest_row: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if not self.fit_intercept and np.any(self.scaling.center):
            raise ValueError("a scaling with a centre needs an intercept: use one that is not centred")
        self.smooth = self.penalty.in_coordinates(self.scaling, self.shape[1]).plus(self.ridge, self.weight)
        if self.fit_intercept and self.source.steers_by_partitions:
            self.partitions = Partitions.of(self.source.partitions, self.scaling, self.smooth)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of W: (n_features + 1, K)."""
        return self.source.n_features + 1, n_margins(self.source.n_classes)

    @property
    def n_dense(self) -> int:
        """Number of parameters that a factorisation of the Hessian does not eliminate first."""
        size, K = self.shape
        return (size - (0 if self.leading is None else len(self.leading))) * K

    @property
    def is_weakly_penalized(self) -> bool:
        """Whether the penalty on scaled columns is zero, or negligible compared with the loss."""
        return self.smooth.is_weak(self.weight)

    def _read(self, operation: str, *args: Any) -> Reads[Any]:
        """Return an operation's sums over the source; one read of X, and the one place that counts reads."""
        sums = (yield Read(self.source, operation, args)).pop()
        self.n_passes += 1
        return sums

    def chosen(self, x: Array) -> Array:
        """Return the flat vector that has the least penalty of those with the same losses: see `partitions`."""
        return x if self.partitions is None else self.partitions.chosen_flat(x, self.shape[1])

    def within(self, solve: Callable[[Array], Array]) -> Callable[[Array], Array]:
        """Return an approximate inverse Hessian whose steps lead from `chosen` flat vectors to others."""
        return solve if self.partitions is None else self.partitions.within(solve, self.shape[1])

    def _to_pass(self, x: Array) -> Array:
        """Return the coefficients W of ``x - center`` that a pass takes, for the flat vector ``x``."""
        return self.scaling.to_pass(x.reshape(self.shape))

    @property
    def over_sample(self) -> "Objective | None":
        """The same objective over the sample alone, or None if there is no sample."""
        return None if self.sample is None else replace(self, source=self.sample, sample=None, n_passes=0)

    def on_sample(self) -> "Reads[Objective | None]":
        """Return `over_sample` as it is minimised; one read of the sample.

        Each column gets a ridge worth one of its effective rows, or less if it has more than 100: the coefficient of a
        rare level that occurs in the sample with one class only would otherwise go to infinity.
        """
        alone = self.over_sample
        if alone is None:
            return None
        rows = np.maximum((yield from alone.effective_rows()), 1.0)
        return replace(alone, ridge=0.25 * self.weight / rows * np.minimum(1.0, _FEW_ROWS / rows))

    def _grad(self, U: Array, grad: Array) -> Array:
        grad = self.scaling.grad_from_pass(grad) + self.smooth.grad(U)
        if grad.shape[1] > 1:  # residuals of softmax sum to 0: rounding alone would move all intercepts by one amount
            grad[-1] -= grad[-1].mean()
        if not self.fit_intercept:
            grad[-1] = 0.0
        return grad.ravel()

    def _point(self, x: Array, sums: PassSums, **more: Any) -> Point:
        value = sums.loss_sum + self.smooth.value(x)
        return Point(x, value, self._grad(x.reshape(self.shape), sums.grad), sums.smallest_margin, **more)

    def at(self, x: Array, dtype: Any = np.float64) -> Reads[Point]:
        """Return value and gradient at ``x`` (n,), computed in ``dtype``; one read of X."""
        W = self._to_pass(x)
        return self._point(x, (yield from self._read("loss_grad", W, self.scaling.center, self._with_room(W, dtype))))

    def _with_room(self, W: Array, dtype: Any) -> Any:
        """Return ``dtype``, or float64 if coefficients, and so margins, may overflow float32."""
        return np.float64 if np.abs(W).max() > LARGE else dtype

    def _with_room_for_products(self, dtype: Any) -> Any:
        """Return ``dtype``, or float64 if squares of columns in their own units may overflow or underflow float32."""
        scale = self.scaling.scale
        return dtype if 1.0 / _LARGE_COLUMN < scale.min() and scale.max() < _LARGE_COLUMN else np.float64

    def curvature_at(self, x: Array, dtype: Any = np.float64) -> Reads[Point]:
        """Return value, gradient and Hessian at ``x`` (n,), the products of the Hessian in ``dtype``; one read of X."""
        scaling, dtype = self.scaling, self._with_room_for_products(dtype)
        operation = "grad_hess" if self.leading is None else "grad_arrow"
        sums: CurvatureSums = yield from self._read(operation, self._to_pass(x), scaling.center, scaling.scale, dtype)
        return self._point(x, sums, hess=self._hess(sums), largest_norm=float(np.sqrt(sums.largest_square)))

    def _hess(self, sums: CurvatureSums) -> Hessian:
        """Return the Hessian (n, n) from its blocks of two classes."""
        size, K = self.shape
        hess: Hessian
        if isinstance(sums.hess, ArrowSums):
            scale = np.repeat(np.append(self.scaling.scale, 1.0), K)
            hess = Arrow.of(sums.hess, K, size - 1).scaled(1.0 / scale)
        else:
            hess = Dense.of(sums.hess / self.scaling.products, K)
        if not self.fit_intercept:
            hess = hess.without_intercepts(K)
        return hess.plus(self.smooth.curvature)

    def hess_vec(self, x: Array, v: Array, dtype: Any = None) -> Reads[Array]:
        """Return the Hessian at ``x`` times ``v``, both (n,); in ``dtype``, by default the source's; one read of X."""
        size = np.ldexp(1.0, np.frexp(np.abs(v).max())[1])  # a power of two, exact: v / size does not overflow float32
        W, V = self._to_pass(x), self._to_pass(v / size)
        dtype = self._with_room(W, dtype or self.source.dtype)
        product = yield from self._read("hess_vec", W, V, self.scaling.center, dtype)
        return self._grad(v.reshape(self.shape), size * product)

    def hess_diag(self, x: Array) -> Reads[Array]:
        """Return the Hessian's diagonal (n,) at ``x``; one read of X."""
        W = self._to_pass(x)
        read = self._read("hess_diag", W, self.scaling.center, self._with_room(W, self.source.dtype))
        diagonal = self.scaling.to_pass(self.scaling.to_pass((yield from read))) + self.smooth.by_column[:, None]
        if not self.fit_intercept:
            diagonal[-1] = 1.0  # as in `_hess`
        return np.asarray(diagonal.ravel())

    @property
    def hess_diag_at_zero(self) -> Array:
        """The Hessian's diagonal (n,) at 0, offsets and constant columns left out of account; no read of X.

        ``sum_i s_i ((x_ij - center_j) / scale_j)^2`` is the weight for every other column.
        """
        curvature = 1.0 / self.source.n_classes * (1.0 - 1.0 / self.source.n_classes)
        return np.asarray(curvature * self.weight + self.smooth.curvature)

    def values_along(self, x: Array, v: Array, steps: Array) -> Reads[Array]:
        """Return ``F(x + t v)`` for each t of ``steps``, of the shape of steps, in float64; one read of X."""
        arguments = self._to_pass(x), self._to_pass(v), self.scaling.center, steps, np.dtype(np.float64)
        losses = yield from self._read("losses_along", *arguments)
        return np.asarray(losses + [self.smooth.value(x + t * v) for t in steps])

    def largest_norm(self, T: Array) -> Reads[float]:
        """Return the largest ``||T' x~_i||`` over rows of positive weight, for T (n_features + 1, m); one read of X."""
        read = self._read("largest_square", self.scaling.to_pass(T), self.scaling.center)
        largest: Largest = yield from read
        return float(largest.value**0.5)

    def widest_row(self) -> Reads[float]:
        """Return the largest ``||x~_i||``, or up to 1e-4 of it more; one read of X."""
        largest: Largest = yield from self._read("widest_row", self.scaling.center, self.scaling.scale)
        return float((1.0 + largest.value) ** 0.5)

    def class_curvature(self, x: Array, dtype: Any = None) -> Reads[Array]:
        """Return ``sum_i s_i (diag(p_i) - p_i p_i')`` (K, K), p at ``x`` computed in ``dtype``; one read of X."""
        W = self._to_pass(x)
        dtype = self._with_room(W, dtype or self.source.dtype)
        products: ClassProducts = yield from self._read("class_curvature", W, self.scaling.center, dtype)
        return products.curvature

    @property
    def lost_digits(self) -> Array:
        """Factor (n_features,) by which a column's rounding error exceeds that of centred rows.

        ``1 + (mean / deviation)^2`` where rows are centred by algebra, 1 where elements are centred one by one.
        """
        left = self.source.uncentred(self.scaling.center)
        return np.ones(self.source.n_features) if left is None else 1.0 + (left / self.scaling.scale) ** 2

    def rounding(self, point: Point) -> Reads[Array]:
        """Return a bound (n,) on the rounding errors of a gradient in float64: at least four standard deviations.

        The bound is proportional to the sum of the absolute values of an element's terms. In scaled coordinates that is
        at most the weight, and at most ``sqrt(2 F weight)``, because the residuals' squares sum to at most ``2 F``
        (Pinsker's inequality). If every row is on its class's side, residuals are as small as losses: the sum is then
        at most F times the largest norm of a row, and the relative error of a term is that of a margin. For rows
        centred by algebra it is larger where a mean is large compared with its deviation.

        One read of X the first time that the classes are separated, else none.
        """
        lost = self.lost_digits
        size = np.append(np.sqrt(lost) + np.sqrt(lost - 1.0), 1.0)
        terms = min(self.weight, (2.0 * abs(point.value) * self.weight) ** 0.5)
        if point.smallest_margin > 0.0:
            if self._longest_row is None:
                self._longest_row = yield from self.widest_row()
            terms = min(terms, point.value * self._longest_row * (1.0 + point.smallest_margin))
        return np.asarray(_ROUNDINGS * _EPS * terms * np.repeat(size, self.shape[1]))

    def hess_below(self, x: Array, dtype: Any) -> Reads[Hessian | None]:
        """Return a lower bound (n, n) of the Hessian at ``x``, from the sample alone, or None if there is no sample.

        Each row's part of the Hessian is positive semidefinite, so that the sum over some rows is at most that over
        all, in the order of definiteness. A row of the sample stands for at most `Source.largest_share` rows: divided
        by it, no row counts more than once.
        """
        alone = self.over_sample
        if alone is None:
            return None
        hess = (yield from alone.curvature_at(x, dtype)).hess
        assert hess is not None
        penalty = self.smooth.curvature
        return hess.plus(-penalty).divided(alone.source.largest_share).plus(penalty)

    def mean_curvature(self, x: Array) -> Reads[tuple[Array, Array]]:
        """Return ``G = sum_i s_i x~_i x~_i'`` and the weighted mean of ``diag(p_i) - p_i p_i'`` at ``x``.

        Shapes (n_features + 1, n_features + 1) and (K, K); products in the source's type. Two reads of X.
        """
        gram = yield from self._read("gram", self.scaling.center, self._with_room_for_products(self.source.dtype))
        S = (yield from self.class_curvature(x)) / self.weight
        gram = gram / self.scaling.products
        if not self.fit_intercept:
            gram[-1] = gram[:, -1] = 0.0
            gram[-1, -1] = 1.0
        return gram, S

    def effective_rows(self) -> Reads[Array]:
        """Return each column's effective number of rows, ``(sum a)^2 / sum a^2`` with ``a = s (x - center)^2``.

        That is Kish's effective sample size with a for weights: 1 where one row has all of a column's variance. Shape
        (n_features,); one read of X.
        """
        sums = yield from self._read("column_squares", self.scaling.center)
        return np.asarray(sums[0] ** 2 / np.where(sums[1] > 0.0, sums[1], 1.0))
