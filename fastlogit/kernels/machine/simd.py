"""`Lanes`: loads, stores, shuffles and loops of vectors, for code that `numba.extending.intrinsic` writes as LLVM IR.

LLVM's own vectoriser makes no register tiles, gives up on short loops, and leaves ``exp`` a call for each element. So
the inner loops are written in a small language: a `Vector` is a Python object that stands for a register, and an
operator on it appends one instruction. A formula in this language reads like the formula, and is the same for float32
and float64, for 4 lanes or 16. The width is that of the compilation target. No fast-math flag is set: where a product
and a sum may be fused the code has `muladd`, where a sum may be reordered it keeps a vector of partial sums.
"""

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils, config

from fastlogit.kernels.machine.pointer import I8, I32, I64, Pointer, i64
from fastlogit.kernels.machine.vector import Sum, Vector

DOUBLE = ir.DoubleType()


def _is_x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64")


def register_bytes(context: Any) -> int:
    """Return the bytes of the widest vector register of the compilation target: 64, 32 or 16."""
    if not _is_x86():
        return 16
    features, cpu = context.codegen()._tm_features, config.CPU_NAME
    if cpu is not None and cpu != binding.get_host_cpu_name():  # NUMBA_CPU_NAME leaves the host's features in place
        features = "" if cpu == "generic" else "+avx"
    if "+avx512f" in features:
        return 64
    return 32 if "+avx" in features else 16


def register_count(context: Any) -> int:
    """Return the number of vector registers of the compilation target: 32, but 16 of x86 before AVX-512."""
    return 16 if _is_x86() and register_bytes(context) < 64 else 32


