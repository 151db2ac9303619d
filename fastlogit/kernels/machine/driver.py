"""One parallel loop for all kernels: it calls a compiled function for each chunk, by address.

Numba compiles the body of a ``prange`` four times, once into each of the libraries that make up a parallel function. A
kernel is therefore an ordinary function of one chunk, compiled once; the ``prange`` is here, and the same for every
kernel. A softmax pass over rows then compiles in half the time (`docs/experiments.md`).

    run(function, loop, arguments, n_chunks)        packs the arguments into a block of memory
      loop(step, block, n_chunks)                   `parallel` or `serial`
        step(block, chunk)                          unpacks them; generated for each list of argument types
          function(chunk, n_chunks, *arguments)     the kernel
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from fastlogit.kernels.machine.pointer import I8, I32, I64

I8P = I8.as_pointer()
_STEP = ir.FunctionType(ir.VoidType(), [I8P, I64])
_RETURNED = (0, -2)  # numba's status of a function that returned something, or None; all others are exceptions


def call(context: Any, builder: Any, address: Any, kinds: Sequence[Any], values: Sequence[Any]) -> Any:
    """Call a compiled function that returns None, by numba's own calling convention; return its status."""
    convention, packer = context.call_conv, context.get_arg_packer(kinds)
    signature = convention.get_function_type(types.none, kinds)
    result, exception = (cgutils.alloca_once(builder, kind.pointee) for kind in signature.args[:2])
    builder.store(ir.Constant(exception.type.pointee, None), exception)
    function = builder.inttoptr(address, signature.as_pointer())
    return builder.call(function, [result, exception, *packer.as_arguments(builder, values)])


def _borrowed(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """Return arrays, and tuples of them, as borrowed references, without reference counting.

    The caller keeps them alive while the kernel runs. Counting would add an atomic operation on a number shared by all
    threads wherever a tile is passed on: 7 to 15 % of a pass over 28 columns.
    """
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo = ir.Constant(array.meminfo.type, None)
        return array._getvalue()
    if isinstance(kind, types.BaseTuple):
        for i, member in enumerate(kind.types):
            borrowed = _borrowed(context, builder, member, builder.extract_value(value, i))
            value = builder.insert_value(value, borrowed, i)
    return value


@intrinsic
def _step(typingctx: Any, step: Any, block: Any, chunk: Any) -> Any:
    """Run one chunk."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        function = builder.inttoptr(args[0], _STEP.as_pointer())
        builder.call(function, [builder.inttoptr(args[1], I8P), args[2]])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


def parallel(step: int, block: int, n_chunks: int) -> None:
    """Run all chunks on numba's threads."""
    for chunk in prange(n_chunks):
        _step(step, block, chunk)


def serial(step: int, block: int, n_chunks: int) -> None:
    """Run all chunks on this thread."""
    for chunk in range(n_chunks):
        _step(step, block, chunk)


@intrinsic
def _run(typingctx: Any, function: Any, loop: Any, arguments: Any, n_chunks: Any) -> Any:
    """Run a kernel on all chunks; return whether one of them failed."""
    kinds = (types.int64, types.int64, *arguments.types)

    def step_of(context: Any, module: Any, block: Any) -> Any:
        """Return a function of (block, chunk) that unpacks the block and calls the kernel."""
        step = ir.Function(module, _STEP, module.get_unique_name("step"))
        step.linkage = "internal"
        builder = ir.IRBuilder(step.append_basic_block())
        place = builder.bitcast(step.args[0], block.as_pointer())
        address, values, n, _ = (builder.extract_value(builder.load(place), i) for i in range(4))
        values = [step.args[1], n, *cgutils.unpack_tuple(builder, values)]
        status = call(context, builder, address, kinds, values)
        returned = [builder.icmp_signed("==", status, ir.Constant(I32, code)) for code in _RETURNED]
        with builder.if_then(builder.not_(builder.or_(*returned)), likely=False):
            builder.store(cgutils.true_bit, cgutils.gep_inbounds(builder, place, 0, 3))
        builder.ret_void()
        return step

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address, loop_address, values, n = args
        values = _borrowed(context, builder, arguments, values)
        members = [address, values, n, cgutils.false_bit]
        block = cgutils.alloca_once_value(builder, cgutils.make_anonymous_struct(builder, members))
        step = step_of(context, builder.module, block.type.pointee)
        addresses = [builder.ptrtoint(step, I64), builder.ptrtoint(block, I64), n]
        call(context, builder, loop_address, [types.int64] * 3, addresses)
        return builder.load(cgutils.gep_inbounds(builder, block, 0, 3))

    return types.boolean(types.int64, types.int64, arguments, types.int64), codegen


def run(function: int, loop: int, arguments: Any, n_chunks: int) -> None:
    """Run a kernel on each of ``n_chunks`` chunks.

    Parameters
    ----------
    function, loop : int
        Addresses, from `address_of`, of the kernel and of `parallel` or `serial`.
    arguments : tuple
        What the kernel is called with after the chunk's number and ``n_chunks``.
    n_chunks : int
        Number of calls.
    """
    if _run(function, loop, arguments, n_chunks):
        raise MemoryError("a kernel failed: most likely it could not allocate its scratch memory")


def address_of(dispatcher: Any, signature: tuple[Any, ...]) -> int:
    """Return the address of the function for these numba types, compiled now or loaded from the cache if necessary."""
    dispatcher.compile(signature)
    compiled = dispatcher.overloads[signature]
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))
