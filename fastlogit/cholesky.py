"""Cholesky factorisations, block by block, so that Ctrl-C and the time limit take effect between blocks.

They replace eigenvalue decompositions, which take about thirty times as long, in one call.
"""

import numpy as np
from numpy.typing import NDArray

from fastlogit.kernels.machine import clock

Array = NDArray[np.float64]
_BLOCK = 512
# Multiply-adds per second of one slow core, from which the time of a LAPACK call is estimated.
_RATE = 5e9


def cholesky(A: Array) -> Array | None:
    """Return lower triangular L with ``L L' = A`` (n, n), or None if A is not positive definite.

    Only the lower triangle of A is read. The algorithm is left-looking: from a block of columns of A the products of
    all columns of L before it are subtracted at once.
    """
    from scipy.linalg import solve_triangular
    from scipy.linalg.lapack import dpotrf  # without scipy.linalg's checks, which take longer than a small matrix

    n = len(A)
    clock.check()
    if n <= _BLOCK:
        L, failed = dpotrf(A, lower=1)
        return None if failed else L
    L = np.zeros((n, n), order="F")
    for first in range(0, n, _BLOCK):
        clock.check()
        last = min(first + _BLOCK, n)
        left = A[first:, first:last] - L[first:, :first] @ L[first:last, :first].T
        width = last - first
        corner, failed = dpotrf(left[:width], lower=1)
        if failed:
            return None
        L[first:last, first:last] = corner
        L[last:, first:last] = solve_triangular(corner, left[width:].T, lower=True, check_finite=False).T
    return L


def solve(L: Array, b: Array) -> Array:
    """Return x with ``L L' x = b``, for b (n,) or (n, m), in the type of both: float32 or float64."""
    from scipy.linalg.lapack import dpotrs, spotrs

    x: Array = (dpotrs if L.dtype == np.float64 else spotrs)(L, b, lower=1)[0]
    return x


def pivoted(A: Array, tol: float) -> tuple[Array, NDArray[np.intp]]:
    """Factorise positive semidefinite A (n, n) with complete pivoting, until no pivot exceeds ``tol``.

    Returns
    -------
    (ndarray (n, rank), ndarray (rank,) of int)
        B with ``B B' = A``, up to the part left out, and the pivots' indices: ``B[pivots]`` is lower triangular.

    Notes
    -----
    LAPACK's dpstrf: C. Lucas, "LAPACK-style codes for level 2 and 3 pivoted Cholesky factorizations", LAPACK Working
    Note 161 (2004).
    """
    from scipy.linalg.lapack import dpstrf

    n = len(A)
    clock.check(n**3 / 3.0 / _RATE)
    factor, order, rank, _ = dpstrf(A, tol=tol, lower=1)
    pivots, rank = np.asarray(order, np.intp) - 1, max(int(rank), 1)
    B = np.zeros((n, rank))
    B[pivots] = np.tril(factor)[:, :rank]
    return B, pivots[:rank]
