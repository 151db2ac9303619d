"""When a solver that has Hessians may stop: what it looks for at every point."""

from typing import Any

import numpy as np

from fastlogit.objective import Objective, Point
from fastlogit.reads import Reads
from fastlogit.solvers.duality import Ending
from fastlogit.solvers.quadratic_model import Model
from fastlogit.solvers.separation import Tail, is_separating
from fastlogit.solvers.solution import Record, Solution, Status

#: From this relative gap on an estimate without a bound makes one look for separation; and from the second on for the
#: exact radius. A step costs one read too, and as a rule ends in a bound: these do not depend on ``tol``, so that a
#: looser one is as quick.
_TAIL, _NEAR = 1e-6, 1e-10
# This many steps there that do not halve the gap are the last.
_IDLE = 2


class NewtonEnding:
    """Looks for bounds A, P and D at each point, then for separation, and tells where nothing is gained any more.

    Attributes
    ----------
    dtype : dtype
        What the products of Hessians are to be computed in: float64 from where float32 leaves no bound.
    """

    def __init__(self, objective: Objective, record: Record, dtype: Any) -> None:
        self.dtype = dtype
        self._objective, self._record = objective, record
        self._ending, self._tail = Ending(objective, record), Tail(objective)
        self._before, self._idle, self._gap = np.inf, 0, np.inf

    def look(self, point: Point) -> Reads[tuple[Model, float, Solution | None]]:
        """Return the model at a point that has a Hessian, the gap there, and the solution where the fit ends here."""
        objective, record, dtype = self._objective, self._record, self.dtype
        model = yield from Model.at(objective, point, dtype)
        gap, kind = model.gap()
        if kind == "estimate" and gap <= _NEAR * abs(point.value):
            model = yield from model.with_exact_radius(objective)
            gap, kind = model.gap()
        self._gap, after = gap, model.gap_after_step()
        stop = record.add(point, gap, kind)
        if not record.needs_duality:
            stepped = model.stepped(point)
            if record.is_small(after, max(stepped.value, 0.0)):
                return model, gap, record.solution(Status.CONVERGED, stepped, after, "P")
            if kind == "A" and record.is_small(gap, point.value):
                return model, gap, record.solution(Status.CONVERGED, point, gap, kind)
        hess = point.hess if dtype == np.float64 else None
        if (yield from self._ending.is_bounded(point, min(gap, 0.5 * model.decrement**2), hess)):
            return model, gap, self._ending.solution(point, gap, None)
        if stop is not None:
            return model, gap, record.solution(stop)
        if (kind == "estimate" or record.needs_duality) and gap <= _TAIL * abs(point.value):
            if dtype != np.float64:
                self.dtype = np.dtype(np.float64)
            elif (yield from self._tail.is_separating(model.step, gap)):
                return model, gap, record.solution(Status.QUASI_SEPARATED, direction=model.step)
            self._idle = self._idle + 1 if gap >= 0.5 * self._before else 0  # 0 is not half of 0
            if self._idle > _IDLE:  # rounding is all that is left
                return model, gap, (yield from self.stalled(point, model))
            self._before = gap
        if np.array_equal(point.x + model.step, point.x):  # nor will it ever move again
            return model, gap, (yield from self.stalled(point, model))
        return model, gap, None

    def stalled(self, point: Point, model: Model) -> Reads[Solution]:
        """Return the solution at the point last looked at: nothing is left to gain, and no bound says so."""
        if self._objective.is_weakly_penalized and (yield from is_separating(self._objective, model.step)):
            return self._record.solution(Status.WEAKLY_PENALIZED, point, self._gap, "estimate", model.step)
        return self._ending.solution(point, self._gap, None)
