"""Numerics that users trust: each row of the table, with its figure."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import fastlogit as fl
from fastlogit import LogisticRegression
from fastlogit.sources.targets import memory_source

pytestmark = pytest.mark.usefixtures("kernels")

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")


def python(code, *arguments, **environment):
    """Run code in a process of its own and return what it printed."""
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


SOURCES = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "frame": lambda X: pd.DataFrame(
        {f"c{j}": X[:, j] for j in range(X.shape[1])} | {"last": np.zeros(len(X), np.uint8)}
    ),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 150, 299])
def test_what_is_not_finite_is_found(source, dtype, value, row):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((300, 4)).astype(dtype), rng.integers(0, 2, 300)
    model = LogisticRegression().fit(SOURCES[source](X), y)
    X[row, 2] = value
    bad = SOURCES[source](X)
    for call in (lambda: LogisticRegression().fit(bad, y), lambda: model.predict_proba(bad)):
        with pytest.raises(ValueError, match=f"It is in row {row}, column 2"):
            call()
    weight = np.ones(300)
    weight[row] = value
    with pytest.raises(ValueError, match=f"sample_weight has .* in row {row}"):
        LogisticRegression().fit(X[:, :2], y, weight)
    with pytest.raises(ValueError, match=f"offset has .* in row {row}"):
        LogisticRegression().fit(X[:, :2], y, offset=weight)


def test_a_row_of_weight_zero_must_be_finite_too():
    X, y, weight = np.random.default_rng(0).standard_normal((50, 2)), np.arange(50) % 2, np.ones(50)
    X[7, 1], weight[7] = np.nan, 0.0
    with pytest.raises(ValueError, match="It is in row 7, column 1"):
        LogisticRegression().fit(X, y, weight)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("average", [1e-10, 1.0, 1e10])
def test_near_constant_columns(average, dtype):
    """scikit-learn's grid (#19726, #17794): what rounding cannot tell from a constant is one."""
    scales = 10.0 ** np.arange(-30, 19)
    half = np.ones((100, len(scales)))
    X = np.vstack([(average + scales) * half, (average - scales) * half]).astype(dtype)
    y = np.arange(200) % 2
    moments = memory_source(X, y).moments()
    variance = X.astype(np.longdouble).var(axis=0).astype(float)
    n_eps = len(X) * np.finfo(np.float64).eps
    bound = n_eps * variance + (n_eps * X.astype(float).mean(axis=0)) ** 2
    constant = moments.variance == 0.0
    assert constant[variance <= bound / 4].all() and not constant[variance > 4 * bound].any()
    model = LogisticRegression().fit(X, y)
    assert model.converged_ and np.isfinite(model.coef_).all()
    assert (model.coef_[0, constant] == 0.0).all()


@pytest.mark.parametrize("value", [0.0, 1.0, -3.7, 1e-300, 1e12])
def test_a_constant_column_has_coefficient_zero(value):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((500, 3)), rng.integers(0, 3, 500)
    with_constant = np.column_stack([X[:, :1], np.full(500, value), X[:, 1:]])
    model = LogisticRegression(tol=1e-12).fit(with_constant, y)
    assert (model.coef_[:, 1] == 0.0).all()
    np.testing.assert_allclose(
        np.delete(model.coef_, 1, axis=1), LogisticRegression(tol=1e-12).fit(X, y).coef_, atol=1e-6
    )


