"""Pictures. matplotlib (the ``plot`` extra) is imported by the functions that draw, never by ``import fastlogit``."""

from collections.abc import Mapping, Sequence
from pathlib import Path


def loss_curves(histories: Mapping[str, Sequence[float]], path: str | Path) -> Path:
    """Draw the loss of each epoch, one curve per history, and save the picture.

    Parameters
    ----------
    histories : mapping of str to sequence of float
        For each name in the legend, the mean loss before each epoch's step, in nats per row.
    path : str or Path
        The file to write; its suffix (``.png``, ``.svg``, ``.pdf``) selects the format.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    ModuleNotFoundError
        If matplotlib is not installed.
    """
    # Figure, not pyplot: it needs no window system, and no global list keeps the figure alive.
    from matplotlib.figure import Figure

    path = Path(path)
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for name, history in histories.items():
        axes.plot(range(1, len(history) + 1), history, label=name, linewidth=1.8)
    # Logarithmic axes: the first epochs change most, and losses of different data differ by orders of magnitude.
    axes.set(xscale="log", yscale="log", xlabel="epoch", ylabel="mean loss before the step")
    axes.grid(which="major", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if histories:
        axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
    return path
