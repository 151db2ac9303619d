"""What X may be, and that it is read where it lies."""

import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st

import fastlogit as fl
from fastlogit.exceptions import InputError
from fastlogit.kernels.machine.jit import read_only
from fastlogit.kernels.storages.cast import KINDS
from fastlogit.kernels.storages.columns import Columns
from fastlogit.kernels.storages.csr import CSR
from fastlogit.kernels.storages.rows import Rows
from fastlogit.kernels.storages.table import Column, Table
from fastlogit.sources.frames import names_of
from fastlogit.sources.intake import as_storage

pytestmark = pytest.mark.usefixtures("kernels")

N = 700
rng = np.random.default_rng(0)
COLUMNS = {
    "single": rng.standard_normal(N).astype(np.float32),
    "double": rng.standard_normal(N),
    "small": rng.integers(0, 5, N).astype(np.int8),
    "large": rng.integers(0, 1000, N),
    "flag": rng.random(N) < 0.3,
}
Y = (rng.random(N) < 1 / (1 + np.exp(-COLUMNS["double"] - COLUMNS["flag"]))).astype(int)
WANT = np.asfortranarray(np.column_stack([column.astype(float) for column in COLUMNS.values()]))


def chunked(table, size):
    return pa.concat_tables([table.slice(first, size) for first in range(0, len(table), size)])


class Tensor:
    """What speaks DLPack and nothing else."""

    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **settings):
        return self._array.__dlpack__(**settings)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


ARROW = pa.table(COLUMNS)
FRAMES = {
    "pandas": lambda: pd.DataFrame(COLUMNS),
    "pandas nullable": lambda: pd.DataFrame(COLUMNS).astype({"large": "Int64", "flag": "boolean", "double": "Float64"}),
    "pandas on Arrow": lambda: ARROW.to_pandas(types_mapper=pd.ArrowDtype),
    "polars": lambda: pl.DataFrame(COLUMNS),
    "polars in pieces": lambda: pl.concat([pl.DataFrame(COLUMNS)[:99], pl.DataFrame(COLUMNS)[99:]], rechunk=False),
    "arrow": lambda: ARROW,
    "arrow in pieces": lambda: chunked(ARROW, 64),
    "arrow in uneven pieces": lambda: pa.table(
        {
            name: pa.chunked_array([ARROW[name].slice(0, k).combine_chunks(), ARROW[name].slice(k).combine_chunks()])
            for name, k in zip(ARROW.column_names, (1, 130, 131, 699, 350), strict=True)
        }
    ),
    "arrow batch": lambda: ARROW.to_batches()[0],
    "arrow slice": lambda: pa.concat_tables([ARROW.slice(0, 3), ARROW]).combine_chunks().slice(3),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_frames_are_tables_of_their_columns(kind):
    frame = FRAMES[kind]()
    storage, dtype = as_storage(frame)
    assert isinstance(storage, Table) and dtype == np.float64 and names_of(frame) == list(COLUMNS)
    want, got = fl.solve(WANT, Y), fl.solve(frame, Y)
    np.testing.assert_array_equal(got.x, want.x)
    model = fl.LogisticRegression().fit(frame, Y)
    np.testing.assert_array_equal(model.coef_[0], want.coef[:, 0])
    np.testing.assert_array_equal(model.predict_proba(frame), fl.LogisticRegression().fit(WANT, Y).predict_proba(WANT))
    np.testing.assert_array_equal(storage.take(np.arange(0, N, 3)).X, WANT[::3])


def test_frames_with_a_sample_equal_their_matrix():
    many = np.tile(np.arange(N), 60)
    want = fl.solve(np.asfortranarray(WANT[many]), Y[many])
    table = pa.table({name: column[many] for name, column in COLUMNS.items()})
    for frame in (table, table.to_pandas(), chunked(table, 64), pa.Table.from_batches(table.to_batches(5000))):
        solution = fl.solve(frame, Y[many])
        assert solution.n_passes <= 4
        np.testing.assert_allclose(solution.x, want.x, rtol=1e-9)


def test_frames_of_one_type_are_read_as_a_matrix():
    C, F = WANT.copy(order="C"), WANT
    for X, kind in ((C, Rows), (F, Columns)):
        frame = pd.DataFrame(X, copy=False)
        storage, dtype = as_storage(frame)
        assert isinstance(storage, kind) and np.shares_memory(storage.X, X)
        storage, _ = as_storage(frame.iloc[10:, 1:4])
        assert isinstance(storage, kind) and np.shares_memory(storage.X, X) and storage.shape == (N - 10, 3)
    apart = pd.DataFrame({str(j): WANT[:, j].copy() for j in range(5)}, copy=False)
    storage, _ = as_storage(apart)
    np.testing.assert_array_equal(fl.solve(apart, Y).x, fl.solve(WANT, Y).x)
    assert isinstance(as_storage(pd.DataFrame({"a": WANT[:, 0]}))[0], Rows | Columns)


AWKWARD = [
    "column_names",
    "tocsr",
    "columns",
    "schema",
    "iloc",
    "dtypes",
    "shape",
    "__arrow_c_stream__",
    "collect_schema",
]


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, pa.table])
def test_a_column_may_have_any_name(kind):
    columns = [WANT[:, j % 5] + j for j in range(len(AWKWARD))]
    frame = kind(dict(zip(AWKWARD, columns, strict=True)))
    assert names_of(frame) == AWKWARD
    model = fl.LogisticRegression().fit(frame, Y)
    want = fl.LogisticRegression().fit(np.column_stack(columns), Y)
    np.testing.assert_allclose(model.predict_proba(frame), want.predict_proba(np.column_stack(columns)), atol=1e-9)
    is_old = sklearn.__version__.startswith("1.6.")  # which does not know polars 2 for a frame
    assert (kind is pl.DataFrame and is_old) or model.feature_names_in_.tolist() == AWKWARD


