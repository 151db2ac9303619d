"""When a solver that has Hessians stops: the tests at every point."""

from typing import Any

import numpy as np

from fastlogit.objective import Objective, Point
from fastlogit.reads import Reads
from fastlogit.solvers.duality import Ending
from fastlogit.solvers.quadratic_model import NEAR, Model
from fastlogit.solvers.separation import Tail, is_separating
from fastlogit.solvers.solution import Record, Solution, Status

#: Up to this relative gap, estimated without a bound, separation is tested, up to `NEAR` the exact radius computed.
#: Both cost reads, as a step does, which usually leads to a bound. They do not depend on ``tol``, so that a larger one
#: takes no more reads.
_TAIL = 1e-6
# Above this relative gap nothing but the next step is of interest.
_FAR = 0.1
# Steps that do not halve such a gap, after which the solver stops.
_IDLE = 2


class NewtonEnding:
    """Tests bounds A, P and D at each point, then separation, and whether steps still gain anything.

    Attributes
    ----------
    dtype : dtype
        Type for the products of the next Hessian: float64 once float32 is not exact enough for a bound.
    """

    def __init__(self, objective: Objective, record: Record, dtype: Any) -> None:
        self.dtype = dtype
        self._objective, self._record = objective, record
        self._ending, self._tail = Ending(objective, record), Tail(objective)
        self._before, self._idle, self._gap = np.inf, 0, np.inf

    def look(self, point: Point) -> Reads[tuple[Model, float, Solution | None]]:
        """Return the model at a point with a Hessian, the gap there, and the solution if the fit ends, else None."""
        objective, record, dtype = self._objective, self._record, self.dtype
        model = yield from Model.at(objective, point, dtype)
        gap, kind = model.gap()
        if kind == "estimate" and gap <= NEAR * abs(point.value):
            model = yield from model.with_exact_radius(objective)
            gap, kind = model.gap()
        self._gap, after = gap, model.gap_after_step()
        stop = record.add(point, gap, kind)
        if stop is None and kind == "estimate" and gap > _FAR * abs(point.value) and not np.isfinite(after):
            return model, gap, None
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
            self._idle = self._idle + 1 if gap >= 0.5 * self._before else 0  # >=: so that 0 after 0 counts
            if self._idle > _IDLE:  # the rest of the gap is rounding errors
                return model, gap, (yield from self.stalled(point, model))
            self._before = gap
        if np.array_equal(point.x + model.step, point.x):  # the step is below rounding
            return model, gap, (yield from self.stalled(point, model))
        return model, gap, None

    def stalled(self, point: Point, model: Model) -> Reads[Solution]:
        """Return the solution at the last point if no step lowers the objective, but no bound is within tol."""
        if self._objective.is_weakly_penalized and (yield from is_separating(self._objective, model.step)):
            return self._record.solution(Status.WEAKLY_PENALIZED, point, self._gap, "estimate", model.step)
        return self._ending.solution(point, self._gap, None)
