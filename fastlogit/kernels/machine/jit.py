"""How every kernel is compiled, run on threads and cut into chunks.

A *kernel* is a pass over rows. It is written as a plain function of one chunk of them and decorated with
:func:`kernel`; `machine.driver` runs it over all chunks, in parallel. What it calls is either a :func:`tile` or an
``overload`` that numba binds by the types of storage, loss and labels.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, update_wrapper
from numbers import Integral
from typing import Any

import numba
import numpy as np
from numba.core import config
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.extending import register_jitable
from numpy.typing import NDArray

from fastlogit.kernels.machine import clock, driver
from fastlogit.kernels.machine.cache import KernelCache

# No fast-math: numba would set its flags on every instruction of a function, including those that an intrinsic wrote,
# and reassociation deletes the exact reductions of `elementary`. Where operations may be reordered or fused, the
# operation itself says so (`simd`).
# No function that C could call: numba would compile one for each, with all that it calls.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "no_cfunc_wrapper": True}


class _TileLibrary(JITCodeLibrary):
    """What numba links into the callers of a tile: neither optimised nor turned into machine code on its own.

    Nothing calls a tile but what it is linked into, where all of it is optimised again. Both took a third of the time
    that a kernel compiles.
    """

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True

    @property
    def codegen(self) -> Any:
        """Asked for `set_env` only."""
        return self

    def set_env(self, name: str, environment: Any) -> None:
        """Do nothing: without machine code there is no place for a tile's environment, as after a load from disk."""


class _TileCompiler(Compiler):
    """Compiles a tile into a `_TileLibrary`."""

    def define_pipelines(self) -> Any:
        """Return numba's own pipeline."""
        state = self.state
        state.library = _TileLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        return super().define_pipelines()


#: Options of ``numba.extending.overload`` for what a kernel calls inside a chunk: compiled as a part of its caller.
TILE_OPTIONS: dict[str, Any] = {**_OPTIONS, "pipeline_class": _TileCompiler}
#: Decorates a function of the same kind.
tile = register_jitable(**TILE_OPTIONS)

#: Upper bounds: chunks of a pass, and bytes of the partial sums of all of them. See `n_chunks`.
N_CHUNKS = 64
PARTIALS_BYTES = 64 << 20
#: A class's part in a row's loss takes as long as this many multiply-adds.
LOSS_PRODUCTS = 16
# Fewest multiply-adds of a chunk, some 0.2 ms: below, a second thread saves at most a third of the time, and costs
# 4 ms where other processes keep its core (`docs/experiments.md`).
_CHUNK_PRODUCTS = 1 << 21


