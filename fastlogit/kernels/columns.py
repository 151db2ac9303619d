"""Columns: X stored column by column (F order). Rows lie along the vectors, so that no sum crosses lanes going forward.

A tile is short enough that its piece of every column stays in the second-level cache between the two sweeps.
"""

from collections.abc import Callable
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

TILE_BYTES = 1 << 15


class Columns(NamedTuple):
    """X of shape (n_samples, n_features) whose columns are contiguous; any distance from column to column."""

    X: NDArray[Any]

    @property
    def shape(self) -> tuple[int, int]:
        """(n_samples, n_features)."""
        return self.X.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The stored type."""
        return self.X.dtype


def is_columns(kind: Any) -> bool:
    """Tell whether a numba type is `Columns`."""
    return isinstance(kind, types.NamedTuple | types.NamedUniTuple) and kind.instance_class is Columns


def _row_blocks(lanes: Lanes, n: Any, V: int, emit: Callable[[Any, int, Vector | None], None]) -> None:
    """``emit(r, V, mask)`` over blocks of V vectors of rows, then single vectors, the last one masked."""
    builder = lanes.builder
    whole = builder.sub(n, builder.srem(n, i64(V * lanes.count)))
    with lanes.loop(i64(0), whole, V * lanes.count) as r:
        emit(r, V, None)
    with lanes.loop(whole, n, lanes.count) as r:
        emit(r, 1, lanes.first(builder.sub(n, r)))


def _combine(classes: range) -> Any:
    """Return ``margins`` for the K classes from k on, K in ``classes``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = Lanes(context, builder, signature.args[3].dtype)
        x = Pointer(context, builder, signature.args[0], args[0], contiguous=0)
        w, c, z = (Pointer(context, builder, signature.args[i], args[i]) for i in (3, 6, 7))
        start, n, k, n_classes = args[1], args[2], args[4], args[5]

        def emit(K: int) -> None:
            def block(r: Any, V: int, mask: Vector | None) -> None:
                rows = [builder.add(r, i64(v * lanes.count)) for v in range(V)]
                sums = [lanes.sums(V) for _ in range(K)]
                with lanes.loop(i64(0), x.shape[1]) as j:
                    middle = lanes.splat(c.load(j))
                    values = [lanes.load(x.at(builder.add(start, row), j), x.dtype, mask) - middle for row in rows]
                    for m, class_sums in enumerate(sums):
                        weight = lanes.splat(w.load(builder.add(k, i64(m)), j))
                        for value, total in zip(values, class_sums, strict=True):
                            total.value = muladd(weight, value, total.value)
                for m, class_sums in enumerate(sums):
                    for row, total in zip(rows, class_sums, strict=True):
                        lanes.store(total.value, z.at(builder.add(k, i64(m)), row))

            _row_blocks(lanes, n, 4 if K <= 4 else 2, block)

        choose(builder, n_classes, classes, emit)
        return context.get_dummy_value()

    return codegen


def _inner(classes: range, power: int = 1) -> Any:
    """Return ``accumulate``, or with power 2 ``accumulate_squares``, for the K classes from k on, K in ``classes``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = Lanes(context, builder, signature.args[3].dtype)
        x = Pointer(context, builder, signature.args[0], args[0], contiguous=0)
        residuals, c, g = (Pointer(context, builder, signature.args[i], args[i]) for i in (3, 6, 7))
        start, n, k, n_classes = args[1], args[2], args[4], args[5]

        def emit(K: int) -> None:
            def add_columns(j: Any, width: int) -> None:
                columns = [builder.add(j, i64(i)) for i in range(width)]
                middles = [lanes.splat(c.load(column)) for column in columns]
                sums = [lanes.sums(K) for _ in columns]

                def block(r: Any, V: int, mask: Vector | None) -> None:
                    row = builder.add(start, r)
                    residual = [lanes.load(residuals.at(builder.add(k, i64(m)), r), None, mask) for m in range(K)]
                    for column, middle, column_sums in zip(columns, middles, sums, strict=True):
                        lanes.prefetch(x.at(builder.add(row, n), column), 64)
                        value = lanes.load(x.at(row, column), x.dtype, mask) - middle
                        value = value * value if power == 2 else value
                        for weight, total in zip(residual, column_sums, strict=True):
                            total.value = muladd(weight, value, total.value)

                _row_blocks(lanes, n, 1, block)
                for column, column_sums in zip(columns, sums, strict=True):
                    for m, total in enumerate(column_sums):
                        lanes.add_scalar(total.value.sum(), g.at(builder.add(k, i64(m)), column))

            whole = builder.and_(x.shape[1], i64(-4))
            with lanes.loop(i64(0), whole, 4) as j:
                add_columns(j, 4)
            with lanes.loop(whole, x.shape[1]) as j:
                add_columns(j, 1)

        choose(builder, n_classes, classes, emit)
        return context.get_dummy_value()

    return codegen


@overload(protocol.tile_rows, jit_options=TILE_OPTIONS)
def _tile_rows(storage: Any, K: Any) -> Any:
    if not is_columns(storage):
        return None

    def impl(storage: Any, K: Any) -> Any:
        X = storage.X
        row_bytes = X.shape[1] * X.itemsize
        return min(1024, max(64, TILE_BYTES // max(row_bytes, 1) // 64 * 64))

    return impl


register(is_columns, _combine, _inner, partial(_inner, power=2))
