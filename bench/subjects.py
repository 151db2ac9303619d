"""What is measured: a pass over a matrix, with the bytes and the arithmetic that it cannot do without."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from cases import STORAGES

import fastlogit as fl
from fastlogit.kernels.losses import Logistic, Softmax
from fastlogit.kernels.machine.jit import read_only
from fastlogit.kernels.passes.first_order import Targets
from fastlogit.prediction import decision_function, predict_proba
from fastlogit.sources.block import Block
from fastlogit.sources.memory import MemorySource

NONE, NO_OFFSET = np.empty(0), np.empty((0, 0))


class Subject(NamedTuple):
    """A run, the bytes it must move and the flops it must do."""

    run: Callable[[], Any]
    n_bytes: int
    flops: int


def random_matrix(N: int, D: int, dtype: Any, storage: str) -> np.ndarray:
    """Return (N, D) noise in the storage's order: a block of it over and over, so that it is made quickly."""
    rng = np.random.default_rng(0)
    kind = np.dtype(dtype).kind
    block = rng.standard_normal(1 << 16) if kind == "f" else rng.integers(0, 2 if kind == "b" else 256, 1 << 16)
    X = np.empty((N, D), dtype, order="F" if storage == "columns" else "C")
    flat = X.ravel(order="K")
    for start in range(0, flat.size, block.size):
        piece = flat[start : start + block.size]
        piece[:] = np.roll(block, start // block.size)[: piece.size].astype(dtype)
    return X


def source_of(X: np.ndarray, storage: str, K: int) -> MemorySource:
    """Return a source of X with random class codes; K margins a row."""
    loss = Logistic() if K == 1 else Softmax(K)
    y = np.random.default_rng(1).integers(0, loss.n_classes, len(X)).astype(np.uint8 if K <= 256 else np.uint16)
    targets = Targets(*(read_only(a) for a in (y, NONE, NONE, NO_OFFSET)))
    return MemorySource([Block(STORAGES[storage](X), targets, loss)])


def passes_of(source: MemorySource, K: int) -> dict[str, Subject]:
    """Return every pass over a source."""
    N, D = source.n_samples, source.n_features
    W = np.random.default_rng(2).standard_normal((D + 1, K)) / 10
    center = np.full(D, 0.5)
    X_bytes = source.storage.X.nbytes
    out_bytes = N * np.dtype(source.dtype).itemsize
    arguments = (W, center, source.dtype)
    return {
        "loss_grad": Subject(lambda: source.loss_grad(W, center), X_bytes + source.targets.y.nbytes, 4 * N * D * K),
        "moments": Subject(source.moments, X_bytes, 0),
        "decision_function": Subject(
            lambda: decision_function(source.storage, *arguments), X_bytes + out_bytes * K, 2 * N * D * K
        ),
        "predict_proba": Subject(
            lambda: predict_proba(source.storage, source.loss, *arguments),
            X_bytes + out_bytes * max(2, K),
            2 * N * D * K,
        ),
    }


def logits_functions(Z: np.ndarray) -> dict[str, Subject]:
    """Return the functions of logits (N, K)."""
    labels = np.random.default_rng(0).integers(0, Z.shape[1], len(Z)).astype(np.uint16)
    return {
        "softmax": Subject(lambda: fl.softmax(Z), 2 * Z.nbytes, 0),
        "cross_entropy_loss": Subject(lambda: fl.cross_entropy_loss(Z, labels), Z.nbytes, 0),
        "grad_of_loss_wrt_logits": Subject(lambda: fl.grad_of_loss_wrt_logits(Z, labels), 2 * Z.nbytes, 0),
    }
