"""Rows: X stored row by row (C order), in register tiles.

``margins`` is a product of R rows with K coefficient vectors, all sums held in registers while the features are walked
once. ``accumulate`` holds a block of the gradient in registers while the tile's rows are walked; it also asks for the
tile after this one, because memory would idle while a tile is swept from the cache a second time (without it 0.64
instead of 0.8 of the read bandwidth at D = 100, `bench/bench_passes.py`).
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload
from numpy.typing import NDArray

from fastlogit.kernels import storage as protocol
from fastlogit.kernels.jit import TILE_OPTIONS
from fastlogit.kernels.register_tiles import register
from fastlogit.kernels.simd import Lanes, Pointer, Vector, choose, i64, muladd


class Rows(NamedTuple):
    """X of shape (n_samples, n_features) whose rows are contiguous; any distance from row to row."""

    X: NDArray[Any]

    @property
    def shape(self) -> tuple[int, int]:
        """(n_samples, n_features)."""
        return self.X.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The stored type."""
        return self.X.dtype


def is_rows(kind: Any) -> bool:
    """Tell whether a numba type is `Rows`."""
    return isinstance(kind, types.NamedTuple | types.NamedUniTuple) and kind.instance_class is Rows


TILE_BYTES = 16384


def _dot(classes: range) -> Any:
    """Return ``margins`` for the K classes from k on, K in ``classes``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = Lanes(context, builder, signature.args[3].dtype)
        x = Pointer(context, builder, signature.args[0], args[0], contiguous=1)
        w, c, z = (Pointer(context, builder, signature.args[i], args[i]) for i in (3, 6, 7))
        start, n, k, n_classes = args[1], args[2], args[4], args[5]
        whole = builder.and_(x.shape[1], i64(-lanes.count))
        rest = builder.sub(x.shape[1], whole)

        def emit(K: int) -> None:
            R = 8 if K == 1 else lanes.registers // 8
            with lanes.loop(i64(0), n, R) as first:
                # past the tile's end the last row stands in: its sums land in the padding of Z
                last = builder.sub(n, i64(1))
                tile = [builder.add(first, i64(i)) for i in range(R)]
                rows = [builder.add(start, builder.select(builder.icmp_signed("<", r, last), r, last)) for r in tile]
                sums = [lanes.sums(K) for _ in rows]
                ahead = x.at(builder.add(builder.add(start, n), builder.sdiv(first, i64(2))), i64(0))
                step_bytes = R // 2 * lanes.count * x.itemsize

                def step(j: Any, mask: Vector | None = None) -> None:
                    lanes.prefetch(builder.gep(ahead, [builder.mul(j, i64(step_bytes // lanes.count))]), step_bytes)
                    middle = lanes.load(c.at(j))
                    weights = [lanes.load(w.at(builder.add(k, i64(m)), j)) for m in range(K)]
                    for row, row_sums in zip(rows, sums, strict=True):
                        value = lanes.load(x.at(row, j), x.dtype, mask) - middle
                        for weight, total in zip(weights, row_sums, strict=True):
                            total.value = muladd(value, weight, total.value)

                with lanes.loop(i64(0), whole, lanes.count) as j:
                    step(j)
                with builder.if_then(builder.icmp_signed(">", rest, i64(0))):
                    step(whole, lanes.first(rest))
                for r, row_sums in zip(tile, sums, strict=True):
                    for m, total in enumerate(row_sums):
                        z.store(total.value.sum(), builder.add(k, i64(m)), r)

        choose(builder, n_classes, classes, emit)
        return context.get_dummy_value()

    return codegen


def _outer(classes: range, power: int = 1) -> Any:
    """Return ``accumulate``, or with power 2 ``accumulate_squares``, for the K classes from k on, K in ``classes``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = Lanes(context, builder, signature.args[3].dtype)
        x = Pointer(context, builder, signature.args[0], args[0], contiguous=1)
        residuals, c, g = (Pointer(context, builder, signature.args[i], args[i]) for i in (3, 6, 7))
        start, n, k, n_classes = args[1], args[2], args[4], args[5]

        def block(K: int, V: int, j: Any, rest: Any = None) -> None:
            """Add V vectors of features from ``j`` on, of which ``rest`` elements exist (None: all)."""
            start_of = [i64(v * lanes.count) for v in range(V)]
            columns = [builder.add(j, first) for first in start_of]
            masks = [None if rest is None else lanes.first(builder.sub(rest, first)) for first in start_of]
            middles = [lanes.load(c.at(column), None, mask) for column, mask in zip(columns, masks, strict=True)]
            sums = [lanes.sums(V) for _ in range(K)]
            step_bytes = V * lanes.count * x.itemsize // 2
            ahead = x.at(builder.add(builder.add(start, n), builder.sdiv(n, i64(2))), i64(0))
            ahead = builder.gep(ahead, [builder.mul(builder.mul(j, n), i64(x.itemsize // 2))])
            with lanes.loop(i64(0), n) as r:
                row = builder.add(start, r)
                lanes.prefetch(builder.gep(ahead, [builder.mul(r, i64(step_bytes))]), step_bytes)
                values = []
                for column, middle, column_mask in zip(columns, middles, masks, strict=True):
                    value = lanes.load(x.at(row, column), x.dtype, column_mask) - middle
                    values.append(value * value if power == 2 else value)
                for m, class_sums in enumerate(sums):
                    residual = lanes.splat(residuals.load(builder.add(k, i64(m)), r))
                    for value, total in zip(values, class_sums, strict=True):
                        total.value = muladd(residual, value, total.value)
            for v, column in enumerate(columns):
                inside = i64(1) if rest is None else builder.sub(rest, start_of[v])
                with builder.if_then(builder.icmp_signed(">", inside, i64(0))):
                    for m, class_sums in enumerate(sums):
                        lanes.add_to_float64(class_sums[v].value, g.at(builder.add(k, i64(m)), column))

        def emit(K: int) -> None:
            widest = 8 if K == 1 else lanes.registers // 8
            width = widest * lanes.count
            whole = builder.sub(x.shape[1], builder.srem(x.shape[1], i64(width)))
            with lanes.loop(i64(0), whole, width) as j:
                block(K, widest, j)
            # what is left in the next power of two of vectors: a form for each number would double the compile time
            rest = builder.sub(x.shape[1], whole)
            forms = [V for V in (1, 2, 4, 8) if V <= widest]
            fitting = i64(widest)
            for V in reversed(forms):
                fits = builder.icmp_signed("<=", rest, i64(V * lanes.count))
                fitting = builder.select(fits, i64(V), fitting)
            fitting = builder.select(builder.icmp_signed(">", rest, i64(0)), fitting, i64(0))
            choose(builder, fitting, forms, lambda V: block(K, V, whole, rest))

        choose(builder, n_classes, classes, emit)
        return context.get_dummy_value()

    return codegen


@overload(protocol.tile_rows, jit_options=TILE_OPTIONS)
def _tile_rows(storage: Any, K: Any) -> Any:
    if not is_rows(storage):
        return None

    def impl(storage: Any, K: Any) -> Any:
        X = storage.X
        row_bytes = X.shape[1] * X.itemsize
        if K == 1:
            return min(128, max(16, TILE_BYTES // max(row_bytes, 1) // 16 * 16))
        return 64

    return impl


register(is_rows, _dot, _outer, partial(_outer, power=2))