class _Layer:
    """Numba's threading layer, shared between concurrent calls.

    ``workqueue`` aborts the process on concurrent use (numba#8563): one kernel runs at a time until the layer is known
    to be another. ``omp`` and ``tbb`` would give each call all threads: concurrent calls divide them instead.
    """

    def __init__(self) -> None:
        self._lock, self._count = threading.RLock(), threading.Lock()
        self._concurrent = False
        self._running = 0

    @contextmanager
    def use(self) -> Iterator[None]:
        """Run one parallel kernel."""
        if not self._concurrent:
            with self._lock:
                yield
                self._concurrent = numba.threading_layer() != "workqueue"
            return
        begun = False
        try:
            with self._count:
                begun, self._running = True, self._running + 1
                share = max(1, numba.get_num_threads() // self._running) if self._running > 1 else None
            with threads(share):
                yield
        finally:
            if begun:
                with self._count:
                    self._running -= 1


_layer = _Layer()
_forked = False


def _after_fork_in_child() -> None:
    # GNU OpenMP kills a forked child at its first parallel region once the parent has run one.
    global _forked, _layer
    try:
        numba.threading_layer()
        _forked = True
    except ValueError:
        pass
    _layer = _Layer()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _compiled(py_func: Callable[..., Any], **options: Any) -> Any:
    dispatcher = numba.njit(nogil=True, **options, **_OPTIONS)(py_func)
    try:
        dispatcher._cache = KernelCache(py_func)
    except RuntimeError:  # no folder is writable: every process compiles for itself
        pass
    return dispatcher


def _by_address(py_func: Callable[..., Any], **options: Any) -> Any:
    """Compile without the wrapper that unpacks Python's arguments."""
    return _compiled(py_func, no_cpython_wrapper=True, **options)


def address_of_function(py_func: Callable[..., Any], signature: tuple[Any, ...]) -> int:
    """Return the address of a function that is compiled on its own, for kernels to call by `driver.call`."""
    return driver.address_of(_by_address(py_func), signature)


_LOOP_TYPES = (numba.int64, numba.int64, numba.int64)


@cache
def _loop(parallel: bool) -> int:
    """Return the address of the loop over chunks."""
    loop = driver.parallel if parallel else driver.serial
    return driver.address_of(_by_address(loop, parallel=parallel), _LOOP_TYPES)


_run = _compiled(driver.run)


def _kind(argument: Any) -> Any:
    """Return a key that determines the numba type of an argument, in a tenth of the time of ``numba.typeof``."""
    if isinstance(argument, np.ndarray):
        return argument.dtype, argument.ndim, argument.flags.num
    return (type(argument), *map(_kind, argument)) if isinstance(argument, tuple) else type(argument)


_kernels: list["Kernel"] = []


class Kernel:
    """A pass over rows: a function of one chunk, which the driver's loop runs over all of them."""

    def __init__(self, py_func: Callable[..., Any]) -> None:
        self._dispatcher = _by_address(py_func)
        self._addresses: dict[Any, int] = {}
        update_wrapper(self, py_func)
        _kernels.append(self)

    @property
    def name(self) -> str:
        """Module and function."""
        function = self._dispatcher.py_func
        return f"{function.__module__.rpartition('.')[2]}.{function.__name__}"

    @property
    def types(self) -> list[str]:
        """The argument types of each compiled specialisation."""
        return [str(signature) for signature in self._dispatcher.overloads]

    def __call__(self, n_chunks: int, *args: Any) -> None:
        """Run ``f(chunk, n_chunks, *args)`` for each chunk; compiles at the first call with the arguments' types."""
        clock.check()
        kind = tuple(map(_kind, args))
        address = self._addresses.get(kind)
        if address is None:
            signature = (numba.int64, numba.int64, *map(numba.typeof, args))
            address = self._addresses[kind] = driver.address_of(self._dispatcher, signature)
        if _forked or n_chunks == 1 or numba.get_num_threads() == 1:
            _run(address, _loop(False), args, n_chunks)
        else:
            with _layer.use():
                _run(address, _loop(True), args, n_chunks)


def specialisations() -> set[tuple[str, str]]:
    """Return the kernels that were compiled or loaded in this process, each with its arguments' types."""
    return {(kernel.name, types) for kernel in _kernels for types in kernel.types}


#: Decorator of a pass over rows.
kernel = Kernel


def max_threads() -> int:
    """Return the number of threads that numba was started with: the most a call can use."""
    return int(config.NUMBA_NUM_THREADS)


@contextmanager
def threads(n_threads: int | None) -> Iterator[None]:
    """Run the kernels of the block on ``n_threads`` threads, and restore the caller's number after it.

    Parameters
    ----------
    n_threads : int or None
        From 1 to :func:`max_threads`; None leaves the caller's number as it is.

    Raises
    ------
    ValueError
        If ``n_threads`` is no whole number between 1 and :func:`max_threads`.
    """
    if n_threads is None:
        yield
        return
    if not isinstance(n_threads, Integral) or not 1 <= n_threads <= max_threads():
        raise ValueError(
            f"n_threads={n_threads!r}, but numba was started with {max_threads()} threads: give 1 to "
            f"{max_threads()}, or set NUMBA_NUM_THREADS before Python starts"
        )
    before = numba.get_num_threads()
    numba.set_num_threads(n_threads)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only view: kernels are given no other inputs, so that each compiles for one kind of array."""
    view = array.view()
    view.flags.writeable = False
    return view


def n_chunks(n_rows: int, n_sums: int, products: int, fewest: int = 64) -> int:
    """Return the number of chunks that ``n_rows`` are cut into, each with a partial result of ``n_sums`` float64.

    A row takes ``products`` multiply-adds: what takes little time is one chunk, and so runs on one thread. A chunk has
    at least ``fewest`` rows, so that adding up the results takes little of the time.

    It depends on the shape alone, never on the number of threads, so that sums are bitwise equal for any of them. It is
    a power of 2, so that two threads, or four, share even a few chunks equally. All partial results together stay under
    64 MiB.
    """
    worth = n_rows * (products + LOSS_PRODUCTS) // _CHUNK_PRODUCTS
    return power_of_2(min(N_CHUNKS, PARTIALS_BYTES // (8 * max(n_sums, 1)), -(-n_rows // fewest), worth))


def power_of_2(n: int) -> int:
    """Return the largest power of 2 up to ``n``, or 1."""
    return 1 << (max(n, 1).bit_length() - 1)
