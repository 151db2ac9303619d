"""Tiles of dense X seen as *lines*, the contiguous stretches of it: rows in C order, columns in F order."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from fastlogit.kernels.machine.pointer import Pointer, i64
from fastlogit.kernels.machine.simd import Lanes
from fastlogit.kernels.machine.vector import Vector


class View(ABC):
    """A tile of rows of X, seen as lines.

    Attributes
    ----------
    n_lines, n_along : IR integers
        How many lines the tile has, and how many elements each.
    ahead : IR integer
        How many bytes further on the next tile's element lies.
    is_only_sweep : IR boolean
        Whether no other sweep asks for the next tile.
    """

    is_only_sweep: Any

    contiguous: int  # the axis of X along which a line runs
    # From so many classes on `dot` turns its tile around to become `outer`, whose sums need no folding across lanes,
    # and `outer` copies it, centred once for all classes; None: never.
    turned_from: int | None
    copied_from: int | None
    may_be_short: bool  # whether a line may be a vector or less in more than the odd tile
    n_lines: Any
    n_along: Any

    def __init__(self, lanes: Lanes, x: Pointer, center: Pointer, start: Any, n: Any) -> None:
        self.lanes, self.builder, self.x, self.center = lanes, lanes.builder, x, center
        self.start, self.n, self.n_features = start, n, x.shape[1]
        self.ahead = self.builder.mul(n, x.strides[0])

    @classmethod
    def pointer(cls, context: Any, builder: Any, kind: Any, value: Any) -> Pointer:
        """Return the pointer to what `fastlogit.kernels.storages.protocol.lines` gives."""
        return Pointer(context, builder, kind, value, contiguous=cls.contiguous)

    def ask_for_next(self, k: Any, sweeps: Any) -> None:
        """Let the sweep ask for the next tile as one of ``sweeps``; of many classes the first few ask for all."""
        builder = self.builder
        self.ahead = builder.select(builder.icmp_signed("==", k, i64(0)), self.ahead, i64(0))
        self.is_only_sweep = builder.icmp_signed("==", sweeps, i64(1))

    @abstractmethod
    def line(self, line: Any) -> Any:
        """Return the address of a line's first element."""

    @abstractmethod
    def center_along(self, a: Any, mask: Vector | None) -> Vector | None:
        """Return the centres of the elements from ``a`` on where they differ along a line, else None."""

    @abstractmethod
    def center_of(self, line: Any) -> Vector | None:
        """Return the centre of a line where it has but one, else None."""

    def address(self, base: Any, a: Any) -> Any:
        """Return the address of element ``a`` of the line that begins at ``base``."""
        return self.builder.gep(base, [self.builder.mul(a, i64(self.x.itemsize))])

    def prefetch(self, own: Sequence[Any], others: Sequence[Any]) -> None:
        """Ask for the next tile's counterparts of vectors of elements, of those that another sweep asks for too.

        Where there is none, of ``others`` as well.
        """
        for address in own:
            self._ask(address, self.ahead, level=2)
        with self.builder.if_then(self.is_only_sweep):
            for address in others:
                self._ask(address, self.ahead, level=2)

    def centred(self, line: Any, a: Any, mask: Vector | None) -> Vector:
        """Return ``x'`` of a line from ``a`` on."""
        value = self.lanes.load(self.address(self.line(line), a), self.x.dtype, mask)
        return value - (self.center_of(line) or self.center_along(a, mask))

    def copy(self, B: Pointer) -> None:
        """``B[line, a] = x'[line, a]``; along the lines up to the next multiple of a vector is written."""
        with self.lanes.loop(i64(0), self.n_lines) as line:
            for a, mask in self.lanes.vectors(self.n_along):
                self.lanes.store(self.centred(line, a, mask), B.at(line, a))

    def turn(self, B: Pointer) -> None:
        """``B[a, line] = x'[line, a]``, in squares of a vector by a vector; up to a whole square is written."""
        lanes, builder = self.lanes, self.builder
        last = builder.sub(self.n_lines, i64(1))
        with lanes.loop(i64(0), self.n_lines, lanes.count) as first:
            lines = [lanes.smaller(builder.add(first, i64(i)), last) for i in range(lanes.count)]
            for a, mask in lanes.vectors(self.n_along):
                vectors = [self.centred(line, a, mask) for line in lines]
                for i, vector in enumerate(lanes.transposed(vectors)):
                    lanes.store(vector, B.at(builder.add(a, i64(i)), first))

    @abstractmethod
    def prefetch_lines(self, addresses: Sequence[Any]) -> None:
        """Ask for what the same sweep comes to next, where the hardware does not see it coming."""

    def _ask(self, address: Any, distance: Any, level: int) -> None:
        after = self.builder.gep(address, [distance])
        self.lanes.prefetch(after, self.lanes.count * self.x.itemsize, level)


class Copied(View):
    """A tile that has been copied, its lines being what `outer` walks: no centre, and nothing to ask for."""

    def __init__(self, lanes: Lanes, x: Pointer, n_lines: Any, n_along: Any) -> None:
        self.lanes, self.builder, self.x, self.n_lines, self.n_along = lanes, lanes.builder, x, n_lines, n_along

    def line(self, line: Any) -> Any:
        """See `View.line`."""
        return self.x.at(line, i64(0))

    def center_along(self, a: Any, mask: Vector | None) -> None:
        """See `View.center_along`."""

    def center_of(self, line: Any) -> None:
        """See `View.center_of`."""

    def prefetch(self, own: Sequence[Any], others: Sequence[Any]) -> None:
        """See `View.prefetch`."""

    def prefetch_lines(self, addresses: Sequence[Any]) -> None:
        """See `View.prefetch_lines`."""
