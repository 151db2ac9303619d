"""What a fit holds beside X, before it begins: the solver and the sample that fit into the memory allowed."""

from collections.abc import Iterator
from dataclasses import dataclass

from fastlogit.kernels.machine.jit import n_chunks
from fastlogit.kernels.storages.storage import padded
from fastlogit.solvers.preconditioner import LARGEST_GRAM
from fastlogit.sources.protocol import Source
from fastlogit.sources.sums import n_margins

# A sample of a 16th, or of so many rows a column; where that is more than a fourth of all, none.
_SHARE, _ROWS_PER_COLUMN, _LARGEST_SHARE = 1.0 / 16.0, 10, 0.25
_SMALLEST_SAMPLE = 4096
# Up to so many operations a Hessian (some milliseconds a fit) a second thread gives a fifth at best, and costs as much
# again where other libraries' threads go on spinning (`docs/architecture.md`).
_SHORT, _LOSS = 1 << 25, 16  # a row's loss is worth so many parameters
#: Up to so many parameters a Hessian costs little beside the read that it comes with,
CHEAP_HESSIAN = 128
#: and up to so many multiply-adds (some 20 ms) little at all.
CHEAP_PRODUCTS = 1 << 31
#: In the span of the rows Newton's method is cheap up to so many parameters.
CHEAP_SPAN = 1024
#: Above so many the Hessian, and what it costs, are too large for Newton's method.
LARGEST_HESSIAN = 2048
# Matrices of all parameters, and of all columns, that live at once (`tests/test_memory.py` measures them).
_HESSIANS, _GRAMS, _VECTORS = 8, 6, 60
_FLOAT = 8


def has_span(n_samples: int, n_features: int, n_margins: int) -> bool:
    """Tell whether the span of the rows, where the minimum is, has fewer coefficients, and few enough for a Hessian."""
    return n_samples < n_features and n_samples * n_margins <= LARGEST_HESSIAN


def chosen(n_samples: int, n_features: int, n_margins: int, is_penalized: bool) -> list[str]:
    """Return the solvers that "auto" takes, one after the other until the gap is bounded.

    `bench/crossovers.py` measures where another would be quicker. Without a penalty "newton" alone ends with a bound.
    """
    n_parameters = (n_features + 1) * n_margins
    in_span = has_span(n_samples, n_features, n_margins)
    largest = LARGEST_HESSIAN if is_penalized else LARGEST_GRAM  # without a penalty no other bounds the gap
    last = "newton" if n_parameters <= largest else "newton-cg"
    if in_span:
        return ["span", last] if n_samples * n_margins <= CHEAP_SPAN else ["lbfgs", "span", last]
    if n_parameters > LARGEST_HESSIAN:
        return ["lbfgs", last]
    cheap = n_parameters <= CHEAP_HESSIAN or n_samples * n_parameters**2 <= CHEAP_PRODUCTS
    if not is_penalized:
        return ["newton"]
    return ["newton", "newton-cg"] if cheap else ["lbfgs", "newton"]


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
    solvers : list of str
        Names of `fastlogit.solvers.SOLVERS`, to be tried in turn.
    sample : int or None
        Rows of the sample.
    held : dict
        Bytes beside X, by what they are for.
    """

    solvers: list[str]
    sample: int | None
    held: dict[str, int]

    @property
    def total(self) -> int:
        """All bytes."""
        return sum(self.held.values())

    @classmethod
    def of(cls, source: Source, solvers: list[str], sample: int | None) -> "Plan":
        """Return the plan of solvers that start on a sample, or on none."""
        D, K, N = source.n_features + 1, n_margins(source.n_classes), source.n_samples
        n, blocks, size = D * K, K * (K + 1) // 2, padded(D)
        held = {"partial sums": _FLOAT * K * size * n_chunks(N, K * size)}
        if sample is not None:
            held["sample"] = sample * (source.row_bytes + 3 * _FLOAT + (_FLOAT * source.n_classes if K > 1 else 0))
        if "newton" in solvers:
            partial = blocks * size * size
            held["partial sums"] = max(held["partial sums"], _FLOAT * partial * n_chunks(N, partial))
            held["Hessian"] = _HESSIANS * _FLOAT * n * n
        if "span" in solvers:
            held["rows' products"] = _FLOAT * _HESSIANS * ((N + 1) * K) ** 2
        if set(solvers) & {"lbfgs", "newton-cg"} and solvers[0] != "newton":  # else less than the Hessian that was
            grams = _GRAMS if source.n_features <= LARGEST_GRAM else 0
            held["preconditioner"] = _FLOAT * (grams * D * D + _VECTORS * n)
        return cls(solvers, sample, held)


def plan(source: Source, solver: str, is_penalized: bool, memory_limit: int | None) -> Plan:
    """Return the first plan that holds no more than ``memory_limit`` bytes: another solver, then no sample.

    Raises
    ------
    MemoryError
        If none does; the message has the figures of the smallest.
    """
    plans = list(_plans(source, solver, is_penalized))
    if memory_limit is None:
        return plans[0]
    for each in plans:
        if each.total <= memory_limit:
            return each
    least = min(plans, key=lambda each: each.total)
    figures = ", ".join(f"{what} {size:,}" for what, size in least.held.items())
    raise MemoryError(
        f"memory_limit={memory_limit:,} bytes, but fitting {source.n_samples:,} x {source.n_features:,} with "
        f"{n_margins(source.n_classes)} margins a row holds at least {least.total:,} beside X ({least.solvers[0]!r}: "
        f"{figures}): raise memory_limit"
    )


def _plans(source: Source, solver: str, is_penalized: bool) -> Iterator[Plan]:
    shape = source.n_samples, source.n_features, n_margins(source.n_classes)
    if solver == "auto":
        choices = [chosen(*shape, is_penalized), ["lbfgs"]]
    elif solver == "newton":  # in the span of the rows it is the same method, in the coordinates where it is quick
        choices = [["span", "newton"]] if has_span(*shape) else [["newton"]]
    else:  # where it shows no bound, another does, as a rule in a read or two
        closing = ["span"] if has_span(*shape) else ["newton"] if (shape[1] + 1) * shape[2] <= LARGEST_HESSIAN else []
        choices = [[solver, *closing], [solver]]
    for sample in dict.fromkeys([sample_size(source), None]):
        for solvers in choices:
            yield Plan.of(source, solvers, sample)
