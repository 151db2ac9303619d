"""The softmax cross-entropy of K classes."""

from typing import Any, NamedTuple

import numpy as np

from fastlogit.kernels.losses.protocol import RowVector, register
from fastlogit.kernels.machine.elementary import exp, log1p
from fastlogit.kernels.machine.simd import Lanes
from fastlogit.kernels.machine.vector import Sum, Vector, maximum, muladd, where


class Softmax(NamedTuple):
    """K classes, K margins a row: ``ln(sum_k e^{z_k}) - sum_k y_k z_k``."""

    n_classes: int


def _class_of(rows: RowVector, y: Vector, k: Any) -> Vector:
    """Return the mask of the rows whose code is ``k``."""
    lanes = rows.lanes
    k = lanes.builder.trunc(k, y.value.type.element) if y.value.type.element.width < 64 else k
    return y.equals(lanes.splat(k))


def _softmax_codes(tile: Any, rows: RowVector) -> None:
    lanes, y = rows.lanes, rows.codes()
    lowest = lanes.constant(-np.inf)
    own, best_other, own_shifted, largest = (Sum(lanes, lowest) for _ in range(4))
    with tile.classes() as k:
        is_own = _class_of(rows, y, k)
        z = rows.margin(k)
        own.value = where(is_own, z, own.value)
        best_other.value = maximum(where(is_own, -np.inf, z), best_other.value)
        z = rows.shifted(z, k)
        own_shifted.value = where(is_own, z, own_shifted.value)
        largest.value = maximum(z, largest.value)
        rows.store(tile.Z, z, k)
    rows.store(tile.M, own.value - best_other.value)
    # The true class's term is kept apart: with others = sum_{k != y} e^{z_k - max z} the residual p_y - 1 is
    # -others / total, and the loss log1p(others) where the true class leads. Neither subtracts nearly equal numbers.
    others = Sum(lanes, lanes.zero)
    with tile.classes() as k:
        e = where(_class_of(rows, y, k), 0.0, exp(lanes.load(tile.Z.at(k, rows.r)) - largest.value))
        others.value = others.value + e
        rows.store(tile.Z, e, k)
    lead = own_shifted.value - largest.value
    own_term = exp(lead)
    total = others.value + own_term
    rows.store(tile.F, log1p(others.value + (own_term - 1.0)) - lead)
    reciprocal = 1.0 / total
    with tile.classes() as k:
        e = where(_class_of(rows, y, k), -others.value, lanes.load(tile.Z.at(k, rows.r)))
        rows.store(tile.Z, e * reciprocal, k)


def _softmax_soft(tile: Any, rows: RowVector) -> None:
    lanes = rows.lanes
    lowest = lanes.constant(-np.inf)
    likeliest, lead, largest = (Sum(lanes, lowest) for _ in range(3))
    best_other, own = Sum(lanes, lowest), Sum(lanes, lanes.zero)
    with tile.classes() as k:
        label, z = rows.label(k), rows.margin(k)
        likelier = label > likeliest.value
        best_other.value = maximum(where(likelier, lead.value, z), best_other.value)
        lead.value = where(likelier, z, lead.value)
        likeliest.value = where(likelier, label, likeliest.value)
        own.value = where(likelier, _index(lanes, k), own.value)
        z = rows.shifted(z, k)
        largest.value = maximum(z, largest.value)
        rows.store(tile.Z, z, k)
    rows.store(tile.M, lead.value - best_other.value)
    # The likeliest class's term is kept apart, as the true class's is in `_softmax_codes`.
    others, own_term, linear = (Sum(lanes, lanes.zero) for _ in range(3))
    with tile.classes() as k:
        z = lanes.load(tile.Z.at(k, rows.r)) - largest.value
        label, is_own = rows.label(k), own.value.equals(_index(lanes, k))
        linear.value = muladd(label, where(label.equals(0.0), 0.0, z), linear.value)
        e = exp(z)
        own_term.value = where(is_own, e, own_term.value)
        others.value = where(is_own, others.value, others.value + e)
        rows.store(tile.Z, e, k)
    rows.store(tile.F, log1p(others.value + (own_term.value - 1.0)) - linear.value)
    reciprocal = 1.0 / (others.value + own_term.value)
    with tile.classes() as k:
        label, is_own = rows.label(k), own.value.equals(_index(lanes, k))
        of_own = (1.0 - label) - others.value * reciprocal
        rows.store(tile.Z, where(is_own, of_own, lanes.load(tile.Z.at(k, rows.r)) * reciprocal - label), k)


def _index(lanes: Lanes, k: Any) -> Vector:
    """Return a class's number in every lane, as a real."""
    return lanes.splat(lanes.builder.sitofp(k, lanes.scalar))


def _softmax_probabilities(tile: Any, rows: RowVector) -> None:
    lanes = rows.lanes
    largest = Sum(lanes, lanes.constant(-np.inf))
    with tile.classes() as k:
        z = rows.shifted(rows.margin(k), k)
        largest.value = maximum(z, largest.value)
        rows.store(tile.P, z, k)
    total = Sum(lanes, lanes.zero)
    with tile.classes() as k:
        e = exp(lanes.load(tile.P.at(k, rows.r)) - largest.value)
        total.value = total.value + e
        rows.store(tile.P, e, k)
    reciprocal = 1.0 / total.value
    with tile.classes() as k:
        rows.store(tile.P, lanes.load(tile.P.at(k, rows.r)) * reciprocal, k)


register(Softmax, _softmax_probabilities, codes=_softmax_codes, soft=_softmax_soft)
