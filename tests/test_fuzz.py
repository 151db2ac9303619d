"""Problems of every kind, good and bad: each ends in a fit, a warning of ours, or an error of ours that says where.

`FASTLOGIT_FUZZ_EXAMPLES=5000 FASTLOGIT_FUZZ_SEED=1 pytest tests/test_fuzz.py` looks for longer, elsewhere.
"""

import os
import re
import time
import traceback
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from optimum import true_value

import fastlogit as fl
from fastlogit.solvers.solution import Status

EXAMPLES = int(os.environ.get("FASTLOGIT_FUZZ_EXAMPLES", "0"))
SEED = os.environ.get("FASTLOGIT_FUZZ_SEED")
PACKAGE = str(Path(fl.__file__).parent)
#: One of these stands in every error.
ARGUMENTS = r"\b(X|y|C|sample_weight|class_weight|offset|tol|max_iter|time_limit|solver|coef_init)\b"
#: What is done to some columns.
COLUMNS = {
    "denormal": lambda x, rng: x * 1e-310,
    "1e-300": lambda x, rng: x * 1e-300,
    "1e-150": lambda x, rng: x * 1e-150,
    "1e-30": lambda x, rng: x * 1e-30,
    "1e30": lambda x, rng: x * 1e30,
    "1e150": lambda x, rng: x * 1e150,
    "1e300": lambda x, rng: x * 1e300,
    "decades": lambda x, rng: x * 10 ** rng.uniform(-12, 12, x.shape[1]),
    "constant": lambda x, rng: np.ones_like(x) * rng.choice([1.0, -3.0, 1e6, 1e-200, 1e200]),
    "zero": lambda x, rng: np.zeros_like(x),
    "duplicated": lambda x, rng: np.repeat(x[:, :1], x.shape[1], axis=1),
    "collinear": lambda x, rng: x[:, :1] * rng.standard_normal(x.shape[1]) + x[:, -1:],
    "one-hot": lambda x, rng: np.eye(x.shape[1])[rng.integers(0, x.shape[1], len(x))],
    "sparse": lambda x, rng: x * (rng.random(x.shape) < 0.1),
    "huge mean": lambda x, rng: x + 10 ** rng.uniform(3, 15),
    "one far out": lambda x, rng: x + (np.arange(len(x)) == 0)[:, None] * 10 ** rng.uniform(3, 100),
}
WEIGHTS = {
    "ordinary": lambda n, rng: rng.uniform(0.5, 2.0, n),
    "zeros": lambda n, rng: np.where(rng.random(n) < 0.5, 0.0, rng.uniform(0.5, 2.0, n)),
    "spread": lambda n, rng: 10 ** rng.uniform(-12, 12, n),
    "one counts": lambda n, rng: np.where(np.arange(n) == 0, 1e12, 1e-12),
    "tiny": lambda n, rng: np.full(n, 1e-300),
    "huge": lambda n, rng: np.full(n, 1e97),
}
OFFSETS = {"ordinary": 1.0, "large": 1e3, "larger": 1e8, "huge": 1e29, "largest": 1e300}
DENSE = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
}
LAYOUTS = DENSE | {
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3],
    "reversed": lambda X: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
    "frame": lambda X: pd.DataFrame(X, columns=[f"c{j}" for j in range(X.shape[1])]),
    "columns": lambda X: pd.DataFrame({f"c{j}": x for j, x in enumerate(X.T)}),
    "CSC": scipy.sparse.csc_array,
    "COO": scipy.sparse.coo_array,
}
DTYPES = [np.float16, np.int8, np.uint8, np.int16, np.int32, np.int64, np.uint64, np.bool_, ">f8", ">f4"]


