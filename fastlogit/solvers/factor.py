"""Factorisations of a Hessian: what Newton's steps and the bounds need of one."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from fastlogit.cholesky import Array, cholesky, pivoted, solve
from fastlogit.hessians import Arrow, Dense, Hessian
from fastlogit.kernels.machine import clock
from fastlogit.partitions import Partitions

_EPS = float(np.finfo(np.float64).eps)
_ITERATIONS = 50
# A matrix with all pivots above this is not singular to rounding.
_REGULAR = 1e-6
# A diagonal element up to this counts as 0: quotients by it overflow.
_TINY = 1e-200
# Shares of an estimate of the smallest eigenvalue that are tried as a bound.
_SHARES = (0.8, 0.4, 0.1, 0.01)
# Levels that are eliminated at a time.
_LEVELS = 1 << 14


class Factor(Protocol):
    """A factorisation of a positive semidefinite matrix H (n, n), whatever its structure.

    Factorised is ``S H S``, where the diagonal matrix S makes the diagonal 1. Directions in which that is 0, to
    rounding, are left out: ``H^-1`` is then a pseudoinverse.
    """

    @property
    def scale(self) -> Array:
        """The diagonal of S (n,)."""

    @property
    def smallest(self) -> float:
        """A proved lower bound on the smallest eigenvalue of ``S H S`` that is not 0; 0 if none was proved."""

    @property
    def is_singular(self) -> bool:
        """Whether directions are left out."""

    def solve(self, g: Array) -> Array:
        """Return ``H^-1 g`` for g (n,)."""

    @property
    def inverse_root(self) -> Array | None:
        """T (n, rank) with ``T T' = H^-1``: the norm of x in that of ``H^-1`` is ``||x' T||``; None if too large."""

    @property
    def size(self) -> float:
        """By how much the norm of an error of ``S H S`` may exceed the largest relative error of its elements."""

    def norm_bound(self, v: Array) -> float:
        """Return an upper bound on ``(v' H^-1 v)^(1/2)`` for v (n,)."""


@dataclass(frozen=True)
class DenseFactor:
    """Cholesky factorisation of ``A = S H S`` as a dense matrix; see `Factor`.

    With ones in its diagonal a penalty of 1e16 on one column does not hide the curvature of another.

    Attributes
    ----------
    scale : ndarray (n,)
        The diagonal of S.
    basis : ndarray (n, rank) or None
        If A is singular to rounding, B with ``B B' = A``. The pseudoinverse of A is then ``B (B' B)^-2 B'``, and the
        eigenvalues of ``B' B`` are those of A that are not 0.
    A, L : ndarray
        A, or ``B' B`` if there is a basis, and its Cholesky factor.
    """

    scale: Array
    basis: Array | None
    A: Array
    L: Array

    @classmethod
    def of(cls, H: Array) -> "DenseFactor":
        """Factorise H (n, n), by pivoted Cholesky if it is singular to rounding."""
        diagonal = np.diag(H)
        flat = diagonal <= _TINY
        scale = 1.0 / np.sqrt(np.where(flat, 1.0, diagonal))
        A = H * scale[:, None] * scale
        if flat.any():
            A[flat], A[:, flat] = 0.0, 0.0
        floor = 10.0 * len(A) * _EPS
        L = cholesky(A)
        if L is not None:
            factor = cls(scale, None, A, L)
            if L.diagonal().min() ** 2 > _REGULAR or factor.estimate > 10.0 * floor:
                return factor
        B, _ = pivoted(A, floor)
        A = B.T @ B
        L = cholesky(A)
        ridge = floor * max(float(np.diag(A).max()), 1.0)
        while L is None:  # B' B is singular to rounding too: with a ridge there are steps, shorter ones, but no bound
            A = A + ridge * np.eye(len(A))
            L, ridge = cholesky(A), 100.0 * ridge
        return cls(scale, B, A, L)

    @property
    def size(self) -> float:
        """See `Factor.size`."""
        return float(len(self.scale))

    @property
    def is_singular(self) -> bool:
        """Whether there is a basis."""
        return self.basis is not None

    @cached_property
    def estimate(self) -> float:
        """An estimate of the smallest eigenvalue of the matrix A, from above, by inverse iteration."""
        return _smallest(lambda v: solve(self.L, v), len(self.L))

    @cached_property
    def smallest(self) -> float:
        """See `Factor.smallest`.

        Proved by a Cholesky factorisation of ``A - bound I``: about n^3 flops, where all eigenvalues would take 10 n^3.
        """
        return _proved_below(self.A, self.estimate)

    def solve(self, g: Array) -> Array:
        """See `Factor.solve`."""
        if self.basis is None:
            return self.scale * solve(self.L, self.scale * g)
        inner = solve(self.L, self.basis.T @ (self.scale * g))
        return self.scale * (self.basis @ solve(self.L, inner))

    @property
    def inverse_root(self) -> Array:
        """See `Factor.inverse_root`."""
        from scipy import linalg

        if self.basis is None:
            identity = np.eye(len(self.L))
            root = linalg.solve_triangular(self.L, identity, lower=True, trans="T", check_finite=False)
        else:
            root = solve(self.L, self.basis.T).T
        return np.asarray(self.scale[:, None] * root)

    def norm_bound(self, v: Array) -> float:
        """See `Factor.norm_bound`."""
        scaled = self.scale * v
        return float(scaled @ scaled / self.smallest) ** 0.5 if self.smallest > 0.0 else np.inf


@dataclass(frozen=True)
class ArrowFactor:
    """Factorisation of an `Arrow` by elimination of its diagonal block; see `Factor`.

    ``S H S = [[D, B], [B', E]]`` is positive definite if D and its Schur complement ``E - B' D^-1 B`` are.

    Attributes
    ----------
    scale : ndarray (n,)
        The diagonal of S.
    A : Arrow
        ``S H S``.
    inverse : ndarray (L, K, K)
        The blocks of ``D^-1``.
    schur : DenseFactor
        The factorised complement.
    """

    scale: Array
    A: Arrow
    inverse: Array
    schur: DenseFactor

    @classmethod
    def of(cls, H: Arrow) -> "ArrowFactor":
        """Factorise H (n, n)."""
        diagonal = H.diagonal()
        scale = 1.0 / np.sqrt(np.where(diagonal <= _TINY, 1.0, diagonal))
        A = H.scaled(scale)
        inverse, complement = _eliminated(A, 0.0)
        return cls(scale, A, inverse, DenseFactor.of(complement))

    def _solve(self, g: Array) -> Array:
        """Return ``(S H S)^-1 g``."""
        A, K, x = self.A, self.inverse.shape[1], np.empty_like(g)

        def divide(v: Array) -> Array:
            return np.asarray(np.einsum("jkl,jl->jk", self.inverse, v.reshape(-1, K)).ravel())

        top = divide(g[A.leading])
        x[A.others] = bottom = self.schur.solve(g[A.others] - A.B.T @ top)
        x[A.leading] = top - divide(A.B @ bottom)
        return x

    def solve(self, g: Array) -> Array:
        """See `Factor.solve`."""
        return self.scale * self._solve(self.scale * g)

    @property
    def is_singular(self) -> bool:
        """See `Factor.is_singular`."""
        return self.schur.is_singular

    @cached_property
    def smallest(self) -> float:
        """See `Factor.smallest`: proved by a factorisation of ``A - bound I``, block by block."""
        estimate = _smallest(self._solve, len(self.scale))
        if self.is_singular or estimate <= 100.0 * self.size * _EPS:
            return 0.0
        return next((s * estimate for s in _SHARES if self._exceeds(s * estimate)), 0.0)

    def _exceeds(self, bound: float) -> bool:
        """Return whether all eigenvalues of ``S H S`` are proved to exceed the bound."""
        D = self.A.D
        least = D[:, 0, 0].min() if D.shape[1] == 1 else np.linalg.eigvalsh(D)[:, 0].min()
        return bool(least > bound) and cholesky(_eliminated(self.A, bound)[1]) is not None

    #: See `Factor.inverse_root`.
    inverse_root = None

    @property
    def size(self) -> float:
        """See `Factor.size`.

        Products of a level's column with another add up over the level's rows alone: the squares of their errors, added
        over levels, are those of one column.
        """
        return float((len(self.A.others) ** 0.5 + self.inverse.shape[1] ** 0.5) ** 2)

    def norm_bound(self, v: Array) -> float:
        """See `Factor.norm_bound`."""
        scaled = self.scale * v
        return float(scaled @ scaled / self.smallest) ** 0.5 if self.smallest > 0.0 else np.inf


def _eliminated(A: Arrow, shift: float) -> tuple[Array, Array]:
    """Return the inverse of ``D - shift I``, block by block, and the Schur complement of it in ``A - shift I``."""
    K, m = A.D.shape[1], len(A.others)
    inverse = np.asarray(np.linalg.inv(A.D - shift * np.eye(K)) if K > 1 else 1.0 / (A.D - shift), np.float64)
    complement = A.E - shift * np.eye(m)
    for first in range(0, len(inverse), _LEVELS):
        clock.check()
        some = inverse[first : first + _LEVELS]
        B = A.B[first * K : (first + len(some)) * K]
        divided = np.matmul(some, B.reshape(len(some), K, m)).reshape(-1, m)
        complement -= B.T @ divided
    return inverse, complement


@dataclass(frozen=True)
class PartitionedFactor:
    """Factorisation of a Hessian H with directions N along which the losses are constant; see `Factor`.

    There ``H N = P N`` with the penalty's second derivative P, a thousandth of the curvature elsewhere. Factorised is a
    matrix that has more curvature along N, and equals H across it. So

        ``H^-1 g = K^-1 g~ + N (N' P N)^-1 N' g``    with g~ without the part along N,

    and for rows, which have no part along N, the norms of ``K^-1`` are those of ``H^-1``, or more.

    Attributes
    ----------
    inner : DenseFactor
        The factorised matrix K.
    partitions : Partitions
        The directions.
    K : int
        Margins of a row.
    """

    inner: DenseFactor
    partitions: Partitions
    K: int

    def solve(self, g: Array) -> Array:
        """See `Factor.solve`."""
        along, across = self.partitions.parts(g, self.K)
        return self.partitions.chosen_flat(self.inner.solve(across), self.K) + along

    def norm_bound(self, v: Array) -> float:
        """See `Factor.norm_bound`."""
        along, across = self.partitions.parts(v, self.K)
        return float((self.inner.norm_bound(across) ** 2 + max(float(along @ v), 0.0)) ** 0.5)

    scale = property(lambda self: self.inner.scale)
    smallest = property(lambda self: self.inner.smallest)
    is_singular = property(lambda self: self.inner.is_singular)
    inverse_root = property(lambda self: self.inner.inverse_root)
    size = property(lambda self: self.inner.size)


def factorised(H: Hessian, partitions: Partitions | None = None) -> Factor:
    """Return the factorisation of a Hessian, by its structure, and the directions that its losses cannot tell."""
    if isinstance(H, Arrow):
        return ArrowFactor.of(H)
    assert isinstance(H, Dense)
    if partitions is None:
        return DenseFactor.of(H.matrix)
    K = len(H.matrix) // len(partitions.N)
    return PartitionedFactor(DenseFactor.of(partitions.identified(H, K).matrix), partitions, K)


def _smallest(inverse: Callable[[Array], Array], n: int) -> float:
    """Return an estimate from above of the smallest eigenvalue of a matrix (n, n), by inverse iteration."""
    v = np.cos(np.arange(1.0, n + 1.0))  # any vector that is not orthogonal to the eigenvector
    largest_inverse = 0.0
    for _ in range(_ITERATIONS):
        v = inverse(v / np.sqrt(v @ v))
        before, largest_inverse = largest_inverse, float(np.sqrt(v @ v))
        if largest_inverse < 1.02 * before:
            break
    return 1.0 / largest_inverse


def _proved_below(A: Array, estimate: float) -> float:
    """Return the largest of some shares of the estimate for which ``A - bound I`` has a Cholesky factor; else 0."""
    return next((s * estimate for s in _SHARES if cholesky(A - s * estimate * np.eye(len(A))) is not None), 0.0)
