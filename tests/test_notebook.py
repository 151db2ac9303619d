"""The notebook's printed numbers, and the fused functions against the reference."""

import numpy as np
import pytest

import fastlogit as fl

PRINTED = [
    1.0913210588254132, 0.9850030766634523, 0.8883022642920164, 0.8007055281144693, 0.7216600587492563,
    0.650583007706536, 0.5868734915700964, 0.5299253517707319, 0.47913926430831877, 0.4339332494308596,
    0.3937511249071102, 0.35806881772524507, 0.3263986606318467, 0.2982918936929117, 0.27333962548098123,
    0.2511725214961169, 0.23145949142293545, 0.2139056404773614, 0.19824973042811564, 0.1842613637665792,
    0.17173806450426127, 0.16050238702408812, 0.15039914523624553, 0.14129282103771834, 0.13306518490335079,
    0.12561314212803096, 0.11884680482198451, 0.11268778100065878, 0.10706766681870515, 0.10192672517350193,
    0.0972127327705962, 0.0928799777284441, 0.0888883904939257, 0.08520279195733799,
]  # fmt: skip

LOGITS = np.array([[0.4, 0.0, -4.0, -1.0], [0.4, 0.0, -4.0, -10.0]])
LABELS = np.array([1, 3])
IMPLEMENTATIONS = pytest.mark.parametrize("implementation", [fl, fl.reference], ids=["fused", "reference"])


def training_data():
    """Return the notebook's data: its generator had been left by an earlier run of the same cell."""
    random = np.random.RandomState(42)
    random.randn(10)
    blocks = [random.randn(100, 10) + np.array(start + [0.0] * 8) for start in ([50.0, 20.0], [20.0, 0.0])]
    return np.concatenate(blocks), np.array([True] * 100 + [False] * 100)


@IMPLEMENTATIONS
def test_printed_trace(implementation):
    forward = implementation.binary_classifier_from(*training_data())
    assert len(forward.history) == 200
    np.testing.assert_allclose(forward.history[: len(PRINTED)], PRINTED, rtol=1e-12)


@IMPLEMENTATIONS
def test_printed_softmax_and_gradient(implementation):
    probabilities = [
        [5.18351093e-01, 3.47461129e-01, 6.36397256e-03, 1.27823806e-01],
        [5.94308491e-01, 3.98376895e-01, 7.29652735e-03, 1.80862831e-05],
    ]
    gradient = [[0.25917555, -0.32626944, 0.00318199, 0.0639119], [0.29715425, 0.19918845, 0.00364826, -0.49999096]]
    np.testing.assert_allclose(implementation.softmax(LOGITS, 1), probabilities, atol=5e-10)
    np.testing.assert_allclose(implementation.grad_of_loss_wrt_logits(LOGITS, LABELS), gradient, atol=5e-9)


@IMPLEMENTATIONS
def test_printed_numerical_derivative(implementation):
    moved = LOGITS.copy()
    moved[1, 1] += 1e-4
    loss = implementation.cross_entropy_loss
    assert (loss(moved, LABELS) - loss(LOGITS, LABELS)) / 1e-4 == pytest.approx(0.1991944394497125, abs=1e-10)


def test_binary_equals_the_reference():
    X, Y = training_data()
    want, got = fl.reference.binary_classifier_from(X, Y), fl.binary_classifier_from(X, Y)
    np.testing.assert_allclose(got.history, want.history, rtol=1e-12)
    np.testing.assert_allclose(got(X), want(X), rtol=1e-12)
    assert got(X).shape == (200,)
    assert got(X[3]) == got(X)[3]


@pytest.mark.parametrize("order", ["C", "F"])
def test_multiclass_equals_the_reference(order):
    X, _ = training_data()
    Y = np.random.default_rng(0).integers(0, 4, len(X))
    want = fl.reference.multiclass_classifier_from(X, Y, epochs=50)
    got = fl.multiclass_classifier_from(np.asarray(X, order=order), Y, epochs=50)
    np.testing.assert_allclose(got.history, want.history, rtol=1e-12)
    np.testing.assert_allclose(got(X), want(X), rtol=1e-11, atol=1e-14)
    assert got(X).shape == (200, 4)


def test_float32_rows_follow_the_trace():
    X, Y = training_data()
    want, got = fl.reference.binary_classifier_from(X, Y), fl.binary_classifier_from(X.astype(np.float32), Y)
    np.testing.assert_allclose(got.history, want.history, rtol=2e-5)
    assert got(X.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int64, np.bool_, np.float16, np.longdouble, ">f8"])
def test_other_numbers_are_rows_too(kind):
    X = np.random.default_rng(0).integers(0, 2, (50, 3)).astype(kind)
    Y = np.arange(50) % 2 == 0
    want = fl.reference.binary_classifier_from(X.astype(np.float64), Y, epochs=5)
    got = fl.binary_classifier_from(X, Y, epochs=5)
    np.testing.assert_allclose(got.history, want.history, rtol=3e-6)


