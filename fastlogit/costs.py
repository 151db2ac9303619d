"""What operations take, in seconds, so that plans and solvers can compare them.

Rates are those of two cores with registers of 512 bits (`bench/crossovers.py`). Another machine's are others; what
matters is how they compare with each other, and that a wrong choice costs a factor of two, not of ten.
"""

from typing import Any, NamedTuple

from fastlogit.kernels.machine.jit import LOSS_PRODUCTS
from fastlogit.kernels.storages.storage import padded

# Multiply-adds a second of a read for two classes and for more, of a Hessian's products, in float64; float32 has twice
# as many. Those of a factorisation, which is float64's.
_READ, _SOFTMAX_READ, _HESSIAN, _FACTOR = 1.2e10, 3.5e10, 4e10, 1e10
# Those of sparse rows, which depend on where the sums lie, not on the type.
_SPARSE_READ, _SPARSE_HESSIAN = 5e9, 1e9
# Seconds in which an element of a Hessian is added up and put into place.
_SUM = 4e-9
# Of products by BLAS on one thread, in float64.
_BLAS = 2e10
# Bytes a second from memory, and the bytes that a cache holds.
_BANDWIDTH, _CACHE = 3e10, 1 << 23
# Seconds for an element of X in a Hessian's block, in NumPy.
_PLAIN_ELEMENT = 2e-9
# What a read of nothing takes, by a kernel and in NumPy, and a factorisation of nothing.
_CALL, _PLAIN_CALL, _FACTOR_CALL = 1e-4, 5e-5, 2e-5
# Multiply-adds a second of eigenvectors, counted as 10 n^3.
_EIGENVECTORS = 1e10
# Elements, those of X and for each margin of a row, up to which NumPy is as fast as a kernel, or loses less than its
# first call takes; and the most margins, for a Hessian's blocks.
LITTLE, _LITTLE_LOSS, _LITTLE_CLASSES = 1 << 17, 16, 12


def is_little(n_samples: int, n_features: int, K: int) -> bool:
    """Return whether there is so little data that operations in NumPy are quicker: see `fastlogit.sources.plain`."""
    return n_samples * (n_features + _LITTLE_LOSS * K) <= LITTLE and K <= _LITTLE_CLASSES


class Shape(NamedTuple):
    """What the time of an operation on X depends on.

    Attributes
    ----------
    n_samples, n_features, K : int
        N, D, and margins of a row.
    itemsize : int
        Bytes of a number of the computing type.
    elements : int
        Elements of a row as stored: fewer than D if rows are sparse.
    leading : int
        Columns that a factorisation of the Hessian eliminates first: see `fastlogit.hessians.Arrow`.
    """

    n_samples: int
    n_features: int
    K: int
    itemsize: int
    elements: int
    leading: int = 0

    @classmethod
    def of(cls, X: Any, K: int) -> "Shape":
        """Return the shape of a dense array of floats with K margins a row."""
        N, D = X.shape
        return cls(N, D, K, X.dtype.itemsize, D)

    @property
    def n_parameters(self) -> int:
        """Number of coefficients and intercepts."""
        return (self.n_features + 1) * self.K

    @property
    def n_dense(self) -> int:
        """Number of parameters that a factorisation of the Hessian does not eliminate first."""
        return (self.n_features + 1 - self.leading) * self.K

    @property
    def n_blocks(self) -> int:
        """Number of blocks of two classes in a Hessian."""
        return self.K * (self.K + 1) // 2

    @property
    def is_sparse(self) -> bool:
        """Whether rows are sparse."""
        return self.elements < self.n_features

    @property
    def _lanes(self) -> float:
        return 8.0 / self.itemsize

    @property
    def _call(self) -> float:
        return _PLAIN_CALL if is_little(self.n_samples, self.n_features, self.K) else _CALL

    def read(self) -> float:
        """Return the time of a gradient, or of a Hessian-vector product."""
        products = 2.0 * self.n_samples * (self.elements + LOSS_PRODUCTS) * self.K
        rate = self._lanes * (_READ if self.K == 1 else _SOFTMAX_READ)
        n_bytes = self.n_samples * self.elements * self.itemsize
        loading = n_bytes / _BANDWIDTH if n_bytes > _CACHE else 0.0
        return self._call + max(products / (_SPARSE_READ if self.is_sparse else rate), loading)

    def hessian(self, n_blocks: int | None = None) -> float:
        """Return the time of a Hessian of all classes, or of ``n_blocks`` of its blocks, without the read itself."""
        blocks = self.n_blocks if n_blocks is None else n_blocks
        if is_little(self.n_samples, self.n_features, self.K):
            return _PLAIN_CALL + self.n_samples * blocks * (self.n_features + 1) * _PLAIN_ELEMENT
        width = padded(self.n_features + 1 - self.leading)
        sums = blocks * width * (width + self.leading)
        if self.is_sparse:
            computing = self.n_samples * blocks * self.elements**2 / 2.0 / _SPARSE_HESSIAN
        else:
            computing = self.n_samples * sums / 2.0 / (self._lanes * _HESSIAN)
        return self._call + computing + sums * _SUM

    def factorisation(self) -> float:
        """Return the time to factorise a Hessian of all classes."""
        return factorisation(self.n_dense) + self.leading * self.K * self.n_dense**2 / _BLAS

    def row_products(self) -> float:
        """Return the time of the products of all pairs of rows, by BLAS on one thread."""
        return _CALL + self.n_samples**2 * self.elements / 2.0 / (_SPARSE_HESSIAN if self.is_sparse else _BLAS)


def factorisation(n: int) -> float:
    """Return the time of a Cholesky factorisation (n, n)."""
    return _FACTOR_CALL + n**3 / 6.0 / _FACTOR


def eigenvectors(n: int) -> float:
    """Return the time of the eigenvectors of a symmetric matrix (n, n)."""
    return _FACTOR_CALL + 10.0 * n**3 / _EIGENVECTORS


def pairs(n: int) -> float:
    """Return the time to correct a direction (n,) by the 20 pairs of L-BFGS: 80 operations on vectors."""
    return 80.0 * (7e-7 + 3e-10 * n)
