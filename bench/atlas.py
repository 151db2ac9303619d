"""Who is the fastest at which shape: ``python bench/atlas.py [--cases 1500x400 ... | --part 2/6] [--save]``.

The atlas has some eighty shapes (`atlas_cases`), and the rules of `peers`: one objective, computed outside of every
solver by one float64 function; a solver's gap is its value's distance from the least value that anyone found, relative.
The tools are fastlogit's estimator as a user calls it, every solver of scikit-learn, glum, snapml and PyTorch's L-BFGS
on a standardised copy in float64 and in float32, each where it applies. Liblinear penalises the intercept; it takes
part with an intercept so scaled that this is a ten-thousandth, and its gap is that to the objective of all. "sag" and
"saga" take part where columns are of like scales, "newton-cholesky" up to 4,000 parameters, glum up to 3,000 columns.
All use both threads of the machine, and as many iterations as they like; up to ten million entries of X peers try one
thread too, and the quicker counts: threads that wait for each other can make a small fit a hundred times slower where
the machine has something else to do. What takes twice as long at one tolerance is not tried at the next.

A tool measures a case in a process of its own. The import and a first fit are not timed: of the case itself, or where
it is large of a few rows. Then come tighter and tighter tolerances, a decade apart, two decades where a fit takes more
than a second. A fit is repeated for half a second, thirty times at most; its time is the median, and one of half a
second or more is run once. A tool is done when its gap is 1e-8, when three tolerances in a row end within 1e-10 of each
other, or when a fit takes longer than 30 times fastlogit's time at 1e-8, 2 seconds at least and 60 at most, at which it
is ended.

A peer's time to a gap is its quickest that ended there, at whatever tolerance. fastlogit's is that of its tolerance of
this very gap, which bounds the gap, or of a tighter one if the gap was not reached. fastlogit is measured before its
peers and after them, and all its times count; where the two differ the machine was not quiet, and the case is to be
run again. The ratio is the best peer's time to fastlogit's: above 1 fastlogit is faster.

``--save`` keeps a case in docs/atlas.json, in place of what was there of it. ``--table`` prints the table of what was
kept and writes it to docs/performance.md, ``--picture`` draws docs/atlas.svg and .png; neither measures unless cases
or a part are asked for too. What is not installed of the extra ``peers`` is left out.
"""

import argparse
import contextlib
import itertools
import json
import multiprocessing
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import peers
from atlas_cases import CASES, generate, parse

KEPT = peers.ROOT / "docs" / "atlas.json"
GAPS = {"1e-4": 1e-4, "1e-6": 1e-6, "1e-8": 1e-8}
LEAST_LIMIT, TIMES_OURS = 2.0, 30.0
ENOUGH, MOST_FITS, SLOW, TWICE, STUCK = 0.5, 30, 1.0, 2.0, 3
# Up to this many entries of X the first fit is one of all rows; it has a minute beyond the limit, with the imports.
SMALL, START = 1_000_000, 60.0
# Up to this many entries peers try one thread too: see above.
ONE_THREAD = 10_000_000
# A spawned process has none of this one's threads and caches.
CONTEXT = multiprocessing.get_context("spawn")


class Tool(NamedTuple):
    """How a tool fits, at which tolerances, and which cases it takes."""

    fit: Callable
    tolerances: tuple
    takes: Callable


def fastlogit(X, y, C, tol):
    import fastlogit as fl

    model = fl.LogisticRegression(C=C, tol=tol, max_iter=10_000).fit(X, y)
    W, _ = peers.from_sklearn(model)
    return W, {"reads": int(model.n_passes_), "gap_kind": model.gap_kind_}


def torch(dtype):
    return lambda X, y, C, tol: peers.torch(X, y, C, tol, dtype)


def decades(first, last):
    return tuple(float(f"1e-{i}") for i in range(first, last + 1))


def finite(case):
    return np.isfinite(case.C)


def two_classes(case):
    return case.classes == 2


OURS = "fastlogit"
_TOLERANCES = decades(1, 10)
TOOLS = {
    OURS: Tool(fastlogit, tuple(GAPS.values()), lambda case: True),
    "lbfgs": Tool(peers.scikit_learn("lbfgs"), _TOLERANCES, lambda case: True),
    "newton-cg": Tool(peers.scikit_learn("newton-cg"), _TOLERANCES, lambda case: True),
    "newton-cholesky": Tool(
        peers.scikit_learn("newton-cholesky"), _TOLERANCES, lambda case: case.columns * case.margins <= 4000
    ),
    "liblinear": Tool(peers.scikit_learn("liblinear"), _TOLERANCES, lambda case: two_classes(case) and finite(case)),
    "liblinear dual": Tool(
        peers.scikit_learn("liblinear", dual=True),
        _TOLERANCES,
        lambda case: two_classes(case) and finite(case) and case.columns > case.rows,
    ),
    "sag": Tool(peers.scikit_learn("sag", random_state=0), _TOLERANCES, lambda case: not case.raw),
    "saga": Tool(peers.scikit_learn("saga", random_state=0), _TOLERANCES, lambda case: not case.raw),
    "glum": Tool(peers.glum, _TOLERANCES, lambda case: two_classes(case) and case.columns <= 3000),
    "snapml": Tool(peers.snapml, _TOLERANCES, lambda case: two_classes(case) and finite(case)),
    "torch f64": Tool(torch("float64"), decades(3, 13), lambda case: not case.nonzeros),
    "torch f32": Tool(torch("float32"), decades(3, 13), lambda case: not case.nonzeros),
}


