"""Sparse rows: what SciPy's matrices mean, fits that equal dense ones, and no array of the dense size."""

import resource
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from optimum import optimum

import fastlogit as fl
from fastlogit import LogisticRegression
from fastlogit.kernels.storages.csr import CSR
from fastlogit.sources.intake import as_storage
from fastlogit.sources.targets import memory_source

pytestmark = pytest.mark.usefixtures("kernels")

INEFFICIENT = scipy.sparse.SparseEfficiencyWarning


def data(N=400, D=30, K=2, seed=0, dtype=np.float64, density=0.2):
    """Return CSR rows and labels drawn by a model."""
    rng = np.random.default_rng(seed)
    X = scipy.sparse.csr_array(np.where(rng.random((N, D)) < density, rng.random((N, D)), 0.0).astype(dtype))
    Z = X @ rng.standard_normal((D, 1 if K == 2 else K)) * 3
    y = (Z[:, 0] + rng.logistic(size=N) > 0).astype(int) if K == 2 else (Z + rng.gumbel(size=Z.shape)).argmax(axis=1)
    y[:K] = np.arange(K)
    return X, y


patterns = st.tuples(st.integers(0, 2**31), st.integers(6, 60), st.integers(1, 30), st.sampled_from([2, 3, 6]))


@settings(deadline=None, max_examples=40)
@given(patterns, st.floats(0.0, 1.0), st.booleans())
def test_any_pattern_equals_its_dense_form(pattern, density, explicit_zeros):
    seed, N, D, K = pattern
    rng = np.random.default_rng(seed)
    X, y = data(N, D, K, seed, density=density)
    if explicit_zeros:
        X.data[rng.random(X.nnz) < 0.3] = 0.0
    weight = rng.integers(0, 3, N) + 0.5
    sparse, dense = memory_source(X, y, weight), memory_source(X.toarray(), y, weight)
    margins = 1 if K == 2 else K
    W, V = rng.standard_normal((2, D + 1, margins))
    center, scale = X.toarray().mean(axis=0), np.linspace(0.5, 2.0, D)
    pairs = [
        *((a.loss_sum, a.grad) for a in (sparse.loss_grad(W, center), dense.loss_grad(W, center))),
        *((a.mean, a.squares) for a in (sparse.moments(), dense.moments())),
        *((a.hess_vec(W, V, center), a.hess_diag(W, center)) for a in (sparse, dense)),
        *((a.grad_hess(W, center, scale).hess, a.column_squares(center)) for a in (sparse, dense)),
        *((a.largest_square(W, center), a.widest_row(center, scale)) for a in (sparse, dense)),
    ]
    for got, want in zip(pairs[::2], pairs[1::2], strict=True):
        for one, two in zip(got, want, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-12 * max(1.0, np.abs(two).max()))


@pytest.mark.parametrize("K", [2, 4])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_fit_equals_dense(K, dtype):
    X, y = data(K=K, dtype=dtype)
    weight, offset = np.linspace(0.5, 1.5, 400), np.linspace(-1, 1, 400 * (1 if K == 2 else K)).reshape(400, -1)
    for given_to_both in ({}, {"C": 1e-2, "standardize": True}, {"fit_intercept": False}):
        sparse, dense = LogisticRegression(tol=1e-10, **given_to_both), LogisticRegression(tol=1e-10, **given_to_both)
        sparse.fit(X, y, weight, offset=offset)
        dense.fit(X.toarray(), y, weight, offset=offset)
        assert sparse.converged_ and sparse.gap_kind_ in "AP"
        assert sparse.objective_ == pytest.approx(dense.objective_, rel=1e-9)
        np.testing.assert_allclose(sparse.coef_, dense.coef_, rtol=1e-4, atol=1e-5)
        for ask in ("decision_function", "predict_proba", "predict_log_proba"):
            got, want = (getattr(sparse, ask)(rows, offset=offset) for rows in (X, X.toarray()))
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-12 if dtype == np.float64 else 2e-5)
        np.testing.assert_array_equal(sparse.predict(X), sparse.predict(X.toarray()))


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg"])
def test_many_columns_on_the_diagonal(solver, K):
    X, y = data(N=600, D=5000, K=K, density=0.01)
    solution = fl.solve(X, y, solver=solver)
    assert solution.converged and solution.gap_kind == "D"
    dense = fl.solve(X.toarray()[:, np.flatnonzero(np.diff(X.tocsc().indptr))], y, tol=1e-11)
    assert 0.0 <= solution.value - dense.value + 1e-11 * dense.value <= solution.gap + 1e-10 * dense.value


