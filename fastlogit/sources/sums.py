"""Results of operations on rows: each defines ``+`` with the result for the rows that follow."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PassSums:
    """Loss and gradient.

    Attributes
    ----------
    loss_sum : float
        ``sum_i s_i loss_i``.
    grad : ndarray of shape W
        Its gradient with respect to ``W``.
    smallest_margin : float
        The smallest lead, over rows of positive weight, of the true class's margin over the largest of the others,
        without offsets. If it is positive over all rows the classes are separated. ``-inf`` for soft labels.
    n_correct : int
        Rows of positive weight whose true class (soft labels: likeliest class) has the largest margin.
    """

    loss_sum: float
    grad: NDArray[np.float64]
    smallest_margin: float
    n_correct: int

    def __add__(self, other: "PassSums") -> "PassSums":
        return PassSums(
            self.loss_sum + other.loss_sum,
            self.grad + other.grad,
            min(self.smallest_margin, other.smallest_margin),
            self.n_correct + other.n_correct,
        )


@dataclass(frozen=True)
class ArrowSums:
    """Blocks of a Hessian that have a diagonal block of their own for some leading columns.

    Attributes
    ----------
    leading : ndarray (L,) of int
        The leading columns; the others, and the intercept after them, are m.
    diagonal, border, corner : ndarray (blocks, L), (blocks, L, m), (blocks, m, m)
        The leading columns' diagonal, their products with the others, and the products of those.
    """

    leading: NDArray[np.int64]
    diagonal: NDArray[np.float64]
    border: NDArray[np.float64]
    corner: NDArray[np.float64]

    def __add__(self, other: "ArrowSums") -> "ArrowSums":
        return ArrowSums(
            self.leading, self.diagonal + other.diagonal, self.border + other.border, self.corner + other.corner
        )

    def centred(self, center: NDArray[np.float64]) -> "ArrowSums":
        """Return the same for rows centred at ``center`` (n_features,), which is 0 for the leading columns."""
        c = np.delete(center, self.leading)
        if not np.any(c):
            return self
        self.border[..., :-1] -= self.border[..., -1:] * c
        return ArrowSums(self.leading, self.diagonal, self.border, centred(self.corner, c))


def centred(H: NDArray[np.float64], center: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Return a Hessian's blocks for centred rows: ``T' H T`` with ``(x - c, 1) = T' (x, 1)``; H is overwritten.

    From every other row ``T'`` subtracts c_j times the intercept's.
    """
    if center is None:
        return H
    h, c = H[:, :-1, -1].copy(), center
    for block, row, corner in zip(H, h, 0.5 * H[:, -1, -1], strict=True):
        left = np.outer(row - corner * c, c)
        block[:-1, :-1] -= left + left.T
    H[:, :-1, -1] = H[:, -1, :-1] = h - H[:, -1:, -1] * c
    return H


@dataclass(frozen=True)
class CurvatureSums(PassSums):
    """Loss, gradient and Hessian.

    Attributes
    ----------
    hess : ndarray (K (K + 1) / 2, n_features + 1, n_features + 1), or ArrowSums
        The Hessian's blocks of classes k <= l, row by row of the upper triangle, each symmetric:
        ``sum_i s_i c_kl x~_i x~_i'`` with ``c_kl = p_k (delta_kl - p_l)``, for two classes ``p (1 - p)``.
    largest_square : float
        The largest ``||x~||^2`` over rows of positive weight, each column divided by its scale.
    """

    hess: Any
    largest_square: float

    def __add__(self, other: PassSums) -> "CurvatureSums":
        assert isinstance(other, CurvatureSums)
        first = super().__add__(other)
        return CurvatureSums(
            first.loss_sum,
            first.grad,
            first.smallest_margin,
            first.n_correct,
            self.hess + other.hess,
            max(self.largest_square, other.largest_square),
        )


@dataclass(frozen=True)
class Moments:
    """Weighted moments of the columns.

    Attributes
    ----------
    n_samples : int
        Number of rows, whatever their weights.
    weight : float
        ``sum_i s_i``.
    mean : ndarray (n_features,)
        ``sum_i s_i x_i / weight``.
    squares : ndarray (n_features,)
        ``sum_i s_i (x_i - mean)^2``.
    """

    n_samples: int
    weight: float
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]

    def __add__(self, other: "Moments") -> "Moments":
        """Merge by the rule of Chan, Golub and LeVeque (1979), which squares nothing but differences of means."""
        n_samples, weight = self.n_samples + other.n_samples, self.weight + other.weight
        share = other.weight / weight if weight > 0.0 else 0.0
        step = other.mean - self.mean
        return Moments(
            n_samples,
            weight,
            self.mean + step * share,
            self.squares + other.squares + step**2 * (self.weight * share),
        )

    @property
    def variance(self) -> NDArray[np.float64]:
        """The population variance (n_features,), 0 where it is no more than rounding errors.

        That is where ``var <= n eps var + (n mean eps)^2``, n = n_samples: scikit-learn's test of a constant column
        (scikit-learn#19726).
        """
        variance = self.squares / self.weight
        n_eps = self.n_samples * np.finfo(np.float64).eps
        constant = np.sqrt((1.0 - n_eps) * variance) <= n_eps * np.abs(self.mean)  # roots: squares overflow
        return np.where(constant, 0.0, variance)


@dataclass(frozen=True)
class Largest:
    """The largest value of some function over rows."""

    value: float

    def __add__(self, other: "Largest") -> "Largest":
        return self if self.value >= other.value else other


@dataclass(frozen=True)
class ClassProducts:
    """``sum_i s_i p_ik p_il`` (n_classes, n_classes)."""

    products: NDArray[np.float64]

    def __add__(self, other: "ClassProducts") -> "ClassProducts":
        return ClassProducts(self.products + other.products)

    @property
    def curvature(self) -> NDArray[np.float64]:
        """``sum_i s_i (diag(p_i) - p_i p_i')`` (K, K)."""
        others = self.products.copy()
        np.fill_diagonal(others, 0.0)  # p_k - p_k^2 = sum of p_k p_l, l != k: no cancellation where p_k is nearly 1
        K = n_margins(len(others))
        curvature = np.diag(others.sum(axis=0)) - others
        return np.asarray(curvature[-K:, -K:])


def n_margins(n_classes: int) -> int:
    """Return K, the number of margins of a row."""
    return 1 if n_classes == 2 else n_classes
