"""Losses on a tile of margins: margins in, losses and residuals out, a vector of rows at a time.

A loss is a ``NamedTuple``; its type and the labels' type select the code, by ``overload``. It knows nothing of how X
is stored. The tile ``Z`` (K, rows) is class-major, so that rows lie along the vectors.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from fastlogit.kernels.machine.elementary import exp, log, log1p, log1p_to_one, sigmoid
from fastlogit.kernels.machine.jit import TILE_OPTIONS
from fastlogit.kernels.machine.pointer import Pointer, i64
from fastlogit.kernels.machine.simd import Lanes, Sum, Vector, maximum, minimum, muladd, where


class Logistic(NamedTuple):
    """Two classes, one margin z a row: ``ln(1 + e^z) - y z``."""

    n_classes: int = 2


class Softmax(NamedTuple):
    """K classes, K margins a row: ``ln(sum_k e^{z_k}) - sum_k y_k z_k``."""

    n_classes: int


class NotebookLogistic(NamedTuple):
    """The notebook's printed loss: ``-y ln(p + epsilon) - (1 - y) ln(1 - p + epsilon)`` with ``p = 1 / (1 + e^-z)``.

    Its gradient is the notebook's too: that of the plain loss, ``p - y``.
    """

    epsilon: float
    n_classes: int = 2


Loss = Logistic | Softmax | NotebookLogistic


def losses(loss: Any, y: Any, offset: Any, start: int, n: int, b: Any, Z: Any, F: Any, M: Any) -> None:
    """Turn a tile of margins into losses and residuals.

    ``Z`` (K, rows) holds the margins of rows ``start`` to ``start + n`` without intercepts ``b`` (K,) and ``offset``
    (empty, or (N, K)), and afterwards the residuals d loss / d z; ``F`` (rows,) becomes each row's loss and ``M``
    (rows,) its margin: how far the true class leads the best other, offset left out (with soft labels: the likeliest
    class). ``y``: class codes (N,), or probabilities (N, n_classes).
    """
    raise TypeError("losses is for compiled code, and no loss of this type has registered it")


def probabilities(loss: Any, offset: Any, start: int, n: int, b: Any, Z: Any, P: Any) -> None:
    """Turn margins ``Z`` (K, rows), intercepts and offset into probabilities ``P`` (n_classes, rows).

    With K > 1 ``P`` may be ``Z``.
    """
    raise TypeError("probabilities is for compiled code, and no loss of this type has registered it")


def is_loss(kind: Any, *losses: type) -> bool:
    """Tell whether a numba type is one of the losses."""
    return isinstance(kind, types.NamedTuple | types.NamedUniTuple) and kind.instance_class in losses


class Rows:
    """A vector of rows of a tile: what the formulas below read and write."""

    def __init__(self, tile: "Tile", r: Any, mask: Vector) -> None:
        self.tile, self.lanes, self.r, self.mask = tile, tile.lanes, r, mask
        self.row = tile.lanes.builder.add(tile.start, r)

    def margin(self, k: Any) -> Vector:
        """Return ``z_k`` with its intercept, without offset."""
        return self.lanes.load(self.tile.Z.at(k, self.r)) + self.lanes.splat(self.tile.b.load(k))

    def shifted(self, z: Vector, k: Any) -> Vector:
        """Return margins ``z`` of class ``k`` with their offset, where there is one."""
        return z + self._strided(self.tile.offset, k) if self.tile.has_offset else z

    def codes(self) -> Vector:
        """Return the class codes."""
        y = self.tile.y
        return self.lanes.load_codes(y.at(self.row), y.dtype, self.mask)

    def label(self, k: Any) -> Vector:
        """Return the probability of class ``k`` in soft labels."""
        return self._strided(self.tile.y, k)

    def _strided(self, array: Pointer, k: Any) -> Vector:
        """Column ``k`` of an array (N, columns), whose rows are not adjacent: an element at a time."""
        lanes, builder = self.lanes, self.lanes.builder
        cells = self.tile.cells
        with lanes.loop(i64(0), i64(lanes.count)) as i:
            inside = builder.icmp_signed("<", builder.add(self.r, i), self.tile.n)
            row = builder.select(inside, builder.add(self.row, i), self.row)
            value = array.load(row, k)
            if array.dtype.bitwidth < lanes.compute.bitwidth:
                value = builder.fpext(value, lanes.scalar)
            elif array.dtype.bitwidth > lanes.compute.bitwidth:
                value = builder.fptrunc(value, lanes.scalar)
            builder.store(value, builder.gep(cells, [i]))
        return lanes.load(cells)

    def store(self, array: Pointer, value: Vector, *index: Any) -> None:
        """Write a value of each row."""
        self.lanes.store(value, array.at(*index, self.r))


class Tile:
    """The arguments of a formula inside generated code: arrays as `Pointer`, numbers as they are."""

    has_offset: bool

    def __init__(self, context: Any, builder: Any, signature: Any, args: Any, names: str) -> None:
        kinds = dict(zip(names.split(), signature.args, strict=True))
        self.lanes = Lanes(context, builder, kinds["Z"].dtype, width=2)
        for (name, kind), value in zip(kinds.items(), args, strict=True):
            self.__dict__[name] = Pointer(context, builder, kind, value) if isinstance(kind, types.Array) else value
        self.cells = cgutils.alloca_once(builder, self.lanes.scalar, size=i64(self.lanes.count))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the formula has no argument {name!r}")

    def classes(self) -> Any:
        """Loop over the classes."""
        return self.lanes.loop(i64(0), self.Z.shape[0])


Formula = Callable[["Tile", Rows], None]


def _compile(names: str, formula: Formula, signature: Any) -> Any:
    """Return what an intrinsic returns for a formula that is applied to every vector of rows of a tile."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        tile = Tile(context, builder, signature, args, names)
        # the formula twice, so that no inner loop asks whether there is an offset
        with builder.if_else(builder.icmp_signed(">", tile.offset.size(), i64(0))) as branches:
            for tile.has_offset, branch in zip((True, False), branches, strict=True):
                with branch, tile.lanes.rows(tile.n) as (r, mask):
                    formula(tile, Rows(tile, r, mask))
        return context.get_dummy_value()

    return signature, codegen


