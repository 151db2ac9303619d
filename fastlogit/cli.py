"""The command line, ``fastlogit demo`` and ``fastlogit warmup``; it needs the extra ``cli`` (typer, rich)."""

import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numba
import numpy as np
from numpy.typing import NDArray

import fastlogit as fl
from fastlogit.plots import loss_curves

NEEDS_EXTRA = "fastlogit's command line needs its extra: pip install 'fastlogit[cli]'"
try:
    import typer
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Table
except ModuleNotFoundError:
    sys.exit(NEEDS_EXTRA)

PICTURE = "fastlogit-demo.png"
N_FEATURES = 28
BLOCK = 1 << 16
# Share of the cores' time that training got, above which timings count as undisturbed. On two cores it is 0.99 or more
# when they are idle, 0.63 to 0.69 with one other busy program. With less, a pass and the plain read that measures the
# bandwidth both wait for the same scheduler ticks, and seem equally fast: "100%".
UNDISTURBED = 0.85

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Example:
    """Data to train on.

    Attributes
    ----------
    name : str
        Its name in the output.
    X : ndarray (n_samples, n_features)
        The rows.
    Y : ndarray (n_samples,)
        Booleans, or class codes for softmax.
    step : float
        The learning rate times ``n_samples``: gradients are sums over rows.
    """

    name: str
    X: NDArray[Any]
    Y: NDArray[Any]
    step: float

    @property
    def binary(self) -> bool:
        """Whether the labels are booleans."""
        return self.Y.dtype == np.bool_

    @property
    def learning_rate(self) -> float:
        """The factor of a gradient that is a sum over rows."""
        return self.step / len(self.X)

    def train(self, functions: Any, epochs: int, callback: Callable[[int, float], None] | None = None) -> Any:
        """Return the classifier that ``functions`` (fastlogit, or its reference) trains."""
        train = functions.binary_classifier_from if self.binary else functions.multiclass_classifier_from
        return train(self.X, self.Y, epochs=epochs, learning_rate=self.learning_rate, callback=callback)

    def accuracy(self, forward: Any) -> float:
        """Return the share of rows whose class is the likeliest one according to ``forward``."""
        P = forward(self.X)
        return float(np.mean((P > 0.5 if self.binary else P.argmax(axis=1)) == self.Y))


def _real_data() -> list[Example]:
    """Return the data sets that come with scikit-learn."""
    try:
        from sklearn.datasets import load_breast_cancer, load_digits
    except ModuleNotFoundError:
        sys.exit(NEEDS_EXTRA)
    cancer, is_benign = load_breast_cancer(return_X_y=True)
    digits, digit = load_digits(return_X_y=True)
    # The loss falls in every step of gradient descent up to a step of 1 / (largest eigenvalue of the mean Hessian). For
    # standardised columns that eigenvalue is at most 1/4 (logistic) or 1/2 (softmax) of the correlation matrix's, which
    # is 13.3 for breast cancer, 7.3 for digits, 1 for the independent columns of the generated data.
    return [
        Example("Breast cancer", cancer, is_benign.astype(bool), 0.3),
        Example("Digits", digits, digit, 0.27),
    ]


def _generated(rows: int) -> tuple[Example, float]:
    """Return rows with labels drawn by a logistic model, hence not separable, and that model's accuracy."""
    rng = np.random.default_rng(0)
    coef = rng.standard_normal(N_FEATURES, dtype=np.float32)
    coef *= 2.0 / np.linalg.norm(coef)
    scale = np.geomspace(0.01, 100.0, N_FEATURES, dtype=np.float32)
    X, Y = np.empty((rows, N_FEATURES), np.float32), np.empty(rows, np.bool_)
    n_correct = 0
    for start in range(0, rows, BLOCK):
        block, labels = X[start : start + BLOCK], Y[start : start + BLOCK]
        rng.standard_normal(out=block, dtype=np.float32)
        z = block @ coef
        np.less(rng.random(len(z)), 1.0 / (1.0 + np.exp(-z)), out=labels)
        n_correct += int(np.count_nonzero((z > 0.0) == labels))
        block += 1.0
        block *= scale
    return Example("Generated", X, Y, 4.0), n_correct / rows


@contextmanager
def _busy(console: Console, what: str) -> Iterator[None]:
    """Show that something is being done: a spinner on a terminal, a plain line elsewhere."""
    if console.is_terminal:
        with console.status(what):
            yield
    else:
        console.print(f"{what} ...")
        yield


def _compile(console: Console, examples: list[Example]) -> None:
    """Train on the first rows of each example, so that kernels for its types are compiled before any timing."""
    start = time.perf_counter()
    with _busy(console, "Compiling kernels, once"):
        for example in examples:
            head = Example(example.name, example.X[:256], example.Y[:256], example.step)
            head.accuracy(head.train(fl, 1))
    console.print(f"Kernels ready in {time.perf_counter() - start:.1f} s (compiled once, then loaded from the disk).\n")


