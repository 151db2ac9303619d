"""What operations take, in seconds, so that plans and solvers can compare them.

Rates are those of two cores with registers of 512 bits (`bench/crossovers.py`). Another machine's are others; what
matters is how they compare with each other, and that a wrong choice costs a factor of two, not of ten.
"""

import numpy as np

from fastlogit.kernels.machine.jit import LOSS_PRODUCTS
from fastlogit.kernels.storages.storage import padded

# Multiply-adds a second of a read for two classes and for more, of a Hessian's products, in float64; float32 has twice
# as many. Those of a factorisation, which is float64's.
_READ, _SOFTMAX_READ, _HESSIAN, _FACTOR = 1.2e10, 3.5e10, 4e10, 1e10
# Of products by BLAS on one thread, in float64.
_BLAS = 2e10
# Bytes a second from memory, and the bytes that a cache holds.
_BANDWIDTH, _CACHE = 3e10, 1 << 23
# What a read of nothing takes, by a kernel and in NumPy, and a factorisation of nothing.
_CALL, _PLAIN_CALL, _FACTOR_CALL = 1e-4, 5e-5, 2e-5
# Elements, those of X and for each margin of a row, up to which NumPy is as fast as a kernel, or loses less than its
# first call takes; and the most margins, for a Hessian's blocks.
LITTLE, _LITTLE_LOSS, _LITTLE_CLASSES = 1 << 17, 8, 12


def _lanes(dtype: np.dtype) -> float:
    return 8.0 / dtype.itemsize


def is_little(n_samples: int, n_features: int, K: int) -> bool:
    """Return whether there is so little data that operations in NumPy are quicker: see `fastlogit.sources.plain`."""
    return n_samples * (n_features + _LITTLE_LOSS * K) <= LITTLE and K <= _LITTLE_CLASSES


def read(n_samples: int, size: int, K: int, dtype: np.dtype) -> float:
    """Return the time of a gradient, or of a Hessian-vector product, for ``size`` coefficients of each of K margins."""
    rate, n_bytes = _READ if K == 1 else _SOFTMAX_READ, n_samples * size * dtype.itemsize
    computing = 2.0 * n_samples * (size + LOSS_PRODUCTS) * K / (_lanes(dtype) * rate)
    call = _PLAIN_CALL if is_little(n_samples, size, K) else _CALL
    return call + max(computing, n_bytes / _BANDWIDTH if n_bytes > _CACHE else 0.0)


def hessian(n_samples: int, size: int, blocks: int, dtype: np.dtype) -> float:
    """Return the time of ``blocks`` weighted Gram matrices (size, size)."""
    call = _PLAIN_CALL if is_little(n_samples, size, int((2 * blocks) ** 0.5)) else _CALL
    return call + n_samples * blocks * padded(size) ** 2 / 2.0 / (_lanes(dtype) * _HESSIAN)


def row_products(n_samples: int, size: int) -> float:
    """Return the time of the products of all pairs of rows, by BLAS on one thread."""
    return _CALL + n_samples**2 * size / 2.0 / _BLAS


def factorisation(n: int) -> float:
    """Return the time of a Cholesky factorisation (n, n)."""
    return _FACTOR_CALL + n**3 / 6.0 / _FACTOR


def pairs(n: int) -> float:
    """Return the time to correct a direction (n,) by the 20 pairs of L-BFGS: 80 operations on vectors."""
    return 80.0 * (7e-7 + 3e-10 * n)
