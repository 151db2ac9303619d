"""Columns of categories mean what `OneHotEncoder` before the estimator means, in frames of every kind."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

import fastlogit as fl
from fastlogit.exceptions import InputError
from fastlogit.kernels.losses import Logistic
from fastlogit.kernels.machine.jit import read_only
from fastlogit.kernels.passes.first_order import Targets
from fastlogit.sources import codings
from fastlogit.sources.block import Block
from fastlogit.sources.categories import Categories, Frame
from fastlogit.sources.memory import MemorySource
from fastlogit.sources.mixed import as_frame, categorical_columns, learnt

N = 600
CITIES = ["rome", "oslo", "bern", "lima"]


def frame(n=N, seed=0, missing=True):
    rng = np.random.default_rng(seed)
    job = rng.choice(list("abcdefg"), n).astype(object)
    if missing:
        job[rng.random(n) < 0.1] = None
    return pd.DataFrame(
        {
            "age": rng.normal(40.0, 10.0, n),
            "city": pd.Categorical(rng.choice(CITIES, n), categories=["unused", *CITIES]),
            "size": rng.integers(0, 9, n),
            "job": pd.Categorical(job),
            "year": pd.Categorical(rng.integers(2000, 2012, n), ordered=True),
        }
    )


def labels(df, n_classes=2, seed=1):
    rng = np.random.default_rng(seed)
    z = (df["age"].to_numpy() - 40) / 10 + (df["city"] == "rome").to_numpy() - (df["job"] == "c").to_numpy()
    return (np.outer(z, np.arange(n_classes)) + rng.gumbel(size=(len(df), n_classes))).argmax(axis=1)


def encoded(df, drop=None):
    """The CSR matrix of the encoder, categories in the place of their columns."""
    blocks = []
    for name in df.columns:
        if isinstance(df[name].dtype, pd.CategoricalDtype):
            blocks.append(OneHotEncoder(drop=drop).fit_transform(df[[name]]))
        else:
            blocks.append(sp.csr_matrix(df[[name]].to_numpy(float)))
    return sp.csr_matrix(sp.hstack(blocks))


# --- the same as the encoder


@pytest.mark.parametrize("solver", ["auto", "newton", "lbfgs", "newton-cg"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("drop", [None, "first"])
def test_a_fit_is_that_of_encoded_columns(solver, n_classes, drop):
    df, rng = frame(), np.random.default_rng(2)
    y, X = labels(df, n_classes), encoded(df, drop)
    weight = rng.random(N) * (rng.random(N) > 0.1)
    offset = rng.standard_normal(N) if n_classes == 2 else rng.standard_normal((N, n_classes))
    codes, ones = (
        fl.LogisticRegression(C=0.7, solver=solver, drop=d).fit(rows, y, weight, offset=offset)
        for rows, d in ((df, drop), (X, None))
    )
    np.testing.assert_allclose(codes.coef_, ones.coef_, rtol=0, atol=1e-12)
    np.testing.assert_allclose(codes.intercept_, ones.intercept_, rtol=0, atol=1e-12)
    assert abs(codes.objective_ - ones.objective_) <= 1e-12 * ones.objective_
    assert codes.converged_ and codes.n_features_in_ == 5 and codes.coef_.shape[1] == X.shape[1]
    np.testing.assert_allclose(codes.predict_proba(df, offset=offset), ones.predict_proba(X, offset=offset), atol=1e-12)
    assert codes.score(df, y, offset=offset) == ones.score(X, y, offset=offset)


@pytest.mark.parametrize("solver", ["newton", "lbfgs", "newton-cg"])
@pytest.mark.parametrize(("n_classes", "fit_intercept"), [(2, True), (3, True), (2, False)])
def test_kernels_end_at_the_same_optimum(kernels, solver, n_classes, fit_intercept):
    """Of many rows solvers are told that levels add up to 1, and take other steps: to a gap of 1e-13 they end there."""
    df = frame(6000)
    y, X = labels(df, n_classes), encoded(df)
    codes, ones = (
        fl.LogisticRegression(tol=1e-13, solver=solver, fit_intercept=fit_intercept).fit(rows, y) for rows in (df, X)
    )
    assert codes.gap_kind_ != "estimate"
    assert abs(codes.objective_ - ones.objective_) <= 1e-12 * ones.objective_
    np.testing.assert_allclose(codes.predict_proba(df), ones.predict_proba(X), atol=1e-5)
    np.testing.assert_allclose(codes.coef_, ones.coef_, atol=1e-4)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_category_of_many_levels_is_eliminated(kernels, n_classes):
    rng = np.random.default_rng(3)
    df = frame(8000)
    df["id"] = pd.Categorical(rng.integers(0, 900, len(df)))
    y = labels(df, n_classes)
    codes = fl.LogisticRegression(solver="newton").fit(df, y)
    assert codes.converged_ and codes.gap_kind_ in "AP" and codes.n_passes_ <= 9
    ones = fl.LogisticRegression(solver="newton-cg", tol=1e-12).fit(encoded(df), y)
    assert abs(codes.objective_ - ones.objective_) <= 1e-8 * ones.objective_
    at_optimum = ones.objective_ - ones.gap_
    assert at_optimum <= codes.objective_ <= at_optimum + codes.gap_ + 1e-11 * ones.objective_


def test_without_a_penalty_levels_add_up_to_0_by_weight():
    for n in (N, 40_000):
        df = frame(n)
        y, weight = labels(df), np.random.default_rng(4).random(n)
        model = fl.LogisticRegression(C=np.inf).fit(df, y, weight)
        coef = dict(zip(model.get_feature_names_out(), model.coef_[0], strict=True))
        for name in ("city", "year"):
            weights = pd.Series(weight).groupby(df[name].to_numpy()).sum()
            assert abs(sum(coef[f"{name}_{level}"] * s for level, s in weights.items())) < 1e-9 * n
        dropped = fl.LogisticRegression(C=np.inf, drop="first").fit(df, y, weight)
        np.testing.assert_allclose(model.predict_proba(df), dropped.predict_proba(df), atol=1e-5)


def test_a_level_of_rows_without_weight_has_the_coefficient_0():
    for n in (N, 40_000):
        df = frame(n)
        weight = (df["city"] != "oslo").to_numpy(float) * np.random.default_rng(5).random(n)
        for C, standardize in ((1.0, False), (1e-3, True), (np.inf, False)):
            model = fl.LogisticRegression(C=C, standardize=standardize).fit(df, labels(df), weight)
            assert model.coef_[0, list(model.get_feature_names_out()).index("city_oslo")] == 0.0
            assert model.converged_


def test_a_category_of_one_level_is_a_constant_column():
    df = frame().assign(city=pd.Categorical(["rome"] * N))
    model = fl.LogisticRegression().fit(df, labels(frame()))
    assert model.coef_[0, 1] == 0.0 and model.converged_
    left = fl.LogisticRegression(drop="first").fit(df, labels(frame()))
    assert "city_rome" not in left.get_feature_names_out()
    with pytest.raises(ValueError, match="no columns left"):
        fl.LogisticRegression(drop="first").fit(df[["city"]], labels(frame()))


# --- frames of every kind


def chunked(table, size=70):
    """The table in chunks, each with a dictionary of its own."""
    pieces = []
    for first in range(0, len(table), size):
        piece = table.slice(first, size)
        columns = [
            column.cast(column.type.value_type).dictionary_encode() if pa.types.is_dictionary(column.type) else column
            for column in piece.columns
        ]
        pieces.append(pa.table(dict(zip(table.column_names, columns, strict=True))))
    return pa.concat_tables(pieces)


def arrow_typed(df):
    return pd.DataFrame({name: pd.arrays.ArrowExtensionArray(pa.table(df)[name]) for name in df.columns})


FRAMES = {
    "polars": lambda df: pl.from_pandas(df),
    "polars in pieces": lambda df: pl.concat([pl.from_pandas(df[:100]), pl.from_pandas(df[100:])], rechunk=False),
    "arrow": lambda df: pa.table(df),
    "arrow in chunks": lambda df: chunked(pa.table(df)),
    "arrow sliced": lambda df: pa.concat_tables([pa.table(df).slice(3, 200), pa.table(df)]).slice(200),
    "pandas of arrow": arrow_typed,
    "pandas reversed": lambda df: df[::-1][::-1],
}


@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names")  # 1.6 sees those of pandas alone
@pytest.mark.parametrize("kind", FRAMES)
def test_frames(kind):
    df = frame()
    model, other = fl.LogisticRegression().fit(df, labels(df)), FRAMES[kind](df)
    # numbers, of which polars has no categories
    asked = ["city", "job", "year"] if "polars" in kind else "from_dtype"
    fitted = fl.LogisticRegression(categorical_features=asked).fit(other, labels(df))
    np.testing.assert_array_equal(fitted.coef_, model.coef_)
    np.testing.assert_array_equal(model.predict_proba(other), model.predict_proba(df))
    np.testing.assert_array_equal(fitted.predict_proba(df), model.predict_proba(df))
    assert list(fitted.categories_[0]) == sorted(CITIES)
    assert fitted.categories_[2].tolist() == list(range(2000, 2012))


def test_codes_are_read_where_they_lie():
    df = frame()
    read = as_frame(df, [1, 3, 4])
    for j, name in ((1, "city"), (3, "job"), (4, "year")):
        assert read.codings[j].column.pieces[0][0] == df[name].array.codes.ctypes.data
    table = pa.table(frame(missing=False))
    read = as_frame(table, [1, 3, 4])
    for j in (1, 3):
        assert read.codings[j].column.pieces[0][0] == table.column(j).chunk(0).indices.buffers()[1].address


def test_another_dictionary_means_the_same():
    df = frame()
    model = fl.LogisticRegression().fit(df, labels(df))
    others = [
        df.assign(city=df["city"].cat.reorder_categories(["oslo", "unused", "lima", "rome", "bern"])),
        df.assign(city=df["city"].astype(str)),
        df.assign(city=df["city"].astype(object)),
        df.assign(year=df["year"].astype(int)),
        df.assign(year=df["year"].astype(float)),
        df.assign(city=df["city"].cat.add_categories([f"new{i}" for i in range(5000)])),
    ]
    for other in others:
        np.testing.assert_array_equal(model.predict_proba(other), model.predict_proba(df))


@pytest.mark.parametrize("asked", [["city", "job"], [1, 3], [False, True, False, True, False], np.array([1, 3])])
def test_columns_that_are_named(asked):
    df = frame().assign(year=lambda d: d["year"].astype(int))
    want = fl.LogisticRegression().fit(df, labels(df))
    texts = df.assign(city=df["city"].astype(str), job=df["job"].astype(object))
    for rows in (texts, pl.from_pandas(texts), pa.table(texts)):
        model = fl.LogisticRegression(categorical_features=asked).fit(rows, labels(df))
        np.testing.assert_array_equal(model.coef_, want.coef_)
        names = [name.replace("None", "nan") for name in model.get_feature_names_out()]
        if hasattr(model, "feature_names_in_"):  # scikit-learn 1.6 sees those of pandas alone
            assert names == list(want.get_feature_names_out())


def test_matrices_with_named_columns():
    rng = np.random.default_rng(5)
    X = np.column_stack([rng.integers(0, 4, N), rng.standard_normal(N)]).astype(float)
    y = (rng.random(N) < 1 / (1 + np.exp(-X[:, 1] - (X[:, 0] == 2)))).astype(int)
    want = fl.LogisticRegression().fit(sp.csr_matrix(np.hstack([np.eye(4)[X[:, 0].astype(int)], X[:, 1:]])), y)
    objects = np.empty(X.shape, object)
    objects[:, 0], objects[:, 1] = [list("wxyz")[int(i)] for i in X[:, 0]], X[:, 1]
    for rows in (X, np.asfortranarray(X), objects, objects.tolist()):
        model = fl.LogisticRegression(categorical_features=[0]).fit(rows, y)
        np.testing.assert_allclose(model.coef_, want.coef_, rtol=0, atol=1e-12)
    X[3, 0] = np.nan
    model = fl.LogisticRegression(categorical_features=[0]).fit(X, y)
    encoder = make_column_transformer((OneHotEncoder(), [0]), remainder="passthrough")
    twin = make_pipeline(encoder, fl.LogisticRegression()).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), twin.predict_proba(X), atol=1e-12)
    assert np.isnan(model.categories_[0][-1]) and list(model.get_feature_names_out()) == [
        *("x0_0.0", "x0_1.0", "x0_2.0", "x0_3.0", "x0_nan", "x1")
    ]


values = st.one_of(st.integers(1, 300), st.integers(1, 4))


@settings(max_examples=25, deadline=None)
@given(
    levels=st.lists(values, min_size=1, max_size=4),
    n_numbers=st.integers(0, 2),
    n=st.integers(20, 300),
    missing=st.booleans(),
    chunk=st.integers(1, 300),
    seed=st.integers(0, 99),
)
def test_random_frames(levels, n_numbers, n, missing, chunk, seed):
    rng = np.random.default_rng(seed)
    columns = {f"x{j}": rng.standard_normal(n) for j in range(n_numbers)}
    for j, count in enumerate(levels):
        code = rng.integers(-1 if missing else 0, count, n)
        names = [f"level {rng.integers(1000)} {i}" for i in range(count)] if j % 2 else list(rng.permutation(count))
        columns[f"c{j}"] = pd.Categorical.from_codes(code, categories=names)
    df = pd.DataFrame(columns)
    y = np.arange(n) % 2
    rng.shuffle(y)
    ones = fl.LogisticRegression().fit(encoded(df), y)
    for rows in (df, pl.from_pandas(df), chunked(pa.table(df), chunk)):
        model = fl.LogisticRegression(categorical_features=list(df.columns[n_numbers:])).fit(rows, y)
        np.testing.assert_allclose(model.coef_, ones.coef_, rtol=0, atol=1e-11)
        np.testing.assert_allclose(model.predict_proba(rows), ones.predict_proba(encoded(df)), rtol=0, atol=1e-12)
    assert len(model.get_feature_names_out()) == model.coef_.shape[1]


def test_levels_are_named_and_sorted_as_the_encoder_does():
    df = frame()[["city", "job", "year"]]
    model, encoder = fl.LogisticRegression().fit(df, labels(frame())), OneHotEncoder().fit(df)
    assert list(model.get_feature_names_out()) == list(encoder.get_feature_names_out())
    for ours, theirs in zip(model.categories_, encoder.categories_, strict=True):
        assert ours.dtype == theirs.dtype and list(map(str, ours)) == list(map(str, theirs))
    times = pd.DataFrame({"day": pd.Categorical(pd.date_range("2024-01-01", periods=3).repeat(N // 3))})
    cut = pd.DataFrame({"bin": pd.cut(frame()["age"], [-1000, 30, 40, 1000])})
    flags = pd.DataFrame({"flag": pd.Categorical(frame()["age"] > 40)})
    spans = pd.DataFrame({"span": pd.Categorical(pd.to_timedelta(np.arange(3), unit="D").repeat(N // 3))})
    for each in (times, cut, flags, spans):
        model, encoder = fl.LogisticRegression().fit(each, labels(frame())), OneHotEncoder().fit(each)
        if each is not flags:  # which the encoder calls 0.0 and 1.0
            assert list(model.get_feature_names_out()) == list(encoder.get_feature_names_out())
        np.testing.assert_allclose(
            model.predict_proba(each),
            fl.LogisticRegression()
            .fit(encoder.transform(each), labels(frame()))
            .predict_proba(encoder.transform(each)),
            atol=1e-12,
        )


# --- what is not valid


def test_unknown_levels():
    df = frame(missing=False)
    model = fl.LogisticRegression().fit(df, labels(df))
    strange = df.astype({"city": object})
    strange.loc[7, "city"] = "paris"
    with pytest.raises(ValueError, match=r"column 1 \('city'\) has 'paris' in row 7, which no row of training had"):
        model.predict(strange)
    missing = df.copy()
    missing.loc[5, "job"] = None
    with pytest.raises(ValueError, match=r"column 3 \('job'\) has a missing value in row 5"):
        model.predict_proba(missing)
    lenient = fl.LogisticRegression(handle_unknown="ignore").fit(df, labels(df))
    np.testing.assert_array_equal(lenient.predict_proba(df), model.predict_proba(df))
    encoder = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["city", "job", "year"]), remainder="passthrough"
    )
    fitted = make_pipeline(encoder, fl.LogisticRegression()).fit(df, labels(df))
    for rows in (strange, missing):
        np.testing.assert_allclose(lenient.predict_proba(rows), fitted.predict_proba(rows), atol=1e-6)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["city", "town"], "'town', which is no column"),
        ([9], "column 9, but columns of X go from 0 to 4"),
        ([True, False], "mask of 2 columns, but X has 5"),
        ([[0, 1]], r"shape \(1, 2\)"),
        ([0.5], "numbers, names or a mask"),
    ],
)
def test_columns_that_are_not_there(asked, message):
    df = frame()
    with pytest.raises(ValueError, match=message):
        fl.LogisticRegression(categorical_features=asked).fit(df, labels(df))


def test_messages():
    df = frame()
    y = labels(df)
    texts = df.astype({"city": str})
    with pytest.raises(InputError, match=r"column 1 \('city'\) has dtype .* categorical_features"):
        fl.LogisticRegression().fit(texts, y)
    with pytest.raises(InputError, match="name them in categorical_features"):
        fl.solve(df, y)
    with pytest.raises(InputError, match="job.*cannot be put in order"):
        mixed = df.assign(job=pd.Categorical([1, "a"] * (N // 2)))
        fl.LogisticRegression().fit(mixed, y)
    with pytest.raises(InputError, match="sparse"):
        fl.LogisticRegression(categorical_features=[0]).fit(sp.csr_matrix(np.eye(N)), y)
    with pytest.raises(ValueError, match="several columns of the name"):
        fl.LogisticRegression().fit(pd.concat([df, df[["city"]]], axis=1), y)
    with pytest.raises(ValueError, match=r"NaN.*row 4, column 0 \('age'\)"):
        broken = df.copy()
        broken.loc[4, "age"] = np.nan
        fl.LogisticRegression().fit(broken, y)
    with pytest.raises(ValueError, match="names, but X is a ndarray"):
        fl.LogisticRegression(categorical_features=["a"]).fit(np.eye(N), y)
    with pytest.raises(InputError, match="no levels of a category"):
        fl.LogisticRegression(categorical_features=["city", "job", "year"]).fit(df.assign(city=[[1]] * N), y)
    X = np.arange(N * 3).reshape(N, 3) % 5
    model = fl.LogisticRegression(categorical_features=[0, 2]).fit(X, y)
    for rows in (X[:, :2], X[:, [0, 1, 2, 2]]):
        with pytest.raises(ValueError, match="features, but LogisticRegression is expecting 3"):
            model.predict(rows)
    with pytest.raises(ValueError, match="handle_unknown"):
        fl.LogisticRegression(handle_unknown="infrequent").fit(df, y)


def test_codes_out_of_range_are_an_error():
    """They would be read as places in memory."""
    indices = pa.array([0, 1, 7], pa.int8())
    table = pa.table({"a": pa.DictionaryArray.from_arrays(indices, pa.array(["x", "y"]), safe=False)})
    with pytest.raises(ValueError, match="codes from 0 to 7, but 2 levels"):
        fl.LogisticRegression().fit(table, [0, 1, 1])


def test_too_many_levels(monkeypatch):
    df = frame()
    for module in (codings, __import__("fastlogit.sources.categories", fromlist=["categories"])):
        monkeypatch.setattr(module, "MOST_CODES", 10)
    with pytest.raises(ValueError, match="levels, but at most 10"):
        fl.LogisticRegression().fit(df, labels(df))


def test_dictionaries_that_repeat_or_miss_values():
    y = np.arange(N) % 2
    rng = np.random.default_rng(6)
    codes = rng.integers(0, 4, N)
    dictionary = pa.array(["x", "y", "x", None])
    table = pa.table({"a": pa.DictionaryArray.from_arrays(pa.array(codes, pa.uint8()), dictionary)})
    model = fl.LogisticRegression().fit(table, y)
    assert list(model.get_feature_names_out()) == ["a_x", "a_y", "a_None"]
    X = np.stack([np.isin(codes, [0, 2]), codes == 1, codes == 3], axis=1).astype(float)
    np.testing.assert_allclose(model.coef_, fl.LogisticRegression().fit(X, y).coef_, atol=1e-12)


def test_a_large_dictionary_of_which_little_is_used():
    df = frame()
    wide = df.assign(city=df["city"].cat.add_categories([f"z{i}" for i in range(50_000)]))
    _, _, categories = learnt(wide, "from_dtype", drops_first=False, ignores_unknown=False)
    storage = learnt(wide, "from_dtype", drops_first=False, ignores_unknown=False)[0]
    assert categories.n_features == 2 + 4 + 8 + 12 and storage.intercept_place < 100
    np.testing.assert_array_equal(
        fl.LogisticRegression().fit(wide, labels(df)).coef_, fl.LogisticRegression().fit(df, labels(df)).coef_
    )


# --- the estimator


@pytest.mark.parametrize("drop", [None, "first"])
@pytest.mark.parametrize("handle_unknown", ["error", "ignore"])
def test_to_sklearn(drop, handle_unknown):
    df = frame()
    model = fl.LogisticRegression(drop=drop, handle_unknown=handle_unknown).fit(df, labels(df, 3))
    twin = model.to_sklearn()
    np.testing.assert_allclose(twin.predict_proba(df), model.predict_proba(df), rtol=0, atol=1e-14)
    assert list(twin[0].get_feature_names_out()) == list(model.get_feature_names_out())
    assert list(twin.feature_names_in_) == list(df.columns)
    strange = df.astype({"city": object})
    strange.loc[0, "city"] = "paris"
    if handle_unknown == "ignore":
        with pytest.warns(UserWarning) if drop else np.errstate():
            np.testing.assert_allclose(twin.predict_proba(strange), model.predict_proba(strange), atol=1e-14)
    else:
        with pytest.raises(ValueError, match="unknown categories"):
            twin.predict(strange)


def test_to_sklearn_of_matrices():
    X = np.column_stack([np.arange(N) % 5, np.random.default_rng(7).standard_normal(N)])
    y = np.arange(N) % 3 == 0
    model = fl.LogisticRegression(categorical_features=[0]).fit(X, y)
    np.testing.assert_allclose(model.to_sklearn().predict_proba(X), model.predict_proba(X), atol=1e-14)


def test_onnx_round_trip():
    skl2onnx, runtime = pytest.importorskip("skl2onnx"), pytest.importorskip("onnxruntime")
    kinds = skl2onnx.common.data_types
    df = (
        frame(missing=False)
        .drop(columns="year")
        .astype({"city": str, "job": str, "size": np.float32, "age": np.float32})
    )
    model = fl.LogisticRegression(categorical_features=["city", "job"]).fit(df, labels(df))
    inputs = [
        (name, kinds.StringTensorType([None, 1]) if name in ("city", "job") else kinds.FloatTensorType([None, 1]))
        for name in df.columns
    ]
    proto = skl2onnx.to_onnx(model.to_sklearn(), initial_types=inputs, options={"zipmap": False})
    session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = {name: df[[name]].to_numpy(object if name in ("city", "job") else np.float32) for name in df.columns}
    np.testing.assert_allclose(session.run(None, feed)[1], model.predict_proba(df), atol=1e-5)


def test_scikit_learn_conventions():
    df = frame()
    y = labels(df)
    model = fl.LogisticRegression(categorical_features=["city", "job", "year"]).fit(df, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(df), model.predict_proba(df))
    assert clone(model).get_params() == model.get_params()
    assert model.__sklearn_tags__().input_tags.categorical
    assert cross_val_predict(fl.LogisticRegression(handle_unknown="ignore"), df, y, cv=3).shape == (N,)
    assert GridSearchCV(fl.LogisticRegression(), {"C": [0.1, 1.0]}, cv=3).fit(df, y).best_score_ > 0.5
    piped = make_pipeline(FunctionTransformer(), fl.LogisticRegression()).set_output(transform="pandas").fit(df, y)
    np.testing.assert_array_equal(piped.predict(df), model.predict(df))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(df.rename(columns={"city": "town"}))
    assert fl.LogisticRegression().fit(df[["age", "size"]], y).categories_ == []
    assert list(fl.LogisticRegression().fit(df[["age", "size"]], y).get_feature_names_out()) == ["age", "size"]


def test_warm_starts_need_the_same_levels():
    df = frame()
    model = fl.LogisticRegression(warm_start=True, max_iter=1, tol=1e-14)
    y = labels(df)
    with pytest.warns(fl.ConvergenceWarning):
        first = model.fit(df, y).objective_
        second = model.fit(df, y).objective_
    assert second < first
    other = df.assign(city=df["city"].cat.rename_categories({"rome": "bonn"}))
    with pytest.warns(fl.ConvergenceWarning):
        assert model.fit(other, y).objective_ == first
    assert Categories.are_alike(model._categories, pickle.loads(pickle.dumps(model._categories)))


def test_categorical_columns():
    assert categorical_columns(np.eye(3), "from_dtype") == []
    assert categorical_columns(frame(), None) == []
    assert categorical_columns(frame(), "from_dtype") == [1, 3, 4]
    assert categorical_columns(frame(), []) == []
    assert Frame(3, 0, {}, [], None).n_codes == []


def test_rare_levels_reach_the_sample(kernels):
    """Twenty rows of 200,000, none of them among the first: they are outliers, which stand for themselves."""
    n = 200_000
    df = frame(n)
    city = df["city"].astype(object).to_numpy(copy=True)
    city[150_000:150_020] = "vaduz"
    storage, _, categories = learnt(
        df.assign(city=pd.Categorical(city)), "from_dtype", drops_first=False, ignores_unknown=False
    )
    y = np.arange(n, dtype=np.uint8) % 2
    targets = Targets(*(read_only(a) for a in (y, np.empty(0), np.empty(0), np.empty((0, 0)))))
    _, sample, _ = MemorySource([Block(storage, targets, Logistic())]).survey(8000, 0)
    j = categories.features_of(1)[list(categories.levels[1]).index("vaduz")]
    assert sample.storage.dense(slice(j, j + 1)).sum() == 20
    assert sample.n_samples < 10_000


def test_times_may_be_missing():
    days = np.array(["2024-01-01", "2024-01-02", "NaT"] * 20, dtype="M8[D]")[:, None]
    y = np.arange(60) % 3 == 1
    model = fl.LogisticRegression(categorical_features=[0]).fit(days, y)
    for unit in "s", "ns":
        np.testing.assert_array_equal(model.predict(days.astype(f"M8[{unit}]")), model.predict(days))
    assert np.isnat(model.categories_[0][-1]) and model.predict(days).tolist() == y.tolist()


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (pd.Series(["a", "b"]), ValueError, "Expected 2D array: X is a Series of 2"),
        ({"a": ["x", "y"]}, InputError, "X is a dict"),
        (pl.LazyFrame({"a": ["x", "y"]}), InputError, "X is a LazyFrame"),
        (np.array(["a", "b"]), ValueError, "Expected 2D array: X has 1 dimensions"),
        ([["a", 1], ["b"]], ValueError, "Expected 2D array"),
        (np.ones((2, 1), complex), InputError, "complex"),
        (pa.table({"a": [[1], [2]]}), InputError, "no levels of a category"),
    ],
)
def test_what_is_no_table_of_categories(rows, error, message):
    with pytest.raises(error, match=message):
        fl.LogisticRegression(categorical_features=[0]).fit(rows, [0, 1])
