"""Table: columns at any addresses, of several types, in several pieces: data frames and Arrow tables without a copy.

A column of the table's own type whose elements are adjacent is read in place. Others, and tiles that span several
pieces, are cast to that type a tile at a time. The kernels are those of `columns`; lines are found by address.
"""

from collections.abc import Sequence
from ctypes import c_char
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload
from numpy.typing import NDArray

from fastlogit.kernels.machine.jit import TILE_OPTIONS, read_only, tile
from fastlogit.kernels.machine.pointer import I8, Pointer, i64
from fastlogit.kernels.storages import protocol
from fastlogit.kernels.storages.cast import BITS, NUMBER, cast, caster_of
from fastlogit.kernels.storages.columns import TILE_BYTES, Columns, ColumnView
from fastlogit.kernels.storages.dense import register
from fastlogit.kernels.storages.products import dot, outer
from fastlogit.kernels.storages.storage import Storage


@dataclass(frozen=True)
class Column:
    """Where a column is in memory.

    Attributes
    ----------
    kind : str
        One of `fastlogit.kernels.storages.cast.KINDS`, or "bits".
    stride : int
        Distance between elements in bytes; 1 for bits.
    pieces : sequence of (int, int)
        Address in bytes, for bits in bits, and number of rows of each piece, in order.
    owner : object
        What keeps the memory alive.
    """

    kind: str
    stride: int
    pieces: Sequence[tuple[int, int]]
    owner: Any

    @classmethod
    def of(cls, values: NDArray[Any]) -> "Column":
        """Return the column of an array (n,) of numbers."""
        kind = values.dtype.str[1:] if values.dtype.isnative else ">" + values.dtype.str[1:]
        return cls(kind, values.strides[0], [(values.ctypes.data, len(values))], values)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its elements; bits are read as uint8."""
        if self.kind == "bits":
            return np.dtype(np.uint8)
        kind = np.dtype(self.kind.lstrip(">"))
        return kind.newbyteorder() if self.kind.startswith(">") else kind

    def view(self, address: int, n: int) -> NDArray[Any]:
        """Return the ``n`` elements of the piece at ``address`` as an array, not copied; not of bits."""
        if n == 0:
            return np.empty(0, self.dtype)
        low = address + min(0, (n - 1) * self.stride)
        size = abs((n - 1) * self.stride) + self.dtype.itemsize
        memory: Any = (c_char * size).from_address(low)
        return np.ndarray((n,), self.dtype, memory, address - low, (self.stride,))

    def take(self, rows: NDArray[np.intp], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return a copy (len(rows),) of the elements of some rows, given in ascending order; in ``out``, if given."""
        out = np.empty(len(rows), self.dtype) if out is None else out
        begin = 0
        for address, n in self.pieces:
            first, last = np.searchsorted(rows, (begin, begin + n))
            out[first:last] = _values(self, address, n, rows[first:last] - begin)
            begin += n
        return out


