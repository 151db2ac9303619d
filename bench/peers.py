"""Time to a given gap, fastlogit against its peers: ``python bench/peers.py [--data tall higgs ...] [--save]``.

The rules are benchopt's: one objective, computed outside of every solver by one float64 function; each peer is run at
tighter and tighter tolerances, each run in a process of its own, until its gap is 1e-10 or a run takes 60 seconds, at
which it is ended; the two fastest peers and fastlogit are then run three times in turn. A warm-up run on a few rows is
not timed. Reads of X are what a solver says of itself, or its iterations, each of which is a read at least. Peers come
from the extra ``peers``; those that are not installed are left out. ``--save`` writes docs/peers.json, keeping what
was measured before of other data, and from it the table in docs/performance.md and the pictures docs/peers and
docs/peers-sparse.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
LIMIT = 60.0
THREADS = 2  # of the peers that do not take all by themselves
MARK = "@ "
GAPS = (1e-3, 1e-6, 1e-8, 1e-10)

#: rows, columns, type, classes, C
DATA = {
    "tall": (1_000_000, 100, "float64", 2, 1.0),
    "higgs": (10_000_000, 28, "float32", 2, 1.0),
    "wide": (100_000, 1000, "float32", 2, 1.0),
    "mnist": (100_000, 784, "float32", 10, 1.0),
    "probe": (30_000, 512, "float32", 200, 0.1),
    "text": (400_000, 50_000, "float64", 2, 1.0),
    "rcv1-like": (20_000, 47_000, "float64", 2, 1.0),
    "news-like": (20_000, 1_300_000, "float64", 2, 1.0),
    "one-hot": (1_000_000, 3_000, "float64", 2, 1.0),
}
#: Of sparse rows: nonzeros a row.
NONZEROS = {"text": 75, "rcv1-like": 75, "news-like": 450, "one-hot": 10}


def generate(name):
    """Return X and y."""
    N, D, dtype, K, _ = DATA[name]
    if name in NONZEROS:
        return generate_sparse(N, D, NONZEROS[name], one_hot=name == "one-hot")
    return generate_dense(N, D, dtype, K)


def generate_dense(N, D, dtype, K, raw=True):
    """Return rows, raw ones scaled over two decades and shifted, and labels drawn by a model, so not separable."""
    rng = np.random.default_rng(0)
    coef = (2 / np.sqrt(D) * rng.standard_normal((D, 1 if K == 2 else K))).astype(np.float32)
    scale = rng.permutation(np.geomspace(0.1, 10.0, D)).astype(np.float32)
    shift = (3 * scale * rng.standard_normal(D)).astype(np.float32)
    X, y = np.empty((N, D), dtype), np.empty(N, np.int64)
    for start in range(0, N, 1 << 16):
        block = rng.standard_normal((min(1 << 16, N - start), D), dtype=np.float32)
        z = block @ coef
        if K == 2:
            y[start : start + len(z)] = rng.random(len(z)) < 1 / (1 + np.exp(-z[:, 0]))
        else:
            y[start : start + len(z)] = (z - np.log(-np.log(rng.random(z.shape)))).argmax(axis=1)
        X[start : start + len(z)] = block * scale + shift if raw else block
    return X, y


def generate_sparse(N, D, nonzeros, one_hot, K=2):
    """Return CSR rows, and labels drawn by a model.

    Words by Zipf's law, weighed by how rare they are, rows of norm 1; or ten categories, of 20 to 1000 levels each
    where D = 3000, some levels rare.
    """
    import scipy.sparse

    rng = np.random.default_rng(0)
    if one_hot:
        levels = np.diff(np.linspace(0, D**0.5, nonzeros + 1) ** 2).astype(int)
        first = np.concatenate([[0], np.cumsum(levels)[:-1]])
        indices = first + (levels * rng.random((N, nonzeros)) ** 2).astype(np.int64)
    else:
        indices = np.sort(np.minimum(D ** rng.random((N, nonzeros)), D - 1).astype(np.int64), axis=1)
    indptr = np.arange(0, N * nonzeros + 1, nonzeros)
    X = scipy.sparse.csr_array((np.ones(N * nonzeros), indices.astype(np.int32).ravel(), indptr), shape=(N, D))
    X.sum_duplicates()
    if not one_hot:
        X.data *= 1 + np.log((1 + N) / (1 + np.bincount(X.indices, minlength=D)))[X.indices]
        X.data /= np.repeat(np.sqrt(np.add.reduceat(X.data**2, X.indptr[:-1])), np.diff(X.indptr))
    spread = 1.0 if one_hot else 4.0
    if K > 2:
        Z = X @ (spread * rng.standard_normal((D, K)))
        return X, (Z - np.log(-np.log(rng.random(Z.shape)))).argmax(axis=1)
    coef = spread * rng.standard_normal(D) * (rng.random(D) < 0.3)
    return X, (rng.random(N) < 1 / (1 + np.exp(0.5 - X @ coef))).astype(np.int64)


def objective(W, X, y, C):
    """``sum_i loss_i + 1/(2 C) ||w||^2`` in float64, a block of rows at a time; W (D + 1, K)."""
    W = np.asarray(W, np.float64)
    total = 0.5 / C * np.sum(W[:-1] ** 2)
    for start in range(0, X.shape[0], 1 << 14):
        Z = np.asarray(X[start : start + (1 << 14)].astype(np.float64) @ W[:-1]) + W[-1]
        labels = y[start : start + (1 << 14)]
        if Z.shape[1] == 1:
            total += np.logaddexp(0.0, np.where(labels, -Z[:, 0], Z[:, 0])).sum()
        else:
            top = Z.max(axis=1)
            total += (np.log(np.exp(Z - top[:, None]).sum(axis=1)) + top - Z[np.arange(len(Z)), labels]).sum()
    return float(total)


def fastlogit(X, y, C, tol):
    import fastlogit as fl

    solution = fl.solve(X, y, C=C, tol=tol, max_iter=2000)
    return solution.x, {"reads": solution.n_passes, "gap_kind": solution.gap_kind}


def from_sklearn(model):
    """Return W (D + 1, K) of a fitted estimator, and its reads of X: its iterations and one, at least."""
    W = np.vstack([model.coef_.T, np.atleast_1d(model.intercept_)])
    return W, {"reads": int(np.max(model.n_iter_)) + 1}


def scikit_learn(solver, **settings):
    """Return a function that fits by a solver of scikit-learn's."""

    def fit(X, y, C, tol):
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=C, solver=solver, tol=tol, max_iter=10_000, **settings)
        if solver == "liblinear":
            model.set_params(intercept_scaling=100.0)  # it penalises the intercept, by a ten-thousandth then
        return from_sklearn(model.fit(X, y))

    return fit


