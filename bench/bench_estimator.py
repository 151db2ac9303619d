"""Small fits and requests, where overhead is all: `LogisticRegression` beside scikit-learn's."""

import time
import warnings

import numpy as np
import pandas as pd
import peers
import pytest
import sklearn.linear_model
from sklearn.datasets import load_breast_cancer

from fastlogit import LogisticRegression

THEIRS = ("lbfgs", "newton-cg", "newton-cholesky", "liblinear")


def _thousand():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1000, 10))
    return X, (rng.random(1000) < 1 / (1 + np.exp(-X[:, 0] + X[:, 1]))).astype(int)


def _wide():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 2000))
    return X, (rng.random(200) < 1 / (1 + np.exp(-X[:, 0] + X[:, 1]))).astype(int)


SETS = {"569 x 30": lambda: load_breast_cancer(return_X_y=True), "1000 x 10": _thousand, "200 x 2000": _wide}


def _seconds(model, X, y):
    start = time.perf_counter()
    model.fit(X, y)
    return time.perf_counter() - start


@pytest.mark.parametrize("name", SETS)
def bench_small_fit(benchmark, name):
    """Raw columns, each at its own default tolerance; scikit-learn's with up to 10,000 iterations."""
    X, y = SETS[name]()
    models = {solver: sklearn.linear_model.LogisticRegression(solver=solver, max_iter=10_000) for solver in THEIRS}
    models["fastlogit"] = LogisticRegression()
    seconds = {solver: [] for solver in models}

    def compare():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for solver, model in models.items():
                seconds[solver].append(_seconds(model, X, y))

    compare()
    benchmark.pedantic(compare, rounds=15, iterations=1)
    medians = {solver: float(np.median(each[1:])) for solver, each in seconds.items()}
    ours = medians.pop("fastlogit")
    benchmark.extra_info.update(fit_s=ours, best_of_scikit_learn_s=min(medians.values()), **medians)


def bench_fits_in_a_row(benchmark):
    """Sparse rows by Zipf's law, 20,000 x 47,000, fit after fit: what one leaves running is the next one's loss."""
    X, y = peers.generate("rcv1-like")
    benchmark.pedantic(lambda: LogisticRegression().fit(X, y), rounds=15, warmup_rounds=2)


@pytest.mark.parametrize("n_features", [30, 3000])
@pytest.mark.parametrize("kind", ["one block", "columns apart"])
def bench_one_row_of_a_frame(benchmark, kind, n_features):
    """What a request costs: `predict` of one row of a pandas frame, beside scikit-learn's and an array's."""
    X = np.random.default_rng(0).standard_normal((200, n_features))
    names, y = [f"x{j}" for j in range(n_features)], np.arange(200) % 2
    frame = pd.DataFrame(X, columns=names)
    if kind == "columns apart":
        frame = pd.DataFrame({name: X[:, j].copy() for j, name in enumerate(names)}, copy=False)
    one, rounds = frame.iloc[:1], 3000 // n_features + 5
    theirs = sklearn.linear_model.LogisticRegression(C=1e-3).fit(frame, y)
    ours, of_array = LogisticRegression(C=1e-3).fit(frame, y), LogisticRegression(C=1e-3).fit(X, y)
    seconds = {}
    for name, model, row in (("scikit_learn_s", theirs, one), ("array_s", of_array, X[:1])):
        times = []
        for _ in range(rounds):
            start = time.perf_counter()
            model.predict(row)
            times.append(time.perf_counter() - start)
        seconds[name] = float(np.median(times))
    benchmark.pedantic(lambda: ours.predict(one), rounds=rounds, warmup_rounds=2)
    benchmark.extra_info.update(seconds)
