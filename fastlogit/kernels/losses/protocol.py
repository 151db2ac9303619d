"""What a loss is: margins in, losses and residuals out, a tile at a time and within it a vector of rows at a time.

A loss is a ``NamedTuple``; its type and the labels' type select the compiled code, by ``overload``. A loss joins by
`register`, with formulas that are independent of how X is stored. The tile ``Z`` (K, rows) is class-major: each vector
holds one class of consecutive rows.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from fastlogit.kernels.machine.jit import TILE_OPTIONS
from fastlogit.kernels.machine.pointer import Pointer, i64
from fastlogit.kernels.machine.simd import Lanes
from fastlogit.kernels.machine.vector import Sum, Vector, minimum, where


def losses(loss: Any, y: Any, offset: Any, start: int, n: int, b: Any, Z: Any, F: Any, M: Any) -> None:
    """Compute the losses and residuals of a tile of rows from their margins.

    Parameters
    ----------
    loss : Loss
        Its type selects the formula.
    y : array (N,) or (N, n_classes)
        Class codes, or probabilities (soft labels).
    offset : array (N, K) or empty
        Added to the margins.
    start, n : int
        The tile is rows ``start`` to ``start + n``.
    b : array (K,)
        Intercepts.
    Z : array (K, rows)
        The margins, without intercepts and offset; replaced by the residuals d loss / d z.
    F : array (rows,)
        Receives each row's loss.
    M : array (rows,)
        Receives by how much the margin of the true class (with soft labels: of the likeliest) exceeds the largest of
        the others, without the offset.
    """
    raise TypeError("losses is for compiled code, and no loss of this type has registered it")


def probabilities(loss: Any, offset: Any, start: int, n: int, b: Any, Z: Any, P: Any) -> None:
    """Compute probabilities ``P`` (n_classes, rows) of a tile of rows; other arguments as in `losses`.

    With K > 1 ``P`` may be ``Z``.
    """
    raise TypeError("probabilities is for compiled code, and no loss of this type has registered it")


def is_loss(kind: Any, loss: type) -> bool:
    """Return whether a numba type is this loss."""
    return isinstance(kind, types.NamedTuple | types.NamedUniTuple) and kind.instance_class is loss


class RowVector:
    """One vector of a tile's rows, inside generated code: what a formula reads and writes."""

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
        """Return column ``k`` of an array (N, columns), an element at a time: its rows are not adjacent."""
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
    """The arguments of an intrinsic, by name, inside generated code: arrays as `Pointer`, scalars as LLVM values."""

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


Formula = Callable[["Tile", RowVector], None]


def _compile(names: str, formula: Formula, signature: Any) -> Any:
    """Return signature and code of an intrinsic that applies a formula to every vector of rows of a tile."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        tile = Tile(context, builder, signature, args, names)
        # the formula is written twice, so that no inner loop tests whether there is an offset
        with builder.if_else(builder.icmp_signed(">", tile.offset.size(), i64(0))) as branches:
            for tile.has_offset, branch in zip((True, False), branches, strict=True):
                with branch, tile.lanes.rows(tile.n) as (r, mask):
                    formula(tile, RowVector(tile, r, mask))
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


def register(kind: type, prediction: Formula, codes: Formula, soft: Formula | None = None) -> None:
    """Bind a loss type to its formulas.

    Parameters
    ----------
    kind : type
        The ``NamedTuple`` of the loss.
    prediction : callable
        Writes the probabilities of a vector of rows into ``tile.P``.
    codes, soft : callable
        Write losses, margins and residuals of a vector of rows into ``tile.F``, ``tile.M`` and ``tile.Z``, for class
        codes and for soft labels. Without ``soft`` the loss has class codes only.
    """
    of_probabilities, of_codes = _prediction(prediction), _loss(codes)
    of_soft = None if soft is None else _loss(soft)

    @overload(losses, jit_options=TILE_OPTIONS)
    def bind_losses(loss: Any, y: Any, offset: Any, start: Any, n: Any, b: Any, Z: Any, F: Any, M: Any) -> Any:
        formula = of_codes if y.ndim == 1 else of_soft
        if formula is None or not is_loss(loss, kind):
            return None

        def impl(loss: Any, y: Any, offset: Any, start: Any, n: Any, b: Any, Z: Any, F: Any, M: Any) -> Any:
            formula(loss[0], y, offset, start, n, b, Z, F, M)

        return impl

    @overload(probabilities, jit_options=TILE_OPTIONS)
    def bind_probabilities(loss: Any, offset: Any, start: Any, n: Any, b: Any, Z: Any, P: Any) -> Any:
        if not is_loss(loss, kind):
            return None

        def impl(loss: Any, offset: Any, start: Any, n: Any, b: Any, Z: Any, P: Any) -> Any:
            of_probabilities(offset, start, n, b, Z, P)

        return impl


# rows of `sums`, after those of the K classes
LOSS, SMALLEST_MARGIN, N_CORRECT = 0, 1, 2


@intrinsic
def weigh_and_sum(
    typingctx: Any, weight: Any, factor: Any, start: Any, n: Any, Z: Any, F: Any, M: Any, sums: Any
) -> Any:
    """Multiply a tile's losses and residuals by the rows' weights, and add them to ``sums``.

    A row's weight is ``weight[start + r] * factor[r]``; ``weight`` (N,) and ``factor`` (rows,) are empty where absent.
    ``Z``, ``F`` and ``M`` are those of `losses`; ``Z`` becomes the weighted residuals, ``F`` the weights. ``sums``
    (K + 3, `ROWS_AT_ONCE`) float64 has a partial result for each lane: the sums of every class's weighted residuals,
    the sum of the weighted losses, the smallest ``M`` and the number of positive ``M``, the last two over rows of
    positive weight.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        tile: Any = Tile(context, builder, signature, args, "weight factor start n Z F M sums")
        lanes = tile.lanes
        n_classes = tile.Z.shape[0]
        loss, least, correct = Sum(lanes, lanes.zero), Sum(lanes, lanes.constant(np.inf)), Sum(lanes, lanes.zero)
        with lanes.rows(tile.n) as (r, mask):
            rows = RowVector(tile, r, mask)
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
