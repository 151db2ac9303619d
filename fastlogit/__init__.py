"""Binary and multinomial logistic regression for large data, as fast as memory can be read."""

from typing import TYPE_CHECKING, Any

from fastlogit import reference
from fastlogit.exceptions import ConvergenceWarning, Interrupted, SeparationWarning
from fastlogit.fit import solve
from fastlogit.logits import cross_entropy_loss, grad_of_loss_wrt_logits, softmax
from fastlogit.notebook import binary_classifier_from, multiclass_classifier_from
from fastlogit.solvers.solution import Solution, Status

if TYPE_CHECKING:
    from fastlogit.estimators import LogisticRegression

__version__ = "0.1.0"

__all__ = [
    "ConvergenceWarning",
    "Interrupted",
    "LogisticRegression",
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


def __getattr__(name: str) -> Any:
    """Import scikit-learn, and what stands on it, when it is asked for: it takes longer than all the rest."""
    if name == "LogisticRegression":
        from fastlogit.estimators import LogisticRegression

        return LogisticRegression
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
