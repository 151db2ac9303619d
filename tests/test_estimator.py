"""`LogisticRegression`: scikit-learn's conventions, and the same answers."""

import logging
import pickle
import warnings
from inspect import signature

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.special
import sklearn
import sklearn.linear_model
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import StackingClassifier
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastlogit as fl
from fastlogit import LogisticRegression
from fastlogit.plan import plan
from fastlogit.sources.targets import memory_source


@pytest.mark.every_case
@pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")  # of every form that is not CSR
@parametrize_with_checks(
    [LogisticRegression(), LogisticRegression(solver="lbfgs")],
    # 1.6 makes integers for whatever takes categories, and subtracts a float from them in place
    expected_failed_checks=lambda estimator: (
        {"check_positive_only_tag_during_fit": "its own error"} if sklearn.__version__.startswith("1.6") else {}
    ),
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def data(K=2, N=400, D=5, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N, D)) * np.geomspace(0.1, 10, D) + 1
    Z = X @ rng.standard_normal((D, K)) / np.geomspace(0.1, 10, D)[:, None].mean()
    return X, (Z + rng.gumbel(size=(N, K))).argmax(axis=1)


def theirs(**settings):
    return sklearn.linear_model.LogisticRegression(tol=1e-12, max_iter=10_000, solver="newton-cholesky", **settings)


