"""What a pass asks of a storage: sums over a tile of rows, and the tile itself. Each storage answers by ``overload``.

A storage is a ``NamedTuple`` of arrays. A pass hands it a range of rows, coefficients and a centre; only the storage
knows how X lies in memory, and it knows nothing of losses. To join, a storage registers an ``overload`` of these
functions for its own type (`rows` and `columns` do), and answers Python as `fastlogit.kernels.storages.storage.Storage`
says. `csr` is a sparse one; it answers for the functions of `tiles` too.

Conventions: ``start`` and ``n`` are the tile's rows, some ``tile_rows`` at a time being quickest; ``W`` is (K, padded),
or (padded,) where there is one margin a row, which compiles to less; ``Z`` and ``R`` are (K, rows) or (rows,) to match;
``center`` is (padded,). All are of the computing type and zero from n_features on, padded to a multiple of `PADDING`.
``G`` is (K, padded) float64. A sparse storage keeps the classes of a column adjacent in memory, and adds up rows
without a centre, which is in the intercepts (`Storage.pack`). ``sweeps`` is over how many sweeps of a tile the pass can
spread the prefetch of the next tile: a hint, for the speed alone. ``Z`` may be written up to `padded_rows`.
"""

from typing import Any

import numpy as np
from numba.extending import overload

from fastlogit.kernels.machine.jit import TILE_OPTIONS, tile

#: Rows that losses take at once, two registers of float32 at most: arrays of a tile's rows are padded to a multiple.
ROWS_AT_ONCE = 32


def for_kernels(name: str) -> TypeError:
    """Return the error of a function that only compiled code can call."""
    return TypeError(f"{name} is for compiled code, and no storage of this type has registered it")


def margins(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> None:
    """``Z[k, r] = sum_j (x[start + r, j] - center[j]) W[k, j]`` for r < n, with A = W and B = Z."""
    raise for_kernels("margins")


def add_margins(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> None:
    """Add to Z what `margins` would write: a storage can so be made of two, each of some of the columns.

    By default the margins are written to a tile of their own first.
    """
    raise for_kernels("add_margins")


def accumulate(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> None:
    """``G[k, j] += sum_r R[k, r] (x[start + r, j] - center[j])`` over r < n, with A = R and B = G."""
    raise for_kernels("accumulate")


def accumulate_moments(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> None:
    """``G[p, j] += sum_r s[r] (x[start + r, j] - center[j])^(p + 1)`` over r < n, p < 2, with A = s and B = G."""
    raise for_kernels("accumulate_moments")


def take(storage: Any, start: int, n: int, center: Any, B: Any) -> None:
    """``B[r, j] = x[start + r, j] - center[j]`` for r < n and j < n_features.

    ``B`` (rows, padded) may be written up to the next multiple of 16 rows, and with anything up to that of columns.
    """
    raise for_kernels("take")


def bounds(storage: Any, first: int, last: int, chunk: int, n_chunks: int) -> Any:
    """Return the rows of a chunk of ``first`` to ``last``."""
    raise for_kernels("bounds")


def tile_rows(storage: Any, K: int) -> int:
    """Return the rows of a tile: a multiple of 16."""
    raise for_kernels("tile_rows")


def lines(storage: Any, start: int, n: int) -> Any:
    """Return what a view finds the lines of a tile of dense X by: by default the matrix ``storage.X`` itself."""
    raise for_kernels("lines")


def n_features(storage: Any) -> int:
    """Return the number of columns of dense X."""
    raise for_kernels("n_features")


def _has_matrix(storage: Any) -> bool:
    return "X" in getattr(storage, "fields", ())


def takes_tiles(kind: Any) -> bool:
    """Tell whether a storage's numba type is of one that can give a tile of itself: `take` is registered for it."""
    return bool(getattr(kind.instance_class, "takes_tiles", False))


@tile
def row_bounds(first: int, last: int, chunk: int, n_chunks: int) -> Any:
    """Return the rows of a chunk: whole tiles of 64 rows, so that only the last chunk ends within one."""
    blocks = (last - first + 63) // 64
    begin = first + 64 * (chunk * blocks // n_chunks)
    end = first + 64 * ((chunk + 1) * blocks // n_chunks)
    return begin, min(end, last)


@overload(bounds, jit_options=TILE_OPTIONS)
def _bounds(storage: Any, first: Any, last: Any, chunk: Any, n_chunks: Any) -> Any:
    def by_rows(storage: Any, first: Any, last: Any, chunk: Any, n_chunks: Any) -> Any:
        return row_bounds(first, last, chunk, n_chunks)

    return by_rows if takes_tiles(storage) else None


@overload(add_margins, jit_options=TILE_OPTIONS, strict=False)
def _add_margins(storage: Any, start: Any, n: Any, A: Any, center: Any, B: Any, sweeps: Any) -> Any:
    def by_margins(storage: Any, start: Any, n: Any, A: Any, center: Any, B: Any, sweeps: Any) -> None:
        Z = np.empty_like(B)
        margins(storage, start, n, A, center, Z, sweeps)
        for r in range(n):
            B[..., r] += Z[..., r]

    return by_margins if takes_tiles(storage) else None


@overload(lines, jit_options=TILE_OPTIONS)
def _lines(storage: Any, start: Any, n: Any) -> Any:
    def matrix(storage: Any, start: Any, n: Any) -> Any:
        return storage.X

    return matrix if _has_matrix(storage) else None


@overload(n_features, jit_options=TILE_OPTIONS)
def _n_features(storage: Any) -> Any:
    def of_matrix(storage: Any) -> Any:
        return storage.X.shape[1]

    return of_matrix if _has_matrix(storage) else None


def as_rows(A: Any) -> Any:
    """Return ``A`` of shape (n,) seen as (1, n), or ``A`` of two dimensions itself, in compiled code."""
    raise for_kernels("as_rows")


@overload(as_rows, jit_options=TILE_OPTIONS)
def _as_rows(A: Any) -> Any:
    def vector(A: Any) -> Any:
        return A.reshape((1, A.size))

    def matrix(A: Any) -> Any:
        return A

    return vector if A.ndim == 1 else matrix


@tile
def padded_rows(T: int) -> int:
    """Return the length of an array that holds something of each of a tile's ``T`` rows."""
    return (T + ROWS_AT_ONCE - 1) // ROWS_AT_ONCE * ROWS_AT_ONCE
