"""What storages of one matrix X have in common."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastlogit.kernels.storages.storage import Storage


class _Fields(NamedTuple):
    X: NDArray[Any]


class Matrix(_Fields, Storage):
    """X of shape (n_samples, n_features)."""

    __slots__ = ()

    @property
    def shape(self) -> tuple[int, int]:
        """(n_samples, n_features)."""
        return self.X.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The stored type."""
        return self.X.dtype

    def dense(self, columns: slice) -> NDArray[np.float64]:
        """Return a copy of some columns of all rows."""
        return self.X[:, columns].astype(np.float64)
