"""The functions of a storage that passes call in compiled code: products over a tile of rows, and the tile itself.

A storage is a ``NamedTuple`` of arrays. A pass gives it a tile of rows, coefficients and a centre; only the storage
knows how X is laid out in memory, and it knows nothing of losses. A new storage registers an ``overload`` of these
functions for its own type, as `rows` and `columns` do, and implements
`fastlogit.kernels.storages.storage.Storage` in Python. A sparse one, such as `csr`, overloads the functions of `tiles`
too.

Arguments that these functions share:

- ``start``, ``n``: the tile is rows ``start`` to ``start + n``; about `tile_rows` rows at a time are fastest;
- ``W`` (K, padded), or (padded,) for one margin of a row, which compiles to less code: coefficients;
- ``Z``, ``R`` (K, rows) or (rows,), as W: margins and residuals; ``Z`` may be written up to `padded_rows`;
- ``center`` (padded,): subtracted from rows, but not by a sparse storage, whose intercepts contain it (`Storage.pack`);
- ``G`` (K, padded) float64: sums over rows;
- ``sweeps``: in how many sweeps over the tile the pass can prefetch the next tile, which matters for speed alone.

All but G are of the computing type. ``padded`` is n_features rounded up to a multiple of `PADDING`; W and center are
zero from n_features on. A sparse storage has the classes of a column adjacent in memory, in W and in G.
"""

from typing import Any

import numpy as np
from numba.extending import overload

from fastlogit.kernels.machine.jit import TILE_OPTIONS, tile

#: Most rows that a loss computes at once, two registers of float32: arrays over a tile's rows are padded to a multiple.
ROWS_AT_ONCE = 32


def for_kernels(name: str) -> TypeError:
    """Return the error of a function that was called in Python, or for a type that has not registered it."""
    return TypeError(f"{name} is for compiled code, and no storage of this type has registered it")


def margins(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> None:
    """``Z[k, r] = sum_j (x[start + r, j] - center[j]) W[k, j]`` for r < n, with A = W and B = Z."""
    raise for_kernels("margins")


def add_margins(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> None:
    """Add to Z what `margins` would write, so that a storage can consist of two, each with some of the columns.

    By default `margins` writes to a temporary tile first.
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

    ``B`` (rows, padded) may be written up to the next multiples of 16 rows and of 16 columns, with any values.
    """
    raise for_kernels("take")


def bounds(storage: Any, first: int, last: int, chunk: int, n_chunks: int) -> Any:
    """Return the range of rows, of ``first`` to ``last``, of chunk number ``chunk``."""
    raise for_kernels("bounds")


def tile_rows(storage: Any, K: int) -> int:
    """Return the number of rows of a tile, a multiple of 16."""
    raise for_kernels("tile_rows")


def lines(storage: Any, start: int, n: int) -> Any:
    """Return the array from which a view loads the lines of a dense tile: by default the matrix ``storage.X``."""
    raise for_kernels("lines")


def n_features(storage: Any) -> int:
    """Return the number of columns of a dense storage."""
    raise for_kernels("n_features")


def _has_matrix(storage: Any) -> bool:
    return "X" in getattr(storage, "fields", ())


def takes_tiles(kind: Any) -> bool:
    """Return whether `take` is registered for a storage's numba type."""
    return bool(getattr(kind.instance_class, "takes_tiles", False))


@tile
def row_bounds(first: int, last: int, chunk: int, n_chunks: int) -> Any:
    """Return the range of rows of a chunk, in units of 64 rows: only the last chunk may have another number."""
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

    return by_margins if hasattr(storage.instance_class, "takes_tiles") else None


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
    """Return a view (1, n) of ``A`` (n,), or ``A`` itself if it has two dimensions; in compiled code."""
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
    """Return the length of an array over a tile's ``T`` rows: T rounded up to a multiple of `ROWS_AT_ONCE`."""
    return (T + ROWS_AT_ONCE - 1) // ROWS_AT_ONCE * ROWS_AT_ONCE
