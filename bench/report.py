"""Write the tables and pictures of the docs: ``python bench/report.py [run.json]``.

``run.json`` is what ``pytest bench --benchmark-only --benchmark-json=run.json`` saves. Its table replaces what stands
between the two marks in docs/performance.md, its chart is ``docs/benchmark.svg`` and ``.png``. README's short table and
its picture, ``docs/overview.svg`` and ``.png``, are then made from what is recorded: from docs/peers.json and from the
table in docs/performance.md. Without a run only these two are made again.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parent.parent
PERFORMANCE = ROOT / "docs" / "performance.md"

#: The relative gap that README compares times at.
GAP = 1e-6
#: What README calls the data of docs/peers.json: in its table, and in its picture.
NAMES = {
    "tall": ("1,000,000 x 100, float64", "1 M x 100"),
    "higgs": ("10,000,000 x 28, float32", "10 M x 28"),
    "wide": ("100,000 x 1,000, float32", "100 k x 1000"),
    "mnist": ("100,000 x 784, float32, 10 classes", "100 k x 784, 10 classes"),
    "probe": ("30,000 x 512, float32, 200 classes", "30 k x 512, 200 classes"),
    "text": ("400,000 x 50,000, sparse: text", "text, 400 k x 50 k"),
    "rcv1-like": ("20,000 x 47,000, sparse: text", "text, 20 k x 47 k"),
    "news-like": ("20,000 x 1,300,000, sparse: text", "text, 20 k x 1.3 M"),
    "one-hot": ("1,000,000 x 3,000, sparse: one-hot", "one-hot, 1 M x 3000"),
}
#: The passes in README's picture, as docs/performance.md names them.
PASSES = {
    "pass: logistic D = 28, f32, rows": "28 columns, float32",
    "pass: logistic D = 100, f64, rows": "100 columns, float64",
    "pass: logistic D = 1000, f64, rows": "1000 columns, float64",
    "pass: frame float64": "data frame, float64",
    "pass: softmax D = 784, K = 3, rows": "softmax, 3 classes",
    "pass: softmax D = 784, K = 10, rows": "softmax, 10 classes",
    "pass: sparse f32, Zipf columns, K = 1": "sparse text, float32",
}
OURS, THEIRS, INK = "#d62728", "#7f8c99", "#333333"


def rows(benchmarks):
    """Yield (what, GB/s, share, against NumPy, seconds) of the benchmarks in the table."""
    for bench in benchmarks:
        info = bench["extra_info"]
        if "share" not in info:
            continue
        name = re.sub(r"^bench_", "", bench["name"]).replace("[", " ").replace("]", "").replace("-", ", ")
        name = re.sub(r"(logistic|other) (\d+)", r"\1 D = \2", name)
        name = re.sub(r"softmax (\d+), (\d+)", r"softmax D = \1, K = \2", name)
        name = re.sub(r"(uniform|Zipf), (\d+)", r"\1 columns, K = \2", name)
        name = name.replace("passes_", "pass: ").replace("epochs_binary", "notebook epoch, N x D =").replace("_", " ")
        yield (
            name,
            info["GB_per_s"],
            info["baseline_GB_per_s"],
            info["share"],
            info.get("ratio"),
            info.get("epoch_s", bench["stats"]["median"]),
        )


def table(run):
    """Return the table of docs/performance.md."""
    machine, cpu = run["machine_info"], run["machine_info"]["cpu"]
    rates = [row[2] for row in rows(run["benchmarks"])]
    lines = [
        f"Measured on {cpu.get('brand_raw', 'an unknown processor')}, {cpu.get('count', '?')} "
        f"threads, Python {machine['python_version']}, {run['datetime'][:10]}; medians. *Bandwidth* is that of a "
        "kernel which only reads the same bytes, timed in turn with the pass: "
        f"{min(rates):.0f} to {max(rates):.0f} GB/s here, from one minute to the next.",
        "",
        "| what | ms | GB/s | of bandwidth | NumPy's time / ours |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, rate, _, share, ratio, seconds in rows(run["benchmarks"]):
        faster = "" if ratio is None else f"{ratio:.0f}"
        lines.append(f"| {name} | {seconds * 1e3:.1f} | {rate:.1f} | {share:.2f} | {faster} |")
    startup = next((b["extra_info"] for b in run["benchmarks"] if b["name"] == "bench_startup"), None)
    if startup:
        lines += [
            "",
            f"A first fit of 20,000 x 20: {startup['cold_fit_s']:.1f} s in a process that compiles the kernels for the "
            f"first time on a machine, {startup['cached_fit_s']:.2f} s ever after; of 100 x 5, which compiles nothing: "
            f"{startup['little_fit_s']:.3f} s. `import fastlogit` adds "
            f"{startup['import_s']:.2f} s to numba's own {startup['numba_import_s']:.2f} s.",
        ]
    return "\n".join(lines)


def chart(run, path):
    """Draw each pass's share of the bandwidth."""
    shown = [row for row in rows(run["benchmarks"]) if row[0].startswith("pass")]
    figure, axes = plt.subplots(figsize=(8, 0.28 * len(shown) + 1.2), layout="constrained")
    names = [row[0].removeprefix("pass: ") for row in shown]
    axes.barh(names, [row[3] for row in shown], color="#4c78a8", height=0.7)
    axes.axvline(1.0, color="#444444", linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel("share of the bandwidth of a kernel that only reads the same bytes")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.01)
    for suffix in (".svg", ".png"):
        figure.savefig(path.with_suffix(suffix), dpi=120, metadata={"Date": None} if suffix == ".svg" else None)


