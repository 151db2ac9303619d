"""A line search: the whole step or, if that does not lower the objective, the best of several shares of it.

All shares are evaluated in one read of X.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastlogit.objective import Array, Objective, Point
from fastlogit.reads import Reads

_STEPS = np.array([0.5, 0.25, 0.1, 0.03, 0.01, 1e-3, 1e-4, 1e-6, 1e-8])
_SUFFICIENT = 1e-4
_NOISE = 100.0


def _is_lower(following: Point, point: Point, slope: float, dtype: Any) -> bool:
    """Return whether a point is sufficiently lower than the one before (Armijo's rule), up to rounding in ``dtype``."""
    noise = _NOISE * float(np.finfo(dtype).eps) * abs(point.value)
    return following.value <= point.value + _SUFFICIENT * slope + noise


def lower_point(
    objective: Objective,
    point: Point,
    step: Array,
    slope: float,
    evaluate: Callable[[Array], Reads[Point]],
    *,
    shortened: Callable[[Array], Reads[Point]] | None = None,
    dtype: Any = np.float64,
    learn: Callable[[Array, Array], None] | None = None,
) -> Reads[tuple[Point | None, bool]]:
    """Find a point along a step at which the objective is lower.

    Parameters
    ----------
    objective, point : Objective, Point
        What to minimise, and the start.
    step : ndarray (n,)
        The whole step.
    slope : float
        Derivative of the objective along the step, negative.
    evaluate : callable
        ``x -> Reads[Point]``, called at the end of the whole step.
    shortened : callable, optional
        The same for the end of a shorter step; by default ``evaluate``.
    dtype : dtype
        Type in which ``evaluate`` computes.
    learn : callable, optional
        Called with the whole step and the change of the gradient along it if the step fails.

    Returns
    -------
    (Point or None, bool)
        The point, and whether it is the end of the whole step. None if neither the step nor any of nine shares of it,
        from 1/2 to 1e-8, lowers the objective.

    Notes
    -----
    Reads of X: one; up to three if the whole step fails.
    """
    following = yield from evaluate(point.x + step)
    if _is_lower(following, point, slope, dtype):
        return following, True
    if learn is not None:
        learn(step, following.grad - point.grad)
    values = yield from objective.values_along(point.x, step, _STEPS)
    best = int(np.argmin(values))
    slope = float(point.grad @ step)
    if not values[best] < point.value + _SUFFICIENT * _STEPS[best] * slope:
        return None, False
    return (yield from (shortened or evaluate)(point.x + _STEPS[best] * step)), False
