"""Pictures. matplotlib (the ``plot`` extra) is imported by the functions that draw, never by ``import fastlogit``."""

from collections.abc import Mapping, Sequence
from pathlib import Path


def loss_curves(histories: Mapping[str, Sequence[float]], path: str | Path) -> Path:
    """Draw the loss of each epoch, one curve for each history, and save the picture.

    Parameters
    ----------
    histories : mapping of str to sequence of float
        What the legend calls a curve, and its loss before each epoch's step, in nats a row.
    path : str or Path
        Where to; its suffix (``.png``, ``.svg``, ``.pdf``) is the format.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    ModuleNotFoundError
        If matplotlib is not installed.
    """
    # Figure, not pyplot: no window system is asked for, and no figure stays alive in a global list.
    from matplotlib.figure import Figure

    path = Path(path)
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for name, history in histories.items():
        axes.plot(range(1, len(history) + 1), history, label=name, linewidth=1.8)
    # Both logarithmic: the first epochs change most, and the losses of different data differ by orders of magnitude.
    axes.set(xscale="log", yscale="log", xlabel="epoch", ylabel="mean loss before the step")
    axes.grid(which="major", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if histories:
        axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
    return path