def test_settings_are_honoured():
    X, Y = training_data()
    options = dict(epochs=7, learning_rate=0.01, epsilon=1e-2, seed=3)
    want, got = fl.reference.binary_classifier_from(X, Y, **options), fl.binary_classifier_from(X, Y, **options)
    np.testing.assert_allclose(got.history, want.history, rtol=1e-12)
    untrained = fl.binary_classifier_from(X, Y, epochs=0)
    assert untrained.history == []
    np.testing.assert_allclose(untrained(X), fl.reference.binary_classifier_from(X, Y, epochs=0)(X), rtol=1e-12)


def test_callback_and_verbose(capsys):
    X, Y = training_data()
    seen = []
    forward = fl.binary_classifier_from(X, Y, epochs=3, callback=lambda *a: seen.append(a), verbose=True)
    assert seen == list(enumerate(forward.history))
    assert capsys.readouterr().out == "".join(f"loss.mean={loss}\n" for loss in forward.history)


def test_random_state_is_left_alone():
    X, Y = training_data()
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    fl.binary_classifier_from(X, Y, epochs=1)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_constant_column_does_not_move():
    X, Y = training_data()
    X = np.column_stack([X, np.full(len(X), 0.1)])
    forward = fl.binary_classifier_from(X, Y)
    assert np.isfinite(forward.history).all()
    start = np.random.RandomState(42).randn(11)[-1]
    assert forward._W[10, 0] * 1e-5 == pytest.approx(start, rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(6,), (7, 5), (3, 4, 5), (40, 300), (2, 3, 40, 7)], ids=str)
def test_softmax_along_every_axis(shape, dtype):
    x = (np.random.default_rng(0).standard_normal(shape) * 5).astype(dtype)
    for axis in range(-len(shape), len(shape)):
        got = fl.softmax(x, axis)
        assert got.dtype == dtype and got.shape == shape
        np.testing.assert_allclose(got, fl.reference.softmax(x, axis), rtol=1e-13 if dtype == np.float64 else 2e-5)


@pytest.mark.parametrize("K", [5, 100])
def test_results_are_written_where_the_caller_wants(K):
    z, labels = np.random.default_rng(0).standard_normal((40, K)), np.arange(40) % K
    for function in (fl.softmax, lambda z, **more: fl.grad_of_loss_wrt_logits(z, labels, **more)):
        out = np.full_like(z, np.nan)
        assert function(z, out=out) is out
        np.testing.assert_array_equal(out, function(z))
        read_only = np.empty_like(z)
        read_only.flags.writeable = False
        for bad, sentence in (
            (z, "out overlaps the input"),
            (
                np.empty((K, 40)),
                rf"out is float64 \({K}, 40\), but the result needs a writable array float64 \(40, {K}\)",
            ),
            (np.empty((K, 40)).T, "not in C order"),
            (np.empty((40, K), np.float32), "out is float32"),
            (read_only, "and read-only"),
        ):
            with pytest.raises(ValueError, match=sentence):
                function(z, out=bad)
        with pytest.raises(TypeError, match="out is a list"):
            function(z, out=[0.0])


def test_softmax_of_what_numpy_users_pass():
    x = np.random.default_rng(0).standard_normal((20, 6))
    for view in (x[::2], x[:, ::-1], x.T, np.asfortranarray(x), x.tolist(), np.arange(6)):
        np.testing.assert_allclose(fl.softmax(view), fl.reference.softmax(view), rtol=1e-13)
    assert fl.softmax(np.empty((0, 3))).shape == (0, 3)
    np.testing.assert_array_equal(fl.softmax([[0.0, -np.inf], [np.nan, 1.0]]), [[1.0, 0.0], [np.nan, np.nan]])
    with pytest.raises(np.exceptions.AxisError):
        fl.softmax(x, 2)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("K", [1, 2, 10, 300])
def test_cross_entropy(K, dtype):
    rng = np.random.default_rng(0)
    z, labels = (rng.standard_normal((500, K)) * 10).astype(dtype), rng.integers(0, K, 500)
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    want = fl.reference.cross_entropy_loss(z, labels)
    assert fl.cross_entropy_loss(z, labels) == pytest.approx(want, rel=tolerance, abs=1e-300)
    got = fl.grad_of_loss_wrt_logits(z, labels)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, fl.reference.grad_of_loss_wrt_logits(z, labels), rtol=0, atol=tolerance / 500)


def test_extreme_logits():
    z = np.array([[1e30, 0.0], [-1e30, 0.0], [745.0, -745.0]])
    assert fl.cross_entropy_loss(z[:1], [0]) == 0.0
    assert fl.cross_entropy_loss(z[1:2], [0]) == 1e30
    assert fl.grad_of_loss_wrt_logits(z[2:], [0])[0, 0] == pytest.approx(-np.exp(-1490.0), abs=5e-324)
