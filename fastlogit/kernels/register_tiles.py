"""Binds the micro-kernels of a dense storage to the three sums that a pass asks for.

A micro-kernel is written for a number of classes known at compile time, because its sums live in registers. A tile of
K classes is cut into blocks of at most `CLASSES`. Where there is one margin a row, only that case is compiled.
"""

from collections.abc import Callable
from typing import Any

from numba import types
from numba.extending import intrinsic, overload

from fastlogit.kernels import storage as protocol
from fastlogit.kernels.jit import TILE_OPTIONS, tile

CLASSES = 6


@tile
def class_blocks(K: int) -> Any:
    """Yield ``(first, count)``: K classes in the fewest blocks of at most `CLASSES`, as even as can be."""
    blocks = (K + CLASSES - 1) // CLASSES
    size = (K + blocks - 1) // blocks
    for k in range(0, K, size):
        yield k, min(size, K - k)


def _intrinsic(codegen: Any) -> Any:
    """Make ``f(X, start, n, A, k, K, center, B)`` of the code generator of a micro-kernel."""

    @intrinsic
    def micro_kernel(typingctx: Any, X: Any, start: Any, n: Any, A: Any, k: Any, K: Any, center: Any, B: Any) -> Any:
        index = types.int64
        return types.void(X, index, index, A, index, index, center, B), codegen

    return micro_kernel


def _register(function: Any, owns: Callable[[Any], bool], generator: Callable[[range], Any]) -> None:
    one, many = _intrinsic(generator(range(1, 2))), _intrinsic(generator(range(1, CLASSES + 1)))

    @overload(function, jit_options=TILE_OPTIONS)
    def bind(storage: Any, start: Any, n: Any, A: Any, center: Any, B: Any) -> Any:
        if not owns(storage):
            return None

        def vector(storage: Any, start: Any, n: Any, A: Any, center: Any, B: Any) -> Any:
            one(storage.X, start, n, protocol.as_rows(A), 0, 1, center, protocol.as_rows(B))

        def matrix(storage: Any, start: Any, n: Any, A: Any, center: Any, B: Any) -> Any:
            for k, K in class_blocks(A.shape[0]):
                many(storage.X, start, n, A, k, K, center, B)

        return vector if A.ndim == 1 else matrix


def register(owns: Callable[[Any], bool], margins: Any, accumulate: Any, accumulate_squares: Any) -> None:
    """Bind a storage type to its micro-kernels.

    Parameters
    ----------
    owns : callable
        Tells whether a numba type is this storage.
    margins, accumulate, accumulate_squares : callable
        ``generator(classes) -> codegen``: the micro-kernel for every number of classes in the range ``classes``.
    """
    _register(protocol.margins, owns, margins)
    _register(protocol.accumulate, owns, accumulate)
    _register(protocol.accumulate_squares, owns, accumulate_squares)
