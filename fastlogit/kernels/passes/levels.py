"""Which codes occur in the rows of categories."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.kernels.machine.jit import kernel, n_chunks
from fastlogit.kernels.storages.coded import Coded, Codes
from fastlogit.kernels.storages.coded_kernels import places_of
from fastlogit.kernels.storages.nothing import Nothing
from fastlogit.kernels.storages.protocol import bounds, tile_rows
from fastlogit.kernels.storages.table import Column

# Codes that NumPy looks through in less time than a kernel's first call takes.
_FEW = 1 << 17


@kernel
def _mark(chunk: int, n_chunks: int, storage: Any, marks: Any) -> None:
    """Set ``marks`` (n_chunks, places) to 1 at the places of the codes of the chunk's rows."""
    begin, end = bounds(storage, 0, storage.starts[-1], chunk, n_chunks)
    marks[chunk] = 0
    T = tile_rows(storage, 1)
    for start in range(begin, end, T):
        places = places_of(storage, start, min(T, end - start))
        for j in range(places.shape[0]):
            for r in range(places.shape[1]):
                marks[chunk, places[j, r]] = 1


def seen(columns: Sequence[Column], n_codes: Sequence[int]) -> list[NDArray[np.bool_]]:
    """Return for each column of codes whether -1, 0, 1, ... occur, (n_codes + 1,); one read of the codes."""
    n = sum(rows for _, rows in columns[0].pieces)
    if n * len(columns) <= _FEW:
        found = []
        for column, count in zip(columns, n_codes, strict=True):
            is_seen = np.zeros(count + 1, np.bool_)
            is_seen[column.take(np.arange(n)).astype(np.int64) + 1] = True
            found.append(is_seen)
        return found
    first = np.cumsum([0, *(count + 1 for count in n_codes)])
    codes = [Codes(column, np.arange(a, b)) for column, a, b in zip(columns, first[:-1], first[1:], strict=True)]
    storage = Coded.of(codes, Nothing.of(n), np.empty(0, np.int64), int(first[-1]))
    size = len(storage.pack_columns(np.empty(int(first[-1])), np.uint8))
    marks = np.empty((n_chunks(n, size // 8, len(columns)), size), np.uint8)
    _mark(len(marks), storage, marks)
    is_seen = storage.unpacked(marks.max(axis=0)).astype(np.bool_)
    return np.split(is_seen, first[1:-1])
