"""How near the machine's limits every pass is: ``python bench/roofline.py [--threads 2] [--save]``.

For each case three things are timed in turn, on the same threads: a kernel that only reads as many bytes as the pass
must move (X, y and the output), the product of two square matrices, and the pass. The limit is the slower of reading
the bytes and doing the arithmetic at 0.8 of the product's rate; the share is the limit's time over the pass's.
``--save`` writes the tables between the marks of docs/performance.md, and of all cases on all threads
docs/roofline.svg and .png.
"""

import argparse
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench"), str(ROOT)]

import conftest  # noqa: E402, F401  (the cache of kernels)
import numpy as np  # noqa: E402
import report  # noqa: E402
from subjects import logits_functions, passes_of, random_matrix, source_of  # noqa: E402
from threadpoolctl import threadpool_limits  # noqa: E402

from fastlogit.kernels.machine.bandwidth import reader  # noqa: E402
from fastlogit.kernels.machine.jit import threads  # noqa: E402

GEMM_SHARE = 0.8
LOGISTIC, SMALL = (64, 100, 1000, 4000), (4, 10, 28)
SOFTMAX = [(K, D) for K in (3, 7, 10) for D in (54, 100, 784)]
OTHERS = ("moments", "decision_function", "predict_proba")


def clock(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


class Machine:
    """What the machine can do, measured beside each pass."""

    def __init__(self):
        self._words = np.full((5 << 30) // 4, 1, np.uint8)  # zeros would all be one page of memory
        self._products = {}
        for dtype in (np.float32, np.float64):
            A = np.random.default_rng(0).standard_normal((1536, 1536)).astype(dtype)
            self._products[np.dtype(dtype)] = (A, np.empty_like(A))

    def read(self, n_bytes):
        """Return a run that reads as many bytes, at most 1.25 GiB, and how often that goes into them."""
        n = min(n_bytes, self._words.size) // 64 * 64
        return reader(self._words[:n]), n_bytes / n

    def product(self, dtype):
        """Return a matrix product's run and its flops."""
        A, out = self._products[np.dtype(dtype)]
        return lambda: np.matmul(A, A, out=out), 2 * len(A) ** 3


class Row:
    """A measured case."""

    def __init__(self, machine, name, what, subject, dtype, rounds=5, repeat=1):
        read, times = machine.read(subject.n_bytes)
        product, flops = machine.product(dtype)
        product()
        time.sleep(0.1)
        read(), subject.run()
        seconds, limits, rates, peaks = [], [], [], []
        for _ in range(rounds):
            read_s = np.median([clock(read) for _ in range(repeat)]) * times
            seconds.append(np.median([clock(subject.run) for _ in range(repeat)]))
            peak = flops / clock(product)
            time.sleep(0.1)  # until OpenBLAS's threads cease to spin
            limits.append(max(read_s, subject.flops / (GEMM_SHARE * peak)))
            rates.append(subject.n_bytes / read_s)
            peaks.append(peak)
        # numbers only: a subject's run would keep its matrix alive
        self.name, self.what, self.dtype = name, what, np.dtype(dtype)
        self.n_bytes, self.flops = subject.n_bytes, subject.flops
        self.seconds, self.bandwidth, self.peak = (float(np.median(a)) for a in (seconds, rates, peaks))
        self.share = float(np.median(np.array(limits) / seconds))
        self.bound = (
            "arithmetic"
            if subject.flops / (GEMM_SHARE * self.peak) > 1 / self.bandwidth * subject.n_bytes
            else "memory"
        )

    @property
    def rate(self):
        return self.n_bytes / self.seconds

    def line(self, N):
        return (
            f"| {self.what} | {self.name} | {self.rate / 1e9:.1f} | {self.bandwidth / 1e9:.1f} | "
            f"{self.flops / self.seconds / 1e9:.0f} | {self.seconds / N * 1e9:.2f} | {self.bound} | "
            f"{self.share:.2f} |"
        )


HEADER = (
    "| pass | case | GB/s | read-only GB/s | GF/s | ns a row | bound by | share |\n|---|---|--:|--:|--:|--:|---|--:|"
)


def cases():
    """Yield (table, storage, dtype, K, D, bytes, passes)."""
    for dtype in ("float32", "float64"):
        for storage in ("rows", "columns"):
            for D in SMALL + LOGISTIC:
                yield "logistic", storage, dtype, 1, D, 1 << 30, ("loss_grad", *OTHERS)
    for storage in ("rows", "columns"):
        for K, D in SOFTMAX:
            yield "softmax", storage, "float32", K, D, 1 << 30, ("loss_grad", *OTHERS[1:])
        for K in (100, 1000):
            yield "many classes", storage, "float32", K, 512, 1 << 26, ("loss_grad", "predict_proba")
    for storage in ("rows", "columns"):
        for D in (28, 100, 1000):
            yield "in the cache", storage, "float32", 1, D, 1 << 22, ("loss_grad",)
        for dtype in ("uint8", "bool", "float32"):
            for K in (1, 10):
                yield "narrow storage", storage, dtype, K, 784, 1 << 29, ("loss_grad",)


def measure(only):
    """Yield (table, row, N), printed as they come."""
    machine, table = Machine(), None
    for name, storage, dtype, K, D, n_bytes, passes in cases():
        if only and only not in f"{name} {storage} {dtype} K={K} D={D} {' '.join(passes)}":
            continue
        if name != table:
            table = name
            print(f"\n{name}\n{HEADER}", flush=True)
        # a power of two of rows would put all columns of a tile into the same few sets of every cache
        N = n_bytes // (D * np.dtype(dtype).itemsize) - 37
        source = source_of(random_matrix(N, D, dtype, storage), storage, K)
        case = f"{storage} {dtype} D = {D}" + (f", K = {K}" if K > 1 else "")
        for what, subject in passes_of(source, K).items():
            if what in passes:
                repeat = 20 if n_bytes < 1 << 24 else 1
                row = Row(machine, case, what, subject, source.dtype, repeat=repeat)
                print(row.line(N), flush=True)
                yield name, row, N
        del source
    for dtype in ("float32", "float64"):
        for K in (10, 1000):
            if only and only not in f"logits {dtype} K={K}":
                continue
            Z = random_matrix((1 << 28) // (K * np.dtype(dtype).itemsize), K, dtype, "rows")
            for what, subject in logits_functions(Z).items():
                row = Row(machine, f"{dtype} K = {K}", what, subject, dtype)
                print(row.line(len(Z)), flush=True)
                yield "functions of logits", row, len(Z)


def chart(rows, path):
    """Draw the rooflines of float32 and float64 and every pass beneath them."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained", sharey=True)
    colors = {"logistic": "#4c78a8", "softmax": "#f58518", "many classes": "#54a24b", "narrow storage": "#b279a2"}
    for axes, dtype in zip(panels, (np.float32, np.float64), strict=True):
        mine = [(t, r) for t, r, _ in rows if r.dtype == dtype and r.flops and t in colors]
        if not mine:
            continue
        bandwidth = np.median([r.bandwidth for _, r in mine]) / 1e9
        peak = np.median([r.peak for _, r in mine]) / 1e9
        x = np.geomspace(0.2, 1000, 200)
        axes.plot(x, np.minimum(bandwidth * x, peak), color="#444444", linewidth=1.5)
        axes.plot(x, np.minimum(bandwidth * x, GEMM_SHARE * peak), color="#444444", linewidth=1, linestyle=":")
        for table, color in colors.items():
            for storage, marker in (("rows", "o"), ("columns", "s")):
                points = [r for t, r in mine if t == table and r.name.startswith(storage)]
                if points:
                    axes.scatter(
                        [r.flops / r.n_bytes for r in points],
                        [r.flops / r.seconds / 1e9 for r in points],
                        s=18,
                        color=color,
                        marker=marker,
                        alpha=0.8,
                        linewidths=0,
                        label=f"{table}, {storage}",
                    )
        axes.set(xscale="log", yscale="log", xlabel="flops a byte moved", title=np.dtype(dtype).name)
        axes.text(250, peak * 1.06, f"matrix product {peak:.0f} GF/s", ha="right", fontsize=8)
        axes.text(0.22, bandwidth * 0.3, f"read {bandwidth:.0f} GB/s", fontsize=8)
        axes.grid(which="major", alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("GF/s")
    panels[0].legend(frameon=False, fontsize=7, loc="lower right")
    for suffix in (".svg", ".png"):
        figure.savefig(path.with_suffix(suffix), dpi=120, metadata={"Date": None} if suffix == ".svg" else None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--only", default="", help="measure the cases whose description contains this")
    parser.add_argument("--save", action="store_true", help="write docs/performance.md and docs/roofline")
    options = parser.parse_args()
    with threads(options.threads), threadpool_limits(options.threads):
        rows = list(measure(options.only))
    if options.save:
        tables = []
        for name in dict.fromkeys(table for table, _, _ in rows):
            tables += [f"### {name.capitalize()}", "", HEADER, *(r.line(N) for t, r, N in rows if t == name), ""]
        report.replace(ROOT / "docs" / "performance.md", f"roofline, {options.threads}", "\n".join(tables))
        if not options.only and options.threads == os.cpu_count():
            chart(rows, ROOT / "docs" / "roofline")


if __name__ == "__main__":
    main()
