"""Bad input: a sentence that names the argument, what it has and what is needed."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse

import fastlogit as fl
from fastlogit.sources.intake import as_storage
from fastlogit.sources.targets import memory_source

X = np.random.default_rng(0).standard_normal((20, 3))
Y = np.arange(20) % 2 == 0


def with_value(value, row, column, dtype=np.float64, order="C"):
    bad = np.array(X, dtype, order=order)
    bad[row, column] = value
    return bad


CASES = {
    "one dimension": (X[0], Y, ValueError, r"X has 1 dimensions \(3,\), but \(n_samples, n_features\) is needed"),
    "no rows": (X[:0], Y[:0], ValueError, r"X has 0 sample\(s\) \(shape=\(0, 3\)\) while a minimum of 1 is required"),
    "no columns": (X[:, :0], Y, ValueError, r"X has 0 feature\(s\) \(shape=\(20, 0\)\)"),
    "labels too few": (X, Y[:5], ValueError, "Y has 5 rows, but X has 20"),
    "labels in two dimensions": (X, Y[:, None], ValueError, r"Y has 2 dimensions \(20, 1\)"),
    "one class": (X, np.ones(20, bool), ValueError, r"Y has one class only \(1\): at least two"),
    "negative code": (X, np.arange(20) - 3, ValueError, "Y has -3 in row 0, but class codes go from 0"),
    "fractional labels": (X, np.linspace(0, 1, 20), TypeError, "Y has dtype float64: class codes"),
    "text labels": (X, np.array(["a", "b"] * 10), TypeError, "Y has dtype <U1: class codes"),
    "complex": (X + 1j, Y, ValueError, "Complex data not supported: X has dtype complex128"),
    "objects": (
        np.array([["a", 1.0]] * 20, object),
        Y,
        ValueError,
        "X has dtype object, and not all of it are numbers",
    ),
    "no numbers": (np.full((20, 1), {}, object), Y, TypeError, "X has dtype object, and not all of it are numbers"),
    "text": (X.astype(str), Y, TypeError, "X has dtype <U"),
    "NaN first": (with_value(np.nan, 0, 0), Y, ValueError, "contains NaN. It is in row 0, column 0"),
    "NaN middle": (with_value(np.nan, 9, 1, order="F"), Y, ValueError, "contains NaN. It is in row 9, column 1"),
    "infinity last": (with_value(np.inf, 19, 2), Y, ValueError, "contains infinity. It is in row 19, column 2"),
    "float32 infinity": (
        with_value(-np.inf, 7, 2, np.float32),
        Y,
        ValueError,
        "contains infinity. It is in row 7, column 2",
    ),
    "masked": (np.ma.array(X, mask=X == X[7, 2]), Y, ValueError, "X has a masked element in row 7"),
    "squares overflow": (with_value(1e200, 7, 2), Y, ValueError, "X has values in column 2 whose squares overflow"),
}


def called(value):
    """Return a test's name for a value: short, and the same in every process, which addresses are not."""
    return re.sub(r" (at|object at) 0x\w+", "", " ".join(repr(value).split()))[:40]


@pytest.mark.parametrize("train", [fl.binary_classifier_from, fl.multiclass_classifier_from], ids=["binary", "multi"])
@pytest.mark.parametrize("name", CASES)
def test_training(name, train):
    rows, labels, error, sentence = CASES[name]
    with pytest.raises(error, match=sentence):
        train(rows, labels)