def replace(path, name, text):
    """Put ``text`` between the marks ``<!-- name: begin -->`` and ``end`` of a page."""
    begin, end = (f"<!-- {name}: {which} -->" for which in ("begin", "end"))
    page = path.read_text()
    if begin not in page:
        sys.exit(f"{path} has no {begin}")
    path.write_text(f"{page.split(begin)[0]}{begin}\n{text}\n{end}{page.split(end)[1]}")


def print_table(doc, name, lines):
    """Run a script: print the lines of a table as they come; with ``--save`` put them into docs/performance.md."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--save", action="store_true", help="write docs/performance.md")
    options, table = parser.parse_args(), []
    for line in lines:
        print(line, flush=True)
        table.append(line)
    if options.save:
        replace(PERFORMANCE, name, "\n".join(table))


def times():
    """Return {data: {library: seconds until the relative gap is below GAP}} from docs/peers.json, the fastest first."""
    from peers import at

    found = {}
    for name, (solvers, best) in json.loads((ROOT / "docs" / "peers.json").read_text()).items():
        libraries = {}
        for solver, runs in solvers.items():
            library = "scikit-learn" if solver.startswith("scikit-learn ") or solver == "liblinear" else solver
            library = library.removesuffix(" L-BFGS")
            libraries[library] = min(at(runs, best, GAP), libraries.get(library, np.inf))
        reached = {library: seconds for library, seconds in libraries.items() if np.isfinite(seconds)}
        found[name] = dict(sorted(reached.items(), key=lambda item: item[1]))
    return found


def short_table(found):
    """Return README's table of seconds."""
    lines = ["| data | fastlogit | other libraries, the fastest first |", "|---|--:|---|"]
    for name, libraries in found.items():
        others = ", ".join(f"{library} {t:.2f} s" for library, t in libraries.items() if library != "fastlogit")
        seconds = f"{libraries['fastlogit']:.2f} s"
        seconds = f"**{seconds}**" if libraries["fastlogit"] == min(libraries.values()) else seconds
        lines.append(f"| {NAMES[name][0]} | {seconds} | {others} |")
    return "\n".join(lines)


