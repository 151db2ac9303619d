"""Micro-kernels of dense storage: register tiles over *lines*, the contiguous stretches of X.

A line is a row of a matrix in C order, a column of one in F order. Along lines there are two products:

- `dot`: ``out[m, line] = sum_a x'[line, a] A[m, a]``, the sums of a few lines times a few classes in registers while
  the line is walked. It is ``margins`` for rows and ``accumulate`` for columns.
- `outer`: ``out[m, a] = sum_line x'[line, a] A[m, line]``, the sums of a stretch of a in registers while the lines are
  walked. It is ``accumulate`` for rows and ``margins`` for columns.

``x' = x - center`` in both. Memory would idle while a tile is swept from the cache for the second time, and the
hardware's prefetchers lose the thread at every turn, so each sweep asks for a half of the next tile: `dot` for its even
lines, `outer` for its odd ones.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic, overload

from fastlogit.kernels.machine.jit import TILE_OPTIONS, tile
from fastlogit.kernels.machine.pointer import Pointer, choose, i64
from fastlogit.kernels.machine.simd import Lanes
from fastlogit.kernels.machine.vector import Vector, muladd
from fastlogit.kernels.storages import protocol
from fastlogit.kernels.storages.lines import Copied, View
from fastlogit.kernels.storages.storage import PADDING

#: The classes of one register tile: sums of 6 for 4 lines, and what they are made of, are more than 32 registers.
CLASSES = 5
#: The same without centres, where the tile is a copy.
CLASSES_OF_COPY = 6


Write = Callable[[Any, Any, Vector], None]


def _centred(value: Vector, center: Vector | None) -> Vector:
    return value if center is None else value - center


def _powers(value: Vector, count: int) -> list[Vector]:
    return [value] if count == 1 else [value, value * value]


def dot(view: View, A: Pointer, k: Any, K: int, write: Write, powers: int = 1) -> None:
    """``write(k + m, line, sums of a vector of lines)`` for m < K; lines past the last repeat it."""
    lanes, builder = view.lanes, view.builder
    L = lanes.count
    last = builder.sub(view.n_lines, i64(1))

    def lines_from(first: Any, count: int) -> list[tuple[Any, Vector | None]]:
        """Return address and centre of ``count`` lines."""
        lines = [lanes.smaller(builder.add(first, i64(i)), last) for i in range(count)]
        return [(view.line(line), view.center_of(line)) for line in lines]

    def values(lines: Sequence[tuple[Any, Vector | None]], a: Any, mask: Vector | None) -> Iterator[Vector]:
        """Give a vector of each line at ``a``."""
        center_along = view.center_along(a, mask)
        addresses = [view.address(base, a) for base, _ in lines]
        view.prefetch_lines(addresses)
        view.prefetch(addresses[::2], addresses[1::2])
        for address, (_, center) in zip(addresses, lines, strict=True):
            yield lanes.load(address, view.x.dtype, mask) - (center or center_along)

    def short_lines() -> None:
        """Lines of one vector at most, one class: as many lines at once as a vector has lanes."""
        mask = lanes.first(view.n_along)
        weight = lanes.load(A.at(k, i64(0)), None, mask)
        with lanes.loop(i64(0), view.n_lines, L) as block:
            products = [value * weight for value in values(lines_from(block, L), i64(0), mask)]
            write(k, block, lanes.sums_of(products))

    def long_lines() -> None:
        R = min(L, 8 if K == 1 else lanes.registers // 8)
        scratch = lanes.scratch(K * powers * L)
        whole = builder.and_(view.n_along, i64(-L))
        rest = builder.sub(view.n_along, whole)
        with lanes.loop(i64(0), view.n_lines, L) as block:
            with lanes.loop(i64(0), i64(L), R) as group:
                lines = lines_from(builder.add(block, group), R)
                sums = [lanes.sums(K * powers) for _ in lines]

                def step(a: Any, mask: Vector | None = None) -> None:
                    weights = [lanes.load(A.at(builder.add(k, i64(m)), a), None, mask) for m in range(K)]
                    for value, line_sums in zip(values(lines, a, mask), sums, strict=True):
                        terms = product(weights, _powers(value, powers))
                        for (weight, factor), total in zip(terms, line_sums, strict=True):
                            total.value = muladd(factor, weight, total.value)

                with lanes.loop(i64(0), whole, L) as a:
                    step(a)
                with builder.if_then(builder.icmp_signed(">", rest, i64(0))):
                    step(whole, lanes.first(rest))
                for i, line_sums in enumerate(sums):
                    for m, total in enumerate(line_sums):
                        lanes.store(total.value, scratch.at(builder.add(group, i64(m * L + i))))
            for m in range(K * powers):
                each = [lanes.load(scratch.at(i64(m * L + i))) for i in range(L)]
                write(builder.add(k, i64(m)), block, lanes.sums_of(each))

    if K * powers > 1 or not view.may_be_short:
        long_lines()
        return
    with builder.if_else(builder.icmp_signed("<=", view.n_along, i64(L))) as (short, long):
        with short:
            short_lines()
        with long:
            long_lines()


def outer(view: View, A: Pointer, k: Any, K: int, write: Write, powers: int = 1) -> None:
    """``write(k + m, a, a vector of sums over lines)`` for m < K."""
    lanes, builder = view.lanes, view.builder
    L = lanes.count

    def block(V: int, a: Any, rest: Any = None) -> None:
        """Sum V vectors from ``a`` on, of which ``rest`` elements exist, more than half of them (None: all)."""
        steps = [i64(v * L) for v in range(V)]
        places = [builder.add(a, step) for step in steps]
        beyond = range(V) if V == 1 else range(V // 2, V)
        partial = [rest is not None and v in beyond for v in range(V)]
        masks = [lanes.first(builder.sub(rest, step)) if p else None for p, step in zip(partial, steps, strict=True)]
        centers_along = [view.center_along(place, mask) for place, mask in zip(places, masks, strict=True)]
        # a sum alone would wait for its own last addition: several sets of sums where there are few
        sets = [[lanes.sums(V) for _ in range(K * powers)] for _ in range(max(1, 8 // (V * K * powers)))]
        U = max(2, len(sets))

        def add(line: Any, class_sums: Any, fetch: bool) -> None:
            base, center = view.line(line), view.center_of(line)
            addresses = [view.address(base, place) for place in places]
            view.prefetch_lines(addresses)
            view.prefetch(*(addresses, []) if fetch else ([], addresses))
            values = [
                _powers(_centred(lanes.load(address, view.x.dtype, mask), center or center_along), powers)
                for address, mask, center_along in zip(addresses, masks, centers_along, strict=True)
            ]
            weights = [lanes.splat(A.load(builder.add(k, i64(m)), line)) for m in range(K)]
            for (weight, power), sums in zip(product(weights, range(powers)), class_sums, strict=True):
                for value, total in zip(values, sums, strict=True):
                    total.value = muladd(weight, value[power], total.value)

        whole = builder.sub(view.n_lines, builder.srem(view.n_lines, i64(U)))
        with lanes.loop(i64(0), whole, U) as line:
            for u in range(U):
                add(builder.add(line, i64(u)), sets[u % len(sets)], fetch=u % 2 == 1)
        with lanes.loop(whole, view.n_lines) as line:
            add(line, sets[0], fetch=False)
        for v, place in enumerate(places):
            inside = builder.sub(rest, steps[v]) if partial[v] else i64(1)
            with builder.if_then(builder.icmp_signed(">", inside, i64(0))):
                for m in range(K * powers):
                    total = sets[0][m][v].value
                    for other in sets[1:]:
                        total = total + other[m][v].value
                    write(builder.add(k, i64(m)), place, total)

    widest = lanes.registers // 8
    width = widest * L
    whole = builder.sub(view.n_along, builder.srem(view.n_along, i64(width)))
    with lanes.loop(i64(0), whole, width) as a:
        block(widest, a)
    # what is left in the next power of two of vectors: a form for each number would double the compile time
    rest = builder.sub(view.n_along, whole)
    forms = [V for V in (1, 2, 4) if V <= widest]
    fitting = i64(0)
    for V in reversed(forms):
        fits = builder.icmp_signed("<=", rest, i64(V * L))
        fitting = builder.select(fits, i64(V), fitting)
    fitting = builder.select(builder.icmp_signed(">", rest, i64(0)), fitting, i64(0))
    choose(builder, fitting, forms, lambda V: block(V, whole, rest))


def _writer(lanes: Lanes, B: Pointer, write_to: str) -> Write:
    """Return what sets elements of Z, or adds to those of G."""
    put = lanes.store if write_to == "Z" else lanes.add_to_float64
    return lambda m, place, vector: put(vector, B.at(m, place))


def _micro_kernel(classes: Sequence[int], view_type: type[View], multiply: Any, write_to: str, powers: int) -> Any:
    """Return an intrinsic ``f(X, start, n, A, k, K, center, B, sweeps)`` for K classes from k on, K in ``classes``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        lanes = Lanes(context, builder, kinds[3].dtype)
        A, B = Pointer(context, builder, kinds[3], args[3]), Pointer(context, builder, kinds[7], args[7])
        x = view_type.pointer(context, builder, kinds[0], args[0])
        view = view_type(lanes, x, Pointer(context, builder, kinds[6], args[6]), args[1], args[2])
        view.ask_for_next(args[4], args[8])

        write = _writer(lanes, B, write_to)
        choose(builder, args[5], classes, lambda K: multiply(view, A, args[4], K, write, powers))
        return context.get_dummy_value()

    @intrinsic
    def micro_kernel(
        typingctx: Any, X: Any, start: Any, n: Any, A: Any, k: Any, K: Any, center: Any, B: Any, sweeps: Any
    ) -> Any:
        index = types.int64
        return types.void(X, index, index, A, index, index, center, B, index), codegen

    return micro_kernel


