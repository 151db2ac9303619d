"""CSR: rows of which only the nonzeros are kept, as SciPy keeps them.

Rows are never centred: with a centre c the algebra does it,

    (x - c)' w + b                 = x' w + (b - c' w)                                  `storage.pack_coefficients`
    sum_i r_i (x_i - c)            = sum_i r_i x_i - c sum_i r_i                        `fastlogit.sources.sparse`
    sum_j ((x_j - c_j) s_j)^2      = sum_j (c_j s_j)^2 + sum_{x_j != 0} ((x_j - c_j)^2 - c_j^2) s_j^2
    sum_i s_i (x_ij - c_j)^p       = sum_{x_ij != 0} s_i (x_ij - c_j)^p + (-c_j)^p (sum_i s_i - sum_{x_ij != 0} s_i)

The last is why moments have a sum more than dense ones: that of the weights of a column's nonzeros. No two numbers are
subtracted there that are large beside their difference.

The coefficients of one column are adjacent, and so are its sums: a nonzero finds those of all classes in one place.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from fastlogit.kernels import storage as protocol
from fastlogit.kernels import tiles
from fastlogit.kernels.jit import TILE_OPTIONS, kernel, n_chunks, read_only, tile
from fastlogit.kernels.pointer import I64, Pointer, choose, i64
from fastlogit.kernels.simd import Lanes, Vector, muladd

# A tile is walked twice, the second time from the cache.
TILE_BYTES = 1 << 16
# Of so many vectors of classes the sums are in registers at once.
_VECTORS = 4
# So many sums are loaded before the first is stored; see `_Row.update`.
_AT_ONCE = 8


class CSR(NamedTuple):
    """X of shape (n_samples, n_features), nonzeros only.

    Row i has ``data[p]`` in column ``indices[p]`` for ``indptr[i] <= p < indptr[i + 1]``. Columns ascend within a row,
    each at most once. Indices are seen as unsigned integers of their own width: compiled code then has no negative ones
    to think of.
    """

    data: NDArray[Any]
    indices: NDArray[Any]
    indptr: NDArray[Any]
    n_features: int

    @classmethod
    def of(cls, data: NDArray[Any], indices: NDArray[Any], indptr: NDArray[Any], n_features: int) -> "CSR":
        """Return the storage of SciPy's three arrays."""
        indices, indptr = (read_only(a.view(f"u{a.itemsize}")) for a in (indices, indptr))
        return cls(read_only(data), indices, indptr, n_features)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_samples, n_features)."""
        return len(self.indptr) - 1, self.n_features

    @property
    def dtype(self) -> np.dtype[Any]:
        """The stored type."""
        return self.data.dtype

    @property
    def row_bytes(self) -> int:
        """Bytes of a row, in the mean."""
        n_nonzeros = int(self.indptr[-1]) - int(self.indptr[0])
        return n_nonzeros * (self.data.itemsize + self.indices.itemsize) // max(1, len(self.indptr) - 1)

    def first_not_finite(self) -> tuple[int, int, float] | None:
        """Return row, column and value of an element that is NaN or infinite."""
        bad = np.flatnonzero(~np.isfinite(self.data[self.indptr[0] : self.indptr[-1]])) + int(self.indptr[0])
        if not len(bad):
            return None
        row = int(np.searchsorted(self.indptr, bad[0], side="right")) - 1
        return row, int(self.indices[bad[0]]), float(self.data[bad[0]])

    def rows(self, first: int, last: int) -> "CSR":
        """Return rows ``first`` to ``last``, as they lie."""
        indptr = self.indptr[first : last + 1]
        part = slice(int(indptr[0]), int(indptr[-1]))
        return CSR(self.data[part], self.indices[part], read_only(indptr - indptr[0]), self.n_features)

    def take(self, rows: NDArray[np.intp]) -> "CSR":
        """Return a copy of some rows."""
        first, last = (self.indptr[rows + step].astype(np.int64) for step in (0, 1))
        starts = np.concatenate([[0], np.cumsum(last - first)])
        at = np.arange(starts[-1])
        at += np.repeat(first - starts[:-1], last - first)
        indptr = read_only(starts.astype(self.indptr.dtype))
        return CSR(read_only(self.data[at]), read_only(self.indices[at]), indptr, self.n_features)


@kernel
def _falls(chunk: int, n_chunks: int, indices: Any, indptr: Any, out: Any) -> None:
    """Write whether a row of the chunk has a column index that is not above the one before."""
    begin, end = protocol.row_bounds(0, indptr.size - 1, chunk, n_chunks)
    falls = False
    for row in range(begin, end):
        for p in range(indptr[row] + 1, indptr[row + 1]):
            falls |= indices[p] <= indices[p - 1]
    out[chunk] = falls


def ascends(indices: NDArray[Any], indptr: NDArray[Any]) -> bool:
    """Tell whether the column indices of every row ascend; they, and ``indptr``, are in range."""
    out = np.zeros(n_chunks(len(indptr) - 1, 1), np.uint8)
    _falls(len(out), read_only(indices), read_only(indptr), out)
    return not out.any()


def _of_csr(function: Any) -> Any:
    """Register an implementation for `CSR`."""

    def decorate(implementation: Any) -> Any:
        implementation.__qualname__ = f"{function.__name__}.csr"

        @overload(function, jit_options=TILE_OPTIONS, strict=False)
        def bind(storage: Any, *args: Any) -> Any:
            return implementation if protocol.is_sparse(storage) else None

        return implementation

    return decorate


@tile
def _nonzeros(storage: Any, row: int) -> Any:
    at = np.uint64(row)
    return np.uint64(storage.indptr[at]), np.uint64(storage.indptr[at + np.uint64(1)])


@tile
def _row_at(indptr: Any, first: int, last: int, position: Any) -> Any:
    """Return the first row, of ``first`` to ``last``, that begins at ``position`` or later."""
    while first < last:
        middle = (first + last) // 2
        if np.int64(indptr[middle]) < position:
            first = middle + 1
        else:
            last = middle
    return first


@_of_csr(protocol.bounds)
def _bounds(storage: Any, first: int, last: int, chunk: int, n_chunks: int) -> Any:
    # equal numbers of nonzeros, as nearly as whole rows allow
    indptr = storage.indptr
    base, total = np.int64(indptr[first]), np.int64(indptr[last]) - np.int64(indptr[first])
    begin = _row_at(indptr, first, last, base + chunk * total // n_chunks) if chunk > 0 else first
    end = _row_at(indptr, first, last, base + (chunk + 1) * total // n_chunks) if chunk + 1 < n_chunks else last
    return begin, end


@_of_csr(protocol.tile_rows)
def _tile_rows(storage: Any, K: int) -> Any:
    rows = storage.indptr.size - 1
    n_bytes = np.int64(storage.indptr[rows] - storage.indptr[0]) * (storage.data.itemsize + storage.indices.itemsize)
    return min(1024, max(16, TILE_BYTES * rows // max(n_bytes, 1) // 16 * 16))


@tile
def _dot(storage: Any, row: int, w: Any) -> Any:
    """Return ``sum_j x_j w_j`` of a row; four sums, so that none waits for its own last addition."""
    data, indices = storage.data, storage.indices
    p, end = _nonzeros(storage, row)
    real = w.dtype.type
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    a, b, c, d = real(0), real(0), real(0), real(0)
    while p + four <= end:
        a += real(data[p]) * w[indices[p]]
        b += real(data[p + one]) * w[indices[p + one]]
        c += real(data[p + two]) * w[indices[p + two]]
        d += real(data[p + three]) * w[indices[p + three]]
        p += four
    while p < end:
        a += real(data[p]) * w[indices[p]]
        p += one
    return (a + b) + (c + d)


@overload(protocol.margins, jit_options=TILE_OPTIONS)
def _margins(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> Any:
    if not protocol.is_sparse(storage):
        return None

    def vector(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> None:
        for r in range(n):
            B[r] = _dot(storage, start + r, A)

    def matrix(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> None:
        for r in range(n):
            p, end = _nonzeros(storage, start + r)
            _margins_of_row(storage.data, storage.indices, p, end, A, B, r)

    impl = vector if A.ndim == 1 else matrix
    impl.__qualname__ = f"margins.csr.{impl.__name__}"
    return impl


@overload(protocol.accumulate, jit_options=TILE_OPTIONS)
def _accumulate(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> Any:
    if not protocol.is_sparse(storage):
        return None

    def vector(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> None:
        for r in range(n):
            p, end = _nonzeros(storage, start + r)
            _add_row(storage.data, storage.indices, p, end, np.float64(A[r]), B[0])

    def matrix(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> None:
        K = A.shape[0]
        if K == 1:
            protocol.accumulate(storage, start, n, A[0], center, B, sweeps)
            return
        weights = np.zeros(K + 3)
        for r in range(n):
            for k in range(K):
                weights[k] = A[k, r]
            p, end = _nonzeros(storage, start + r)
            _accumulate_row(storage.data, storage.indices, p, end, weights, B)

    impl = vector if A.ndim == 1 else matrix
    impl.__qualname__ = f"accumulate.csr.{impl.__name__}"
    return impl


class _Row:
    """The nonzeros of a row inside generated code, and a matrix (K, n_features) whose classes are adjacent.

    Arguments are those of an intrinsic: ``data, indices, first, last``, others, and last the matrix, or a vector.
    """

    def __init__(self, context: Any, builder: Any, signature: Any, args: Any, matrix: int = -1) -> None:
        kinds = signature.args
        self.context, self.builder = context, builder
        self.data, self.indices = (Pointer(context, builder, kinds[i], args[i]) for i in (0, 1))
        self.matrix = Pointer(context, builder, kinds[matrix], args[matrix], contiguous=0)
        self.first, self.last = args[2], args[3]

    def _wide(self, integer: Any) -> Any:
        return integer if integer.type == I64 else self.builder.zext(integer, I64)

    def value(self, lanes: Lanes, p: Any) -> Vector:
        """Return a nonzero in every lane."""
        builder, value, kind = self.builder, self.data.load(p), self.data.dtype
        if not isinstance(kind, types.Float):
            signed = isinstance(kind, types.Integer) and kind.signed
            value = (builder.sitofp if signed else builder.uitofp)(value, lanes.scalar)
        elif value.type != lanes.scalar:
            value = (builder.fpext if kind.bitwidth < lanes.compute.bitwidth else builder.fptrunc)(value, lanes.scalar)
        return lanes.splat(value)

    def index(self, p: Any) -> Any:
        """Return a nonzero's column."""
        return self._wide(self.indices.load(p))

    def column(self, p: Any, k: Any) -> Any:
        """Return the address of the matrix's element of class ``k`` in a nonzero's column."""
        return self.matrix.at(k, self.index(p))

    def update(self, lanes: Lanes, terms: Callable[[Any], list[tuple[Any, Vector, Vector]]], count: int) -> None:
        """``memory[address] += a b`` for every ``(address, a, b)`` of ``terms(p)``, for every nonzero p.

        ``count`` nonzeros are loaded before any of them is stored, which no compiler may do, not knowing that columns
        differ: a tenth less time for one class, a fourth for ten.
        """

        def step(positions: list[Any]) -> None:
            found = [term for p in positions for term in terms(p)]
            sums = [muladd(a, b, lanes.load(address)) for address, a, b in found]
            for (address, _, _), total in zip(found, sums, strict=True):
                lanes.store(total, address)

        builder = self.builder
        whole = builder.and_(builder.sub(self.last, self.first), i64(-count))
        middle = builder.add(self.first, whole)
        with lanes.loop(self.first, middle, count) as p:
            step([builder.add(p, i64(i)) for i in range(count)])
        with lanes.loop(middle, self.last) as p:
            step([p])

    def blocks(self, emit: Callable[[Lanes, Any, int], None]) -> None:
        """``emit(lanes, k, V)`` for all classes in blocks of V vectors; the last may reach beyond the classes."""
        builder = self.builder
        pair, four = (Lanes(self.context, builder, self.matrix.dtype, count=count) for count in (2, 4))
        K, width = self.matrix.shape[0], i64(4 * _VECTORS)
        whole = builder.mul(builder.sdiv(K, width), width)
        with four.loop(i64(0), whole, 4 * _VECTORS) as k:
            emit(four, k, _VECTORS)
        rest = builder.sub(K, whole)
        V = builder.sdiv(builder.add(rest, i64(3)), i64(4))
        is_pair = builder.icmp_signed("==", K, i64(2))
        choose(builder, builder.select(is_pair, i64(0), V), range(1, _VECTORS + 1), lambda V: emit(four, whole, V))
        with builder.if_then(is_pair):
            emit(pair, i64(0), 1)