def test_the_names_are_made_once_for_all_columns():
    class Name:
        made = 0

        def __str__(self):
            Name.made += 1
            return "x"

    frame = pd.DataFrame({Name(): WANT[:, j % 5].copy() for j in range(40)}, copy=False)
    as_storage(frame)
    assert 0 < Name.made <= 40
    as_storage(pd.DataFrame(np.column_stack([WANT] * 8), columns=list(frame)))
    assert Name.made <= 40  # one block: no message, no names


@pytest.mark.parametrize("rows", [1, 2, 16, 17])
@pytest.mark.parametrize("dtype", [None, np.float32, np.int64, bool])
def test_a_few_rows_are_what_they_are_among_many(rows, dtype):
    frame = pd.DataFrame(COLUMNS, copy=False)
    frame = frame if dtype is None else frame.astype(dtype)
    model = fl.LogisticRegression().fit(frame, Y)
    for some in (frame[:rows], frame[:rows].copy(), pd.DataFrame({c: frame[c].to_numpy()[:rows] for c in frame})):
        np.testing.assert_allclose(model.decision_function(some), model.decision_function(frame)[:rows], rtol=1e-4)
        assert as_storage(some)[1] == as_storage(frame)[1]


def test_sparse_frames():
    pytest.importorskip("scipy", "1.14.1", reason="pandas' sparse.to_coo needs it")
    towns = pd.DataFrame({"town": np.array(list("abcd"))[np.arange(N) % 4], "size": COLUMNS["double"]})
    dummies = pd.get_dummies(towns[["town"]], sparse=True)
    with pytest.warns(scipy.sparse.SparseEfficiencyWarning, match=r"X is a frame of sparse columns.*sparse\.to_coo"):
        storage, _ = as_storage(dummies)
    assert isinstance(storage, CSR)
    want, _ = as_storage(dummies.sparse.to_coo().tocsr())  # what the warning names: without a warning
    np.testing.assert_array_equal(storage.indices, want.indices)
    for mixed in (pd.get_dummies(towns, sparse=True), dummies.astype(pd.SparseDtype(float, 1.0))):
        dense = pd.DataFrame({name: np.asarray(mixed[name]) for name in mixed})
        with pytest.warns(scipy.sparse.SparseEfficiencyWarning, match="sparse columns, of which dense copies"):
            got = fl.solve(mixed, Y)
        np.testing.assert_array_equal(got.x, fl.solve(dense, Y).x)


