"""Where Newton's methods start: near the minimum over a sample, which fits in the cache."""

from typing import Any

from fastlogit.objective import Array, Objective, Point
from fastlogit.reads import Reads
from fastlogit.solvers.duality import Within
from fastlogit.solvers.factor import Factor
from fastlogit.solvers.lbfgs import Pairs, lbfgs_descent
from fastlogit.solvers.line_search import lower_point
from fastlogit.solvers.quadratic_model import newton_step
from fastlogit.solvers.solution import SAMPLE_TOL, Record

_HESSIANS = 30
# A Hessian takes as long as several gradients: L-BFGS corrects it as long as each step leaves no more of the gap.
_PACE = 0.3


def newton_on_sample(smaller: Objective, x: Array, record: Record, dtype: Any) -> Reads[tuple[Point, Factor]]:
    """Minimise over a sample, to a relative gap of `SAMPLE_TOL`, with few Hessians.

    Parameters
    ----------
    smaller : Objective
        The objective over the sample.
    x : ndarray (n,)
        The start.
    record : Record
        That of the fit.
    dtype : dtype
        Type of the products of Hessians.

    Returns
    -------
    (Point, Factor)
        The last point, and the factorisation of its Hessian.
    """
    point, on_sample = (yield from smaller.curvature_at(x, dtype)), record.on_sample(smaller)
    for _ in range(_HESSIANS):
        assert point.hess is not None
        factor, step, _ = newton_step(point.hess.identified(smaller.shape[1]), point, smaller)
        slope = float(point.grad @ step)
        if point.smallest_margin > 0.0 or -0.5 * slope < SAMPLE_TOL * point.value:
            break
        following, _ = yield from lower_point(smaller, point, step, slope, smaller.at)
        if following is None:
            break
        within = Within(SAMPLE_TOL, _PACE)
        following, _, _ = yield from lbfgs_descent(smaller, following, Pairs.of(factor.solve), on_sample, within)
        point = yield from smaller.curvature_at(following.x, dtype)
    return point, factor
