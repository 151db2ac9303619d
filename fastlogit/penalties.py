"""Penalties: functions of the coefficients that are added to the losses.

A fit takes a `Penalty`, on coefficients in the data's own units. `Penalty.in_coordinates` turns it into a function of
the flat vector of scaled coefficients, the only form that the objective and solvers know. A solver declares what it
needs of a penalty (`fastlogit.solvers.in_turn.SOLVERS`), a penalty what it offers.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fastlogit.scaling import Scaling

Array = NDArray[np.float64]

# Relative to the rows' weight, a second derivative of scaled coefficients up to this is weak,
_WEAK = 1e-9
# and one up to this counts as 0: quotients by it overflow.
_NONE = 1e-100


@dataclass(frozen=True)
class Quadratic:
    """``1/2 sum_j P_j sum_k x_jk^2`` of a flat vector x, (n_features + 1, K) in C order.

    Attributes
    ----------
    by_column : ndarray (n_features + 1,)
        P, not negative; its last element, for the intercepts, is 0.
    K : int
        Number of margins of a row.
    """

    by_column: Array
    K: int
    #: What solvers may need: a gradient, a constant second derivative, and bound D of `fastlogit.solvers.duality`.
    offers = frozenset({"gradient", "curvature", "duality"})

    @cached_property
    def curvature(self) -> Array:
        """The second derivative with respect to each element of the flat vector, (n,)."""
        return np.repeat(self.by_column, self.K)

    @property
    def is_none(self) -> bool:
        """Whether P is 0: for separated classes there is then no finite optimum."""
        return not np.any(self.by_column)

    @property
    def is_coercive(self) -> bool:
        """Whether every coefficient is penalised, so that there is a finite optimum, and bound D exists."""
        return bool(self.by_column[:-1].min() > 0.0)

    def is_weak(self, weight: float) -> bool:
        """Return whether P is at most 1e-9 of the rows' weight: zero, or negligible compared with the loss."""
        return float(self.by_column.max()) <= _WEAK * weight

    def value(self, x: Array) -> float:
        """Return the penalty of a flat vector (n,)."""
        return 0.5 * float(self.curvature * x @ x)

    def grad(self, U: Array) -> Array:
        """Return the gradient at ``U``, both (n_features + 1, K)."""
        return self.by_column[:, None] * U

    def dual_square(self, g: Array) -> float:
        """Return ``sum_jk g_jk^2 / P_j`` over coefficients for g (n,); infinity if one has no penalty.

        Half of it is the duality gap at a point whose gradient is g, if the intercepts are optimal.
        """
        P = self.curvature[: -self.K]
        if not P.min() > 0.0:
            return np.inf
        with np.errstate(over="ignore"):  # infinity, which bounds nothing, for a weak penalty
            return float(g[: -self.K] @ (g[: -self.K] / P))

    def plus(self, ridge: Array | float, weight: float) -> "Quadratic":
        """Return the penalty with ``ridge`` (n_features,) added to P, or 0 if that is at most 1e-100 of the weight."""
        P = self.by_column.copy()
        P[:-1] += ridge
        return replace(self, by_column=P if P.max() > _NONE * weight else np.zeros_like(P))


class Penalty(Protocol):
    """A penalty on coefficients w in the data's own units."""

    @property
    def is_none(self) -> bool:
        """Whether nothing is penalised."""

    def in_coordinates(self, scaling: Scaling, K: int) -> Quadratic:
        """Return the penalty as a function of scaled coefficients.

        Parameters
        ----------
        scaling : Scaling
            The coordinates: coefficients u of scaled columns, ``w = u / scale``.
        K : int
            Number of margins of a row.

        Raises
        ------
        ValueError
            If the result overflows float64; the message names the column.
        """


@dataclass(frozen=True)
class Ridge:
    """``(1 / C) 1/2 ||w||^2``: the same for every column.

    Attributes
    ----------
    C : float
        Inverse strength of the penalty, infinity for none.
    standardize : bool
        Whether w are the coefficients of standardised columns instead.
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
        """See `Penalty.in_coordinates`: P is ``1 / (C scale^2)``, or ``1 / C`` if ``standardize``."""
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