def test_nist_numerical_accuracy():
    """NIST StRD univariate summary statistics, NumAcc1 to 4: exact means and deviations."""
    sets = [
        (np.array([10000001.0, 10000003.0, 10000002.0]), 10000002.0, 1.0, 15),
        (np.r_[1.2, np.tile([1.1, 1.3], 500)], 1.2, 0.1, 14),
        (np.r_[1000000.2, np.tile([1000000.1, 1000000.3], 500)], 1000000.2, 0.1, 9),
        (np.r_[10000000.2, np.tile([10000000.1, 10000000.3], 500)], 10000000.2, 0.1, 8),
    ]
    for x, mean, deviation, digits in sets:
        moments = memory_source(x[:, None], np.arange(len(x)) % 2).moments()
        assert moments.mean[0] == pytest.approx(mean, rel=1e-15)
        got = np.sqrt(moments.squares[0] / (len(x) - 1))
        exact = np.std(x.astype(np.longdouble), ddof=1)  # of what the decimals become in float64
        assert got == pytest.approx(float(exact), rel=1e-14)
        assert got == pytest.approx(deviation, rel=10.0**-digits)


def test_weights_drop_and_repeat_rows():
    rng = np.random.default_rng(0)
    X, y, weight = rng.standard_normal((300, 4)), rng.integers(0, 3, 300), rng.integers(0, 4, 300)
    one = LogisticRegression(tol=1e-13).fit(X, y, weight)
    rows = np.repeat(np.arange(300), weight)
    two = LogisticRegression(tol=1e-13).fit(X[rows], y[rows])
    assert one.objective_ == pytest.approx(two.objective_, rel=1e-12)
    np.testing.assert_allclose(one.coef_, two.coef_, rtol=1e-6)


def test_threads_do_not_change_a_bit():
    from fastlogit.kernels.machine.jit import max_threads

    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20_000, 7)), rng.integers(0, 3, 20_000)
    bits = {LogisticRegression(n_threads=1 + i % max_threads()).fit(X, y).coef_.tobytes() for i in range(20)}
    assert len(bits) == 1


FITS = """
import multiprocessing as mp, sys
import numpy as np
from fastlogit import LogisticRegression

def fit(_):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20_000, 5)), rng.integers(0, 2, 20_000)
    return LogisticRegression().fit(X, y).coef_.tobytes()

if __name__ == "__main__":
    want = fit(0)
    with mp.get_context(sys.argv[1]).Pool(2) as pool:
        assert set(pool.map(fit, range(4))) == {want}
    print("equal")
"""


@needs_posix
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_fit(method, tmp_path):
    (tmp_path / "fits.py").write_text(FITS)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(tmp_path / "fits.py"), method]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.stdout == "equal\n", done.stderr[-3000:]


CTRL_C = """
import os, signal, tempfile, threading, time, warnings
import numpy as np
from sklearn.exceptions import NotFittedError
from fastlogit import LogisticRegression

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
X, y = rng.standard_normal((200_000, 40)), rng.integers(0, 10, 200_000)
LogisticRegression(solver="newton-cg").fit(X[:20_000], y[:20_000])
begin = time.perf_counter()
LogisticRegression(solver="newton-cg", tol=1e-15).fit(X, y)
whole = time.perf_counter() - begin
before = sorted(os.listdir(tempfile.gettempdir()))
delays, interrupted, fitted = [], 0, 0
for trial in range(50):
    model, sent = LogisticRegression(solver="newton-cg", tol=1e-15), []

    def send():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(rng.random() * whole, send)
    try:
        timer.start()
        model.fit(X, y)
        timer.cancel()
        timer.join()
    except KeyboardInterrupt:
        pass
    end = time.perf_counter()
    if sent:
        delays.append(end - sent[0])
    try:
        assert model.predict(X[:5]).shape == (5,) and np.isfinite(model.coef_).all()
        fitted += 1
        interrupted += "Interrupted" in model.status_
    except NotFittedError:
        pass
assert sorted(os.listdir(tempfile.gettempdir())) == before
assert LogisticRegression().fit(X[:20_000], y[:20_000]).converged_
print(len(delays), interrupted, fitted, np.median(delays), max(delays), whole)
"""


