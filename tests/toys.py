"""A storage and a source that fastlogit knows nothing of: the proof that the seams hold."""

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from fastlogit.kernels.machine.jit import read_only
from fastlogit.kernels.passes.first_order import Targets
from fastlogit.kernels.storages import protocol
from fastlogit.sources.memory import MemorySource
from fastlogit.sources.targets import source_of


class Deltas(NamedTuple):
    """Rows kept as differences from a base row."""

    base: Any
    delta: Any

    @classmethod
    def of(cls, X: np.ndarray) -> "Deltas":
        base = X[0].astype(np.float64)
        return cls(read_only(base), read_only(X - base))

    shape, dtype = (property(lambda self, name=name: getattr(self.delta, name)) for name in ("shape", "dtype"))

    def take(self, rows):
        return Deltas(self.base, read_only(self.delta[rows]))


def _is_deltas(kind):
    return isinstance(kind, types.BaseNamedTuple) and kind.instance_class is Deltas


def _sums_over_rows(n_powers):
    def impl(storage, start, n, A, center, B, sweeps):
        R, G, D = protocol.as_rows(A), protocol.as_rows(B), storage.base.size
        for k in range(R.shape[0]):
            for r in range(n):
                x = storage.base + storage.delta[start + r] - center[:D]
                for p in range(n_powers):
                    G[k * n_powers + p, :D] += R[k, r] * x ** (p + 1)

    return lambda storage, start, n, A, center, B, sweeps: impl if _is_deltas(storage) else None


overload(protocol.accumulate)(_sums_over_rows(1))
overload(protocol.accumulate_moments)(_sums_over_rows(2))


@overload(protocol.margins)
def _margins(storage, start, n, A, center, B, sweeps):
    def impl(storage, start, n, A, center, B, sweeps):
        W, Z, D = protocol.as_rows(A), protocol.as_rows(B), storage.base.size
        for k in range(W.shape[0]):
            for r in range(n):
                Z[k, r] = ((storage.base + storage.delta[start + r] - center[:D]) * W[k, :D]).sum()

    return impl if _is_deltas(storage) else None


@overload(protocol.take)
def _take(storage, start, n, center, B):
    def impl(storage, start, n, center, B):
        for r in range(n):
            B[r, : storage.base.size] = storage.base + storage.delta[start + r] - center[: storage.base.size]

    return impl if _is_deltas(storage) else None


overload(protocol.tile_rows)(lambda storage, K: (lambda storage, K: 32) if _is_deltas(storage) else None)


class TwoSources:
    """Two sources, one after the other, as one."""

    def __init__(self, first: Any, second: Any) -> None:
        self.first, self.second = first, second
        self.n_samples = first.n_samples + second.n_samples
        self.n_features, self.n_classes = first.n_features, first.n_classes
        self.dtype, self.loss = first.dtype, first.loss

    @classmethod
    def of(cls, to_storage: Any, X: np.ndarray, targets: Targets, loss: Any, dtype: Any) -> "TwoSources":
        cut = len(X) // 3

        def part(rows: slice) -> MemorySource:
            cuts = (a if name == "class_weight" or not a.size else a[rows] for name, a in targets._asdict().items())
            storage = to_storage(X[rows])
            return source_of(storage)(storage, Targets(*cuts), loss, dtype)

        return cls(part(slice(None, cut)), part(slice(cut, None)))

    def __getattr__(self, name):
        """Every pass returns sums."""
        return lambda *args: getattr(self.first, name)(*args) + getattr(self.second, name)(*args)