def test_binary_labels_are_two():
    with pytest.raises(ValueError, match="Y has 2 in row 2, but class codes go from 0 to 1"):
        fl.binary_classifier_from(X, np.arange(20) % 3)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (dict(epochs=-1), "epochs=-1"),
        (dict(learning_rate=np.nan), "learning_rate=nan"),
        (dict(epsilon=0.0), "epsilon=0.0"),
    ],
    ids=called,
)
def test_settings(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        fl.binary_classifier_from(X, Y, **options)


def test_vectors_must_fit_the_model():
    forward = fl.binary_classifier_from(X, Y, epochs=1)
    with pytest.raises(ValueError, match="vectors have 2 columns, but the classifier was trained on 3"):
        forward(X[:, :2])
    with pytest.raises(ValueError, match="vectors has dtype complex128"):
        forward(X * 1j)
    assert np.isnan(forward(with_value(np.nan, 1, 1))).tolist() == [i == 1 for i in range(20)]


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        (dict(sample_weight=np.ones(3)), "sample_weight has 3 rows, but X has 20"),
        (dict(sample_weight=np.zeros(20)), "sample_weight is zero in every row"),
        (dict(sample_weight=-np.ones(20)), r"sample_weight has -1.0 in row 0"),
        (dict(sample_weight=np.full(20, np.nan)), "sample_weight has NaN in row 0"),
        (
            dict(sample_weight=np.ones((20, 1))),
            r"sample_weight has 2 dimensions .*: np.ravel\(sample_weight\) has it",
        ),
        (dict(sample_weight=np.ones((20, 2))), r"sample_weight has 2 dimensions \(20, 2\), but \(20,\) is needed$"),
        (dict(sample_weight=["a"] * 20), "sample_weight has dtype <U1, which is not a real number"),
        (dict(sample_weight=pa.array([1.0, None] * 10)), "sample_weight has NaN in row 1"),
        (dict(sample_weight=np.ma.array(np.ones(20), mask=np.arange(20) == 3)), "sample_weight has a masked element"),
        (dict(sample_weight=0.0), "sample_weight is zero in every row"),
        (dict(sample_weight=np.nan), "sample_weight has NaN in row 0"),
        (dict(sample_weight=np.full(20, 1e300)), r"sample_weight sums to 2e\+301, but 1e\+100 at most is needed"),
        (dict(sample_weight=np.full(20, 1e308)), "sample_weight sums to inf, .*multiply C by it"),
        (dict(sample_weight=1e80, class_weight=[1e30, 1.0]), "sample_weight times class_weight sums to"),
        (dict(sample_weight=1e-300), r"sample_weight sums to 2e-299, but 1e-100 at least .*multiply the weights"),
        (dict(class_weight=[1e200, 1.0]), r"class_weight sums to 2e\+201"),
        (dict(class_weight="balanced"), "class_weight is 'balanced', but an array .2,. is needed"),
        (dict(class_weight={0: 1.0, 1: 2.0}), r"class_weight is \{0: 1.0, 1: 2.0\}, but an array"),
        (dict(class_weight=["a", "b"]), "class_weight has dtype <U1"),
        (dict(offset=np.full(20, np.inf)), "offset has infinity in row 0"),
        (dict(offset=np.where(Y, 0.0, -1e300)), r"offset has \[-1.*300\] in row 1, but 1e\+30 at most is needed"),
        (dict(offset=np.ones((20, 2))), r"offset has shape \(20, 2\), but \(20,\) is needed for two classes"),
        (dict(class_weight=[1.0]), r"class_weight has shape \(1,\), but \(2,\) is needed"),
        (dict(class_weight=[1.0, -1.0]), "class_weight is"),
    ],
    ids=called,
)
def test_weights_and_offset(keywords, sentence):
    with pytest.raises(ValueError, match=sentence):
        memory_source(X, Y.astype(int), **keywords)


@pytest.mark.parametrize(
    ("dtype", "column", "settings", "sentence"),
    [
        (np.float32, X[:, 0] * 1e37, {}, r"X has values in column 3 of about .*, which float32 has no room"),
        (np.float32, X[:, 0] * 1e-37, {}, r"X has values in column 3 of about .*, which float32 has no room"),
        (np.float32, X[:, 0], dict(sample_weight=1e90), r"sample_weight .* sums to 2e\+91, which float32 has no room"),
        (np.float64, np.full(20, 1e200), {}, r"X has values in column 3 of about 1e\+200, which float64 has no room"),
        (np.float64, np.full(20, 1e200), dict(fit_intercept=False), r"X has values in column 3 of about 1e\+200"),
    ],
    ids=["large", "small", "weights", "constant", "no intercept"],
)
@pytest.mark.parametrize("solver", ["newton", "lbfgs"])
def test_no_room(dtype, column, settings, sentence, solver):
    rows = np.column_stack([X, column]).astype(dtype)
    with pytest.raises(ValueError, match=sentence):
        fl.solve(rows, Y, solver=solver, **settings)


def test_soft_labels():
    good = np.column_stack([Y, ~Y]).astype(float)
    with pytest.raises(ValueError, match="row 4: probabilities must be at least 0 and sum to 1"):
        memory_source(X, np.where(np.arange(20)[:, None] == 4, 0.7, good))
    with pytest.raises(ValueError, match="class_weight needs one class a row"):
        memory_source(X, good, class_weight=[1, 2])
    with pytest.raises(ValueError, match="y has NaN in row 3"):
        memory_source(X, np.where(np.arange(20)[:, None] == 3, np.nan, good))


