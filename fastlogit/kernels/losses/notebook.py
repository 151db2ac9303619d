"""The logistic loss that the notebook prints, with an epsilon in its logarithms."""

from typing import Any, NamedTuple

from fastlogit.kernels.losses.logistic import two_probabilities
from fastlogit.kernels.losses.protocol import RowVector, register
from fastlogit.kernels.machine.elementary import log, sigmoid
from fastlogit.kernels.machine.pointer import i64
from fastlogit.kernels.machine.vector import where


class NotebookLogistic(NamedTuple):
    """The notebook's printed loss: ``-y ln(p + epsilon) - (1 - y) ln(1 - p + epsilon)`` with ``p = 1 / (1 + e^-z)``.

    The residual is the notebook's too: that of the loss without epsilon, ``p - y``.
    """

    epsilon: float
    n_classes: int = 2


def _notebook(tile: Any, rows: RowVector) -> None:
    positive = rows.codes() > 0
    z = rows.margin(i64(0))
    p, q = sigmoid(z), sigmoid(-z)
    epsilon = tile.parameter
    if tile.lanes.compute.bitwidth == 32:
        epsilon = tile.lanes.builder.fptrunc(epsilon, tile.lanes.scalar)
    rows.store(tile.M, where(positive, z, -z))
    rows.store(tile.F, -log(where(positive, p, q) + tile.lanes.splat(epsilon)))
    rows.store(tile.Z, where(positive, -q, p), i64(0))


register(NotebookLogistic, two_probabilities, codes=_notebook)