@pytest.mark.parametrize("settings", [{}, {"C": 0.1}, {"fit_intercept": False}, {"class_weight": "balanced"}], ids=str)
@pytest.mark.parametrize("K", [2, 3])
def test_equals_scikit_learn(K, settings):
    X, y = data(K)
    weight = np.random.default_rng(1).integers(0, 3, len(X)).astype(float)
    # "balanced" counts rows by their weights from scikit-learn 1.7 on, before without
    old = "class_weight" in settings and "sample_weight" not in signature(compute_class_weight).parameters
    for w in (None,) if old else (None, weight):
        ours = LogisticRegression(tol=1e-14, **settings).fit(X, y, w)
        want = theirs(**settings).fit(X, y, w)
        assert ours.converged_ and ours.gap_ <= 1e-14 * ours.objective_
        assert ours.coef_.shape == want.coef_.shape and ours.intercept_.shape == want.intercept_.shape
        np.testing.assert_allclose(ours.coef_, want.coef_, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(ours.predict_proba(X), want.predict_proba(X), atol=1e-7)
        np.testing.assert_array_equal(ours.predict(X), want.predict(X))
        twin = ours.to_sklearn()
        np.testing.assert_allclose(twin.predict_proba(X), ours.predict_proba(X), rtol=0, atol=1e-12)
        np.testing.assert_allclose(twin.decision_function(X), ours.decision_function(X), rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(twin.predict(X), ours.predict(X))


def test_attributes():
    X, y = data()
    model = LogisticRegression().fit(X, y)
    solution = fl.solve(X, y)
    np.testing.assert_array_equal(model.coef_[0], solution.coef[:, 0])
    assert model.objective_ == solution.value and model.gap_ == solution.gap
    assert model.gap_kind_ in "AP" and model.converged_ and not model.separated_
    assert model.n_passes_ == solution.n_passes and model.n_iter_.tolist() == [solution.n_iter]
    frame = pd.DataFrame(model.history_)
    assert list(frame) == ["n_passes", "objective", "grad_norm", "gap", "gap_kind", "seconds"]
    assert frame.n_passes.is_monotonic_increasing and frame.objective.iloc[-1] < frame.objective.iloc[0]


LABELS = {
    "bool": lambda y: y == 1,
    "int8": lambda y: (5 * y - 7).astype(np.int8),
    "far apart": lambda y: y * 10**9 - 10**9,
    "uint64": lambda y: y.astype(np.uint64) + np.uint64(2**63),
    "float": lambda y: y * 1.0 - 1.0,
    "text": lambda y: np.array(["no", "yes", "maybe"])[y],
    "objects": lambda y: np.array(["no", "yes", "maybe"], object)[y],
    "list": lambda y: y.tolist(),
    "every other": lambda y: np.repeat(y, 2)[::2],
    "big-endian": lambda y: y.astype(">i4"),
    "series": lambda y: pd.Series(y, index=np.arange(len(y))[::-1]),
    "text series": lambda y: pd.Series(np.array(["no", "yes", "maybe"])[y]),
    "categorical": lambda y: pd.Series(pd.Categorical.from_codes(y + 1, ["left out", "z", "b", "a"])),
    "nullable": lambda y: pd.Series(y, dtype="Int64"),
}


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_every_kind(kind, K):
    X, y = data(K)
    if kind == "bool" and K == 3:
        pytest.skip("two classes only")
    labels = LABELS[kind](y)
    model = LogisticRegression().fit(X, labels)
    want = np.unique(np.asarray(labels))
    np.testing.assert_array_equal(model.classes_, want)
    predicted = model.predict(X)
    assert predicted.shape == (len(X),) and set(predicted.tolist()) <= set(want.tolist())
    assert model.score(X, labels) == np.mean(predicted == np.asarray(labels)) > 0.5


def test_labels_longer_than_a_block(monkeypatch):
    X, y = data(3)
    want = LogisticRegression().fit(X, y)
    monkeypatch.setattr("fastlogit.estimators.labels._BLOCK", 64)
    for kind in LABELS:
        if kind != "bool":
            labels = LABELS[kind](np.sort(y))  # no block has all classes
            codes = np.unique(np.asarray(labels), return_inverse=True)[1]
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                model = LogisticRegression(max_iter=0)
                with pytest.warns(fl.ConvergenceWarning):
                    model.fit(X, labels)
            np.testing.assert_array_equal(model.classes_[codes], np.asarray(labels))
    np.testing.assert_array_equal(LogisticRegression().fit(X, y).coef_, want.coef_)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (np.linspace(0, 1, 400), r"Unknown label type: continuous.*np.column_stack\(\[1 - y, y\]\)"),
        (np.linspace(0, 2, 400), "Unknown label type: continuous.*regression target with continuous values.$"),
        (np.where(np.arange(400) == 7, np.nan, 1.0), "Input y contains NaN, in row 7"),
        (np.array(["a", None] * 200, object), "Input y contains NaN, in row 1"),
        (np.array(["a", 1] * 200, object), "y mixes labels"),
        (
            pd.Series(pd.Categorical(["a", None, "b", "a"] * 100)),
            "Input y contains NaN, in row 1: a category is missing",
        ),
        (np.arange(300) % 2, "y has 300 rows, but X has 400"),
        (np.ones(400), r"y has one class only \(1.0\)"),
        (["a"] * 400, r"y has one class only \('a'\)"),
        ([True] * 400, r"y has one class only \(True\)"),
        (pd.Series([True, None] * 200, dtype="boolean"), "Input y contains NaN, in row 1"),
        (pd.Series([0, 1, 0, None] * 100, dtype="Int64"), "Input y contains NaN, in row 3"),
        (pd.Series(["a", "b", None, "c"] * 100, dtype="string"), "Input y contains NaN, in row 2"),
        (pd.Series(["a", "b", None, "c"] * 100), "Input y contains NaN, in row 2"),
        (np.array(["a", "b", "c", pd.NA] * 100, object), "Input y contains NaN, in row 3"),
        (np.array(["2026-01-01", "NaT"] * 200, "M8[D]"), "Input y contains NaN, in row 1"),
        (pl.Series(["a", None] * 200), "Input y contains NaN, in row 1"),
        (np.array([b"a", b"b"] * 200), r"y has labels of bytes, which are not supported: decode them"),
        (np.array([b"a", b"b"] * 200, object), r"y has labels of bytes"),
        (np.array([*[("a", "b"), ("c", "d")] * 200, None], object)[:-1], "y must be 1-D.*it has tuples"),
        (np.array([*[[1], [2]] * 200, None], object)[:-1], "y must be 1-D, a label for each row: unhashable"),
        (np.ones((400, 2, 2)), "y should be a 1d array"),
        (np.arange(400) * 1j, "Complex data not supported"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_labels(labels, sentence):
    with pytest.raises(ValueError, match=sentence):
        LogisticRegression().fit(data()[0], labels)


def test_a_column_of_labels():
    X, y = data()
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        model = LogisticRegression().fit(X, y[:, None])
    np.testing.assert_array_equal(model.coef_, LogisticRegression().fit(X, y).coef_)


@pytest.mark.parametrize("K", [2, 3])
def test_soft_labels_are_rows_of_every_class_by_weight(K):
    X, _ = data(K, N=150)
    P = np.random.default_rng(0).dirichlet(np.ones(K), len(X))
    soft = LogisticRegression(tol=1e-13).fit(X, P)
    hard = LogisticRegression(tol=1e-13).fit(np.repeat(X, K, axis=0), np.tile(np.arange(K), len(X)), P.ravel())
    np.testing.assert_allclose(soft.coef_, hard.coef_, rtol=1e-5, atol=1e-7)
    assert soft.classes_.tolist() == list(range(K))
    for class_weight in ({0: 2.0}, "balanced"):
        with pytest.raises(ValueError, match="class_weight needs one class a row"):
            LogisticRegression(class_weight=class_weight).fit(X, P)


@pytest.mark.parametrize("K", [2, 3])
def test_offset(K):
    X, y = data(K)
    rng = np.random.default_rng(0)
    shift = rng.standard_normal((len(X), 1 if K == 2 else K))
    model = LogisticRegression(C=np.inf, tol=1e-13).fit(X, y, offset=shift[:, 0] if K == 2 else shift)
    known = shift @ np.ones((shift.shape[1], 1)) if K == 2 else shift
    Z = model.decision_function(X, offset=shift)
    plain = model.decision_function(X)
    np.testing.assert_allclose(Z.reshape(len(X), -1) - plain.reshape(len(X), -1), known, atol=1e-12)
    P = model.predict_proba(X, offset=shift)
    np.testing.assert_allclose(np.log(P), model.predict_log_proba(X, offset=shift), atol=1e-9)
    np.testing.assert_array_equal(model.predict(X, offset=shift), P.argmax(axis=1))
    assert model.score(X, y, offset=shift) == np.mean(P.argmax(axis=1) == y)
    # the score equations of an unpenalised fit: residuals are orthogonal to every column
    residual = P[:, 1:] - (y == 1)[:, None] if K == 2 else P - np.eye(K)[y]
    np.testing.assert_allclose(X.T @ residual, 0.0, atol=1e-3)


def test_class_weights_are_weights():
    X, y = data(3)
    text = np.array(["a", "b", "c"])[y]
    one = LogisticRegression(class_weight={"a": 2.0, "c": 0.5}, tol=1e-13).fit(X, text)
    two = LogisticRegression(tol=1e-13).fit(X, text, np.array([2.0, 1.0, 0.5])[y])
    np.testing.assert_allclose(one.coef_, two.coef_, rtol=1e-6)
    with pytest.raises(ValueError, match="sample_weight has 5 rows, but X has 400"):
        LogisticRegression(class_weight="balanced").fit(X, text, np.ones(5))
    with pytest.raises(ValueError, match=r"keys that are no labels, 0, 'd': the labels of y are 'a', 'b', 'c'"):
        LogisticRegression(class_weight={"a": 1.0, 0: 1.0, "d": 2.0}).fit(X, text)
    spare = LogisticRegression(class_weight={"a": 2.0, "b": 1.0, "c": 0.5, "d": 9.0}, tol=1e-13).fit(X, text)
    np.testing.assert_array_equal(spare.coef_, one.coef_)  # a label that this fold happens not to have
    for wrong in ("evenly", 3, {"d": 1.0}, {"a": -1.0}, {"a": np.nan}, {"a": "b"}):
        with pytest.raises(ValueError, match="class"):
            LogisticRegression(class_weight=wrong).fit(X, text)


@pytest.mark.parametrize("solver", ["newton", "lbfgs", "newton-cg"])
@pytest.mark.parametrize("K", [2, 3])
def test_warm_start(solver, K):
    X, y = data(K, N=20_000 if solver == "lbfgs" else 400)
    cold = LogisticRegression(solver=solver, warm_start=True).fit(X, y)
    coef, steps = cold.coef_.copy(), int(cold.n_iter_[0])
    warm = cold.fit(X, y)
    assert warm.n_iter_[0] <= 1 < steps
    np.testing.assert_allclose(warm.coef_, coef, atol=1e-3 * np.abs(coef).max())
    given = LogisticRegression(solver=solver).fit(X, y, coef_init=coef, intercept_init=cold.intercept_)
    assert given.n_iter_[0] <= 1
    with pytest.raises(ValueError, match=r"coef_init has shape \(1, 7\)"):
        cold.fit(X, y, coef_init=np.ones((1, 7)))
    with pytest.raises(ValueError, match="intercept_init has NaN"):
        cold.fit(X, y, intercept_init=np.full(len(cold.intercept_), np.nan))
    with pytest.raises(ValueError, match="fit_intercept=False holds intercepts at 0"):
        LogisticRegression(fit_intercept=False).fit(X, y, intercept_init=np.ones(len(cold.intercept_)))


def test_a_warm_start_needs_the_same_classes_and_columns():
    """Else a fit begins as a new estimator's: the same bits."""
    X, y = data(3)

    def began(model, *rows):
        return model.fit(*rows).history_["objective"][0]

    for rows in ((X[:, :2], y), (X, y % 2), (X, y + 5), (X, np.array(list("abc"))[y])):
        model = LogisticRegression(warm_start=True).fit(X, y)
        assert began(model, *rows) == began(LogisticRegression(), *rows)
        np.testing.assert_array_equal(model.coef_, LogisticRegression().fit(*rows).coef_)
    model = LogisticRegression(warm_start=True).fit(X, y)
    assert began(model, X, y) < began(LogisticRegression(), X, y)


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("before", [True, False])
def test_a_warm_start_with_another_intercept(before, K):
    X, y = data(K)
    model = LogisticRegression(warm_start=True, fit_intercept=before).fit(X, y)
    coef = model.coef_.copy()
    model.set_params(fit_intercept=not before, max_iter=0)
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    np.testing.assert_allclose(model.coef_, coef, rtol=1e-9)
    np.testing.assert_allclose(model.intercept_, 0.0, atol=1e-12)


def test_a_failed_fit_leaves_the_model_as_it_was():
    X, y = data()
    model = LogisticRegression().fit(pd.DataFrame(X, columns=list("abcde")), y)
    before = {name: repr(value) for name, value in vars(model).items()}
    for rows, labels in [(X[:, :3] * np.nan, y), (X, np.ones(len(y))), (X[:, :2], y[:5])]:
        with pytest.raises(ValueError):
            model.fit(rows, labels)
        assert {name: repr(value) for name, value in vars(model).items()} == before
    assert "feature_names_in_" not in vars(model.fit(X, y))
    with pytest.raises(NotFittedError):
        LogisticRegression().predict(X)


def test_margins_that_are_extreme():
    X = np.array([[-1e30], [-1e3], [0.0], [1e3], [1e30]])
    model = LogisticRegression().fit(np.array([[-1.0], [1.0], [0.5], [-0.5]]), [0, 1, 0, 1])
    log_p = model.predict_log_proba(X)
    assert np.isfinite(log_p).all()
    z = model.decision_function(X)
    np.testing.assert_allclose(log_p, scipy.special.log_expit(np.column_stack([-z, z])), rtol=1e-12)
    with np.errstate(all="raise"):
        assert model.predict_proba(X)[0].tolist() == [1.0, 0.0] or model.coef_[0, 0] < 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "decision_function"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_prediction_finds_what_is_not_finite(method, value, dtype):
    X, y = data(3)
    frame = pd.DataFrame(X.astype(dtype), columns=list("abcde"))
    model = LogisticRegression().fit(frame, y)
    frame.iloc[399, 2] = value
    with pytest.raises(ValueError, match=r"It is in row 399, column 2 \('c'\)"):
        getattr(model, method)(frame)


def test_saturated_probabilities_are_no_error():
    X, y = data()
    model = LogisticRegression().fit(X, y)
    P = model.predict_proba(X * 1e4)
    assert (P == 0.0).any() and np.isfinite(P).all()


def test_prediction_far_from_the_origin():
    """float32 rows of mean 1e4 and deviation 1: the centre is taken off before the products."""
    X, y = data()
    far = ((X - X.mean(axis=0)) / X.std(axis=0) + 1e4).astype(np.float32)
    model = LogisticRegression().fit(far, y)
    want = scipy.special.expit(far.astype(float) @ model.coef_[0] + model.intercept_[0])
    np.testing.assert_allclose(model.predict_proba(far)[:, 1], want, atol=2e-6)
    naive = scipy.special.expit(far @ model.coef_[0].astype(np.float32) + np.float32(model.intercept_[0]))
    assert np.abs(naive - want).max() > 1e-4


def test_coefficients_that_are_set_are_what_predicts():
    X, y = data()
    model = LogisticRegression().fit(X, y)
    model.coef_, model.intercept_ = 2 * model.coef_, model.intercept_ + 1
    np.testing.assert_allclose(model.decision_function(X), X @ model.coef_[0] + model.intercept_[0], rtol=1e-10)


@pytest.mark.parametrize("K", [2, 3])
def test_score_of_soft_labels(K):
    X, y = data(K)
    P = np.full((len(y), K), 0.2 / (K - 1))
    P[np.arange(len(y)), y] = 0.8
    for model in (LogisticRegression().fit(X, P), LogisticRegression().fit(X, np.array(list("abc"))[y])):
        assert model.score(X, P) == np.mean(model.predict(X) == model.classes_[y]) > 0.5
        with pytest.raises(ValueError, match=f"y has shape .400, {K + 1}., but the model has {K} classes"):
            model.score(X, np.full((400, K + 1), 1 / (K + 1)))
    assert np.isfinite(cross_val_score(LogisticRegression(), X, P)).all()


def test_a_weight_for_all_rows():
    X, y = data()
    one = LogisticRegression(C=3.0, tol=1e-13).fit(X, y, 2.0)
    np.testing.assert_allclose(one.coef_, LogisticRegression(C=6.0, tol=1e-13).fit(X, y).coef_, rtol=1e-6)


def test_a_model_of_a_larger_machine_predicts():
    X, y = data()
    model = LogisticRegression().fit(X, y)
    model.n_threads = 10_000
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), LogisticRegression().fit(X, y).predict_proba(X))
    with pytest.raises(ValueError, match="n_threads=10000, but numba was started with"):
        again.fit(X, y)


def test_scikit_learns_tools():
    X, y = load_breast_cancer(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    assert cross_val_score(pipeline, X, y).mean() > 0.96
    grid = GridSearchCV(LogisticRegression(), {"C": [0.01, 1.0, 10.0]}).fit(X / X.std(axis=0), y)
    assert grid.best_score_ > 0.96
    assert CalibratedClassifierCV(LogisticRegression()).fit(X, y).score(X, y) > 0.94
    stack = StackingClassifier([("a", LogisticRegression()), ("b", LogisticRegression(C=0.1))], LogisticRegression())
    assert stack.fit(X, y).score(X, y) > 0.94
    model = LogisticRegression(C=0.3).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert clone(model).get_params() == model.get_params() and not hasattr(clone(model), "coef_")


def test_metadata_routing():
    X, y = data()
    weight, shift = np.ones(len(X)), np.zeros(len(X))
    with sklearn.config_context(enable_metadata_routing=True):
        model = LogisticRegression().set_fit_request(sample_weight=True, offset=True)
        model.set_predict_request(offset=True).set_score_request(sample_weight=True, offset=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=True), model)
        pipeline.fit(X, y, sample_weight=weight, offset=shift)
        pipeline.predict(X, offset=shift)
        pipeline.score(X, y, sample_weight=weight, offset=shift)
        grid = GridSearchCV(model, {"C": [0.1, 1.0]}).fit(X, y, sample_weight=weight, offset=shift)
        assert grid.best_score_ > 0.5


def test_warnings_are_scikit_learns_too():
    X, y = data()
    with pytest.warns(ConvergenceWarning, match="raise max_iter") as caught:
        model = LogisticRegression(max_iter=1).fit(X, y)
    assert caught[0].filename == __file__
    assert caught[0].category.__name__ == "ConvergenceWarning"  # what people see of it
    assert isinstance(pickle.loads(pickle.dumps(caught[0].message)), fl.ConvergenceWarning)
    assert not model.converged_ and "raise max_iter" in model.status_
    split = (X[:, 1] > 1.0).astype(int)
    with pytest.warns(fl.SeparationWarning, match=r"Columns that lead: 1 \('b'\)\.") as caught:
        model = LogisticRegression(C=np.inf).fit(pd.DataFrame(X, columns=list("abcde")), split)
    assert issubclass(caught[0].category, ConvergenceWarning) and caught[0].category.__name__ == "SeparationWarning"
    assert model.separated_ and not model.converged_ and np.isfinite(model.coef_).all()
    with pytest.warns(ConvergenceWarning, match="time_limit passed"):
        LogisticRegression(time_limit=0.0).fit(X, y)


def test_scikit_learns_callbacks():
    callbacks = pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks from 1.9 on")
    X, y = data()
    monitor = callbacks.ScoringMonitor(scoring="neg_log_loss")
    model = LogisticRegression().set_callbacks(monitor, callbacks.ProgressBar()).fit(X, y)
    frame = monitor.get_logs().data_as_pandas
    steps = frame[frame.task_name == "step"].sort_values("task_id").neg_log_loss.to_numpy()
    assert len(steps) == len(frame) - 1 == len(model.history_["gap"])
    assert steps[0] == pytest.approx(np.log(0.5)) and steps[-1] > steps[0]

    class Stop:
        def setup(self, estimator, context): ...
        def teardown(self, estimator, context): ...
        def on_fit_task_begin(self, estimator, context, **data): ...
        def on_fit_task_end(self, estimator, context, **data):
            return True

    stopped = LogisticRegression().set_callbacks(Stop()).fit(X, y)
    assert not stopped.converged_ and "Interrupted" in stopped.status_ and len(stopped.history_["gap"]) == 1


def test_verbose_shows_and_logs(capsys, caplog):
    X, y = data()
    with caplog.at_level(logging.INFO, "fastlogit"):
        model = LogisticRegression(verbose=True).fit(X, y)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == len(model.history_["gap"])
    assert lines[-1].startswith(f"reads {model.history_['n_passes'][-1]}, objective ")
    shown = capsys.readouterr().out
    assert "reads" in shown and "gap" in shown and "ETA" in shown
    LogisticRegression().fit(X, y)
    assert capsys.readouterr().out == ""


def test_memory_limit_names_the_figures():
    X, y = data(N=40_000)
    with pytest.raises(MemoryError, match=r"memory_limit=1,000 bytes, but fitting 40,000 x 5 .* needs at least [\d,]+"):
        LogisticRegression(memory_limit=1000).fit(X, y)
    for limit in (10**5, 10**6, 10**9):
        model = LogisticRegression(memory_limit=limit).fit(X, y)
        assert model.converged_
    wide = np.random.default_rng(0).standard_normal((500, 300))
    one = LogisticRegression(tol=1e-10).fit(wide, wide[:, 0] > 0)
    two = LogisticRegression(memory_limit=7_000_000, tol=1e-10).fit(wide, wide[:, 0] > 0)
    assert one.converged_ and two.gap_kind_ == "D"  # "lbfgs"
    source = memory_source(wide, (wide[:, 0] > 0).astype(int))
    free, limited = plan(source, "auto", True, None), plan(source, "auto", True, 7_000_000)
    assert limited.solvers == ["lbfgs"] != free.solvers and limited.total <= 7_000_000 < free.total
    assert two.objective_ == pytest.approx(one.objective_, rel=1e-9)


@pytest.mark.parametrize("load", [load_iris, load_breast_cancer])
def test_onnx_round_trip(load):
    skl2onnx = pytest.importorskip("skl2onnx")
    runtime = pytest.importorskip("onnxruntime")
    X, y = load(return_X_y=True)
    model = LogisticRegression().fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        proto = skl2onnx.to_onnx(model.to_sklearn(), X[:1], options={"zipmap": False})
    session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    labels, P = session.run(None, {"X": X})
    np.testing.assert_array_equal(labels, model.predict(X))
    np.testing.assert_allclose(P, model.predict_proba(X), rtol=0, atol=1e-12)
