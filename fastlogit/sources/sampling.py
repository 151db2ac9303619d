"""The rows of a sample: outliers, which stand for themselves, and rows drawn class by class.

A row is drawn if a hash of its index is below its class's limit. Limits follow from the classes' numbers of rows alone,
so that a block draws its rows without knowing any other block, and the sample does not depend on how rows are cut into
blocks and parts. Rows of weight zero are neither counted nor drawn.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastlogit.kernels.machine.jit import n_chunks, read_only
from fastlogit.kernels.passes import survey
from fastlogit.kernels.passes.first_order import Targets
from fastlogit.sources.sums import Moments

_BITS = 2**64 - 1


def pieces(values: NDArray[Any], counts: NDArray[np.int64]) -> NDArray[Any]:
    """Return the values that chunks found, in order; ``counts`` (n_chunks, 2): where each chunk's begin, how many."""
    return np.concatenate([values[a : a + n] for a, n in counts])


def _union(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the elements of two ascending arrays, ascending, each once; a tenth of the time of ``np.union1d``."""
    both = np.sort(np.concatenate([a, b]), kind="stable")
    return both[np.append(True, both[1:] != both[:-1])] if len(both) else both


def mixed(seed: int) -> int:
    """Return 64 well mixed bits of a seed (SplitMix64); the hash of a row adds them to its index.

    With seeds 0 and 1 themselves, the sample of one would be the sample of the other shifted by one row.
    """
    x = (seed + 1) * 0x9E3779B97F4A7C15 & _BITS
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & _BITS
    x = (x ^ x >> 27) * 0x94D049BB133111EB & _BITS
    return x ^ x >> 31


class Limits(NamedTuple):
    """The hashes below which rows are drawn.

    Attributes
    ----------
    seed : int
        64 mixed bits, added to the index of a row before it is hashed.
    of_class : ndarray (n_strata,) uint64
        The limit of each class; soft labels count as one class.
    """

    seed: int
    of_class: NDArray[np.uint64]

    @classmethod
    def of(cls, counts: NDArray[np.int64], n: int, seed: int) -> "Limits":
        """Return the limits for about ``n`` rows, of each class n / (2 n_strata) at least, or all that it has."""
        rate = np.minimum(1.0, np.maximum(n / counts.sum(), n / (2 * len(counts)) / np.maximum(counts, 1)))
        rate[counts == 0] = 0.0  # a class of weight zero
        return cls(mixed(seed), np.minimum(rate * 2.0**64, 2.0**64 - 2048.0).astype(np.uint64))


def drawn(targets: Targets, limits: Limits, first_row: int, first: int, last: int) -> NDArray[np.int64]:
    """Return which of a block's rows ``first`` to ``last`` are drawn; ``first_row`` is the index of its first row."""
    chunks = n_chunks(last - first, 1, 1)
    rows, counts = np.empty(last - first, np.int64), np.empty((chunks, 2), np.int64)
    seed = np.uint64(limits.seed + first_row & _BITS)
    survey.draw(chunks, targets.y, targets.weight, limits.of_class, seed, first, last, rows, counts)
    return pieces(rows, counts)


@dataclass(frozen=True)
class Reach:
    """A bound on the norms of all rows of positive weight, in standardised columns.

    Attributes
    ----------
    mean, spread : ndarray (n_features,)
        Means and deviations that standardise the columns.
    square : float
        The largest squared norm, or more.
    """

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    square: float

    def norm(self, center: NDArray[np.float64], scale: NDArray[np.float64]) -> float:
        """Return a bound on ``||x~||`` with another centre and scale; infinity if a column had no deviation."""
        if not self.spread.min(initial=np.inf) > 0.0:
            return np.inf
        shift = (self.mean - center) / scale
        apart = float((self.spread / scale).max()) * self.square**0.5 + float(shift @ shift) ** 0.5
        return float(np.hypot(1.0, apart))


@dataclass(frozen=True)
class Found:
    """Rows that a survey has picked in one block, by their indices within the block.

    Attributes
    ----------
    block : Block
        The block.
    drawn : ndarray of int
        The drawn rows, ascending.
    outliers : ndarray of int
        The outliers, ascending; a row may be in both.
    squares : ndarray (len(outliers),)
        The outliers' squared norms in standardised columns.
    """

    block: Any
    drawn: NDArray[np.int64]
    outliers: NDArray[np.int64]
    squares: NDArray[np.float64]

    def __add__(self, other: "Found") -> "Found":
        return Found(
            self.block,
            np.append(self.drawn, other.drawn),
            np.append(self.outliers, other.outliers),
            np.append(self.squares, other.squares),
        )

    def within(self, is_kept: NDArray[np.bool_]) -> "Found":
        """Return the same with these outliers alone; ``is_kept`` (len(outliers),)."""
        return replace(self, outliers=self.outliers[is_kept], squares=self.squares[is_kept])

    def taken(self) -> "Found":
        """Return the same with the block replaced by a copy of these rows, for a block that does not stay."""
        rows = _union(self.drawn, self.outliers)
        where = (np.searchsorted(rows, some) for some in (self.drawn, self.outliers))
        return Found(self.block.take(rows), next(where), next(where), self.squares)


@dataclass(frozen=True)
class Surveyed:
    """Result of a survey of consecutive rows; those of the rows that follow are added by ``+``.

    Attributes
    ----------
    moments : Moments
        Moments of the columns.
    found : tuple of Found
        The rows picked in each block, in the order of rows.
    most : int
        Number of outliers to keep: the farthest.
    """

    moments: Moments
    found: tuple[Found, ...]
    most: int

    @classmethod
    def of(
        cls,
        moments: Moments,
        block: Any,
        outliers: NDArray[np.int64],
        squares: NDArray[np.float64],
        drawn: NDArray[np.int64],
        most: int,
    ) -> "Surveyed":
        """Return the result for one part of a block."""
        return cls(moments, (Found(block, drawn, outliers, squares),), most)._within_most()

    def __add__(self, other: "Surveyed") -> "Surveyed":
        last, first = self.found[-1], other.found[0]
        joined = (last + first,) if last.block is first.block else (last, first)
        found = (*self.found[:-1], *joined, *other.found[1:])
        return Surveyed(self.moments + other.moments, found, self.most)._within_most()

    def _within_most(self) -> "Surveyed":
        squares = np.concatenate([each.squares for each in self.found])
        if len(squares) <= self.most:
            return self
        is_kept = np.zeros(len(squares), np.bool_)
        is_kept[np.argsort(-squares, kind="stable")[: self.most]] = True
        ends = np.cumsum([len(each.squares) for each in self.found])[:-1]
        kept = zip(self.found, np.split(is_kept, ends), strict=True)
        return replace(self, found=tuple(each.within(some) for each, some in kept))

    @property
    def largest_square(self) -> float:
        """The largest squared norm of an outlier, 0 if there is none; the farthest are never left out."""
        return max((float(each.squares.max(initial=0.0)) for each in self.found), default=0.0)

    def taken(self) -> "Surveyed":
        """Return the same with the picked rows copied, for blocks that do not stay."""
        return replace(self, found=tuple(each.taken() for each in self.found))

    def sample(self, counts: NDArray[np.int64]) -> tuple[Any, float]:
        """Return the picked rows as one block, weighted to represent all rows.

        Parameters
        ----------
        counts : ndarray (n_strata,)
            Number of rows of positive weight of each class.

        Returns
        -------
        (Block, float)
            The block, in which an outlier keeps its weight, and a drawn row's is multiplied by the number of rows of
            its class, outliers excluded, for each one drawn; and the largest such factor, at least 1.
        """
        strata = len(counts)
        far, near = np.zeros(strata), np.zeros(strata)
        some = []
        for each in self.found:
            y = each.block.targets.y
            classes = y if y.ndim == 1 else np.zeros(len(y), np.uint8)
            drawn = np.setdiff1d(each.drawn, each.outliers, assume_unique=True)
            outliers = np.sort(each.outliers)
            far += np.bincount(classes[outliers], minlength=strata)
            near += np.bincount(classes[drawn], minlength=strata)
            rows = _union(drawn, outliers)
            some.append((each.block, rows, classes[rows], np.isin(rows, outliers, assume_unique=True)))
        share = (counts - far) / np.maximum(near, 1)
        blocks = []
        for block, rows, classes, is_far in some:
            if not len(rows):
                continue
            taken = block.take(rows)
            weight = share[classes]
            weight[is_far] = 1.0
            if taken.targets.weight.size:
                weight *= taken.targets.weight
            blocks.append(replace(taken, targets=taken.targets._replace(weight=read_only(weight))))
        return type(blocks[0]).join(blocks), float(max(1.0, share.max()))
