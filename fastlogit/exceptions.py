"""Warnings that a fit may raise."""


class ConvergenceWarning(UserWarning):
    """The gap to the optimum was not shown to be within ``tol``; the message says why and what to do."""


class SeparationWarning(ConvergenceWarning):
    """The classes are separated, wholly or in part, so that without a penalty there is no finite optimum."""
