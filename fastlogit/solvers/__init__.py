"""Solvers: functions of an objective that know nothing of X. `SOLVERS` names them."""

from fastlogit.solvers.lbfgs import lbfgs
from fastlogit.solvers.newton import newton
from fastlogit.solvers.newton_cg import newton_cg

SOLVERS = {"newton": newton, "lbfgs": lbfgs, "newton-cg": newton_cg}
