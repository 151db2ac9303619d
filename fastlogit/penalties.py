"""Penalties: what is added to the losses, as a function of the coefficients.

A fit is given a `Penalty`, on coefficients of the data's own units. `Penalty.in_coordinates` gives what it is for the
flat vector that solvers move, and that is all that they and the objective know of it. A solver declares what it needs
of a penalty (`fastlogit.solvers.in_turn.SOLVERS`), a penalty what it offers.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fastlogit.scaling import Scaling

Array = NDArray[np.float64]

# Next to the rows' weight a penalty's second derivative of at most this tells next to nothing of scaled columns,
_WEAK = 1e-9
# and one of at most this is none: what is divided by it overflows.
_NONE = 1e-100


@dataclass(frozen=True)
class Quadratic:
    """``1/2 sum_j P_j sum_k x_jk^2`` for a flat vector x, the C order of (n_features + 1, K).

    Attributes
    ----------
    by_column : ndarray (n_features + 1,)
        P; the last, of the intercepts, is 0.
    K : int
        Margins a row.
    """

    by_column: Array
    K: int
    #: What a solver may need: a gradient, a constant second derivative, and bound D of `fastlogit.solvers.duality`.
    offers = frozenset({"gradient", "curvature", "duality"})

    @cached_property
    def curvature(self) -> Array:
        """The second derivative for each element of the flat vector."""
        return np.repeat(self.by_column, self.K)

    @property
    def is_none(self) -> bool:
        """Whether nothing is penalised: separated classes then have no finite optimum."""
        return not np.any(self.by_column)

    @property
    def is_coercive(self) -> bool:
        """Whether every coefficient is penalised: there is a finite optimum, and bound D exists."""
        return bool(self.by_column[:-1].min() > 0.0)

    def is_weak(self, weight: float) -> bool:
        """Tell whether there is no penalty, or one that tells next to nothing of scaled columns of this weight."""
        return float(self.by_column.max()) <= _WEAK * weight

    def value(self, x: Array) -> float:
        """Return the penalty of a flat vector."""
        return 0.5 * float(self.curvature * x @ x)

    def grad(self, U: Array) -> Array:
        """Return its gradient; ``U`` and the result are (n_features + 1, K)."""
        return self.by_column[:, None] * U

    def dual_square(self, g: Array) -> float:
        """Return ``sum_j g_j^2 / P_j`` over coefficients, infinity where one has no penalty.

        Half of it is the Fenchel gap of a point whose gradient is g where intercepts are optimal.
        """
        P = self.curvature[: -self.K]
        if not P.min() > 0.0:
            return np.inf
        with np.errstate(over="ignore"):  # of weak penalties it is infinite then, and says nothing
            return float(g[: -self.K] @ (g[: -self.K] / P))

    def plus(self, ridge: Array | float, weight: float) -> "Quadratic":
        """Return it with more on each column (n_features,), and with nothing where it is negligible next to weight."""
        P = self.by_column.copy()
        P[:-1] += ridge
        return replace(self, by_column=P if P.max() > _NONE * weight else np.zeros_like(P))


class Penalty(Protocol):
    """A penalty on coefficients of the data's own units."""

    @property
    def is_none(self) -> bool:
        """Whether nothing is penalised."""

    def in_coordinates(self, scaling: Scaling, K: int) -> Quadratic:
        """Return it for the coefficients of scaled columns, K margins a row.

        Raises
        ------
        ValueError
            If it overflows float64 there; the message names the column.
        """


@dataclass(frozen=True)
class Ridge:
    """``(1 / C) 1/2 ||w||^2``: the same for every column.

    Attributes
    ----------
    C : float
        Inverse strength, infinity for no penalty.
    standardize : bool
        Whether w are the coefficients of scaled columns.
    """

    C: float = 1.0
    standardize: bool = False

    def __post_init__(self) -> None:
        if not self.C > 0.0:
            raise ValueError(f"C={self.C}, but a positive number is needed (infinity for no penalty)")

    @property
    def is_none(self) -> bool:
        """Whether C is infinite."""
        return self.C == np.inf

    def in_coordinates(self, scaling: Scaling, K: int) -> Quadratic:
        """See `Penalty.in_coordinates`: P is ``1 / (C scale^2)``."""
        P = np.full(len(scaling.scale) + 1, 1.0 / self.C if self.C > 1e-308 else np.inf)
        P[-1] = 0.0
        if not self.standardize:
            with np.errstate(over="ignore", divide="ignore"):
                P[:-1] /= scaling.scale**2
        if not np.isfinite(P).all():
            column = int(np.flatnonzero(~np.isfinite(P))[0])
            raise ValueError(
                f"C={self.C} makes a penalty that overflows float64 in units of column {column}, whose deviation is "
                f"{scaling.scale[column]:.1e}: raise C or rescale the column"
            )
        return Quadratic(P, K)
