"""Extreme margins against mpmath, for every variant of every loss."""

import mpmath
import numpy as np
import pytest

from fastlogit.kernels.losses import NotebookLogistic
from fastlogit.prediction import predict_proba
from fastlogit.sources.intake import as_storage
from fastlogit.sources.targets import memory_source

MAGNITUDES = [0.0, 1e-30, 1e-8, 1.0, 17.0, 36.0, 37.0, 88.0, 89.0, 709.0, 710.0, 745.0, 1e3, 1e30]
MARGINS = [sign * m for m in MAGNITUDES for sign in (1, -1)]
ULP = {np.float64: 4, np.float32: 16}


def near(got, want, dtype):
    """Whether ``got`` is within the allowed units in the last place of the exact ``want``."""
    rounded = dtype(float(want))
    if not np.isfinite(rounded):
        return got == rounded
    return abs(mpmath.mpf(float(got)) - want) <= ULP[dtype] * float(np.spacing(np.abs(rounded)))


@pytest.fixture(autouse=True)
def _precision():
    with mpmath.workprec(5000):
        yield


def one_row(dtype, z, label, soft):
    """Return loss and residual of one row of margin z; a second row of weight 0 makes two classes."""
    X = np.array([[z], [0.0]], dtype)
    y = np.array([label, 1 - label])
    y = np.eye(2)[y] if soft else y
    sums = memory_source(X, y, np.array([1.0, 0.0])).loss_grad(np.array([[1.0], [0.0]]), np.zeros(1))
    return sums.loss_sum, sums.grad[1, 0]


@pytest.mark.parametrize("soft", [False, True], ids=["codes", "soft"])
@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_logistic(dtype, label, soft):
    for z in MARGINS:
        z = float(dtype(z))
        loss, residual = one_row(dtype, z, label, soft)
        t = mpmath.mpf(z if label else -z)
        assert near(loss, mpmath.log1p(mpmath.exp(-t)), dtype), (z, loss)
        q = 1 / (1 + mpmath.exp(t))
        assert near(residual, -q if label else q, dtype), (z, residual)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_logistic_probabilities(dtype):
    X = np.array(MARGINS, dtype)[:, None]
    p = predict_proba(
        as_storage(X)[0], memory_source(X, np.arange(len(X)) % 2).loss, np.array([[1.0], [0.0]]), np.zeros(1), dtype
    )
    for z, (p0, p1) in zip(X[:, 0].tolist(), p, strict=True):
        assert near(p1, 1 / (1 + mpmath.exp(-mpmath.mpf(z))), dtype)
        assert near(p0, 1 / (1 + mpmath.exp(mpmath.mpf(z))), dtype)


@pytest.mark.parametrize("soft", [False, True], ids=["codes", "soft"])
@pytest.mark.parametrize("label", [0, 1, 2])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_softmax(dtype, label, soft):
    W = np.array([[1.0, 0.0, -0.5], [0.0, 0.0, 0.0]])
    for z in MARGINS:
        z = float(dtype(z))
        X = np.array([[z], [0.0], [0.0]], dtype)
        y = (label + np.arange(3)) % 3
        sums = memory_source(X, np.eye(3)[y] if soft else y, np.array([1.0, 0, 0])).loss_grad(W, np.zeros(1))
        margins = [mpmath.mpf(z), mpmath.mpf(0), -mpmath.mpf(z) / 2]
        total = mpmath.fsum(mpmath.exp(m) for m in margins)
        others = mpmath.fsum(mpmath.exp(m) for k, m in enumerate(margins) if k != label)
        assert np.isfinite(sums.loss_sum)
        # soft labels take the difference p - y: exact to rounding of 1, not of the small result
        floor = np.finfo(dtype).eps * 4 * (1 + abs(z)) if soft else 0.0
        want = mpmath.log1p(others / mpmath.exp(margins[label]))
        assert near(sums.loss_sum, want, dtype) or abs(sums.loss_sum - want) <= floor, (z, sums.loss_sum)
        for k in range(3):
            p = mpmath.exp(margins[k]) / total
            want = -others / total if k == label else p
            got = sums.grad[1, k]
            assert near(got, want, dtype) or abs(got - want) <= floor, (z, k, got)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_notebook_loss(dtype):
    epsilon = 1e-5
    for z in MARGINS:
        z = float(dtype(z))
        for label in (0, 1):
            source = memory_source(
                np.array([[z], [0.0]], dtype), [label, 1 - label], [1.0, 0.0], loss=NotebookLogistic(epsilon)
            )
            sums = source.loss_grad(np.array([[1.0], [0.0]]), np.zeros(1))
            p = 1 / (1 + mpmath.exp(-mpmath.mpf(z)))
            want = -mpmath.log((p if label else 1 - p) + mpmath.mpf(epsilon))
            # -log of a number next to 1: its rounding is that of 1
            assert abs(sums.loss_sum - want) <= 8 * np.finfo(dtype).eps * max(1, abs(want)) / 1e-5 ** (
                dtype is np.float32
            )