def test_dense_column_of_large_mean():
    X, y = data(D=6)
    rough = X.toarray()
    rough[:, 2] = 1e4 + np.random.default_rng(0).standard_normal(len(rough))
    sparse, dense = fl.solve(scipy.sparse.csr_array(rough), y, C=10.0), fl.solve(rough, y, C=10.0)
    assert sparse.converged and sparse.value == pytest.approx(dense.value, rel=1e-9)
    np.testing.assert_allclose(sparse.coef, dense.coef, rtol=1e-4, atol=1e-6)
    moments = memory_source(scipy.sparse.csr_array(rough), y).moments()
    np.testing.assert_allclose(moments.variance, rough.var(axis=0), rtol=1e-10)


def test_column_without_zeros_and_weights_that_do_not_add_up_exactly():
    X, y = data(D=6)
    full = X.toarray()
    full[:, 3] = 1.0
    weight = np.linspace(0.5, 1.5, len(full))
    moments = memory_source(scipy.sparse.csr_array(full), y, weight).moments()
    assert moments.variance[3] == 0.0
    sparse, dense = (fl.solve(A, y, C=np.inf, sample_weight=weight) for A in (scipy.sparse.csr_array(full), full))
    np.testing.assert_allclose(sparse.coef, dense.coef, rtol=1e-6, atol=1e-9)
    full[:, 3] = 1e6 + np.random.default_rng(0).standard_normal(len(full))
    source = memory_source(scipy.sparse.csr_array(full), y, weight)
    mean = weight @ full / weight.sum()
    np.testing.assert_allclose(source.moments().squares, weight @ (full - mean) ** 2, rtol=1e-9)
    scale = full.std(axis=0)
    want = (((full - mean) / scale) ** 2).sum(axis=1).max()
    assert source.widest_row(mean, scale) == pytest.approx(want, rel=1e-3)


def test_sample_of_sparse_rows():
    X, y = data(N=30_000, D=12)
    solution = fl.solve(X, y)
    assert solution.converged and solution.n_passes <= 6
    assert solution.value == pytest.approx(float(optimum(X.toarray(), y)[1]), rel=1e-9)


def test_read_as_they_lie():
    X, y = data()
    storage, _ = as_storage(X)
    assert isinstance(storage, CSR)
    for part in (X.data, X.indices, X.indptr):
        assert any(np.shares_memory(part, mine) for mine in storage[:3])
    before = X.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fl.solve(scipy.sparse.csr_matrix(X), y)
    assert (before != X).nnz == 0
    for flags in (X != 0, (X != 0).astype(np.int8), (X != 0).astype(np.float64)):
        assert fl.solve(flags, y).value == pytest.approx(fl.solve(flags.toarray().astype(float), y).value, rel=1e-7)


