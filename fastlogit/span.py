"""Coordinates in the span of the rows, which contains the minimum, for data of more columns than rows."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fastlogit.cholesky import pivoted
from fastlogit.objective import Array, Objective
from fastlogit.penalties import Ridge
from fastlogit.scaling import Scaling

# Relative size, for each row, of pivots that are rounding errors.
_SINGULAR = 4.0 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Span:
    """An objective over coefficients in the span of the rows, and the maps to and from it.

    Let P be the penalty's second derivative (1 without a penalty), ``A = ((x - center) / scale) P^-1/2``, of shape
    (n_samples, n_features), and ``A A' = L L'`` its pivoted Cholesky factorisation, with pivots in rows p. The
    coefficients ``P^-1/2 A_p' L_p^-T t`` have margins ``L t + b`` and the penalty ``1/2 ||t||^2``, and no coefficients
    with the same margins have a smaller penalty.

    Attributes
    ----------
    whole, inner : Objective
        Over all coefficients, and over those in the span, (rank + 1, K).
    metric : ndarray (n_features,)
        P.
    factor : ndarray (rank, rank)
        ``L_p``, lower triangular.
    pivots : ndarray (rank,) of int
        The rows p.
    """

    whole: Objective
    inner: Objective
    metric: Array
    factor: Array
    pivots: NDArray[np.intp]
    _left: dict[int, tuple[Array, Array]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, whole: Objective) -> "Span":
        """Return the span of an objective's rows; one read of X."""
        is_free = not whole.smooth.is_coercive
        metric = np.ones(whole.source.n_features) if is_free else whole.smooth.by_column[:-1]
        products = whole.source.row_products(whole.scaling.center, (metric**0.5 * whole.scaling.scale) ** -2.0)
        whole.n_passes += 1
        L, pivots = pivoted(products, _SINGULAR * len(products) * float(np.diag(products).max()))
        inner = Objective(
            *(whole.source.with_rows(L), Scaling.none(L.shape[1])),
            Ridge(np.inf if is_free else 1.0),
            fit_intercept=whole.fit_intercept,
            weight=whole.weight,
            n_passes=whole.n_passes,
        )
        factor = L[pivots] if np.any(L) else np.eye(1)  # all rows are equal: one coefficient without effect
        return cls(whole, inner, metric, factor, pivots)

    def enter(self, x: Array) -> Array:
        """Return the point t of the span that has the margins of ``x`` (n,); one read of X unless x is 0."""
        from scipy.linalg import solve_triangular

        inner, whole = np.zeros(self.inner.shape), self.whole
        if np.any(x):
            W = whole.scaling.to_pass(x.reshape(whole.shape))
            margins = whole.source.margins(W, whole.scaling.center)[self.pivots] - W[-1]
            inner[:-1], inner[-1] = solve_triangular(self.factor, margins, lower=True, check_finite=False), W[-1]
            whole.n_passes += 1
        return inner.ravel()

    def leave(self, t: Array) -> Array:
        """Return the coefficients (n,) of a point t of the span; one read of X, none for the array of the last call."""
        from scipy.linalg import solve_triangular

        if id(t) in self._left:
            return self._left[id(t)][1]
        inner, whole = t.reshape(self.inner.shape), self.whole
        U = np.empty(whole.shape)
        shares = solve_triangular(self.factor, inner[:-1], lower=True, trans="T", check_finite=False)
        U[:-1] = whole.source.combination(whole.scaling.center, self.pivots, shares)
        U[:-1] = U[:-1] / self.metric[:, None] / whole.scaling.scale[:, None]  # one by one: their product may overflow
        U[-1] = inner[-1]
        whole.n_passes += 1
        self._left.clear()
        self._left[id(t)] = t, U.ravel()  # t is kept, so that no other array has its id
        return U.ravel()