def test_an_offset_has_a_column_for_each_margin():
    three = np.arange(20) % 3
    for labels, good, bad in (
        (Y.astype(int), [(20,), (20, 1)], [(20, 2), (20, 3), (1, 20), (19,)]),
        (three, [(20, 3)], [(20,), (20, 1), (20, 2), (3, 20)]),
    ):
        want = memory_source(X, labels, offset=np.ones(good[0])).targets.offset
        for shape in good:
            np.testing.assert_array_equal(memory_source(X, labels, offset=np.ones(shape)).targets.offset, want)
        for shape in bad:
            with pytest.raises(ValueError, match=re.escape(f"offset has shape {shape}, but (20")):
                memory_source(X, labels, offset=np.ones(shape))


@pytest.mark.parametrize("weight", [1e-100, 1e97, np.geomspace(1e-60, 1e90, 20)], ids=["small", "large", "both"])
def test_weights_of_any_size_that_is_let_in(weight):
    rng = np.random.default_rng(0)
    rows, labels = np.repeat(X, 20, axis=0), rng.integers(0, 2, 400)
    weights = np.broadcast_to(np.repeat(weight, 20) if np.ndim(weight) else weight, 400)
    for solver in ("newton", "lbfgs", "newton-cg"):
        solution = fl.solve(rows, labels, sample_weight=weights, C=1.0 / weights.max(), solver=solver, tol=1e-6)
        assert solution.converged and np.isfinite(solution.x).all()


@pytest.mark.parametrize(
    "settings",
    [
        dict(sample_weight=np.where(Y, 1.0, 0.0)),
        dict(class_weight=[0.0, 1.0]),
        dict(sample_weight=np.where(np.arange(20) < 10, 1.0, 0.0), class_weight=[1.0, 0.0, 1.0]),
    ],
    ids=["rows", "classes", "both"],
)
def test_one_class_of_positive_weight(settings):
    labels = Y.astype(int) if len(settings.get("class_weight", [0, 0])) == 2 else np.where(np.arange(20) < 10, Y, 2)
    names = " times ".join(name for name in ("sample_weight", "class_weight") if name in settings)
    with pytest.raises(ValueError, match=f"y has one class only among rows of positive {names}: at least two"):
        fl.solve(X, labels, **settings)
    model = fl.LogisticRegression(class_weight=dict(enumerate(settings.pop("class_weight", [1.0, 1.0]))))
    with pytest.raises(ValueError, match="y has one class only among rows of positive .*class_weight"):
        model.fit(X, labels, **settings)


def test_soft_labels_of_one_class():
    sure = np.column_stack([np.ones(20), np.zeros(20)])
    with pytest.raises(ValueError, match="y has one class only: at least two classes"):
        fl.solve(X, sure)
    mixed = np.where(np.arange(20)[:, None] == 7, 0.5, sure)
    with pytest.raises(ValueError, match="y has one class only among rows of positive sample_weight"):
        fl.LogisticRegression().fit(X, mixed, np.arange(20) != 7)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (scipy.sparse.csr_array(Y[:, None]), r"y is sparse, but dense labels are needed: y.toarray\(\).ravel\(\)"),
        (np.ma.array(Y, mask=np.arange(20) == 7), "y has a masked element in row 7"),
        ([("a", "b")] * 20, r"y must be 1-D, a label for each row, or a matrix of probabilities .*dtype <U1"),
        ([[0], [1, 2]] * 10, "y must be 1-D, a label for each row"),
        ({"a": [1]}, "y is a dict, not an array"),
        (pl.LazyFrame({"y": Y}), "y is a LazyFrame, which has no rows yet"),
        (pd.Series([True, None] * 10, dtype="boolean"), "Input y contains NaN, in row 1"),
        (pd.Series([0, 1, None, 1] * 5, dtype="Int64"), "Input y contains NaN, in row 2"),
        (np.array([0, 1, 0, np.nan] * 5), "Input y contains NaN, in row 3"),
        (np.linspace(0.0, 1.0, 20), r"np.column_stack\(\[1 - y, y\]\)"),
    ],
    ids=["sparse", "masked", "tuples", "ragged", "dict", "lazy", "NA", "NA of integers", "NaN", "shares"],
)
def test_labels_of_the_wrong_form(labels, sentence):
    for call in (lambda: fl.solve(X, labels), lambda: fl.LogisticRegression().fit(X, labels)):
        with pytest.raises(ValueError, match=sentence):
            call()


@pytest.mark.parametrize(
    "repeated",
    [pd.DataFrame(X, columns=["a", "b", "a"]), pa.table(list(X.T), names=["a", "b", "a"])],
    ids=["pandas", "Arrow"],
)
def test_columns_that_share_a_name(repeated):
    with pytest.raises(ValueError, match="X has several columns of the name 'a'"):
        fl.LogisticRegression().fit(repeated, Y)
    with pytest.raises(ValueError, match="X has several columns of the name 'a'"):
        fl.LogisticRegression().fit(pd.DataFrame(X, columns=["a", "b", "c"]), Y).predict(repeated)
    assert fl.solve(repeated, np.random.default_rng(0).integers(0, 2, 20)).converged


