"""How every kernel is compiled, cached, threaded and cut into chunks: the one place that knows.

A *kernel* is a pass over rows. It is written as a plain function of one chunk of them and decorated with
:func:`kernel`; `fastlogit.kernels.driver` runs it over all chunks, in parallel. What it calls is either a :func:`tile`
or an ``overload`` that numba binds by the types of storage, loss and labels.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, update_wrapper
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core import config
from numba.core.caching import FunctionCache
from numba.extending import register_jitable
from numpy.typing import NDArray

from fastlogit.kernels import driver

# No fast-math: numba writes its flags into every instruction of a function, also those that an intrinsic made, and
# reassociation deletes the exact reductions of `elementary`. What may be reordered or fused says so itself (`simd`).
_OPTIONS: dict[str, Any] = {"error_model": "numpy"}

#: Decorates what a kernel calls inside a chunk: compiled as a part of its caller.
tile = register_jitable(**_OPTIONS)
#: The same options for ``numba.extending.overload``.
TILE_OPTIONS = dict(_OPTIONS)

N_CHUNKS = 64
PARTIALS_BYTES = 64 << 20


def _digest_of_sources() -> str:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()


class _KernelCache(FunctionCache):
    """Numba's disk cache, keyed by the sources of all kernels as well.

    Numba looks at the file of the decorated function only, so that an edited or upgraded tile in another file
    would go on running as it was. A cache file that cannot be read is recompiled, not raised (numba#9348).
    """

    sources = _digest_of_sources()

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), self.sources)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # whatever a torn or foreign pickle raises: the remedy is the same
            self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except Exception:  # the index itself was torn: write it anew, and if that fails do without a cache
            self.flush()


class _LayerLock:
    """Lets one kernel run at a time until the threading layer is known to bear several.

    Numba's ``workqueue`` aborts the process on concurrent use (numba#8563); ``omp`` and ``tbb`` do not.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._concurrent = False

    def __enter__(self) -> None:
        if not self._concurrent:
            self._lock.acquire()

    def __exit__(self, *exc: object) -> None:
        try:  # released only by the thread that took it: the answer may have changed in between
            self._lock.release()
        except RuntimeError:
            return
        if not self._concurrent:
            try:
                self._concurrent = numba.threading_layer() != "workqueue"
            except ValueError:  # no parallel kernel has run yet
                pass

    def reset(self) -> None:
        """Begin anew, in a forked child."""
        self.__init__()  # type: ignore[misc]


_layer_lock = _LayerLock()
_forked = False


def _after_fork_in_child() -> None:
    # GNU OpenMP kills a forked child at its first parallel region once the parent has run one.
    global _forked
    try:
        numba.threading_layer()
        _forked = True
    except ValueError:
        pass
    _layer_lock.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _compiled(py_func: Callable[..., Any], **options: Any) -> Any:
    dispatcher = numba.njit(nogil=True, **options, **_OPTIONS)(py_func)
    dispatcher._cache = _KernelCache(py_func)
    return dispatcher


_LOOP_TYPES = (numba.int64, numba.int64, numba.int64)


@cache
def _loop(parallel: bool) -> int:
    """Return the address of the loop over chunks."""
    loop = driver.parallel if parallel else driver.serial
    return driver.address_of(_compiled(loop, parallel=parallel), _LOOP_TYPES)


_run = _compiled(driver.run)


def _kind(argument: Any) -> Any:
    """Return what tells numba's types of arguments apart, at a tenth of the time that numba takes to find them."""
    if isinstance(argument, np.ndarray):
        return argument.dtype, argument.ndim, argument.flags.num
    return (type(argument), *map(_kind, argument)) if isinstance(argument, tuple) else type(argument)


class Kernel:
    """A pass over rows: a function of one chunk, which the driver's loop runs over all of them."""

    def __init__(self, py_func: Callable[..., Any]) -> None:
        self._dispatcher = _compiled(py_func)
        self._addresses: dict[Any, int] = {}
        update_wrapper(self, py_func)

    def __call__(self, n_chunks: int, *args: Any) -> None:
        """Run ``f(chunk, n_chunks, *args)`` for each chunk; compiles at the first call with the arguments' types."""
        kind = tuple(map(_kind, args))
        address = self._addresses.get(kind)
        if address is None:
            signature = (numba.int64, numba.int64, *map(numba.typeof, args))
            address = self._addresses[kind] = driver.address_of(self._dispatcher, signature)
        if _forked or n_chunks == 1:
            _run(address, _loop(False), args, n_chunks)
        else:
            with _layer_lock:
                _run(address, _loop(True), args, n_chunks)


#: Decorates a pass.
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
        If ``n_threads`` is not between 1 and :func:`max_threads`.
    """
    if n_threads is None:
        yield
        return
    if not 1 <= n_threads <= max_threads():
        raise ValueError(
            f"n_threads={n_threads}, but numba was started with {max_threads()} threads: give 1 to "
            f"{max_threads()}, or set NUMBA_NUM_THREADS before Python starts"
        )
    before = numba.get_num_threads()
    numba.set_num_threads(n_threads)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view that cannot be written: the one kind of array that kernels read."""
    view = array.view()
    view.flags.writeable = False
    return view


def n_chunks(n_rows: int, n_sums: int) -> int:
    """Return the number of chunks that ``n_rows`` are cut into, one partial result of ``n_sums`` float64 each.

    The shape alone decides, never the number of threads, so that sums are bitwise equal for any of them. All
    partials together stay under 64 MiB.
    """
    return int(max(1, min(N_CHUNKS, PARTIALS_BYTES // (8 * max(n_sums, 1)), -(-n_rows // 64))))
