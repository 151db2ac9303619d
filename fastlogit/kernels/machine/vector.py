"""A `Vector`: a Python object that stands for a vector register while LLVM IR is written, with NumPy's operators."""

from typing import TYPE_CHECKING, Any

from llvmlite import ir
from numba.core import cgutils

from fastlogit.kernels.machine.pointer import I32

if TYPE_CHECKING:
    from fastlogit.kernels.machine.simd import Lanes


class Vector:
    """Lanes of a register or two: reals, integers of the same width, or a mask. Operators work lane by lane."""

    def __init__(self, lanes: "Lanes", value: Any) -> None:
        self.lanes, self.value = lanes, value

    def _apply(self, name: str, other: Any) -> "Vector":
        return Vector(self.lanes, getattr(self.lanes.builder, name)(self.value, self.like(other).value))

    def like(self, other: Any) -> "Vector":
        """Return ``other`` itself, or a Python number as a vector of this type."""
        if isinstance(other, Vector):
            return other
        return Vector(self.lanes, ir.Constant(self.value.type, [other] * self.lanes.count))

    @property
    def real(self) -> bool:
        """Whether the lanes are reals."""
        return not isinstance(self.value.type.element, ir.IntType)

    def __add__(self, other: Any) -> "Vector":
        return self._apply("fadd" if self.real else "add", other)

    def __sub__(self, other: Any) -> "Vector":
        return self._apply("fsub" if self.real else "sub", other)

    def __rsub__(self, other: Any) -> "Vector":
        return self.like(other) - self

    def __mul__(self, other: Any) -> "Vector":
        return self._apply("fmul" if self.real else "mul", other)

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other: Any) -> "Vector":
        return self._apply("fdiv", other)

    def __rtruediv__(self, other: Any) -> "Vector":
        return self.like(other) / self

    def __neg__(self) -> "Vector":
        return Vector(self.lanes, self.lanes.builder.fneg(self.value))

    def __and__(self, other: Any) -> "Vector":
        return self._apply("and_", other)

    def __lshift__(self, other: int) -> "Vector":
        return self._apply("shl", other)

    def __rshift__(self, other: int) -> "Vector":
        return self._apply("ashr", other)

    def _compare(self, operator: str, other: Any) -> "Vector":
        builder, right = self.lanes.builder, self.like(other).value
        compare = builder.fcmp_ordered if self.real else builder.icmp_signed
        return Vector(self.lanes, compare(operator, self.value, right))

    def __lt__(self, other: Any) -> "Vector":
        return self._compare("<", other)

    def __gt__(self, other: Any) -> "Vector":
        return self._compare(">", other)

    def __ge__(self, other: Any) -> "Vector":
        return self._compare(">=", other)

    def equals(self, other: Any) -> "Vector":
        """Return the mask of equal lanes; ``==`` itself stays the comparison of Python objects."""
        return self._compare("==", other)

    def bits(self) -> "Vector":
        """Return the reals' bit patterns as integers."""
        return Vector(self.lanes, self.lanes.builder.bitcast(self.value, self.lanes.integers))

    def as_real(self) -> "Vector":
        """Return integers, taken as bit patterns, as reals."""
        return Vector(self.lanes, self.lanes.builder.bitcast(self.value, self.lanes.reals))

    def __abs__(self) -> "Vector":
        return self.lanes.call("llvm.fabs", self)

    def lane(self, i: int) -> Any:
        """Return a lane as a scalar."""
        return self.lanes.builder.extract_element(self.value, ir.Constant(I32, i))

    def largest(self) -> Any:
        """Return the largest lane as a scalar; no lane may be NaN."""
        name = f"llvm.vector.reduce.fmax.{self.lanes.suffix}"
        function = self.lanes.function(name, self.lanes.scalar, self.value.type)
        return self.lanes.builder.call(function, [self.value], fastmath=("nnan",))

    def sum(self) -> Any:
        """Return the sum of the lanes as a scalar, in the order that is quickest on the target."""
        name = f"llvm.vector.reduce.fadd.{self.lanes.suffix}"
        start = ir.Constant(self.lanes.scalar, 0.0)
        function = self.lanes.function(name, self.lanes.scalar, start.type, self.value.type)
        return self.lanes.builder.call(function, [start, self.value], fastmath=("reassoc",))


def where(mask: Vector, yes: Any, no: Any) -> Vector:
    """``yes`` in the lanes of ``mask``, ``no`` in the others; one of the two may be a number."""
    yes = yes if isinstance(yes, Vector) else no.like(yes)
    return Vector(mask.lanes, mask.lanes.builder.select(mask.value, yes.value, yes.like(no).value))


def maximum(a: Vector, b: Any) -> Vector:
    """Return the larger of two, ``b`` where ``a`` is NaN."""
    return where(a > b, a, b)


def minimum(a: Vector, b: Any) -> Vector:
    """Return the smaller of two, ``b`` where ``a`` is NaN."""
    return where(a < b, a, b)


def muladd(a: Vector, b: Any, c: Any) -> Vector:
    """Return ``a * b + c``, in one rounding where the target has such an instruction."""
    return a.lanes.call("llvm.fmuladd", a, a.like(b), a.like(c))


class Sum:
    """A variable that holds a vector, such as a running sum: LLVM keeps it in a register."""

    def __init__(self, lanes: "Lanes", start: Vector) -> None:
        self.lanes = lanes
        self._cell = cgutils.alloca_once_value(lanes.builder, start.value)

    @property
    def value(self) -> Vector:
        """The sum so far."""
        return Vector(self.lanes, self.lanes.builder.load(self._cell))

    @value.setter
    def value(self, new: Vector) -> None:
        self.lanes.builder.store(new.value, self._cell)
