"""Products of a tile of rows with itself: ``H += sum_r q_r b_r b_r'``, nearly all arithmetic of a Hessian.

``B`` (rows, padded) is a tile as `protocol.take` writes it. Its columns are cut into blocks of a few registers; a block
of H keeps its sums in registers while the loop runs over rows. Only blocks that touch the upper triangle are computed.
"""

from typing import Any

from numba import types
from numba.extending import intrinsic

from fastlogit.kernels.machine.pointer import Pointer, choose, i64
from fastlogit.kernels.machine.simd import Lanes
from fastlogit.kernels.machine.vector import muladd

_ROWS_OF_BLOCK = 4


@intrinsic
def add_gram(typingctx: Any, B: Any, Q: Any, n: Any, H: Any) -> Any:
    """``H[i, j] += sum_r Q[r, i] B[r, j]`` over r < n, for j >= i at least; H (padded, padded) float64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = Lanes(context, builder, B.dtype)
        b, q, h = (Pointer(context, builder, kind, args[i]) for i, kind in ((0, B), (1, Q), (3, H)))
        L, widest, size = lanes.count, lanes.registers // 8, b.shape[1]
        R = min(_ROWS_OF_BLOCK, L)  # on the diagonal, more rows than lanes would overlap with the next step's

        def rows(i: Any, j: Any, V: int) -> None:
            """Add rows i to i + R of the V vectors of columns from j on."""
            sums = [lanes.sums(V) for _ in range(R)]
            with lanes.loop(i64(0), args[2]) as r:
                values = [lanes.load(b.at(r, builder.add(j, i64(v * L)))) for v in range(V)]
                for m, row in enumerate(sums):
                    weight = lanes.splat(q.load(r, builder.add(i, i64(m))))
                    for value, total in zip(values, row, strict=True):
                        total.value = muladd(weight, value, total.value)
            for m, row in enumerate(sums):
                for v, total in enumerate(row):
                    lanes.add_to_float64(total.value, h.at(builder.add(i, i64(m)), builder.add(j, i64(v * L))))

        def block(j: Any, V: int) -> None:
            with lanes.loop(i64(0), j, R) as i:
                rows(i, j, V)
            for below in range(V):  # on the diagonal, one vector of columns less for each vector of rows
                from_here = builder.add(j, i64(below * L))
                with lanes.loop(from_here, builder.add(from_here, i64(L)), R) as i:
                    rows(i, from_here, V - below)

        with lanes.loop(i64(0), size, widest * L) as j:
            left = builder.sdiv(builder.sub(size, j), i64(L))
            choose(builder, lanes.smaller(left, i64(widest)), range(1, widest + 1), lambda V: block(j, V))
        return context.get_dummy_value()

    return types.void(B, Q, types.int64, H), codegen


@intrinsic
def scale_rows(typingctx: Any, B: Any, q: Any, n: Any, Q: Any) -> Any:
    """``Q[r, :] = q[r] B[r, :]`` for r < n; ``q`` is float64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = Lanes(context, builder, B.dtype)
        b, weight, out = (Pointer(context, builder, kind, args[i]) for i, kind in ((0, B), (1, q), (3, Q)))
        with lanes.loop(i64(0), args[2]) as r:
            scalar = weight.load(r)
            factor = lanes.splat(builder.fptrunc(scalar, lanes.scalar) if B.dtype.bitwidth == 32 else scalar)
            with lanes.loop(i64(0), b.shape[1], lanes.count) as j:
                lanes.store(lanes.load(b.at(r, j)) * factor, out.at(r, j))
        return context.get_dummy_value()

    return types.void(B, q, types.int64, Q), codegen


@intrinsic
def row_squares(typingctx: Any, B: Any, inverse_scale: Any, n: Any, out: Any) -> Any:
    """``out[r] = sum_j (B[r, j] inverse_scale[j])^2`` for r < n; B is read and out written by whole vectors of rows."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = Lanes(context, builder, B.dtype)
        b, inverse = (Pointer(context, builder, kind, args[i]) for i, kind in enumerate((B, inverse_scale)))
        squares = Pointer(context, builder, out, args[3])
        with lanes.loop(i64(0), args[2], lanes.count) as first:
            rows = [builder.add(first, i64(i)) for i in range(lanes.count)]
            totals = lanes.sums(lanes.count)
            with lanes.loop(i64(0), b.shape[1], lanes.count) as j:
                factor = lanes.load(inverse.at(j))
                for row, total in zip(rows, totals, strict=True):
                    value = lanes.load(b.at(row, j)) * factor
                    total.value = muladd(value, value, total.value)
            lanes.store(lanes.sums_of([total.value for total in totals]), squares.at(first))
        return context.get_dummy_value()

    return types.void(B, inverse_scale, types.int64, out), codegen