def sklearnex(X, y, C, tol):
    from sklearnex.linear_model import LogisticRegression

    return from_sklearn(LogisticRegression(C=C, solver="lbfgs", tol=tol, max_iter=10_000).fit(X, y))


def snapml(X, y, C, tol):
    from snapml import LogisticRegression

    model = LogisticRegression(regularizer=1 / C, tol=tol, max_iter=10_000, n_jobs=THREADS, fit_intercept=True).fit(
        X, y
    )
    return np.append(model.coef_.ravel(), model.intercept_)[:, None], {}


def glum(X, y, C, tol):
    from glum import GeneralizedLinearRegressor

    model = GeneralizedLinearRegressor(
        family="binomial", alpha=1 / (C * X.shape[0]), l1_ratio=0, gradient_tol=tol, max_iter=1000
    )
    model.fit(X, y.astype(X.dtype))
    return np.append(model.coef_, model.intercept_)[:, None], {"reads": int(model.n_iter_) + 1}


def torch(X, y, C, tol, dtype=None):
    """Fit a standardised copy of ``dtype``, by default that of X."""
    import torch

    dtype = dtype or X.dtype

    torch.set_num_threads(THREADS)
    mean, scale = X.mean(axis=0, dtype=np.float64), X.std(axis=0, dtype=np.float64)
    scale[scale == 0] = 1.0
    Xs = torch.from_numpy(((X - mean) / scale).astype(dtype))
    labels = torch.from_numpy(y)
    K = int(y.max()) + 1
    W = torch.zeros((X.shape[1], 1 if K == 2 else K), dtype=Xs.dtype, requires_grad=True)
    b = torch.zeros(W.shape[1], dtype=Xs.dtype, requires_grad=True)
    strength = torch.from_numpy((1 / (C * scale**2)).astype(dtype))[:, None]
    optimizer = torch.optim.LBFGS(
        [W, b], max_iter=100_000, tolerance_grad=0.0, tolerance_change=tol, line_search_fn="strong_wolfe"
    )

    reads = 2  # the moments

    def closure():
        nonlocal reads
        reads += 1
        optimizer.zero_grad()
        Z = Xs @ W + b
        if K == 2:
            loss = torch.nn.functional.binary_cross_entropy_with_logits(Z[:, 0], labels.to(Z.dtype))
        else:
            loss = torch.nn.functional.cross_entropy(Z, labels)
        loss = loss + 0.5 * (strength * W**2).sum() / len(Xs)
        loss.backward()
        return loss

    optimizer.step(closure)
    w = W.detach().numpy().astype(np.float64) / scale[:, None]
    return np.vstack([w, b.detach().numpy() - mean @ w]), {"reads": reads}