def timed(fit, first_done):
    """Return the median seconds of a fit, and what it returns; ``first_done`` is called after the first."""
    seconds = []
    while sum(seconds) < ENOUGH and len(seconds) < MOST_FITS:
        start = time.perf_counter()
        W, more = fit()
        seconds.append(time.perf_counter() - start)
        if len(seconds) == 1:
            first_done()
    return float(np.median(seconds)), W, more


@contextlib.contextmanager
def threads(number):
    """Let libraries use so many threads: fewer than all, or `peers.THREADS`, which are all."""
    from threadpoolctl import threadpool_limits

    every = peers.THREADS
    with threadpool_limits(number if number < every else None):
        peers.THREADS = number
        yield
    peers.THREADS = every


def rung(tool, tol, numbers, X, y, C, tell):
    """Fit with each of these numbers of threads: tell None after a first fit, then of the run; return the runs."""
    runs = []
    for number in numbers:
        with threads(number):
            seconds, W, more = timed(lambda: TOOLS[tool].fit(X, y, C, tol), lambda: tell(None))
        value = peers.objective(W, X, y, C)
        runs.append({"tol": tol, "threads": number, "seconds": seconds, "value": value} | more)
        tell(runs[-1])
    return runs


def ladder(tool, tolerances, best, X, y, C, tell):
    """Fit at one tolerance after the other; a peer only until it is done or stuck."""
    if tool == OURS:
        for tol in tolerances:
            rung(tool, tol, (peers.THREADS,), X, y, C, tell)
        return
    numbers = (1, peers.THREADS) if X.size <= ONE_THREAD else (peers.THREADS,)
    values, at = [], 0
    while at < len(tolerances):
        runs = rung(tool, tolerances[at], numbers, X, y, C, tell)
        values.append(min(run["value"] for run in runs))
        stuck = len(values) >= STUCK and np.ptp(values[-STUCK:]) <= 1e-10 * values[-1]
        if stuck or values[-1] / best - 1 <= min(GAPS.values()):
            return
        quickest = min(run["seconds"] for run in runs)
        numbers = [run["threads"] for run in runs if run["seconds"] <= (1 if quickest > SLOW else TWICE) * quickest]
        at += 2 if quickest > SLOW else 1


def work(pipe, folder, name, tool, tolerances, best):
    """Measure a tool on a case, in a process of its own."""
    warnings.simplefilter("ignore")
    try:
        (X, y), C, fit = peers.load(folder), parse(name).C, TOOLS[tool].fit
        if X.size <= SMALL:
            fit(X, y, C, 1e-8 if tool == OURS else tolerances[0])
        else:
            peers.warm_up(fit, X, y, C, tool == OURS)
        pipe.send(None)
        ladder(tool, tolerances, best, X, y, C, pipe.send)
        pipe.send("done")
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}".splitlines()[0][:150])


def measure_tool(folder, name, tool, best=np.nan, limit=peers.LIMIT, tolerances=None):
    """Return the runs of a tool on a case, and how they ended: "done", "limit", or what failed."""
    receiver, sender = CONTEXT.Pipe(duplex=False)
    arguments = (sender, folder, name, tool, tolerances or TOOLS[tool].tolerances, best)
    process = CONTEXT.Process(target=work, args=arguments)
    process.start()
    sender.close()
    runs, end = [], "limit"
    try:
        for patience in itertools.chain([START + limit], itertools.cycle([limit, START])):
            if not receiver.poll(patience):
                break
            message = receiver.recv()
            if isinstance(message, str):
                end = message
                break
            if message:
                runs.append(message)
    except EOFError:
        end = "its process died"
    finally:
        process.kill()
        process.join()
    return runs, end


def measure(name):
    """Return a case's entry in the atlas."""
    case = parse(name)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        X, y = generate(case)
        peers.save(folder, X, y)
        del X, y
        before, end = measure_tool(folder, name, OURS)
        exact, _ = measure_tool(folder, name, OURS, tolerances=(1e-12,))
        best = min((run["value"] for run in before + exact), default=np.nan)
        ours = max((run["seconds"] for run in before), default=peers.LIMIT) if end == "done" else peers.LIMIT
        limit = min(peers.LIMIT, max(LEAST_LIMIT, TIMES_OURS * ours))
        found = {OURS: (before, end)}
        for tool in TOOLS:
            if tool != OURS and TOOLS[tool].takes(case):
                found[tool] = measure_tool(folder, name, tool, best, limit)
                print(f"  {name} {tool}: {said(found[tool], best)}", flush=True)
        after, _ = measure_tool(folder, name, OURS)
    return entry_of(found, after, exact, limit)


