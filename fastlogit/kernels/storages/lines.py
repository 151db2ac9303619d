"""Tiles of dense X seen as *lines*, its contiguous stretches: rows in C order, columns in F order."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from fastlogit.kernels.machine.pointer import Pointer, i64
from fastlogit.kernels.machine.simd import Lanes
from fastlogit.kernels.machine.vector import Vector


class View(ABC):
    """A tile of rows of X, seen as lines, inside generated code.

    Attributes
    ----------
    contiguous : int
        The axis of X along which a line runs.
    transposed_from, copied_from : int or None
        From this many classes on, `dot` transposes its tile to become `outer`, whose sums need not be added across
        lanes, and `outer` copies its tile, centred once for all classes; None: never.
    may_be_short : bool
        Whether lines of at most one vector are common, not only in a last tile.
    n_lines, n_along : IR integers
        Number of lines of the tile, and of elements of each.
    ahead : IR integer
        Distance in bytes from an element to its counterpart in the next tile.
    is_only_sweep : IR boolean
        Whether no other sweep prefetches part of the next tile.
    """

    contiguous: int
    transposed_from: int | None
    copied_from: int | None
    may_be_short: bool
    n_lines: Any
    n_along: Any
    is_only_sweep: Any

    def __init__(self, lanes: Lanes, x: Pointer, center: Pointer, start: Any, n: Any) -> None:
        self.lanes, self.builder, self.x, self.center = lanes, lanes.builder, x, center
        self.start, self.n, self.n_features = start, n, x.shape[1]
        self.ahead = self.builder.mul(n, x.strides[0])

    @classmethod
    def pointer(cls, context: Any, builder: Any, kind: Any, value: Any) -> Pointer:
        """Return a pointer to what `fastlogit.kernels.storages.protocol.lines` returned."""
        return Pointer(context, builder, kind, value, contiguous=cls.contiguous)

    def split_prefetch(self, k: Any, sweeps: Any) -> None:
        """Let one of ``sweeps`` prefetch its share of the next tile, in its first block of classes only (k = 0)."""
        builder = self.builder
        self.ahead = builder.select(builder.icmp_signed("==", k, i64(0)), self.ahead, i64(0))
        self.is_only_sweep = builder.icmp_signed("==", sweeps, i64(1))

    @abstractmethod
    def line(self, line: Any) -> Any:
        """Return the address of a line's first element."""

    @abstractmethod
    def center_along(self, a: Any, mask: Vector | None) -> Vector | None:
        """Return the centres of a vector of elements from ``a`` on, if they differ along a line, else None."""

    @abstractmethod
    def center_of(self, line: Any) -> Vector | None:
        """Return the centre of a line, if all its elements have the same, else None."""

    def address(self, base: Any, a: Any) -> Any:
        """Return the address of element ``a`` of the line that begins at ``base``."""
        return self.builder.gep(base, [self.builder.mul(a, i64(self.x.itemsize))])

    def prefetch(self, own: Sequence[Any], others: Sequence[Any]) -> None:
        """Prefetch this sweep's share of the next tile: the counterparts of the vectors at ``own``.

        If no other sweep prefetches, also those at ``others``.
        """
        for address in own:
            self._prefetch_at(address, self.ahead, level=2)
        with self.builder.if_then(self.is_only_sweep):
            for address in others:
                self._prefetch_at(address, self.ahead, level=2)

    def centred(self, line: Any, a: Any, mask: Vector | None) -> Vector:
        """Return the vector of ``x - center`` of a line from ``a`` on."""
        value = self.lanes.load(self.address(self.line(line), a), self.x.dtype, mask)
        return value - (self.center_of(line) or self.center_along(a, mask))

    def copy(self, B: Pointer) -> None:
        """``B[line, a] = x[line, a] - center``; a line of ``B`` is written up to the next multiple of a vector."""
        with self.lanes.loop(i64(0), self.n_lines) as line:
            for a, mask in self.lanes.vectors(self.n_along):
                self.lanes.store(self.centred(line, a, mask), B.at(line, a))

    def transpose(self, B: Pointer) -> None:
        """``B[a, line] = x[line, a] - center``, in squares of a vector by a vector; whole squares are written."""
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
        """Prefetch what the same sweep reads next, where hardware prefetchers do not."""

    def _prefetch_at(self, address: Any, distance: Any, level: int) -> None:
        after = self.builder.gep(address, [distance])
        self.lanes.prefetch(after, self.lanes.count * self.x.itemsize, level)


class Copied(View):
    """A copied tile, whose lines are those that `outer` sums over: centred already, and nothing to prefetch."""

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
