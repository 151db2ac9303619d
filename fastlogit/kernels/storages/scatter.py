"""Sums gathered and scattered by place, in LLVM IR: the inner loops of `coded_kernels`."""

from typing import Any

from numba import types
from numba.extending import intrinsic

from fastlogit.kernels.machine.pointer import I64, Pointer, choose, i64
from fastlogit.kernels.machine.simd import Lanes

# Categories at a time: their places are loaded together, so that no sum waits for the one before.
_AT_ONCE = 4


def _by_categories(context: Any, builder: Any, places: Pointer, n: Any, step: Any) -> None:
    """Call ``step(row, [place of each category])`` for each row, `_AT_ONCE` categories at a time, then the rest."""
    lanes = Lanes(context, builder, types.float64, count=1)
    J = places.shape[0]
    whole = builder.and_(J, i64(-_AT_ONCE))

    def rows(j: Any, count: int) -> None:
        with lanes.loop(i64(0), n) as r:
            step(r, [builder.zext(places.load(builder.add(j, i64(i)), r), I64) for i in range(count)])

    with lanes.loop(i64(0), whole, _AT_ONCE) as j:
        rows(j, _AT_ONCE)
    choose(builder, builder.sub(J, whole), range(1, _AT_ONCE), lambda count: rows(whole, count))


@intrinsic
def gather(typingctx: Any, places: Any, n: Any, w: Any, z: Any) -> Any:
    """``z[r] += sum_j w[places[j, r]]`` for r < n; elements of w are adjacent."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at = Pointer(context, builder, places, args[0])
        weights, out = (Pointer(context, builder, kind, args[i], contiguous=0) for i, kind in ((2, w), (3, z)))

        def step(r: Any, found: list[Any]) -> None:
            terms = [weights.load(place) for place in found]
            while len(terms) > 1:
                terms = [builder.fadd(a, b) for a, b in zip(terms[::2], terms[1::2], strict=False)] + (
                    [terms[-1]] if len(terms) % 2 else []
                )
            out.store(builder.fadd(out.load(r), terms[0]), r)

        _by_categories(context, builder, at, args[1], step)
        return context.get_dummy_value()

    return types.void(places, types.int64, w, z), codegen


@intrinsic
def scatter(typingctx: Any, places: Any, n: Any, values: Any, g: Any) -> Any:
    """``g[places[j, r]] += values[r]`` for r < n and all j, in float64.

    No two categories have a place in common: all sums of a row are loaded before the first is stored.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at, add = Pointer(context, builder, places, args[0]), Pointer(context, builder, values, args[2], contiguous=0)
        apart, adjacent = (Pointer(context, builder, g, args[3], contiguous=axis) for axis in (None, 0))

        def add_to(sums: Pointer) -> None:
            def step(r: Any, found: list[Any]) -> None:
                value = add.load(r)
                if values.dtype.bitwidth == 32:
                    value = builder.fpext(value, sums.scalar)
                totals = [builder.fadd(sums.load(place), value) for place in found]
                for place, total in zip(found, totals, strict=True):
                    sums.store(total, place)

            _by_categories(context, builder, at, args[1], step)

        # with a constant stride no place is multiplied: a quarter of the time
        is_adjacent = builder.icmp_signed("==", apart.strides[0], i64(apart.itemsize))
        with builder.if_else(is_adjacent) as (near, far):
            with near:
                add_to(adjacent)
            with far:
                add_to(apart)
        return context.get_dummy_value()

    return types.void(places, types.int64, values, g), codegen
