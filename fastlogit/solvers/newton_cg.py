"""Newton's method without a Hessian: each step is solved by conjugate gradients on Hessian-vector products."""

from collections.abc import Callable
from functools import partial

import numpy as np

from fastlogit.objective import Array, Objective, Point
from fastlogit.reads import Reads
from fastlogit.solvers.duality import Ending, Within
from fastlogit.solvers.line_search import lower_point
from fastlogit.solvers.preconditioner import preconditioner
from fastlogit.solvers.solution import SAMPLE_TOL, Record, Solution, Status, better_start

_PRODUCTS = 100
#: The residual of a step, relative to the gradient, is at most this, and falls with the decrement.
_FORCING = 0.3
# Less curvature than this, relative to the preconditioner's, is none.
_FLAT = 1e-20


def conjugate_gradients(
    multiply: Callable[[Array], Reads[Array]], precondition: Callable[[Array], Array], g: Array, tol: float
) -> Reads[tuple[Array, float]]:
    """Return d with ``||H d + g|| <= tol ||g||``, in the preconditioner's norm, and ``g' d``; 100 products at most.

    Parameters
    ----------
    multiply, precondition : callable
        ``v -> H v``, a read of X each, and ``v -> M^-1 v``.
    g : ndarray (n,)
        The gradient.
    tol : float
        Where to stop.

    Notes
    -----
    M. Hestenes and E. Stiefel, "Methods of conjugate gradients for solving linear systems" (1952). What is not convex
    is rounding, and where there is no curvature the model has no minimum: it ends the iteration, at the preconditioned
    gradient where it is the first.
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
    return (d, slope) if slope < 0.0 else (precondition(-g), -first)  # no way down: rounding took over


def descend(
    objective: Objective, point: Point, precondition: Callable[[Array], Array], record: Record, ending: Ending | Within
) -> Reads[tuple[Point, float, Status | None]]:
    """Take Newton's steps from ``point`` until the ending says so, or nothing is gained.

    Returns as `fastlogit.solvers.lbfgs.descend`. The estimate is half the decrement, ``1/2 g' H^-1 g``, as conjugate
    gradients find it, or as the preconditioner has it, the larger; the history has the preconditioner's.
    """
    while True:
        rough = 0.5 * float(point.grad @ precondition(point.grad))
        stop = record.add(point, rough, "estimate")
        if (yield from ending.is_bounded(point, rough)) or stop is not None:
            return point, rough, stop
        tol = min(_FORCING, (2.0 * rough / max(point.value, 1e-300)) ** 0.25)
        multiply = partial(objective.hess_vec, point.x)
        step, slope = yield from conjugate_gradients(multiply, precondition, point.grad, tol)
        if -0.5 * slope > abs(point.value):  # no loss is negative: rounding passed for a curvature
            step, slope = -precondition(point.grad), -2.0 * rough
        estimate = max(rough, -0.5 * slope)
        if (yield from ending.gives_up(point, estimate)):
            return point, estimate, None
        if np.array_equal(point.x + step, point.x):  # nor will it ever move again
            return point, estimate, Status.STALLED
        following, _ = yield from lower_point(objective, point, step, slope, objective.at)
        if following is None:
            return point, estimate, Status.STALLED
        point = following


def newton_cg(objective: Objective, x0: Array, record: Record) -> Reads[Solution]:
    """Minimise by Newton's method without a Hessian, from the minimum over the sample.

    Called as `fastlogit.solvers.solution.Solver` says. The gap is bound D of `fastlogit.solvers.duality` where the
    penalty allows one, else an estimate.

    Notes
    -----
    A read of X for the gradient of each step, and one for each product. Memory: some vectors of n, and what the
    preconditioner holds.
    """
    smaller, x = (yield from objective.on_sample()), x0
    precondition = yield from preconditioner(smaller or objective, x)
    if smaller is not None:
        point, within = (yield from smaller.at(x)), Within(SAMPLE_TOL)
        descent = descend(smaller, point, precondition, record.on_sample(smaller), within)
        x = (yield from descent)[0].x
        precondition = yield from preconditioner(smaller, x)
        x = yield from better_start(objective, x0, x)
    ending, point = Ending(objective, record), (yield from objective.at(x))
    return ending.solution(*(yield from descend(objective, point, precondition, record, ending)))
