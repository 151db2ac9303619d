"""Warnings and errors that a fit may raise, and how warnings are raised."""

import sys
import warnings
from typing import Any


class ConvergenceWarning(UserWarning):
    """The gap to the optimum was not shown to be within ``tol``; the message says why and what to do."""


class SeparationWarning(ConvergenceWarning):
    """The classes are separated, wholly or in part, so that without a penalty there is no finite optimum."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a fit: it ends whatever loop the fit stands in, and nothing is lost.

    Attributes
    ----------
    solution : Solution
        The best point so far; `LogisticRegression` has taken it too.
    """

    def __init__(self, solution: Any) -> None:
        super().__init__(
            f"{solution.status.value} It is in the attribute 'solution', and in the estimator that was fitted."
        )
        self.solution = solution

    def __reduce__(self) -> Any:
        """Pickle what it was made of: a search's worker sends it home."""
        return type(self), (self.solution,)


class InputError(TypeError, ValueError):
    """An argument is not what is needed, by its type or value.

    A TypeError, as Python has it of a text among numbers, and a ValueError, which is what scikit-learn raises there and
    its callers catch; scikit-learn's own error of a parameter is both, too.
    """


def warn(message: str, category: type[Warning]) -> None:
    """Warn about the line that called fastlogit, itself or through scikit-learn."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in ("fastlogit", "sklearn"):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