@needs_posix
@pytest.mark.slow
def test_ctrl_c_at_random_times(tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    n, interrupted, fitted, median, worst, whole = map(float, python(CTRL_C, TMPDIR=str(folder)).split())
    assert n >= 40 and interrupted >= 20 and fitted >= interrupted
    assert median < 0.5 and worst < 2.0, (median, worst, whole)  # 0.5 s on a machine that does nothing else


ADDRESS_SPACE = """
import resource, warnings
import numpy as np
from fastlogit import LogisticRegression

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
X, y = rng.standard_normal((30_000, 300)), rng.integers(0, 6, 30_000)
small, few = X[:3000, :3].copy(), y[:3000]
for solver in ("newton", "lbfgs", "newton-cg"):
    LogisticRegression(solver=solver, max_iter=2).fit(X[:, :64].copy(), y)  # starts the threads
want = LogisticRegression().fit(small, few).coef_
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
refused = 0
for more in (1, 4, 16, 64, 128):
    resource.setrlimit(resource.RLIMIT_AS, (used + (more << 20), resource.RLIM_INFINITY))
    for solver in ("newton", "lbfgs", "newton-cg"):
        model = LogisticRegression(solver=solver, max_iter=3)
        try:
            model.fit(X, y)
        except MemoryError as error:
            refused += 1
            assert str(error) and not hasattr(model, "coef_")
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert refused > 3
assert np.array_equal(LogisticRegression().fit(small, few).coef_, want)
print("alive")
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="Linux only")
def test_too_little_memory_is_an_error_not_a_crash():
    assert python(ADDRESS_SPACE) == "alive\n"


@pytest.mark.slow
def test_separation_is_told_of_complete_cases_and_of_no_others():
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        X, y = rng.standard_normal((60, 3)), rng.integers(0, 2, 60)
        assert not LogisticRegression(C=np.inf).fit(X, y).separated_, seed
        if seed % 10 == 0:
            split = (X @ rng.standard_normal(3) > 0.3).astype(int)
            if 0 < split.sum() < 60:
                with pytest.warns(fl.SeparationWarning):
                    assert LogisticRegression(C=np.inf).fit(X, split).separated_, seed


@pytest.mark.slow
def test_labels_and_weights_make_nothing_of_their_length():
    """2e7 rows of one byte: codes are a byte a row, all else is blocks and the sample with its rows' numbers."""
    code = """
    import resource
    import numpy as np
    from fastlogit import LogisticRegression

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def fit(n):
        X = np.zeros((n, 1), np.uint8); X[::3] = 1
        y = np.zeros(n, np.int64); y[::2] = 7; y[::5] = -3
        weight = np.full(n, 0.5, np.float32)
        before = peak()
        LogisticRegression(class_weight="balanced").fit(X, y, weight)
        return peak() - before

    fit(200_000)
    print(fit(20_000_000))
    """
    rows = 20_000_000
    assert int(python(code)) < rows + (64 << 20) + rows // 16 * 100


def test_no_intercept_no_centre():
    """A constant column is legitimate without an intercept, and nothing is centred."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal((2000, 3)) + 5.0, np.full(2000, 2.0)])
    y = (rng.random(2000) < 1 / (1 + np.exp(-X[:, 0] + 5))).astype(int)
    model = LogisticRegression(fit_intercept=False, tol=1e-12).fit(X, y)
    assert model.intercept_.tolist() == [0.0] and model.coef_[0, 3] != 0.0
    W = np.vstack([model.coef_.T, [[0.0]]])
    _, grad, _ = fl.reference.objective(W, X, y, C=1.0)
    np.testing.assert_allclose(grad[:-1], 0.0, atol=1e-4)


def test_arrow_nulls_are_named_and_never_read():
    table = pa.table({"age": pa.array([1.0, None, 3.0]), "sex": [0, 1, 0]})
    with pytest.raises(ValueError, match=r"X column 0 \('age'\) has a missing value \(null, NaN\) in row 1"):
        LogisticRegression().fit(table, [0, 1, 0])
