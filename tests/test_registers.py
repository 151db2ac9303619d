"""Whatever the vector registers of a processor, their length and number, kernels are right: LLVM compiles any length.

The suite itself meets the registers of the machine that it runs on only; `.ci/run` compiles for two others.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from numba import njit

from fastlogit import reference
from fastlogit.kernels.losses.protocol import _loss, weigh_and_sum
from fastlogit.kernels.losses.softmax import _softmax_codes
from fastlogit.kernels.machine import simd
from fastlogit.kernels.storages.columns import ColumnView
from fastlogit.kernels.storages.dense import _copier, _micro_kernel, _product_of_copy
from fastlogit.kernels.storages.gram import add_gram, row_squares, scale_rows
from fastlogit.kernels.storages.lines import View
from fastlogit.kernels.storages.products import dot, outer
from fastlogit.kernels.storages.protocol import ROWS_AT_ONCE
from fastlogit.kernels.storages.rows import RowView
from fastlogit.kernels.storages.storage import PADDING, pack, padded
from fastlogit.kernels.storages.transpose import put_rows, take_rows

#: Bytes and number of registers, and a computing type: x86 before AVX, ARM twice, x86 with AVX and with AVX-512.
MACHINES = {
    "sse": (16, 16, np.float64),
    "neon": (16, 32, np.float64),
    "neon, float32": (16, 32, np.float32),
    "avx": (32, 16, np.float64),
    "avx-512": (64, 32, np.float32),
}
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-13}


@pytest.fixture(params=MACHINES)
def dtype(request, monkeypatch):
    """Compile for a machine; give the computing type."""
    n_bytes, count, dtype = MACHINES[request.param]
    monkeypatch.setattr(simd, "register_bytes", lambda context: n_bytes)
    monkeypatch.setattr(simd, "register_count", lambda context: count)
    monkeypatch.setattr(simd.Lanes, "has_scalef", False)  # an instruction that this machine may not have
    return dtype


def near(got, want, dtype):
    np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCE[dtype] * np.abs(want).max())


def test_the_longest_register_divides_what_arrays_are_padded_to():
    longest = 64 // np.dtype(np.float32).itemsize
    assert PADDING % longest == 0 and ROWS_AT_ONCE % (2 * longest) == 0


def test_gram(dtype):
    @njit
    def run(B, q, inverse, n, Q, H, out):
        scale_rows(B, q, n, Q)
        add_gram(B, Q, n, H)
        row_squares(B, inverse, n, out)

    rng = np.random.default_rng(0)
    n = 23
    for n_features in (1, 7, 16, 31, 63, 79):
        size = padded(n_features)
        B, inverse = (pack(rng.standard_normal(shape), dtype) for shape in ((ROWS_AT_ONCE, n_features), n_features))
        q, H, out = rng.uniform(0.5, 2, n), np.zeros((size, size)), np.empty(ROWS_AT_ONCE, dtype)
        run(B, q, inverse, n, np.zeros_like(B), H, out)
        near(np.triu(H), np.triu((B[:n] * q[:, None]).T @ B[:n]), dtype)
        near(out[:n], ((B[:n] * inverse) ** 2).sum(axis=1), dtype)


@pytest.mark.parametrize(("view", "margins", "accumulate"), [(RowView, dot, outer), (ColumnView, outer, dot)])
def test_products(dtype, view, margins, accumulate):
    forward = _micro_kernel((1, 3), view, margins, "Z", 1)
    backward = _micro_kernel((1, 3), view, accumulate, "G", 1)
    moments = _micro_kernel((1,), view, accumulate, "G", 2)
    copied = _copier(view, View.copy if view is RowView else View.transpose)
    of_copy = _product_of_copy("G")

    @njit
    def run(X, start, n, W, R, K, center, Z, G, M, B, C):
        forward(X, start, n, W, 0, K, center, Z, 1)
        backward(X, start, n, R, 0, K, center, G, 1)
        moments(X, start, n, R, 0, 1, center, M, 1)
        copied(X, start, n, center, B)
        for k in range(K):
            of_copy(B, n, X.shape[1], R, k, 1, C)

    rng = np.random.default_rng(0)
    for n_features in (1, 2, 5, 16, 37, 150):
        for n in (1, 3, 8, 45, 64):
            for K in (1, 3):
                X = np.asarray(rng.standard_normal((n + 5, n_features)).astype(dtype), order="FC"[view.contiguous])
                W, center = (pack(rng.standard_normal(shape), dtype) for shape in ((K, n_features), n_features))
                R = rng.standard_normal((K, ROWS_AT_ONCE * 2)).astype(dtype)
                Z, B = np.zeros((K, 64), dtype), np.zeros((64, padded(n_features)), dtype)
                G, M, C = (np.zeros((rows, padded(n_features))) for rows in (K, 2, K))
                run(X, 5, n, W, R, K, center, Z, G, M, B, C)
                x = X[5:].astype(float) - center[:n_features]
                near(Z[:, :n], W[:, :n_features] @ x.T, dtype)
                near(B[:n, :n_features], x, dtype)
                near(G[:, :n_features], R[:, :n] @ x, dtype)
                near(C[:, :n_features], R[:, :n] @ x, dtype)
                near(M[:, :n_features], [R[0, :n] @ x, R[0, :n] @ x**2], dtype)


def test_losses_and_transposed_tiles(dtype):
    softmax = _loss(_softmax_codes)

    @njit
    def run(A, y, weight, n, Z, F, M, sums, out):
        absent = np.empty((0, 0), A.dtype)
        take_rows(A, 0, n, Z)
        softmax(3, y, absent, 0, n, np.zeros(Z.shape[0], A.dtype), Z, F, M)
        put_rows(Z, n, 1.0, out, 0)
        weigh_and_sum(weight, absent[0:0, 0], 0, n, Z, F, M, sums)

    rng = np.random.default_rng(0)
    for K in (1, 2, 3, 7, 16, 23):
        for n in (1, 5, 32, 45):
            A, y = rng.standard_normal((n, K)).astype(dtype), rng.integers(0, K, n).astype(np.uint8)
            weight, out = rng.integers(0, 3, n).astype(float), np.empty((n, K), dtype)
            Z, sums = np.zeros((padded(K), 64), dtype)[:K], np.zeros((K + 3, ROWS_AT_ONCE))
            F, M = np.empty(64, dtype), np.empty(64, dtype)
            run(A, y, weight, n, Z, F, M, sums, out)
            want = reference.softmax(A.astype(float)) - np.eye(K)[y]
            np.testing.assert_allclose(out, want, rtol=0, atol=TOLERANCE[dtype])
            np.testing.assert_allclose(sums[:K].sum(axis=1), weight @ want, rtol=0, atol=n * TOLERANCE[dtype])
    (signature,) = run.signatures
    assert "llvm.x86.avx" not in run.inspect_llvm(signature)  # no instruction that other processors lack


@pytest.mark.parametrize(
    ("machine", "host", "features", "asked", "want"),
    [
        ("x86_64", "znver4", "+avx,+avx2,+avx512f", None, (64, 32)),
        ("AMD64", "haswell", "+avx,+avx2", None, (32, 16)),
        ("x86_64", "nehalem", "+sse4.2", None, (16, 16)),
        ("x86_64", "znver4", "", "generic", (16, 16)),
        ("x86_64", "znver4", "+avx,+avx2,+avx512f", "haswell", (32, 16)),
        ("x86_64", "znver4", "+avx,+avx2,+avx512f", "znver4", (64, 32)),
        ("aarch64", "neoverse-n1", "+neon", None, (16, 32)),
        ("aarch64", "neoverse-n1", "", "generic", (16, 32)),
        ("arm64", "apple-m1", "+neon", "cortex-a72", (16, 32)),
    ],
)
def test_registers_of_a_machine(monkeypatch, machine, host, features, asked, want):
    context = SimpleNamespace(codegen=lambda: SimpleNamespace(_tm_features=features))
    monkeypatch.setattr(simd.platform, "machine", lambda: machine)
    monkeypatch.setattr(simd.binding, "get_host_cpu_name", lambda: host)
    monkeypatch.setattr(simd.config, "CPU_NAME", asked)
    assert (simd.register_bytes(context), simd.register_count(context)) == want
