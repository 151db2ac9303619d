"""The passes of second order, and the survey, against the reference."""

import numpy as np
import pytest
import scipy.sparse
from cases import coefficients, ids, make
from optimum import LONG, value_grad_hess

from fastlogit import reference
from fastlogit.kernels.machine.jit import read_only
from fastlogit.kernels.passes.first_order import Targets
from fastlogit.sources.sampling import Limits
from fastlogit.sources.sampling import drawn as drawn_by_hash
from fastlogit.sources.targets import memory_source

pytestmark = pytest.mark.usefixtures("kernels")

QUICK = [
    dict(storage="rows", dtype="f64", loss="logistic", extras="plain", source="memory in parts", shape="odd"),
    dict(storage="rows", dtype="f64", loss="softmax 3", extras="weights", source="memory", shape="narrow"),
    dict(storage="columns", dtype="f32", loss="logistic", extras="all, f32", source="two blocks", shape="odd"),
    dict(storage="csr", dtype="f64", loss="logistic", extras="all, f32", source="memory in parts", shape="odd"),
    dict(storage="csr", dtype="f32", loss="softmax 3", extras="weights", source="memory", shape="narrow"),
]
SLOW = [
    dict(storage="columns", dtype="f64", loss="soft softmax 4", extras="plain", source="memory", shape="wide"),
    dict(storage="rows", dtype="f32", loss="softmax 3", extras="plain", source="memory", shape="few rows"),
    dict(storage="rows", dtype="u8", loss="soft logistic", extras="weights", source="memory", shape="odd"),
    dict(storage="toy deltas", dtype="f64", loss="logistic", extras="weights", source="memory", shape="odd"),
    dict(storage="csr", dtype="u8", loss="soft softmax 4", extras="plain", source="two blocks", shape="odd"),
]


def parametrized(quick, slow):
    return pytest.mark.parametrize(
        "names", [*quick, *(pytest.param(names, marks=pytest.mark.slow) for names in slow)], ids=ids
    )


combinations = parametrized(QUICK, SLOW)
# Two kernels of a type that few other tests compile: those of float64, and one of float32.
in_float64 = parametrized(QUICK[:4], [names for names in SLOW if names["dtype"] == "f64"])


def judge(case, W, center):
    X = case.X - center
    return reference.objective(W, X, case.y, sample_weight=case.weight, offset=case.offset, C=np.inf)


def assembled(hess, K):
    size = hess.shape[1]
    H, pairs = np.empty((size, K, size, K)), iter(hess)
    for k in range(K):
        for m in range(k, K):
            H[:, k, :, m] = H[:, m, :, k] = next(pairs)
    return H.reshape(size * K, size * K)


@combinations
def test_hessian(names):
    case = make(**names)
    W, center = coefficients(case)
    value, grad, hess = judge(case, W, center)
    scale = np.linspace(0.5, 2.0, case.X.shape[1])
    sums = case.source.grad_hess(W, center, scale, case.dtype)
    assert sums.loss_sum == pytest.approx(value, rel=1e-12)  # float64, whatever the storage
    np.testing.assert_allclose(sums.grad, grad, rtol=0, atol=1e-11 * np.abs(grad).max())
    np.testing.assert_allclose(assembled(sums.hess, case.K), hess, rtol=0, atol=case.tolerance * np.abs(hess).max())
    kept = np.ones(len(case.X), bool) if case.weight is None else case.weight > 0
    square = ((((case.X - center) / scale) ** 2).sum(axis=1) + 1)[kept].max()
    assert sums.largest_square == pytest.approx(square, rel=10 * case.tolerance)
    np.testing.assert_array_equal(sums.hess, sums.hess.transpose(0, 2, 1))


@combinations
def test_hessian_times_a_direction(names):
    case = make(**names)
    W, center = coefficients(case)
    V = np.random.default_rng(3).standard_normal(W.shape)
    want = (judge(case, W, center)[2] @ V.ravel()).reshape(W.shape)
    got = case.source.hess_vec(W, V, center)
    np.testing.assert_allclose(got, want, rtol=0, atol=5 * case.tolerance * np.abs(want).max())


