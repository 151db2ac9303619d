"""The disk cache of compiled kernels."""

import hashlib
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numba
from numba.core.caching import FunctionCache
from numba.core.runtime import rtsys
from numba.core.serialize import dumps


def _digest_of_sources() -> str:
    sources = sorted(Path(__file__).parents[1].rglob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()


SOURCES = _digest_of_sources()


class _CacheFiles:
    """A file for each compiled kernel, named by a hash of what it was compiled for.

    Numba's own index maps signatures to numbered files: two processes that compile at the same time may use one number
    twice, and a damaged file, or the other process's, is run or raises (numba#9348). Here a file is loaded only if its
    name and its checksum match; otherwise the kernel is compiled again.
    """

    def __init__(self, folder: str, base: str) -> None:
        self._folder, self._base = Path(folder), base

    def _path(self, key: Any) -> Path:
        name = hashlib.sha256(repr((numba.__version__, key)).encode()).hexdigest()
        return self._folder / f"{self._base}.{SOURCES[:12]}.{name[:32]}.nbc"

    def load(self, key: Any) -> Any:
        """Return what was saved for ``key``; None if there is no file or it is damaged."""
        try:
            content = self._path(key).read_bytes()
        except OSError:
            return None
        digest, payload = content[:32], content[32:]
        return pickle.loads(payload) if hashlib.sha256(payload).digest() == digest else None

    def save(self, key: Any, data: Any) -> None:
        """Save ``data`` for ``key``, and remove the files of other versions of the sources."""
        payload, path = dumps(data), self._path(key)
        unfinished = path.with_suffix(f".{uuid4().hex[:16]}.tmp")
        try:
            unfinished.write_bytes(hashlib.sha256(payload).digest() + payload)
            os.replace(unfinished, path)
        except OSError:  # such as a full disk: the next process compiles the kernel again
            unfinished.unlink(missing_ok=True)
        for path in self._files():
            if f".{SOURCES[:12]}." not in path.name:
                path.unlink(missing_ok=True)

    def flush(self) -> None:
        """Remove all files of this kernel."""
        for path in self._files():
            path.unlink(missing_ok=True)

    def _files(self) -> Iterator[Path]:
        """Yield the files of this kernel, for any line of its source: numba's base ends in ``-LINE.pyVERSION``."""
        name, _, python = self._base.rpartition("-")
        return self._folder.glob(f"{name}-*.{python.partition('.')[2]}.*.nbc")


class KernelCache(FunctionCache):
    """Numba's disk cache, keyed by the sources of all kernels, and safe against damaged files.

    Numba itself checks the decorated function's file only: if a function compiled into it were changed in another
    file, the old code would go on running.
    """

    def __init__(self, py_func: Callable[..., Any]) -> None:
        super().__init__(py_func)
        self._cache_file = _CacheFiles(self._cache_path, self._impl.filename_base)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled function for a signature, or None.

        Numba would first load all that it can compile, which takes half of a first fit's time. Machine code needs the
        runtime alone, which allocates arrays; a compilation loads the rest by itself.
        """
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), SOURCES)
