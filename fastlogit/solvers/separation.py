"""Separation in part: a direction along which no row's margin falls, and some rise without end."""

from fastlogit.objective import Array, Objective
from fastlogit.reads import Reads

# Newton's step along a separating direction adds about 1 to the margins of the rows that are left with any loss.
_RISES, _FALLS = 0.5, 1e-3
# It is looked for anew where the gap has fallen to this share: the longer the tail, the nearer the step to a direction.
_NEARER = 1e-2


def is_separating(objective: Objective, step: Array) -> Reads[bool]:
    """Tell whether a fit without a penalty goes on for ever along Newton's step; at most two reads of X.

    Every row's margin changes along the step by what the step itself gives as margins: where the least is 0, to
    rounding, and the largest is not small, the objective falls along it without end (Albert and Anderson,
    "On the existence of maximum likelihood estimates in logistic regression models", Biometrika 71 (1984)).
    """
    largest = -(yield from objective.at(-step)).smallest_margin
    return bool(largest > _RISES and (yield from objective.at(step)).smallest_margin > -_FALLS * largest)


class Tail:
    """Where an unpenalised fit comes ever nearer to its infimum, but to no bound, it looks for separation."""

    def __init__(self, objective: Objective) -> None:
        self._objective, self._looked_at = objective, float("inf")

    def is_separating(self, step: Array, gap: float) -> Reads[bool]:
        """Tell whether Newton's step is a separating direction; few times, at ever smaller gaps."""
        if gap > _NEARER * self._looked_at or not self._objective.smooth.is_none:
            return False
        self._looked_at = gap
        return (yield from is_separating(self._objective, step))