@combinations
def test_losses_along_a_direction(names):
    case = make(**names)
    W, center = coefficients(case)
    V, steps = np.random.default_rng(3).standard_normal(W.shape), np.array([0.0, 0.5, 1.0, -2.0])
    want = [judge(case, W + t * V, center)[0] for t in steps]
    np.testing.assert_allclose(case.source.losses_along(W, V, center, steps), want, rtol=case.tolerance)


@in_float64
def test_gradient_changes_by_the_hessian(names):
    """Five points of the gradient, none of the reference."""
    case = make(**names)
    W, center = coefficients(case)
    V, h = np.random.default_rng(3).standard_normal(W.shape), 1e-4
    at = [case.source.loss_grad(W + step * h * V, center, np.float64).grad for step in (-2, -1, 1, 2)]
    five_point = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * h)
    got = case.source.hess_vec(W, V, center, np.float64)
    np.testing.assert_allclose(got, five_point, rtol=0, atol=1e-8 * np.abs(five_point).max())


@combinations
def test_column_squares(names):
    case = make(**names)
    center = case.X.mean(axis=0)
    s = np.ones(len(case.X)) if case.weight is None else case.weight
    a = s[:, None] * (case.X - center) ** 2
    want = np.array([a.sum(axis=0), (a**2).sum(axis=0)])
    rtol = 1e-6 if case.dtype == np.float32 else 1e-11
    np.testing.assert_allclose(case.source.column_squares(center), want, rtol=rtol)


@combinations
def test_diagonal(names):
    case = make(**names)
    W, center = coefficients(case)
    want = np.diag(judge(case, W, center)[2]).reshape(W.shape)
    np.testing.assert_allclose(case.source.hess_diag(W, center), want, rtol=0, atol=case.tolerance * np.abs(want).max())


@pytest.mark.parametrize("storage", ["rows", "csr"])
def test_largest_square_gram_and_class_curvature(storage):
    case = make(storage, loss="softmax 3", extras="weights", shape="narrow")
    W, center = coefficients(case)
    tilde = np.column_stack([case.X - center, np.ones(len(case.X))])
    T = np.random.default_rng(4).standard_normal((6, 4))
    want = ((tilde @ T) ** 2).sum(axis=1)[case.weight > 0].max()
    assert case.source.largest_square(T, center) == pytest.approx(want, rel=1e-12)
    np.testing.assert_allclose(
        case.source.gram(center), (tilde * case.weight[:, None]).T @ tilde, rtol=1e-11, atol=1e-9
    )
    P = reference.softmax(tilde @ W)
    want = np.diag(case.weight @ P) - (P * case.weight[:, None]).T @ P
    np.testing.assert_allclose(case.source.class_curvature(W, center), want, rtol=1e-11, atol=1e-11)


def surveyed(rows_per_part=None):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40_000, 6))
    X[17, 3], X[30_000, 0] = 500.0, -300.0
    y = (rng.random(len(X)) < 0.01).astype(int)
    weight = rng.integers(0, 3, len(X)).astype(float)
    weight[[17, 30_000]] = 2.0
    return X, y, weight, memory_source(X, y, weight, rows_per_part=rows_per_part)


