"""True upper bounds on ``F - F*`` from what a read returns anyway.

With the gradient g and the Hessian H of the whole objective, ``lambda^2 = g' H^-1 g``, and R at least the largest
``||x~_i||`` in the norm of ``H^-1`` (softmax: the largest ``||(e_k - e_l) (x) x~_i||``), each loss's third derivative
along d is at most its second times ``|x~_i d|``, so that ``F(w + d) >= F + g d + r^2 (e^-Rr + Rr - 1) / (Rr)^2`` with
``r = ||d||_H``; minimised over r this is bound A. The others follow from it. Background: F. Bach, "Self-concordant
analysis for logistic regression", Electronic Journal of Statistics 4 (2010) 384; T. Sun and Q. Tran-Dinh,
"Generalized self-concordant functions", arXiv 1703.04599.
"""

from dataclasses import dataclass

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
    """A positive definite matrix, ready to be solved with.

    Attributes
    ----------
    vectors, values : ndarray
        Eigenvectors (n, n) and eigenvalues (n,), where some were 0; else the Cholesky factor and None.
    smallest : float
        A lower bound on the smallest eigenvalue that is not 0.
    singular : bool
        Whether directions were left out.
    """

    vectors: Array
    values: Array | None
    smallest: float
    singular: bool

    @classmethod
    def of(cls, H: Array) -> "Factor":
        """Factorise; where H is singular to rounding, leave out the directions in which it is 0.

        The smallest eigenvalue is estimated by inverse iteration, and proved by a Cholesky factorisation of H less a
        little below it: some n^3 flops, where all eigenvalues would take 10 n^3.
        """
        from scipy import linalg

        floor = len(H) * _EPS * float(np.diag(H).max())
        try:
            L = linalg.cholesky(H, lower=True, check_finite=False)
            estimate = _smallest_eigenvalue(L)
            if estimate > 100.0 * floor:
                return cls(L, None, _proved_below(H, estimate), False)
        except linalg.LinAlgError:
            pass
        values, vectors = linalg.eigh(H, check_finite=False)
        floor = len(H) * _EPS * max(float(values[-1]), 0.0)
        kept = values > 10.0 * floor
        smallest = float(values[kept][0]) - floor if kept.any() else 0.0
        return cls(vectors[:, kept], values[kept], smallest, not bool(kept.all()))

    def solve(self, g: Array) -> Array:
        """Return ``H^-1 g``."""
        from scipy import linalg

        if self.values is None:
            return np.asarray(linalg.cho_solve((self.vectors, True), g, check_finite=False))
        return np.asarray(self.vectors @ ((self.vectors.T @ g) / self.values))


def _smallest_eigenvalue(L: Array) -> float:
    """Return the smallest eigenvalue of ``L L'``, or a little more, by inverse iteration."""
    from scipy import linalg

    v = np.random.default_rng(0).standard_normal(len(L))
    largest_inverse = 0.0
    for _ in range(_ITERATIONS):
        v /= np.linalg.norm(v)
        v = linalg.cho_solve((L, True), v, check_finite=False)
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
