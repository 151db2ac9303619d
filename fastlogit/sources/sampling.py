"""The rows of a survey that lie far out: each stands for itself in a sample."""

import numpy as np
from numpy.typing import NDArray


class FarRows:
    """The rows that lie farthest out, at most ``most`` of them."""

    def __init__(self, limit: float, most: int) -> None:
        self.limit, self._most = limit, most
        self.rows, self._squares = np.empty(0, np.int64), np.empty(0)

    def add(self, rows: NDArray[np.int64], squares: NDArray[np.float64]) -> None:
        """Add rows that are farther out than ``limit``; it rises where there are too many."""
        self.rows, self._squares = np.append(self.rows, rows), np.append(self._squares, squares)
        if len(self.rows) > self._most:
            farthest = np.argsort(-self._squares, kind="stable")[: self._most]
            self.rows, self._squares = self.rows[farthest], self._squares[farthest]
            self.limit = float(self._squares.min()) if self._most else np.inf