def _train(console: Console, example: Example, epochs: int) -> tuple[Any, NDArray[np.float64]]:
    """Train with a progress bar; return the classifier and the times in seconds of the start and each epoch's end."""
    progress = Progress(
        TextColumn("{task.description:<14}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    ends = [time.perf_counter()]

    def callback(epoch: int, loss: float) -> None:
        ends.append(time.perf_counter())
        progress.update(bar, completed=epoch + 1, loss=loss)

    with progress:
        bar = progress.add_task(example.name, total=epochs, loss=float("nan"))
        forward = example.train(fl, epochs, callback)
    return forward, np.array(ends)


def _reference_seconds(example: Example) -> float:
    """Return the median seconds per epoch of the NumPy reference on the same rows."""
    ends: list[float] = []
    example.train(fl.reference, 4, lambda epoch, loss: ends.append(time.perf_counter()))
    return statistics.median(np.diff(ends))


def _report(console: Console, example: Example, forward: Any, seconds: float, remark: str = "") -> None:
    (rows, columns), history = example.X.shape, forward.history
    kind = "logistic" if example.binary else f"softmax of {int(example.Y.max()) + 1} classes"
    console.print(
        f"[bold]{example.name}[/]: {rows:,} x {columns} {example.X.dtype}, {kind}, "
        f"{len(history)} epochs in {seconds:.2f} s\n"
        f"    loss {history[0]:.4f} -> {history[-1]:.4f}, training accuracy {example.accuracy(forward):.4f}{remark}"
    )


def _comparison(example: Example, reference: float, fused: float, bandwidth: float) -> Table:
    """Return a table that compares the reference and fastlogit, in seconds per epoch; ``bandwidth`` in bytes/s."""
    (rows, columns), threads = example.X.shape, numba.get_num_threads()
    title = f"One epoch of {rows:,} x {columns}, {threads} thread{'s' if threads > 1 else ''}"
    table = Table(title=title, title_justify="left")
    speed = example.X.nbytes / fused
    cells = {
        "NumPy reference": f"{reference:.4f} s/epoch",
        "fastlogit": f"{fused:.4f} s/epoch",
        "ratio": f"{reference / fused:.1f}",
        "X read at": f"{speed / 1e9:.1f} GB/s",
        "of read bandwidth": f"{speed / bandwidth:.0%}",
    }
    for heading in cells:
        table.add_column(heading, justify="right")
    table.add_row(*cells.values())
    return table


def _show_version(asked: bool) -> None:
    if asked:
        print(f"fastlogit {fl.__version__}")
        raise typer.Exit


@app.callback()
def _fastlogit(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Logistic regression on large data, as fast as memory can be read."""


@app.command()
def demo(
    rows: Annotated[
        int | None,
        typer.Option(min=1000, metavar="N", help="Rows of the generated data.", show_default="1000000, quick: 100000"),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=4, metavar="N", help="Epochs of each training.", show_default="200, quick: 20"),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            exists=True, file_okay=False, writable=True, metavar="DIR", help="Directory for the picture of the losses."
        ),
    ] = Path("."),
    quick: Annotated[bool, typer.Option("--quick", help="Fewer rows and epochs: some seconds in all.")] = False,
) -> None:
    """Train on three data sets, two real and one generated, and compare the speed with NumPy's."""
    from fastlogit.kernels.machine.bandwidth import read_bandwidth

    rows = rows or (100_000 if quick else 1_000_000)
    epochs = epochs or (20 if quick else 200)
    console = Console(highlight=False)
    with _busy(console, f"Generating {rows:,} rows"):
        generated, best = _generated(rows)
    examples = [*_real_data(), generated]
    _compile(console, examples)

    histories = {}
    for example in examples:
        cpu_start = time.process_time()
        forward, ends = _train(console, example, epochs)
        cpu_seconds = time.process_time() - cpu_start
        histories[example.name] = forward.history
        remark = f" (true model {best:.4f})" if example is generated else ""
        _report(console, example, forward, ends[-1] - ends[0], remark)

    # The generated data came last: its epochs are compared with the bandwidth and the reference on the same rows. The
    # median, without the moments' read and the first epochs, is the time of an undisturbed epoch.
    fused = statistics.median(np.diff(ends)[3:])
    busy_share = cpu_seconds / ((ends[-1] - ends[0]) * numba.get_num_threads())
    with _busy(console, "Measuring the read bandwidth"):
        # Bandwidth shared with other machines drifts by a quarter within seconds: one short measurement is not enough.
        bandwidth = statistics.median(read_bandwidth(generated.X) for _ in range(9))
    with _busy(console, "Timing the NumPy reference"):
        reference = _reference_seconds(generated)
    console.print()
    console.print(_comparison(generated, reference, fused, bandwidth))
    if busy_share < UNDISTURBED:
        console.print(
            f"fastlogit had {busy_share:.0%} of its cores' time: other programs may be running, and then these numbers "
            "are theirs too.\nRun it again on an idle machine."
        )

    try:
        with _busy(console, "Drawing the loss curves"):
            picture = loss_curves(histories, output / PICTURE)
        console.print(f"Loss curves: {picture}", soft_wrap=True)
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "matplotlib":
            raise
        console.print("No picture of the loss curves: pip install 'fastlogit\\[plot]' would add one.")


@app.command()
def warmup() -> None:
    """Compile the common kernels ahead of time: float32, float64, rows, columns, sparse rows, two classes and more."""
    from fastlogit.warmup import CASES, compile_all

    console = Console(highlight=False)
    start, kernels = time.perf_counter(), set[tuple[str, str]]()
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("Compiling", total=len(CASES))
        for case, compiled in compile_all():
            kernels |= compiled
            progress.console.print(f"{case}: ready")
            progress.advance(bar)
    table = Table("kernel", "types", title="Specialisations", title_justify="left")
    for name, count in sorted(Counter(name for name, _ in kernels).items()):
        table.add_row(name, str(count))
    console.print(table)
    console.print(f"{len(kernels)} kernels ready in {time.perf_counter() - start:.1f} s; they stay on the disk.")


def main() -> None:
    """Run the command line."""
    app()