class Lanes:
    """Vectors of one computing type (numba float32 or float64); code is written at the builder's position.

    ``width`` is the number of registers of a vector, 1 or 2: with two, a long chain of dependent operations overlaps
    with that of the second register. ``count``, if given, is the number of lanes instead, fewer than a register has.
    """

    def __init__(self, context: Any, builder: Any, compute: Any, width: int = 1, count: int | None = None) -> None:
        self.context, self.builder, self.compute, self.width = context, builder, compute, width
        self.registers = register_count(context)
        self.count = count or width * register_bytes(context) * 8 // compute.bitwidth
        self.scalar = context.get_data_type(compute)
        self.reals = ir.VectorType(self.scalar, self.count)
        self.integers = ir.VectorType(ir.IntType(compute.bitwidth), self.count)
        self.suffix = f"v{self.count}f{compute.bitwidth}"
        self.zero = self.constant(0.0)

    def constant(self, number: float) -> Vector:
        """Return a vector with a number in every lane."""
        return Vector(self, ir.Constant(self.reals, [number] * self.count))

    def function(self, name: str, result: Any, *arguments: Any) -> Any:
        """Declare an LLVM function."""
        return cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(result, arguments), name)

    def call(self, name: str, *vectors: Vector) -> Vector:
        """Apply an LLVM intrinsic from reals to reals."""
        function = self.function(f"{name}.{self.suffix}", self.reals, *[self.reals] * len(vectors))
        return Vector(self, self.builder.call(function, [v.value for v in vectors]))

    @property
    def has_scalef(self) -> bool:
        """Whether the target multiplies by powers of two in one instruction."""
        return _is_x86() and register_bytes(self.context) == 64

    def scalef(self, e: Vector, k: Vector) -> Vector:
        """Return ``2^k e`` for whole k, rounded once, also to subnormal numbers and infinity."""
        one = Lanes(self.context, self.builder, self.compute)
        letter = "s" if self.compute.bitwidth == 32 else "d"
        mask, mode = ir.IntType(one.count), ir.Constant(I32, 4)  # all lanes; the current rounding, to nearest
        name = f"llvm.x86.avx512.mask.scalef.p{letter}.512"
        function = self.function(name, one.reals, one.reals, one.reals, one.reals, mask, I32)
        scaled = []
        for first in range(0, self.count, one.count):
            pieces = [one._shuffle(x, x, range(first, first + one.count)).value for x in (e, k)]
            arguments = [*pieces, one.zero.value, ir.Constant(mask, -1), mode]
            scaled.append(Vector(one, self.builder.call(function, arguments)))
        return scaled[0] if self.width == 1 else self._shuffle(scaled[0], scaled[1], range(self.count))

    def splat(self, scalar: Any) -> Vector:
        """Return a vector with a scalar of generated code in every lane."""
        vector = ir.VectorType(scalar.type, self.count)
        undefined = ir.Constant(vector, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.Constant(I32, 0))
        zeros = ir.Constant(ir.VectorType(I32, self.count), [0] * self.count)
        return Vector(self, self.builder.shuffle_vector(first, undefined, zeros))

    def ramp(self, start: Any) -> Vector:
        """Return the integers ``start``, ``start + 1``, ... of the lanes' width."""
        index = ir.Constant(self.integers, list(range(self.count)))
        width = self.integers.element.width
        return Vector(self, index) + self.splat(
            self.builder.trunc(start, self.integers.element) if width < 64 else start
        )

    def first(self, n: Any) -> Vector:
        """Return a mask of the first ``n`` lanes."""
        index = ir.Constant(ir.VectorType(I64, self.count), list(range(self.count)))
        return Vector(self, index) < self.splat(n)

    def _load(self, address: Any, dtype: Any, mask: Vector | None) -> Any:
        vector = ir.VectorType(self.context.get_data_type(dtype), self.count)
        pointer = self.builder.bitcast(address, vector.as_pointer())
        if mask is None:
            return self.builder.load(pointer, align=1)
        letter = "f" if isinstance(dtype, types.Float) else "i"
        name = f"llvm.masked.load.v{self.count}{letter}{vector.element.width if letter == 'i' else dtype.bitwidth}.p0"
        zero = ir.Constant(vector, None)
        function = self.function(name, vector, pointer.type, I32, mask.value.type, vector)
        return self.builder.call(function, [pointer, ir.Constant(I32, 1), mask.value, zero])

    def load(self, address: Any, dtype: Any = None, mask: Vector | None = None) -> Vector:
        """Load consecutive elements of ``dtype`` (numba type, the lanes' own by default), converted to reals.

        With ``mask``, the other lanes are 0 and their memory is not read.
        """
        dtype = self.compute if dtype is None else dtype
        value = self._load(address, dtype, mask)
        if isinstance(dtype, types.Float):
            if dtype.bitwidth != self.compute.bitwidth:
                convert = self.builder.fpext if dtype.bitwidth < self.compute.bitwidth else self.builder.fptrunc
                value = convert(value, self.reals)
        else:
            signed = isinstance(dtype, types.Integer) and dtype.signed
            value = (self.builder.sitofp if signed else self.builder.uitofp)(value, self.reals)
        return Vector(self, value)

    def load_codes(self, address: Any, dtype: Any, mask: Vector | None = None) -> Vector:
        """Load consecutive unsigned integers as integers of the lanes' width."""
        value = self._load(address, dtype, mask)
        if value.type.element.width != self.compute.bitwidth:
            value = self.builder.zext(value, self.integers)
        return Vector(self, value)

    def store(self, vector: Vector, address: Any, mask: Vector | None = None) -> None:
        """Write the lanes to consecutive elements; with ``mask``, for reals only, those lanes alone."""
        pointer = self.builder.bitcast(address, vector.value.type.as_pointer())
        if mask is None:
            self.builder.store(vector.value, pointer, align=1)
            return
        name = f"llvm.masked.store.{self.suffix}.p0"
        function = self.function(name, ir.VoidType(), self.reals, pointer.type, I32, mask.value.type)
        self.builder.call(function, [vector.value, pointer, ir.Constant(I32, 1), mask.value])

    def fold_float64(self, combine: Callable[[Vector, Vector], Vector], vector: Vector, address: Any) -> None:
        """``memory[address:] = combine(memory[address:], vector)``, memory being float64."""
        wide = ir.VectorType(DOUBLE, self.count)
        value = vector.value if vector.value.type == wide else self.builder.fpext(vector.value, wide)
        old = self.builder.load(self.builder.bitcast(address, wide.as_pointer()), align=1)
        self.store(combine(Vector(self, old), Vector(self, value)), address)

    def add_to_float64(self, vector: Vector, address: Any) -> None:
        """``memory[address:] += vector``, memory being float64."""
        self.fold_float64(Vector.__add__, vector, address)

    def sums_of(self, vectors: Sequence[Vector]) -> Vector:
        """Return the vector whose lane i is the sum of the lanes of ``vectors[i]``, for as many vectors as lanes.

        In each round neighbouring vectors are folded into one: of every pair of lanes that differ in the round's bit,
        the one without the bit receives the sum of the first vector's, the other that of the second's.
        """
        distance = 1
        while len(vectors) > 1:
            lanes = range(self.count)
            near = [i + self.count - distance if i & distance else i for i in lanes]
            far = [i + self.count if i & distance else i + distance for i in lanes]
            vectors = [
                self._shuffle(a, b, near) + self._shuffle(a, b, far)
                for a, b in zip(vectors[::2], vectors[1::2], strict=True)
            ]
            distance *= 2
        return vectors[0]

    def transposed(self, vectors: Sequence[Vector]) -> list[Vector]:
        """Return the transpose, for as many vectors as lanes: all first elements, all second elements, ..."""
        vectors = list(vectors)
        distance = 1
        while distance < self.count:
            lanes = range(self.count)
            upper = [i + self.count - distance if i & distance else i for i in lanes]
            lower = [i if i & distance else i + self.count + distance for i in lanes]
            vectors = [
                self._shuffle(vector, vectors[i ^ distance], lower if i & distance else upper)
                for i, vector in enumerate(vectors)
            ]
            distance *= 2
        return vectors

    def interleaved(self, a: Vector, b: Vector) -> tuple[Vector, Vector]:
        """Return ``a[0], b[0], a[1], b[1], ...`` in two vectors."""
        order = [i // 2 + i % 2 * self.count for i in range(2 * self.count)]
        return self._shuffle(a, b, order[: self.count]), self._shuffle(a, b, order[self.count :])

    def _shuffle(self, a: Vector, b: Vector, indices: Sequence[int]) -> Vector:
        mask = ir.Constant(ir.VectorType(I32, self.count), list(indices))
        return Vector(self, self.builder.shuffle_vector(a.value, b.value, mask))

    def scratch(self, count: int) -> "Pointer":
        """Return room for ``count`` vectors on the stack, indexed by vector."""
        cells = cgutils.alloca_once(self.builder, self.reals, size=i64(count))
        return Pointer.to_stack(self.builder, cells, i64(self.count * self.compute.bitwidth // 8))

    def smaller(self, a: Any, b: Any) -> Any:
        """Return the smaller of two integers."""
        return self.builder.select(self.builder.icmp_signed("<", a, b), a, b)

    def prefetch(self, address: Any, n_bytes: int, level: int, write: bool = False) -> None:
        """Prefetch ``n_bytes`` from ``address`` on, which need not be valid; LLVM's ``level`` 3 is L1, 2 is L2."""
        function = self.function("llvm.prefetch.p0", ir.VoidType(), I8.as_pointer(), I32, I32, I32)
        for line in range(0, n_bytes, 64):
            pointer = self.builder.gep(address, [i64(line)])
            self.builder.call(function, [pointer, *(ir.Constant(I32, flag) for flag in (int(write), level, 1))])

    def sums(self, count: int) -> list[Sum]:
        """Return ``count`` sums that start at 0."""
        return [Sum(self, self.zero) for _ in range(count)]

    @contextmanager
    def loop(self, start: Any, stop: Any, step: int = 1) -> Iterator[Any]:
        """``for i in range(start, stop, step)``; gives ``i``."""
        with cgutils.for_range_slice(self.builder, start, stop, i64(step), I64, inc=True) as (i, _):
            yield i

    def vectors(self, n: Any) -> Iterator[tuple[Any, Vector | None]]:
        """Loop over 0 to n by vectors: whole ones without a mask, then the rest. The caller's code is written twice."""
        whole = self.builder.and_(n, i64(-self.count))
        with self.loop(i64(0), whole, self.count) as i:
            yield i, None
        with self.builder.if_then(self.builder.icmp_signed("<", whole, n)):
            yield whole, self.first(self.builder.sub(n, whole))

    @contextmanager
    def rows(self, n: Any) -> Iterator[tuple[Any, Vector]]:
        """Loop over 0 to n by vectors; gives each vector's first row and the mask of its rows below ``n``."""
        with self.loop(i64(0), n, self.count) as r:
            yield r, self.first(self.builder.sub(n, r))