BAD_PARAMETERS = [
    *(("C", value) for value in ("1", None, np.array([1.0]), -1.0, 0.0, np.nan, [1.0])),
    *(("tol", value) for value in ("1", None, 0.0, -1.0, np.nan, np.inf)),
    *(("max_iter", value) for value in ("1", None, -1, np.inf, 10.0)),
    *(("time_limit", value) for value in ("1", np.nan, -1.0)),
    *(("memory_limit", value) for value in ("2GB", -1, np.nan)),
    *(("n_threads", value) for value in ("4", 1.0, 0, -1)),
    *((name, value) for name in ("fit_intercept", "standardize", "warm_start") for value in ("False", 1, None)),
    *(("random_state", value) for value in (-1, 1.5, 2**32, "0", np.random.default_rng(0))),
    *(("solver", value) for value in ("newton-cholesky", None, 1)),
    *(("class_weight", value) for value in (pd.Series([1.0, 2.0]), "even", [1.0, 2.0], 3.0)),
    ("verbose", "a"),
]


@pytest.mark.parametrize(("name", "value"), BAD_PARAMETERS, ids=called)
def test_parameters_are_named(name, value):
    sentence = f"The {name!r} parameter of %s must be .*Got "
    with pytest.raises(ValueError, match=sentence % "LogisticRegression") as raised:
        fl.LogisticRegression(**{name: value}).fit(X, Y)
    assert isinstance(raised.value, TypeError) and (name != "solver" or "'newton'" in str(raised.value))
    if name not in ("memory_limit", "warm_start", "class_weight", "verbose"):
        with pytest.raises(ValueError, match=sentence % "solve") as raised:
            fl.solve(X, Y, **{name: value})
        assert isinstance(raised.value, TypeError) and (name != "solver" or "'newton'" in str(raised.value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("C", np.inf),
        ("C", 1),
        ("C", np.float32(2.0)),
        ("tol", np.float32(1e-6)),
        ("max_iter", np.int64(50)),
        ("time_limit", np.inf),
        ("n_threads", np.int32(1)),
        ("fit_intercept", np.bool_(False)),
        *(("random_state", value) for value in (None, 0, 2**32 - 1, np.uint32(7), np.random.RandomState(0))),
    ],
    ids=called,
)
def test_parameters_of_every_kind(name, value):
    labels = np.random.default_rng(0).integers(0, 2, 20)
    assert fl.solve(X, labels, **{name: value}).converged
    assert fl.LogisticRegression(**{name: value}).fit(X, labels).converged_


@pytest.mark.parametrize("function", [fl.cross_entropy_loss, fl.grad_of_loss_wrt_logits])
def test_logits(function):
    z = np.zeros((4, 3))
    for logits, labels, error, sentence in [
        (z[0], [0], ValueError, "logits have shape (3,)"),
        (z, [0, 1, 2], ValueError, "labels have shape (3,), but logits (4, 3) need (4,)"),
        (z, [0, 1, 2, 3], ValueError, "labels have 3 in row 3, but class codes go from 0 to 2"),
        (z, [0, -1, 2, 0], ValueError, "labels have -1 in row 1"),
        (z, [0.0, 1.0, 2.0, 0.0], TypeError, "labels have dtype float64"),
        (z.astype(complex), [0, 1, 2, 0], TypeError, "logits has dtype complex128"),
        (z[:0], [], ValueError, "logits have shape (0, 3)"),
    ]:
        with pytest.raises(error, match=re.escape(sentence)):
            function(logits, np.array(labels) if labels else np.array([], int))


def test_read_only_and_memory_mapped_rows(tmp_path):
    frozen = X.copy()
    frozen.flags.writeable = False
    np.save(tmp_path / "X.npy", X)
    want = fl.binary_classifier_from(X, Y, epochs=3).history
    assert fl.binary_classifier_from(frozen, Y, epochs=3).history == want
    assert fl.binary_classifier_from(np.load(tmp_path / "X.npy", mmap_mode="r"), Y, epochs=3).history == want


def test_unaligned_rows_are_read_as_they_lie():
    raw = np.zeros(X.nbytes + 1, np.uint8)
    unaligned = raw[1:].view(np.float64).reshape(X.shape)
    unaligned[:] = X
    assert np.shares_memory(as_storage(unaligned)[0].X, raw)
    want = fl.binary_classifier_from(X, Y, epochs=3).history
    assert fl.binary_classifier_from(unaligned, Y, epochs=3).history == want