def said(runs_and_end, best):
    runs, end = runs_and_end
    steps = [f"{run['seconds'] * 1e3:.4g} ms {run['value'] / best - 1:.0e}" for run in runs]
    return ", ".join([*steps, end])


def peer_time(runs, best, gap):
    """Return seconds, tolerance and threads of the quickest run that reached a gap; None if none did."""
    reached = [run for run in runs if run["value"] / best - 1 <= gap]
    if not reached:
        return None
    run = min(reached, key=lambda run: run["seconds"])
    return {"seconds": rounded(run["seconds"]), "tol": run["tol"], "threads": run["threads"]}


def our_time(before, after, best, gap):
    """Return seconds, before and after the peers, reads and bound of the loosest tolerance within a gap that got there.

    None if none did.
    """
    reached = [run for run in before if run["tol"] <= gap and run["value"] / best - 1 <= gap]
    if not reached:
        return None
    run = max(reached, key=lambda run: run["tol"])
    times = [run["seconds"], *(again["seconds"] for again in after if again["tol"] == run["tol"])]
    facts = {"seconds": rounded(np.median(times)), "before_after": [rounded(t) for t in times]}
    return facts | {key: run[key] for key in ("tol", "reads", "gap_kind")}


def rounded(number):
    return float(f"{number:.4g}")


def entry_of(found, after, exact, limit):
    """Return what is kept of a case; seconds and ratios of None are those that no run reached."""
    before, _ = found[OURS]
    best = min(run["value"] for runs in [exact, after, *(runs for runs, _ in found.values())] for run in runs)
    ours = {key: our_time(before, after, best, gap) for key, gap in GAPS.items()}
    theirs = {
        tool: {key: peer_time(runs, best, gap) for key, gap in GAPS.items()}
        | {
            "closest": min((rounded(run["value"] / best - 1) for run in runs), default=None),
            "end": end,
        }
        for tool, (runs, end) in found.items()
        if tool != OURS and not end.startswith(("ModuleNotFoundError", "ImportError"))
    }
    stopped = limit if any(times["end"] == "limit" for times in theirs.values()) else None
    ratios = {key: ratio(ours[key], {tool: times[key] for tool, times in theirs.items()}, stopped) for key in GAPS}
    return {"best": best, "limit": rounded(limit), OURS: ours, "peers": theirs, "ratios": ratios}


def ratio(ours, theirs, limit):
    """Return the best peer and its time over ours.

    Where no peer reached the gap the ratio is a least one if any was stopped at the limit, else None: we are alone.
    It is 0 where we did not reach it and a peer did.
    """
    reached = {tool: time["seconds"] for tool, time in theirs.items() if time}
    if reached:
        tool = min(reached, key=reached.get)
        return {"peer": tool, "ratio": rounded(reached[tool] / ours["seconds"]) if ours else 0.0, "at_least": False}
    least = rounded(limit / ours["seconds"]) if ours and limit else None
    return {"peer": None, "ratio": least, "at_least": least is not None}


def read():
    """Return the atlas as it was kept, in the order of the cases."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    return {name: kept[name] for name in [*CASES, *(name for name in kept if name not in CASES)] if name in kept}


def keep(name, entry):
    """Put a case into the atlas, which has a line for each."""
    KEPT.write_text(json.dumps(read() | {name: entry}))
    lines = (f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in read().items())
    KEPT.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def known(name):
    """Return a name, if it is one."""
    parse(name)
    return name


def part(text):
    """Return the names of a part such as "2/6": every sixth."""
    number, parts = map(int, text.split("/"))
    if not 1 <= number <= parts:
        raise ValueError
    return list(CASES)[number - 1 :: parts]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--cases", nargs="+", type=known, metavar="NAME", help="names of atlas_cases.py, or any of their form"
    )
    which.add_argument("--part", type=part, metavar="I/N", help="the I-th of N parts, each of every N-th case")
    parser.add_argument("--save", action="store_true", help="keep what is measured in docs/atlas.json")
    parser.add_argument("--table", action="store_true", help="print the table and write it to docs/performance.md")
    parser.add_argument("--picture", action="store_true", help="draw docs/atlas.svg and .png")
    options = parser.parse_args()
    names = options.cases or options.part or ([] if options.table or options.picture else list(CASES))
    measured = {}
    for name in names:
        measured[name] = measure(name)
        if options.save:
            keep(name, measured[name])
    import atlas_report

    if measured:
        print(atlas_report.table(measured))
    if (options.picture or options.table) and not read():
        parser.error(f"{KEPT} has no case yet: measure some with --save")
    if options.picture:
        atlas_report.picture(read(), KEPT.with_suffix(""))
    if options.table:
        atlas_report.write(read())


if __name__ == "__main__":
    main()
