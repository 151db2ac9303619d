"""Further functions of a storage that passes call: squares of rows and columns, and products of columns.

Implemented here for every storage that has `protocol.take`, on the tile of centred rows. A sparse storage overloads
them: it takes no tile, but walks over its nonzeros.
"""

from typing import Any

import numpy as np
from numba.extending import overload

from fastlogit.kernels.machine.jit import TILE_OPTIONS
from fastlogit.kernels.storages.gram import add_gram, row_squares, scale_rows
from fastlogit.kernels.storages.protocol import for_kernels, takes_tiles


def tile_scratch(storage: Any, rows: int, like: Any) -> Any:
    """Return an array for a tile: (rows, like.size), of the type of ``like``; without rows for a sparse storage."""
    raise for_kernels("tile_scratch")


def put_intercept(storage: Any, place: int, B: Any) -> None:
    """Write ones to the column of the intercept in a tile, ``place`` in the order of columns that kernels have."""
    raise for_kernels("put_intercept")


def squares(storage: Any, start: int, n: int, center: Any, inverse_scale: Any, base: float, B: Any, out: Any) -> None:
    """``out[r] = sum_j ((x[start + r, j] - center[j]) inverse_scale[j])^2`` for r < n.

    ``B`` is the tile as `protocol.take` writes it. ``base`` is `Storage.square_of_zeros`, to which a sparse storage
    adds.
    """
    raise for_kernels("squares")


def accumulate_squares(storage: Any, start: int, n: int, S: Any, center: Any, B: Any, sums: Any) -> None:
    """``sums[p, j] += sum_r a^(p + 1)`` with ``a = S[r] (x[start + r, j] - center[j])^2``, for p < 2."""
    raise for_kernels("accumulate_squares")


def accumulate_gram(storage: Any, start: int, n: int, place: int, c: Any, B: Any, Q: Any, H: Any) -> None:
    """``H += sum_r c[r] x~_r x~_r'``, in the upper triangle at least.

    ``place`` is that of the intercept. ``Q`` is another tile, for temporary values. An H with fewer columns than rows
    is an arrow: see `Storage.unpacked_arrow`.
    """
    raise for_kernels("accumulate_gram")


def _of_tiles(function: Any) -> Any:
    """Register an implementation for every storage that has `protocol.take`."""

    def decorate(implementation: Any) -> Any:
        @overload(function, jit_options=TILE_OPTIONS, strict=False)
        def bind(storage: Any, *args: Any) -> Any:
            return implementation if takes_tiles(storage) else None

        return implementation

    return decorate


@_of_tiles(tile_scratch)
def _tile_scratch(storage: Any, rows: int, like: Any) -> Any:
    return np.zeros((rows, like.size), like.dtype)


@_of_tiles(put_intercept)
def _put_intercept(storage: Any, place: int, B: Any) -> None:
    B[:, place] = 1.0


@_of_tiles(squares)
def _squares(storage: Any, start: int, n: int, center: Any, inverse_scale: Any, base: float, B: Any, out: Any) -> None:
    row_squares(B, inverse_scale, n, out)


@_of_tiles(accumulate_squares)
def _accumulate_squares(storage: Any, start: int, n: int, S: Any, center: Any, B: Any, sums: Any) -> None:
    for r in range(n):
        for j in range(center.size):
            a = S[r] * B[r, j] * B[r, j]
            sums[0, j] += a
            sums[1, j] += a * a


@_of_tiles(accumulate_gram)
def _accumulate_gram(storage: Any, start: int, n: int, place: int, c: Any, B: Any, Q: Any, H: Any) -> None:
    scale_rows(B, c, n, Q)
    add_gram(B, Q, n, H)
