"""Losses: margins in, losses and residuals out. Importing this package registers all of them."""

from fastlogit.kernels.losses.logistic import Logistic
from fastlogit.kernels.losses.notebook import NotebookLogistic
from fastlogit.kernels.losses.softmax import Softmax

Loss = Logistic | Softmax | NotebookLogistic

__all__ = ["Logistic", "Loss", "NotebookLogistic", "Softmax"]
