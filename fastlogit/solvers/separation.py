"""Quasi-complete separation: a direction along which no row's margin falls, and some rise without limit."""

from fastlogit.objective import Array, Objective
from fastlogit.reads import Reads

# Newton's step along a separating direction adds about 1 to the margins of rows that still have a loss.
_RISES, _FALLS = 0.5, 1e-3
# It is tested again when the gap has fallen to this share: Newton's step comes closer and closer to such a direction.
_NEARER = 1e-2


def is_separating(objective: Objective, step: Array) -> Reads[bool]:
    """Return whether Newton's step (n,) is a direction of separation; at most two reads of X.

    The step changes a row's margin by the margin of the step itself taken as coefficients. If the smallest of these
    changes is 0, to rounding, and the largest is not small, an unpenalised objective falls along the step without limit
    (A. Albert and J. Anderson, "On the existence of maximum likelihood estimates in logistic regression models",
    Biometrika 71 (1984)).
    """
    largest = -(yield from objective.at(-step)).smallest_margin
    return bool(largest > _RISES and (yield from objective.at(step)).smallest_margin > -_FALLS * largest)


class Tail:
    """Tests for separation in the tail of an unpenalised fit, which approaches an infimum without a bound."""

    def __init__(self, objective: Objective) -> None:
        self._objective, self._looked_at = objective, float("inf")

    def is_separating(self, step: Array, gap: float) -> Reads[bool]:
        """Return whether Newton's step is a direction of separation; tested again only at much smaller gaps."""
        if gap > _NEARER * self._looked_at or not self._objective.smooth.is_none:
            return False
        self._looked_at = gap
        return (yield from is_separating(self._objective, step))
