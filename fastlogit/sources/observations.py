"""Rows of X with their labels, weights and offsets: which of them count, and how to copy, join and cut them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fastlogit.kernels.losses import Loss
from fastlogit.kernels.machine.jit import read_only
from fastlogit.kernels.passes.first_order import Targets
from fastlogit.prediction import parts
from fastlogit.sources.sums import n_margins

# Rows whose weights are computed at a time in the search for weighted ones.
_ROWS = 4096

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Observations:
    """Rows of a storage with their targets.

    Attributes
    ----------
    storage : Storage
        Any of `fastlogit.kernels.storages`.
    targets : Targets
        Labels, weights and offsets of the same rows, read-only arrays.
    loss : Loss
        The loss to be summed over rows.
    first_row : int
        Index of the first row among all rows of the source.
    rows_per_part : int or None
        Rows of a part; by default a size that the shape alone decides.
    stays : bool
        Whether the arrays live as long as the source. If not, a survey copies the rows that it picks.
    """

    storage: Any
    targets: Targets
    loss: Loss
    first_row: int = 0
    rows_per_part: int | None = None
    stays: bool = True

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return int(self.storage.shape[0])

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return int(self.storage.shape[1])

    @cached_property
    def parts(self) -> list[tuple[int, int]]:
        """The row range ``(first, last)`` of each part, counted from the block's first row."""
        return parts(self.storage, n_margins(self.loss.n_classes), self.rows_per_part)

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Return a copy of the rows with these indices, which ascend."""
        y, weight, class_weight, offset = self.targets
        some = (a[rows] if a.size else a for a in (weight, offset))
        targets = Targets(read_only(y[rows]), read_only(next(some)), class_weight, read_only(next(some)))
        return type(self)(self.storage.take(rows), targets, self.loss)

    @classmethod
    def join(cls, blocks: Sequence[Self]) -> Self:
        """Return all rows of the blocks, in order, as one; a single block is returned as it is, not copied."""
        if len(blocks) == 1:
            return blocks[0]
        first, targets = blocks[0], [block.targets for block in blocks]
        y, weight, offset = (
            read_only(np.concatenate([getattr(each, name) for each in targets])) for name in ("y", "weight", "offset")
        )
        storage = type(first.storage).join([block.storage for block in blocks])
        return cls(storage, Targets(y, weight, first.targets.class_weight, offset), first.loss)

    def row_weights(self, first: int, last: int) -> Array:
        """Return sample weight times class weight (last - first,) of rows ``first`` to ``last``."""
        targets, weight = self.targets, np.ones(last - first)
        if targets.weight.size:
            weight *= targets.weight[first:last]
        if targets.class_weight.size:
            weight *= targets.class_weight[targets.y[first:last]]
        return weight

    def is_weighted(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether each of these rows has positive weight."""
        y, weight, class_weight, _ = self.targets
        weighted = np.ones(len(rows), np.bool_)
        if weight.size:
            weighted &= weight[rows] > 0.0
        if class_weight.size:
            weighted &= class_weight[y[rows]] > 0.0
        return weighted

    def first_weighted(self, first: int, last: int, most: int) -> tuple[int, int, int]:
        """Return the shortest range that holds the first ``most`` rows of positive weight, and how many it holds.

        Searches rows ``first`` to ``last``, from the first on, and computes no more weights than needed.
        """
        begin = end = first
        found = 0
        for start in range(first, last, _ROWS):
            weights = self.row_weights(start, min(start + _ROWS, last))
            rows = start + np.flatnonzero(weights > 0.0)[: most - found]
            if len(rows):
                begin, end = begin if found else int(rows[0]), int(rows[-1]) + 1
                found += len(rows)
            if found == most:
                break
        return begin, end, found
