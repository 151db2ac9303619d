"""Solvers: functions of an objective that know nothing of X. `SOLVERS` names them, `minimise` calls them in turn."""

from fastlogit.solvers.in_turn import SOLVERS, minimise

__all__ = ["SOLVERS", "minimise"]
