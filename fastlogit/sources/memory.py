"""The source of rows in memory."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.costs import is_little
from fastlogit.kernels.losses import Logistic, Softmax
from fastlogit.kernels.passes.first_order import Targets
from fastlogit.sources.block import Block
from fastlogit.sources.plain import PlainBlock
from fastlogit.sources.protocol import Source
from fastlogit.sources.sums import n_margins


class MemorySource(Source):
    """Blocks of rows in memory, usually one.

    Parameters
    ----------
    blocks : sequence of Block
        In the order of rows: each ``first_row`` is where the block before ends.
    feature_names : sequence of str, optional
        Names of the columns in messages.
    """

    def __init__(self, blocks: Sequence[Block], feature_names: Sequence[str] | None = None) -> None:
        first, n_samples = blocks[0], sum(block.n_samples for block in blocks)
        super().__init__(n_samples, first.storage, first.loss, first.storage.row_bytes, feature_names)
        self._blocks = blocks

    def blocks(self) -> Iterator[Block]:
        """See `Source.blocks`."""
        return iter(self._blocks)

    def light(self) -> Source:
        """See `Source.light`."""
        first, shape = self._blocks[0], (self.n_samples, self.n_features, n_margins(self.n_classes))
        if not is_little(*shape) or not isinstance(self.loss, Logistic | Softmax) or isinstance(first, PlainBlock):
            return self
        source = PlainSource([PlainBlock.of(block) for block in self._blocks], self.feature_names)
        source.largest_share = self.largest_share
        return source

    @property
    def storage(self) -> Any:
        """The rows of a source of one block."""
        (block,) = self._blocks
        return block.storage

    @property
    def targets(self) -> Targets:
        """Labels, weights and offsets of a source of one block."""
        (block,) = self._blocks
        return block.targets


class PlainSource(MemorySource):
    """Few rows in memory, and operations on them in NumPy, which keeps silent about overflow as kernels do."""

    leading = None
    steers_by_partitions = False

    def uncentred(self, center: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Return None: elements are centred one by one, those of sparse rows too."""
        return None

    def run_all(self, operations: Sequence[tuple[str, tuple[Any, ...]]]) -> list[Any]:
        """See `Source.run_all`."""
        with np.errstate(all="ignore"):
            return super().run_all(operations)
