"""BLAS on one thread while kernels run: its others would go on spinning next to them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Blas:
    """One limit on the threads of BLAS, shared by the calls that overlap.

    A third of the time of 200 classes (`bench/peers.py`, probe): 10.2 -> 6.6 s. Calls that overlap share one limit:
    each would otherwise restore what the other had set.
    """

    def __init__(self) -> None:
        self._lock, self._running = threading.Lock(), 0
        self._controller: Any = None
        self._limiter: Any = None

    @contextmanager
    def on_one_thread(self) -> Iterator[None]:
        """Limit BLAS while the block, or another that began meanwhile, runs."""
        with self._lock:
            if self._controller is None:
                import scipy.linalg  # noqa: F401  (its BLAS is one of those to limit)
                from threadpoolctl import ThreadpoolController

                self._controller = ThreadpoolController()
            if self._running == 0:
                self._limiter = self._controller.limit(limits=1, user_api="blas")
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                if self._running == 0:
                    self._limiter.restore_original_limits()


_blas = _Blas()
on_one_thread = _blas.on_one_thread
