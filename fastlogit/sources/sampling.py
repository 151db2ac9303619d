"""The rows of a sample: those that lie far out, each for itself, and others drawn class by class."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.kernels.machine.jit import n_chunks
from fastlogit.kernels.passes import survey

_BITS, _BLOCK = 2**64 - 1, 4096


def pieces(values: NDArray[Any], counts: NDArray[np.int64]) -> NDArray[Any]:
    """Return what chunks have found: ``counts`` (chunks, 2) has where each begins, and how many it found."""
    return np.concatenate([values[a : a + n] for a, n in counts])


def counted(
    weights: Callable[[int, int], NDArray[np.float64]], first: int, last: int, most: int
) -> tuple[int, int, int]:
    """Return the range of rows from the first that has a weight to the ``most``-th, and how many in it have one.

    ``weights(first, last)`` gives those of a range; none is looked at that is not needed.
    """
    begin = end = first
    found = 0
    for start in range(first, last, _BLOCK):
        rows = start + np.flatnonzero(weights(start, min(start + _BLOCK, last)) > 0.0)[: most - found]
        if len(rows):
            begin, end = begin if found else int(rows[0]), int(rows[-1]) + 1
            found += len(rows)
        if found == most:
            break
    return begin, end, found


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


def mixed(seed: int) -> int:
    """Return 64 well mixed bits of a seed (SplitMix64): the hash of a row adds them to its index.

    Seeds as they are would lie so close together that the sample of one is that of the other, moved by a few rows.
    """
    x = (seed + 1) * 0x9E3779B97F4A7C15 & _BITS
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & _BITS
    x = (x ^ x >> 27) * 0x94D049BB133111EB & _BITS
    return x ^ x >> 31


def drawn_by_class(
    y: NDArray[Any], n_classes: int, far: NDArray[np.int64], n: int, seed: int, parts: Iterable[tuple[int, int]]
) -> tuple[NDArray[np.int64], NDArray[np.float64], float]:
    """Return the rows ``far`` and about ``n`` others, and for how many rows of the whole each stands.

    Parameters
    ----------
    y : ndarray
        Class codes (n_samples,), or probabilities, which are all of one class here.
    far : ndarray
        Row numbers in order.
    parts : iterable of (first, last)
        The rows, a part at a time: an index for each row of one part is held.

    Returns
    -------
    (ndarray, ndarray, float)
        Row numbers in order, how many rows each stands for, and the most that one may stand for.
    """
    strata = n_classes if y.ndim == 1 else 1
    class_of = y if y.ndim == 1 else np.zeros(len(y), np.uint8)
    chunks = n_chunks(len(y), strata)
    counts = np.empty((chunks, strata), np.int64)
    survey.count_strata(chunks, y, counts)
    total = counts.sum(axis=0)
    rate = np.minimum(1.0, np.maximum(n / len(y), n / (2 * strata) / np.maximum(total, 1)))
    limits = np.minimum(rate * 2.0**64, 2.0**64 - 2048.0).astype(np.uint64)
    drawn = np.concatenate([_draw(y, limits, seed, first, last) for first, last in parts])
    drawn = np.setdiff1d(drawn, far, assume_unique=True) if len(far) else drawn
    rest = total - np.bincount(class_of[far], minlength=strata)
    share = rest / np.maximum(np.bincount(class_of[drawn], minlength=strata), 1)
    rows = np.concatenate([far, drawn]) if len(far) else drawn
    weight = share[class_of[rows]]
    if len(far):
        weight[: len(far)] = 1.0
        order = np.argsort(rows)
        rows, weight = rows[order], weight[order]
    return rows, weight, float(max(1.0, share.max()))


def _draw(y: NDArray[Any], limits: NDArray[np.uint64], seed: int, first: int, last: int) -> NDArray[np.int64]:
    chunks = n_chunks(last - first, 1)
    rows, counts = np.empty(last - first, np.int64), np.empty((chunks, 2), np.int64)
    survey.draw(chunks, y, limits, np.uint64(mixed(seed)), first, last, rows, counts)
    return pieces(rows, counts)
