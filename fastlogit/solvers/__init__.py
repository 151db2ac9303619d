"""Solvers: they minimise an objective without access to X. `SOLVERS` names them, `minimise` calls them in turn."""

from fastlogit.solvers.in_turn import SOLVERS, minimise

__all__ = ["SOLVERS", "minimise"]
