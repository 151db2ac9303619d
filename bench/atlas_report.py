"""The atlas as a table and as a picture: see `atlas`, which calls both."""

import matplotlib
import numpy as np
import report
from atlas import GAPS, KEPT, OURS
from atlas_cases import parse

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.colors import LogNorm

#: The gap that shapes are sorted and coloured by.
AT = "1e-6"
HEADER = (
    "| shape | fastlogit, ms | reads | fastest peer | its ms | 1e-4 | 1e-6 | 1e-8 |\n"
    + "|---|--:|--:" * 2
    + "|--:|--:|"
)
#: The markers of the picture.
KINDS = {"dense, two classes": "o", "dense, several classes": "s", "sparse": "^"}
# The colours end at this ratio and at its inverse.
_MOST = 30.0


def sort_key(entry):
    """Return the ratio that a case is sorted by: infinite where only we reach the gap, or none does."""
    found = entry["ratios"][AT]["ratio"]
    return np.inf if found is None else found


def digits(number):
    """Return the two first digits of a number, without an exponent."""
    return np.format_float_positional(float(f"{number:.2g}"), trim="-")


def shown(ratio):
    """Return a ratio as the table shows it; empty where there is none."""
    return "" if ratio["ratio"] is None else f"{'> ' if ratio['at_least'] else ''}{digits(ratio['ratio'])}"


def row(name, entry):
    """Return a case's row of the table."""
    ours, best = entry[OURS][AT], entry["ratios"][AT]["peer"]
    mine = [digits(1e3 * ours["seconds"]), f"{ours['reads']} {ours['gap_kind']}"] if ours else ["", ""]
    theirs = [best, digits(1e3 * entry["peers"][best][AT]["seconds"])] if best else ["", ""]
    return "| " + " | ".join([name, *mine, *theirs, *(shown(entry["ratios"][gap]) for gap in GAPS)]) + " |"


def summary(atlas):
    """Return a line about each gap: the least ratio, the median, and how many are below 1."""
    lines = []
    for gap in GAPS:
        ratios = {name: entry["ratios"][gap]["ratio"] for name, entry in atlas.items()}
        ratios = {name: np.inf if ratio is None else ratio for name, ratio in ratios.items()}
        worst = min(ratios, key=ratios.get)
        slower = sum(ratio < 1 for ratio in ratios.values())
        lines.append(
            f"- To {gap}: the least ratio is {digits(ratios[worst])} ({worst}), the median "
            f"{digits(np.median(list(ratios.values())))}; {slower} of {len(ratios)} are below 1."
        )
    return "\n".join(lines)


def unquiet(atlas):
    """Return the cases whose times of fastlogit before and after the peers differ by a third and more."""
    pairs = {name: entry[OURS][AT]["before_after"] for name, entry in atlas.items() if entry[OURS][AT]}
    return [name for name, times in pairs.items() if max(times) > 4 / 3 * min(times)]


def table(atlas):
    """Return the table, the least ratio first, and the summary."""
    rows = [row(name, atlas[name]) for name in sorted(atlas, key=lambda name: sort_key(atlas[name]))]
    return "\n".join([HEADER, *rows, "", summary(atlas)])


def write(atlas):
    """Print the table, and put it into docs/performance.md, with the picture if there is one."""
    text = table(atlas)
    print(text)
    if again := unquiet(atlas):
        print("Not quiet, to be run again:", *again)
    if KEPT.with_suffix(".png").exists():
        text += "\n\n![Ratio of times by rows and columns](atlas.png)"
    report.replace(report.PERFORMANCE, "atlas", text)


def kind(name):
    """Return which of KINDS a case is."""
    case = parse(name)
    if case.nonzeros:
        return "sparse"
    return "dense, several classes" if case.classes > 2 else "dense, two classes"


def positions(names):
    """Return {name: (rows, columns)}, those of like shapes side by side, the latter's ratios apart."""
    groups = {}
    for name in names:
        case = parse(name)
        groups.setdefault((round(4 * np.log10(case.rows)), round(4 * np.log10(case.columns))), []).append(name)
    places = {}
    for group in groups.values():
        for i, name in enumerate(group):
            case = parse(name)
            places[name] = case.rows * 1.3 ** (i - (len(group) - 1) / 2), case.columns
    return places


def label(axes, places, ratios):
    """Write name and ratio beside the points below 1, where no other label or point is."""
    renderer = axes.figure.canvas.get_renderer()
    points = axes.transData.transform(list(places.values()))
    taken = [matplotlib.transforms.Bbox.from_bounds(x - 8, y - 8, 16, 16) for x, y in points]
    for name in sorted((name for name in ratios if ratios[name] < 1), key=ratios.get):
        text = None
        for away, angle in ((a, b) for a in (7, 14, 22, 32, 44) for b in range(0, 360, 30)):
            dx, dy = away * np.cos(np.radians(angle)), away * np.sin(np.radians(angle))
            side = "left" if dx > 1 else "right" if dx < -1 else "center"
            if text is not None:
                text.remove()
            text = axes.annotate(
                f"{name} {digits(ratios[name])}",
                places[name],
                (dx, dy),
                textcoords="offset points",
                ha=side,
                va="center",
                fontsize=6,
                color=report.INK,
                arrowprops=dict(arrowstyle="-", color="#b0b7bf", linewidth=0.5, shrinkA=0, shrinkB=3),
            )
            text.update_positions(renderer)
            box = matplotlib.text.Text.get_window_extent(text, renderer)
            inside = axes.bbox.contains(box.x0, box.y0) and axes.bbox.contains(box.x1, box.y1)
            if inside and not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)


def picture(atlas, path):
    """Draw rows against columns, coloured by the ratio; what is below 1 has its name and ratio beside it."""
    places = positions(atlas)
    ratios = {name: sort_key(entry) for name, entry in atlas.items()}
    with matplotlib.rc_context({"font.size": 9, "axes.titlesize": 10.5, "svg.hashsalt": "fastlogit"}):
        figure, axes = plt.subplots(figsize=(8.6, 5.6), layout="constrained")
        for meaning, marker in KINDS.items():
            names = [name for name in atlas if kind(name) == meaning]
            drawn = axes.scatter(
                [places[name][0] for name in names],
                [places[name][1] for name in names],
                c=[np.clip(ratios[name], 1 / _MOST, _MOST) for name in names],
                norm=LogNorm(1 / _MOST, _MOST),
                cmap="RdBu",
                marker=marker,
                s=52,
                edgecolors="#555555",
                linewidths=0.6,
                zorder=3,
            )
            axes.scatter([], [], marker=marker, s=40, facecolors="none", edgecolors="#555555", label=meaning)
        axes.set(xscale="log", yscale="log", xlabel="rows", ylabel="columns", xlim=(20, 3e7), ylim=(0.6, 3e5))
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(frameon=False, ncols=3, loc="outside upper left")
        bar = figure.colorbar(drawn, label=f"time of the fastest peer / fastlogit's, to a relative gap of {AT}")
        ticks = [1 / 30, 0.1, 1 / 3, 1, 3, 10, 30]
        bar.set_ticks(ticks, labels=["1/30", "1/10", "1/3", "1", "3", "10", "30"])
        bar.minorticks_off()
        bar.outline.set_visible(False)
        figure.canvas.draw()
        figure.set_layout_engine("none")
        label(axes, places, ratios)
        for suffix in (".svg", ".png"):
            figure.savefig(path.with_suffix(suffix), dpi=200, metadata={"Date": None} if suffix == ".svg" else None)
