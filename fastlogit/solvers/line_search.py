"""A step, or a part of it where the whole one does not lower the objective: many parts at once, in one read of X."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastlogit.objective import Array, Objective, Point
from fastlogit.reads import Reads

_STEPS = np.array([0.5, 0.25, 0.1, 0.03, 0.01, 1e-3, 1e-4, 1e-6, 1e-8])
_SUFFICIENT = 1e-4
_NOISE = 100.0


def _is_lower(following: Point, point: Point, slope: float, dtype: Any) -> bool:
    """Tell whether a point is sufficiently lower than the one before, as far as rounding in ``dtype`` lets one see."""
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
    """Return a point along ``step`` at which the objective is lower, and whether it is the end of the whole step.

    Parameters
    ----------
    objective, point, step
        What to lower, where to begin, and the step (n,).
    slope : float
        The objective's derivative along the step, negative.
    evaluate : callable
        ``x -> Reads[Point]`` at the end of the whole step.
    shortened : callable, optional
        The same at the end of a shorter one; by default ``evaluate``.
    dtype : dtype
        What ``evaluate`` computes in.
    learn : callable, optional
        Is told a step that fails, and the change of the gradient along it.

    Returns
    -------
    (Point or None, bool)
        No point where none of some parts of the step, from 1/2 to 1e-8, lowers the objective.
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
