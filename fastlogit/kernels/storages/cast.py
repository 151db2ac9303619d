"""Casts of pieces of columns, of any type, byte order and stride, to float32 or float64."""

from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastlogit.kernels.machine.driver import call
from fastlogit.kernels.machine.jit import address_of_function
from fastlogit.kernels.machine.pointer import I8, choose, i64
from fastlogit.kernels.machine.simd import Lanes

_NATIVE = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
#: Types of columns, those with ">" in the other byte order. Their codes are 1, 2, ..., that of single bits is `BITS`;
#: code 0 is the table's own type with adjacent elements.
KINDS = (*_NATIVE, *(f">{kind}" for kind in _NATIVE if not kind.endswith("1")))
BITS = len(KINDS) + 1
NUMBER = {kind: 1 + number for number, kind in enumerate(KINDS)}


def _from_half(builder: Any, bits: Any) -> Any:
    """Return the float32 of a float16's bits, without the instructions that only some processors have."""
    word, single = ir.IntType(32), ir.FloatType()
    wide = builder.zext(bits, word)
    magnitude = builder.shl(builder.and_(wide, ir.Constant(word, 0x7FFF)), ir.Constant(word, 13))
    finite = builder.fmul(builder.bitcast(magnitude, single), ir.Constant(single, 2.0**112))
    endless = builder.bitcast(builder.or_(magnitude, ir.Constant(word, 0x7F800000)), single)
    is_finite = builder.icmp_unsigned("<", magnitude, ir.Constant(word, 0x1F << 23))
    value = builder.bitcast(builder.select(is_finite, finite, endless), word)
    sign = builder.shl(builder.and_(wide, ir.Constant(word, 0x8000)), ir.Constant(word, 16))
    return builder.bitcast(builder.or_(value, sign), single)


def _element(builder: Any, address: Any, kind: str, scalar: Any) -> Any:
    """Return the element of one of `KINDS` at an address, as the real type ``scalar``."""
    size = 8 * int(kind[-1])
    bits = builder.load(builder.bitcast(address, ir.IntType(size).as_pointer()), align=1)
    if kind.startswith(">"):
        bits = builder.bswap(bits)
    letter = kind.lstrip(">")[0]
    if letter in "iu":
        return (builder.sitofp if letter == "i" else builder.uitofp)(bits, scalar)
    real = {16: ir.HalfType(), 32: ir.FloatType(), 64: ir.DoubleType()}[size]
    value = _from_half(builder, bits) if size == 16 else builder.bitcast(bits, real)
    if value.type == scalar:
        return value
    return (builder.fptrunc if size == 64 else builder.fpext)(value, scalar)


def _caster_to(real: Any) -> Any:
    """Return an intrinsic ``f(code, address, stride, n, to)`` that casts n elements of a column to the address ``to``.

    The last vector is written whole.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code, address, stride, n, to = args
        lanes = Lanes(context, builder, real)
        size = real.bitwidth // 8
        target = builder.inttoptr(to, I8.as_pointer())

        def place(r: Any) -> Any:
            return builder.gep(target, [builder.mul(r, i64(size))])

        def put(value: Any, r: Any) -> None:
            builder.store(value, builder.bitcast(place(r), lanes.scalar.as_pointer()), align=1)

        def bits() -> None:
            with lanes.loop(i64(0), n) as r:
                bit = builder.add(address, r)
                byte = builder.load(builder.inttoptr(builder.ashr(bit, i64(3)), I8.as_pointer()))
                shifted = builder.lshr(byte, builder.trunc(builder.and_(bit, i64(7)), I8))
                put(builder.uitofp(builder.and_(shifted, ir.Constant(I8, 1)), lanes.scalar), r)

        def apart(kind: str) -> None:
            base = builder.inttoptr(address, I8.as_pointer())
            with lanes.loop(i64(0), n) as r:
                put(_element(builder, builder.gep(base, [builder.mul(r, stride)]), kind, lanes.scalar), r)

        def adjacent(kind: str) -> None:
            base, stored = builder.inttoptr(address, I8.as_pointer()), getattr(types, np.dtype(kind).name)
            for r, mask in lanes.vectors(n):
                value = lanes.load(builder.gep(base, [builder.mul(r, i64(int(kind[-1])))]), stored, mask)
                lanes.store(value, place(r))

        def emit(option: int) -> None:
            if option == BITS:
                bits()
                return
            kind = KINDS[option - 1] if option else f"f{size}"
            if kind.startswith((">", "f2")):
                apart(kind)
                return
            with builder.if_else(builder.icmp_signed("==", stride, i64(int(kind[-1])))) as (together, strided):
                with together:
                    adjacent(kind)
                with strided:
                    apart(kind)

        choose(builder, code, range(BITS + 1), emit)
        return context.get_dummy_value()

    @intrinsic
    def cast_column(typingctx: Any, code: Any, address: Any, stride: Any, n: Any, to: Any) -> Any:
        return types.void(*_CAST_TYPES), codegen

    return cast_column


_CAST_TYPES = (types.int64,) * 5
_to_float32, _to_float64 = _caster_to(types.float32), _caster_to(types.float64)


def _cast_to_float32(code: int, address: int, stride: int, n: int, to: int) -> None:
    _to_float32(code, address, stride, n, to)


def _cast_to_float64(code: int, address: int, stride: int, n: int, to: int) -> None:
    _to_float64(code, address, stride, n, to)


@cache
def caster_of(dtype: np.dtype[Any]) -> int:
    """Return the address of the function that casts to ``dtype``.

    Compiled into each kernel, its code for 22 kinds of columns would double their compile time, from 4 to 8 s.
    """
    return address_of_function(_cast_to_float32 if dtype == np.float32 else _cast_to_float64, _CAST_TYPES)


@intrinsic
def cast(typingctx: Any, caster: Any, code: Any, address: Any, stride: Any, n: Any, to: Any) -> Any:
    """Call a caster by its address."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        call(context, builder, args[0], _CAST_TYPES, args[1:])
        return context.get_dummy_value()

    return types.void(types.int64, *_CAST_TYPES), codegen
