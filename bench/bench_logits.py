"""softmax, cross_entropy_loss and grad_of_loss_wrt_logits against NumPy and against reading (and writing) memory."""

import time

import numpy as np
import pytest
from cases import DTYPES

import fastlogit as fl
from fastlogit.kernels.machine.bandwidth import reader


@pytest.mark.parametrize("K", [10, 1000])
@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("what", ["softmax", "cross_entropy_loss", "grad_of_loss_wrt_logits"])
def bench_logits(benchmark, against, matrix, what, dtype, K):
    Z = matrix(K, DTYPES[dtype], 1 << 28)
    labels = np.random.default_rng(0).integers(0, K, len(Z)).astype(np.uint16)
    arguments = (Z,) if what == "softmax" else (Z, labels)
    moved = Z.nbytes if what == "cross_entropy_loss" else 2 * Z.nbytes
    against(lambda: getattr(fl, what)(*arguments), reader(Z), Z.nbytes, rounds=5)
    small = tuple(a[: len(Z) // 16] for a in arguments)
    start = time.perf_counter()
    getattr(fl.reference, what)(*small)
    numpy_s = (time.perf_counter() - start) * 16
    median = benchmark.stats.stats.median
    benchmark.extra_info.update(GB_per_s=moved / median / 1e9, ratio=numpy_s / median)
    benchmark.extra_info["share"] = benchmark.extra_info["GB_per_s"] / benchmark.extra_info["baseline_GB_per_s"]
