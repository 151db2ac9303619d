"""What a source is, and the conventions that every pass keeps. Other docstrings refer to this page.

**Shapes.** ``X`` (n_samples, n_features). ``K``, the number of margins a row: 1 for two classes, else n_classes.
``W`` (n_features + 1, K) float64, intercepts in the last row, always there. ``center`` (n_features,) float64: the
coefficients act on ``x - center``, so that a pass computes

    z_ik = sum_j (x_ij - center_j) W_jk + W_nk + offset_ik            (n = n_features)

with the difference taken first, in registers. A column of mean 1e6 and deviation 1 then loses nothing. ``center`` must
be exact in the computing type: take it from :meth:`Source.moments`, or round it.

**Sums, never means.** With s_i the row weight (``sample_weight`` times class weight) a pass returns
``sum_i s_i loss_i`` and ``sum_i s_i (x_i - center, 1) r_i'`` with the residual r = d loss / d z. Sums of parts add up.

**y** is class codes, in the smallest unsigned type that holds them, or (n_samples, n_classes) probabilities whose
rows sum to 1.

**Parts.** A source is a list of parts, each one kernel call of at most about 200 ms. A part's sums depend on its rows
alone, not on threads; parts are added in row order. So results are bitwise equal for any number of threads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastlogit.kernels.losses.protocol import Loss


@dataclass(frozen=True)
class PassSums:
    """What one read returns.

    Attributes
    ----------
    loss_sum : float
        ``sum_i s_i loss_i``.
    grad : ndarray of shape W
        Its gradient with respect to ``W``.
    smallest_margin : float
        The least, over rows of positive weight, of how far the true class leads the best other, offset left out.
        Positive over all rows proves separation; ``-inf`` where labels are soft.
    n_correct : int
        Rows of positive weight whose true (soft labels: likeliest) class leads.
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
class CurvatureSums(PassSums):
    """What a read returns that takes the Hessian with it.

    Attributes
    ----------
    hess : ndarray (K (K + 1) / 2, n_features + 1, n_features + 1)
        The Hessian's blocks of classes k <= l, in that order, each symmetric: ``sum_i s_i c_kl x~_i x~_i'`` with
        ``x~ = (x - center, 1)`` and ``c_kl = p_k (delta_kl - p_l)``, for two classes ``p (1 - p)``.
    largest_square : float
        The largest ``||x~||^2``, each column in units of its scale, over rows of positive weight.
    """

    hess: NDArray[np.float64]
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
        """Merge by Chan, Golub and LeVeque's rule (1979): nothing is squared that has not been centred."""
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
        """The population variance of each column, 0 where rounding is all there is.

        A column is constant where ``var <= n eps var + (n mean eps)^2`` with n = n_samples (scikit-learn's test,
        scikit-learn#19726).
        """
        variance = self.squares / self.weight
        n_eps = self.n_samples * np.finfo(np.float64).eps
        constant = np.sqrt((1.0 - n_eps) * variance) <= n_eps * np.abs(self.mean)  # of 1e300 a square overflows
        return np.where(constant, 0.0, variance)


class Source(Protocol):
    """Rows with their labels, weights and offsets, and the sums that can be had of them in one read each."""

    n_samples: int
    n_features: int
    n_classes: int
    dtype: np.dtype[Any]
    """The type that margins are computed in: float32 or float64."""
    loss: Loss
    largest_share: float
    """Of a sample: the most rows of the whole that one of its rows stands for; else 1."""
    row_bytes: int
    """Of a row of X as stored, in the mean."""
    subtracts_center: bool
    """Whether rows are centred element by element; else by algebra, which loses digits where a mean is large."""
    feature_names: Sequence[str] | None

    def moments(self) -> Moments:
        """Return the moments of the columns; one read of X.

        Raises
        ------
        ValueError
            If X has NaN or infinity: the message names row and column.
        """

    def survey(self, n: int, seed: int) -> "tuple[Moments, Source]":
        """Return the moments and a weighted sample of about ``n`` rows, in memory; one read of X.

        The sample keeps up to n / 4 rows that lie far out, each for itself, and draws others by a hash of their index,
        class by class, at least n / (2 n_classes) of each class where there are as many.
        """

    def loss_grad(self, W: NDArray[np.float64], center: NDArray[np.float64], dtype: Any = None) -> PassSums:
        """Return loss and gradient at ``W``, computed in ``dtype`` (by default the source's); one read of X."""

    def grad_hess(
        self,
        W: NDArray[np.float64],
        center: NDArray[np.float64],
        scale: NDArray[np.float64],
        dtype: Any = np.float64,
    ) -> CurvatureSums:
        """Return loss, gradient and Hessian at ``W``; one read of X.

        Loss and gradient are computed in float64, the products of the Hessian in ``dtype`` and added in float64.
        """

    def hess_vec(
        self, W: NDArray[np.float64], V: NDArray[np.float64], center: NDArray[np.float64], dtype: Any = None
    ) -> NDArray[np.float64]:
        """Return the Hessian of the loss at ``W`` times ``V``, both of shape W; one read of X."""

    def hess_diag(self, W: NDArray[np.float64], center: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the Hessian's diagonal at ``W``, of the shape of W; one read of X."""

    def losses_along(
        self,
        W: NDArray[np.float64],
        V: NDArray[np.float64],
        center: NDArray[np.float64],
        steps: NDArray[np.float64],
        dtype: Any = None,
    ) -> NDArray[np.float64]:
        """Return ``sum_i s_i loss_i`` at ``W + t V`` for each t of ``steps``; one read of X."""

    def largest_square(self, W: NDArray[np.float64], center: NDArray[np.float64]) -> float:
        """Return the largest ``||x~_i W||^2`` over rows of positive weight, of any number of columns; one read of X."""

    def gram(self, center: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ``sum_i s_i x~_i x~_i'`` with ``x~ = (x - center, 1)``, products in the source's type; one read."""

    def class_curvature(
        self, W: NDArray[np.float64], center: NDArray[np.float64], dtype: Any = None
    ) -> NDArray[np.float64]:
        """Return ``sum_i s_i (diag(p_i) - p_i p_i')`` (K, K) at ``W``, p of ``dtype``; one read of X."""

    def widest_row(self, center: NDArray[np.float64], scale: NDArray[np.float64]) -> float:
        """Return the largest ``sum_j ((x_ij - center_j) / scale_j)^2``, to 1e-4, never less; one read of X."""

    def row_products(self, center: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ``sum_j weight_j (x_ij - center_j) (x_lj - center_j)`` (n_samples, n_samples), for few rows.

        One read of X; products in float64.
        """

    def combination(
        self, center: NDArray[np.float64], rows: NDArray[np.intp], shares: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return ``sum_i (x_i - center) shares_i`` (n_features, K) over some rows, shares (rows, K); one read of X."""

    def margins(self, W: NDArray[np.float64], center: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ``(x_i - center) W + intercepts`` (n_samples, K), without offsets, in float64; one read of X."""

    def with_rows(self, X: NDArray[np.float64]) -> "Source":
        """Return the source of other rows X (n_samples, m) with the same labels, weights and offsets."""

    def information(self, center: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ``sum_i a_ij`` and ``sum_i a_ij^2`` with ``a_ij = s_i (x_ij - center_j)^2``; one read of X.

        Shape (2, n_features). Where a few rows hold most of a column's sum, little is known of its coefficient.
        """


def n_margins(n_classes: int) -> int:
    """Return K, the number of margins a row."""
    return 1 if n_classes == 2 else n_classes


def add_up(sums: Any) -> Any:
    """Add the sums of parts in row order."""
    return reduce(add, sums)
