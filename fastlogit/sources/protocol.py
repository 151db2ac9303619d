"""What a source is, and the conventions of every pass. Other docstrings refer to this page.

**Shapes.** ``X`` (n_samples, n_features). ``K``, the number of margins of a row: 1 for two classes, else n_classes.
``W`` (n_features + 1, K) float64 has the intercepts in its last row, also where a model has none. ``center``
(n_features,) float64: the coefficients act on ``x - center``, so that a pass computes

    z_ik = sum_j (x_ij - center_j) W_jk + W_nk + offset_ik            (n = n_features)

Dense rows are centred first, in registers: a column of mean 1e6 and deviation 1 then loses no digits. ``center`` must
be exact in the computing type: take it from :meth:`Source.moments`, or round it. ``x~`` is ``(x - center, 1)``.

**Sums, never means.** With the row weight s_i (``sample_weight`` times class weight) a pass returns
``sum_i s_i loss_i`` and ``sum_i s_i x~_i r_i'`` with the residual r = d loss / d z. Sums of parts add up.

**y** is class codes, in the smallest unsigned type that holds them, or probabilities (n_samples, n_classes) whose
rows sum to 1 (soft labels).

**Reads.** A read is one pass over all rows of X, the unit in which the cost of a fit is counted.

**Blocks and parts.** A source has its rows in blocks, and a block (`fastlogit.sources.block.Block`) is worked off in
parts, each one kernel call of at most about 200 ms. A part's sums depend on its rows alone, not on the number of
threads, and parts are added in the order of rows. So results are bitwise equal for any number of threads, and for any
cut into blocks whose ends are ends of parts.

**A new transport** (files, a cluster) is a subclass of `Source` that has `blocks`, and its own `run_all` where
operations can run elsewhere.
"""

from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import zip_longest
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogit.costs import Shape
from fastlogit.kernels.losses import Loss
from fastlogit.kernels.machine import clock
from fastlogit.kernels.machine.jit import read_only
from fastlogit.kernels.storages.rows import Rows
from fastlogit.sources.block import WIDEST_ROUNDING, Block
from fastlogit.sources.numbers import named, not_finite
from fastlogit.sources.sampling import Limits, Reach, Surveyed
from fastlogit.sources.sums import ClassProducts, CurvatureSums, Largest, Moments, PassSums, n_margins

Array = NDArray[np.float64]

# Rows whose moments standardise the columns in the search for outliers.
_ROUGH_ROWS = 4096
# A row is an outlier if its squared norm, in standardised columns, exceeds 8 times the average: Gaussian rows never
# are, and at most one row in eight can be.
_FAR = 8.0


