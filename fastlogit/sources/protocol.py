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

**Blocks and parts.** A source has its rows in blocks, and a block (`fastlogit.sources.block.Block`) has them in parts,
each one kernel call of at most about 200 ms. A part's sums depend on its rows alone, not on threads; parts are added in
the order of rows. So results are bitwise equal for any number of threads, and for any blocks that are cut where parts
are.

**A new transport** is a subclass of `Source` with `blocks`, and with `run_all` where sums can be had elsewhere.
"""

from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import zip_longest
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.kernels.losses import Loss
from fastlogit.kernels.machine.jit import read_only
from fastlogit.kernels.storages.rows import Rows
from fastlogit.prediction import decision_function
from fastlogit.sources.block import Block
from fastlogit.sources.numbers import named, not_finite
from fastlogit.sources.sampling import Limits, Surveyed
from fastlogit.sources.sums import ClassProducts, CurvatureSums, Largest, Moments, PassSums

Array = NDArray[np.float64]

_ROUGH_ROWS = 4096
# A row is an outlier if its squared norm, in standardised columns, exceeds 8 times the average: Gaussian rows never
# are, and at most one row in eight can be.
_FAR = 8.0


class Source:
    """Rows with their labels, weights and offsets, and the sums that can be had of them in one read each.

    Parameters
    ----------
    n_samples : int
        Rows of all blocks together.
    kind : Storage
        A storage of the kind of all blocks, for what does not depend on its rows; of none, where blocks go away.
    loss : Loss
        What is summed.
    row_bytes : int
        Of a row of X as stored, on average.
    feature_names : sequence of str, optional
        What messages call the columns.

    Attributes
    ----------
    n_features, n_classes : int
        Columns, and classes of the loss.
    dtype : dtype
        The type that margins are computed in: float32 or float64.
    largest_share : float
        Of a sample: the most rows of the whole that one of its rows stands for; else 1.
    """

    largest_share = 1.0

    def __init__(
        self, n_samples: int, kind: Any, loss: Loss, row_bytes: int, feature_names: Sequence[str] | None = None
    ) -> None:
        self.n_samples, self.loss, self.row_bytes, self.feature_names = n_samples, loss, row_bytes, feature_names
        self.n_features, self.n_classes = int(kind.shape[1]), loss.n_classes
        self.dtype: np.dtype[Any] = kind.computing_dtype
        self._kind = kind

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks in the order of rows; one may be gone when the next comes."""
        raise NotImplementedError

    def run_all(self, operations: Sequence[tuple[str, tuple[Any, ...]]]) -> list[Any]:
        """Return the sums of several operations of `Block`, each a name and arguments, in one read.

        What an operation yields is added up in the order of rows.
        """
        totals: list[Any] = [None] * len(operations)
        for block in self.blocks():
            parts = (getattr(block, name)(*args) for name, args in operations)
            for some in zip_longest(*parts):
                for i, sums in enumerate(some):
                    if sums is not None:
                        totals[i] = sums if totals[i] is None else totals[i] + sums
        return totals

    def run(self, operation: str, *args: Any) -> Any:
        """Return the sums of one operation of `Block`; one read of X."""
        return self.run_all([(operation, args)])[0]

    def uncentred(self, center: Array) -> Array | None:
        """Return the part of a centre that algebra subtracts, which loses digits where a mean is large; or None."""
        left: Array | None = self._kind.uncentred(center)
        return left

    def moments(self) -> Moments:
        """Return the moments of the columns; one read of X.

        Raises
        ------
        ValueError
            If X has NaN or infinity, or numbers whose squares overflow: the message names row and column.
        """
        moments: Moments = self.run("moments")
        self._check_finite(moments)
        return moments

    def _check_finite(self, moments: Moments) -> None:
        overflowing = ~np.isfinite(moments.squares)
        if not overflowing.any():
            return
        for block in self.blocks():
            found = block.first_not_finite()
            if found is not None:
                row, column, value = found
                raise not_finite(value, row, column, self.feature_names)
        column = int(np.flatnonzero(overflowing)[0])
        raise ValueError(
            f"X has values in column {named(column, self.feature_names)} whose squares overflow float64 (about 1e154 "
            "and more): rescale the column"
        )

    def survey(self, n: int, seed: int) -> "tuple[Moments, Source]":
        """Return the moments and a weighted sample of about ``n`` rows, in memory; one read of X, and one of y.

        The sample keeps up to n / 4 rows that lie far out, each for itself, and draws others by a hash of their number,
        class by class, at least n / (2 n_classes) of each class where there are as many. Rows of weight zero are not
        looked at. Errors as in `moments`.
        """
        from fastlogit.sources.memory import MemorySource

        counts: NDArray[np.int64] = self.run("class_counts")
        limits = Limits.of(counts, n, seed)
        found: Surveyed = self.run("survey", self._rough_moments(), _FAR * self.n_features, n // 4, limits)
        self._check_finite(found.moments)
        block, largest_share = found.sample(counts)
        sample = MemorySource([block], self.feature_names)
        sample.largest_share = largest_share
        return found.moments, sample

    def _rough_moments(self) -> Moments:
        """Return the moments of the first rows that have a weight: a fold's mask may leave out any number before."""
        some, missing = [], _ROUGH_ROWS
        for block in self.blocks():
            for first, last in block.parts:
                begin, end, found = block.first_weighted(first, last, missing)
                if found:
                    some.append(block.few_moments(begin, end))
                missing -= found
                if missing <= 0:
                    return reduce(add, some)
        return reduce(add, some)

    def loss_grad(self, W: Array, center: Array, dtype: Any = None) -> PassSums:
        """Return loss and gradient at ``W``, computed in ``dtype`` (by default the source's); one read of X."""
        sums: PassSums = self.run("loss_grad", W, center, dtype or self.dtype)
        return sums

    def grad_hess(self, W: Array, center: Array, scale: Array, dtype: Any = np.float64) -> CurvatureSums:
        """Return loss, gradient and Hessian at ``W``; one read of X.

        Loss and gradient are computed in float64, the products of the Hessian in ``dtype`` and added in float64.
        ``scale`` (n_features,) are the units of `CurvatureSums.largest_square`.
        """
        sums: CurvatureSums = self.run("grad_hess", W, center, scale, dtype)
        return sums

    def hess_vec(self, W: Array, V: Array, center: Array, dtype: Any = None) -> Array:
        """Return the Hessian of the loss at ``W`` times ``V``, both of shape W; one read of X."""
        return np.asarray(self.run("hess_vec", W, V, center, dtype or self.dtype))

    def hess_diag(self, W: Array, center: Array) -> Array:
        """Return the Hessian's diagonal at ``W``, of the shape of W; one read of X."""
        return np.asarray(self.run("hess_diag", W, center, self.dtype))

    def losses_along(self, W: Array, V: Array, center: Array, steps: Array, dtype: Any = None) -> Array:
        """Return ``sum_i s_i loss_i`` at ``W + t V`` for each t of ``steps``; one read of X."""
        return np.asarray(self.run("losses_along", W, V, center, steps, np.dtype(dtype or self.dtype)))

    def largest_square(self, W: Array, center: Array) -> float:
        """Return the largest ``||x~_i W||^2`` over rows of positive weight, of any number of columns; one read of X."""
        largest: Largest = self.run("largest_square", W, center)
        return largest.value

    def widest_row(self, center: Array, scale: Array) -> float:
        """Return the largest ``sum_j ((x_ij - center_j) / scale_j)^2``, to 1e-4, never less; one read of X."""
        largest: Largest = self.run("widest_row", center, scale)
        return largest.value

    def gram(self, center: Array) -> Array:
        """Return ``sum_i s_i x~_i x~_i'`` with ``x~ = (x - center, 1)``, products in the source's type; one read."""
        return np.asarray(self.run("gram", center, self.dtype))

    def class_curvature(self, W: Array, center: Array, dtype: Any = None) -> Array:
        """Return ``sum_i s_i (diag(p_i) - p_i p_i')`` (K, K) at ``W``, p of ``dtype``; one read of X."""
        products: ClassProducts = self.run("class_curvature", W, center, dtype or self.dtype)
        return products.curvature

    def information(self, center: Array) -> Array:
        """Return ``sum_i a_ij`` and ``sum_i a_ij^2`` with ``a_ij = s_i (x_ij - center_j)^2``; one read of X.

        Shape (2, n_features). Where a few rows hold most of a column's sum, little is known of its coefficient.
        """
        return np.asarray(self.run("information", center))

    # Of few rows, all at once --------------------------------------------------------------------------------------

    def together(self) -> Block:
        """Return all rows as one block, for few rows: copied where they are in several."""
        return Block.join(list(self.blocks()))

    def row_products(self, center: Array, weight: Array) -> Array:
        """Return ``sum_j weight_j (x_ij - center_j) (x_lj - center_j)`` (n_samples, n_samples), for few rows.

        One read of X; products in float64.
        """
        return np.asarray(self.together().storage.row_products(center, weight))

    def combination(self, center: Array, rows: NDArray[np.intp], shares: Array) -> Array:
        """Return ``sum_i (x_i - center) shares_i`` (n_features, K) over some rows, shares (rows, K); one read of X."""
        return np.asarray(self.together().storage.combination(center, rows, shares))

    def margins(self, W: Array, center: Array) -> Array:
        """Return ``(x_i - center) W + intercepts`` (n_samples, K), without offsets, in float64; one read of X."""
        return decision_function(self.together().storage, W, center, np.float64)

    def with_rows(self, X: Array) -> "Source":
        """Return the source of other rows X (n_samples, m) with the same labels, weights and offsets."""
        from fastlogit.sources.memory import MemorySource

        rows = Rows(read_only(np.ascontiguousarray(X)))
        return MemorySource([Block(rows, self.together().targets, self.loss)])
