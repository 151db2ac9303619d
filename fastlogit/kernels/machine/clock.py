"""The time limit of a fit, checked between kernel calls: a fit that runs out of time ends as after Ctrl-C."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_deadline = ContextVar("deadline", default=float("inf"))


class OutOfTime(Exception):
    """The time limit has passed, or would pass before the next step is done."""


@contextmanager
def limited(seconds: float | None) -> Iterator[None]:
    """Limit the block, in this thread, to ``seconds`` from now on; None removes any limit."""
    token = _deadline.set(float("inf") if seconds is None else time.perf_counter() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def check(seconds: float = 0.0) -> None:
    """Raise `OutOfTime` if a step that takes ``seconds`` would end after the limit.

    Called before each kernel and between the blocks of a factorisation; a call takes about 0.1 microseconds.
    """
    deadline = _deadline.get()
    if deadline < float("inf") and time.perf_counter() + seconds >= deadline:
        raise OutOfTime
