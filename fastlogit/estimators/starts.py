"""Where a fit starts: at coefficients that the caller gives, or at those of the model's last fit."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.sources.numbers import as_numbers


def of_last_fit(
    coef: NDArray[np.float64], intercept: NDArray[np.float64], shape: tuple[int, int], fit_intercept: bool
) -> NDArray[np.float64] | None:
    """Return a fitted model's coefficients (n_coefficients + 1, K) to start from, or None if they are of no use.

    ``shape`` is that of ``coef_`` in the new fit.
    """
    if coef.shape != shape or not np.isfinite(coef).all():
        return None
    return np.vstack([coef.T, np.atleast_1d(intercept) if fit_intercept else np.zeros(shape[0])])


def as_given(coef_init: Any, intercept_init: Any, shape: tuple[int, int], fit_intercept: bool) -> NDArray[np.float64]:
    """Return the starting point (n_coefficients + 1, K) that a caller gives; zeros for what is None.

    Raises
    ------
    TypeError, ValueError
        If it is not of the shapes of ``coef_``, which is ``shape``, and ``intercept_``, or not of finite numbers.
    """
    given = {"coef_init": (coef_init, shape), "intercept_init": (intercept_init, shape[:1])}
    arrays = []
    for name, (values, wanted) in given.items():
        array = np.zeros(wanted) if values is None else as_numbers(name, values).astype(np.float64)
        if shape[0] == 1 and array.shape == wanted[1:]:
            array = array[None]
        if array.shape != wanted:
            raise ValueError(f"{name} has shape {array.shape}, but {wanted} is needed")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} has NaN or infinity")
        arrays.append(array)
    coef, intercept = arrays
    if not fit_intercept and np.any(intercept):
        raise ValueError("intercept_init is not 0, but fit_intercept=False holds intercepts at 0")
    return np.vstack([coef.T, intercept])
