"""Solvers: functions of an objective that know nothing of X. `SOLVERS` names them."""

from fastlogit.solvers.lbfgs import lbfgs
from fastlogit.solvers.newton import newton

SOLVERS = {"newton": newton, "lbfgs": lbfgs}
