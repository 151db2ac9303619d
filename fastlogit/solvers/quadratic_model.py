"""The quadratic model of the objective at a point: Newton's step, and the inputs of bounds A and P."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastlogit.hessians import Hessian
from fastlogit.kernels.passes.curvature import HESS_ROWS
from fastlogit.objective import Array, Objective, Point
from fastlogit.reads import Reads
from fastlogit.solvers import certificates
from fastlogit.solvers.factor import Factor, factorised

_ROUNDINGS = 2.0 * HESS_ROWS**0.5  # in units of eps: four standard deviations
#: Damping starts at this share of the rows' weight, and is multiplied by 100 as often as necessary.
_FIRST_DAMPING = 1e-8
#: Up to this relative gap, estimated without a bound, the exact radius is computed.
NEAR = 1e-10
#: For more classes the exact radius would take more than ten reads.
_PAIRED_CLASSES = 5
#: Largest share of the gradient in directions in which a singular Hessian is 0.
_LOST = 1e-6


@dataclass(frozen=True)
class Model:
    """The quadratic model at a point, with allowance for rounding errors in the last four values.

    Attributes
    ----------
    factor : Factor
        The factorised Hessian, or damped Hessian: see `newton_step`.
    step : ndarray (n,)
        Newton's step d.
    decrement : float
        lambda of `fastlogit.solvers.certificates`, from above.
    error : float
        Norm of ``g + H d`` in that of ``H^-1``, from above; infinity if there is no bound.
    radius : float
        R of `fastlogit.solvers.certificates`; infinity if there is no bound.
    sure : float
        The true Hessian is at least this share of the computed one.
    """

    factor: Factor
    step: Array
    decrement: float
    error: float
    radius: float
    sure: float = 1.0

    @classmethod
    def at(cls, objective: Objective, point: Point, dtype: Any) -> "Reads[Model]":
        """Return the model at a point whose Hessian has products of ``dtype``; reads of X as `Objective.rounding`."""
        assert point.hess is not None
        K = objective.shape[1]
        H = point.hess.identified(K)
        factor, step, damping = newton_step(H, point, objective)
        step -= factor.solve(point.grad + H @ step) if damping == 0.0 else 0.0  # refined: bound P needs H d = -g
        residual = point.grad + H @ step
        decrement = max(float(step @ (H @ step)), 0.0) ** 0.5
        radius = point.largest_norm * float(factor.scale.max()) * (1.0 if K == 1 else 2.0**0.5)
        if decrement * radius >= 1.0 and 0.5 * decrement**2 > NEAR * abs(point.value):
            # the bound on R is larger still
            return cls(factor, step, decrement, np.inf, np.inf)
        # The true Hessian is at least (1 - doubt) times this one. An entry's rounding error is proportional to the root
        # of the product of its two diagonal entries, and to the square root of the number of rows that are added in
        # dtype, those of a tile (N. Higham and T. Mary, "A new approach to probabilistic rounding error analysis",
        # SIAM J. Sci. Comput. 41 (2019)).
        doubt = _ROUNDINGS * float(np.finfo(dtype).eps) * factor.size / max(factor.smallest, 1e-300)
        doubt *= float(objective.lost_digits.max())
        error = factor.norm_bound(residual) + factor.norm_bound((yield from objective.rounding(point)))
        if damping > 0.0 or _leaves_out(factor, residual, point.grad) or not doubt < 0.5:
            return cls(factor, step, decrement, np.inf, np.inf)
        sure = (1.0 - doubt) ** 0.5
        error = (error + 2.0 * doubt * decrement) / sure
        radius /= factor.smallest**0.5 * sure
        return cls(factor, step, decrement / sure + error, error, radius, 1.0 - doubt)

    def with_exact_radius(self, objective: Objective) -> "Reads[Model]":
        """Return the model with the exact R: the bound on it in `at` may be a thousand times larger.

        One read of X, for softmax one for each pair of classes. With more than five classes, or a category eliminated,
        the model is unchanged.
        """
        K, root = objective.shape[1], None
        if K <= _PAIRED_CLASSES and np.isfinite(self.radius):
            root = self.factor.inverse_root
        if root is None:
            return self
        root = root.reshape(*objective.shape, -1)
        differences = (root[:, k] - root[:, m] for k in range(K) for m in range(k)) if K > 1 else (root[:, 0],)
        norms = []
        for difference in differences:
            norms.append((yield from objective.largest_norm(difference)))
        return replace(self, radius=max(norms) / self.sure**0.5)

    def gap(self) -> tuple[float, str]:
        """Return bound A on the gap at the point and "A", or an estimate and "estimate"."""
        bound = certificates.at_point(self.decrement, self.radius)
        return (bound, "A") if np.isfinite(bound) else (0.5 * self.decrement**2, "estimate")

    def stepped(self, point: Point) -> Point:
        """Return the end of the step from ``point``, with the model's value and the gradient of ``point``."""
        value = point.value + 0.5 * float(point.grad @ self.step)
        return Point(point.x + self.step, value, point.grad, point.smallest_margin)

    def gap_after_step(self) -> float:
        """Return bound P on the gap after the step, or infinity."""
        return certificates.after_step(self.decrement, self.radius, self.error)


def newton_step(H: Hessian, point: Point, objective: Objective) -> tuple[Factor, Array, float]:
    """Return the factorised ``H + damping I``, the step ``-(H + damping I)^-1 g`` (n,) at a point, and the damping.

    The gap is at most the value, because no loss is negative. A model that predicts a larger fall is not valid over the
    whole step (margins are so large that their curvature vanished): it is damped until it predicts less. So is a model
    in which a direction with a gradient has no curvature.
    """
    damping, g, value, weight = 0.0, point.grad, point.value, objective.weight
    while True:
        factor = factorised(H.plus(damping)) if damping else factorised(H, objective.partitions)
        step = -factor.solve(g)
        lost = damping == 0.0 and _leaves_out(factor, g + H @ step, g)
        if (-0.5 * float(g @ step) <= value and not lost) or damping > weight:
            return factor, step, damping
        damping = max(_FIRST_DAMPING * weight, 100.0 * damping)


def _leaves_out(factor: Factor, residual: Array, g: Array) -> bool:
    """Return whether the gradient has a part in directions that a singular Hessian leaves out."""
    return factor.is_singular and bool(np.abs(residual).max() > _LOST * np.abs(g).max())
