"""Dense storages: binding of their operations to the products `dot` and `outer`, in place or on a copied tile."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic, overload

from fastlogit.kernels.machine.jit import TILE_OPTIONS, tile
from fastlogit.kernels.machine.pointer import Pointer, choose
from fastlogit.kernels.machine.simd import Lanes
from fastlogit.kernels.storages import protocol
from fastlogit.kernels.storages.lines import Copied, View
from fastlogit.kernels.storages.products import Write, dot, outer
from fastlogit.kernels.storages.storage import PADDING

#: Classes of one register tile: the sums of 6 classes for 4 lines, with their operands, exceed 32 registers.
CLASSES = 5
#: The same for a copied tile, which needs no centres.
CLASSES_OF_COPY = 6


def _writer(lanes: Lanes, B: Pointer, write_to: str) -> Write:
    """Return the function that writes sums: into elements of Z, or added to those of G."""
    put = lanes.store if write_to == "Z" else lanes.add_to_float64
    return lambda m, place, vector: put(vector, B.at(m, place))


def _micro_kernel(classes: Sequence[int], view_type: type[View], multiply: Any, write_to: str, powers: int) -> Any:
    """Return an intrinsic ``f(X, start, n, A, k, K, center, B, sweeps)`` for K classes from k on, K in ``classes``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        lanes = Lanes(context, builder, kinds[3].dtype)
        A, B = Pointer(context, builder, kinds[3], args[3]), Pointer(context, builder, kinds[7], args[7])
        x = view_type.pointer(context, builder, kinds[0], args[0])
        view = view_type(lanes, x, Pointer(context, builder, kinds[6], args[6]), args[1], args[2])
        view.split_prefetch(args[4], args[8])

        write = _writer(lanes, B, write_to)
        choose(builder, args[5], classes, lambda K: multiply(view, A, args[4], K, write, powers))
        return context.get_dummy_value()

    @intrinsic
    def micro_kernel(
        typingctx: Any, X: Any, start: Any, n: Any, A: Any, k: Any, K: Any, center: Any, B: Any, sweeps: Any
    ) -> Any:
        index = types.int64
        return types.void(X, index, index, A, index, index, center, B, index), codegen

    return micro_kernel


@tile
def class_blocks(K: int) -> Any:
    """Yield ``(first, count)``: K classes in the fewest blocks of at most `CLASSES`, of sizes as equal as possible."""
    blocks = (K + CLASSES - 1) // CLASSES
    for block in range(blocks):
        first = K * block // blocks
        yield first, K * (block + 1) // blocks - first


def register(owns: Callable[[Any], bool], view: type[View], margins: Any, accumulate: Any) -> None:
    """Bind a storage type to its products.

    Parameters
    ----------
    owns : callable
        Tells whether a numba type is this storage.
    view : View
        How its lines are found.
    margins, accumulate : `dot` or `outer`
        The product that computes each.
    """
    copied, transposed = _copier(view, View.copy), _copier(view, View.transpose)
    for function, multiply, write_to, powers in (
        (protocol.margins, margins, "Z", 1),
        (protocol.accumulate, accumulate, "G", 1),
        (protocol.accumulate_moments, accumulate, "G", 2),
    ):
        one, few = (
            _micro_kernel(classes, view, multiply, write_to, powers) for classes in ((1,), range(1, CLASSES + 1))
        )
        copy, many_from = (transposed, view.transposed_from) if multiply is dot else (copied, view.copied_from)
        many = _product_of_copy(write_to) if many_from and powers == 1 else None
        _bind(function, owns, one, few, copy, many, many_from)
    as_rows = copied if margins is dot else transposed

    @overload(protocol.take, jit_options=TILE_OPTIONS)
    def take(storage: Any, start: Any, n: Any, center: Any, B: Any) -> Any:
        def impl(storage: Any, start: Any, n: Any, center: Any, B: Any) -> Any:
            as_rows(protocol.lines(storage, start, n), start, n, center, B)

        return impl if owns(storage) else None


