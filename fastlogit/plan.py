"""The plan of a fit: the solvers and the sample whose memory, besides X, is within the limit."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fastlogit import costs
from fastlogit.costs import Shape
from fastlogit.kernels.machine.jit import n_chunks
from fastlogit.kernels.storages.storage import padded
from fastlogit.solvers.preconditioner import LARGEST_FACTORED, LARGEST_GRAM
from fastlogit.sources.block import HESSIAN_ROWS
from fastlogit.sources.protocol import Source
from fastlogit.sources.sums import n_margins

# A sample has 1/16 of the rows but no more than 150 for each parameter, or 1/64, or 10 for each parameter; if that is
# more than 1/4 of all, there is none.
_SHARE, _ENOUGH_PER_COLUMN, _SMALL_SHARE, _ROWS_PER_COLUMN, _LARGEST_SHARE = 1.0 / 16.0, 150, 1.0 / 64.0, 10, 0.25
_SMALLEST_SAMPLE = 4096
#: Up to this many parameters a Hessian takes little time compared with the read that computes it,
CHEAP_HESSIAN = 128
#: and up to this many multiply-adds (about 20 ms) little time at all.
CHEAP_PRODUCTS = 1 << 31
#: In the span of the rows Newton's method is cheap up to this many parameters.
CHEAP_SPAN = 1024
#: Above this many parameters the Hessian takes too much time and memory for Newton's method.
LARGEST_HESSIAN = 2048
# Of few rows: Newton's steps, factorisations for each (with those that prove a bound), and products by "newton-cg".
_STEPS, _FACTORISATIONS, _PRODUCTS = 8, 3, 75
# Matrices and vectors of all parameters, and matrices of all columns, that are held at once, as measured by
# `tests/test_memory.py`.
_HESSIANS, _GRAMS, _VECTORS, _ARROWS = 8, 6, 100, 8
# A category of fewer levels is not eliminated: a dense factorisation takes as little time.
_FEWEST_LEVELS = 128
_FLOAT = 8


def has_span(n_samples: int, n_features: int, n_margins: int) -> bool:
    """Return whether coefficients in the span of the rows are fewer, and few enough for a Hessian."""
    return n_samples < n_features and n_samples * n_margins <= LARGEST_HESSIAN


def chosen(shape: Shape, is_penalized: bool) -> list[str]:
    """Return the solvers that "auto" calls in turn until one bounds the gap.

    Where one becomes faster than another is measured by `bench/crossovers.py`. Without a penalty "newton" alone bounds
    the gap.
    """
    n, in_span = shape.n_dense, has_span(shape.n_samples, shape.n_features, shape.K)
    last = "newton" if n <= (LARGEST_HESSIAN if is_penalized else LARGEST_GRAM) else "newton-cg"
    if shape.leading and n < shape.n_parameters / 2:
        return ["lbfgs", last]  # an arrow's Hessian takes as long as ten reads, for each of Newton's steps
    if is_penalized and _sample_rows(shape.n_samples, shape.n_parameters) is None:
        # newton ends far below tol, which is worth a few milliseconds
        first, closing = "newton" if n <= CHEAP_HESSIAN else _quickest(shape), ["span", last] if in_span else [last]
        if first == "newton-cg" and shape.is_sparse and shape.n_features > LARGEST_GRAM:
            first = "lbfgs"  # preconditioned by the diagonal alone: it takes a quarter fewer reads
        return ["newton", "newton-cg"] if first == "newton" else list(dict.fromkeys([first, *closing]))
    if in_span:
        return ["span", last] if shape.n_samples * shape.K <= CHEAP_SPAN else ["lbfgs", "span", last]
    if n > LARGEST_HESSIAN:
        return ["lbfgs", last]
    cheap = n <= CHEAP_HESSIAN or shape.n_samples * n**2 <= CHEAP_PRODUCTS
    if not is_penalized:
        return ["newton"]
    return ["newton", "newton-cg"] if cheap else ["lbfgs", "newton"]


def _quickest(shape: Shape) -> str:
    """Return the solver that takes the least time by `fastlogit.costs`, for rows too few for a sample."""
    seconds = _seconds(shape)
    if has_span(shape.n_samples, shape.n_features, shape.K):
        N = shape.n_samples
        products = shape.row_products() + 2.0 * costs.factorisation(N)
        inner = _seconds(shape._replace(n_features=N, elements=N))
        seconds["span-cg"], seconds["span"] = products + inner["newton-cg"], products + inner.get("newton", np.inf)
    return min(seconds, key=lambda name: seconds[name])


def _seconds(shape: Shape) -> dict[str, float]:
    """Return what "newton-cg" and, up to so many parameters, "newton" take."""
    seconds = {"newton-cg": _PRODUCTS * shape.read()}
    if shape.n_dense <= LARGEST_HESSIAN:
        seconds["newton"] = _STEPS * (shape.hessian() + _FACTORISATIONS * shape.factorisation())
    return seconds


def sample_size(source: Source) -> int | None:
    """Return the number of rows of the sample that solvers start on; None if it would not be much smaller than all."""
    return _sample_rows(source.n_samples, (source.n_features + 1) * n_margins(source.n_classes))


def _sample_rows(n_samples: int, n_parameters: int) -> int | None:
    enough = min(int(_SHARE * n_samples), _ENOUGH_PER_COLUMN * n_parameters)
    n = max(enough, int(_SMALL_SHARE * n_samples), _ROWS_PER_COLUMN * n_parameters, _SMALLEST_SAMPLE)
    return n if n <= _LARGEST_SHARE * n_samples else None


@dataclass(frozen=True)
class Plan:
    """Solvers, sample and memory of a fit.

    Attributes
    ----------
    solvers : list of str
        Names of solvers, to be tried in turn: see `fastlogit.solvers.minimise`.
    sample : int or None
        Number of rows of the sample.
    held : dict of str to int
        Bytes held besides X, by purpose.
    eliminates : bool
        Whether the Hessian is an arrow: see `fastlogit.hessians`.
    """

    solvers: list[str]
    sample: int | None
    held: dict[str, int]
    eliminates: bool = False

    @property
    def total(self) -> int:
        """Bytes held besides X."""
        return sum(self.held.values())

    @classmethod
    def of(cls, source: Source, shape: Shape, solvers: list[str], sample: int | None) -> "Plan":
        """Return the plan for these solvers and this number of rows of the sample; ``shape`` as `chosen` takes it."""
        D, K, N = shape.n_features + 1, shape.K, shape.n_samples
        n, blocks, size = D * K, K * (K + 1) // 2, padded(D)
        leading = shape.leading if "newton" in solvers else 0
        width = padded(D - leading)
        held = {"partial sums": _FLOAT * K * size * n_chunks(N, K * size, K * size)}

        def hold_sums(n_blocks: int) -> None:
            partial = n_blocks * (width + leading) * width
            sums = _FLOAT * partial * n_chunks(N, partial, partial, max(width, HESSIAN_ROWS))
            held["partial sums"] = max(held["partial sums"], sums)

        if sample is not None:
            held["sample"] = sample * (source.row_bytes + 3 * _FLOAT + (_FLOAT * source.n_classes if K > 1 else 0))
        if "newton" in solvers:
            hold_sums(blocks)
            others = (D - leading) * K
            held["Hessian"] = _FLOAT * (_HESSIANS * others + _ARROWS * leading * K) * others
        if {"span", "span-cg"} & set(solvers):
            held["rows' products"] = _FLOAT * _HESSIANS * ((N + 1) * K) ** 2
        # after "newton" a preconditioner takes the place of its Hessian, which is larger
        if set(solvers) & {"lbfgs", "newton-cg"} and solvers[0] != "newton":
            held["preconditioner"] = _FLOAT * _VECTORS * n
            if source.n_features <= LARGEST_GRAM:
                is_whole = K == 1 or n <= LARGEST_FACTORED
                hold_sums(blocks if is_whole else 1)
                held["preconditioner"] += _FLOAT * _GRAMS * (n if is_whole else D) ** 2
        return cls(solvers, sample, held, leading > 0)


def plan(source: Source, solver: str, is_penalized: bool, memory_limit: int | None) -> Plan:
    """Return the first plan within ``memory_limit`` bytes besides X: with other solvers, then without a sample.

    Raises
    ------
    MemoryError
        If there is none; the message has the figures of the smallest.
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
        f"{source.n_classes} classes needs at least {least.total:,} besides X ({least.solvers[0]!r}: {figures}): raise "
        "memory_limit"
    )


def _plans(source: Source, solver: str, is_penalized: bool) -> Iterator[Plan]:
    costs_of = source.costs
    if not is_penalized or costs_of.leading < _FEWEST_LEVELS:  # without a penalty the levels' sum is free
        costs_of = costs_of._replace(leading=0)
    shape = source.n_samples, source.n_features, costs_of.K
    if solver == "auto":
        choices = [chosen(costs_of, is_penalized), ["lbfgs"]]
    elif solver == "newton":  # in the span of the rows it is faster
        choices = [["span", "newton"]] if has_span(*shape) else [["newton"]]
    else:  # if it does not bound the gap another solver does, usually in one or two reads
        closing = ["span"] if has_span(*shape) else ["newton"] if costs_of.n_parameters <= LARGEST_HESSIAN else []
        choices = [[solver, *closing], [solver]]
    for sample in dict.fromkeys([sample_size(source), None]):
        for solvers in choices:
            yield Plan.of(source, costs_of, solvers, sample)