def test_column_indices_in_any_order_are_no_reason_to_warn():
    """`TfidfVectorizer` gives such; a copy is sorted, whatever the matrix believes of itself."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = np.random.default_rng(0).choice(["one", "two", "three", "four", "five"], (60, 8))
    texts, y = TfidfVectorizer().fit_transform([" ".join(row) for row in words]), np.arange(60) % 2
    assert not texts.has_sorted_indices
    texts.has_sorted_indices = texts.has_canonical_format = True
    before = texts.indices.copy()
    want = fl.solve(texts.toarray(), y)
    assert fl.solve(texts, y).value == pytest.approx(want.value, rel=1e-8)
    np.testing.assert_array_equal(texts.indices, before)


@pytest.mark.parametrize("form", ["csc", "coo", "bsr", "dok", "lil", "duplicates"])
def test_other_forms_are_converted_with_a_warning(form):
    X, y = data()
    want = fl.solve(X, y).value
    if form == "duplicates":
        halves = np.repeat(X.data / 2, 2)
        other = scipy.sparse.csr_array((halves, np.repeat(X.indices, 2), 2 * X.indptr), X.shape)
    else:
        other = X.asformat(form)
    before = other.copy()
    with pytest.warns(INEFFICIENT, match=r"a copy of [\d,]+ bytes was made") as caught:
        solution = fl.solve(other, y)
    assert caught[0].filename == __file__
    assert solution.value == pytest.approx(want, rel=1e-8)
    assert (before != other).nnz == 0 and other.nnz == before.nnz
    if form == "duplicates":  # what the warning names helps
        assert "X.sum_duplicates(), done once" in str(caught[0].message)
        other.sum_duplicates()
    else:
        assert "X.tocsr(), done once" in str(caught[0].message)
        other = other.tocsr()
    assert fl.solve(other, y).value == solution.value


def broken(change):
    X = data()[0]
    change(X)
    return X


def _set(name, at, value):
    def change(X):
        getattr(X, name)[at] = value

    return change


@pytest.mark.parametrize(
    "X, message",
    [
        (broken(_set("indices", 7, 30)), r"row \d+ has a column index 30, but columns go from 0 to 29"),
        (broken(_set("indices", 7, -1)), r"row \d+ has a column index -1"),
        (broken(_set("indptr", 5, 10**6)), r"indptr falls from 1000000 to \d+ at row 5"),
        (broken(_set("indptr", -1, 10**6)), r"indptr ends at 1000000, but data and indices have \d+ and \d+"),
        (broken(_set("indptr", 0, -4)), r"indptr begins at -4"),
    ],
)
def test_malformed_matrices_are_refused(X, message):
    with pytest.raises(ValueError, match=message):
        fl.solve(X, data()[1])


def test_a_malformed_column_form_is_refused():
    X = data()[0].tocsc()
    X.indices[3] = 400
    with pytest.raises(ValueError, match="ind"):  # SciPy's own words, which change
        fl.solve(X, data()[1])


def test_bad_values():
    X, y = data()
    for value, what in ((np.nan, "NaN"), (np.inf, "infinity")):
        bad = X.copy()
        bad.data[100] = value
        row = int(np.searchsorted(X.indptr, 100, side="right")) - 1
        where = f"Input X contains {what}. It is in row {row}, column {X.indices[100]}"
        with pytest.raises(ValueError, match=where):
            fl.solve(bad, y)
        with pytest.raises(ValueError, match=where):
            LogisticRegression().fit(X, y).predict_proba(bad)
    with pytest.raises(ValueError, match="Complex data"):
        fl.solve(X.astype(complex), y)
    with pytest.raises(ValueError, match="0 sample"):
        fl.solve(X[:0], y[:0])
    assert fl.solve(scipy.sparse.csr_array((400, 30)), y).converged  # no nonzeros at all


def test_bitwise_equal_for_any_number_of_threads():
    X, y = data(N=5000, D=300, K=3, density=0.05)
    one, two = (fl.solve(X, y, solver="lbfgs", n_threads=n) for n in (1, None))
    np.testing.assert_array_equal(one.x, two.x)


@pytest.mark.slow
def test_a_million_columns_in_little_memory():
    """X has 24 MB; a dense copy of it would have 160 GB, and one vector of coefficients 8 MB."""
    code = """
        import resource
        import numpy as np, scipy.sparse
        import fastlogit as fl
        rng = np.random.default_rng(0)
        N, D = 20_000, 1_000_000
        indices = np.sort(rng.integers(0, D, (N, 100)), axis=1).astype(np.int32)
        X = scipy.sparse.csr_array((np.ones(2_000_000), indices.ravel(), np.arange(N + 1) * 100), (N, D))
        X.sum_duplicates()
        y = rng.integers(0, 2, N)
        fl.solve(X[:2000, :5000], y[:2000], solver="lbfgs")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        solution = fl.solve(X, y)
        assert solution.converged and solution.gap_kind == "D", solution
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 700  # 42 vectors of L-BFGS, some more, and 64 MiB of partial sums
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss > 0


@pytest.mark.parametrize("K", [2, 3])
def test_notebook_functions_equal_dense(K):
    X, y = data(K=K)
    train = fl.binary_classifier_from if K == 2 else fl.multiclass_classifier_from
    sparse, dense = train(X, y, epochs=3, learning_rate=1e-3), train(X.toarray(), y, epochs=3, learning_rate=1e-3)
    np.testing.assert_allclose(sparse.history, dense.history, rtol=1e-12)
    np.testing.assert_allclose(sparse(X), dense(X.toarray()), rtol=0, atol=1e-12)
    one = X.toarray()[3]
    np.testing.assert_allclose(sparse(scipy.sparse.coo_array(one)), dense(one), rtol=0, atol=1e-12)


def test_sparse_coefficients_predict_the_same():
    X, y = data(K=3)
    model = LogisticRegression(warm_start=True).fit(X, y)
    want, coef = model.predict_proba(X), model.coef_
    assert scipy.sparse.issparse(model.sparsify().coef_)
    np.testing.assert_array_equal(model.predict_proba(X), want)
    np.testing.assert_array_equal(model.to_sklearn().predict(X), model.predict(X))
    assert model.fit(X, y).n_iter_[0] <= 2  # a warm start from sparse coefficients
    np.testing.assert_allclose(model.sparsify().densify().coef_, coef, rtol=1e-5, atol=1e-6)
