"""Approximate Hessians that are cheap to invert, and made when that pays.

For two classes the Hessian itself, for more the Hessian or a Kronecker product, for very many columns the diagonal.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fastlogit import costs
from fastlogit.cholesky import cholesky
from fastlogit.cholesky import solve as solve_with
from fastlogit.hessians import Dense
from fastlogit.objective import Array, Objective, Point
from fastlogit.reads import Reads
from fastlogit.solvers.factor import factorised

#: For more columns than this a Gram matrix and its factorisations take too much time and memory.
LARGEST_GRAM = 4096
#: For several classes the Hessian of all of them is factorised up to this many parameters.
LARGEST_FACTORED = 1024
# Added to the unit diagonal of a matrix: a preconditioner need not distinguish singular from nearly singular.
_RIDGE = 1e-10
# Pivots above the square of this leave float32 enough digits for a preconditioner: it halves the time of using one.
_SINGLE = 1e-2
# One that had to be made again was of less use than expected.
_DEARER = 1.4
# Relative gap to which solvers go: bound D is then about 1e-8.
_GOAL = 1e-10
# After fewer reads there is little to be learnt from a new one.
_FEWEST = 4.0
# So many reads a preconditioner is worth before anything is known.
_AT_ONCE = 4.0
# Of many sparse rows, as a rule levels of which some are rare, it is worth more.
_SPARSE_AT_ONCE = 64.0
# The first digits of a gap come this many times faster than the last.
_FASTER = 3.0
# A spread of eigenvalues up to which a Hessian is nearly diagonal, and the reads that each 1 of it takes.
_NEARLY_DIAGONAL, _SPARED = 0.1, 8.0
# Class directions' curvatures are raised to at least this share of the largest,
_SMALLEST_CURVATURE = 1e-3
# and divided into at most this many groups, each with one factorisation.
_FACTORS = 6


class Preconditioner:
    """An approximate inverse Hessian: the diagonal's, until reads have taken as long as making a better one would.

    Then it is made, at the point reached, and again whenever as many more reads were needed; at once if that takes no
    longer than a few reads. So a fit takes at most about twice the time of the better choice, to make one or to do
    without, unless a sample tells more (`settle`). (That is the rule of the ski rental problem: A. Karlin, M. Manasse,
    L. Rudolph and D. Sleator, "Competitive snoopy caching", Algorithmica 3 (1988).)

    Parameters
    ----------
    objective : Objective
        What it is made of: the rows that are read for it.
    whole : Objective, optional
        Of a sample, the objective over all rows, where the preconditioner serves too.

    Attributes
    ----------
    solve : callable
        ``g -> M^-1 g`` for g (n,).
    """

    def __init__(self, objective: Objective, whole: Objective | None = None) -> None:
        self._objective, self._whole = objective, whole or objective
        self.solve = self._whole.within(_inverse_of_diagonal(objective.hess_diag_at_zero))
        self._price = max(price(objective), _FEWEST * objective.source.costs.read())
        self._spent, self._first, self._is_made = 0.0, 0.0, False
        shape = self._whole.source.costs
        self._read = shape.read()
        is_worth_more = whole and shape.is_sparse and self._whole.partitions is None
        if self._price <= (_SPARSE_AT_ONCE if is_worth_more else _AT_ONCE) * self._read:
            self._spent = self._price

    def left(self, objective: Objective) -> float:
        """Return the number of an objective's reads until it is due; infinity if it was not worth while when it was."""
        missing = self._price - self._spent
        return max(missing / objective.source.costs.read(), 1.0) if missing > 0.0 else float("inf")

    def count(self, objective: Objective) -> None:
        """Count a read of an objective's rows."""
        self._spent += objective.source.costs.read()

    def settle(self, point: Point) -> Reads[bool]:
        """Choose between the diagonal and a better one at a sample's minimum, if none was made; return whether.

        With M the diagonal, let the spread of ``M^-1/2 H M^-1/2`` be the variance of its eigenvalues, whose mean is 1,
        without those that softmax leaves 0, and without what a sample of so few rows adds. Their mean square is
        estimated by a vector of random signs (M. Hutchinson, "A stochastic estimator of the trace of the influence
        matrix", Communications in Statistics 18 (1989) 1059). At most four reads of the sample.
        """
        if self._is_made:
            return False
        objective, K = self._objective, self._objective.shape[1]
        diagonal = yield from objective.hess_diag(point.x)
        root = np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
        signs = np.random.default_rng(0).choice([-1.0, 1.0], len(root))
        if not objective.fit_intercept:
            signs[-K:] = 0.0
        product = (yield from objective.hess_vec(point.x, signs / root)) / root
        mean_square = float(product @ product) / np.count_nonzero(signs) * (1.0 - 1.0 / K if K > 1 else 1.0)
        spread = mean_square - 1.0 - objective.source.n_features / objective.source.n_samples
        if spread < _NEARLY_DIAGONAL:
            self.solve, self._spent = self._whole.within(_inverse_of_diagonal(diagonal)), 0.0
            return True
        if self._price < _SPARED * min(spread, _SPARED) * self._read:
            yield from self._make(point)
            return True
        return False

    def renew(self, point: Point) -> Reads[bool]:
        """Make it at a point if it is due, unless the fit is expected to end in less time without; return whether.

        The relative gap has to fall to 1e-10, whatever ``tol``, since otherwise a looser one could take longer; below
        that, where a bound fails to come, by another digit. It is expected to fall as fast as since the last time.
        Reads of X as `preconditioner`.
        """
        if self._price == float("inf"):
            return False
        gap, goal = 0.5 * float(point.grad @ self.solve(point.grad)), _GOAL * abs(point.value)
        if self._spent == 0.0:
            self._first = gap
        if self._spent < self._price or not 0.0 < gap < float("inf"):
            return False
        digits = np.log(max(self._first / gap, 1.0))
        missing = np.log(max(gap / goal, 10.0)) if goal > 0.0 else 0.0
        if _FASTER * missing * self._spent <= digits * self._price:
            return False
        yield from self._make(point)
        return True

    def _make(self, point: Point) -> Reads[None]:
        solve = yield from preconditioner(self._objective, point.x)
        self.solve, self._spent, self._is_made = self._whole.within(solve), 0.0, True
        self._first = 0.5 * float(point.grad @ self.solve(point.grad))
        self._price *= _DEARER


