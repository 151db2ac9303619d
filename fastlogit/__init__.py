"""Binary and multinomial logistic regression for large data, as fast as memory can be read."""

from fastlogit import reference
from fastlogit.exceptions import ConvergenceWarning, SeparationWarning
from fastlogit.fit import solve
from fastlogit.notebook import (
    binary_classifier_from,
    cross_entropy_loss,
    grad_of_loss_wrt_logits,
    multiclass_classifier_from,
    softmax,
)
from fastlogit.solvers.solution import Solution, Status

__version__ = "0.1.0"

__all__ = [
    "ConvergenceWarning",
    "SeparationWarning",
    "Solution",
    "Status",
    "binary_classifier_from",
    "cross_entropy_loss",
    "grad_of_loss_wrt_logits",
    "multiclass_classifier_from",
    "reference",
    "softmax",
    "solve",
]