def test_columns_in_place_are_not_copied():
    double = pa.array(COLUMNS["double"])
    table = pa.table({"a": double, "b": pa.array(COLUMNS["large"])})
    storage, _ = as_storage(table)
    assert storage.addresses[0, 0] == double.buffers()[1].address and storage.kinds.tolist()[0] == 0
    single = as_storage(pa.table({"a": COLUMNS["single"], "b": COLUMNS["flag"]}))
    assert single[1] == np.float32 and single[0].kinds.tolist()[0] == 0


def unaligned(X):
    raw = np.zeros(X.nbytes + 1, np.uint8)
    rows = raw[1:].view(X.dtype).reshape(X.shape)
    rows[:] = X
    return rows


LAYOUTS = {
    "C": lambda X: X.copy(order="C"),
    "every other row and column": lambda X: np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)[::2, ::2],
    "backwards": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "broadcast": lambda X: np.broadcast_to(X[:1], X.shape),
    "other byte order": lambda X: X.astype(X.dtype.newbyteorder()),
    "unaligned": unaligned,
    "list": lambda X: X.tolist(),
    "objects": lambda X: X.astype(object),
    "long double": lambda X: X.astype(np.longdouble),
    "tensor": lambda X: Tensor(X),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_equal_the_copy(layout):
    X = LAYOUTS[layout](WANT)
    matrix = WANT if isinstance(X, list | Tensor) else np.asarray(X, np.float64)
    got = fl.solve(X, Y, C=1.0, tol=1e-12)
    np.testing.assert_allclose(got.x, fl.solve(np.ascontiguousarray(matrix), Y, tol=1e-12).x, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", [*KINDS, "bits"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_kind_of_column_is_cast_exactly(kind, dtype):
    from fastlogit.prediction import decision_function

    values = np.array([0.0, 1.0, 2.0, 100.0, 0.5, -3.0, 65504.0, 6e-8, np.inf, np.nan] * 20)
    letter = kind.lstrip(">")[0]
    if kind == "bits":
        exact = (np.arange(200) % 3 == 0).astype(float)
        packed = np.packbits(np.r_[np.zeros(3), exact].astype(np.uint8), bitorder="little")
        columns = [Column("bits", 1, [(packed.ctypes.data * 8 + 3, 200)], packed)]
    else:
        stored = np.dtype(kind.lstrip(">"))
        stored = stored.newbyteorder() if kind.startswith(">") else stored
        with np.errstate(invalid="ignore"):
            exact = np.where(np.isfinite(values), values, 7.0) if letter != "f" else values
            exact = np.abs(exact) % 128 if letter == "u" else np.clip(exact, -128, 127) if letter == "i" else exact
            adjacent = exact.astype(stored)
        apart = np.repeat(adjacent, 3)[::3]
        columns = [Column.of(adjacent), Column.of(apart)]
        exact = adjacent.astype(np.float64)
    table = Table.of(columns, dtype)
    for j in range(len(columns)):
        W = np.zeros((len(columns) + 1, 1))
        W[j] = 1.0
        finite = np.isfinite(exact)
        got = decision_function(table, W, np.zeros(len(columns)), dtype)[:, 0]
        np.testing.assert_array_equal(got[finite], exact.astype(dtype)[finite])
        assert not np.isfinite(got[~finite]).any()
    np.testing.assert_array_equal(table.take(np.arange(200)).X[:, 0], exact.astype(dtype))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, N - 1), max_size=6), st.lists(st.integers(1, N - 1), max_size=6))
def test_any_cut_into_pieces_gives_the_same_bits(first, second):
    def pieces(column, cuts):
        ends = [0, *sorted(set(cuts)), N]
        return pa.chunked_array([pa.array(column[a:b]) for a, b in zip(ends, ends[1:], strict=False)])

    table = pa.table({"a": pieces(COLUMNS["double"], first), "b": pieces(COLUMNS["single"], second)})
    want = fl.solve(np.asfortranarray(WANT[:, [1, 0]]), Y)
    np.testing.assert_array_equal(fl.solve(table, Y).x, want.x)


def frame_with(**columns):
    return pd.DataFrame({**COLUMNS, **columns})


