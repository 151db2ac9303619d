"""Newton's method without a Hessian: conjugate gradients on Hessian-vector products solve for each step."""

from collections.abc import Callable
from functools import partial

import numpy as np

from fastlogit.objective import Array, Objective, Point
from fastlogit.reads import Reads
from fastlogit.solvers.duality import Ending, Within
from fastlogit.solvers.line_search import lower_point
from fastlogit.solvers.preconditioner import preconditioner
from fastlogit.solvers.solution import SAMPLE_TOL, Record, Solution, Status, better_start

# Most products for a step.
_PRODUCTS = 100
#: Largest residual of a step, relative to the gradient; it falls with the decrement.
_FORCING = 0.3
# Curvature up to this, relative to the preconditioner's, counts as 0.
_FLAT = 1e-20


def conjugate_gradients(
    multiply: Callable[[Array], Reads[Array]], precondition: Callable[[Array], Array], g: Array, tol: float
) -> Reads[tuple[Array, float]]:
    """Solve ``H d = -g`` by preconditioned conjugate gradients, with at most 100 products.

    Parameters
    ----------
    multiply, precondition : callable
        ``v -> H v``, a read of X each, and ``v -> M^-1 v``, for v (n,).
    g : ndarray (n,)
        The gradient.
    tol : float
        Relative residual to reach: ``||H d + g|| <= tol ||g||`` in the norm of ``M^-1``.

    Returns
    -------
    (ndarray (n,), float)
        d and ``g' d``, which is negative.

    Notes
    -----
    M. Hestenes and E. Stiefel, "Methods of conjugate gradients for solving linear systems" (1952). F is convex: a
    non-positive curvature is a rounding error or means that the model has no minimum. It ends the iteration, at the
    preconditioned gradient if it is the first.
    """
    d, r = np.zeros_like(g), -g
    z = precondition(r)
    p, first = z, float(r @ z)
    norm = first
    for _ in range(_PRODUCTS):
        product = yield from multiply(p)
        curvature = float(p @ product)
        if curvature <= _FLAT * norm:
            d = d if np.any(d) else p
            break
        step = norm / curvature
        d = d + step * p
        r = r - step * product
        z = precondition(r)
        norm, before = float(r @ z), norm
        if not tol**2 * first < norm < first / _FLAT:
            break
        p = z + (norm / before) * p
    slope = float(g @ d)
    return (d, slope) if slope < 0.0 else (precondition(-g), -first)  # not a descent direction, by rounding errors


def newton_cg_descent(
    objective: Objective, point: Point, precondition: Callable[[Array], Array], record: Record, ending: Ending | Within
) -> Reads[tuple[Point, float, Status | None]]:
    """Take Newton's steps until the ending or the record stops them, or no step lowers the objective.

    Parameters and result as in `fastlogit.solvers.lbfgs.lbfgs_descent`. The estimate is ``1/2 g' H^-1 g``, computed by
    conjugate gradients or with the preconditioner, whichever is larger; the history has the preconditioner's.
    """
    while True:
        rough = 0.5 * float(point.grad @ precondition(point.grad))
        stop = record.add(point, rough, "estimate")
        if (yield from ending.is_bounded(point, rough)) or stop is not None:
            return point, rough, stop
        tol = min(_FORCING, (2.0 * rough / max(point.value, 1e-300)) ** 0.25)
        multiply = partial(objective.hess_vec, point.x)
        step, slope = yield from conjugate_gradients(multiply, precondition, point.grad, tol)
        if -0.5 * slope > abs(point.value):  # impossible, no loss is negative: the curvature was a rounding error
            step, slope = -precondition(point.grad), -2.0 * rough
        estimate = max(rough, -0.5 * slope)
        if (yield from ending.gives_up(point, estimate)):
            return point, estimate, None
        if np.array_equal(point.x + step, point.x):  # the step is below rounding, and so would be all others
            return point, estimate, Status.STALLED
        following, _ = yield from lower_point(objective, point, step, slope, objective.at)
        if following is None:
            return point, estimate, Status.STALLED
        point = following


def newton_cg(objective: Objective, x0: Array, record: Record) -> Reads[Solution]:
    """Minimise by Newton's method without a Hessian, from the minimum over the sample.

    Parameters and result as in `fastlogit.solvers.solution.Solver`. The gap is bound D of `fastlogit.solvers.duality`
    if the penalty allows one, else the estimate of `newton_cg_descent`.

    Notes
    -----
    A read of X for each step's gradient, and one for each product. Memory: a few vectors (n,), and the
    preconditioner's.
    """
    smaller, x = (yield from objective.on_sample()), x0
    precondition = yield from preconditioner(smaller or objective, x)
    if smaller is not None:
        point, within = (yield from smaller.at(x)), Within(SAMPLE_TOL)
        descent = newton_cg_descent(smaller, point, precondition, record.on_sample(smaller), within)
        x = (yield from descent)[0].x
        precondition = yield from preconditioner(smaller, x)
        x = yield from better_start(objective, x0, x)
    ending, point = Ending(objective, record), (yield from objective.at(x))
    return ending.solution(*(yield from newton_cg_descent(objective, point, precondition, record, ending)))
