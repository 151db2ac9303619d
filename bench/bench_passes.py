"""One pass over X against a kernel that only reads the same bytes: GB/s and the share of the bandwidth.

`roofline.py` measures more cases, against the arithmetic's limit as well.
"""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from cases import DTYPES
from subjects import passes_of, random_matrix, source_of

from fastlogit.kernels.machine.bandwidth import reader
from fastlogit.sources.targets import memory_source


def measure(against, X, storage, K, what, rounds=7):
    if storage == "columns":
        X = X.reshape(X.shape[::-1]).T  # the same bytes as a matrix in F order
    subject = passes_of(source_of(X, storage, K), K)[what]
    against(subject.run, reader(X), subject.n_bytes, rounds)


@pytest.mark.parametrize("storage", ["rows", "columns"])
@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("D", [10, 28, 100, 1000])
def bench_passes_logistic(against, matrix, D, dtype, storage):
    measure(against, matrix(D, DTYPES[dtype]), storage, 1, "loss_grad")


@pytest.mark.parametrize("storage", ["rows", "columns"])
@pytest.mark.parametrize("K", [3, 10])
@pytest.mark.parametrize("D", [54, 784])
def bench_passes_softmax(against, matrix, D, K, storage):
    measure(against, matrix(D, np.float32), storage, K, "loss_grad", rounds=5)


@pytest.mark.parametrize("what", ["moments", "predict_proba"])
@pytest.mark.parametrize("D", [28, 100])
def bench_passes_other(against, matrix, D, what):
    measure(against, matrix(D, np.float32), "rows", 1, what)


def random_rows(words, dtype):
    """Return CSR rows, 400,000 x 50,000 with 75 nonzeros: uniform columns, or by Zipf's law."""
    N, D, m = 400_000, 50_000, 75
    rng = np.random.default_rng(0)
    columns = D ** rng.random((N, m)) if words else rng.integers(0, D, (N, m))
    indices = np.sort(np.minimum(columns, D - 1).astype(np.int32), axis=1)
    X = scipy.sparse.csr_array((rng.random(N * m).astype(dtype), indices.ravel(), np.arange(N + 1) * m), shape=(N, D))
    X.sum_duplicates()
    return X


@pytest.mark.parametrize("K", [1, 3, 10])
@pytest.mark.parametrize("columns", ["uniform", "Zipf"])
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def bench_passes_sparse(against, dtype, columns, K):
    """Loss and gradient of sparse rows, their coefficients in the second-level cache."""
    X = random_rows(columns == "Zipf", DTYPES[dtype])
    y = np.random.default_rng(1).integers(0, max(K, 2), X.shape[0])
    source = memory_source(X, y)
    W, center = np.full((X.shape[1] + 1, K), 0.01), np.zeros(X.shape[1])
    read = [reader(part[: len(part) // 1000 * 1000].reshape(1000, -1)) for part in (X.data, X.indices)]
    n_bytes = X.data.nbytes + X.indices.nbytes
    against(lambda: source.loss_grad(W, center), lambda: [each() for each in read], n_bytes)


FRAMES = {
    "float64": lambda X: {f"c{j}": x.copy() for j, x in enumerate(X.T)},
    "a third int32": lambda X: {f"c{j}": x.astype(np.int32) if j % 3 == 0 else x.copy() for j, x in enumerate(X.T)},
}


@pytest.mark.parametrize("kind", FRAMES)
def bench_passes_frame(against, kind):
    """Loss and gradient of a frame of 28 columns: read in place, or cast a tile at a time."""
    X = random_matrix((1 << 29) // (28 * 8), 28, np.float64, "columns")
    columns, y = FRAMES[kind](X), np.arange(len(X), dtype=np.uint8) % 2
    source = memory_source(pd.DataFrame(columns, copy=False), y)
    W, center = np.full((29, 1), 0.01), np.zeros(28)
    n_bytes = sum(column.nbytes for column in columns.values())
    against(lambda: source.loss_grad(W, center), reader(X.reshape(-1, order="F").view(np.uint8)[:n_bytes]), n_bytes)
