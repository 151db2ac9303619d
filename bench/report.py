"""Turn a benchmark's JSON into README's table and the chart beside it: ``python bench/report.py run.json``.

The JSON is what ``pytest bench --benchmark-only --benchmark-json=run.json`` saves. The table replaces what stands
between README's two marks; the chart is ``docs/benchmark.svg`` and ``.png``.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parent.parent


def rows(benchmarks):
    """Yield (what, GB/s, share, against NumPy, seconds) of the benchmarks that README shows."""
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
    """Return README's table."""
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
            f"A process's first fit: {startup['cold_fit_s']:.1f} s when the kernels are compiled for the first time on "
            f"a machine, {startup['cached_fit_s']:.2f} s ever after; `import fastlogit` adds "
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
        replace(ROOT / "docs" / "performance.md", name, "\n".join(table))


def main():
    run = json.loads(Path(sys.argv[1]).read_text())
    replace(ROOT / "README.md", "measured", table(run))
    chart(run, ROOT / "docs" / "benchmark")


if __name__ == "__main__":
    main()