LOOSE, TIGHT = (1e-2, 1e-4, 1e-6, 1e-8), (1e-5, 1e-7, 1e-9, 1e-12)
#: function, tolerances, and whether it takes more than two classes, dense rows, sparse rows
PEERS = {
    "fastlogit": (fastlogit, GAPS, True, True, True),
    "scikit-learn lbfgs": (scikit_learn("lbfgs"), LOOSE, True, True, True),
    "scikit-learn newton-cholesky": (scikit_learn("newton-cholesky"), LOOSE, True, True, False),
    "scikit-learn newton-cg": (scikit_learn("newton-cg"), LOOSE, True, False, True),
    "liblinear": (scikit_learn("liblinear"), LOOSE, False, False, True),
    "scikit-learn-intelex lbfgs": (sklearnex, LOOSE, True, True, False),
    "glum": (glum, LOOSE, False, True, False),
    "snapml": (snapml, LOOSE, False, True, True),
    "PyTorch L-BFGS": (torch, TIGHT, True, True, False),
}


def takes(peer, name):
    """Tell whether a peer takes a data set."""
    _, _, many_classes, dense, sparse = PEERS[peer]
    return (many_classes or DATA[name][3] == 2) and (sparse if name in NONZEROS else dense)


def save(folder, X, y):
    """Write a data set for other processes."""
    np.save(folder / "y.npy", y)
    if isinstance(X, np.ndarray):
        np.save(folder / "X.npy", X)
    else:
        np.savez(folder / "X.npz", data=X.data, indices=X.indices, indptr=X.indptr, shape=X.shape)


def load(folder):
    """Return what `save` wrote."""
    y = np.load(folder / "y.npy")
    if (folder / "X.npy").exists():
        return np.load(folder / "X.npy"), y
    import scipy.sparse

    parts = np.load(folder / "X.npz")
    return scipy.sparse.csr_matrix((parts["data"], parts["indices"], parts["indptr"]), shape=parts["shape"]), y


def warm_up(fit, X, y, C, is_ours):
    """Fit a few rows of every class, which compiles and loads what the first fit of a process does."""
    few = np.unique(np.r_[np.arange(min(3000, len(y))), np.unique(y, return_index=True)[1]])
    fit(X[few], y[few], C, 1e-2)
    if is_ours:
        half = len(y) // 2  # enough for a sample, where the whole has one: every kernel is compiled or loaded
        fit(X[:half], y[:half], C, 1e-8)


def child(folder, name, peer, tol):
    """Fit once, and print seconds and objective."""
    X, y = load(folder)
    C = DATA[name][-1]
    fit = PEERS[peer][0]
    warm_up(fit, X, y, C, peer == "fastlogit")
    print(MARK + "ready", flush=True)
    start = time.perf_counter()
    W, more = fit(X, y, C, tol)
    seconds = time.perf_counter() - start
    print(MARK + "done", flush=True)
    print(MARK + json.dumps({"seconds": seconds, "value": objective(W, X, y, C)} | more), flush=True)


def run(folder, name, peer, tol):
    """Return what a run in a process of its own found; None where it failed or took too long."""
    command = [sys.executable, __file__, "--child", str(folder), name, peer, repr(tol)]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        lines = (line.removeprefix(MARK) for line in process.stdout if line.startswith(MARK))
        next(lines, None)  # the data are there, and the warm-up is done
        clock = threading.Timer(LIMIT, process.kill)
        clock.start()
        next(lines, None)
        clock.cancel()
        result = next(lines, None)
        process.stdout.close()
        if process.wait() or result is None:
            errors.seek(0)
            last = (
                (errors.read().strip().splitlines() or [""])[-1] if process.returncode > 0 else f"{LIMIT:.0f} s passed"
            )
            print(f"  {name} {peer} tol={tol:g}: {last[:150]}", flush=True)
            return None
        return json.loads(result)


