"""The objective in scaled coordinates against the reference, and the reference against differences."""

import numpy as np
import pytest
from cases import coefficients, make

from fastlogit import reference
from fastlogit.objective import Objective
from fastlogit.penalties import Ridge
from fastlogit.reads import run
from fastlogit.scaling import Scaling

pytestmark = pytest.mark.usefixtures("kernels")


@pytest.mark.parametrize("loss", ["logistic", "softmax 3", "soft softmax 4"])
@pytest.mark.parametrize("C", [0.1, 10.0, np.inf])
@pytest.mark.parametrize("standardize", [False, True])
def test_value_and_gradient(loss, C, standardize):
    case = make(loss=loss, extras="class weights, offset", shape="narrow")
    scaling = Scaling.standard(case.source.moments(), case.source.dtype)
    objective = Objective(case.source, scaling, Ridge(C, standardize))
    U, _ = coefficients(case)
    W = scaling.to_data(U)
    np.testing.assert_allclose(scaling.from_data(W), U, rtol=1e-13)
    point = run(objective.at(U.ravel(), case.source.dtype))
    value, grad = point.value, point.grad
    assert objective.n_passes == 1
    X = (case.X - scaling.center) / scaling.scale if standardize else case.X
    want, want_grad, _ = reference.objective(
        U if standardize else W, X, case.y, sample_weight=case.weight, offset=case.offset, C=C
    )
    assert value == pytest.approx(want, rel=1e-12)
    if not standardize:  # the chain rule from the data's own coordinates
        want_grad[:-1] -= scaling.center[:, None] * want_grad[-1]
        want_grad[:-1] /= scaling.scale[:, None]
    np.testing.assert_allclose(grad.reshape(U.shape), want_grad, rtol=0, atol=1e-10 * np.abs(want_grad).max())


def test_without_intercept_nothing_is_centred():
    case = make(shape="narrow")
    moments = case.source.moments()
    with pytest.raises(ValueError, match="needs an intercept"):
        Objective(case.source, Scaling.standard(moments, np.float64), fit_intercept=False)
    scaling = Scaling.standard(moments, np.float64, centered=False)
    np.testing.assert_allclose(scaling.scale, np.sqrt((case.X**2).mean(axis=0)), rtol=1e-12)
    objective = Objective(case.source, scaling, fit_intercept=False)
    U, _ = coefficients(case)
    U[-1] = 0.0
    point = run(objective.at(U.ravel(), case.source.dtype))
    value, grad = point.value, point.grad
    assert value == pytest.approx(reference.objective(scaling.to_data(U), case.X, case.y)[0], rel=1e-12)
    assert grad[-1] == 0.0


@pytest.mark.parametrize("C", [0.0, -1.0, np.nan])
def test_strength_must_be_positive(C):
    case = make(shape="narrow")
    with pytest.raises(ValueError, match=f"C={C}"):
        Objective(case.source, Scaling.none(5), Ridge(C))


def test_constant_columns_have_scale_one():
    case = make(shape="narrow")
    case.source.storage.X.base[:, 2] = 1e6 + 0.1
    scaling = Scaling.standard(case.source.moments(), np.float64)
    assert scaling.scale[2] == 1.0
    assert (scaling.scale[[0, 1, 3, 4]] > 0.5).all()


@pytest.mark.parametrize("loss", ["logistic", "softmax 3"])
def test_reference_gradient_and_hessian_are_derivatives(loss):
    case = make(loss=loss, extras="class weights, offset", shape="few rows")
    W, _ = coefficients(case)

    def at(V):
        return reference.objective(V, case.X, case.y, sample_weight=case.weight, offset=case.offset, C=2.0)

    _, grad, hess = at(W)
    np.testing.assert_allclose(hess, hess.T, rtol=1e-12, atol=1e-12)
    h = 1e-5
    for i in (0, W.size // 2, W.size - 1):
        step = np.zeros(W.size)
        step[i] = h
        up, down = at(W + step.reshape(W.shape)), at(W - step.reshape(W.shape))
        assert grad.ravel()[i] == pytest.approx((up[0] - down[0]) / (2 * h), rel=1e-6, abs=1e-7)
        np.testing.assert_allclose(hess[i], (up[1] - down[1]).ravel() / (2 * h), rtol=1e-5, atol=1e-6)