@tile
def class_blocks(K: int) -> Any:
    """Yield ``(first, count)``: K classes in the fewest blocks of at most `CLASSES`, as even as can be."""
    blocks = (K + CLASSES - 1) // CLASSES
    for block in range(blocks):
        first = K * block // blocks
        yield first, K * (block + 1) // blocks - first


def register(owns: Callable[[Any], bool], view: type[View], margins: Any, accumulate: Any) -> None:
    """Bind a storage type to its products.

    Parameters
    ----------
    owns : callable
        Tells whether a numba type is this storage.
    view : View
        Its lines.
    margins, accumulate : `dot` or `outer`
        Which product is which.
    """
    copied, turned = _copier(view, View.copy), _copier(view, View.turn)
    for function, multiply, write_to, powers in (
        (protocol.margins, margins, "Z", 1),
        (protocol.accumulate, accumulate, "G", 1),
        (protocol.accumulate_moments, accumulate, "G", 2),
    ):
        one, few = (
            _micro_kernel(classes, view, multiply, write_to, powers) for classes in ((1,), range(1, CLASSES + 1))
        )
        copy, many_from = (turned, view.turned_from) if multiply is dot else (copied, view.copied_from)
        many = _product_of_copy(write_to) if many_from and powers == 1 else None
        _bind(function, owns, one, few, copy, many, many_from)
    as_rows = copied if margins is dot else turned

    @overload(protocol.take, jit_options=TILE_OPTIONS)
    def take(storage: Any, start: Any, n: Any, center: Any, B: Any) -> Any:
        def impl(storage: Any, start: Any, n: Any, center: Any, B: Any) -> Any:
            as_rows(protocol.lines(storage, start, n), start, n, center, B)

        return impl if owns(storage) else None


