"""Real data of scikit-learn and statsmodels: the optimum in extended precision, and published fits."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from optimum import optimum
from sklearn import datasets
from statsmodels import datasets as statsmodels

import fastlogit as fl

Data = tuple[np.ndarray, np.ndarray, np.ndarray | None]


def sklearn(name: str, every: int = 1) -> Data:
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    if name == "diabetes":
        y = y > np.median(y)
    return np.ascontiguousarray(X[::every]), y[::every].astype(int), None


def from_statsmodels(name: str, label: Callable[[np.ndarray], np.ndarray], every: int = 1) -> Data:
    data = getattr(statsmodels, name).load()
    X = np.asarray(data.exog, float).reshape(len(data.endog), -1)
    return X[::every], label(np.asarray(data.endog))[::every].astype(int), None


def star98() -> Data:
    """Counts of pupils above and below the median: shares as soft labels, their number as weights."""
    data = statsmodels.star98.load()
    counts = np.asarray(data.endog, float)[:, ::-1]
    total = counts.sum(axis=1)
    return np.asarray(data.exog, float), counts / total[:, None], total


DATA: dict[str, Callable[[], Data]] = {
    "iris": lambda: sklearn("iris"),
    "wine": lambda: sklearn("wine"),
    "breast cancer": lambda: sklearn("breast_cancer"),
    "digits": lambda: sklearn("digits", every=5),
    "diabetes": lambda: sklearn("diabetes"),
    "spector": lambda: from_statsmodels("spector", lambda y: y),
    "anes96": lambda: from_statsmodels("anes96", lambda y: y),
    "fair": lambda: from_statsmodels("fair", lambda y: y > 0),
    "heart": lambda: from_statsmodels("heart", lambda y: y > np.median(y)),
    "modechoice": lambda: from_statsmodels("modechoice", lambda y: y),
    "randhie": lambda: from_statsmodels("randhie", lambda y: y > 0, every=20),
    "star98": star98,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DATA)
def test_the_optimum_in_extended_precision(name):
    X, y, weight = DATA[name]()
    want, value = optimum(X, y, sample_weight=weight, C=1.0)
    for solver, kinds in (("auto", "APD"), ("newton", "AP")):
        found: Any = fl.solve(X, y, sample_weight=weight, C=1.0, tol=1e-18, solver=solver)
        check(found, kinds, X, want, value)


def check(found, kinds, X, want, value):
    assert found.converged and found.gap_kind in kinds
    assert found.value == pytest.approx(float(value), rel=1e-12)
    want = (want - want.mean(axis=1, keepdims=True) if want.shape[1] > 1 else want).astype(float)
    rows = np.column_stack([X - X.mean(axis=0), np.ones(len(X))])
    center = np.r_[X.mean(axis=0), 0.0] @ want
    got = found.x + np.r_[np.zeros_like(want[:-1]), X.mean(axis=0)[None] @ found.coef]
    want[-1] += center
    np.testing.assert_allclose(rows @ got, rows @ want, rtol=0, atol=1e-10 * np.abs(rows @ want).max())
    scale = X.std(axis=0)[:, None]
    tolerance = 1e-10 * np.abs(want[:-1] * scale).max()
    np.testing.assert_allclose(got[:-1] * scale, want[:-1] * scale, rtol=0, atol=tolerance)


def test_published_fits():
    """Log-likelihood of a multinomial and deviance of a binomial fit, from statsmodels' own tests (Stata 11)."""
    X, y, _ = DATA["anes96"]()
    assert -fl.solve(X, y, C=np.inf, tol=1e-14).value == pytest.approx(-1461.922747312, rel=1e-10)
    X, shares, total = DATA["star98"]()
    saturated = -np.sum(total[:, None] * shares * np.log(np.where(shares > 0.0, shares, 1.0)))
    found = fl.solve(X, shares, sample_weight=total, C=np.inf, tol=1e-14)
    assert 2.0 * (found.value - saturated) == pytest.approx(4078.76541772, rel=1e-10)
