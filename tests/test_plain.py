"""Little data: operations in NumPy equal those of kernels, fits and predictions too, and nothing is compiled."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse
from cases import STORAGES

import fastlogit as fl
from fastlogit import costs
from fastlogit.kernels.losses import Logistic, Softmax
from fastlogit.kernels.machine.jit import read_only
from fastlogit.kernels.passes.first_order import Targets
from fastlogit.sources.block import Block
from fastlogit.sources.memory import MemorySource

N, D = 150, 6


def numbers(result):
    """Return all numbers of an operation's result."""
    fields = getattr(result, "__dataclass_fields__", None)
    if fields is None:
        return np.ravel(np.asarray(result, np.float64))
    return np.concatenate([numbers(getattr(result, name)) for name in fields])


def labels(rng, K, soft):
    if soft:
        return rng.dirichlet(np.full(max(K, 2), 0.3), N)
    return rng.integers(0, max(K, 2), N).astype(np.uint8)


@pytest.mark.parametrize("size", [1.0, 30.0], ids=["margins of 1", "margins of 100"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weights and offset"])
@pytest.mark.parametrize("soft", [False, True], ids=["codes", "soft"])
@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.parametrize("storage", ["rows", "csr"])
def test_operations_equal_those_of_kernels(storage, K, soft, weighted, size):
    rng = np.random.default_rng(K)
    X, y = 3.0 * rng.standard_normal((N, D)) + 2.0, labels(rng, K, soft)
    weight = rng.random(N) * (rng.random(N) > 0.2) if weighted else np.empty(0)
    factors = rng.random(max(K, 2)) if weighted and not soft else np.empty(0)
    offset = rng.standard_normal((N, K)) if weighted else np.empty((0, 0))
    loss = Logistic() if K == 1 else Softmax(K)
    targets = Targets(*(read_only(a) for a in (y, weight, factors, offset)))
    source = MemorySource([Block(STORAGES[storage](X), targets, loss)])
    light = source.light()
    assert light is not source and light.light() is light
    W, V = size * rng.standard_normal((D + 1, K)), rng.standard_normal((D + 1, K))
    center, scale = X.mean(axis=0), X.std(axis=0)
    f64 = np.dtype(np.float64)
    operations = {
        "moments": (),
        "loss_grad": (W, center, f64),
        "grad_hess": (W, center, scale, f64),
        "hess_vec": (W, V, center, f64),
        "hess_diag": (W, center, f64),
        "losses_along": (W, V, center, np.array([0.0, 0.5, 1.0]), f64),
        "gram": (center, f64),
        "class_curvature": (W, center, f64),
        "column_squares": (center,),
        "largest_square": (W, center),
    }
    for name, arguments in operations.items():
        want, got = numbers(source.run(name, *arguments)), numbers(light.run(name, *arguments))
        np.testing.assert_allclose(
            got, want, rtol=1e-9, atol=1e-12 * np.abs(want[np.isfinite(want)]).max(), err_msg=name
        )
    widest = light.widest_row(center, scale)
    assert widest <= source.widest_row(center, scale) <= widest * (1.0 + 2e-4)
    np.testing.assert_allclose(light.margins(W, center), source.margins(W, center), rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("solver", ["auto", "newton", "lbfgs", "newton-cg"])
@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("form", [np.asarray, np.asfortranarray, np.float32, scipy.sparse.csr_array])
def test_fits_and_predictions_equal_those_of_kernels(form, K, solver, monkeypatch):
    rng = np.random.default_rng(K)
    X = form(rng.standard_normal((N, D)).astype(np.float32).astype(np.float64) * (rng.random((N, D)) < 0.6))
    y = (np.asarray(X @ rng.standard_normal((D, K))) + rng.gumbel(size=(N, K))).argmax(axis=1)
    weight = rng.random(N)
    found = []
    for little in (costs.LITTLE, 0):
        monkeypatch.setattr(costs, "LITTLE", little)
        model = fl.LogisticRegression(solver=solver, tol=1e-12, class_weight="balanced").fit(X, y, weight)
        assert model.converged_
        found.append((model.coef_, model.intercept_, model.decision_function(X), model.predict_proba(X)))
    for little, large in zip(*found, strict=True):
        assert little.dtype == large.dtype and little.shape == large.shape
        np.testing.assert_allclose(little, large, rtol=1e-4, atol=2e-6)


CODE = """
import sys
import numpy as np
import scipy.sparse
import fastlogit as fl
from fastlogit.kernels.machine.jit import specialisations

rng = np.random.default_rng(0)
X = rng.standard_normal((200, 5)) * (rng.random((200, 5)) < 0.7)
for form in (np.ascontiguousarray, np.asfortranarray, np.float32, scipy.sparse.csr_array):
    for K in (2, 3):
        y = (X @ rng.standard_normal((5, K)) + rng.gumbel(size=(200, K))).argmax(axis=1)
        for C in (1.0, np.inf):
            model = fl.LogisticRegression(C=C).fit(form(X), y)
            assert model.converged_
            for ask in (model.predict, model.predict_proba, model.decision_function):
                ask(form(X))
wide = rng.standard_normal((40, 300))
fl.LogisticRegression().fit(wide, wide[:, 0] > 0).predict(wide)
assert not specialisations(), specialisations()
"""


def test_nothing_is_compiled_for_little_data():
    done = subprocess.run([sys.executable, "-W", "error", "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_an_element_that_is_not_finite_is_found():
    X = np.random.default_rng(0).standard_normal((50, 3))
    X[7, 2] = np.inf
    with pytest.raises(ValueError, match="row 7, column 2"):
        fl.solve(X, np.arange(50) % 2)


def test_a_time_limit_ends_little_fits_too():
    X = np.random.default_rng(0).standard_normal((50, 3))
    with pytest.warns(fl.ConvergenceWarning, match="time_limit"):
        assert not fl.LogisticRegression(time_limit=1e-9).fit(X, np.arange(50) % 2).converged_


@pytest.mark.parametrize("at", [0, 70])
def test_rows_without_weight_count_for_nothing(at):
    rng = np.random.default_rng(0)
    X, y, weight = rng.standard_normal((N, 2)), rng.integers(0, 2, N), np.ones(N)
    left_out = np.delete(X, at, axis=0), np.delete(y, at)
    X[at], weight[at] = -3e38, 0.0
    want = fl.LogisticRegression(C=0.01, standardize=True).fit(*left_out)
    model = fl.LogisticRegression(C=0.01, standardize=True).fit(X, y, weight)
    np.testing.assert_allclose(model.coef_, want.coef_, rtol=1e-6)
    X[at] = np.nan
    with pytest.raises(ValueError, match=f"row {at}"):
        fl.LogisticRegression().fit(X, y, weight)


def test_a_sparse_column_far_from_zero_loses_no_digits():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, 2)) + [0.0, 1e8]
    y = (X[:, 0] + rng.logistic(size=N) > 0).astype(int)
    model = fl.LogisticRegression(C=np.inf).fit(scipy.sparse.csr_array(X), y)
    assert model.converged_ and model.n_passes_ < 12


def test_float32_soft_labels_lose_no_digits():
    rng = np.random.default_rng(0)
    y = rng.dirichlet(np.ones(4), N).astype(np.float32)
    targets = Targets(*(read_only(a) for a in (y, np.empty(0), np.empty(0), np.empty((0, 0)))))
    source = MemorySource([Block(STORAGES["rows"](rng.standard_normal((N, D))), targets, Softmax(4))])
    W, center = rng.standard_normal((D + 1, 4)), np.zeros(D)
    want = source.loss_grad(W, center, np.float64).grad
    np.testing.assert_allclose(source.light().loss_grad(W, center, np.float64).grad, want, rtol=1e-12, atol=1e-12)


def test_probabilities_of_margins_that_overflow():
    X, y = np.random.default_rng(0).standard_normal((20, 2)), np.arange(20) % 2
    model = fl.LogisticRegression().fit(X, y)
    model.coef_ = np.array([[1e308, 1e308]])
    with np.errstate(all="raise"):
        P = model.predict_proba(np.array([[5.0, 5.0], [-5.0, -5.0]]))
    assert P.tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_margins_that_float32_does_not_hold(monkeypatch):
    X = np.array([[1.0], [-1.0]], np.float32)
    model = fl.LogisticRegression().fit(X, [0, 1])
    for little in (costs.LITTLE, 0):  # in NumPy, and by a kernel
        monkeypatch.setattr(costs, "LITTLE", little)
        with np.errstate(all="raise"):
            model.coef_ = np.array([[1e300]])
            assert model.decision_function(X).tolist() == [1e300, -1e300]
            assert model.predict_proba(X).tolist() == [[0.0, 1.0], [1.0, 0.0]]
            model.coef_ = np.array([[1e30]])
            assert model.decision_function(1e30 * X).tolist() == [np.inf, -np.inf]
            assert model.predict(1e30 * X).tolist() == [1, 0]
