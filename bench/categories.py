"""Frames with categories, against encoding them first: ``python bench/categories.py [levels frame many] [--rows 1e6]``.

``levels``: ten categories with 3,000 levels in all; ``frame``: ten categories of 2 to 300 levels and ten float32
columns; ``many``: one category of half as many levels as rows, and 20 columns. Every time is from the frame to the
fitted model. Peers encode by `OneHotEncoder` (glum reads categories itself); each is run at tighter and tighter
tolerances until its gap, by one float64 function, is 1e-6. Memory is the largest growth of the process while fitting.
``frame`` also prints the share of the read bandwidth of its bytes that a pass has.
"""

import argparse
import threading
import time
import warnings

import numpy as np
import pandas as pd

import fastlogit as fl

GAP, TOLERANCES = 1e-6, (1e-3, 1e-5, 1e-7, 1e-9)
LEVELS = {
    "levels": np.diff(np.linspace(0, 3000**0.5, 11) ** 2).round().astype(int).tolist(),
    "frame": [2, 3, 5, 8, 12, 20, 30, 60, 100, 300],
}


def make(name, n, rng):
    """Return a frame and labels drawn by a model."""
    levels = LEVELS.get(name, [n // 2])
    columns, z = {}, np.zeros(n, np.float32)
    for j in range({"levels": 0, "frame": 10}.get(name, 20)):
        columns[f"number {j}"] = x = rng.standard_normal(n, dtype=np.float32)
        z += np.float32(rng.normal(0.0, 0.3)) * x
    for j, count in enumerate(levels):
        codes = (count * rng.random(n, dtype=np.float32) ** 1.5).astype(np.int64).clip(0, count - 1)
        z += rng.normal(0.0, 0.7, count).astype(np.float32)[codes]
        columns[f"category {j}"] = pd.Categorical.from_codes(codes, categories=np.arange(count))
    return pd.DataFrame(columns, copy=False), (rng.random(n) < 1.0 / (1.0 + np.exp(-z))).astype(np.uint8)


def held(run):
    """Return what a run returns, its seconds, and by how many MiB the process grew at most."""
    import psutil

    process, peak, going = psutil.Process(), [0], [True]

    def watch():
        while going[0]:
            peak[0] = max(peak[0], process.memory_info().rss)
            time.sleep(0.002)

    before, watcher = process.memory_info().rss, threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - start
    going[0] = False
    watcher.join()
    return result, seconds, max(0, peak[0] - before) >> 20


def value(margins, penalty, y):
    """The objective, from margins in float64."""
    return np.logaddexp(0.0, np.where(y, -margins, margins)).sum() + 0.5 * penalty


def peers(df, y):
    """Yield name and ``fit(tol)``, which returns margins and the square of the coefficients."""
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import OneHotEncoder

    categories = [name for name in df.columns if name.startswith("category")]

    def scikit_learn(solver):
        def fit(tol):
            encoder = make_column_transformer((OneHotEncoder(), categories), remainder="passthrough")
            X = encoder.fit_transform(df)
            model = LogisticRegression(solver=solver, tol=tol, max_iter=2000).fit(X, y)
            return lambda: (model.decision_function(X), float(np.sum(model.coef_**2)))

        return fit

    yield "OneHotEncoder, lbfgs", scikit_learn("lbfgs")
    yield "OneHotEncoder, newton-cg", scikit_learn("newton-cg")
    try:
        from glum import GeneralizedLinearRegressor
    except ModuleNotFoundError:
        return

    def glum(tol):
        model = GeneralizedLinearRegressor(
            family="binomial", alpha=1 / len(y), l1_ratio=0, gradient_tol=tol, max_iter=500
        )
        model.fit(df, y.astype(float))
        return lambda: (model.linear_predictor(df), float(np.sum(model.coef_**2)))

    yield "glum", glum


def measure(name, n, with_peers):
    """Print the times of one kind of frame."""
    df, y = make(name, n, np.random.default_rng(0))
    fl.LogisticRegression().fit(*make(name, 100_000, np.random.default_rng(1)))  # loads the kernels
    print(f"{name}: {n:,} rows, {df.memory_usage(index=False).sum() / n:.0f} bytes a row with dictionaries")
    for solver in ("newton", "lbfgs") if name == "many" else ("auto",):
        runs = [held(lambda s=solver: fl.LogisticRegression(solver=s).fit(df, y)) for _ in range(3)]
        model, seconds, mib = sorted(runs, key=lambda run: run[1])[1]
        print(
            f"  fastlogit {solver}: {seconds:.3f} s, {model.n_passes_} reads, relative gap "
            f"{model.gap_ / model.objective_:.0e} ({model.gap_kind_}), +{max(run[2] for run in runs)} MiB"
        )
    best = value(model.decision_function(df).astype(float), float(np.sum(model.coef_**2)), y) if with_peers else None
    if name == "frame":
        share(df, y)
    for peer, fit in peers(df, y) if with_peers else ():
        for tol in TOLERANCES:
            result, seconds, mib = held(lambda f=fit, t=tol: f(t))
            margins, penalty = result()
            gap = value(np.asarray(margins, float), penalty, y) / best - 1.0
            if gap <= GAP or seconds > 300.0:
                break
        print(f"  {peer}: {seconds:.2f} s at tol={tol:g}, relative gap {gap:.0e}, +{mib} MiB")


def share(df, y):
    """Print the time of a gradient pass, and its share of the bandwidth of its bytes."""
    from fastlogit.kernels.losses import Logistic
    from fastlogit.kernels.machine.bandwidth import reader
    from fastlogit.kernels.passes.first_order import Targets
    from fastlogit.sources.block import Block
    from fastlogit.sources.memory import MemorySource
    from fastlogit.sources.mixed import learnt

    storage, _, _ = learnt(df, "from_dtype", drops_first=False, ignores_unknown=False)
    none = np.empty(0)
    source = MemorySource([Block(storage, Targets(y, none, none, none.reshape(0, 0)), Logistic())])
    W, center = np.zeros((source.n_features + 1, 1)), np.zeros(source.n_features)
    read = reader(np.ones(len(y) * (storage.row_bytes + 1) // 8))
    times = {"pass, float32": [], "pass, float64": [], "read": []}
    for _ in range(9):
        for what, run in (
            ("pass, float32", lambda: source.loss_grad(W, center)),
            ("pass, float64", lambda: source.loss_grad(W, center, np.float64)),
            ("read", read),
        ):
            start = time.perf_counter()
            run()
            times[what].append(time.perf_counter() - start)
    floor = np.median(times.pop("read"))
    for what, seconds in times.items():
        print(f"  {what}: {1e3 * np.median(seconds):.1f} ms, {floor / np.median(seconds):.2f} of the read bandwidth")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=["levels", "frame", "many"], help="kinds of frames")
    parser.add_argument("--rows", type=float, default=1e6)
    parser.add_argument("--peers", action="store_true", help="measure peers too")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in options.names:
        measure(name, int(options.rows), options.peers)


if __name__ == "__main__":
    main()
