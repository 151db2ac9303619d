"""Centres and scales of the columns: a change of coordinates, never a copy of X."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.kernels.storages.storage import margins_at
from fastlogit.sources.sums import Moments


@dataclass(frozen=True)
class Scaling:
    """The map between coefficients in the data's own units and those of standardised columns.

    With ``x' = (x - center) / scale`` the margin ``x' u + a`` equals ``x w + b`` for ``w = u / scale`` and
    ``b = a - center w``.

    Attributes
    ----------
    center : ndarray (n_features,)
        Exactly representable in the computing type.
    scale : ndarray (n_features,)
        Positive; 1 for a constant column.
    """

    center: NDArray[np.float64]
    scale: NDArray[np.float64]

    @cached_property
    def products(self) -> NDArray[np.float64]:
        """Products of two columns' scales, that of the intercept being 1: (n_features + 1, n_features + 1)."""
        scale = np.append(self.scale, 1.0)
        return np.outer(scale, scale)

    @classmethod
    def standard(
        cls,
        moments: Moments,
        dtype: Any,
        *,
        centered: bool = True,
        except_of: NDArray[np.int64] | None = None,
    ) -> "Scaling":
        """Return the scaling to mean 0 and deviation 1 or, not ``centered``, to mean square 1.

        The latter is for models without an intercept: centring would change them, and a constant column counts.
        Columns ``except_of`` are not centred, but are divided by their deviation too.
        """
        if centered:
            center = moments.mean.astype(dtype).astype(np.float64)
            if except_of is not None:
                center[except_of] = 0.0
            spread = np.sqrt(moments.variance)
        else:
            center = np.zeros_like(moments.mean)
            spread = np.sqrt(moments.squares / moments.weight + moments.mean**2)
        return cls(center, np.where(spread > 0.0, spread, 1.0))

    @classmethod
    def none(cls, n_features: int) -> "Scaling":
        """Return the identity."""
        return cls(np.zeros(n_features), np.ones(n_features))

    def to_pass(self, U: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the coefficients of ``x - center`` from those of scaled columns, both (n_features + 1, m)."""
        W = np.empty_like(U)
        np.divide(U[:-1], self.scale[:, None], out=W[:-1])
        W[-1] = U[-1]
        return W

    def grad_from_pass(self, grad: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the gradient with respect to ``U`` from that with respect to ``to_pass(U)``."""
        return self.to_pass(grad)

    def to_data(self, U: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the coefficients of ``x`` itself from those of scaled columns."""
        W = self.to_pass(U)
        W[-1] -= margins_at(self.center, W[:-1])
        return W

    def from_data(self, W: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the coefficients of scaled columns from those of ``x`` itself."""
        U = W.copy()
        U[-1] += margins_at(self.center, W[:-1])
        U[:-1] *= self.scale[:, None]
        return U
