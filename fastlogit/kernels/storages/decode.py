"""Codes of categories, of any integer type and stride, as the numbers by which coefficients and sums are found."""

from functools import cache
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastlogit.kernels.machine.driver import call
from fastlogit.kernels.machine.jit import address_of_function
from fastlogit.kernels.machine.pointer import I8, I32, choose, i64

#: Types of codes; kernels know one by its place in this list.
KINDS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")
_TYPES = (types.int64,) * 8


@intrinsic
def _decode(
    typingctx: Any, kind: Any, address: Any, stride: Any, n: Any, multiplier: Any, base: Any, adds: Any, to: Any
) -> Any:
    """Write ``multiplier code + base`` of n codes as uint32 to the address ``to``, or add it there if ``adds`` is 1."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind, address, stride, n, multiplier, base, adds, to = args
        source, target = (builder.inttoptr(each, I8.as_pointer()) for each in (address, to))
        factor, first = (builder.trunc(each, I32) for each in (multiplier, base))
        kept = builder.sub(ir.Constant(I32, 0), builder.trunc(adds, I32))  # all bits, or none

        def loop(step: Any, load: Any) -> None:
            from numba.core import cgutils

            with cgutils.for_range(builder, n, intp=n.type) as steps:
                code = load(builder.gep(source, [builder.mul(steps.index, step)]))
                place = builder.gep(target, [builder.mul(steps.index, i64(4))])
                place = builder.bitcast(place, I32.as_pointer())
                before = builder.and_(builder.load(place, align=4), kept)
                value = builder.add(builder.add(builder.mul(code, factor), first), before)
                builder.store(value, place, align=4)

        def emit(number: int) -> None:
            name = KINDS[number]
            size = int(name[1])
            integer = ir.IntType(8 * size)

            def load(place: Any) -> Any:
                code = builder.load(builder.bitcast(place, integer.as_pointer()), align=1)
                if size < 4:
                    return (builder.sext if name[0] == "i" else builder.zext)(code, I32)
                return code if size == 4 else builder.trunc(code, I32)

            with builder.if_else(builder.icmp_signed("==", stride, i64(size))) as (adjacent, apart):
                with adjacent:  # written on its own, so that LLVM makes vectors of it
                    loop(i64(size), load)
                with apart:
                    loop(stride, load)

        choose(builder, kind, range(len(KINDS)), emit)
        return context.get_dummy_value()

    return types.void(*_TYPES), codegen


def _decode_piece(kind: int, address: int, stride: int, n: int, multiplier: int, base: int, adds: int, to: int) -> None:
    _decode(kind, address, stride, n, multiplier, base, adds, to)


@cache
def decoder() -> int:
    """Return the address of the function that decodes: in each kernel, its sixteen loops would double compile time."""
    return address_of_function(_decode_piece, _TYPES)


@intrinsic
def decode(
    typingctx: Any,
    decoder: Any,
    kind: Any,
    address: Any,
    stride: Any,
    n: Any,
    multiplier: Any,
    base: Any,
    adds: Any,
    to: Any,
) -> Any:
    """Call the decoder by its address."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        call(context, builder, args[0], _TYPES, args[1:])
        return context.get_dummy_value()

    return types.void(types.int64, *_TYPES), codegen