def _copier(view_type: type[View], copy: Callable[[View, Pointer], None]) -> Any:
    """Return an intrinsic ``f(X, start, n, center, B)`` that copies a tile."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        lanes = Lanes(context, builder, kinds[4].dtype)
        x = view_type.pointer(context, builder, kinds[0], args[0])
        view = view_type(lanes, x, Pointer(context, builder, kinds[3], args[3]), args[1], args[2])
        copy(view, Pointer(context, builder, kinds[4], args[4]))
        return context.get_dummy_value()

    @intrinsic
    def copied(typingctx: Any, X: Any, start: Any, n: Any, center: Any, B: Any) -> Any:
        return types.void(X, types.int64, types.int64, center, B), codegen

    return copied


def _product_of_copy(write_to: str) -> Any:
    """Return an intrinsic ``f(tile, n_lines, n_along, A, k, K, B)``: `outer` over a copied tile."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        lanes = Lanes(context, builder, kinds[3].dtype)
        A, B = Pointer(context, builder, kinds[3], args[3]), Pointer(context, builder, kinds[6], args[6])
        view = Copied(lanes, Pointer(context, builder, kinds[0], args[0]), args[1], args[2])

        write = _writer(lanes, B, write_to)
        choose(builder, args[5], (1, CLASSES_OF_COPY), lambda K: outer(view, A, args[4], K, write))
        return context.get_dummy_value()

    @intrinsic
    def product_of_copy(typingctx: Any, tile: Any, n_lines: Any, n_along: Any, A: Any, k: Any, K: Any, B: Any) -> Any:
        index = types.int64
        return types.void(tile, index, index, A, index, index, B), codegen

    return product_of_copy


