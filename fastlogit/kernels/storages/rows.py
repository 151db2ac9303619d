"""Rows: X stored row by row (C order)."""

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

# A tile is swept twice, the second time from the L1 cache, while the next tile is prefetched into L2.
TILE_BYTES = 1 << 14


class Rows(Matrix):
    """X of shape (n_samples, n_features) whose rows are contiguous; any distance from row to row."""

    __slots__ = ()

    def take(self, rows: NDArray[np.intp]) -> "Rows":
        """Return a copy of some rows."""
        return Rows(read_only(self.X[rows]))

    @classmethod
    def join(cls, parts: Sequence["Rows"]) -> "Rows":
        """See `Storage.join`."""
        return cls(read_only(np.concatenate([part.X for part in parts])))


def is_rows(kind: Any) -> bool:
    """Tell whether a numba type is `Rows`."""
    return isinstance(kind, types.NamedTuple | types.NamedUniTuple) and kind.instance_class is Rows


class RowView(View):
    """Lines are rows."""

    contiguous = 1
    may_be_short = True
    transposed_from = copied_from = 20
    n_lines = property(lambda self: self.n)
    n_along = property(lambda self: self.n_features)

    def line(self, line: Any) -> Any:
        """See `View.line`."""
        return self.x.at(self.builder.add(self.start, line), i64(0))

    def center_along(self, a: Any, mask: Vector | None) -> Vector:
        """See `View.center_along`."""
        return self.lanes.load(self.center.at(a), None, mask)

    def center_of(self, line: Any) -> None:
        """See `View.center_of`."""

    def prefetch_lines(self, addresses: Sequence[Any]) -> None:
        """See `View.prefetch_lines`: nothing, since the hardware prefetches consecutive rows."""


@overload(protocol.tile_rows, jit_options=TILE_OPTIONS)
def _tile_rows(storage: Any, K: Any) -> Any:
    if not is_rows(storage):
        return None

    def impl(storage: Any, K: Any) -> Any:
        row_bytes = storage.X.shape[1] * storage.X.itemsize
        if K == 1:
            return min(512, max(16, TILE_BYTES // max(row_bytes, 1) // 16 * 16))
        return 64

    return impl


register(is_rows, RowView, margins=dot, accumulate=outer)
