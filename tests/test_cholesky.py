"""Factors: as LAPACK's, of what is singular too, and interrupted between blocks."""

import numpy as np
import pytest

from fastlogit.cholesky import cholesky, pivoted
from fastlogit.kernels.machine import clock
from fastlogit.solvers.factor import DenseFactor


def semidefinite(n, rank, seed=0):
    B = np.random.default_rng(seed).standard_normal((n, rank))
    return B @ B.T


@pytest.mark.parametrize("n", [1, 5, 511, 512, 513, 1100])
def test_blocks_give_the_factor(n):
    A = semidefinite(n, n + 5)
    np.testing.assert_allclose(cholesky(A), np.linalg.cholesky(A), rtol=1e-9, atol=1e-9 * n)
    A[n // 2, n // 2] = -1.0
    assert cholesky(A) is None


def test_a_limit_is_heard_between_blocks():
    A = semidefinite(600, 600) + np.eye(600)
    with clock.limited(0.0), pytest.raises(clock.OutOfTime):
        cholesky(A)
    with clock.limited(1e-3), pytest.raises(clock.OutOfTime):  # judged by what it would take
        pivoted(semidefinite(2000, 3), 1e-9)


@pytest.mark.parametrize(("n", "rank"), [(40, 7), (30, 29), (5, 1)])
def test_pseudoinverse_of_a_singular_matrix(n, rank):
    A = semidefinite(n, rank)
    B, places = pivoted(A, 1e-10)
    assert B.shape == (n, rank) and np.all(np.triu(B[places], 1) == 0.0)
    np.testing.assert_allclose(B @ B.T, A, atol=1e-9)
    factor = DenseFactor.of(A)
    S = np.diag(factor.scale)
    g = A @ np.ones(n)
    want = S @ np.linalg.pinv(S @ A @ S, rcond=1e-9, hermitian=True) @ (S @ g)
    np.testing.assert_allclose(factor.solve(g), want, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(factor.inverse_root @ (factor.inverse_root.T @ g), want, rtol=1e-6, atol=1e-8)
    eigenvalues = np.linalg.eigvalsh(S @ A @ S)
    assert 0.0 < factor.smallest <= eigenvalues[n - rank] * (1 + 1e-9)
