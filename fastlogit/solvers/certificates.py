"""True upper bounds on ``F - F*`` from what a read returns anyway.

With the gradient g and the Hessian H of the whole objective, ``lambda^2 = g' H^-1 g``, and R at least the largest
``||x~_i||`` in the norm of ``H^-1`` (softmax: the largest ``||(e_k - e_l) (x) x~_i||``), each loss's third derivative
along d is at most its second times ``|x~_i d|``, so that ``F(w + d) >= F + g d + r^2 (e^-Rr + Rr - 1) / (Rr)^2`` with
``r = ||d||_H``; minimised over r this is bound A. The others follow from it. Background: F. Bach, "Self-concordant
analysis for logistic regression", Electronic Journal of Statistics 4 (2010) 384; T. Sun and Q. Tran-Dinh,
"Generalized self-concordant functions", arXiv 1703.04599.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_EPS = float(np.finfo(np.float64).eps)
_ITERATIONS = 50


def chi(u: float) -> float:
    """``(u + (1 - u) ln(1 - u)) / u^2``, 1/2 at u = 0, infinity from u = 1 on."""
    if not u < 1.0:
        return np.inf
    if u < 1e-3:
        return 0.5 + u / 6.0 + u * u / 12.0 + u**3 / 20.0
    return float((u + (1.0 - u) * np.log1p(-u)) / (u * u))


def at_point(decrement: float, R: float) -> float:
    """Bound A on ``F(w) - F*``, with gradient and Hessian at w; ``decrement`` is lambda."""
    return decrement**2 * chi(decrement * R)


def after_step(decrement: float, R: float, error: float = 0.0) -> float:
    """Bound P on ``F(w + d) - F*`` for ``d = -H^-1 g``, without another read.

    ``error`` is the norm of ``g + H d`` in that of ``H^-1``.
    """
    m = decrement * R
    if not m < 50.0:
        return np.inf
    lead = np.expm1(m) / m - 1.0 if m > 1e-5 else m / 2.0 + m * m / 6.0
    after = decrement * lead + error
    return float(np.exp(m) * after**2 * chi(np.exp(m) * after * R))


@dataclass(frozen=True)
class Factor:
    """A positive semidefinite matrix H, ready to be solved with: ``A = S H S`` with ones in its diagonal, S diagonal.

    A penalty of 1e16 on one column then hides nothing of the curvature of another.

    Attributes
    ----------
    scale : ndarray (n,)
        The diagonal of S.
    vectors, values : ndarray
        Eigenvectors and eigenvalues of A where some are 0, these left out; else its Cholesky factor and None.
    A : ndarray
        What was factorised.
    estimate : float
        Of the smallest eigenvalue of A that is not 0.
    """

    scale: Array
    vectors: Array
    values: Array | None
    A: Array
    estimate: float

    @classmethod
    def of(cls, H: Array) -> "Factor":
        """Factorise; where A is singular to rounding, leave out the directions in which it is 0.

        The smallest eigenvalue is estimated by inverse iteration.
        """
        from scipy import linalg

        diagonal = np.diag(H)
        scale = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
        A = H * scale[:, None] * scale
        floor = 10.0 * len(A) * _EPS
        try:
            L = linalg.cholesky(A, lower=True, check_finite=False)
            estimate = _smallest_eigenvalue(L)
            if estimate > 10.0 * floor:
                return cls(scale, L, None, A, estimate)
        except linalg.LinAlgError:
            pass
        values, vectors = linalg.eigh(A, check_finite=False)
        kept = values > floor
        smallest = float(values[kept][0]) - 0.1 * floor if kept.any() else 0.0
        return cls(scale, vectors[:, kept], values[kept], A, smallest)

    @cached_property
    def smallest(self) -> float:
        """A lower bound on the smallest eigenvalue of A that is not 0.

        Proved by a Cholesky factorisation of A less a little below the estimate: some n^3 flops, where all eigenvalues
        would take 10 n^3.
        """
        return self.estimate if self.values is not None else _proved_below(self.A, self.estimate)

    def solve(self, g: Array) -> Array:
        """Return ``H^-1 g``, without the part of ``g`` in directions left out."""
        from scipy import linalg

        g = self.scale * g
        if self.values is None:
            x = linalg.cho_solve((self.vectors, True), g, check_finite=False)
        else:
            x = self.vectors @ ((self.vectors.T @ g) / self.values)
        return np.asarray(self.scale * x)

    @property
    def inverse_root(self) -> Array:
        """T with ``T T' = H^-1``: the norm of x in that of ``H^-1`` is ``||x' T||``."""
        from scipy import linalg

        if self.values is not None:
            return np.asarray(self.scale[:, None] * self.vectors / np.sqrt(self.values))
        identity = np.eye(len(self.vectors))
        root = linalg.solve_triangular(self.vectors, identity, lower=True, trans="T", check_finite=False)
        return np.asarray(self.scale[:, None] * root)

    def norm_bound(self, v: Array) -> float:
        """Return a bound on the norm of ``v`` in that of ``H^-1``."""
        return float(np.linalg.norm(self.scale * v)) / self.smallest**0.5 if self.smallest > 0.0 else np.inf


def _smallest_eigenvalue(L: Array) -> float:
    """Return the smallest eigenvalue of ``L L'``, or a little more, by inverse iteration."""
    from scipy.linalg.lapack import dpotrs

    v = np.random.default_rng(0).standard_normal(len(L))
    largest_inverse = 0.0
    for _ in range(_ITERATIONS):
        v /= np.linalg.norm(v)
        v, _ = dpotrs(L, v, lower=1)
        before, largest_inverse = largest_inverse, float(np.linalg.norm(v))
        if largest_inverse < 1.02 * before:
            break
    return 1.0 / largest_inverse


def _proved_below(H: Array, estimate: float) -> float:
    """Return a lower bound on the smallest eigenvalue of H: ``H - bound I`` has a Cholesky factor."""
    from scipy import linalg

    for share in (0.8, 0.4, 0.1, 0.01):
        try:
            linalg.cholesky(H - share * estimate * np.eye(len(H)), check_finite=False)
            return share * estimate
        except linalg.LinAlgError:
            continue
    return 0.0
