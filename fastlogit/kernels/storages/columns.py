"""Columns: X stored column by column (F order)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload
from numpy.typing import NDArray

from fastlogit.kernels.machine.jit import TILE_OPTIONS, read_only
from fastlogit.kernels.machine.pointer import i64
from fastlogit.kernels.machine.vector import Vector
from fastlogit.kernels.storages import protocol
from fastlogit.kernels.storages.dense import register
from fastlogit.kernels.storages.lines import View
from fastlogit.kernels.storages.matrix import Matrix
from fastlogit.kernels.storages.products import dot, outer

# A tile's piece of every column stays in the L2 cache between the two sweeps. Pieces of less than 512 bytes are read at
# 0.7 of the bandwidth: wide X therefore has larger tiles, which stay in L3, and its next columns are prefetched here.
TILE_BYTES = 1 << 18
_COLUMNS_AHEAD = 8


class Columns(Matrix):
    """X of shape (n_samples, n_features) whose columns are contiguous; any distance from column to column."""

    __slots__ = ()

    def take(self, rows: NDArray[np.intp]) -> "Columns":
        """Return a copy of some rows."""
        X = np.empty((len(rows), self.X.shape[1]), self.X.dtype, order="F")
        for column, out in zip(self.X.T, X.T, strict=True):
            np.take(column, rows, out=out, mode="clip")  # "raise" would make a copy of `out`
        return Columns(read_only(X))

    @classmethod
    def join(cls, parts: Sequence["Columns"]) -> "Columns":
        """See `Storage.join`."""
        return cls(read_only(np.concatenate([part.X.T for part in parts], axis=1).T))


def is_columns(kind: Any) -> bool:
    """Tell whether a numba type is `Columns`."""
    return isinstance(kind, types.NamedTuple | types.NamedUniTuple) and kind.instance_class is Columns


class ColumnView(View):
    """Lines are columns."""

    contiguous = 0
    may_be_short = False
    transposed_from, copied_from = 80, None
    n_lines = property(lambda self: self.n_features)
    n_along = property(lambda self: self.n)

    def line(self, line: Any) -> Any:
        """See `View.line`."""
        return self.x.at(self.start, line)

    def center_along(self, a: Any, mask: Vector | None) -> None:
        """See `View.center_along`."""

    def center_of(self, line: Any) -> Vector:
        """See `View.center_of`."""
        return self.lanes.splat(self.center.load(line))

    def prefetch_lines(self, addresses: Sequence[Any]) -> None:
        """See `View.prefetch_lines`."""
        builder = self.builder
        row_bytes = builder.mul(self.n_features, i64(self.x.itemsize))
        large = builder.icmp_signed(">", builder.mul(self.n, row_bytes), i64(TILE_BYTES))
        with builder.if_then(large):
            for address in addresses:
                self._prefetch_at(address, builder.mul(self.x.strides[1], i64(_COLUMNS_AHEAD)), level=3)


@overload(protocol.tile_rows, jit_options=TILE_OPTIONS)
def _tile_rows(storage: Any, K: Any) -> Any:
    if not is_columns(storage):
        return None

    def impl(storage: Any, K: Any) -> Any:
        row_bytes = storage.X.shape[1] * storage.X.itemsize
        return min(1024, max(128, TILE_BYTES // max(row_bytes, 1) // 64 * 64))

    return impl


register(is_columns, ColumnView, margins=outer, accumulate=dot)