def _loss(formula: Formula) -> Any:
    index = types.int64

    @intrinsic
    def losses_of_tile(
        typingctx: Any, parameter: Any, y: Any, offset: Any, start: Any, n: Any, b: Any, Z: Any, F: Any, M: Any
    ) -> Any:
        signature = types.void(parameter, y, offset, index, index, b, Z, F, M)
        return _compile("parameter y offset start n b Z F M", formula, signature)

    return losses_of_tile


def _prediction(formula: Formula) -> Any:
    index = types.int64

    @intrinsic
    def probabilities_of_tile(typingctx: Any, offset: Any, start: Any, n: Any, b: Any, Z: Any, P: Any) -> Any:
        return _compile("offset start n b Z P", formula, types.void(offset, index, index, b, Z, P))

    return probabilities_of_tile


def _sigmoid_of_lead(t: Vector) -> tuple[Vector, Vector]:
    """Return ``sigmoid(-t)`` and ``softplus(-t)``: a row's residual, up to sign, and its loss at lead ``t``."""
    e = exp(-abs(t))
    positive = t >= 0.0
    return where(positive, e, 1.0) / (e + 1.0), log1p_to_one(e) + where(positive, 0.0, -t)


def _logistic_codes(tile: Any, rows: Rows) -> None:
    # With t = (2 y - 1) z the loss is softplus(-t) and the residual -(2 y - 1) sigmoid(-t): no 1 - p anywhere.
    positive = rows.codes() > 0
    z = rows.margin(i64(0))
    rows.store(tile.M, where(positive, z, -z))
    z = rows.shifted(z, i64(0))
    q, loss = _sigmoid_of_lead(where(positive, z, -z))
    rows.store(tile.F, loss)
    rows.store(tile.Z, where(positive, -q, q), i64(0))


def _logistic_soft(tile: Any, rows: Rows) -> None:
    # Each label weighs a softplus: y_0 ln(1 + e^z) + y_1 ln(1 + e^-z).
    y0, y1 = rows.label(i64(0)), rows.label(i64(1))
    z = rows.margin(i64(0))
    rows.store(tile.M, where(y1 > y0, z, -z))
    z = rows.shifted(z, i64(0))
    (q, loss), (p, loss_negative) = _sigmoid_of_lead(z), _sigmoid_of_lead(-z)
    rows.store(tile.F, y0 * loss_negative + y1 * loss)
    rows.store(tile.Z, y0 * p - y1 * q, i64(0))


def _notebook(tile: Any, rows: Rows) -> None:
    positive = rows.codes() > 0
    z = rows.margin(i64(0))
    p, q = sigmoid(z), sigmoid(-z)
    epsilon = tile.parameter
    if tile.lanes.compute.bitwidth == 32:
        epsilon = tile.lanes.builder.fptrunc(epsilon, tile.lanes.scalar)
    rows.store(tile.M, where(positive, z, -z))
    rows.store(tile.F, -log(where(positive, p, q) + tile.lanes.splat(epsilon)))
    rows.store(tile.Z, where(positive, -q, p), i64(0))


def _class_of(rows: Rows, y: Vector, k: Any) -> Vector:
    """Mask the rows whose code is ``k``."""
    lanes = rows.lanes
    k = lanes.builder.trunc(k, y.value.type.element) if y.value.type.element.width < 64 else k
    return y.equals(lanes.splat(k))


def _softmax_codes(tile: Any, rows: Rows) -> None:
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
    # The own term is kept apart: with others = sum_{k != y} e^{z_k} the residual p_y - 1 is -others / total and the
    # loss of a sure row log1p(others), so that nothing cancels.
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


