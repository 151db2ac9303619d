"""Nothing: rows without columns, for what has a part of numbers that may be empty. Its kernels compile to nothing."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload
from numpy.typing import NDArray

from fastlogit.kernels.machine.jit import TILE_OPTIONS, read_only
from fastlogit.kernels.storages import protocol
from fastlogit.kernels.storages.storage import Storage


class _Fields(NamedTuple):
    n_samples: int
    like: NDArray[Any]


class Nothing(_Fields, Storage):
    """X of shape (n_samples, 0)."""

    __slots__ = ()

    @classmethod
    def of(cls, n_samples: int) -> "Nothing":
        """Return so many rows without columns, computed with in float64."""
        return cls(n_samples, read_only(np.empty(0)))

    @property
    def shape(self) -> tuple[int, int]:
        """(n_samples, 0)."""
        return self.n_samples, 0

    @property
    def dtype(self) -> np.dtype[Any]:
        """float64."""
        return self.like.dtype

    def take(self, rows: NDArray[np.intp]) -> "Nothing":
        """See `Storage.take`."""
        return Nothing(len(rows), self.like)

    @classmethod
    def join(cls, parts: Sequence["Nothing"]) -> "Nothing":
        """See `Storage.join`."""
        return cls(sum(part.n_samples for part in parts), parts[0].like)

    def dense(self, columns: slice) -> NDArray[np.float64]:
        """See `Storage.dense`."""
        return np.empty((self.n_samples, 0))


def is_nothing(kind: Any) -> bool:
    """Return whether a numba type is `Nothing`."""
    return isinstance(kind, types.NamedTuple) and kind.instance_class is Nothing


def _of_nothing(function: Any) -> Any:
    """Register an implementation for `Nothing`."""

    def decorate(implementation: Any) -> Any:
        implementation.__qualname__ = f"{function.__name__}.nothing"

        @overload(function, jit_options=TILE_OPTIONS, strict=False)
        def bind(storage: Any, *args: Any) -> Any:
            return implementation if is_nothing(storage) else None

        return implementation

    return decorate


@_of_nothing(protocol.margins)
def _margins(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> None:
    B[..., :n] = 0.0


@_of_nothing(protocol.accumulate)
def _accumulate(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> None:
    pass


@_of_nothing(protocol.accumulate_moments)
def _accumulate_moments(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> None:
    pass


@_of_nothing(protocol.take)
def _take(storage: Any, start: int, n: int, center: Any, B: Any) -> None:
    pass


@_of_nothing(protocol.n_features)
def _n_features(storage: Any) -> int:
    return 0


@_of_nothing(protocol.tile_rows)
def _tile_rows(storage: Any, K: int) -> int:
    return 1024