def addresses_of(columns: Sequence[Column]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut columns of equal length into common pieces, those of each column cut further where another's end.

    Returns
    -------
    (ndarray (n_pieces + 1,), ndarray (n_pieces, len(columns)))
        The first row of each piece, then the number of rows; and the address of each column's part of each piece.
    """
    alike: dict[tuple[int, ...], list[int]] = {}  # columns by the lengths of their pieces
    for j, column in enumerate(columns):
        alike.setdefault(tuple(rows for _, rows in column.pieces), []).append(j)
    starts = np.unique(np.concatenate([[0], *map(np.cumsum, alike)]))
    addresses = np.empty((len(starts) - 1, len(columns)), np.int64)
    for lengths, js in alike.items():
        end = np.cumsum(lengths, dtype=np.int64)
        piece = np.searchsorted(end, starts[:-1], side="right")
        rows = starts[:-1] - np.append(0, end)[piece]
        first = np.array([[address for address, _ in columns[j].pieces] for j in js], np.int64)
        addresses[:, js] = (first[:, piece] + np.outer([columns[j].stride for j in js], rows)).T
    return starts, addresses


class _Arrays(NamedTuple):
    """The fields of a table, as kernels read them.

    ``starts`` (n_pieces + 1,): the first row of each piece, then the number of rows. ``addresses`` (n_pieces,
    n_features). ``strides`` and ``kinds`` (n_features,), see `Column` and `cast.KINDS`. ``like`` (0,): an array of the
    table's own type. ``caster``: address of the function that casts to that type.
    """

    starts: NDArray[np.int64]
    addresses: NDArray[np.int64]
    strides: NDArray[np.int64]
    kinds: NDArray[np.int64]
    like: NDArray[Any]
    caster: int


class Table(_Arrays, Storage):
    """Columns of several types and pieces; `Table.of` makes one."""

    @classmethod
    def of(cls, columns: Sequence[Column], dtype: Any) -> "Table":
        """Return the table of columns of equal length; kernels read it as ``dtype``, float32 or float64."""
        starts, addresses = addresses_of(columns)
        own = np.dtype(dtype)
        in_place = own.str[1:], own.itemsize
        kinds = [
            0 if (column.kind, column.stride) == in_place else BITS if column.kind == "bits" else NUMBER[column.kind]
            for column in columns
        ]
        strides = [column.stride for column in columns]
        arrays = (np.asarray(a, np.int64) for a in (starts, addresses, strides, kinds))
        table = cls._make([*map(read_only, arrays), read_only(np.empty(0, own)), caster_of(own)])
        table.columns = columns
        return table

    columns: Sequence[Column]

    @classmethod
    def of_matrix(cls, X: NDArray[Any]) -> "Table":
        """Return the table of the columns of a matrix."""
        return cls.of([Column.of(column) for column in X.T], X.dtype)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_samples, n_features)."""
        return int(self.starts[-1]), len(self.kinds)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The table's own type."""
        return self.like.dtype

    def dense(self, columns: slice) -> NDArray[np.float64]:
        """Return a copy of some columns of all rows."""
        rows = np.arange(self.shape[0])
        return Table.of(list(self.columns[columns]), self.dtype).take(rows).dense(slice(None))

    def take(self, rows: NDArray[np.intp]) -> Columns:
        """Return a copy of some rows, given in ascending order, in the table's own type."""
        X = np.empty((len(rows), len(self.kinds)), self.dtype, order="F")
        for column, out in zip(self.columns, X.T, strict=True):
            column.take(rows, out)
        return Columns(read_only(X))

    @classmethod
    def join(cls, parts: Sequence["Table"]) -> Any:
        """See `Storage.join`: a copy, as columns of the table's own type."""
        return Columns.join([part.take(np.arange(part.shape[0])) for part in parts])


def _values(column: Column, address: int, n: int, rows: NDArray[np.intp]) -> NDArray[Any]:
    """Return the elements at ``rows`` of a piece of ``n`` rows at ``address``."""
    if column.kind == "bits":
        bits = address + rows
        first = address // 8
        memory: Any = (c_char * ((address + n + 7) // 8 - first)).from_address(first)
        stored = np.frombuffer(memory, np.uint8)
        return np.asarray((stored[bits // 8 - first] >> (bits % 8).astype(np.uint8)) & 1)
    return np.asarray(column.view(address, n)[rows])


def is_table(kind: Any) -> bool:
    """Tell whether a numba type is `Table`."""
    return isinstance(kind, types.NamedTuple) and kind.instance_class is Table


class Lines(NamedTuple):
    """The lines of a tile: the address of each, and the memory that holds those that were cast."""

    bases: NDArray[np.int64]
    scratch: NDArray[Any]


class _Scattered:
    """`Lines` inside generated code; stands in for a `Pointer` to a matrix."""

    def __init__(self, context: Any, builder: Any, kind: Any, value: Any) -> None:
        bases, scratch = kind.types
        self.bases = Pointer(context, builder, bases, builder.extract_value(value, 0))
        self.dtype = scratch.dtype
        self.itemsize = scratch.dtype.bitwidth // 8
        self.shape = [i64(0), self.bases.shape[0]]
        self.strides = [i64(self.itemsize), i64(0)]


class TableView(ColumnView):
    """Lines are columns, found by address."""

    x: Any

    @classmethod
    def pointer(cls, context: Any, builder: Any, kind: Any, value: Any) -> Any:
        """See `View.pointer`."""
        return _Scattered(context, builder, kind, value)

    def line(self, line: Any) -> Any:
        """See `View.line`."""
        return self.builder.inttoptr(self.x.bases.load(line), I8.as_pointer())

    def prefetch_lines(self, addresses: Sequence[Any]) -> None:
        """See `View.prefetch_lines`: nothing, since the next column's address is not known from this one's."""


@tile
def _lines_of(storage: Any, start: int, n: int) -> Any:
    starts, kinds, itemsize = storage.starts, storage.kinds, storage.like.itemsize
    piece = np.searchsorted(starts, start, "right") - 1
    is_within = start + n <= starts[piece + 1]
    n_cast = 0
    for j in range(kinds.size):
        n_cast += 0 if is_within and kinds[j] == 0 else 1
    scratch = np.empty((n_cast, (n + 63) // 32 * 32), storage.like.dtype)
    bases = np.empty(kinds.size, np.int64)
    line = 0
    for j in range(kinds.size):
        if is_within and kinds[j] == 0:
            bases[j] = storage.addresses[piece, j] + (start - starts[piece]) * itemsize
            continue
        base = np.int64(scratch.ctypes.data) + line * scratch.strides[0]
        done, p = 0, piece
        while done < n:
            row = start + done - starts[p]
            count = min(n - done, starts[p + 1] - starts[p] - row)
            address = storage.addresses[p, j] + row * storage.strides[j]
            to = base + done * itemsize
            cast(storage.caster, kinds[j], address, storage.strides[j], count, to)
            done += count
            p += 1
        bases[j] = base
        line += 1
    return Lines(bases, scratch)


@overload(protocol.lines, jit_options=TILE_OPTIONS)
def _lines(storage: Any, start: Any, n: Any) -> Any:
    def impl(storage: Any, start: Any, n: Any) -> Any:
        return _lines_of(storage, start, n)

    return impl if is_table(storage) else None


@overload(protocol.n_features, jit_options=TILE_OPTIONS)
def _n_features(storage: Any) -> Any:
    def impl(storage: Any) -> Any:
        return storage.kinds.size

    return impl if is_table(storage) else None


@overload(protocol.tile_rows, jit_options=TILE_OPTIONS)
def _tile_rows(storage: Any, K: Any) -> Any:
    def impl(storage: Any, K: Any) -> Any:
        row_bytes = storage.kinds.size * storage.like.itemsize
        return min(1024, max(128, TILE_BYTES // max(row_bytes, 1) // 64 * 64))

    return impl if is_table(storage) else None


register(is_table, TableView, margins=outer, accumulate=dot)
