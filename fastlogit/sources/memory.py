"""The source of rows in memory."""

from collections.abc import Iterator, Sequence
from typing import Any

from fastlogit.kernels.passes.first_order import Targets
from fastlogit.sources.block import Block
from fastlogit.sources.protocol import Source


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
