"""Hessians of the objective, by structure: a dense matrix, or an arrow, one of whose blocks is diagonal.

What solvers and bounds ask of either is `Hessian`. An arrow is that of rows with a category of many levels, of which no
two are in the same row: the products of their columns with each other are 0.
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastlogit.sources.sums import ArrowSums

Array = NDArray[np.float64]


class Hessian(Protocol):
    """A symmetric matrix (n, n), n = (n_features + 1) K, in the flat vector's order: a column's classes adjacent."""

    def __matmul__(self, v: Array) -> Array:
        """Return the product with v (n,)."""

    def diagonal(self) -> Array:
        """Return the diagonal (n,)."""

    def plus(self, diagonal: Array | float) -> "Hessian":
        """Return the matrix with a diagonal matrix (n,), or a multiple of the identity, added."""

    def divided(self, by: float) -> "Hessian":
        """Return the matrix divided by a number."""

    def identified(self, K: int) -> "Hessian":
        """Return the matrix with curvature added in directions of equal changes of all K classes.

        Softmax is constant along them, which makes its Hessian singular. The gradient has no part in them, and so no
        step.
        """

    def without_intercepts(self, K: int) -> "Hessian":
        """Return the matrix with the identity for the K intercepts: regular, and without a step where g is 0."""

    def of_intercepts(self, K: int) -> Array:
        """Return the block of the K intercepts, a copy."""


@dataclass(frozen=True)
class Dense:
    """A dense matrix; see `Hessian`."""

    matrix: Array

    @classmethod
    def of(cls, blocks: Array, K: int) -> "Dense":
        """Return the matrix of `CurvatureSums.hess`: blocks (K (K + 1) / 2, m, m) of two classes."""
        m = blocks.shape[-1]
        return cls(blocks[0] if K == 1 else _interleaved(blocks, K).reshape(m * K, m * K))

    def __matmul__(self, v: Array) -> Array:
        return np.asarray(self.matrix @ v)

    def diagonal(self) -> Array:
        """See `Hessian.diagonal`."""
        return self.matrix.diagonal()

    def plus(self, diagonal: Array | float) -> "Dense":
        """See `Hessian.plus`."""
        matrix = self.matrix.copy()
        matrix.flat[:: len(matrix) + 1] += diagonal
        return Dense(matrix)

    def divided(self, by: float) -> "Dense":
        """See `Hessian.divided`."""
        return Dense(self.matrix / by)

    def identified(self, K: int) -> "Dense":
        """See `Hessian.identified`."""
        return self if K == 1 else Dense(_identified(self.matrix, K))

    def without_intercepts(self, K: int) -> "Dense":
        """See `Hessian.without_intercepts`."""
        return Dense(_without_last(self.matrix, K))

    def of_intercepts(self, K: int) -> Array:
        """See `Hessian.of_intercepts`."""
        return self.matrix[-K:, -K:].copy()


@dataclass(frozen=True)
class Arrow:
    """``[[D, B], [B', E]]`` with a block diagonal D; see `Hessian`.

    Attributes
    ----------
    leading, others : ndarray (L K,), (m K,) of int
        The elements of the flat vector that belong to the rows of D, and to those of E, in the flat vector's order.
    D : ndarray (L, K, K)
        The blocks of each leading column.
    B : ndarray (L K, m K)
    E : ndarray (m K, m K)
    """

    leading: NDArray[np.int64]
    others: NDArray[np.int64]
    D: Array
    B: Array
    E: Array

    @classmethod
    def of(cls, sums: ArrowSums, K: int, n_features: int) -> "Arrow":
        """Return the matrix of `CurvatureSums.hess` as an arrow."""
        columns = np.delete(np.arange(n_features + 1), sums.leading)
        leading, others = ((np.asarray(c)[:, None] * K + np.arange(K)).ravel() for c in (sums.leading, columns))
        L, m = len(sums.leading), len(columns)
        if K == 1:
            return cls(leading, others, sums.diagonal[0][:, None, None], sums.border[0], sums.corner[0])
        D, pairs = np.empty((L, K, K)), _pairs(K)
        for (k, c), block in zip(pairs, sums.diagonal, strict=True):
            D[:, k, c] = D[:, c, k] = block
        B, E = _interleaved(sums.border, K).reshape(L * K, m * K), _interleaved(sums.corner, K).reshape(m * K, m * K)
        return cls(leading, others, D, B, E)

    def __matmul__(self, v: Array) -> Array:
        K, top, bottom, product = self.D.shape[1], v[self.leading], v[self.others], np.empty_like(v)
        product[self.leading] = np.einsum("jkl,jl->jk", self.D, top.reshape(-1, K)).ravel() + self.B @ bottom
        product[self.others] = self.B.T @ top + self.E @ bottom
        return product

    def diagonal(self) -> Array:
        """See `Hessian.diagonal`."""
        diagonal = np.empty(len(self.leading) + len(self.others))
        diagonal[self.leading] = np.einsum("jkk->jk", self.D).ravel()
        diagonal[self.others] = self.E.diagonal()
        return diagonal

    def plus(self, diagonal: Array | float) -> "Arrow":
        """See `Hessian.plus`."""
        D, E, added = self.D.copy(), self.E.copy(), np.broadcast_to(diagonal, len(self.leading) + len(self.others))
        np.einsum("jkk->jk", D)[...] += added[self.leading].reshape(D.shape[:2])
        E.flat[:: len(E) + 1] += added[self.others]
        return replace(self, D=D, E=E)

    def divided(self, by: float) -> "Arrow":
        """See `Hessian.divided`."""
        return replace(self, D=self.D / by, B=self.B / by, E=self.E / by)

    def scaled(self, s: Array) -> "Arrow":
        """Return ``S H S`` with the diagonal matrix S of ``s`` (n,)."""
        top, bottom = s[self.leading], s[self.others]
        by_class = top.reshape(self.D.shape[:2])
        D = self.D * by_class[:, :, None] * by_class[:, None, :]
        return replace(self, D=D, B=self.B * top[:, None] * bottom, E=self.E * bottom[:, None] * bottom)

    def identified(self, K: int) -> "Arrow":
        """See `Hessian.identified`."""
        if K == 1:
            return self
        D = self.D + np.einsum("jkk->j", self.D)[:, None, None] / K / K
        return replace(self, D=D, E=_identified(self.E, K))

    def without_intercepts(self, K: int) -> "Arrow":
        """See `Hessian.without_intercepts`."""
        B = self.B.copy()
        B[:, -K:] = 0.0
        return replace(self, B=B, E=_without_last(self.E, K))

    def of_intercepts(self, K: int) -> Array:
        """See `Hessian.of_intercepts`."""
        return self.E[-K:, -K:].copy()


def _pairs(K: int) -> list[tuple[int, int]]:
    """Return the classes k <= c of each block, in the order of `CurvatureSums.hess`."""
    return [(k, c) for k in range(K) for c in range(k, K)]


def _interleaved(blocks: Array, K: int) -> Any:
    """Return ``H[i, k, j, c]`` (a, K, b, K) from blocks (K (K + 1) / 2, a, b) of classes k <= c."""
    _, a, b = blocks.shape
    H = np.empty((a, K, b, K))
    for (k, c), block in zip(_pairs(K), blocks, strict=True):
        H[:, k, :, c] = H[:, c, :, k] = block
    return H


def _without_last(H: Array, K: int) -> Array:
    """Return a matrix whose last K rows and columns are those of the identity."""
    H = H.copy()
    H[-K:], H[:, -K:] = 0.0, 0.0
    H[-K:, -K:] = np.eye(K)
    return H


def _identified(H: Array, K: int) -> Array:
    """Return a matrix with each column's mean curvature added to its block of all classes."""
    H = H.copy()
    blocks = H.reshape(len(H) // K, K, len(H) // K, K)
    columns = range(len(H) // K)
    blocks[columns, :, columns, :] += np.diag(H).reshape(-1, K).mean(axis=1)[:, None, None] / K
    return H
