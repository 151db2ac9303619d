"""The benchmarks' data and clock: every pass is timed in turn with a kernel that only reads the same bytes."""

import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # the case lists are those of the tests
_digest = hashlib.sha256(b"".join(p.read_bytes() for p in sorted((ROOT / "fastlogit" / "kernels").rglob("*.py"))))
os.environ.setdefault(
    "NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"fastlogit-bench-{_digest.hexdigest()[:16]}")
)

from subjects import random_matrix  # noqa: E402

X_BYTES = 1 << 30  # beyond any last-level cache


@pytest.fixture(scope="session")
def matrix():
    """Return ``f(D, dtype)``: an (N, D) matrix in C order of about 1 GiB, the last one kept."""
    kept = {}

    def make(D, dtype, n_bytes=X_BYTES):
        key = (D, np.dtype(dtype), n_bytes)
        if key not in kept:
            kept.clear()
            X = random_matrix(n_bytes // (D * np.dtype(dtype).itemsize), D, dtype, "rows")
            kept[key] = X
        return kept[key]

    return make


@pytest.fixture
def against(benchmark):
    """Return ``f(run, baseline, n_bytes, rounds)``: time ``run``, and in turn with it ``baseline``."""

    def time_both(run, baseline, n_bytes, rounds=7):
        run(), baseline()
        seconds = []

        def time_baseline():
            start = time.perf_counter()
            baseline()
            seconds.append(time.perf_counter() - start)

        benchmark.pedantic(run, setup=time_baseline, rounds=rounds, iterations=1)
        run_seconds, base_seconds = benchmark.stats.stats.median, float(np.median(seconds))
        benchmark.extra_info.update(
            GB_per_s=n_bytes / run_seconds / 1e9,
            baseline_GB_per_s=n_bytes / base_seconds / 1e9,
            share=base_seconds / run_seconds,
        )

    return time_both
