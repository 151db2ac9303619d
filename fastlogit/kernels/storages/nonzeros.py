"""The nonzeros of a sparse row, in LLVM IR: margins of all classes, and sums of columns."""

from collections.abc import Callable
from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastlogit.kernels.machine.pointer import I64, Pointer, choose, i64
from fastlogit.kernels.machine.simd import Lanes
from fastlogit.kernels.machine.vector import Vector, muladd

# The sums of at most this many vectors of classes are in registers at once.
_VECTORS = 4
# This many sums are loaded before the first is stored; see `SparseRow.update`.
_AT_ONCE = 8


class SparseRow:
    """The nonzeros of a row inside generated code, and a matrix (K, n_features) in which classes are adjacent.

    The arguments of the intrinsic begin with ``data, indices, first, last``; number ``matrix`` of them, by default the
    last, is the matrix, or a vector.
    """

    def __init__(self, context: Any, builder: Any, signature: Any, args: Any, matrix: int = -1) -> None:
        kinds = signature.args
        self.context, self.builder = context, builder
        self.data, self.indices = (Pointer(context, builder, kinds[i], args[i]) for i in (0, 1))
        self.matrix = Pointer(context, builder, kinds[matrix], args[matrix], contiguous=0)
        self.first, self.last = args[2], args[3]

    def _wide(self, integer: Any) -> Any:
        return integer if integer.type == I64 else self.builder.zext(integer, I64)

    def value(self, lanes: Lanes, p: Any) -> Vector:
        """Return a nonzero in every lane."""
        builder, value, kind = self.builder, self.data.load(p), self.data.dtype
        if not isinstance(kind, types.Float):
            signed = isinstance(kind, types.Integer) and kind.signed
            value = (builder.sitofp if signed else builder.uitofp)(value, lanes.scalar)
        elif value.type != lanes.scalar:
            value = (builder.fpext if kind.bitwidth < lanes.compute.bitwidth else builder.fptrunc)(value, lanes.scalar)
        return lanes.splat(value)

    def index(self, p: Any) -> Any:
        """Return a nonzero's column."""
        return self._wide(self.indices.load(p))

    def column(self, p: Any, k: Any) -> Any:
        """Return the address of the matrix's element of class ``k`` in a nonzero's column."""
        return self.matrix.at(k, self.index(p))

    def update(self, lanes: Lanes, terms: Callable[[Any], list[tuple[Any, Vector, Vector]]], count: int) -> None:
        """``memory[address] += a b`` for every ``(address, a, b)`` of ``terms(p)``, for every nonzero p.

        The elements of ``count`` nonzeros are loaded before any is stored. A compiler may not reorder them so, since it
        does not know that the columns differ. It takes up to a tenth less time for one class, a quarter for ten.
        """

        def step(positions: list[Any]) -> None:
            found = [term for p in positions for term in terms(p)]
            sums = [muladd(a, b, lanes.load(address)) for address, a, b in found]
            for (address, _, _), total in zip(found, sums, strict=True):
                lanes.store(total, address)

        builder = self.builder
        whole = builder.and_(builder.sub(self.last, self.first), i64(-count))
        middle = builder.add(self.first, whole)
        with lanes.loop(self.first, middle, count) as p:
            step([builder.add(p, i64(i)) for i in range(count)])
        with lanes.loop(middle, self.last) as p:
            step([p])

    def blocks(self, emit: Callable[[Lanes, Any, int], None]) -> None:
        """Call ``emit(lanes, k, V)`` for every block of V vectors of classes; the last may exceed the classes."""
        builder = self.builder
        pair, four = (Lanes(self.context, builder, self.matrix.dtype, count=count) for count in (2, 4))
        K, width = self.matrix.shape[0], i64(4 * _VECTORS)
        whole = builder.mul(builder.sdiv(K, width), width)
        with four.loop(i64(0), whole, 4 * _VECTORS) as k:
            emit(four, k, _VECTORS)
        rest = builder.sub(K, whole)
        V = builder.sdiv(builder.add(rest, i64(3)), i64(4))
        is_pair = builder.icmp_signed("==", K, i64(2))
        choose(builder, builder.select(is_pair, i64(0), V), range(1, _VECTORS + 1), lambda V: emit(four, whole, V))
        with builder.if_then(is_pair):
            emit(pair, i64(0), 1)


