"""500 fits of little data, one after the other and by joblib: ``python bench/many_fits.py``.

What a grid search does: breast cancer, 569 x 30, standardised, C from 1e-3 to 1e3. Seconds for all, the least of three.
"""

import time
import warnings

import numpy as np
from joblib import Parallel, delayed
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import fastlogit as fl

FITS, TIMES = 500, 3
WAYS = {"in a row": None, "1 process": (1, "loky"), "2 processes": (2, "loky"), "2 threads": (2, "threading")}
TOOLS = {
    "fastlogit": lambda C: fl.LogisticRegression(C=C),
    "scikit-learn lbfgs": lambda C: LogisticRegression(C=C, max_iter=1000),
    "scikit-learn newton-cholesky": lambda C: LogisticRegression(C=C, solver="newton-cholesky"),
}


def fit(tool, C, X, y):
    return TOOLS[tool](C).fit(X, y).coef_


def seconds(tool, way, X, y):
    values = np.geomspace(1e-3, 1e3, FITS)
    start = time.perf_counter()
    if way is None:
        for C in values:
            fit(tool, C, X, y)
    else:
        Parallel(n_jobs=way[0], backend=way[1])(delayed(fit)(tool, C, X, y) for C in values)
    return time.perf_counter() - start


def main():
    warnings.simplefilter("ignore")
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    print(f"| seconds for {FITS} fits | {' | '.join(WAYS)} |\n|---|{'--:|' * len(WAYS)}")
    for tool in TOOLS:
        times = [min(seconds(tool, way, X, y) for _ in range(TIMES)) for way in WAYS.values()]
        print(f"| {tool} | {' | '.join(f'{t:.2f}' for t in times)} |", flush=True)


if __name__ == "__main__":
    main()
