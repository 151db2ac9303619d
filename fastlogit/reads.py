"""Reads of X as requests: a generator yields a `Read`, and a driver runs it and sends back the sums.

Solvers, and the objective's methods, are such generators. A driver runs one of them (`run`), or several concurrently
(`run_together`), in which case pending reads of the same rows are executed as one.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fastlogit.sources.protocol import Source

T = TypeVar("T")


@dataclass(frozen=True)
class Read:
    """A request for the sums of an operation of `fastlogit.sources.block.Block` over all rows of a source.

    Attributes
    ----------
    source : Source
        The rows.
    operation : str
        Name of a method of `Block`.
    args : tuple
        Its arguments.
    """

    source: Source
    operation: str
    args: tuple[Any, ...]


#: A generator that yields reads and returns a T. For each read it is sent a list of one, the sums, which it takes out:
#: the driver, which waits meanwhile, then keeps no Hessian alive that is needed no more.
Reads = Generator[Read, Any, T]


def run(steps: Reads[T]) -> T:
    """Run a generator of reads to its end, and return its result."""
    try:
        read = next(steps)
        while True:
            read = steps.send(read.source.run_all([(read.operation, read.args)]))
    except StopIteration as end:
        result: T = end.value
        return result


def run_together(many: Sequence[Reads[T]]) -> list[T]:
    """Run several generators of reads to their ends; their results are those of `run`.

    It takes as many reads of a source as the generator that needs most of them. Of pending reads, those of the source
    with the fewest rows (a sample) are executed first, so that all generators arrive at the large one together.
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
        for i in same:
            advance(i, [sums.pop(0)])
    return [results[i] for i in range(len(many))]
