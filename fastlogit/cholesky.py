"""Cholesky factors, block by block: between blocks Ctrl-C and the time limit are heard.

No eigenvalue problem of all parameters is ever solved: it takes some thirty times as long as a factor, in one call.
"""

import numpy as np
from numpy.typing import NDArray

from fastlogit.kernels.machine import clock

Array = NDArray[np.float64]
_BLOCK = 512
# Multiply-adds a second at least, on one slow core: what one LAPACK call may take is judged by it.
_RATE = 5e9


def cholesky(A: Array) -> Array | None:
    """Return lower L with ``L L' = A``, None where A is not positive definite; only its lower triangle is read.

    Left-looking: a block of columns takes what those before it leave of A, in one product of matrices.
    """
    from scipy import linalg

    n = len(A)
    clock.check()
    try:
        if n <= _BLOCK:
            return np.asarray(linalg.cholesky(A, lower=True, check_finite=False))
        L = np.zeros((n, n), order="F")
        for first in range(0, n, _BLOCK):
            clock.check()
            last = min(first + _BLOCK, n)
            left = A[first:, first:last] - L[first:, :first] @ L[first:last, :first].T
            width = last - first
            corner = linalg.cholesky(left[:width], lower=True, check_finite=False)
            L[first:last, first:last] = corner
            L[last:, first:last] = linalg.solve_triangular(corner, left[width:].T, lower=True, check_finite=False).T
    except linalg.LinAlgError:
        return None
    return L


def pivoted(A: Array, tol: float) -> tuple[Array, NDArray[np.intp]]:
    """Return B (n, rank) with ``B B' = A`` but for pivots up to ``tol``, and the pivots' places.

    ``B[places]`` is lower triangular. A is positive semidefinite. (LAPACK's dpstrf: C. Lucas, "LAPACK-style codes for
    level 2 and 3 pivoted Cholesky factorizations", LAPACK Working Note 161 (2004).)
    """
    from scipy.linalg.lapack import dpstrf

    n = len(A)
    clock.check(n**3 / 3.0 / _RATE)
    factor, order, rank, _ = dpstrf(A, tol=tol, lower=1)
    places, rank = np.asarray(order, np.intp) - 1, max(int(rank), 1)
    B = np.zeros((n, rank))
    B[places] = np.tril(factor)[:, :rank]
    return B, places[:rank]
