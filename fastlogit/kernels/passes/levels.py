"""How many rows of categories have each code."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.kernels.machine.jit import kernel, n_chunks
from fastlogit.kernels.storages.coded import Coded, Codes
from fastlogit.kernels.storages.coded_kernels import decoded
from fastlogit.kernels.storages.nothing import Nothing
from fastlogit.kernels.storages.protocol import bounds, tile_rows
from fastlogit.kernels.storages.table import Column

# Codes that NumPy looks through in less time than a kernel's first call takes.
_FEW = 1 << 17


@kernel
def _count(chunk: int, n_chunks: int, storage: Any, counts: Any) -> None:
    """Write to ``counts`` (n_chunks, places) how many of the chunk's rows have the code of each place."""
    begin, end = bounds(storage, 0, storage.starts[-1], chunk, n_chunks)
    counts[chunk] = 0
    T = tile_rows(storage, 1)
    for start in range(begin, end, T):
        places = decoded(storage, storage.places, start, min(T, end - start))
        for j in range(places.shape[0]):
            for r in range(places.shape[1]):
                counts[chunk, places[j, r]] += 1


def rows_of_codes(columns: Sequence[Column], n_codes: Sequence[int]) -> list[NDArray[np.int64]]:
    """Return for each column of codes the rows of -1, 0, 1, ..., (n_codes + 1,); one read of the codes."""
    n = sum(rows for _, rows in columns[0].pieces)
    if n * len(columns) <= _FEW:
        rows = np.arange(n)
        return [
            np.bincount(column.take(rows).astype(np.int64) + 1, minlength=count + 1)
            for column, count in zip(columns, n_codes, strict=True)
        ]
    first = np.cumsum([0, *(count + 1 for count in n_codes)])
    codes = [Codes(column, np.arange(a, b)) for column, a, b in zip(columns, first[:-1], first[1:], strict=True)]
    storage = Coded.of(codes, Nothing.of(n), np.empty(0, np.int64), int(first[-1]))
    size = storage.n_places
    counts = np.empty((n_chunks(n, size, len(columns)), size), np.int64)
    _count(len(counts), storage, counts)
    return np.split(storage.unpacked(counts.sum(axis=0)).astype(np.int64), first[1:-1])
