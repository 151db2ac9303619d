"""What a process pays before it trains: imports, the first compilation, and loading from the cache."""

import json
import os
import subprocess
import sys

CODE = """
import json, time
start = time.perf_counter()
import numba
import numba.np.ufunc.parallel
numba_s = time.perf_counter() - start
start = time.perf_counter()
import fastlogit as fl
import_s = time.perf_counter() - start
import numpy as np
fl.LogisticRegression  # imports scikit-learn
X = np.random.default_rng(0).standard_normal((20_000, 20))
y = X[:, 0] + X[:, 1] ** 2 > 0.5
start = time.perf_counter()
fl.LogisticRegression().fit(X[:100, :5], y[:100])
little_s = time.perf_counter() - start
start = time.perf_counter()
fl.LogisticRegression().fit(X, y)
print(json.dumps(dict(
    numba_import_s=numba_s, import_s=import_s, little_fit_s=little_s, first_fit_s=time.perf_counter() - start
)))
"""


def start_process(cache):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def bench_startup(benchmark, tmp_path):
    cold = start_process(tmp_path)
    runs = []
    benchmark.pedantic(lambda: runs.append(start_process(tmp_path)), rounds=5, iterations=1)
    warm = {name: sorted(run[name] for run in runs)[2] for name in runs[0]}
    benchmark.extra_info.update(
        cold_fit_s=cold["first_fit_s"],
        cached_fit_s=warm["first_fit_s"],
        little_fit_s=warm["little_fit_s"],
        import_s=warm["import_s"],
        numba_import_s=warm["numba_import_s"],
    )