class Problem(NamedTuple):
    """What a fit is given; arrays follow from it."""

    seed: int
    shape: tuple
    columns: list
    missing: float | None
    dtype: object
    layout: str
    labels: str
    weight: str | None
    class_weight: str | None
    offset: str | None
    C: float
    tol: float
    solver: str
    fit_intercept: bool
    standardize: bool
    max_iter: int
    time_limit: float

    def arrays(self):
        """Return X, y (codes 0, 1, ..., or probabilities), the model's parameters, and what goes into `fit`."""
        rng, (n, d, k) = np.random.default_rng(self.seed), self.shape
        X = rng.standard_normal((n, d))
        Z = X @ rng.standard_normal((d, k)) / np.sqrt(d)
        with np.errstate(all="ignore"):
            for name in self.columns:
                some = np.unique(rng.integers(0, d, max(1, d // 2)))
                X[:, some] = COLUMNS[name](X[:, some], rng)
            dtype = np.dtype(self.dtype)
            if self.layout in ("CSR", "CSC", "COO"):  # SciPy has no others
                dtype = np.dtype(np.float32) if dtype == np.float16 else dtype.newbyteorder("=")
            if dtype.kind in "iub":
                X = np.nan_to_num(np.rint(3.0 * X))
                X = np.clip(X, *((0, 1) if dtype.kind == "b" else (max(np.iinfo(dtype).min, -1e9), 120)))
            X = np.nan_to_num(X.astype(dtype), copy=False) if dtype.kind == "f" else X.astype(dtype)
        if self.missing is not None and dtype.kind == "f":
            X[rng.integers(0, n), rng.integers(0, d)] = self.missing
        noise = {"separable": 0.0, "noisy": 1.0}.get(self.labels, 3.0)
        y = (Z + noise * rng.gumbel(size=Z.shape)).argmax(axis=1)
        if self.labels == "soft":
            y = rng.dirichlet(np.full(k, 0.5), n)
        elif self.labels == "sure":
            y = np.eye(k)[y]
        elif n >= k:
            y[:k] = rng.permutation(k)
        else:
            y[:2] = [0, 1][:n]
            y = np.unique(y, return_inverse=True)[1]
        n_classes = y.shape[1] if y.ndim == 2 else int(y.max()) + 1
        K = 1 if n_classes == 2 else n_classes
        given = {}
        if self.weight is not None:
            given["sample_weight"] = WEIGHTS[self.weight](n, rng)
        if self.offset is not None:
            given["offset"] = OFFSETS[self.offset] * rng.standard_normal((n, K))
        class_weight = {
            None: None,
            "balanced": "balanced",
            "dict": dict(enumerate(rng.uniform(0.1, 10.0, n_classes))),
            "zero": dict(enumerate((np.arange(n_classes) != 1) * 1.0)),
            "spread": dict(enumerate(10 ** rng.uniform(-12, 12, n_classes))),
        }[self.class_weight if y.ndim == 1 else None]
        names = ("C", "tol", "solver", "fit_intercept", "standardize", "max_iter", "time_limit")
        parameters = {name: getattr(self, name) for name in names} | {"class_weight": class_weight}
        matrix = scipy.sparse.csr_array(X) if self.layout == "CSR" else LAYOUTS[self.layout](X)
        if isinstance(matrix, np.ndarray):
            matrix.flags.writeable = False
        return matrix, y, parameters, given


@st.composite
def problems(draw, dtypes, layouts, most_columns=80, most_classes=40):
    def often(value, others):
        return st.one_of(st.just(value), st.just(value), st.sampled_from(others))

    return Problem(
        seed=draw(st.integers(0, 2**32 - 1)),
        shape=(
            draw(st.one_of(st.integers(1, 60), st.integers(20, 60))),
            draw(st.one_of(st.integers(1, 10), st.integers(1, most_columns))),
            draw(st.one_of(st.just(2), st.integers(2, 5), st.integers(2, most_classes))),
        ),
        columns=draw(st.one_of(st.just([]), st.lists(st.sampled_from(sorted(COLUMNS)), max_size=2))),
        missing=draw(st.integers(0, 19).map({0: np.nan, 1: np.inf}.get)),
        dtype=draw(st.sampled_from(dtypes)),
        layout=draw(st.sampled_from(layouts)),
        labels=draw(st.sampled_from(["noisy", "separable", "random", "soft", "sure"])),
        weight=draw(often(None, sorted(WEIGHTS))),
        class_weight=draw(often(None, ["balanced", "dict", "zero", "spread"])),
        offset=draw(often(None, sorted(OFFSETS))),
        C=draw(st.one_of(st.sampled_from([1.0, np.inf, np.inf, 1e-300, 1e300]), st.floats(-6, 9).map(lambda e: 10**e))),
        tol=draw(st.sampled_from([1e-13, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 0.5, 1.0, 10.0])),
        solver=draw(st.sampled_from(["auto", "auto", "newton", "lbfgs", "newton-cg"])),
        fit_intercept=draw(st.booleans()),
        standardize=draw(st.booleans()),
        max_iter=draw(often(200, [0, 1, 2, 5, 1000])),
        time_limit=draw(often(5.0, [0.0, 1e-6, 1e-3, 1e-2])),
    )


def fitted(X, y, parameters, given):
    """Return the model and the warnings of its fit; None where an error of ours says what is wrong."""
    for _ in range(4):  # the first fits of a kind compile, each until the time limit
        begin = time.perf_counter()
        ended = _fitted(X, y, parameters, given)
        if time.perf_counter() - begin < 4.0:
            return ended
    assert time.perf_counter() - begin < 8.0, "too slow"
    return ended


def _fitted(X, y, parameters, given):
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("error")
            warnings.simplefilter("always", fl.ConvergenceWarning)
            warnings.simplefilter("always", scipy.sparse.SparseEfficiencyWarning)
            model = fl.LogisticRegression(**parameters).fit(X, y, **given)
    except (ValueError, TypeError, MemoryError) as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        if not (frame.filename.startswith(PACKAGE) and re.search(ARGUMENTS, str(error))):
            raise
        return None, []
    return model, [warning.message for warning in caught]


def check(problem):
    X, y, parameters, given = problem.arrays()
    model, complaints = fitted(X, y, parameters, given)
    if model is None:
        return
    assert np.isfinite(model.coef_).all() and np.isfinite(model.intercept_).all()
    if problem.missing is not None:
        X, y, given = problem._replace(missing=None).arrays()[0], y, given  # out of time before X was read
        assert problem.time_limit < 5.0 or np.dtype(problem.dtype).kind != "f"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", scipy.sparse.SparseEfficiencyWarning)
        P = model.predict_proba(X, offset=given.get("offset"))
        codes = model.predict(X, offset=given.get("offset"))
    assert np.isfinite(P).all() and (P >= 0.0).all() and set(codes.tolist()) <= set(model.classes_.tolist())
    np.testing.assert_allclose(P.sum(axis=1), 1.0, rtol=1e-5)
    assert model.converged_ or any(isinstance(each, fl.ConvergenceWarning) for each in complaints)
    assert len(model.history_["gap"]) <= 3 * (model.n_iter_[0] + 10), "going round in circles"
    assert np.isfinite(model.objective_) or problem.time_limit < 5.0
    if model.converged_:
        assert 0.0 <= model.gap_ <= problem.tol * abs(model.objective_)
    if is_moderate(problem):
        codes = np.searchsorted(model.classes_, y) if y.ndim == 1 else y
        W = np.vstack([model.coef_.T, model.intercept_])
        dense = X.toarray() if scipy.sparse.issparse(X) else np.asarray(X)
        if model.converged_:
            check_lowest(problem, dense, codes, W, given)
        if problem.C == np.inf and model.status_ == Status.SEPARATED.value:
            check_separates(dense, codes, W, given)


def is_moderate(problem):
    """Tell whether the reference, in plain float64, can judge."""
    return (
        set(problem.columns) <= {"constant", "zero", "duplicated", "collinear", "one-hot", "sparse"}
        and problem.offset in (None, "ordinary")
        and problem.weight in (None, "ordinary", "zeros")
        and problem.class_weight is None
        and not problem.standardize
        and 1e-3 <= problem.C
    )


def check_lowest(problem, X, y, W, given):
    """No point near the solution is lower than it by more than the gap that was asked for."""
    rng, C = np.random.default_rng(0), problem.C
    value = true_value(W, X, y, C=C, **given)
    for size in (1e-6, 1e-3, 1e-1, 1.0):
        step = size * rng.standard_normal(W.shape)
        if not problem.fit_intercept:
            step[-1] = 0.0
        other = true_value(W + step, X, y, C=C, **given)
        assert value - other <= (1.01 * problem.tol + 1e-9) * value, "not lowest"


def check_separates(X, y, W, given):
    """Along the coefficients every row of positive weight is on its class's side."""
    counts = given.get("sample_weight", np.ones(len(X))) > 0.0
    Z = X.astype(np.float64) @ W[:-1] + W[-1]
    Z = np.column_stack([np.zeros(len(Z)), Z]) if Z.shape[1] == 1 else Z
    own = Z[np.arange(len(Z)), y]
    Z[np.arange(len(Z)), y] = -np.inf
    assert (own > Z.max(axis=1))[counts].all(), "does not separate"


def fuzz(examples):
    def decorate(test):
        options = dict(deadline=None, database=None, suppress_health_check=list(HealthCheck))
        test = settings(max_examples=EXAMPLES or examples, derandomize=SEED is None, **options)(test)
        return test if SEED is None else seed(int(SEED))(test)

    return decorate


@fuzz(1500)
@given(problems([np.float64, np.float32], ["C", "CSR"], most_columns=40, most_classes=8))
def test_any_problem_ends_well(problem):
    check(problem)


# Each type and layout compiles its own kernels, minutes in all: by hand they are all met.
EVERY = (
    ([np.float64, np.float32, *DTYPES], ["CSR", *LAYOUTS]) if EXAMPLES else ([np.float64], ["F", "frame", "columns"])
)


@pytest.mark.slow
@fuzz(60)
@given(problems(*EVERY))
def test_any_storage_ends_well(problem):
    check(problem)
