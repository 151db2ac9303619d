"""What parameters may be: one table for `fastlogit.solve` and for `LogisticRegression`, and the seed of a sample."""

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from fastlogit.exceptions import InputError
from fastlogit.solvers import SOLVERS


@dataclass(frozen=True)
class Range:
    """Numbers that a parameter may be.

    Attributes
    ----------
    kind : type
        ``numbers.Integral`` or ``numbers.Real``.
    low : int or float
        Where they begin.
    closed : {"left", "right", "both", "neither"}
        Whether ``low`` and infinity, where they end, are among them: scikit-learn's words.
    optional : bool
        Whether None may stand for no number.
    """

    kind: Any
    low: float
    closed: str
    optional: bool = False

    def allows(self, value: Any) -> bool:
        """Tell whether the parameter may be this."""
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
    """Raise InputError where a parameter is not what it may be, in scikit-learn's words.

    Parameters
    ----------
    owner : str
        Whose parameters they are.
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
    """Return a number below ``2**32``: an int itself, else one that is drawn, for None from NumPy's global state.

    Raises
    ------
    InputError
        If it is nothing that scikit-learn takes for a ``random_state``.
    """
    if isinstance(random_state, Integral) and 0 <= int(random_state) < _SEEDS:
        return int(random_state)
    if random_state is None or isinstance(random_state, np.random.RandomState):
        return int((random_state or np.random).randint(_SEEDS, dtype=np.uint64))
    needed = f"an int in the range [0, {_SEEDS - 1}], a numpy.random.RandomState or None"
    raise _refused("solve", "random_state", needed, random_state)
