"""Blocks of rows, storages of others' making and other transports: fitted like rows in memory, with the same bits."""

import numpy as np
import pytest
import toys
from cases import STORAGES
from toys import Deltas, Pair, cut, streamed

import fastlogit as fl
from fastlogit.kernels.losses import Logistic, Softmax
from fastlogit.kernels.machine.jit import read_only
from fastlogit.kernels.passes.first_order import Targets
from fastlogit.kernels.storages.rows import Rows
from fastlogit.penalties import Ridge
from fastlogit.problem import minimise
from fastlogit.sources.block import Block
from fastlogit.sources.memory import MemorySource
from fastlogit.sources.targets import memory_source

pytestmark = pytest.mark.usefixtures("kernels")

PART = 6400


def problem(K, is_weighted, N=32_000, D=6):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, D))
    X[rng.random(X.shape) < 0.3] = 0.0
    X[[17, N - 5], [3, 0]] = 500.0, -300.0  # outliers, which the sample keeps
    Z = X @ rng.standard_normal((D, K))
    y = (Z + rng.gumbel(size=Z.shape)).argmax(axis=1).astype(np.uint8)
    weight = rng.integers(0, 3, N).astype(float) if is_weighted else np.empty(0)
    if is_weighted:
        weight[: N // 5] = 0.0  # a fold's mask
    targets = Targets(*(read_only(a) for a in (y, weight, np.empty(0), np.empty((0, 0)))))
    return X, targets, Logistic() if K == 2 else Softmax(K)


def fit(source, solver="auto"):
    solution, _, _ = minimise(source, Ridge(), solver=solver, max_iter=100)
    return solution


def same(one, other):
    np.testing.assert_array_equal(one.x, other.x)
    assert (one.value, one.gap, one.n_iter, one.n_passes) == (other.value, other.gap, other.n_iter, other.n_passes)


@pytest.mark.parametrize(
    ("storage", "K", "is_weighted", "solver"),
    [
        ("rows", 2, True, "newton"),
        ("columns", 3, False, "newton"),
        ("csr", 2, True, "lbfgs"),
        ("table", 2, False, "newton-cg"),
        ("toy deltas", 2, True, "newton"),
    ],
)
def test_the_same_bits_wherever_rows_are(storage, K, is_weighted, solver):
    X, targets, loss = problem(K, is_weighted)
    rows, ends = STORAGES[storage], [2 * PART, 3 * PART]
    if storage == "toy deltas":  # differences from another row are other numbers
        first = Deltas.of(X)
        rows = lambda some: Deltas(first.base, read_only(some - first.base), first.like)  # noqa: E731
    whole = MemorySource([Block(rows(X), targets, loss, rows_per_part=PART)])
    blocks = MemorySource(cut(rows, X, targets, loss, ends, rows_per_part=PART))
    stream = streamed(rows, X, targets, loss, ends=ends, rows_per_part=PART)
    want = fit(whole, solver)
    assert want.converged and want.n_passes < 60
    same(fit(blocks, solver), want)
    same(fit(stream, solver), want)


def test_a_sample_sees_neither_blocks_nor_rows_of_weight_zero():
    X, targets, loss = problem(2, True)
    kept = np.flatnonzero(targets.weight > 0.0)
    samples = [
        source.survey(2000, 3)[1]
        for source in (
            MemorySource([Block(Rows(read_only(X)), targets, loss)]),
            MemorySource(cut(STORAGES["rows"], X, targets, loss, [100, 20_000])),
            streamed(STORAGES["rows"], X, targets, loss, ends=[31_000]),
        )
    ]
    for sample in samples:
        np.testing.assert_array_equal(sample.storage.X, samples[0].storage.X)
        np.testing.assert_array_equal(sample.targets.weight, samples[0].targets.weight)
        assert sample.largest_share == samples[0].largest_share
    sample = samples[0]
    assert sample.targets.weight.min() > 0.0 and 1700 < sample.n_samples < 3200
    assert sample.targets.weight.sum() == pytest.approx(targets.weight.sum(), rel=0.05)
    known = {row.tobytes() for row in X[kept]}
    assert all(row.tobytes() in known for row in sample.storage.X)
    for row in (17, len(X) - 5):
        assert ((sample.storage.X == X[row]).all(axis=1)).any() == (targets.weight[row] > 0.0)


def test_messages_name_rows_of_the_whole():
    X, targets, loss = problem(2, False)
    X[30_001, 2] = np.inf
    for source in (
        MemorySource(cut(STORAGES["columns"], X, targets, loss, [20_000])),
        streamed(STORAGES["columns"], X, targets, loss, ends=[20_000]),
    ):
        for read in (lambda s: s.moments(), lambda s: s.survey(2000, 0)):
            with pytest.raises(ValueError, match="infinity. It is in row 30001, column 2"):
                read(source)


@pytest.mark.parametrize("D", [3, 2000])
def test_a_storage_of_ones_own_is_fitted(D):
    N = 300 if D < 10 else 60  # the second in the span of the rows
    rng = np.random.default_rng(1)
    X = rng.standard_normal((N, D))
    y = (X[:, 0] + rng.logistic(size=N) > 0).astype(np.uint8)
    targets = memory_source(X, y).targets
    for source in (
        MemorySource([Block(Deltas.of(X), targets, Logistic())]),
        toys.two_blocks(Deltas.of, X, targets, Logistic()),
    ):
        got = fit(source)
        assert got.converged
        np.testing.assert_allclose(got.x, fl.solve(X, y).x, rtol=0, atol=1e-5 if D < 10 else 1e-4)


@pytest.mark.parametrize(("K", "right"), [(2, Deltas.of), (3, STORAGES["columns"])], ids=["deltas", "columns"])
def test_a_storage_made_of_two(K, right):
    rng = np.random.default_rng(2)
    X, y = rng.standard_normal((500, 21)), rng.integers(0, K, 500).astype(np.uint8)
    W, center = rng.standard_normal((22, 1 if K == 2 else K)), rng.standard_normal(21)
    whole = memory_source(X, y)
    pair = MemorySource([Block(Pair.of(STORAGES["rows"](X[:, :16]), right(X[:, 16:])), whole.targets, whole.loss)])
    got, want = pair.loss_grad(W, center), whole.loss_grad(W, center)
    assert got.loss_sum == pytest.approx(want.loss_sum, rel=1e-13)
    np.testing.assert_allclose(got.grad, want.grad, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(pair.moments().squares, whole.moments().squares, rtol=1e-12)
