"""The penalised objective as a function of one flat vector: what a solver minimises."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastlogit.scaling import Scaling
from fastlogit.sources.protocol import Source, n_margins


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
    n_passes : int
        Reads of X so far.
    """

    source: Source
    scaling: Scaling
    C: float = 1.0
    fit_intercept: bool = True
    standardize: bool = False
    n_passes: int = 0

    def __post_init__(self) -> None:
        if not self.C > 0.0:
            raise ValueError(f"C={self.C}, but a positive number is needed (infinity for no penalty)")
        if not self.fit_intercept and np.any(self.scaling.center):
            raise ValueError("a scaling with a centre needs an intercept: use one that is not centred")
        strength = np.ones(self.source.n_features + 1) / self.C
        strength[-1] = 0.0
        if not self.standardize:
            strength[:-1] /= self.scaling.scale**2
        self._strength = strength[:, None]

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of W: (n_features + 1, K)."""
        return self.source.n_features + 1, n_margins(self.source.n_classes)

    def value_grad(self, u: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return ``F(u)`` and its gradient; one read of X."""
        U = u.reshape(self.shape)
        sums = self.source.loss_grad(self.scaling.to_pass(U), self.scaling.center)
        self.n_passes += 1
        grad = self.scaling.grad_from_pass(sums.grad) + self._strength * U
        if not self.fit_intercept:
            grad[-1] = 0.0
        return sums.loss_sum + 0.5 * float(np.sum(self._strength * U**2)), grad.ravel()
