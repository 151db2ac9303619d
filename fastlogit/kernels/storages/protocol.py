"""What a pass asks of a storage: sums over a tile of rows, and the tile itself. Each storage answers by ``overload``.

A storage is a ``NamedTuple`` of arrays. A pass hands it a range of rows, coefficients and a centre; only the storage
knows how X lies in memory, and it knows nothing of losses. To join, a storage registers an ``overload`` of these
functions for its own type (`rows` and `columns` do), and gives Python the attributes ``shape`` and
``dtype`` and the methods ``take(rows)``, a storage of some rows alone, and ``first_not_finite()``.
`csr` is a sparse one; it answers for those of `tiles` too.

Conventions: ``start`` and ``n`` are the tile's rows, some ``tile_rows`` at a time being quickest; ``W`` is (K, padded),
or (padded,) where there is one margin a row, which compiles to less; ``Z`` and ``R`` are (K, rows) or (rows,) to match;
``center`` is (padded,). All are of the computing type and zero from n_features on, padded to a multiple of `PADDING`.
``G`` is (K, padded) float64. A sparse storage has them the other way around in memory, the classes of a column
adjacent, and adds up rows as they are: their centre is in the intercepts (`pack_coefficients`). ``sweeps`` tells over
how many sweeps of a tile the pass can spread its asking for the next tile: it is a hint, for the speed alone. ``Z`` may
be written up to `padded_rows`.
"""

from typing import Any

import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from fastlogit.kernels.machine.jit import TILE_OPTIONS, tile

PADDING = 16
#: Rows that losses take at once, two registers of float32 at most: arrays of a tile's rows are padded to a multiple.
ROWS_AT_ONCE = 32


def for_kernels(name: str) -> TypeError:
    """Return the error of a function that only compiled code can call."""
    return TypeError(f"{name} is for compiled code, and no storage of this type has registered it")


def margins(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> None:
    """``Z[k, r] = sum_j (x[start + r, j] - center[j]) W[k, j]`` for r < n, with A = W and B = Z."""
    raise for_kernels("margins")


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


def is_sparse(kind: Any) -> bool:
    """Tell whether a storage, or its numba type, keeps nonzeros only."""
    return "indptr" in getattr(kind, "fields", getattr(kind, "_fields", ()))


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

    return None if is_sparse(storage) else by_rows


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


def first_not_finite(X: NDArray[Any]) -> tuple[int, int, float] | None:
    """Return row, column and value of the first element of a matrix that is NaN or infinite."""
    bad = ~np.isfinite(X)
    if not bad.any():
        return None
    row, column = np.argwhere(bad)[0].tolist()
    return row, column, float(X[row, column])


def padded(n_features: int) -> int:
    """Return the length of a coefficient row: ``n_features`` up to a multiple of `PADDING`."""
    return -(-n_features // PADDING) * PADDING


def pack(values: NDArray[np.float64], dtype: Any) -> NDArray[Any]:
    """Return ``values`` (..., n_features) zero-padded to ``(..., padded)`` in ``dtype``."""
    packed = np.zeros((*values.shape[:-1], padded(values.shape[-1])), dtype)
    packed[..., : values.shape[-1]] = values
    return packed


def margins_at(x: NDArray[np.float64], W: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``x W`` (K,) for one row x.

    Not by BLAS, whose threads would go on spinning beside the passes that follow, some 80 ms long.
    """
    product: NDArray[np.float64] = np.einsum("j,jk", x, W)
    return product


def pack_coefficients(
    storage: Any, W: NDArray[np.float64], center: NDArray[np.float64], dtype: Any
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return coefficients, intercepts and centre as a pass reads them; ``W`` is (n_features + 1, K).

    A sparse storage's rows stay as they are: ``(x - c) W + b = x W + (b - c W)``.
    """
    intercepts = W[-1]
    if not is_sparse(storage):
        coefficients = pack(W[:-1].T, dtype)
    else:
        intercepts = intercepts - margins_at(center, W[:-1])
        adjacent = np.zeros((padded(len(W) - 1), n_adjacent(storage, W.shape[1])), dtype)
        adjacent[: len(W) - 1, : W.shape[1]] = W[:-1]
        coefficients = adjacent[:, : W.shape[1]].T
    return coefficients[0] if W.shape[1] == 1 else coefficients, intercepts.astype(dtype), pack(center, dtype)


def empty_sums(storage: Any, n_chunks: int, n_sums: int, size: int) -> NDArray[np.float64]:
    """Return room for each chunk's sums (n_sums, size), in the order that the storage adds to them."""
    if is_sparse(storage):
        return np.empty((n_chunks, size, n_sums)).transpose(0, 2, 1)
    return np.empty((n_chunks, n_sums, size))


def n_adjacent(storage: Any, K: int) -> int:
    """Return how many numbers of a column there is room for where it has K: of sparse rows 1, 2, or a multiple of 4.

    They are then loaded and stored whole: a masked store is not forwarded to the load that comes next.
    """
    return -(-K // 4) * 4 if is_sparse(storage) and K > 2 else K
