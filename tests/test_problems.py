"""Problems: prepared once and minimised often, driven together, with penalties of others' making."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from optimum import value_grad_hess
from toys import cut, streamed

import fastlogit as fl
from fastlogit.kernels.losses import Logistic
from fastlogit.kernels.storages.rows import Rows
from fastlogit.penalties import Quadratic, Ridge
from fastlogit.plan import plan
from fastlogit.problem import Problem, minimise
from fastlogit.reads import run, run_together
from fastlogit.solvers import SOLVERS
from fastlogit.solvers.in_turn import in_turn
from fastlogit.solvers.solution import Record
from fastlogit.sources.targets import memory_source

pytestmark = pytest.mark.usefixtures("kernels")


def data(N=40_000, D=8):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, D)) * np.geomspace(0.1, 10, D)
    return X, (X[:, -1] / 5 + rng.logistic(size=N) > 0).astype(np.uint8)


def steps(problem, C, solver):
    objective = problem.objective(Ridge(C))
    return in_turn(objective, [solver], np.zeros(objective.source.n_features + 1), Record(objective, 1e-8, 100), 100)


@pytest.mark.parametrize("solver", SOLVERS)
def test_problems_driven_together_are_those_driven_alone(solver):
    X, y = data()
    reads = []

    def rows(some):
        reads.append(len(some))
        return Rows(some)

    source = streamed(rows, X, memory_source(X, y).targets, Logistic())
    problem = Problem.prepare(source, 4000)
    Cs = [1e-3, 1e-1, 1.0, 10.0, 1e3]
    alone = []
    for C in Cs:
        reads.clear()
        alone.append((run(steps(problem, C, solver)), sum(reads) // len(X)))
    reads.clear()
    together = run_together([steps(problem, C, solver) for C in Cs])
    for one, (other, _) in zip(together, alone, strict=True):
        assert one.converged
        np.testing.assert_array_equal(one.x, other.x)
        assert (one.gap, one.n_passes, one.n_iter) == (other.gap, other.n_passes, other.n_iter)
    assert sum(reads) // len(X) == max(count for _, count in alone) < sum(count for _, count in alone)


def test_a_problem_is_surveyed_once_and_minimised_often():
    X, y = data()
    source = memory_source(X, y)
    problem = Problem.prepare(source, plan(source, "auto", True, None).sample)
    for C in (0.1, 10.0):
        solution, _, _ = problem.minimise(Ridge(C), ["newton"])
        want = fl.solve(X, y, C=C)
        np.testing.assert_array_equal(solution.x, want.x)
        assert solution.n_passes == want.n_passes


@dataclass(frozen=True)
class Factors:
    """A ridge with a factor for each column."""

    factors: tuple[float, ...]
    is_none = False

    def in_coordinates(self, scaling, K):
        ridge = Ridge().in_coordinates(scaling, K)
        return replace(ridge, by_column=ridge.by_column * np.append(self.factors, 0.0))


class Smooth(Quadratic):
    """One whose second derivative changes: nothing that knows it takes it for a constant."""

    offers = frozenset({"gradient"})


#: Name -> penalty of a problem of eight columns, and what it is there for ``optimum.value_grad_hess``.
PENALTIES = {
    "ridge": (Ridge(2.0), np.full(8, 0.5)),
    "factors": (Factors((0.5, 1, 2, 4, 8, 16, 32, 64)), 2.0 ** np.arange(-1, 7)),
    "some free": (Factors((0, 0, 1, 1, 1, 1, 1, 1)), np.array([0, 0, 1, 1, 1, 1, 1, 1.0])),
}


@pytest.mark.parametrize("solver", ["auto", *SOLVERS])
@pytest.mark.parametrize("name", PENALTIES)
def test_every_solver_takes_every_penalty(name, solver):
    penalty, P = PENALTIES[name]
    X, y = data(2000)
    source = memory_source(X, y)
    solution, _, _ = minimise(source, penalty, solver=solver)
    assert solution.converged, solution.status
    value, grad, hess = value_grad_hess(
        solution.x, X.astype(np.longdouble), np.eye(2)[y], np.ones(len(X)), np.zeros((len(X), 1)), np.inf
    )
    w = solution.coef[:, 0]
    assert float(value) + 0.5 * P @ w**2 == pytest.approx(solution.value, rel=1e-8)
    g = grad.ravel().astype(float) + np.append(P * w, 0.0)
    H = hess.astype(float) + np.diag(np.append(P, 0.0))
    assert 0.5 * g @ np.linalg.solve(H, g) <= 1e-8 * solution.value


def test_a_solver_says_what_it_needs_of_a_penalty():
    class Other(Factors):
        def in_coordinates(self, scaling, K):
            quadratic = super().in_coordinates(scaling, K)
            return Smooth(quadratic.by_column, K)

    X, y = data(500)
    with pytest.raises(ValueError, match="solver 'lbfgs' needs the penalty's curvature, which Other does not offer"):
        minimise(memory_source(X, y), Other((1.0,) * 8), solver="lbfgs")


def test_blocks_share_a_penalty_and_a_problem():
    X, y = data()
    targets = memory_source(X, y).targets
    blocks = fl.sources.memory.MemorySource(cut(Rows, X, targets, Logistic(), [10_000]))
    penalty, _ = PENALTIES["factors"]
    one, _, _ = minimise(blocks, penalty)
    other, _, _ = minimise(memory_source(X, y), penalty)
    np.testing.assert_allclose(one.x, other.x, rtol=1e-6)
