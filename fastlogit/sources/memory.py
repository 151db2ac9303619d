"""Rows that lie in memory."""

from collections.abc import Iterator, Sequence
from typing import Any

from fastlogit.kernels.passes.first_order import Targets
from fastlogit.sources.block import Block
from fastlogit.sources.protocol import Source


class MemorySource(Source):
    """Blocks of rows in memory, as a rule one.

    Parameters
    ----------
    blocks : sequence of Block
        In the order of their rows: each begins where the one before ends.
    feature_names : sequence of str, optional
        What messages call the columns.
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
        """The rows, where there is one block."""
        (block,) = self._blocks
        return block.storage

    @property
    def targets(self) -> Targets:
        """What the rows come with, where there is one block."""
        (block,) = self._blocks
        return block.targets