@dataclass
class Fixed:
    """A preconditioner that is never made anew."""

    solve: Callable[[Array], Array]

    def left(self, objective: Objective) -> float:
        """Return infinity."""
        return float("inf")

    def count(self, objective: Objective) -> None:
        """Do nothing."""

    def renew(self, point: Point) -> Reads[bool]:
        """Do nothing."""
        yield from ()
        return False


def price(objective: Objective) -> float:
    """Return about how many seconds `preconditioner` takes."""
    shape, (D, K) = objective.source.costs, objective.shape
    if shape.n_features > LARGEST_GRAM:
        return float("inf")
    if K == 1 or D * K <= LARGEST_FACTORED:
        return shape.hessian() + costs.factorisation(D * K)
    return shape.hessian(1) + 2.0 * costs.factorisation(D) + costs.eigenvectors(K)


def preconditioner(objective: Objective, x: Array) -> Reads[Callable[[Array], Array]]:
    """Return the approximate inverse Hessian at ``x`` (n,), as a function of a vector (n,); at most two reads of X."""
    if objective.source.n_features > LARGEST_GRAM:
        return _inverse_of_diagonal((yield from objective.hess_diag(x)) if np.any(x) else objective.hess_diag_at_zero)
    K = objective.shape[1]
    if K == 1 or x.size <= LARGEST_FACTORED:
        hess = (yield from objective.curvature_at(x, objective.source.dtype)).hess
        assert hess is not None
        identified = hess.identified(K)
        return inverse_of(identified.matrix) if isinstance(identified, Dense) else factorised(identified).solve
    return (yield from kronecker(objective, x))


def _inverse_of_diagonal(diagonal: Array) -> Callable[[Array], Array]:
    inverse = 1.0 / np.where(diagonal > 0.0, diagonal, 1.0)
    return lambda g: inverse * g


def inverse_of(H: Array) -> Callable[[Array], Array]:
    """Return ``(H + ridge)^-1`` as a function of vectors (n,) or (n, m); the ridge is 1e-10 of the diagonal."""
    diagonal = np.diag(H)
    scale = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    A = H * scale[:, None] * scale
    ridge = _RIDGE
    while True:
        L = cholesky(A + ridge * np.eye(len(A)))
        if L is not None:
            break
        ridge *= 100.0

    if L.diagonal().min() > _SINGLE:
        L = L.astype(np.float32)

    def solve(g: Array) -> Array:
        s = scale if g.ndim == 1 else scale[:, None]
        scaled = s * g
        size = float(np.abs(scaled).max()) or 1.0  # float32 has room for numbers of about 1
        x = solve_with(L, (scaled / size).astype(L.dtype, copy=False)).astype(np.float64, copy=False)
        return np.asarray(s * (size * x))

    return solve


def kronecker(objective: Objective, x: Array) -> Reads[Callable[[Array], Array]]:
    """Return the inverse of about ``G (x) S + P`` as a function of a flat vector; two reads of X, meant for a sample.

    ``G = sum_i s_i x~_i x~_i'`` is the Gram matrix of the scaled columns, ``S`` the mean over rows of
    ``diag(p) - p p'`` at ``x``, and ``P`` the penalty's second derivative. With ``S = Q Lambda Q'`` the class
    directions q, the columns of Q, decouple: each has its own matrix ``Lambda_q G + P``. Directions of nearly the same
    curvature share a factorisation. The direction of equal changes of all classes, in which S is 0, gets the mean
    curvature.

    Eigenvectors of G would serve all directions exactly; factorisations take a tenth of the time at 784 columns, and
    Ctrl-C takes effect between their blocks.
    """
    size, K = objective.shape
    gram, S = yield from objective.mean_curvature(x)
    S = S + np.trace(S) / K / K
    values, Q = np.linalg.eigh(S)
    largest = values[-1] if values[-1] > 0.0 else 1.0 / K  # S is 0: offsets make every p 0 or 1
    values = np.maximum(values, _SMALLEST_CURVATURE * largest)
    # P is 0 for the intercept, and everywhere if C is infinite: at least a trace of the curvature takes its place
    penalty = np.diag(np.maximum(objective.smooth.by_column, 1e-8 * np.diag(gram) * values[-1]))
    groups = _alike(values)
    inverses = [inverse_of(gram * np.exp(np.log(values[group]).mean()) + penalty) for group in groups]

    def solve(g: Array) -> Array:
        rotated = g.reshape(size, K) @ Q
        for group, inverse in zip(groups, inverses, strict=True):
            rotated[:, group] = inverse(rotated[:, group])
        return np.asarray(rotated @ Q.T).ravel()

    return solve


def _alike(values: Array) -> list[slice]:
    """Return slices that group ascending positive values, at most `_FACTORS`, of a factor of 2 or more each."""
    step = max(np.log(values[-1] / values[0]) / _FACTORS, np.log(2.0))
    places = np.minimum(np.log(values / values[0]) // step, _FACTORS - 1)
    ends = [0, *(np.flatnonzero(np.diff(places)) + 1), len(values)]
    return [slice(int(a), int(b)) for a, b in zip(ends, ends[1:], strict=False)]