@intrinsic
def _margins_of_row(typingctx: Any, data: Any, indices: Any, first: Any, last: Any, W: Any, Z: Any, r: Any) -> Any:
    """``Z[k, r] = sum_p data[p] W[k, indices[p]]`` for all k, of which there are several."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        row, out = _Row(context, builder, signature, args, 4), Pointer(context, builder, Z, args[5])
        cells = cgutils.alloca_once(builder, row.matrix.scalar, size=i64(4 * _VECTORS))

        def emit(lanes: Lanes, k: Any, V: int) -> None:
            sets = [lanes.sums(V) for _ in range(2)]  # none waits for its own last addition

            def add(p: Any, sums: Any) -> None:
                value = row.value(lanes, p)
                for v, total in enumerate(sums):
                    weights = lanes.load(row.column(p, builder.add(k, i64(v * lanes.count))))
                    total.value = muladd(value, weights, total.value)

            even = builder.sub(row.last, builder.and_(builder.sub(row.last, row.first), i64(1)))
            with lanes.loop(row.first, even, 2) as p:
                for step, sums in enumerate(sets):
                    add(builder.add(p, i64(step)), sums)
            with lanes.loop(even, row.last) as p:
                add(p, sets[0])
            for v, (total, other) in enumerate(zip(*sets, strict=True)):
                lanes.store(total.value + other.value, builder.gep(cells, [i64(v * lanes.count)]))
            count = lanes.smaller(builder.sub(row.matrix.shape[0], k), i64(V * lanes.count))
            with lanes.loop(i64(0), count) as m:
                out.store(builder.load(builder.gep(cells, [m])), builder.add(k, m), args[6])

        row.blocks(emit)
        return context.get_dummy_value()

    return types.void(data, indices, first, last, W, Z, types.int64), codegen


@intrinsic
def _accumulate_row(typingctx: Any, data: Any, indices: Any, first: Any, last: Any, weights: Any, G: Any) -> Any:
    """``G[k, indices[p]] += weights[k] data[p]`` for all k, of which there are several; all float64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        row, weight = _Row(context, builder, signature, args), Pointer(context, builder, weights, args[4])

        def emit(lanes: Lanes, k: Any, V: int) -> None:
            places = [builder.add(k, i64(v * lanes.count)) for v in range(V)]
            factors = [lanes.load(weight.at(place)) for place in places]

            def terms(p: Any) -> list[tuple[Any, Vector, Vector]]:
                value = row.value(lanes, p)
                return [(row.column(p, place), value, factor) for place, factor in zip(places, factors, strict=True)]

            row.update(lanes, terms, _AT_ONCE // V)

        row.blocks(emit)
        return context.get_dummy_value()

    return types.void(data, indices, first, last, weights, G), codegen


@intrinsic
def _add_row(typingctx: Any, data: Any, indices: Any, first: Any, last: Any, weight: Any, g: Any) -> Any:
    """``g[indices[p]] += weight data[p]``, in float64; the elements of ``g`` are adjacent."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        row, lanes = _Row(context, builder, signature, args), Lanes(context, builder, types.float64, count=1)
        factor = lanes.splat(args[4])
        row.update(lanes, lambda p: [(row.matrix.at(row.index(p)), row.value(lanes, p), factor)], _AT_ONCE // 2)
        return context.get_dummy_value()

    return types.void(data, indices, first, last, types.float64, g), codegen


def _adder(powers: Callable[[Vector, Vector], list[tuple[Vector, Any]]]) -> Any:
    """Return a function of a row that adds products ``a b`` to its columns' sums, in float64.

    ``powers(s, x)`` has a pair (a, b) for each sum, s being the row's weight and x a nonzero less its column's centre.
    """

    @intrinsic
    def add(typingctx: Any, data: Any, indices: Any, first: Any, last: Any, weight: Any, center: Any, sums: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            row, lanes = _Row(context, builder, signature, args), Lanes(context, builder, types.float64, count=1)
            s, centers = lanes.splat(args[4]), Pointer(context, builder, center, args[5])

            def terms(p: Any) -> list[tuple[Any, Vector, Vector]]:
                j = row.index(p)
                x = row.value(lanes, p) - lanes.load(centers.at(j), centers.dtype)
                pairs = enumerate(powers(s, x))
                return [(row.matrix.at(i64(power), j), a, s.like(b)) for power, (a, b) in pairs]

            row.update(lanes, terms, _AT_ONCE // 2)
            return context.get_dummy_value()

        return types.void(data, indices, first, last, types.float64, center, sums), codegen

    return add


_add_powers = _adder(lambda s, x: [(s, 1.0), (s, x), (s * x, x)])
_add_information = _adder(lambda s, x: [(s, 1.0), (s, s), (s * x, x), (s * x * x, s * x * x)])


@_of_csr(protocol.accumulate_moments)
def _accumulate_moments(storage: Any, start: int, n: int, A: Any, center: Any, B: Any, sweeps: int) -> None:
    # B[p, j] += sum over nonzeros of s (x - center_j)^p, for p < 3
    for r in range(n):
        p, end = _nonzeros(storage, start + r)
        _add_powers(storage.data, storage.indices, p, end, np.float64(A[r]), center, B)


@_of_csr(protocol.take)
def _take(storage: Any, start: int, n: int, center: Any, B: Any) -> None:
    pass


@_of_csr(tiles.tile_scratch)
def _tile_scratch(storage: Any, rows: int, like: Any) -> Any:
    return np.zeros((0, like.size), like.dtype)


@_of_csr(tiles.squares)
def _squares(storage: Any, start: int, n: int, center: Any, inverse_scale: Any, base: float, B: Any, out: Any) -> None:
    data, indices = storage.data, storage.indices
    for r in range(n):
        total = base
        p, end = _nonzeros(storage, start + r)
        for at in range(p, end):
            j = indices[at]
            x, c, s = np.float64(data[at]), np.float64(center[j]), np.float64(inverse_scale[j])
            total += x * (x - 2.0 * c) * s * s
        out[r] = max(total, 0.0)


@_of_csr(tiles.accumulate_information)
def _accumulate_information(storage: Any, start: int, n: int, S: Any, center: Any, B: Any, sums: Any) -> None:
    # sums[p, j] += sum over nonzeros of s, s^2, a and a^2 with a = s (x - center_j)^2
    for r in range(n):
        p, end = _nonzeros(storage, start + r)
        _add_information(storage.data, storage.indices, p, end, S[r], center, sums)


@_of_csr(tiles.accumulate_gram)
def _accumulate_gram(storage: Any, start: int, n: int, n_features: int, c: Any, B: Any, Q: Any, H: Any) -> None:
    # columns ascend, so that all is in the upper triangle
    data, indices, last = storage.data, storage.indices, np.uint64(n_features)
    for r in range(n):
        p, end = _nonzeros(storage, start + r)
        for at in range(p, end):
            row, weight = H[indices[at]], c[r] * np.float64(data[at])
            _add_row(data, indices, at, end, weight, row)
            row[last] += weight
        H[last, last] += c[r]