@intrinsic
def margins_of_row(typingctx: Any, data: Any, indices: Any, first: Any, last: Any, W: Any, Z: Any, r: Any) -> Any:
    """``Z[k, r] = sum_p data[p] W[k, indices[p]]`` for all k; K is at least 2."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        row, out = SparseRow(context, builder, signature, args, 4), Pointer(context, builder, Z, args[5])
        cells = cgutils.alloca_once(builder, row.matrix.scalar, size=i64(4 * _VECTORS))

        def emit(lanes: Lanes, k: Any, V: int) -> None:
            sets = [lanes.sums(V) for _ in range(2)]  # of even and odd nonzeros: no addition waits for the one before

            def add(p: Any, sums: Any) -> None:
                value = row.value(lanes, p)
                for v, total in enumerate(sums):
                    weights = lanes.load(row.column(p, builder.add(k, i64(v * lanes.count))))
                    total.value = muladd(value, weights, total.value)

            even = builder.sub(row.last, builder.and_(builder.sub(row.last, row.first), i64(1)))
            with lanes.loop(row.first, even, 2) as p:
                for step, sums in enumerate(sets):
                    add(builder.add(p, i64(step)), sums)
            with lanes.loop(even, row.last) as p:
                add(p, sets[0])
            for v, (total, other) in enumerate(zip(*sets, strict=True)):
                lanes.store(total.value + other.value, builder.gep(cells, [i64(v * lanes.count)]))
            count = lanes.smaller(builder.sub(row.matrix.shape[0], k), i64(V * lanes.count))
            with lanes.loop(i64(0), count) as m:
                out.store(builder.load(builder.gep(cells, [m])), builder.add(k, m), args[6])

        row.blocks(emit)
        return context.get_dummy_value()

    return types.void(data, indices, first, last, W, Z, types.int64), codegen


@intrinsic
def accumulate_row(typingctx: Any, data: Any, indices: Any, first: Any, last: Any, weights: Any, G: Any) -> Any:
    """``G[k, indices[p]] += weights[k] data[p]`` for all k; K is at least 2, all float64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        row, weight = SparseRow(context, builder, signature, args), Pointer(context, builder, weights, args[4])

        def emit(lanes: Lanes, k: Any, V: int) -> None:
            places = [builder.add(k, i64(v * lanes.count)) for v in range(V)]
            factors = [lanes.load(weight.at(place)) for place in places]

            def terms(p: Any) -> list[tuple[Any, Vector, Vector]]:
                value = row.value(lanes, p)
                return [(row.column(p, place), value, factor) for place, factor in zip(places, factors, strict=True)]

            row.update(lanes, terms, _AT_ONCE // V)

        row.blocks(emit)
        return context.get_dummy_value()

    return types.void(data, indices, first, last, weights, G), codegen


@intrinsic
def add_row(typingctx: Any, data: Any, indices: Any, first: Any, last: Any, weight: Any, g: Any) -> Any:
    """``g[indices[p]] += weight data[p]``, in float64; the elements of ``g`` are adjacent."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        row, lanes = SparseRow(context, builder, signature, args), Lanes(context, builder, types.float64, count=1)
        factor = lanes.splat(args[4])
        row.update(lanes, lambda p: [(row.matrix.at(row.index(p)), row.value(lanes, p), factor)], _AT_ONCE // 2)
        return context.get_dummy_value()

    return types.void(data, indices, first, last, types.float64, g), codegen


def _adder(powers: Callable[[Vector, Vector], list[tuple[Vector, Any]]]) -> Any:
    """Return an intrinsic that adds products ``a b`` to the sums of a row's columns, in float64.

    ``powers(s, x)`` returns a pair (a, b) for each sum; s is the row's weight, x a nonzero minus its column's centre.
    """

    @intrinsic
    def add(typingctx: Any, data: Any, indices: Any, first: Any, last: Any, weight: Any, center: Any, sums: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            row, lanes = SparseRow(context, builder, signature, args), Lanes(context, builder, types.float64, count=1)
            s, centers = lanes.splat(args[4]), Pointer(context, builder, center, args[5])

            def terms(p: Any) -> list[tuple[Any, Vector, Vector]]:
                j = row.index(p)
                x = row.value(lanes, p) - lanes.load(centers.at(j), centers.dtype)
                pairs = enumerate(powers(s, x))
                return [(row.matrix.at(i64(power), j), a, s.like(b)) for power, (a, b) in pairs]

            row.update(lanes, terms, _AT_ONCE // 2)
            return context.get_dummy_value()

        return types.void(data, indices, first, last, types.float64, center, sums), codegen

    return add


add_powers = _adder(lambda s, x: [(s, 1.0), (s, x), (s * x, x)])
add_squares = _adder(lambda s, x: [(s, 1.0), (s, s), (s * x, x), (s * x * x, s * x * x)])
