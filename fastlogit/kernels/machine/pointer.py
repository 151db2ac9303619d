"""Arrays and integers inside generated code."""

from collections.abc import Callable, Iterable
from typing import Any

from llvmlite import ir

I8, I32, I64 = (ir.IntType(bits) for bits in (8, 32, 64))


def i64(value: int) -> Any:
    """Return an integer constant."""
    return ir.Constant(I64, value)


class Pointer:
    """An array inside generated code: its data, shape and strides in bytes.

    ``contiguous`` names the axis whose elements are adjacent: its stride is then a constant, so that neighbours share
    one address register (1.5 times the speed of the dense kernels).
    """

    def __init__(self, context: Any, builder: Any, array_type: Any, value: Any, contiguous: int | None = None) -> None:
        array = context.make_array(array_type)(context, builder, value)
        self.builder, self.dtype = builder, array_type.dtype
        self.data = builder.bitcast(array.data, I8.as_pointer())
        self.shape = [builder.extract_value(array.shape, axis) for axis in range(array_type.ndim)]
        self.strides = [builder.extract_value(array.strides, axis) for axis in range(array_type.ndim)]
        if contiguous is None and array_type.layout == "C":
            contiguous = array_type.ndim - 1
        self.itemsize = context.get_abi_sizeof(context.get_data_type(self.dtype))
        if contiguous is not None:
            self.strides[contiguous] = i64(self.itemsize)
        self.scalar = context.get_data_type(self.dtype)

    @classmethod
    def to_stack(cls, builder: Any, cells: Any, stride: Any) -> "Pointer":
        """Return a pointer to cells on the stack, ``stride`` bytes apart."""
        pointer = cls.__new__(cls)
        pointer.builder, pointer.data, pointer.strides = builder, builder.bitcast(cells, I8.as_pointer()), [stride]
        return pointer

    def at(self, *index: Any) -> Any:
        """Return the address of an element."""
        total = i64(0)
        for i, stride in zip(index, self.strides, strict=True):
            total = self.builder.add(total, self.builder.mul(i, stride))
        return self.builder.gep(self.data, [total])

    def load(self, *index: Any) -> Any:
        """Return an element."""
        return self.builder.load(self.builder.bitcast(self.at(*index), self.scalar.as_pointer()))

    def store(self, value: Any, *index: Any) -> None:
        """Set an element."""
        self.builder.store(value, self.builder.bitcast(self.at(*index), self.scalar.as_pointer()))

    def size(self) -> Any:
        """Return the number of elements."""
        total = self.shape[0]
        for extent in self.shape[1:]:
            total = self.builder.mul(total, extent)
        return total


def choose(builder: Any, value: Any, options: Iterable[int], emit: Callable[[int], None]) -> None:
    """Write a switch: ``emit(option)`` writes the code that runs if ``value`` is ``option``, a constant there."""
    end = builder.append_basic_block("chosen")
    switch = builder.switch(value, end)
    for option in options:
        block = builder.append_basic_block(f"choice{option}")
        switch.add_case(i64(option), block)
        builder.position_at_end(block)
        emit(option)
        builder.branch(end)
    builder.position_at_end(end)