def _bind(
    function: Any, owns: Callable[[Any], bool], one: Any, few: Any, copy: Any, many: Any, many_from: int | None
) -> None:
    over_features = function is protocol.margins  # what is summed over: features, else rows

    @overload(function, jit_options=TILE_OPTIONS)
    def bind(storage: Any, start: Any, n: Any, A: Any, center: Any, B: Any, sweeps: Any) -> Any:
        if not owns(storage):
            return None

        def vector(storage: Any, start: Any, n: Any, A: Any, center: Any, B: Any, sweeps: Any) -> Any:
            lines = protocol.lines(storage, start, n)
            one(lines, start, n, protocol.as_rows(A), 0, 1, center, protocol.as_rows(B), sweeps)

        def matrix(storage: Any, start: Any, n: Any, A: Any, center: Any, B: Any, sweeps: Any) -> Any:
            lines = protocol.lines(storage, start, n)
            for k, K in class_blocks(A.shape[0]):
                few(lines, start, n, A, k, K, center, B, sweeps)

        def copying_matrix(storage: Any, start: Any, n: Any, A: Any, center: Any, B: Any, sweeps: Any) -> Any:
            K, lines = A.shape[0], protocol.lines(storage, start, n)
            if K < many_from:
                for k, count in class_blocks(K):
                    few(lines, start, n, A, k, count, center, B, sweeps)
                return
            n_features = protocol.n_features(storage)
            n_lines, n_along = (n_features, n) if over_features else (n, n_features)
            tile = np.empty((-(-n_lines // PADDING) * PADDING, -(-n_along // PADDING) * PADDING), A.dtype)
            copy(lines, start, n, center, tile)
            whole = K // CLASSES_OF_COPY * CLASSES_OF_COPY
            for k in range(0, whole, CLASSES_OF_COPY):
                many(tile, n_lines, n_along, A, k, CLASSES_OF_COPY, B)
            for k in range(whole, K):
                many(tile, n_lines, n_along, A, k, 1, B)

        impl = vector if A.ndim == 1 else matrix if many is None else copying_matrix
        # A symbol's name is made of this and the types; margins and accumulate may have the same types, and the numbers
        # that numba adds begin anew in each process: two kernels from the disk's cache would share one's code.
        impl.__qualname__ = f"{function.__name__}.{impl.__name__}"
        return impl
