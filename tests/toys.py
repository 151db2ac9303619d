"""Storages, a loss and a transport that fastlogit knows nothing of: the proof that the seams hold.

The page `docs/extending.md` is built on them.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from fastlogit.kernels.losses.logistic import two_probabilities
from fastlogit.kernels.losses.protocol import register
from fastlogit.kernels.machine.elementary import exp, log1p_to_one, sigmoid
from fastlogit.kernels.machine.jit import read_only
from fastlogit.kernels.machine.pointer import i64
from fastlogit.kernels.machine.vector import where
from fastlogit.kernels.passes.first_order import Targets
from fastlogit.kernels.storages import protocol
from fastlogit.kernels.storages.storage import Storage, padded
from fastlogit.sources.block import Block
from fastlogit.sources.memory import MemorySource
from fastlogit.sources.protocol import Source


def answers(function, storage):
    """Register what compiled code does for a storage of this type."""

    def register(implementation):
        @overload(function, strict=False)
        def bind(kind, *args):
            is_one = isinstance(kind, types.BaseNamedTuple) and kind.instance_class is storage
            return implementation if is_one else None

        return implementation

    return register


# --- a storage
class _Arrays(NamedTuple):
    base: Any
    delta: Any
    like: Any


class Deltas(_Arrays, Storage):
    """Rows kept as differences from a base row."""

    @classmethod
    def of(cls, X: np.ndarray) -> "Deltas":
        base = X[0].astype(np.float64)
        return cls(read_only(base), read_only(X - base), read_only(np.empty(0, X.dtype)))

    shape, dtype = property(lambda self: self.delta.shape), property(lambda self: self.like.dtype)

    def take(self, rows):
        return Deltas(self.base, read_only(self.delta[rows]), self.like)

    @classmethod
    def join(cls, parts):
        rows = [part.base - parts[0].base + part.delta for part in parts]
        return cls(parts[0].base, read_only(np.concatenate(rows)), parts[0].like)

    def dense(self, columns):
        return self.base[columns] + self.delta[:, columns]


def _sums_over_rows(n_powers):
    def impl(storage, start, n, A, center, B, sweeps):
        R, G, D = protocol.as_rows(A), protocol.as_rows(B), storage.base.size
        for k in range(R.shape[0]):
            for r in range(n):
                x = storage.base + storage.delta[start + r] - center[:D]
                for p in range(n_powers):
                    G[k * n_powers + p, :D] += R[k, r] * x ** (p + 1)

    return impl


answers(protocol.accumulate, Deltas)(_sums_over_rows(1))
answers(protocol.accumulate_moments, Deltas)(_sums_over_rows(2))
answers(protocol.tile_rows, Deltas)(lambda storage, K: 32)


@answers(protocol.margins, Deltas)
def _margins(storage, start, n, A, center, B, sweeps):
    W, Z, D = protocol.as_rows(A), protocol.as_rows(B), storage.base.size
    for k in range(W.shape[0]):
        for r in range(n):
            Z[k, r] = ((storage.base + storage.delta[start + r] - center[:D]) * W[k, :D]).sum()


@answers(protocol.take, Deltas)
def _take(storage, start, n, center, B):
    for r in range(n):
        B[r, : storage.base.size] = storage.base + storage.delta[start + r] - center[: storage.base.size]


# --- a storage of two others, column after column
class _Members(NamedTuple):
    left: Any
    right: Any
    cut: int


class Pair(_Members, Storage):
    """Some columns of one storage, then some of another: the first is a multiple of 16 wide."""

    @classmethod
    def of(cls, left: Storage, right: Storage) -> "Pair":
        assert left.shape[1] == padded(left.shape[1])
        return cls(left, right, left.shape[1])

    @property
    def shape(self):
        return self.left.shape[0], self.cut + self.right.shape[1]

    dtype = property(lambda self: np.result_type(self.left.dtype, self.right.dtype))


@answers(protocol.margins, Pair)
def _margins_of_pair(storage, start, n, A, center, B, sweeps):
    c = storage.cut
    protocol.margins(storage.left, start, n, A[..., :c], center[:c], B, sweeps)
    protocol.add_margins(storage.right, start, n, A[..., c:], center[c:], B, sweeps)


def _sums_of_pair(function):
    def impl(storage, start, n, A, center, B, sweeps):
        c = storage.cut
        function(storage.left, start, n, A, center[:c], B[:, :c], sweeps)
        function(storage.right, start, n, A, center[c:], B[:, c:], sweeps)

    answers(function, Pair)(impl)


_sums_of_pair(protocol.accumulate)
_sums_of_pair(protocol.accumulate_moments)


@answers(protocol.tile_rows, Pair)
def _tile_rows_of_pair(storage, K):
    return min(protocol.tile_rows(storage.left, K), protocol.tile_rows(storage.right, K))


# --- a loss
class Smoothed(NamedTuple):
    """The logistic loss of labels of which a share is wrong: ``ln(1 + e^z) - q z``, q = share or 1 - share."""

    share: float  # the first field is what formulas find as `tile.parameter`
    n_classes: int = 2


def _smoothed(tile, rows):
    share, lanes = tile.parameter, tile.lanes
    if lanes.compute.bitwidth == 32:
        share = lanes.builder.fptrunc(share, lanes.scalar)
    share, positive = lanes.splat(share), rows.codes() > 0
    z = rows.margin(i64(0))
    rows.store(tile.M, where(positive, z, -z))
    z = rows.shifted(z, i64(0))
    t = where(positive, z, -z)  # by how much the class of the label leads
    rows.store(tile.F, log1p_to_one(exp(-abs(t))) + where(t >= 0.0, 0.0, -t) + share * t)
    slope = share - sigmoid(-t)
    rows.store(tile.Z, where(positive, slope, -slope), i64(0))


register(Smoothed, two_probabilities, codes=_smoothed)


# --- a transport
class Streamed(Source):
    """Blocks that are made anew for every read, and are gone after it."""

    def __init__(self, make: Callable[[], Iterator[Block]]) -> None:
        self._make = make
        blocks = list(make())
        n_samples, rows = sum(block.n_samples for block in blocks), blocks[0].storage
        super().__init__(n_samples, rows.take(np.arange(0)), blocks[0].loss, rows.row_bytes)

    def blocks(self) -> Iterator[Block]:
        return self._make()


def cut(to_storage: Any, X: np.ndarray, targets: Targets, loss: Any, ends: list[int], **settings) -> list[Block]:
    """The rows in blocks that end at ``ends``, and at the last."""
    blocks = []
    for first, last in zip([0, *ends], [*ends, len(X)], strict=True):
        parts = (a if name == "class_weight" or not a.size else a[first:last] for name, a in targets._asdict().items())
        rows = to_storage(X[first:last])
        blocks.append(Block(rows, Targets(*(read_only(a) for a in parts)), loss, first, **settings))
    return blocks


def two_blocks(to_storage: Any, X: np.ndarray, targets: Targets, loss: Any) -> MemorySource:
    return MemorySource(cut(to_storage, X, targets, loss, [len(X) // 3]))


def streamed(to_storage: Any, X: np.ndarray, targets: Targets, loss: Any, **settings) -> Streamed:
    ends = settings.pop("ends", [len(X) // 3])
    return Streamed(lambda: iter(cut(to_storage, X, targets, loss, ends, stays=False, **settings)))
