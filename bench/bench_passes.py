"""One pass over X against a kernel that only reads the same bytes: GB/s and the share of the bandwidth."""

import numpy as np
import pytest
from cases import DTYPES, LOSSES, STORAGES

from fastlogit.kernels.bandwidth import reader
from fastlogit.kernels.passes import Targets
from fastlogit.prediction import predict_proba, read_only
from fastlogit.sources.memory import MemorySource

NONE, NO_OFFSET = np.empty(0), np.empty((0, 0))


def source_of(X, storage, loss):
    """Return a source of X (C order) in a storage; columns take the same bytes as an F-ordered matrix."""
    rng = np.random.default_rng(1)
    if storage == "columns":
        X = X.reshape(X.shape[::-1]).T
    y = rng.integers(0, LOSSES[loss].n_classes, len(X)).astype(np.uint8)
    targets = Targets(*(read_only(a) for a in (y, NONE, NONE, NO_OFFSET)))
    return MemorySource(STORAGES[storage](X), targets, LOSSES[loss], X.dtype)


def coefficients(source):
    K = 1 if source.n_classes == 2 else source.n_classes
    return np.random.default_rng(2).standard_normal((source.n_features + 1, K)) / 10, np.full(source.n_features, 0.5)


@pytest.mark.parametrize("storage", ["rows", "columns"])
@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("D", [10, 28, 100, 1000])
def bench_passes_logistic(against, matrix, D, dtype, storage):
    X = matrix(D, DTYPES[dtype])
    source = source_of(X, storage, "logistic")
    W, center = coefficients(source)
    against(lambda: source.loss_grad(W, center), reader(X), X.nbytes + source.n_samples)


@pytest.mark.parametrize("storage", ["rows", "columns"])
@pytest.mark.parametrize("loss", ["softmax 3", "softmax 10"])
@pytest.mark.parametrize("D", [54, 784])
def bench_passes_softmax(against, matrix, D, loss, storage):
    X = matrix(D, np.float32)
    source = source_of(X, storage, loss)
    W, center = coefficients(source)
    against(lambda: source.loss_grad(W, center), reader(X), X.nbytes + source.n_samples, rounds=5)


@pytest.mark.parametrize("what", ["moments", "predict_proba"])
@pytest.mark.parametrize("D", [28, 100])
def bench_passes_other(against, matrix, D, what):
    X = matrix(D, np.float32)
    source = source_of(X, "rows", "logistic")
    W, center = coefficients(source)
    run = {
        "moments": source.moments,
        "predict_proba": lambda: predict_proba(source.storage, source.loss, W, center, source.dtype),
    }[what]
    against(run, reader(X), X.nbytes)
