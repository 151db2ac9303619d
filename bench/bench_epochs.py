"""The notebook's training loop against the NumPy reference: seconds an epoch."""

import time

import numpy as np
import pytest

import fastlogit as fl
from fastlogit.kernels.machine.bandwidth import read_bandwidth


def seconds_per_epoch(train, X, Y, epochs):
    """Return the median time between callbacks, the first epochs left out."""
    times = []
    train(X, Y, epochs=epochs, learning_rate=1e-7, callback=lambda *_: times.append(time.perf_counter()))
    return float(np.median(np.diff(times)))


@pytest.mark.parametrize(("N", "D"), [(1_000_000, 100), (1_000_000, 28)])
def bench_epochs_binary(benchmark, N, D):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, D)) * 3 + 5
    Y = rng.random(N) < 0.5
    fl.binary_classifier_from(X, Y, epochs=1)
    ours, theirs = [], []

    def compare():
        ours.append(seconds_per_epoch(fl.binary_classifier_from, X, Y, 12))
        theirs.append(seconds_per_epoch(fl.reference.binary_classifier_from, X, Y, 3))

    benchmark.pedantic(compare, rounds=3, iterations=1)
    fast, slow = float(np.median(ours)), float(np.median(theirs))
    bandwidth = read_bandwidth(X)
    benchmark.extra_info.update(
        epoch_s=fast,
        reference_epoch_s=slow,
        ratio=slow / fast,
        GB_per_s=X.nbytes / fast / 1e9,
        baseline_GB_per_s=bandwidth / 1e9,
        share=X.nbytes / fast / bandwidth,
    )
