"""The logistic loss of two classes."""

from typing import Any, NamedTuple

from fastlogit.kernels.losses.protocol import RowVector, register
from fastlogit.kernels.machine.elementary import exp, log1p_to_one, sigmoid
from fastlogit.kernels.machine.pointer import i64
from fastlogit.kernels.machine.vector import Vector, where


class Logistic(NamedTuple):
    """Two classes, one margin z a row: ``ln(1 + e^z) - y z``."""

    n_classes: int = 2


def _sigmoid_of_lead(t: Vector) -> tuple[Vector, Vector]:
    """Return ``sigmoid(-t)`` and ``softplus(-t)``: |residual| and loss of a row whose true class leads by t."""
    e = exp(-abs(t))
    positive = t >= 0.0
    return where(positive, e, 1.0) / (e + 1.0), log1p_to_one(e) + where(positive, 0.0, -t)


def _logistic_codes(tile: Any, rows: RowVector) -> None:
    # With t = (2 y - 1) z the loss is softplus(-t) and the residual -(2 y - 1) sigmoid(-t): 1 - p is never computed.
    positive = rows.codes() > 0
    z = rows.margin(i64(0))
    rows.store(tile.M, where(positive, z, -z))
    z = rows.shifted(z, i64(0))
    q, loss = _sigmoid_of_lead(where(positive, z, -z))
    rows.store(tile.F, loss)
    rows.store(tile.Z, where(positive, -q, q), i64(0))


def _logistic_soft(tile: Any, rows: RowVector) -> None:
    # The labels are weights of two softplus terms: y_0 ln(1 + e^z) + y_1 ln(1 + e^-z).
    y0, y1 = rows.label(i64(0)), rows.label(i64(1))
    z = rows.margin(i64(0))
    rows.store(tile.M, where(y1 > y0, z, -z))
    z = rows.shifted(z, i64(0))
    (q, loss), (p, loss_negative) = _sigmoid_of_lead(z), _sigmoid_of_lead(-z)
    rows.store(tile.F, y0 * loss_negative + y1 * loss)
    rows.store(tile.Z, y0 * p - y1 * q, i64(0))


def two_probabilities(tile: Any, rows: RowVector) -> None:
    """``P[0] = sigmoid(-z)``, ``P[1] = sigmoid(z)``: 1 minus the other would lose the digits of a small one."""
    z = rows.shifted(rows.margin(i64(0)), i64(0))
    rows.store(tile.P, sigmoid(-z), i64(0))
    rows.store(tile.P, sigmoid(z), i64(1))


register(Logistic, two_probabilities, codes=_logistic_codes, soft=_logistic_soft)
