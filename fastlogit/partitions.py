"""Columns that add up to 1 in every row, such as the levels of a category: what the losses cannot tell apart.

If the coefficients of such columns rise by one amount and the intercept falls by it, no margin changes. The penalty
alone decides then, or, where there is none, a convention. Solvers know that before they begin, and would otherwise
have to find out: along these directions the curvature is a thousandth of that elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastlogit.hessians import Dense
from fastlogit.penalties import Array, Quadratic
from fastlogit.scaling import Scaling


@dataclass(frozen=True)
class Partitions:
    """Directions N in scaled coefficients along which the losses are constant, and a metric M that chooses among them.

    Attributes
    ----------
    N : ndarray (n_features + 1, q)
        A direction for each set of columns that add up to 1.
    MN : ndarray (n_features + 1, q)
        The directions times the metric; ``N' M N`` is diagonal, since no column is in two sets.
    is_penalized : bool
        Whether the metric is the penalty.
    """

    N: Array
    MN: Array
    is_penalized: bool

    @classmethod
    def of(cls, sets: list[NDArray[np.int64]], scaling: Scaling, penalty: Quadratic) -> "Partitions | None":
        """Return the directions of a model with intercepts; None if there are none.

        The metric is the penalty, so that at `chosen` coefficients that is as small as possible. Without a penalty it
        makes coefficients in the data's own units add up to 0, weighted by how many rows they are of.
        """
        # the deviation of zeros and ones is at most 1/2; a constant column's scale is 1, and its coefficient 0
        sets = [members for each in sets if len(members := each[scaling.scale[each] != 1.0])]
        if not sets:
            return None
        N, M = np.zeros((len(scaling.scale) + 1, len(sets))), penalty.by_column
        if penalty.is_none:
            M = np.append(scaling.center / scaling.scale**2, 0.0)
        for column, members in zip(N.T, sets, strict=True):
            column[members] = scaling.scale[members]
            column[-1] = scaling.center[members].sum() - 1.0
        return cls(N, M[:, None] * N, not penalty.is_none)

    def chosen(self, U: Array) -> Array:
        """Return the coefficients with the same margins and the least norm in the metric, both (n_features + 1, K)."""
        return np.asarray(U - self.N @ ((self.MN.T @ U) / self._squares))

    def parts(self, g: Array, K: int) -> tuple[Array, Array]:
        """Return the step along the directions that a gradient, a flat vector, asks for, and the gradient's other part.

        Without a penalty a gradient has no part along them, but for rounding: the step is 0.
        """
        G = g.reshape(len(self.N), K)
        along = (self.N.T @ G) / self._squares
        if K > 1:  # equal changes of all classes are nobody's step; `Hessian.identified` has its own curvature there
            along -= along.mean(axis=1, keepdims=True)
        step = self.N @ along if self.is_penalized else np.zeros_like(G)
        return step.ravel(), (G - self.MN @ along).ravel()

    def chosen_flat(self, x: Array, K: int) -> Array:
        """Return `chosen` of a flat vector."""
        return self.chosen(x.reshape(len(self.N), K)).ravel()

    def within(self, solve: Callable[[Array], Array], K: int) -> Callable[[Array], Array]:
        """Return an approximate inverse Hessian, a function of a flat vector, within `chosen` coefficients."""
        return lambda g: self.chosen_flat(solve(self.parts(g, K)[1]), K)

    def identified(self, hess: Dense, K: int) -> Dense:
        """Return the Hessian (n, n) with about its mean curvature along the directions, and unchanged across them."""
        V = self.MN / self._squares[:, 0] * np.sqrt(np.einsum("jq,jq->q", self.N, self.N))
        H = hess.matrix.copy()
        blocks = H.reshape(len(V), K, len(V), K)
        for k in range(K):
            curvature = blocks[:, k, :, k].diagonal() @ self.N**2 / np.einsum("jq,jq->q", self.N, self.N)
            blocks[:, k, :, k] += (V * curvature) @ V.T
        return Dense(H)

    @property
    def _squares(self) -> Array:
        return np.asarray(np.einsum("jq,jq->q", self.N, self.MN)[:, None])
