"""Compile the common kernels ahead of time, each case in a process of its own, so that no fit waits for them."""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib import import_module
from itertools import product
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np

import fastlogit as fl
from fastlogit.kernels.machine.jit import specialisations
from fastlogit.sources.block import Block
from fastlogit.sources.memory import MemorySource
from fastlogit.sources.mixed import learnt
from fastlogit.sources.sums import n_margins
from fastlogit.sources.targets import memory_source

# More rows than `fastlogit.costs.is_little` leaves to NumPy.
_ROWS, _COLUMNS = 1 << 14, 3


class Case(NamedTuple):
    """What kernels are compiled for: the type of X, its storage (a key of `_FORMS`), and 2 or more classes."""

    dtype: str
    order: str
    n_classes: int

    def __str__(self) -> str:
        classes = "two classes" if self.n_classes == 2 else "more classes"
        return f"{self.dtype}, {_FORMS[self.order]}, {classes}"


_FORMS = {"C": "rows", "F": "columns", "CSR": "sparse rows", "codes": "categories"}
CASES = [Case(*case) for case in product(("float32", "float64"), _FORMS, (2, 3))]


def compile_case(case: Case) -> set[tuple[str, str]]:
    """Run every pass of fits and predictions once; return the name and the argument types of all kernels so far."""
    rng = np.random.default_rng(0)
    X: Any = rng.standard_normal((_ROWS, _COLUMNS)).astype(case.dtype)
    if case.order == "CSR":
        X = import_module("scipy.sparse").csr_array(np.tile(X, (3, 1)))  # more indices than NumPy looks through
    elif case.order == "F":
        X = np.asfortranarray(X)
    y = np.arange(X.shape[0]) % case.n_classes
    if case.order == "codes":
        X = np.column_stack([np.arange(_ROWS) % 7, X]).astype(case.dtype)
        _use(X, y, [0])
        if case.dtype == "float64":  # what frames of nothing but categories are computed in
            _use(X[:, :1], y, [0])
        return specialisations()
    _use(X, y, None)
    if case.order == "CSR":
        return specialisations()
    if case.n_classes == 2:
        forward = fl.binary_classifier_from(X, y, epochs=1)
    else:
        forward = fl.multiclass_classifier_from(X, y, epochs=1)
        if case.order == "C":
            fl.softmax(X)
            fl.cross_entropy_loss(X, y)
            fl.grad_of_loss_wrt_logits(X, y)
    forward(X)
    return specialisations()


def _use(X: Any, y: Any, categories: list[int] | None) -> None:
    """Run every pass of fits and predictions once, some columns being categories."""
    storage, _, _ = learnt(X, categories, drops_first=False, ignores_unknown=False)
    given = memory_source(np.zeros((len(y), 1)), y)
    source = MemorySource([Block(storage, given.targets, given.loss)])
    n, K = source.n_features, n_margins(source.n_classes)
    W, zero, ones = np.zeros((n + 1, K)), np.zeros(n), np.ones(n)
    source.moments()
    _, sample, _ = source.survey(_ROWS // 4, 0)
    for rows in (source, sample):
        rows.column_squares(zero)
    for dtype in {source.dtype, np.dtype(np.float64)}:
        source.loss_grad(W, zero, dtype)
        source.grad_hess(W, zero, ones, dtype)
        source.hess_vec(W, W, zero, dtype)
        source.class_curvature(W, zero, dtype)
    source.losses_along(W, W, zero, np.ones(2), np.float64)
    source.largest_square(np.eye(n + 1), zero)
    source.widest_row(zero, ones)
    source.gram(zero)
    source.hess_diag(W, zero)
    model = fl.LogisticRegression(categorical_features=categories).fit(X, y)
    for predict in (model.predict, model.predict_proba):
        predict(X)


def compile_all() -> Iterator[tuple[Case, set[tuple[str, str]]]]:
    """Compile every case, as many at once as there are processors; yield each with its kernels when it is ready."""
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(compile_case, case): case for case in CASES}
        for future in as_completed(futures):
            yield futures[future], future.result()