def test_survey_is_one_weighted_sample_for_any_parts():
    X, y, weight, source = surveyed()
    moments, sample, _ = source.survey(2000, 7)
    whole = source.moments()
    np.testing.assert_allclose(moments.mean, whole.mean, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(moments.squares, whole.squares, rtol=1e-12)
    rows = sample.storage.X
    assert 2000 < sample.n_samples < 3200
    for far in (17, 30_000):  # the far rows stand for themselves
        (index,) = np.flatnonzero((rows == X[far]).all(axis=1))
        assert sample.targets.weight[index] == weight[far]
    assert np.count_nonzero(sample.targets.y) == y[weight > 0].sum()  # 1 % positives: all that have a weight
    assert sample.targets.weight.sum() == pytest.approx(weight.sum(), rel=0.05)
    _, again, _ = surveyed(rows_per_part=12_800)[-1].survey(2000, 7)
    np.testing.assert_array_equal(again.storage.X, rows)
    _, other, _ = source.survey(2000, 8)
    assert other.storage.X.shape != rows.shape or (other.storage.X != rows).any()


@pytest.mark.parametrize("storage", [np.ascontiguousarray, np.asfortranarray, scipy.sparse.csr_array])
@pytest.mark.parametrize("rows_per_part", [None, 1280])
@pytest.mark.parametrize("by", ["rows", "classes"])
def test_survey_after_rows_without_weight(by, rows_per_part, storage):
    """A fold's mask: what lies far out is found all the same, and digits are not lost to the mean."""
    X, y, _, _ = surveyed()
    X[:, 5] += 1e6
    left_out = np.arange(len(X)) < 6000
    y = np.where(left_out, 2, y)
    weights = dict(sample_weight=1.0 - left_out) if by == "rows" else dict(class_weight=[1.0, 1.0, 0.0])
    source = memory_source(storage(X), y, rows_per_part=rows_per_part, **weights)
    moments, sample, _ = source.survey(2000, 7)
    kept = X[6000:]
    for found in (moments, source.moments()):
        assert found.n_samples == len(X) and found.weight == len(kept)
        np.testing.assert_allclose(found.mean, kept.mean(axis=0), rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(found.variance, kept.var(axis=0), rtol=1e-6)
    first = sample.storage.take(np.arange(sample.n_samples))
    rows = first.X if hasattr(first, "X") else as_dense(first)
    assert np.isclose(rows[:, 0], -300.0).sum() == 1 < sample.n_samples < 4000
    X[3000, 2] = np.nan
    for take in (lambda s: s.moments(), lambda s: s.survey(2000, 7)):
        with pytest.raises(ValueError, match="contains NaN. It is in row 3000, column 2"):
            take(memory_source(storage(X), y, rows_per_part=rows_per_part, **weights))


@pytest.mark.parametrize("storage", [np.ascontiguousarray, np.asfortranarray, scipy.sparse.csr_array])
@pytest.mark.parametrize("is_far", [False, True])
def test_survey_bounds_the_widest_row(storage, is_far):
    rng = np.random.default_rng(0)
    X, weight = rng.standard_normal((20_000, 4)) * [1.0, 10.0, 0.1, 1.0] + [0.0, 5.0, 1.0, 0.0], np.ones(20_000)
    if is_far:
        X[[500, 19_000], 1] = 3000.0
        weight[19_000] = 0.0
    source = memory_source(storage(X), np.arange(len(X)) % 2, weight)
    moments, _, reach = source.survey(2000, 7)
    for center, scale in ((moments.mean, moments.variance**0.5), (np.zeros(4), np.array([1.0, 20.0, 2.0, 3.0]))):
        kept = (X[weight > 0] - center) / scale
        widest = (1.0 + (kept**2).sum(axis=1)).max() ** 0.5
        if storage is scipy.sparse.csr_array:  # centred by algebra, which loses digits
            assert reach.norm(center, scale) == np.inf
        else:
            assert widest <= reach.norm(center, scale) < 10.0 * widest
    step = np.where(rng.random(20_000) < 0.45, 0.125, 0.0)
    step[4096:], step[10_000] = np.where(rng.random(15_904) < 0.56, 0.125, 0.0), -1.25
    coarse = (2.0**20 + step[:, None]).astype(np.float32)  # the mean is no float32
    moments, _, reach = memory_source(storage(coarse), np.arange(20_000) % 2).survey(2000, 7)
    widest = (1.0 + ((coarse - moments.mean) ** 2 / moments.variance).max()) ** 0.5
    assert reach.norm(moments.mean, moments.variance**0.5) >= widest
    X[:, 3] = np.arange(len(X)) == 10_000  # constant in the rows that the survey standardises by
    _, _, reach = memory_source(storage(X), np.arange(len(X)) % 2).survey(2000, 7)
    assert reach.norm(np.zeros(4), np.ones(4)) == np.inf


def as_dense(rows):
    matrix = scipy.sparse.csr_array((rows.data, rows.indices, rows.indptr), rows.shape)
    return matrix.toarray()


def test_samples_of_near_seeds_have_little_in_common():
    """One was the other, moved by a row."""
    none = np.empty(0)
    targets = Targets(*(read_only(a) for a in (np.zeros(40_000, np.uint8), none, none, none.reshape(0, 0))))

    def rows(seed, first_row=0, first=0, last=40_000):
        limits = Limits.of(np.array([40_000, 0]), 4000, seed)
        return first_row + drawn_by_hash(targets, limits, first_row, first, last)

    drawn = [set(rows(seed).tolist()) for seed in range(6)]
    for i, one in enumerate(drawn):
        assert 3700 < len(one) < 4300
        for other in drawn[:i]:
            for moved in range(-6, 7):
                assert len(one & {row + moved for row in other}) < 550  # 400 by chance
    parts = rows(3, last=10_000), rows(3, first=10_000, last=30_000), rows(3, first_row=30_000, last=10_000)
    assert drawn[3] == set(np.concatenate(parts).tolist())  # whatever the blocks and parts


def test_survey_of_columns_and_soft_labels():
    rng = np.random.default_rng(0)
    X = np.asfortranarray(rng.standard_normal((30_000, 5)).astype(np.float32))
    y = rng.dirichlet(np.ones(3), len(X))
    _, sample, _ = memory_source(X, y).survey(3000, 0)
    assert sample.storage.X.flags.f_contiguous
    assert sample.targets.y.shape == (sample.n_samples, 3)
    assert sample.targets.weight.sum() == pytest.approx(len(X), rel=1e-12)


def test_survey_finds_what_is_not_finite():
    X = np.zeros((30_000, 5))
    X[20_000, 2] = np.nan
    with pytest.raises(ValueError, match="contains NaN. It is in row 20000, column 2"):
        memory_source(X, np.arange(len(X)) % 2).survey(3000, 0)


@pytest.mark.parametrize("K", [2, 3, 5])
def test_curvatures_of_sure_rows_keep_their_digits(K):
    """With ``1 - p`` the curvature of a row whose class is all but certain was noise, 1e-16 beside 1e-17."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 3)), np.arange(60) % K
    X[np.arange(60), y % 3] += 5.0 + y // 3
    W = np.zeros((4, 1 if K == 2 else K))
    if K == 2:
        W[0], W[1] = -9.0, 9.0
    else:
        W[np.arange(K) % 3, np.arange(K)] = 9.0
        W[3] = np.arange(K) // 3 * -2.0
    V, center = rng.standard_normal(W.shape), np.zeros(3)
    Y = np.eye(K)[y]
    value, grad, hess = value_grad_hess(W.astype(LONG), X.astype(LONG), Y, np.ones(60, LONG), LONG(0), np.inf)
    for labels in (y, Y):
        source = memory_source(X, labels)
        sums = source.grad_hess(W, center, np.ones(3))
        blocks = [(k, m) for k in range(W.shape[1]) for m in range(k, W.shape[1])]
        cube = hess.reshape(4, W.shape[1], 4, W.shape[1])
        for (k, m), block in zip(blocks, sums.hess, strict=True):
            want = cube[:, k, :, m].astype(float)
            np.testing.assert_allclose(block, want, rtol=1e-11, atol=1e-12 * np.abs(want).max())
        want = grad.astype(float)
        np.testing.assert_allclose(sums.grad, want, rtol=1e-11, atol=1e-12 * np.abs(want).max())
        assert sums.loss_sum == pytest.approx(float(value), rel=1e-11)
        want = (hess @ V.ravel()).reshape(V.shape).astype(float)
        got = source.hess_vec(W, V, center)
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-11 * np.abs(want).max())
        curvature = source.class_curvature(W, center)
        want = cube[3, :, 3].astype(float)
        np.testing.assert_allclose(curvature, want, rtol=1e-11, atol=1e-12 * np.abs(want).max())
