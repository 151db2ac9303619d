"""Small fits, where overhead is all: `LogisticRegression` beside scikit-learn's solvers."""

import time
import warnings

import numpy as np
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


SETS = {"569 x 30": lambda: load_breast_cancer(return_X_y=True), "1000 x 10": _thousand}


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
