"""Softmax and cross-entropy of one row of logits, a vector of classes at a time: for many classes.

Rows of few classes are first transposed into a tile, so that each vector holds one class of several rows
(`storages.transpose`). A row of many classes fills vectors by itself, and transposing it would cost as much as the
exponentials.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from fastlogit.kernels.machine.elementary import exp, log1p
from fastlogit.kernels.machine.pointer import Pointer, i64
from fastlogit.kernels.machine.simd import Lanes
from fastlogit.kernels.machine.vector import Sum, Vector, maximum, where


class _Row:
    """A row of logits inside generated code, and the row of the output that goes with it."""

    def __init__(
        self, context: Any, builder: Any, kind: Any, logits: Any, row: Any, out: Pointer | None = None
    ) -> None:
        self.lanes, self.builder = Lanes(context, builder, kind.dtype, width=2), builder
        self.z = Pointer(context, builder, kind, logits, contiguous=1)
        self.out, self.row, self.n_classes = out, row, self.z.shape[1]

    def each(self, body: Callable[[Any, Vector | None], None]) -> None:
        """Write ``body(k, mask)`` for every vector of classes from k on; only a partial one has a mask."""
        for k, mask in self.lanes.vectors(self.n_classes):
            body(k, mask)

    def logits(self, k: Any, mask: Vector | None) -> Vector:
        """Return a vector of logits, minus infinity where there is no class."""
        z = self.lanes.load(self.z.at(self.row, k), None, mask)
        return z if mask is None else where(mask, z, -np.inf)

    def _prefetch_next(self, array: Pointer, k: Any, write: bool) -> None:
        after = array.at(self.builder.add(self.row, i64(1)), k)
        self.lanes.prefetch(after, self.lanes.count * array.itemsize, level=2, write=write)

    def largest(self) -> Vector:
        """Return the largest logit in every lane; prefetch the next row."""
        lanes = self.lanes
        largest = Sum(lanes, lanes.constant(-np.inf))

        def compare(k: Any, mask: Vector | None) -> None:
            self._prefetch_next(self.z, k, write=False)
            if self.out is not None:
                self._prefetch_next(self.out, k, write=True)
            largest.value = maximum(self.logits(k, mask), largest.value)

        self.each(compare)
        return lanes.splat(largest.value.largest())

    def write(self, k: Any, mask: Vector | None, value: Vector) -> None:
        """Write a vector of the output."""
        assert self.out is not None
        self.lanes.store(value, self.out.at(self.row, k), mask)

    def multiply(self, factor: Vector) -> None:
        """Multiply the output by ``factor``."""
        out = self.out
        assert out is not None
        self.each(lambda k, mask: self.write(k, mask, self.lanes.load(out.at(self.row, k), None, mask) * factor))


@intrinsic
def softmax_of_row(typingctx: Any, logits: Any, row: Any, out: Any) -> Any:
    """``out[row] = softmax(logits[row])``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        row = _Row(context, builder, logits, args[0], args[1], Pointer(context, builder, out, args[2]))
        largest, total = row.largest(), Sum(row.lanes, row.lanes.zero)

        def add(k: Any, mask: Vector | None) -> None:
            e = exp(row.logits(k, mask) - largest)
            total.value = total.value + e
            row.write(k, mask, e)

        row.each(add)
        row.multiply(1.0 / row.lanes.splat(total.value.sum()))
        return context.get_dummy_value()

    return types.void(logits, types.int64, out), codegen


def _cross_entropy(row: _Row, labels: Pointer, factor: Any = None) -> Any:
    """Return the loss of a row; with ``factor``, write ``factor`` times its gradient.

    The true class's term is kept apart, as in `fastlogit.kernels.losses.softmax`, so that nothing cancels.
    """
    lanes, builder = row.lanes, row.builder
    label = builder.zext(labels.load(row.row), i64(0).type) if labels.itemsize < 8 else labels.load(row.row)
    own_class = lanes.splat(
        builder.trunc(label, lanes.integers.element) if lanes.integers.element.width < 64 else label
    )
    largest, others = row.largest(), Sum(lanes, lanes.zero)

    def add(k: Any, mask: Vector | None) -> None:
        e = where(lanes.ramp(k).equals(own_class), 0.0, exp(row.logits(k, mask) - largest))
        others.value = others.value + e
        if factor is not None:
            row.write(k, mask, e)

    row.each(add)
    rest = lanes.splat(others.value.sum())
    lead = lanes.splat(row.z.load(row.row, label)) - largest
    own = exp(lead)
    if factor is not None:
        assert row.out is not None
        share = lanes.splat(factor) / (rest + own)
        row.multiply(share)
        row.out.store((-(rest * share)).lane(0), row.row, label)
    return (log1p(rest + (own - 1.0)) - lead).lane(0)


@intrinsic
def cross_entropy_of_row(typingctx: Any, logits: Any, labels: Any, row: Any) -> Any:
    """Return ``-ln softmax(logits[row])[labels[row]]``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _cross_entropy(
            _Row(context, builder, logits, args[0], args[2]), Pointer(context, builder, labels, args[1])
        )

    return logits.dtype(logits, labels, types.int64), codegen


@intrinsic
def cross_entropy_grad_of_row(typingctx: Any, logits: Any, labels: Any, row: Any, factor: Any, out: Any) -> Any:
    """``out[row] = factor (softmax(logits[row]) - onehot(labels[row]))``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        row = _Row(context, builder, logits, args[0], args[2], Pointer(context, builder, out, args[4]))
        _cross_entropy(row, Pointer(context, builder, labels, args[1]), args[3])
        return context.get_dummy_value()

    return types.void(logits, labels, types.int64, logits.dtype, out), codegen
