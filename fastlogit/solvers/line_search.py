"""Shorter steps where the whole one does not lower the objective: many at once, in one read of X."""

from typing import Any

import numpy as np

from fastlogit.objective import Array, Objective, Point

_STEPS = np.array([0.5, 0.25, 0.1, 0.03, 0.01, 1e-3, 1e-4, 1e-6, 1e-8])
_SUFFICIENT = 1e-4
_NOISE = 100.0


def is_lower(following: Point, point: Point, slope: float, dtype: Any = np.float64) -> bool:
    """Tell whether a point is sufficiently lower than the one before, as far as rounding in ``dtype`` lets one see.

    ``slope`` is ``g' step``, negative.
    """
    noise = _NOISE * float(np.finfo(dtype).eps) * abs(point.value)
    return following.value <= point.value + _SUFFICIENT * slope + noise


def shorter(objective: Objective, point: Point, step: Array) -> Array | None:
    """Return ``t step`` with the t, of some between 1/2 and 1e-8, at which the objective is lowest; one read of X.

    None if none lowers it.
    """
    values = objective.values_along(point.x, step, _STEPS)
    best = int(np.argmin(values))
    slope = float(point.grad @ step)
    lowered = values[best] < point.value + _SUFFICIENT * _STEPS[best] * slope
    return _STEPS[best] * step if lowered else None
