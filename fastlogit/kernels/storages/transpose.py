"""Transposition of rows (N, K) to a class-major tile (K, rows) and back, in squares of a vector by a vector."""

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from fastlogit.kernels.machine.jit import tile as compiled
from fastlogit.kernels.machine.pointer import Pointer, choose, i64
from fastlogit.kernels.machine.simd import Lanes
from fastlogit.kernels.storages.protocol import padded_rows
from fastlogit.kernels.storages.storage import PADDING


@compiled
def empty_tile(K: int, rows: int, dtype: Any) -> Any:
    """Return a tile (K, rows), allocated up to whole squares: the last square of classes is written whole."""
    return np.empty((-(-K // PADDING) * PADDING, padded_rows(rows)), dtype)[:K]


@intrinsic
def take_rows(typingctx: Any, A: Any, start: Any, n: Any, Z: Any) -> Any:
    """``Z[k, r] = A[start + r, k]`` for r < n; rows up to the next multiple of 16 repeat the last."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = Lanes(context, builder, Z.dtype)
        L = lanes.count
        rows, tile = Pointer(context, builder, A, args[0], contiguous=1), Pointer(context, builder, Z, args[3])
        K, last = rows.shape[1], builder.sub(args[2], i64(1))
        whole = builder.and_(K, i64(-L))
        ahead = builder.mul(args[2], rows.strides[0])

        def square(r: Any, k: Any, mask: Any) -> None:
            each = [lanes.smaller(builder.add(r, i64(i)), last) for i in range(L)]
            addresses = [rows.at(builder.add(args[1], row), k) for row in each]
            for address in addresses:  # those of the next tile: memory would idle while this one is computed
                lanes.prefetch(builder.gep(address, [ahead]), L * rows.itemsize, level=2)
            loaded = [lanes.load(address, A.dtype, mask) for address in addresses]
            for j, column in enumerate(lanes.transposed(loaded)):
                lanes.store(column, tile.at(builder.add(k, i64(j)), r))

        with lanes.loop(i64(0), args[2], L) as r:
            with lanes.loop(i64(0), whole, L) as k:
                square(r, k, None)
            with builder.if_then(builder.icmp_signed("<", whole, K)):
                square(r, whole, lanes.first(builder.sub(K, whole)))
        return context.get_dummy_value()

    return types.void(A, types.int64, types.int64, Z), codegen


@intrinsic
def put_rows(typingctx: Any, Z: Any, n: Any, factor: Any, out: Any, start: Any) -> Any:
    """``out[start + r, k] = Z[k, r] factor`` for r < n; ``out`` in C order."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = Lanes(context, builder, Z.dtype)
        L = lanes.count
        tile, rows = Pointer(context, builder, Z, args[0]), Pointer(context, builder, out, args[3], contiguous=1)
        n, K, first = args[1], rows.shape[1], args[4]
        factor = lanes.splat(args[2])
        whole = builder.and_(K, i64(-L))
        ahead = builder.mul(n, rows.strides[0])

        def load(k: Any, r: Any) -> Any:
            return lanes.load(tile.at(k, r)) * factor

        def one_class(r: Any, left: Any) -> None:
            lanes.store(load(i64(0), r), rows.at(builder.add(first, r), i64(0)), lanes.first(left))

        def two_classes(r: Any, left: Any) -> None:
            for i, vector in enumerate(lanes.interleaved(load(i64(0), r), load(i64(1), r))):
                address = rows.at(builder.add(first, builder.add(r, i64(i * L // 2))), i64(0))
                elements = builder.sub(builder.add(left, left), i64(i * L))
                lanes.store(vector, address, lanes.first(elements))

        def square(r: Any, left: Any, k: Any, width: Any) -> None:
            loaded = [load(builder.add(k, i64(j)), r) for j in range(L)]
            for i, row in enumerate(lanes.transposed(loaded)):
                inside = builder.select(builder.icmp_signed("<", i64(i), left), width, i64(0))
                address = rows.at(builder.add(first, builder.add(r, i64(i))), k)
                lanes.prefetch(builder.gep(address, [ahead]), L * rows.itemsize, level=2, write=True)
                lanes.store(row, address, lanes.first(inside))

        def many_classes(r: Any, left: Any) -> None:
            with lanes.loop(i64(0), whole, L) as k:
                square(r, left, k, i64(L))
            with builder.if_then(builder.icmp_signed("<", whole, K)):
                square(r, left, whole, builder.sub(K, whole))

        form = lanes.smaller(K, i64(3))
        forms = {1: one_class, 2: two_classes, 3: many_classes}

        def walk(chosen: int) -> None:
            with lanes.loop(i64(0), n, L) as r:
                forms[chosen](r, builder.sub(n, r))

        choose(builder, form, forms, walk)
        return context.get_dummy_value()

    return types.void(Z, types.int64, Z.dtype, out, types.int64), codegen
