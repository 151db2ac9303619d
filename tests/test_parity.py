"""The passes against the reference, for every pair of storage, dtype, loss, weights, source and shape."""

import numpy as np
import pytest
from cases import (
    DTYPES,
    EXTRAS,
    LOSSES,
    RARE_DTYPES,
    SHAPES,
    SOURCES,
    STORAGES,
    VIEWS,
    coefficients,
    compiled,
    ids,
    make,
    pairwise,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from fastlogit import reference
from fastlogit.kernels.losses import Logistic, Softmax
from fastlogit.prediction import decision_function, predict_proba
from fastlogit.sources.intake import as_storage
from fastlogit.sources.targets import memory_source

pytestmark = pytest.mark.usefixtures("kernels")

COMBINATIONS = [
    *pairwise(compiled, storage=STORAGES, dtype=DTYPES, loss=LOSSES, extras=EXTRAS, source=SOURCES, shape=SHAPES),
    *(dict(storage="rows", dtype=dtype) for dtype in RARE_DTYPES),
    *(dict(storage=view, dtype="f32", extras="weights") for view in VIEWS),
    dict(storage="rows", dtype="f32", loss="softmax 23"),
    dict(storage="rows", dtype="f64", loss="softmax 83"),
    dict(storage="columns", dtype="f32", loss="softmax 83"),
    dict(storage="columns", dtype="f64", loss="softmax 83"),
]


def judge(case, W, center):
    """Return the reference's loss, gradient and margins for coefficients of ``x - center``."""
    X = case.X - center
    value, grad, _ = reference.objective(W, X, case.y, sample_weight=case.weight, offset=case.offset, C=np.inf)
    Z = np.column_stack([X, np.ones(len(X))]) @ W
    full = np.column_stack([np.zeros(len(X)), Z]) if case.K == 1 else Z
    label = case.y if case.y.ndim == 1 else case.y.argmax(axis=1)
    own = full[np.arange(len(X)), label]
    others = full.copy()
    others[np.arange(len(X)), label] = -np.inf
    lead = own - others.max(axis=1)
    return value, grad, lead if case.weight is None else lead[case.weight > 0]


@pytest.mark.parametrize("names", COMBINATIONS, ids=ids)
def test_loss_and_gradient(names):
    case = make(**names)
    W, center = coefficients(case)
    value, grad, lead = judge(case, W, center)
    sums = case.source.loss_grad(W, center)
    assert sums.loss_sum == pytest.approx(value, rel=case.tolerance)
    np.testing.assert_allclose(sums.grad, grad, rtol=0, atol=case.tolerance * len(case.X) ** 0.5 * np.abs(grad).max())
    assert sums.n_correct == np.count_nonzero(lead > 0)
    if case.y.ndim == 1:
        assert sums.smallest_margin == pytest.approx(lead.min(), abs=10 * case.tolerance * np.abs(lead).max())
    else:
        assert sums.smallest_margin == -np.inf


@pytest.mark.parametrize("names", COMBINATIONS, ids=ids)
def test_moments(names):
    case = make(**names)
    s = np.ones(len(case.X)) if case.weight is None else case.weight
    moments = case.source.moments()
    mean = s @ case.X / s.sum()
    assert moments.n_samples == len(case.X)
    assert moments.weight == pytest.approx(s.sum(), rel=1e-14)
    np.testing.assert_allclose(moments.mean, mean, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(moments.squares, s @ (case.X - mean) ** 2, rtol=1e-12)


@pytest.mark.parametrize(
    "names",
    pairwise(storage=STORAGES, dtype=dict.fromkeys(("f32", "f64")), loss=dict.fromkeys(("logistic", "softmax 7"))),
    ids=ids,
)
def test_prediction(names):
    case = make(**names, extras="class weights, offset")
    W, center = coefficients(case)
    Z = np.column_stack([case.X - center, np.ones(len(case.X))]) @ W
    offset = case.source.targets.offset
    got = decision_function(case.source.storage, W, center, case.dtype)
    np.testing.assert_allclose(got, Z, rtol=0, atol=case.tolerance * np.abs(Z).max())
    got = decision_function(case.source.storage, W, center, case.dtype, offset)
    np.testing.assert_allclose(got, Z + case.offset, rtol=0, atol=2 * case.tolerance * np.abs(Z).max())
    Z = np.column_stack([np.zeros(len(Z)), Z]) if case.K == 1 else Z
    for rows in (None, (5, 100)):
        got = predict_proba(case.source.storage, case.source.loss, W, center, case.dtype, rows=rows)
        want = reference.softmax(Z if rows is None else Z[rows[0] : rows[1]])
        assert got.dtype == case.dtype
        np.testing.assert_allclose(got, want, rtol=0, atol=5 * case.tolerance)


@pytest.mark.parametrize("names", [names for names in COMBINATIONS if names["dtype"] == "f64"], ids=ids)
def test_gradient_is_the_derivative(names):
    case = make(**names)
    W, center = coefficients(case)
    grad = case.source.loss_grad(W, center).grad
    h = 2e-3
    for index in [(0, 0), (len(W) // 2, case.K - 1), (len(W) - 1, 0)]:
        values = []
        for step in (-2, -1, 1, 2):
            V = W.copy()
            V[index] += step * h
            values.append(case.source.loss_grad(V, center).loss_sum)
        five_point = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)
        assert grad[index] == pytest.approx(five_point, rel=1e-8, abs=1e-8 * np.abs(grad).max())


def problem(seed, n, D, K):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, D))
    y = np.r_[np.arange(K), rng.integers(0, K, n - K)].astype(np.uint8)
    W = rng.standard_normal((D + 1, 1 if K == 2 else K))
    return X, y, rng.integers(0, 4, n).astype(float) + 0.5, W, np.zeros(D)


sizes = st.tuples(st.integers(0, 2**31), st.integers(4, 300), st.integers(1, 40), st.sampled_from([2, 3, 4]))


@settings(deadline=None, max_examples=40)
@given(sizes, st.integers(1, 299), st.sampled_from(["C", "F"]))
def test_split_into_parts(size, cut, order):
    X, y, weight, W, center = problem(*size)
    loss = Logistic() if size[3] == 2 else Softmax(size[3])
    X = np.asarray(X, order=order)
    whole = memory_source(X, y, weight, loss=loss).loss_grad(W, center)
    parts = memory_source(X, y, weight, loss=loss, rows_per_part=cut).loss_grad(W, center)
    assert parts.loss_sum == pytest.approx(whole.loss_sum, rel=1e-12)
    np.testing.assert_allclose(parts.grad, whole.grad, rtol=0, atol=1e-12 * np.abs(whole.grad).max())
    assert (parts.n_correct, parts.smallest_margin) == (whole.n_correct, pytest.approx(whole.smallest_margin))


@settings(deadline=None, max_examples=25)
@given(sizes)
def test_order_of_rows_does_not_matter(size):
    X, y, weight, W, center = problem(*size)
    order = np.random.default_rng(0).permutation(len(X))
    one = memory_source(X, y, weight).loss_grad(W, center)
    two = memory_source(X[order], y[order], weight[order]).loss_grad(W, center)
    assert one.loss_sum == pytest.approx(two.loss_sum, rel=1e-12)
    np.testing.assert_allclose(one.grad, two.grad, rtol=0, atol=1e-11 * np.abs(one.grad).max())


@settings(deadline=None, max_examples=25)
@given(sizes)
def test_weight_is_repetition(size):
    X, y, weight, W, center = problem(*size)
    weight = np.floor(weight)
    weight[: size[3]] = 1.0
    repeat = np.repeat(np.arange(len(X)), weight.astype(int))
    one = memory_source(X, y, weight).loss_grad(W, center)
    two = memory_source(X[repeat], y[repeat]).loss_grad(W, center)
    assert one.loss_sum == pytest.approx(two.loss_sum, rel=1e-12)
    np.testing.assert_allclose(one.grad, two.grad, rtol=0, atol=1e-12 * max(1.0, np.abs(two.grad).max()))


@settings(deadline=None, max_examples=25)
@given(sizes, st.integers(0, 2**31))
def test_dropped_rows_may_hold_any_finite_value(size, seed):
    X, y, weight, W, center = problem(*size)
    gone = np.random.default_rng(seed).random(len(X)) < 0.3
    gone[: size[3]] = False
    weight[gone] = 0.0
    kept = memory_source(X[~gone], y[~gone], weight[~gone]).loss_grad(W, center)
    X[gone] = 1e30
    zero = memory_source(X, y, weight).loss_grad(W, center)
    assert zero.loss_sum == pytest.approx(kept.loss_sum, rel=1e-12)
    np.testing.assert_allclose(zero.grad, kept.grad, rtol=0, atol=1e-12 * max(1.0, np.abs(kept.grad).max()))
    assert zero.n_correct == kept.n_correct
    assert zero.smallest_margin == pytest.approx(kept.smallest_margin)


def test_huge_mean_loses_nothing():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2000, 3))
    y = (X[:, 0] + rng.standard_normal(2000) > 0).astype(np.uint8)
    W = rng.standard_normal((4, 1))
    shifted = X + 2.0**20
    X = shifted - 2.0**20
    near, far = memory_source(X, y), memory_source(shifted, y)
    one, two = near.loss_grad(W, np.zeros(3)), far.loss_grad(W, np.full(3, 2.0**20))
    assert one.loss_sum == two.loss_sum
    np.testing.assert_array_equal(one.grad, two.grad)
    np.testing.assert_allclose(far.moments().variance, near.moments().variance, rtol=1e-12)


def test_no_copy_of_what_can_be_read_as_it_lies():
    X = np.zeros((100, 10))
    for view in (X, X[:, 2:5], X[::3], X[::-1], X.T, np.asfortranarray(X)[10:50], X.astype(np.float32)[5:]):
        storage, _ = as_storage(view)
        assert np.shares_memory(storage.X, view)
        assert not storage.X.flags.writeable
    flags = np.zeros((5, 3), bool)
    assert np.shares_memory(as_storage(flags)[0].X, flags)
