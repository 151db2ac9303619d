"""fastlogit's warnings as scikit-learn's."""

import sklearn.exceptions

from fastlogit import exceptions


class ConvergenceWarning(exceptions.ConvergenceWarning, sklearn.exceptions.ConvergenceWarning):
    """fastlogit's warning, which scikit-learn's filters match too. Messages show the name of this class."""


class SeparationWarning(exceptions.SeparationWarning, ConvergenceWarning):
    """fastlogit's warning, which scikit-learn's filters match too. Messages show the name of this class."""


#: The class to warn with, for each of fastlogit's own.
OF_SCIKIT_LEARN = {
    exceptions.ConvergenceWarning: ConvergenceWarning,
    exceptions.SeparationWarning: SeparationWarning,
}