class Source:
    """Rows with their labels, weights and offsets, and the sums over them, each in one read of X unless it says else.

    Parameters
    ----------
    n_samples : int
        Rows of all blocks together.
    kind : Storage
        A storage of the blocks' type, for what does not depend on rows; one without rows, where blocks do not stay.
    loss : Loss
        The loss to be summed over rows.
    row_bytes : int
        Bytes of a row of X as stored, on average.
    feature_names : sequence of str, optional
        Names of the columns in messages.

    Attributes
    ----------
    n_features, n_classes : int
        Number of columns, and of the loss's classes.
    dtype : dtype
        Computing type of margins: float32 or float64.
    steers_by_partitions : bool
        Whether solvers are told of `partitions`: not of few rows, where they then take the same steps for categories as
        for columns of zeros and ones.
    largest_share : float
        For a sample, the largest number of rows of the whole that one of its rows stands for; else 1.
    """

    largest_share = 1.0
    steers_by_partitions = True

    def __init__(
        self, n_samples: int, kind: Any, loss: Loss, row_bytes: int, feature_names: Sequence[str] | None = None
    ) -> None:
        self.n_samples, self.loss, self.row_bytes, self.feature_names = n_samples, loss, row_bytes, feature_names
        self.n_features, self.n_classes = int(kind.shape[1]), loss.n_classes
        self.dtype: np.dtype[Any] = kind.computing_dtype
        self._kind = kind

    @property
    def costs(self) -> Shape:
        """What reads of this source take."""
        elements, K = int(self._kind.elements_of(self.row_bytes)), n_margins(self.n_classes)
        leading = 0 if self.leading is None else len(self.leading)
        return Shape(self.n_samples, self.n_features, K, int(self.dtype.itemsize), elements, leading)

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks in the order of rows; a block may be gone once the next is taken (`Block.stays`)."""
        raise NotImplementedError

    def run_all(self, operations: Sequence[tuple[str, tuple[Any, ...]]]) -> list[Any]:
        """Run several operations of `Block` in one read of X.

        Parameters
        ----------
        operations : sequence of (str, tuple)
            Names of methods of `Block`, and their arguments.

        Returns
        -------
        list
            For each operation the sum, by ``+`` in the order of rows, of what it yields.
        """
        totals: list[Any] = [None] * len(operations)
        for block in self.blocks():
            clock.check()
            parts = (getattr(block, name)(*args) for name, args in operations)
            for some in zip_longest(*parts):
                for i, sums in enumerate(some):
                    if sums is not None:
                        totals[i] = sums if totals[i] is None else totals[i] + sums
        return totals

    def run(self, operation: str, *args: Any) -> Any:
        """Return the sum of what one operation of `Block` yields; one read of X."""
        return self.run_all([(operation, args)])[0]

    @property
    def leading(self) -> NDArray[np.int64] | None:
        """Columns of which no two differ from 0 in the same row, so that the Hessian may be an arrow, or None."""
        columns: NDArray[np.int64] | None = self._kind.leading
        return columns

    @property
    def partitions(self) -> list[NDArray[np.int64]]:
        """Sets of columns that add up to 1 in every row: see `fastlogit.partitions`."""
        return list(self._kind.partitions)

    def uncentred(self, center: Array) -> Array | None:
        """Return the part (n_features,) of a centre that is subtracted by algebra, not from elements; None for no part.

        That loses digits where a mean is large compared with its column's deviation.
        """
        left: Array | None = self._kind.uncentred(center)
        return left

    def moments(self) -> Moments:
        """Return the moments of the columns; one read of X.

        Raises
        ------
        ValueError
            If X has NaN, infinity, or numbers whose squares overflow; the message names row and column.
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

    def survey(self, n: int, seed: int) -> "tuple[Moments, Source, Reach]":
        """Return the moments and a weighted sample in memory; one read of X, and one of y. Errors as in `moments`.

        Parameters
        ----------
        n : int
            About the number of rows of the sample.
        seed : int
            Seeds the hash of row indices that draws rows.

        Returns
        -------
        (Moments, Source, Reach)
            The moments of all rows; the sample: up to n / 4 outliers, which stand for themselves, and rows drawn class
            by class, at least n / (2 n_classes) of each class or all that it has; and how far out rows are. Rows of
            weight zero are ignored.
        """
        from fastlogit.sources.memory import MemorySource

        counts: NDArray[np.int64] = self.run("class_counts")
        limits = Limits.of(counts, n, seed)
        rough, far = self._rough_moments(), _FAR * self.n_features
        found: Surveyed = self.run("survey", rough, far, n // 4, limits)
        self._check_finite(found.moments)
        block, largest_share = found.sample(counts)
        sample = MemorySource([block], self.feature_names)
        sample.largest_share = largest_share
        square = (1.0 + WIDEST_ROUNDING) * max(far, found.largest_square)
        center = rough.mean.astype(self.dtype).astype(np.float64)  # what kernels subtract
        reach = Reach(center, np.sqrt(rough.variance), square if self._kind.uncentred(center) is None else np.inf)
        return found.moments, sample, reach

    def _rough_moments(self) -> Moments:
        """Return the moments of the first rows of positive weight: a fold's mask may exclude any number before them."""
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
        """Return ``sum_i s_i loss_i`` and its gradient at ``W``, computed in ``dtype`` (by default the source's)."""
        sums: PassSums = self.run("loss_grad", W, center, dtype or self.dtype)
        return sums

    def grad_hess(self, W: Array, center: Array, scale: Array, dtype: Any = np.float64) -> CurvatureSums:
        """Return loss, gradient and Hessian at ``W``.

        Loss and gradient are computed in float64. The products of the Hessian are computed in ``dtype`` and added in
        float64. ``scale`` (n_features,): the columns' units in `CurvatureSums.largest_square`.
        """
        sums: CurvatureSums = self.run("grad_hess", W, center, scale, dtype)
        return sums

    def hess_vec(self, W: Array, V: Array, center: Array, dtype: Any = None) -> Array:
        """Return the Hessian of the sum of losses at ``W`` times ``V``; V and the product have the shape of W."""
        return np.asarray(self.run("hess_vec", W, V, center, dtype or self.dtype))

    def hess_diag(self, W: Array, center: Array) -> Array:
        """Return the Hessian's diagonal at ``W``, of the shape of W."""
        return np.asarray(self.run("hess_diag", W, center, self.dtype))

    def losses_along(self, W: Array, V: Array, center: Array, steps: Array, dtype: Any = None) -> Array:
        """Return ``sum_i s_i loss_i`` at ``W + t V`` for each t of ``steps``, of the shape of steps."""
        return np.asarray(self.run("losses_along", W, V, center, steps, np.dtype(dtype or self.dtype)))

    def largest_square(self, W: Array, center: Array) -> float:
        """Return the largest ``||x~_i W||^2`` over rows of positive weight; W may have any number of columns."""
        largest: Largest = self.run("largest_square", W, center)
        return largest.value

    def widest_row(self, center: Array, scale: Array) -> float:
        """Return the largest ``sum_j ((x_ij - center_j) / scale_j)^2`` over rows, or up to 1e-4 of it more."""
        largest: Largest = self.run("widest_row", center, scale)
        return largest.value

    def gram(self, center: Array) -> Array:
        """Return ``sum_i s_i x~_i x~_i'``, square of n_features + 1, products in the source's type."""
        return np.asarray(self.run("gram", center, self.dtype))

    def class_curvature(self, W: Array, center: Array, dtype: Any = None) -> Array:
        """Return ``sum_i s_i (diag(p_i) - p_i p_i')`` (K, K), the probabilities p at ``W`` computed in ``dtype``."""
        products: ClassProducts = self.run("class_curvature", W, center, dtype or self.dtype)
        return products.curvature

    def column_squares(self, center: Array) -> Array:
        """Return ``sum_i a_ij`` and ``sum_i a_ij^2`` with ``a_ij = s_i (x_ij - center_j)^2``, shape (2, n_features).

        They tell whether a few rows hold most of a column's sum: `fastlogit.objective.Objective.effective_rows`.
        """
        return np.asarray(self.run("column_squares", center))

    # For few rows, all at once -------------------------------------------------------------------------------------

    def together(self) -> Block:
        """Return all rows as one block, copied if they are in several."""
        return Block.join(list(self.blocks()))

    def row_products(self, center: Array, weight: Array) -> Array:
        """Return ``sum_j weight_j (x_ij - center_j) (x_lj - center_j)`` (n_samples, n_samples), in float64."""
        return np.asarray(self.together().rows.row_products(center, weight))

    def combination(self, center: Array, rows: NDArray[np.intp], shares: Array) -> Array:
        """Return ``sum_i (x_i - center) shares_i`` (n_features, K) over the given rows; ``shares`` (len(rows), K)."""
        return np.asarray(self.together().rows.combination(center, rows, shares))

    def margins(self, W: Array, center: Array) -> Array:
        """Return the margins (n_samples, K) without offsets, in float64."""
        return self.together().margins(W, center)

    def with_rows(self, X: Array) -> "Source":
        """Return the source that has other rows X (n_samples, m), with the same labels, weights and offsets."""
        from fastlogit.sources.memory import MemorySource

        rows, all_rows = Rows(read_only(np.ascontiguousarray(X))), self.together()
        return MemorySource([Block(rows, all_rows.targets, self.loss)]).light()

    def light(self) -> "Source":
        """Return the source that has the least to do before each read: itself, or in NumPy if there are few rows."""
        return self
