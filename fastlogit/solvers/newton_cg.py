"""Newton's method without a Hessian: conjugate gradients on Hessian-vector products solve for each step."""

from collections.abc import Callable
from functools import partial

import numpy as np

from fastlogit import costs
from fastlogit.objective import Array, Objective, Point
from fastlogit.reads import Reads
from fastlogit.solvers.duality import Ending, Within
from fastlogit.solvers.lbfgs import Pairs
from fastlogit.solvers.line_search import lower_point
from fastlogit.solvers.preconditioner import Fixed, Preconditioner, preconditioner
from fastlogit.solvers.solution import SAMPLE_TOL, Record, Solution, Status, better_start

# Most products for a step.
_PRODUCTS = 100
#: Largest residual of a step, relative to the gradient; it falls with the decrement.
_FORCING = 0.3
# Pairs are used if that takes at most this share of a read's time.
_SHARE = 0.6
# Curvature up to this, relative to the preconditioner's, counts as 0.
_FLAT = 1e-20


def conjugate_gradients(
    multiply: Callable[[Array], Reads[Array]],
    precondition: Callable[[Array], Array],
    g: Array,
    tol: float,
    most: int = _PRODUCTS,
    learn: Callable[[Array, Array], None] | None = None,
) -> Reads[tuple[Array, float]]:
    """Solve ``H d = -g`` by preconditioned conjugate gradients, with at most ``most`` products.

    Parameters
    ----------
    multiply, precondition : callable
        ``v -> H v``, a read of X each, and ``v -> M^-1 v``, for v (n,).
    g : ndarray (n,)
        The gradient.
    tol : float
        Relative residual to reach: ``||H d + g|| <= tol ||g||`` in the norm of ``M^-1``.
    most : int
        Largest number of products.
    learn : callable, optional
        Called with each step and the change of the gradient along it.

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
    for _ in range(most):
        product = yield from multiply(p)
        curvature = float(p @ product)
        if curvature <= _FLAT * norm:
            d = d if np.any(d) else p
            break
        step = norm / curvature
        d = d + step * p
        if learn is not None:
            learn(step * p, step * product)
        r = r - step * product
        z = precondition(r)
        norm, before = float(r @ z), norm
        if not tol**2 * first < norm < first / _FLAT:
            break
        p = z + (norm / before) * p
    slope = float(g @ d)
    return (d, slope) if slope < 0.0 else (precondition(-g), -first)  # not a descent direction, by rounding errors


def newton_cg_descent(
    objective: Objective, point: Point, inverse: Preconditioner | Fixed, record: Record, ending: Ending | Within
) -> Reads[tuple[Point, float, Status | None]]:
    """Take Newton's steps until the ending or the record stops them, or no step lowers the objective.

    Parameters and result as in `fastlogit.solvers.lbfgs.lbfgs_descent`. The estimate is ``1/2 g' H^-1 g``, computed by
    conjugate gradients or with the preconditioner, whichever is larger; the history has the preconditioner's. If a read
    takes long enough, the products of one step correct the preconditioner of the next (J. Morales and J. Nocedal,
    "Automatic preconditioning by limited memory quasi-Newton updating", SIAM J. Optim. 10 (2000) 1079).
    """
    pairs, corrects = Pairs(inverse), costs.pairs(point.x.size) <= _SHARE * objective.source.costs.read()
    while True:
        if (yield from inverse.renew(point)):
            ending.restart()
        rough = 0.5 * float(point.grad @ inverse.solve(point.grad))
        stop = record.add(point, rough, "estimate")
        if (yield from ending.is_bounded(point, rough)) or stop is not None:
            return point, rough, stop
        tol = min(_FORCING, (2.0 * rough / max(point.value, 1e-300)) ** 0.25)
        multiply, most = partial(_counted, objective, inverse, point.x), int(min(_PRODUCTS, inverse.left(objective)))
        learned = Pairs(inverse)
        learn = learned.add if corrects else None
        step, slope = yield from conjugate_gradients(multiply, pairs.solve, point.grad, tol, most, learn)
        pairs = learned
        if -0.5 * slope > abs(point.value):  # impossible, no loss is negative: the curvature was a rounding error
            step, slope = -inverse.solve(point.grad), -2.0 * rough
        estimate = max(rough, -0.5 * slope)
        if (yield from ending.gives_up(point, estimate)):
            return point, estimate, None
        if np.array_equal(point.x + step, point.x):  # the step is below rounding, and so would be all others
            return point, estimate, Status.STALLED
        following, _ = yield from lower_point(objective, point, step, slope, objective.at)
        if following is None:
            return point, estimate, Status.STALLED
        point = following


def _counted(objective: Objective, inverse: Preconditioner | Fixed, x: Array, v: Array) -> Reads[Array]:
    inverse.count(objective)
    return (yield from objective.hess_vec(x, v))


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
    inverse: Preconditioner | Fixed = Preconditioner(objective)
    if smaller is not None:
        point, within = (yield from smaller.at(x)), Within(SAMPLE_TOL)
        descent = newton_cg_descent(smaller, point, Preconditioner(smaller), record.on_sample(smaller), within)
        x = (yield from descent)[0].x
        inverse = Fixed((yield from preconditioner(smaller, x)))
        x = yield from better_start(objective, x0, x)
    ending, point = Ending(objective, record), (yield from objective.at(x))
    return ending.solution(*(yield from newton_cg_descent(objective, point, inverse, record, ending)))