@pytest.mark.parametrize(
    ("X", "error", "sentence"),
    [
        (frame_with(city=["a"] * N), (TypeError, ValueError), r"X column 5 \('city'\) has dtype"),
        (frame_with(day=pd.to_datetime(["2026-01-01"] * N)), TypeError, r"X column 5 \('day'\) has dtype datetime64"),
        (
            frame_with(z=pd.array([1, None] * (N // 2), "Int64")),
            ValueError,
            r"'z'\) has a missing value .* in row 1",
        ),
        (frame_with(z=[0.0] * (N - 1) + [np.nan]), ValueError, r"contains NaN. It is in row 699, column 5 \('z'\)"),
        (
            ARROW.append_column("z", pa.array([0.5] * (N - 1) + [None])),
            ValueError,
            r"'z'\) has a missing value",
        ),
        (ARROW.append_column("t", pa.array(["a"] * N)), TypeError, r"X column 5 \('t'\) has type string"),
        (pl.DataFrame({"a": ["x"] * N}), TypeError, r"X column 0 \('a'\) has type"),
        (
            frame_with(**{f"t{j}": ["a"] * N for j in range(7)}, day=pd.to_datetime(["2026-01-01"] * N)),
            InputError,
            r"X has 8 columns that are not real numbers \(5 \('t0'\) is (str|object), 6 \('t1'\).*'t4'\) .* and 3 more",
        ),
        (
            pa.table({"a": ["x"] * N, "b": COLUMNS["double"], "c": ["y"] * N}),
            InputError,
            r"X has 2 columns .*0 \('a'\) is string, 2 \('c'\) is string\)",
        ),
        (pl.LazyFrame(COLUMNS), InputError, r"X is a LazyFrame, which has no rows yet: X.collect\(\)"),
        (COLUMNS, InputError, r"X is a dict, not an array: pandas.DataFrame\(X\)"),
        (frame_with()["double"], ValueError, r"Expected 2D array: X is a Series of 700.*frame\[\['name'\]\]"),
        (frame_with().iloc[0], ValueError, "Expected 2D array: X is a Series of 5"),
        (pl.DataFrame(COLUMNS)["double"], ValueError, "Expected 2D array: X is a Series of 700"),
        (ARROW["double"], ValueError, "X is a ChunkedArray and no table of columns"),
        ([[1.0, 2.0], [3.0]], ValueError, "X is no array of equal rows"),
        (pd.DataFrame(index=range(N)), ValueError, r"X has 0 feature\(s\) \(shape=\(700, 0\)\)"),
        (pd.DataFrame({"a": []}), ValueError, r"X has 0 sample\(s\)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_frames(X, error, sentence):
    for call in (lambda: fl.LogisticRegression().fit(X, Y), lambda: fl.solve(X, Y)):
        with pytest.raises(error, match=sentence) as raised:
            call()
        assert isinstance(raised.value, ValueError)  # what scikit-learn raises for every one of them


def test_tensors_elsewhere_are_refused():
    class Elsewhere(Tensor):
        def __dlpack__(self, **settings):
            raise BufferError("on another device")

    with pytest.raises(TypeError, match="X is a Elsewhere that NumPy cannot read in place .on another device"):
        fl.solve(Elsewhere(WANT), Y)


def test_torch_tensors_are_read_in_place():
    torch = pytest.importorskip("torch")
    X = torch.from_numpy(WANT.copy(order="C"))
    storage, _ = as_storage(X)
    assert np.shares_memory(storage.X, X.numpy())
    np.testing.assert_array_equal(
        fl.LogisticRegression().fit(X, Y).coef_, fl.LogisticRegression().fit(X.numpy(), Y).coef_
    )


def test_without_pyarrow(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'fastlogit\[arrow\]'"):
        fl.solve(pl.DataFrame(COLUMNS), Y)


def test_a_sample_of_some_columns_copies_its_rows_alone():
    wide = np.ones((200_000, 20), np.float32)
    part, rows = Rows(read_only(wide[:, :10])), np.arange(0, 200_000, 1000)
    tracemalloc.start()
    try:
        taken = part.take(rows)
        assert tracemalloc.get_traced_memory()[1] < 1 << 17
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(taken.X, wide[rows, :10])
