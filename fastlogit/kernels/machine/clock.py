"""The time that a fit may take, looked at between kernel calls: out of time, a fit ends as after Ctrl-C."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_deadline = ContextVar("deadline", default=float("inf"))


class OutOfTime(Exception):
    """The time limit has passed, or would before what comes next has ended."""


@contextmanager
def limited(seconds: float | None) -> Iterator[None]:
    """Let the block, in this thread, take so many seconds from now; None lifts every limit."""
    token = _deadline.set(float("inf") if seconds is None else time.perf_counter() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def check(seconds: float = 0.0) -> None:
    """Raise `OutOfTime` where something that takes ``seconds`` would end too late.

    Called before each kernel, and between the blocks of a factorisation: some 0.1 microseconds.
    """
    deadline = _deadline.get()
    if deadline < float("inf") and time.perf_counter() + seconds >= deadline:
        raise OutOfTime
