"""One pass over X against a kernel that only reads the same bytes: GB/s and the share of the bandwidth.

`roofline.py` measures more cases, against the arithmetic's limit as well.
"""

import numpy as np
import pytest
from cases import DTYPES
from subjects import passes_of, source_of

from fastlogit.kernels.bandwidth import reader


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