def _softmax_soft(tile: Any, rows: Rows) -> None:
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
    # The likeliest class's term is kept apart, as in `_softmax_codes`.
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


def _two_probabilities(tile: Any, rows: Rows) -> None:
    z = rows.shifted(rows.margin(i64(0)), i64(0))
    rows.store(tile.P, sigmoid(-z), i64(0))
    rows.store(tile.P, sigmoid(z), i64(1))


def _softmax_probabilities(tile: Any, rows: Rows) -> None:
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


_CODES = {
    Logistic: _loss(_logistic_codes),
    Softmax: _loss(_softmax_codes),
    NotebookLogistic: _loss(_notebook),
}
_SOFT = {Logistic: _loss(_logistic_soft), Softmax: _loss(_softmax_soft)}
_PREDICTIONS = {
    Logistic: _prediction(_two_probabilities),
    Softmax: _prediction(_softmax_probabilities),
    NotebookLogistic: _prediction(_two_probabilities),
}


@overload(losses, jit_options=TILE_OPTIONS)
def _losses(loss: Any, y: Any, offset: Any, start: Any, n: Any, b: Any, Z: Any, F: Any, M: Any) -> Any:
    table = _CODES if y.ndim == 1 else _SOFT
    if not is_loss(loss, *table):
        return None
    formula = table[loss.instance_class]

    def impl(loss: Any, y: Any, offset: Any, start: Any, n: Any, b: Any, Z: Any, F: Any, M: Any) -> Any:
        formula(loss[0], y, offset, start, n, b, Z, F, M)

    return impl


@overload(probabilities, jit_options=TILE_OPTIONS)
def _probabilities(loss: Any, offset: Any, start: Any, n: Any, b: Any, Z: Any, P: Any) -> Any:
    if not is_loss(loss, *_PREDICTIONS):
        return None
    formula = _PREDICTIONS[loss.instance_class]

    def impl(loss: Any, offset: Any, start: Any, n: Any, b: Any, Z: Any, P: Any) -> Any:
        formula(offset, start, n, b, Z, P)

    return impl


# rows of `sums`, after those of the K classes
LOSS, SMALLEST_MARGIN, N_CORRECT = 0, 1, 2


@intrinsic
def weigh_and_sum(
    typingctx: Any, weight: Any, factor: Any, start: Any, n: Any, Z: Any, F: Any, M: Any, sums: Any
) -> Any:
    """Apply the rows' weights to a tile and add it up.

    ``weight`` (N,) and ``factor`` (rows,) are empty where absent. ``Z`` becomes the weighted residuals, ``F`` the
    weights. ``sums`` (K + 3, `ROWS_AT_ONCE`) float64 keeps a partial sum for each lane: of every class's residuals, of
    the losses, the smallest margin over rows of positive weight (not a sum), and the number of rows whose margin is
    positive.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        tile: Any = Tile(context, builder, signature, args, "weight factor start n Z F M sums")
        lanes = tile.lanes
        n_classes = tile.Z.shape[0]
        loss, least, correct = Sum(lanes, lanes.zero), Sum(lanes, lanes.constant(np.inf)), Sum(lanes, lanes.zero)
        with lanes.rows(tile.n) as (r, mask):
            rows = Rows(tile, r, mask)
            product = Sum(lanes, where(mask, lanes.constant(1.0), 0.0))
            for array, at in ((tile.weight, rows.row), (tile.factor, r)):
                with builder.if_then(builder.icmp_signed(">", array.size(), i64(0))):
                    product.value = product.value * lanes.load(array.at(at), array.dtype, mask)
            s = product.value
            kept = s > 0.0
            margin = lanes.load(tile.M.at(r))
            loss.value = loss.value + where(kept, lanes.load(tile.F.at(r)) * s, 0.0)
            least.value = minimum(where(kept, margin, np.inf), least.value)
            correct.value = correct.value + where(kept, where(margin > 0.0, lanes.constant(1.0), 0.0), 0.0)
            rows.store(tile.F, s)
        with tile.classes() as k:
            total = Sum(lanes, lanes.zero)
            with lanes.rows(tile.n) as (r, _):
                s = lanes.load(tile.F.at(r))
                residual = where(s > 0.0, lanes.load(tile.Z.at(k, r)) * s, 0.0)
                lanes.store(residual, tile.Z.at(k, r))
                total.value = total.value + residual
            lanes.add_to_float64(total.value, tile.sums.at(k, i64(0)))
        at = [tile.sums.at(builder.add(n_classes, i64(i)), i64(0)) for i in range(3)]
        lanes.add_to_float64(loss.value, at[LOSS])
        lanes.fold_float64(minimum, least.value, at[SMALLEST_MARGIN])
        lanes.add_to_float64(correct.value, at[N_CORRECT])
        return context.get_dummy_value()

    return types.void(weight, factor, types.int64, types.int64, Z, F, M, sums), codegen
