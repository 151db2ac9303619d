"""Micro-kernels of dense storage: register tiles over *lines*, the contiguous stretches of X.

A line is a row of a matrix in C order, a column of one in F order. Along lines there are two products:

- `dot`: ``out[m, line] = sum_a x'[line, a] A[m, a]``. The sums of a few lines and a few classes are in registers while
  a runs along the lines. It is ``margins`` for rows and ``accumulate`` for columns.
- `outer`: ``out[m, a] = sum_line x'[line, a] A[m, line]``. The sums of a few vectors of a and a few classes are in
  registers while the loop runs over lines. It is ``accumulate`` for rows and ``margins`` for columns.

``x' = x - center`` in both. A pass sweeps each tile twice, the second time from the cache. Memory would then idle, and
hardware prefetchers lose track where a sweep begins, so each sweep prefetches half of the next tile: `dot` its even
lines, `outer` its odd ones.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

from fastlogit.kernels.machine.pointer import Pointer, choose, i64
from fastlogit.kernels.machine.vector import Vector, muladd
from fastlogit.kernels.storages.lines import View

Write = Callable[[Any, Any, Vector], None]


def _centred(value: Vector, center: Vector | None) -> Vector:
    return value if center is None else value - center


def _powers(value: Vector, count: int) -> list[Vector]:
    return [value] if count == 1 else [value, value * value]


def dot(view: View, A: Pointer, k: Any, K: int, write: Write, powers: int = 1) -> None:
    """Write the code of ``out[k + m, line] = sum_a x'[line, a] A[k + m, a]`` for m < K.

    ``write(k + m, line, sums)`` is called for every vector of lines; lanes past the last line repeat it. With
    ``powers`` = 2 every class has two sums in succession, of ``x' A`` and of ``x'^2 A``.
    """
    lanes, builder = view.lanes, view.builder
    L = lanes.count
    last = builder.sub(view.n_lines, i64(1))

    def lines_from(first: Any, count: int) -> list[tuple[Any, Vector | None]]:
        """Return address and centre of ``count`` lines."""
        lines = [lanes.smaller(builder.add(first, i64(i)), last) for i in range(count)]
        return [(view.line(line), view.center_of(line)) for line in lines]

    def values(lines: Sequence[tuple[Any, Vector | None]], a: Any, mask: Vector | None) -> Iterator[Vector]:
        """Yield a vector of each line from ``a`` on, centred."""
        center_along = view.center_along(a, mask)
        addresses = [view.address(base, a) for base, _ in lines]
        view.prefetch_lines(addresses)
        view.prefetch(addresses[::2], addresses[1::2])
        for address, (_, center) in zip(addresses, lines, strict=True):
            yield lanes.load(address, view.x.dtype, mask) - (center or center_along)

    def short_lines() -> None:
        """One class, lines of at most one vector: as many lines at once as a vector has lanes."""
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
    """Write the code of ``out[k + m, a] = sum_line x'[line, a] A[k + m, line]`` for m < K; arguments as in `dot`.

    ``write(k + m, a, sums)`` is called for every vector of elements from ``a`` on.
    """
    lanes, builder = view.lanes, view.builder
    L = lanes.count

    def block(V: int, a: Any, rest: Any = None) -> None:
        """Sum V vectors from ``a`` on, of which the first ``rest`` elements exist, more than half (None: all)."""
        steps = [i64(v * L) for v in range(V)]
        places = [builder.add(a, step) for step in steps]
        beyond = range(V) if V == 1 else range(V // 2, V)
        partial = [rest is not None and v in beyond for v in range(V)]
        masks = [lanes.first(builder.sub(rest, step)) if p else None for p, step in zip(partial, steps, strict=True)]
        centers_along = [view.center_along(place, mask) for place, mask in zip(places, masks, strict=True)]
        # each addition to a sum waits for the one before: where sums are few, consecutive lines go to several sets
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
    # the rest, as the next power of two of vectors: code for every number would double the compile time
    rest = builder.sub(view.n_along, whole)
    forms = [V for V in (1, 2, 4) if V <= widest]
    fitting = i64(0)
    for V in reversed(forms):
        fits = builder.icmp_signed("<=", rest, i64(V * L))
        fitting = builder.select(fits, i64(V), fitting)
    fitting = builder.select(builder.icmp_signed(">", rest, i64(0)), fitting, i64(0))
    choose(builder, fitting, forms, lambda V: block(V, whole, rest))
