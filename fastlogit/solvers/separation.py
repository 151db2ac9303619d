"""Separation in part: a direction along which no row's margin falls, and some rise without end."""

import numpy as np

from fastlogit.objective import Array, Objective

# Newton's step along a separating direction adds about 1 to the margins of the rows that are left with any loss.
_RISES, _FALLS = 0.5, 1e-3


def is_separating(objective: Objective, step: Array) -> bool:
    """Tell whether an unpenalised fit goes on for ever along Newton's step; at most two reads of X.

    Every row's margin changes along the step by what the step itself gives as margins: where the least is 0, to
    rounding, and the largest is not small, the objective falls along it without end (Albert and Anderson,
    "On the existence of maximum likelihood estimates in logistic regression models", Biometrika 71 (1984)).
    """
    if np.any(objective.strength):
        return False
    largest = -objective.at(-step).smallest_margin
    return bool(largest > _RISES and objective.at(step).smallest_margin > -_FALLS * largest)