def measure(name, peers):
    """Return {peer: [run, ...]} and the best value seen."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        X, y = generate(name)
        save(folder, X, y)
        del X, y
        found, best = {}, np.inf
        for peer, (_, tolerances, *_) in PEERS.items():
            if peer not in peers or not takes(peer, name):
                continue
            found[peer] = []
            for tol in tolerances:
                result = run(folder, name, peer, tol)
                if result is None:
                    break
                found[peer].append(result | {"tol": tol})
                best = min(best, result["value"])
                gap = result["value"] / best - 1
                print(f"  {name} {peer} tol={tol:g}: {result['seconds']:.2f} s, gap {gap:.1e}", flush=True)
                if result["seconds"] > LIMIT or gap < 1e-10 and peer != "fastlogit":
                    break
        order = sorted((at(found[p], best, 1e-8), p) for p in found if p != "fastlogit")
        rivals = [p for seconds, p in order[:2] if np.isfinite(seconds)]
        for _ in range(2):
            for peer in ["fastlogit", *rivals]:
                tol = next(r["tol"] for r in found[peer] if r["value"] / best - 1 <= 1e-8)
                again = run(folder, name, peer, tol)
                if again:
                    found[peer].append(again | {"tol": tol})
        return found, best


def at(runs, best, gap):
    """Return the median seconds of the loosest tolerance that reaches a gap."""
    reached = [r for r in runs if r["value"] / best - 1 <= gap]
    if not reached:
        return np.inf
    loosest = max(r["tol"] for r in reached)
    return float(np.median([r["seconds"] for r in reached if r["tol"] == loosest]))


def lines(name, found, best):
    for peer, runs in found.items():
        times = [at(runs, best, gap) for gap in GAPS]
        cells = " | ".join(f"{t:.2f}" if np.isfinite(t) else "" for t in times)
        closest = min((f"{r['value'] / best - 1:.0e}" for r in runs), key=float, default="")
        reads = next((str(r["reads"]) for r in runs if "reads" in r and r["value"] / best - 1 <= 1e-8), "")
        yield f"| {name} | {peer} | {cells} | {closest} | {reads} |"


HEADER = "| data | solver | s to 1e-3 | 1e-6 | 1e-8 | 1e-10 | closest | reads of X |\n|---|---|--:|--:|--:|--:|--:|--:|"


def point_of(runs, tol, best, quantity):
    """Return the median of a quantity over the runs at a tolerance, and their gap."""
    mine = [r for r in runs if r["tol"] == tol and quantity in r]
    return float(np.median([r[quantity] for r in mine])), max(mine[0]["value"] / best - 1, 1e-14)


def chart(results, path):
    """Draw the gap against seconds and against reads of X."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    size = (max(6.0, 3.2 * len(results)), 6.4)
    figure, panels = plt.subplots(
        2, len(results), figsize=size, layout="constrained", sharey=True, sharex="row", squeeze=False
    )
    shades = (
        *("#d62728", "#4c78a8", "#72b7b2", "#9ecae9", "#bab0ac"),
        *("#54a24b", "#f58518", "#b279a2", "#9d755d"),
    )
    colors = dict(zip(PEERS, shades, strict=True))
    for column, (name, (found, best)) in zip(panels.T, results.items(), strict=True):
        for axes, quantity in zip(column, ("seconds", "reads"), strict=True):
            for peer, runs in found.items():
                points = sorted(
                    point_of(runs, tol, best, quantity) for tol in {r["tol"] for r in runs if quantity in r}
                )
                if points:
                    style = dict(linewidth=2.5, zorder=3) if peer == "fastlogit" else {}
                    axes.plot(
                        *zip(*points, strict=True), marker="o", markersize=4, color=colors[peer], label=peer, **style
                    )
            axes.set(xscale="log", yscale="log", xlabel="reads of X" if quantity == "reads" else quantity)
            axes.axhline(1e-8, color="#444444", linewidth=0.8, linestyle=":")
            axes.spines[["top", "right"]].set_visible(False)
        column[0].set_title(name)
    figure.supylabel("relative gap; 1e-14 and less at the bottom", fontsize=10)
    handles = {label: h for axes in panels[0] for h, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), frameon=False, ncols=4, loc="outside lower center")
    for suffix in (".svg", ".png"):
        figure.savefig(path.with_suffix(suffix), dpi=120, metadata={"Date": None} if suffix == ".svg" else None)


def main():
    if sys.argv[1:2] == ["--child"]:
        folder, name, peer, tol = sys.argv[2:]
        child(Path(folder), name, peer, float(tol))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=list(DATA), default=list(DATA))
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--save", action="store_true", help="write docs/performance.md and docs/peers")
    options = parser.parse_args()
    results = {name: measure(name, options.peers) for name in options.data}
    if options.save:  # what was measured before stays
        kept = ROOT / "docs" / "peers.json"
        before = json.loads(kept.read_text()) if kept.exists() else {}
        results = {name: (before | results)[name] for name in DATA if name in before | results}
        kept.write_text(json.dumps(results, indent=1) + "\n")
    table = "\n".join([HEADER, *(line for name, (found, best) in results.items() for line in lines(name, found, best))])
    print(table)
    if options.save:
        import report

        report.replace(ROOT / "docs" / "performance.md", "peers", table)
        for names, picture in (([n for n in results if n not in NONZEROS], "peers"), (list(NONZEROS), "peers-sparse")):
            shown = {name: results[name] for name in names if name in results}
            if shown:
                chart(shown, ROOT / "docs" / picture)


if __name__ == "__main__":
    main()
