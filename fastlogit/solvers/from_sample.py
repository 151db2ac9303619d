"""Where Newton's methods start: near the minimum over a sample, which fits in the cache."""

from functools import partial
from typing import Any

from fastlogit.objective import Array, Objective, Point
from fastlogit.reads import Reads
from fastlogit.solvers.factor import Factor
from fastlogit.solvers.line_search import lower_point
from fastlogit.solvers.quadratic_model import identified, newton_step
from fastlogit.solvers.solution import SAMPLE_TOL

_STEPS = 30


def newton_on_sample(
    smaller: Objective, x: Array, dtype: Any, near: float = 0.0
) -> Reads[tuple[Point, Factor, Array | None]]:
    """Take Newton's steps on a sample, to a relative gap of `SAMPLE_TOL`.

    Parameters
    ----------
    smaller : Objective
        The objective over the sample.
    x : ndarray (n,)
        The start.
    dtype : dtype
        Type of the products of Hessians.
    near : float
        Relative gap below which the next step is left to the caller.

    Returns
    -------
    (Point, Factor, ndarray or None)
        The last point, the factorisation of its Hessian, and the step from there if it is left to the caller.
    """
    evaluate = partial(smaller.curvature_at, dtype=dtype)
    point = yield from evaluate(x)
    for _ in range(_STEPS):
        assert point.hess is not None
        H = identified(point.hess, smaller.shape[1])
        factor, step, _ = newton_step(H, point.grad, point.value, smaller.weight)
        slope = float(point.grad @ step)
        if point.smallest_margin > 0.0 or -0.5 * slope < SAMPLE_TOL * point.value:
            break
        if -0.5 * slope < near * point.value:
            return point, factor, step
        following, _ = yield from lower_point(smaller, point, step, slope, evaluate)
        if following is None:
            break
        point = following
    return point, factor, None
