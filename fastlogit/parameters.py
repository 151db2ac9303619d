"""Valid values of parameters, in one table for `fastlogit.solve` and `LogisticRegression`, and the sample's seed."""

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from fastlogit.exceptions import InputError
from fastlogit.solvers import SOLVERS


@dataclass(frozen=True)
class Range:
    """The interval from ``low`` to infinity, of the numbers that a parameter may be.

    Attributes
    ----------
    kind : type
        ``numbers.Integral`` or ``numbers.Real``.
    low : int or float
        The lower end.
    closed : {"left", "right", "both", "neither"}
        Which ends, ``low`` and infinity, are valid themselves, as in scikit-learn's ``Interval``.
    optional : bool
        Whether None is valid too.
    """

    kind: Any
    low: float
    closed: str
    optional: bool = False

    def allows(self, value: Any) -> bool:
        """Return whether a value is valid."""
        if not isinstance(value, self.kind):
            return value is None and self.optional
        least = value >= self.low if self.closed in ("left", "both") else value > self.low
        return bool(least and (value < np.inf or self.closed in ("right", "both")))

    def __str__(self) -> str:
        kind = "an int" if self.kind is Integral else "a float"
        left, right = "[" if self.closed in ("left", "both") else "(", "]" if self.closed in ("right", "both") else ")"
        return f"{kind} in the range {left}{self.low}, inf{right}" + (" or None" if self.optional else "")


RANGES = {
    "C": Range(Real, 0.0, "right"),
    "tol": Range(Real, 0.0, "neither"),
    "max_iter": Range(Integral, 0, "left"),
    "n_threads": Range(Integral, 1, "left", optional=True),
    "memory_limit": Range(Real, 0.0, "both", optional=True),
    "time_limit": Range(Real, 0.0, "both", optional=True),
}
FLAGS = ("fit_intercept", "standardize")
NAMES = ("auto", *SOLVERS)
_SEEDS = 2**32


def check(owner: str, **values: Any) -> None:
    """Raise InputError, with scikit-learn's wording, if a parameter is not valid.

    Parameters
    ----------
    owner : str
        Name of the function or class, for the message.
    **values
        Parameters among `RANGES`, `FLAGS` and "solver".
    """
    for name, value in values.items():
        if name in RANGES:
            allowed, needed = RANGES[name].allows(value), str(RANGES[name])
        elif name in FLAGS:
            allowed, needed = isinstance(value, bool | np.bool_), "a bool"
        else:
            allowed, needed = isinstance(value, str) and value in NAMES, f"one of {', '.join(map(repr, NAMES))}"
        if not allowed:
            raise _refused(owner, name, needed, value)


def _refused(owner: str, name: str, needed: str, value: Any) -> InputError:
    return InputError(f"The {name!r} parameter of {owner} must be {needed}. Got {value!r} instead.")


def seed_of(random_state: Any) -> int:
    """Return a seed below ``2**32``.

    Parameters
    ----------
    random_state : int, RandomState or None
        An int is the seed itself; a RandomState draws it; None draws it from NumPy's global state.

    Raises
    ------
    InputError
        If ``random_state`` is none of these.
    """
    if isinstance(random_state, Integral) and 0 <= int(random_state) < _SEEDS:
        return int(random_state)
    if random_state is None or isinstance(random_state, np.random.RandomState):
        return int((random_state or np.random).randint(_SEEDS, dtype=np.uint64))
    needed = f"an int in the range [0, {_SEEDS - 1}], a numpy.random.RandomState or None"
    raise _refused("solve", "random_state", needed, random_state)
