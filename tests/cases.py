"""Named lists of what the passes must serve. Joining a list earns the whole parity suite."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np
from toys import Deltas, streamed, two_blocks

from fastlogit.kernels.losses import Logistic, Softmax
from fastlogit.kernels.machine.jit import read_only
from fastlogit.kernels.passes.first_order import Targets
from fastlogit.kernels.storages.columns import Columns
from fastlogit.kernels.storages.csr import CSR
from fastlogit.kernels.storages.rows import Rows
from fastlogit.kernels.storages.storage import computing_dtype
from fastlogit.kernels.storages.table import Column, Table
from fastlogit.sources.block import Block
from fastlogit.sources.memory import MemorySource


def _strided_rows(X: np.ndarray) -> Rows:
    wide = np.full((2 * len(X), X.shape[1] + 3), np.nan, X.dtype)
    wide[::2, :-3] = X
    return Rows(read_only(wide[::2, :-3]))


def _reversed_columns(X: np.ndarray) -> Columns:
    wide = np.full((len(X) + 5, X.shape[1]), np.nan, X.dtype, order="F")
    wide[2:-3, ::-1] = X
    return Columns(read_only(wide[2:-3, ::-1]))


def _table(X: np.ndarray) -> Table:
    """Columns in place, in two pieces, apart, of another type, and in the other byte order."""
    columns, cut = [], len(X) // 3
    for j, x in enumerate(X.T):
        x = np.ascontiguousarray(x)
        if j % 4 == 1:
            ends = x[:cut].copy(), x[cut:].copy()
            pieces = [(end.ctypes.data, len(end)) for end in ends]
            columns.append(Column(x.dtype.str[1:], x.itemsize, pieces, ends))
            continue
        if j % 4 == 2:
            x = np.column_stack([x, x])[:, 1]
        elif j % 4 == 3:
            x = x.astype(x.dtype.newbyteorder())
        columns.append(Column.of(x))
    return Table.of(columns, computing_dtype(X.dtype))


def _csr(X: np.ndarray) -> CSR:
    """Nonzeros that begin within longer arrays, with 64-bit indices where there are few rows."""
    kind = np.int64 if len(X) < 100 else np.int32
    rows, columns = np.nonzero(X)
    before = np.full(5, 3)
    indices = np.concatenate([before, columns]).astype(kind)
    indptr = 5 + np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(X)))]).astype(kind)
    return CSR.of(np.concatenate([before, X[rows, columns]]).astype(X.dtype), indices, indptr, X.shape[1])


STORAGES: dict[str, Callable[[np.ndarray], Any]] = {
    "rows": lambda X: Rows(read_only(np.ascontiguousarray(X))),
    "columns": lambda X: Columns(read_only(np.asfortranarray(X))),
    "table": _table,
    "csr": _csr,
    "toy deltas": Deltas.of,
}
#: Views of the same kernels' arrays: other strides, met with one loss.
VIEWS = {"strided rows": _strided_rows, "reversed columns": _reversed_columns}

DTYPES = {"f32": np.float32, "f64": np.float64, "u8": np.uint8}
#: Stored types that share the widening load of the others, met once each.
RARE_DTYPES = {"i8": np.int8, "i16": np.int16, "u32": np.uint32, "i64": np.int64}
#: What margins are computed in, and how near the reference they must come.
COMPUTED = {name: computing_dtype(np.dtype(kind)).type for name, kind in (DTYPES | RARE_DTYPES).items()}
TOLERANCE = {np.float32: 3e-6, np.float64: 1e-12}

LOSSES = {
    "logistic": Logistic(),
    "softmax 3": Softmax(3),
    "softmax 7": Softmax(7),
    "softmax 10": Softmax(10),
    "soft logistic": Logistic(),
    "soft softmax 4": Softmax(4),
}

#: So many classes that tiles are copied, for rows and for columns: met once each.
MANY = {"softmax 23": Softmax(23), "softmax 83": Softmax(83)}

#: weight dtype, class weights, offset dtype
EXTRAS = {
    "plain": (None, False, None),
    "weights": (np.float64, False, None),
    "class weights, offset": (None, True, np.float64),
    "all, f32": (np.float32, True, np.float32),
}


def _memory(storage: Any, targets: Targets, loss: Any, **settings: Any) -> MemorySource:
    return MemorySource([Block(storage, targets, loss, **settings)])


SOURCES: dict[str, Callable[..., Any]] = {
    "memory": lambda to_storage, X, *rest: _memory(to_storage(X), *rest),
    "memory in parts": lambda to_storage, X, *rest: _memory(to_storage(X), *rest, rows_per_part=128),
    "two blocks": two_blocks,
    "toy streamed": streamed,
}

SHAPES = {"1 column": (200, 1), "narrow": (333, 5), "odd": (517, 37), "wide": (203, 150), "few rows": (13, 20)}


@dataclass
class Case:
    """A source with everything the reference needs to judge it."""

    source: Any
    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None
    offset: np.ndarray | None
    dtype: Any

    @property
    def K(self) -> int:
        return 1 if self.source.n_classes == 2 else self.source.n_classes

    @property
    def tolerance(self) -> float:
        return TOLERANCE[self.dtype]


def make(
    storage: str = "rows",
    dtype: str = "f64",
    loss: str = "logistic",
    extras: str = "plain",
    source: str = "memory",
    shape: str = "odd",
    seed: int = 0,
) -> Case:
    """Return the case of these names."""
    rng = np.random.default_rng(seed)
    N, D = SHAPES[shape]
    kind = (DTYPES | RARE_DTYPES)[dtype]
    if kind in (np.float32, np.float64):
        X = (rng.standard_normal((N, D)) + 0.5).astype(kind)
    else:
        X = rng.integers(0, 5, (N, D)).astype(kind)
    if storage == "csr":
        X[rng.random(X.shape) < 0.6] = 0
        X[::7] = X[:, ::5] = 0  # rows and columns of zeros
    model = (LOSSES | MANY)[loss]
    K = 1 if model.n_classes == 2 else model.n_classes
    if loss.startswith("soft "):
        y = rng.dirichlet(np.ones(model.n_classes), N)
        y[::5] = np.eye(model.n_classes)[rng.integers(0, model.n_classes, len(y[::5]))]
    else:
        y = rng.integers(0, model.n_classes, N).astype(np.uint8)
        y[: model.n_classes] = np.arange(model.n_classes)
    weight_dtype, class_weights, offset_dtype = EXTRAS[extras]
    class_weights = class_weights and y.ndim == 1
    weight = np.empty(0) if weight_dtype is None else rng.integers(0, 4, N).astype(weight_dtype) / 2
    factors = rng.uniform(0.5, 2, model.n_classes) if class_weights else np.empty(0)
    offset = np.empty((0, 0)) if offset_dtype is None else rng.standard_normal((N, K)).astype(offset_dtype)
    targets = Targets(*(read_only(a) for a in (y, weight, factors, offset)))
    total = None
    if weight.size or factors.size:
        total = np.ones(N) * (weight.astype(float) if weight.size else 1.0) * (factors[y] if factors.size else 1.0)
    computed = COMPUTED[dtype]
    return Case(
        SOURCES[source]((STORAGES | VIEWS)[storage], X, targets, model),
        X.astype(float),
        y,
        total,
        offset.astype(float) if offset.size else None,
        computed,
    )


def coefficients(case: Case, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return W and a centre that is exact in the computing type."""
    rng = np.random.default_rng(seed)
    D = case.X.shape[1]
    W = rng.standard_normal((D + 1, case.K)) / np.sqrt(D)
    return W, case.X.mean(axis=0).astype(case.dtype).astype(float)


