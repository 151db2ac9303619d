"""Where Newton's methods begin: near the minimum over a sample, which lies in the cache."""

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
    """Take Newton's steps over a sample, down to a tenth of what its own noise leaves of the whole.

    Parameters
    ----------
    smaller : Objective
        Over the sample's rows.
    x : ndarray (n,)
        Where to begin.
    dtype : dtype
        What the products of Hessians are computed in.
    near : float
        The relative gap from which on the next step is left to the caller.

    Returns
    -------
    (Point, Factor, ndarray or None)
        The last point, the factor of its Hessian, and the step from there where it is left to the caller.
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