def shares():
    """Return {what: share of the bandwidth} of PASSES, from the table in docs/performance.md."""
    lines = [line.split("|") for line in PERFORMANCE.read_text().splitlines() if line.startswith("| pass: ")]
    recorded = {cells[1].strip(): float(cells[4]) for cells in lines}
    return {shown: recorded[name] for name, shown in PASSES.items() if name in recorded}


def two_digits(seconds):
    """Return seconds as a label: two digits that count."""
    return f"{seconds:.{max(0, 1 - int(np.floor(np.log10(seconds))))}f} s"


def overview(found, bars, path):
    """Draw README's picture: seconds to the gap against the fastest other library, and shares of the bandwidth."""
    sizes = {"font.size": 9, "axes.titlesize": 10.5, "axes.titleweight": "bold", "svg.hashsalt": "fastlogit"}
    with matplotlib.rc_context(sizes):
        figure, (left, right) = plt.subplots(
            1, 2, figsize=(7.6, 4.1), layout="constrained", gridspec_kw={"width_ratios": [1.5, 1.0]}
        )
        for y, libraries in enumerate(found.values()):
            other = next(library for library in libraries if library != "fastlogit")
            pair = sorted((libraries[library], library) for library in ("fastlogit", other))
            left.plot([seconds for seconds, _ in pair], [y, y], color="#d5dae0", linewidth=3, zorder=1)
            for (seconds, library), side in zip(pair, (-1, 1), strict=True):
                color = OURS if library == "fastlogit" else THEIRS
                left.plot(seconds, y, "o", color=color, markersize=7)
                left.annotate(
                    two_digits(seconds) if library == "fastlogit" else f"{library} {two_digits(seconds)}",
                    (seconds, y),
                    (7 * side, 0),
                    textcoords="offset points",
                    va="center",
                    ha="left" if side > 0 else "right",
                    color=OURS if library == "fastlogit" else INK,
                )
        left.set_yticks(range(len(found)), [NAMES[name][1] for name in found])
        left.set(xscale="log", xlim=(0.001, 300), ylim=(len(found) - 0.4, -0.6))
        left.set_xticks([0.01, 0.1, 1, 10, 100], ["0.01", "0.1", "1", "10", "100 s"])
        left.minorticks_off()
        left.set_title("Time to the optimum\n", loc="left")
        left.text(0.0, 1.02, "● fastlogit", color=OURS, transform=left.transAxes, va="bottom")
        left.text(0.33, 1.02, "● fastest other library", color=THEIRS, transform=left.transAxes, va="bottom")
        left.set_xlabel(f"seconds to a relative gap of {GAP:.0e}, 2 threads".replace("e-0", "e-"))
        right.barh(list(bars), list(bars.values()), color=OURS, height=0.66)
        for y, share in enumerate(bars.values()):
            right.text(share - 0.02, y, f"{share:.0%}", va="center", ha="right", color="white", weight="bold")
        right.axvline(1.0, color=INK, linewidth=1)
        right.set(xlim=(0, 1.12), ylim=(len(bars) - 0.4, -0.6))
        right.set_xticks([0, 0.5, 1.0], ["0", "50 %", "100 %"])
        right.set_title("Speed of one pass\n", loc="left")
        right.set_xlabel("share of the read bandwidth")
        for axes in (left, right):
            axes.spines[["top", "right", "left"]].set_visible(False)
            axes.tick_params(axis="y", length=0)
        figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
        for suffix in (".svg", ".png"):
            figure.savefig(path.with_suffix(suffix), dpi=200, metadata={"Date": None} if suffix == ".svg" else None)


def main():
    if len(sys.argv) > 1:
        run = json.loads(Path(sys.argv[1]).read_text())
        replace(PERFORMANCE, "measured", table(run))
        chart(run, ROOT / "docs" / "benchmark")
    found = times()
    replace(ROOT / "README.md", "measured", short_table(found))
    overview(found, shares(), ROOT / "docs" / "overview")


if __name__ == "__main__":
    main()
