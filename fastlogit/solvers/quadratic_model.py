"""The quadratic model of the objective at a point: Newton's step, and what bounds A and P need."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastlogit.kernels.passes.curvature import HESS_ROWS
from fastlogit.objective import Array, Objective, Point
from fastlogit.reads import Reads
from fastlogit.solvers import certificates
from fastlogit.solvers.factor import DenseFactor, Factor

_ROUNDINGS = 2.0 * HESS_ROWS**0.5  # with u = eps / 2, four standard deviations
#: Damping begins at this share of the rows' weight, and grows a hundredfold.
_FIRST_DAMPING = 1e-8
#: With more classes the exact radius would take more than ten reads.
_PAIRED_CLASSES = 5
#: Where the Hessian is singular, the share of the gradient that may lie in directions in which it is 0.
_LOST = 1e-6


@dataclass(frozen=True)
class Model:
    """The quadratic model at a point: its step, and what the certificates need.

    The true Hessian is at least ``sure`` times the computed one.
    """

    factor: Factor
    step: Array
    decrement: float
    error: float
    radius: float
    sure: float = 1.0

    @classmethod
    def at(cls, objective: Objective, point: Point, dtype: Any) -> "Reads[Model]":
        """Return the model at a point whose Hessian's products were computed in ``dtype``."""
        assert point.hess is not None
        K = objective.shape[1]
        H = identified(point.hess, K)
        factor, step, damping = newton_step(H, point.grad, point.value, objective.weight)
        step -= factor.solve(point.grad + H @ step) if damping == 0.0 else 0.0  # refined: bound P needs H d = -g
        residual = point.grad + H @ step
        decrement = max(float(step @ (H @ step)), 0.0) ** 0.5
        # An entry's rounding, of the square root of its two diagonal entries: the true Hessian is at least (1 - doubt)
        # times this one. Within a tile, where float32 may be the type, some square root of its rows matter (N. Higham
        # and T. Mary, "A new approach to probabilistic rounding error analysis", SIAM J. Sci. Comput. 41 (2019)).
        doubt = _ROUNDINGS * float(np.finfo(dtype).eps) * len(H) / max(factor.smallest, 1e-300)
        doubt *= float(objective.lost_digits.max())
        error = factor.norm_bound(residual) + factor.norm_bound((yield from objective.rounding(point)))
        if damping > 0.0 or _leaves_out(factor, residual, point.grad) or not doubt < 0.5:
            return cls(factor, step, decrement, np.inf, np.inf)
        sure = (1.0 - doubt) ** 0.5
        radius = point.largest_norm * float(factor.scale.max()) / factor.smallest**0.5 * (1.0 if K == 1 else 2.0**0.5)
        error = (error + 2.0 * doubt * decrement) / sure
        return cls(factor, step, decrement / sure + error, error, radius / sure, 1.0 - doubt)

    def with_exact_radius(self, objective: Objective) -> "Reads[Model]":
        """Return the model with the exact R, which the cheap one may exceed a thousandfold.

        One read of X; for softmax one for each pair of classes, where they are few.
        """
        K = objective.shape[1]
        if K > _PAIRED_CLASSES or not np.isfinite(self.radius):
            return self
        root = self.factor.inverse_root.reshape(*objective.shape, -1)
        differences = (root[:, k] - root[:, m] for k in range(K) for m in range(k)) if K > 1 else (root[:, 0],)
        norms = []
        for difference in differences:
            norms.append((yield from objective.largest_norm(difference)))
        return replace(self, radius=max(norms) / self.sure**0.5)

    def gap(self) -> tuple[float, str]:
        """Return a bound on the gap at the point, or an estimate."""
        bound = certificates.at_point(self.decrement, self.radius)
        return (bound, "A") if np.isfinite(bound) else (0.5 * self.decrement**2, "estimate")

    def stepped(self, point: Point) -> Point:
        """Return the point after the step from ``point``, its value by the model."""
        value = point.value + 0.5 * float(point.grad @ self.step)
        return Point(point.x + self.step, value, point.grad, point.smallest_margin)

    def gap_after_step(self) -> float:
        """Return a bound on the gap at the point after the step, infinity where there is none."""
        return certificates.after_step(self.decrement, self.radius, self.error)


def newton_step(H: Array, g: Array, value: float, weight: float) -> tuple[Factor, Array, float]:
    """Return the factor of ``H + damping I``, the step ``-(H + damping I)^-1 g``, and the damping.

    The gap cannot be larger than the value, because no loss is negative. A model that promises more is far outside of
    where it holds (margins so large that their curvature vanished): it is damped until it promises less. So is one
    that leaves out a direction of no curvature at all in which there is a gradient.
    """
    damping = 0.0
    while True:
        factor = DenseFactor.of(H + damping * np.eye(len(H)) if damping else H)
        step = -factor.solve(g)
        lost = damping == 0.0 and _leaves_out(factor, g + H @ step, g)
        if (-0.5 * float(g @ step) <= value and not lost) or damping > weight:
            return factor, step, damping
        damping = max(_FIRST_DAMPING * weight, 100.0 * damping)


def _leaves_out(factor: Factor, residual: Array, g: Array) -> bool:
    """Tell whether a step leaves out directions in which there is a gradient."""
    return factor.is_singular and bool(np.abs(residual).max() > _LOST * np.abs(g).max())


def identified(H: Array, K: int) -> Array:
    """Give the directions in which all classes move alike, along which softmax is constant, a curvature of their own.

    The gradient has no part in them, so that no step does.
    """
    if K == 1:
        return H
    H = H.copy()
    blocks = H.reshape(len(H) // K, K, len(H) // K, K)
    features = range(len(H) // K)
    blocks[features, :, features, :] += np.diag(H).reshape(-1, K).mean(axis=1)[:, None, None] / K
    return H