def pairwise(kind: Callable[[dict[str, str]], Any] = str, **lists: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Yield few combinations of names in which every pair of values of two lists meets.

    Those of a ``kind`` that was there before are preferred, as if they had two pairs more.
    """
    names, seen = list(lists), set()
    missing = {((a, x), (b, y)) for a, b in combinations(names, 2) for x, y in product(lists[a], lists[b])}
    while missing:
        best, best_new, most = {}, set(), -3
        (a, x), (b, y) = min(missing)
        for values in product(*([x] if n == a else [y] if n == b else lists[n] for n in names)):
            row = list(zip(names, values, strict=True))
            new = missing.intersection(combinations(row, 2))
            worth = len(new) - 2 * (kind(dict(row)) not in seen)
            if worth > most:
                best, best_new, most = dict(row), new, worth
        missing -= best_new
        seen.add(kind(best))
        yield best


def compiled(names: dict[str, str]) -> tuple[Any, ...]:
    """Return what a pass is compiled for: some seconds each."""
    loss, is_f32 = names["loss"].rstrip(" 0123456789"), names["extras"].endswith("f32")
    is_64_bit = names["storage"] == "csr" and names["shape"] == "few rows"
    return names["storage"], names["dtype"], loss, is_f32, is_64_bit


def ids(case: dict[str, str]) -> str:
    return "-".join(case.values())
