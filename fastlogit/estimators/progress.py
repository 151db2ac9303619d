"""The progress of a fit: a progress bar (rich) and a log."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

from fastlogit.solvers.solution import Row

_log = logging.getLogger("fastlogit")


def fraction(row: Row, first: Row, tol: float) -> float:
    """Return the share of the way from the first relative gap to ``tol`` that is done, on a logarithmic scale."""
    start, now = (each.gap / abs(each.value) if each.value else 0.0 for each in (first, row))
    if not 0.0 < tol < start < math.inf:
        return 0.0
    return min(1.0, max(0.0, math.log(start / max(now, tol)) / math.log(start / tol)))


def remaining(seconds: float, done: float) -> str:
    """Return the remaining time as text, from the time taken and the share that is done."""
    if not 0.0 < done <= 1.0:
        return "?"
    left = seconds * (1.0 - done) / done
    return f"{left:.1f} s" if left < 60.0 else f"{left / 60.0:.0f} min"


@contextmanager
def shown(verbose: bool, tol: float) -> Iterator[Callable[[Row], None]]:
    """Yield a function to be called with each row of the history: it logs the row and, if ``verbose``, moves a bar.

    The log is ``logging.getLogger("fastlogit")``, at level INFO. Without rich there is no bar, and a logged warning.
    """
    rows: list[Row] = []
    began = time.perf_counter()

    def log(row: Row) -> None:
        rows.append(row)
        _log.info(
            "reads %d, objective %.12g, gap %.1e (%s), %.3f s",
            *(row.n_passes, row.value, row.gap, row.gap_kind, row.seconds),
        )

    if not verbose:
        yield log
        return
    try:
        rich = import_module("rich.progress")
    except ModuleNotFoundError:
        _log.warning("verbose=True shows a bar where rich is installed: pip install 'fastlogit[cli]'")
        yield log
        return
    columns = ("reads {task.fields[reads]}", "objective {task.fields[value]:.6g}", "gap {task.fields[gap]:.0e}")
    bar = rich.Progress(
        rich.TextColumn("fit"),
        rich.BarColumn(bar_width=None),
        *map(rich.TextColumn, columns),
        rich.TextColumn("ETA {task.fields[eta]}"),
    )
    with bar:
        task = bar.add_task("fit", total=1.0, reads=0, value=math.nan, gap=math.nan, eta="?")

        def move(row: Row) -> None:
            log(row)
            done = fraction(row, rows[0], tol)
            eta = remaining(time.perf_counter() - began, done)
            gap = row.gap / abs(row.value) if row.value else 0.0
            bar.update(task, completed=done, reads=row.n_passes, value=row.value, gap=gap, eta=eta)

        yield move
        if rows:
            bar.update(task, completed=1.0, eta="0.0 s")
