"""The read bandwidth of memory: what the speed of every pass is measured against."""

import time
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from fastlogit.kernels.machine.jit import kernel
from fastlogit.kernels.machine.pointer import I64, Pointer, i64
from fastlogit.kernels.machine.simd import Lanes
from fastlogit.kernels.machine.vector import Sum, Vector

_UNROLL = 4
_WORDS = 64 * _UNROLL // 8


@intrinsic
def _any_bits(typingctx: Any, words: Any, first: Any, last: Any) -> Any:
    """Return the bitwise OR of ``words[first:last]`` (int64), whose length is a multiple of 32."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = Lanes(context, builder, types.float64)
        x = Pointer(context, builder, words, args[0], contiguous=0)
        zero = Vector(lanes, ir.Constant(lanes.integers, None))
        bits = [Sum(lanes, zero) for _ in range(_UNROLL)]
        with lanes.loop(args[1], args[2], _UNROLL * lanes.count) as j:
            for i, part in enumerate(bits):
                word = lanes.load_codes(x.at(builder.add(j, i64(i * lanes.count))), types.uint64)
                part.value = Vector(lanes, builder.or_(part.value.value, word.value))
        total = zero.value
        for part in bits:
            total = builder.or_(total, part.value.value)
        result = i64(0)
        for lane in range(lanes.count):
            result = builder.or_(result, builder.extract_element(total, ir.Constant(I64, lane)))
        return result

    return types.int64(words, types.int64, types.int64), codegen


@kernel
def _read(chunk: int, n_chunks: int, words: Any, out: Any) -> None:
    blocks = words.size // _WORDS
    first, last = chunk * blocks // n_chunks, (chunk + 1) * blocks // n_chunks
    out[chunk] = _any_bits(words, first * _WORDS, last * _WORDS)


def reader(X: NDArray[Any]) -> Any:
    """Return a function without arguments that reads the bytes of ``X`` once, on numba's current threads."""
    flat = X.ravel(order="K")
    words = flat.view(np.uint8)[: flat.nbytes // 8 * 8].view(np.int64)
    words.flags.writeable = False
    out = np.empty(64, np.int64)
    return lambda: _read(out.size, words, out)


def read_bandwidth(X: NDArray[Any], repeats: int = 5) -> float:
    """Return the bytes per second at which a kernel that does nothing else reads ``X``.

    Parameters
    ----------
    X : ndarray
        Contiguous, of any type: another array is copied first.
    repeats : int
        Number of timed reads, after one that is not timed.

    Returns
    -------
    float
        Bytes per second, by the median of the times.
    """
    read = reader(X)
    read()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        read()
        seconds.append(time.perf_counter() - start)
    return float(X.nbytes / np.median(seconds))
