"""Warnings and errors of fits, and the function that warns."""

import sys
import warnings
from typing import Any


class ConvergenceWarning(UserWarning):
    """It was not shown that the gap to the optimum is within ``tol``; the message says why and what to do."""


class SeparationWarning(ConvergenceWarning):
    """The classes are separated, completely or quasi-completely: without a penalty there is no finite optimum."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a fit. A ``KeyboardInterrupt``: it also ends loops around the fit, and the best point is kept.

    Attributes
    ----------
    solution : Solution
        The best point so far; a `LogisticRegression` has its coefficients too.
    """

    def __init__(self, solution: Any) -> None:
        super().__init__(
            f"{solution.status.value} It is in the attribute 'solution', and in the estimator that was fitted."
        )
        self.solution = solution

    def __reduce__(self) -> Any:
        """Pickle the solution: workers of a parallel search send the exception to the main process."""
        return type(self), (self.solution,)


class InputError(TypeError, ValueError):
    """An argument has a wrong type or value.

    It is a TypeError, as Python raises for text among numbers, and a ValueError, which scikit-learn raises in the same
    cases and its callers catch. scikit-learn's own error for an invalid parameter is both, too.
    """


def warn(message: str, category: type[Warning]) -> None:
    """Warn, with the location of the line that called fastlogit, directly or through scikit-learn."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in ("fastlogit", "sklearn"):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
