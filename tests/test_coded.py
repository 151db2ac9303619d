"""Categories as a storage: every pass over codes is that over columns of zeros and ones."""

import numpy as np
import pytest

from fastlogit.hessians import Arrow, Dense
from fastlogit.kernels.losses import Logistic, Softmax
from fastlogit.kernels.machine.jit import read_only, threads
from fastlogit.kernels.passes.first_order import Targets
from fastlogit.kernels.storages.coded import Coded, Codes
from fastlogit.kernels.storages.decode import KINDS
from fastlogit.kernels.storages.nothing import Nothing
from fastlogit.kernels.storages.rows import Rows
from fastlogit.kernels.storages.table import Column, Table
from fastlogit.objective import Objective
from fastlogit.penalties import Ridge
from fastlogit.problem import Problem
from fastlogit.reads import run
from fastlogit.solvers.factor import ArrowFactor, DenseFactor, PartitionedFactor, factorised
from fastlogit.sources.block import Block
from fastlogit.sources.memory import MemorySource

pytestmark = pytest.mark.usefixtures("kernels")


def column_of(codes, pieces, stride):
    """Codes in several pieces, ``stride`` elements apart."""
    parts = np.array_split(np.repeat(codes, stride), pieces) if stride == 1 else [np.repeat(codes, stride)]
    addresses = [(part.ctypes.data, len(part) // stride) for part in parts if len(part)]
    return Column(codes.dtype.str[1:], stride * codes.itemsize, addresses, parts)


def coded(n, levels, kinds, n_numbers, dtype=np.float64, pieces=1, stride=1, missing=False, none=False):
    """The storage, and its columns as a matrix. Columns are in no order; ``none`` gives a code no column."""
    rng = np.random.default_rng(0)
    n_features = sum(levels) + missing + n_numbers - none
    order = rng.permutation(n_features)
    X, categories, at = np.zeros((n, n_features)), [], 0
    for j, (count, kind) in enumerate(zip(levels, kinds, strict=True)):
        has_missing, without = missing and j == 0, none and j == 1
        codes = rng.integers(-1 if has_missing else 0, count, n).astype(kind)
        features = np.full(count + 1, -1)
        features[1 - has_missing : count + 1 - without] = order[at : at + count + has_missing - without]
        at += count + has_missing - without
        found = features[codes.astype(int) + 1]
        X[np.flatnonzero(found >= 0), found[found >= 0]] = 1.0
        categories.append(Codes(column_of(codes, pieces, stride), features, is_whole=not without))
    numbers, of_numbers = rng.standard_normal((n, n_numbers)).astype(dtype), order[at:]
    X[:, of_numbers] = numbers
    rows = Table.of_matrix(np.asfortranarray(numbers)) if n_numbers else Nothing.of(n)
    return Coded.of(categories, rows, of_numbers, n_features), X


CASES = {
    "one category": dict(levels=[5], kinds=["i1"], n_numbers=0),
    "numbers too": dict(levels=[40, 5], kinds=["u1", "i2"], n_numbers=3),
    "all types": dict(levels=[5, 40, 7, 3, 9, 300, 2, 4], kinds=KINDS, n_numbers=2, pieces=3),
    "missing values, a code of no level": dict(
        levels=[6, 9, 300], kinds=["i1", "i1", "i4"], n_numbers=17, missing=True, none=True
    ),
    "float32": dict(levels=[4, 4, 200], kinds=["i1", "u1", "u2"], n_numbers=40, dtype=np.float32, pieces=7),
    "apart": dict(levels=[4, 70], kinds=["i8", "i2"], n_numbers=0, stride=3),
}


def sources(case, K, n=1500, soft=False):
    """The same rows as codes, and as a matrix, with weights and offsets."""
    storage, X = coded(n, **CASES[case])
    rng, loss = np.random.default_rng(1), Logistic() if K == 1 else Softmax(K)
    y = rng.integers(0, loss.n_classes, n).astype(np.uint8)
    y = rng.dirichlet(np.ones(loss.n_classes), n) if soft else y
    weight, offset = rng.random(n) * (rng.random(n) > 0.2), rng.standard_normal((n, K))
    targets = Targets(*(read_only(a) for a in (y, weight, np.empty(0), offset)))
    return [MemorySource([Block(rows, targets, loss)]) for rows in (storage, Rows(read_only(X)))]


def alike(a, b, tol=1e-11):
    a, b = np.asarray(a, float), np.asarray(b, float)
    np.testing.assert_allclose(a, b, rtol=0, atol=tol * max(1e-300, np.abs(b).max()))


@pytest.mark.parametrize(
    ("case", "K"), [(case, 1) for case in CASES] + [("all types", 3), ("float32", 5), ("apart", 2 + 1)]
)
def test_every_pass(case, K):
    codes, matrix = sources(case, K, soft=case == "float32")
    rng, D = np.random.default_rng(2), codes.n_features
    W, V = rng.standard_normal((2, D + 1, K))
    center, scale = rng.random(D).astype(np.float32).astype(float), rng.random(D) + 0.5
    single = 1e-5 if case == "float32" else 1e-11  # what is computed in the source's type
    for operation, args, tol in (
        ("hess_vec", (W, V, center, np.float64), 1e-11),
        ("hess_diag", (W, center), single),
        ("losses_along", (W, V, center, np.array([0.0, 0.5, 1.0]), np.float64), 1e-11),
        ("column_squares", (center,), 1e-11),
        ("widest_row", (center, scale), 2e-4),
        ("largest_square", (W, center), 1e-11),
        ("gram", (center,), single),
        ("class_curvature", (W, center, np.float64), 1e-11),
        ("margins", (W, center), 1e-11),
    ):
        alike(*(getattr(source, operation)(*args) for source in (codes, matrix)), tol)
    for operation, args in (("loss_grad", (W, center, np.float64)), ("grad_hess", (W, center, scale))):
        a, b = (getattr(source, operation)(*args) for source in (codes, matrix))
        for name in vars(b):
            alike(getattr(a, name), getattr(b, name))
    a, b = codes.moments(), matrix.moments()
    alike(a.mean, b.mean)
    alike(a.squares, b.squares)
    whole, X = np.arange(D), matrix.storage.X
    np.testing.assert_array_equal(codes.storage.dense(slice(None)), X)
    np.testing.assert_array_equal(codes.storage.dense(slice(2, D, 3)), X[:, whole[2:D:3]])


@pytest.mark.parametrize(
    ("case", "K"), [("numbers too", 1), ("all types", 3), ("missing values, a code of no level", 1)]
)
def test_hessians_as_arrows(case, K):
    codes, matrix = sources(case, K)
    rng, D = np.random.default_rng(3), codes.n_features
    center, leading = rng.random(D), codes.leading
    center[leading] = 0.0
    W, scale = rng.standard_normal((D + 1, K)), rng.random(D) + 0.5
    sums, blocks = codes.run("grad_arrow", W, center, scale, np.float64), matrix.grad_hess(W, center, scale).hess
    arrow, dense = Arrow.of(sums.hess, K, D), Dense.of(blocks, K)
    n = (D + 1) * K
    s, d, v = rng.random(n) + 0.5, rng.random(n) + 0.5, rng.standard_normal(n)

    def same(a, b):
        alike(np.column_stack([a @ e for e in np.eye(n)]), b.matrix)
        alike(a.diagonal(), b.diagonal())
        alike(a.of_intercepts(K), b.of_intercepts(K))

    same(arrow, dense)
    same(arrow.plus(d), dense.plus(d))
    same(arrow.divided(3.0), dense.divided(3.0))
    same(arrow.without_intercepts(K), dense.without_intercepts(K))
    same(arrow.identified(K), dense.identified(K))
    same(arrow.scaled(s), Dense(dense.matrix * s * s[:, None]))
    one, other = (factorised(H.plus(d).identified(K)) for H in (arrow, dense))
    assert isinstance(one, ArrowFactor) and isinstance(other, DenseFactor)
    alike(one.solve(v), other.solve(v))
    H = dense.plus(d).identified(K).matrix
    least = np.linalg.eigvalsh(H * one.scale * one.scale[:, None])[0]
    assert 0.1 * least < one.smallest <= least
    assert one.norm_bound(v) >= (v @ np.linalg.solve(H, v)) ** 0.5
    assert one.size < other.size


@pytest.mark.parametrize("K", [1, 3])
def test_directions_that_losses_cannot_tell(K):
    codes, _ = sources("numbers too", K)
    objective = Problem.prepare(codes).objective(Ridge(10.0))
    rng, partitions = np.random.default_rng(4), objective.partitions
    x = rng.standard_normal((codes.n_features + 1, K))
    x = (x - x.mean(axis=1, keepdims=True) * (K > 1)).ravel()  # as solvers' points of softmax
    chosen = objective.chosen(x)
    a, b = (run(objective.at(point)) for point in (x, chosen))
    assert b.value < a.value
    penalty = objective.smooth.value
    alike(a.value - penalty(x), b.value - penalty(chosen))  # the same losses
    alike(objective.chosen(chosen), chosen)
    H = run(objective.curvature_at(x)).hess.identified(K)
    factor = factorised(H, partitions)
    assert isinstance(factor, PartitionedFactor)
    alike(factor.solve(a.grad), np.linalg.solve(H.matrix, a.grad), 1e-9)
    assert factor.norm_bound(a.grad) ** 2 >= a.grad @ np.linalg.solve(H.matrix, a.grad) * (1.0 - 1e-9)
    step = objective.within(lambda g: 2.0 * g)(a.grad)
    alike(objective.chosen(chosen + step), chosen + step)


def test_a_sample_is_that_of_the_matrix():
    for case in ("numbers too", "missing values, a code of no level"):
        samples = [source.survey(200, 0)[1] for source in sources(case, 1)]
        assert samples[0].n_samples == samples[1].n_samples < 300
        W, zero = np.ones((samples[0].n_features + 1, 1)), np.zeros(samples[0].n_features)
        alike(*(sample.loss_grad(W, zero, np.float64).grad for sample in samples))


@pytest.mark.parametrize("K", [1, 3])
def test_small_categories_are_read_together(K):
    """With many rows, in groups of cells; where no value is missing, without room for one."""
    rng, n = np.random.default_rng(5), 40_000
    levels, features, X = [3, 30, 4, 5, 300, 2], [], np.zeros((n, 344))
    columns = [rng.integers(0, count, n).astype("i2") for count in levels]
    for codes, first in zip(columns, np.cumsum([0, *levels]), strict=False):
        X[np.arange(n), first + codes] = 1.0
        features.append(np.append(-1, np.arange(first, first + codes.max() + 1)))
    for is_counted in (False, True):
        rows = [np.bincount(codes + 1) if is_counted else None for codes in columns]
        parts = zip(columns, features, rows, strict=True)
        storage = Coded.of([Codes(Column.of(a), b, rows=c) for a, b, c in parts], Nothing.of(n), np.arange(0), 344)
        assert storage.cells.n_lines < 5 and storage.places.n_lines == 6
        loss, y = Logistic() if K == 1 else Softmax(K), rng.integers(0, max(K, 2), n).astype(np.uint8)
        targets = Targets(*(read_only(a) for a in (y, np.empty(0), np.empty(0), np.empty((0, 0)))))
        codes, matrix = (MemorySource([Block(r, targets, loss)]) for r in (storage, Rows(read_only(X))))
        W, center = rng.standard_normal((345, K)), rng.random(344)
        alike(*(source.loss_grad(W, center).grad for source in (codes, matrix)))
        alike(*(source.column_squares(center) for source in (codes, matrix)))
        alike(*(source.moments().squares for source in (codes, matrix)))
        alike(*(source.hess_diag(W, center) for source in (codes, matrix)))


def test_bits_do_not_depend_on_threads():
    codes, _ = sources("numbers too", 1, n=200_000)
    W, center = np.ones((codes.n_features + 1, 1)), np.zeros(codes.n_features)
    results = set()
    for n in (1, 2):
        with threads(n):
            sums = codes.loss_grad(W, center)
            hess = codes.grad_hess(W, center, np.ones(codes.n_features)).hess
        results.add((sums.loss_sum, sums.grad.tobytes(), hess.tobytes()))
    assert len(results) == 1


def test_rows_are_joined():
    storage, X = coded(700, **CASES["all types"])
    parts = [storage.take(np.arange(a, b)) for a, b in ((0, 10), (10, 11), (11, 700))]
    np.testing.assert_array_equal(Coded.join(parts).dense(slice(None)), X)


def test_an_objective_counts_what_is_factorised():
    codes, _ = sources("all types", 1)
    problem = Problem.prepare(codes, eliminates=True)
    objective = problem.objective(Ridge())
    assert isinstance(objective, Objective) and objective.n_dense == codes.n_features + 1 - 300
    assert isinstance(run(objective.curvature_at(np.zeros(codes.n_features + 1))).hess, Arrow)
    assert not np.any(problem.scaling.center[codes.leading])
