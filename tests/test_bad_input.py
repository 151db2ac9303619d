"""Bad input: a sentence that names the argument, what it has and what is needed."""

import re

import numpy as np
import pytest

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
    "squares overflow": (with_value(1e200, 7, 2), Y, ValueError, "X has values in column 2 whose squares overflow"),
}


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
    ids=str,
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
        (dict(sample_weight=np.ones((20, 1))), "sample_weight has 2 dimensions"),
        (dict(offset=np.full(20, np.inf)), "offset has infinity in row 0"),
        (dict(offset=np.ones((20, 2))), r"offset has shape \(20, 2\), but \(20, 1\) is needed"),
        (dict(class_weight=[1.0]), r"class_weight has shape \(1,\), but \(2,\) is needed"),
        (dict(class_weight=[1.0, -1.0]), "class_weight is"),
    ],
    ids=str,
)
def test_weights_and_offset(keywords, sentence):
    with pytest.raises(ValueError, match=sentence):
        memory_source(X, Y.astype(int), **keywords)


def test_soft_labels():
    good = np.column_stack([Y, ~Y]).astype(float)
    with pytest.raises(ValueError, match="row 4: probabilities must be at least 0 and sum to 1"):
        memory_source(X, np.where(np.arange(20)[:, None] == 4, 0.7, good))
    with pytest.raises(ValueError, match="class_weight needs one class a row"):
        memory_source(X, good, class_weight=[1, 2])
    with pytest.raises(ValueError, match="y has NaN in row 3"):
        memory_source(X, np.where(np.arange(20)[:, None] == 3, np.nan, good))


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
