"""Columns that add up to 1 in every row, such as the levels of a category: what the losses cannot tell apart.

If the coefficients of such columns rise by one amount and the intercept falls by it, no margin changes. The penalty
alone decides then, or, where there is none, a convention. Solvers know that before they begin, and would otherwise
have to find out: along these directions the curvature is a thousandth of that elsewhere.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    """

    N: Array
    MN: Array

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
        return cls(N, M[:, None] * N)

    def chosen(self, U: Array) -> Array:
        """Return the coefficients with the same margins and the least norm in the metric, both (n_features + 1, K)."""
        return np.asarray(U - self.N @ ((self.MN.T @ U) / self._squares))

    def across(self, grad: Array) -> Array:
        """Return a gradient without the part along the directions, which is 0 at `chosen` coefficients to rounding."""
        return np.asarray(grad - self.MN @ ((self.N.T @ grad) / self._squares))

    @property
    def _squares(self) -> Array:
        return np.asarray(np.einsum("jq,jq->q", self.N, self.MN)[:, None])