def _copier(view_type: type[View], copy: Callable[[View, Pointer], None]) -> Any:
    """Return an intrinsic ``f(X, start, n, center, B)`` that copies, or transposes, a tile."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        lanes = Lanes(context, builder, kinds[4].dtype)
        x = view_type.pointer(context, builder, kinds[0], args[0])
        view = view_type(lanes, x, Pointer(context, builder, kinds[3], args[3]), args[1], args[2])
        copy(view, Pointer(context, builder, kinds[4], args[4]))
        return context.get_dummy_value()

    @intrinsic
    def copied(typingctx: Any, X: Any, start: Any, n: Any, center: Any, B: Any) -> Any:
        return types.void(X, types.int64, types.int64, center, B), codegen

    return copied


def _product_of_copy(write_to: str) -> Any:
    """Return an intrinsic ``f(tile, n_lines, n_along, A, k, K, B)``: `outer` over a copied tile."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        lanes = Lanes(context, builder, kinds[3].dtype)
        A, B = Pointer(context, builder, kinds[3], args[3]), Pointer(context, builder, kinds[6], args[6])
        view = Copied(lanes, Pointer(context, builder, kinds[0], args[0]), args[1], args[2])

        write = _writer(lanes, B, write_to)
        choose(builder, args[5], (1, CLASSES_OF_COPY), lambda K: outer(view, A, args[4], K, write))
        return context.get_dummy_value()

    @intrinsic
    def product_of_copy(typingctx: Any, tile: Any, n_lines: Any, n_along: Any, A: Any, k: Any, K: Any, B: Any) -> Any:
        index = types.int64
        return types.void(tile, index, index, A, index, index, B), codegen

    return product_of_copy


def _bind(
    function: Any, owns: Callable[[Any], bool], one: Any, few: Any, copy: Any, many: Any, many_from: int | None
) -> None:
    over_features = function is protocol.margins  # whether sums are over features, not rows

    @overload(function, jit_options=TILE_OPTIONS)
    def bind(storage: Any, start: Any, n: Any, A: Any, center: Any, B: Any, sweeps: Any) -> Any:
        if not owns(storage):
            return None

        def vector(storage: Any, start: Any, n: Any, A: Any, center: Any, B: Any, sweeps: Any) -> Any:
            lines = protocol.lines(storage, start, n)
            one(lines, start, n, protocol.as_rows(A), 0, 1, center, protocol.as_rows(B), sweeps)

        def matrix(storage: Any, start: Any, n: Any, A: Any, center: Any, B: Any, sweeps: Any) -> Any:
            lines = protocol.lines(storage, start, n)
            for k, K in class_blocks(A.shape[0]):
                few(lines, start, n, A, k, K, center, B, sweeps)

        def copying_matrix(storage: Any, start: Any, n: Any, A: Any, center: Any, B: Any, sweeps: Any) -> Any:
            K, lines = A.shape[0], protocol.lines(storage, start, n)
            if K < many_from:
                for k, count in class_blocks(K):
                    few(lines, start, n, A, k, count, center, B, sweeps)
                return
            n_features = protocol.n_features(storage)
            n_lines, n_along = (n_features, n) if over_features else (n, n_features)
            tile = np.empty((-(-n_lines // PADDING) * PADDING, -(-n_along // PADDING) * PADDING), A.dtype)
            copy(lines, start, n, center, tile)
            whole = K // CLASSES_OF_COPY * CLASSES_OF_COPY
            for k in range(0, whole, CLASSES_OF_COPY):
                many(tile, n_lines, n_along, A, k, CLASSES_OF_COPY, B)
            for k in range(whole, K):
                many(tile, n_lines, n_along, A, k, 1, B)

        impl = vector if A.ndim == 1 else matrix if many is None else copying_matrix
        # A symbol's name consists of this name and the types. Margins and accumulate may have the same types, and the
        # numbers that numba appends restart in each process: two kernels from the disk cache would share one's code.
        impl.__qualname__ = f"{function.__name__}.{impl.__name__}"
        return impl
