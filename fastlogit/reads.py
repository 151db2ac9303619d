"""Reads of X as requests: whoever needs one yields it, and a driver sends back the sums.

An objective and a solver are generators of `Read`. They then run alone (`run`), or several at once (`run_together`):
reads of the same rows that wait at the same time are one read.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fastlogit.sources.protocol import Source

T = TypeVar("T")


@dataclass(frozen=True)
class Read:
    """An operation of `fastlogit.sources.block.Block` over all rows of a source."""

    source: Source
    operation: str
    args: tuple[Any, ...]


#: What yields reads, is sent their sums, and returns a T.
Reads = Generator[Read, Any, T]


def run(steps: Reads[T]) -> T:
    """Run to the end, and return what is returned there."""
    try:
        read = next(steps)
        while True:
            read = steps.send(read.source.run(read.operation, *read.args))
    except StopIteration as end:
        result: T = end.value
        return result


def run_together(many: Sequence[Reads[T]]) -> list[T]:
    """Run several to their ends, in as few reads as the one that needs most of them; each computes what it does alone.

    Sources of fewest rows, as samples are, are read first: all then wait together for the large one.
    """
    results: dict[int, T] = {}
    waiting: dict[int, Read] = {}

    def advance(i: int, sums: Any) -> None:
        try:
            waiting[i] = many[i].send(sums)
        except StopIteration as end:
            waiting.pop(i, None)
            results[i] = end.value

    for i in range(len(many)):
        advance(i, None)
    while waiting:
        source = min((read.source for read in waiting.values()), key=lambda source: source.n_samples)
        same = [i for i, read in waiting.items() if read.source is source]
        sums = source.run_all([(waiting[i].operation, waiting[i].args) for i in same])
        for i, each in zip(same, sums, strict=True):
            advance(i, each)
    return [results[i] for i in range(len(many))]
