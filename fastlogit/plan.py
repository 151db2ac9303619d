"""What a fit holds beside X, before it begins: the solver and the sample that fit into the memory allowed."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fastlogit.kernels.jit import n_chunks
from fastlogit.kernels.storage import padded
from fastlogit.solvers.preconditioner import LARGEST_GRAM
from fastlogit.sources.protocol import Source, n_margins

# A sample of a 16th, or of so many rows a column; where that is more than a fourth of all, none.
_SHARE, _ROWS_PER_COLUMN, _LARGEST_SHARE = 1.0 / 16.0, 10, 0.25
_SMALLEST_SAMPLE = 4096
# Up to so many operations a Hessian (some milliseconds a fit) a second thread gives a fifth at best, and costs as much
# again where other libraries' threads go on spinning (`docs/architecture.md`).
_SHORT, _LOSS = 1 << 24, 16  # a row's loss is worth so many parameters
#: Up to so many parameters a Hessian costs little beside the read that it comes with.
CHEAP_HESSIAN = 128
#: Above so many the Hessian, and what it costs, are too large for Newton's method.
LARGEST_HESSIAN = 2048
# Matrices of all parameters, and of all columns, that live at once (`tests/test_memory.py` measures them).
_HESSIANS, _GRAMS, _VECTORS = 8, 6, 60
_FLOAT = 8


def chosen(n_parameters: int, C: float) -> str:
    """Return the solver that "auto" takes; `bench/crossovers.py` measures where another would be quicker.

    Without a penalty "newton" alone ends with a bound.
    """
    return "newton" if n_parameters <= (CHEAP_HESSIAN if C < np.inf else LARGEST_HESSIAN) else "lbfgs"


def sample_size(source: Source) -> int | None:
    """Return the rows of the sample that a solver starts on; None where it would not be much smaller than all."""
    n_parameters = (source.n_features + 1) * n_margins(source.n_classes)
    n = max(int(_SHARE * source.n_samples), _ROWS_PER_COLUMN * n_parameters, _SMALLEST_SAMPLE)
    return n if n <= _LARGEST_SHARE * source.n_samples else None


def is_short(source: Source) -> bool:
    """Tell whether one thread reads the rows as quickly as several (3000 x 60: yes, 1e5 x 30: no)."""
    n_parameters = (source.n_features + 1) * n_margins(source.n_classes)
    return source.n_samples * (n_parameters + _LOSS) ** 2 <= _SHORT


@dataclass(frozen=True)
class Plan:
    """How a fit goes, and what it holds.

    Attributes
    ----------
    solver : str
        A name of `fastlogit.solvers.SOLVERS`.
    sample : int or None
        Rows of the sample.
    held : dict
        Bytes beside X, by what they are for.
    """

    solver: str
    sample: int | None
    held: dict[str, int]

    @property
    def total(self) -> int:
        """All bytes."""
        return sum(self.held.values())

    @classmethod
    def of(cls, source: Source, solver: str, sample: int | None) -> "Plan":
        """Return the plan of a solver that starts on a sample, or on none."""
        D, K, N = source.n_features + 1, n_margins(source.n_classes), source.n_samples
        n, blocks, size = D * K, K * (K + 1) // 2, padded(D)
        held = {"partial sums": _FLOAT * K * size * n_chunks(N, K * size)}
        if sample is not None:
            held["sample"] = sample * (source.row_bytes + 3 * _FLOAT + (_FLOAT * source.n_classes if K > 1 else 0))
        if solver == "newton":
            partial = blocks * size * size
            held["partial sums"] = max(held["partial sums"], _FLOAT * partial * n_chunks(N, partial))
            held["Hessian"] = _HESSIANS * _FLOAT * n * n
        else:
            grams = _GRAMS if source.n_features <= LARGEST_GRAM else 0
            held["preconditioner"] = _FLOAT * (grams * D * D + _VECTORS * n)
        return cls(solver, sample, held)


def plan(source: Source, solver: str, C: float, memory_limit: int | None) -> Plan:
    """Return the first plan that holds no more than ``memory_limit`` bytes: another solver, then no sample.

    Raises
    ------
    MemoryError
        If none does; the message has the figures of the smallest.
    """
    plans = list(_plans(source, solver, C))
    if memory_limit is None:
        return plans[0]
    for each in plans:
        if each.total <= memory_limit:
            return each
    least = min(plans, key=lambda each: each.total)
    figures = ", ".join(f"{what} {size:,}" for what, size in least.held.items())
    raise MemoryError(
        f"memory_limit={memory_limit:,} bytes, but fitting {source.n_samples:,} x {source.n_features:,} with "
        f"{n_margins(source.n_classes)} margins a row holds at least {least.total:,} beside X ({least.solver!r}: "
        f"{figures}): raise memory_limit"
    )


def _plans(source: Source, solver: str, C: float) -> Iterator[Plan]:
    first = chosen((source.n_features + 1) * n_margins(source.n_classes), C)
    solvers = dict.fromkeys([first, "lbfgs"]) if solver == "auto" else [solver]
    for sample in dict.fromkeys([sample_size(source), None]):
        for name in solvers:
            yield Plan.of(source, name, sample)
