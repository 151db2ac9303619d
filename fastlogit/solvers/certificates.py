"""Proved upper bounds on the gap ``F - F*``, from what Newton's method computes anyway.

Let g and H be the gradient and the Hessian of the whole objective, ``lambda^2 = g' H^-1 g`` (lambda is Newton's
decrement), and the radius R at least the largest ``||x~_i||`` in the norm of ``H^-1`` (softmax: the largest
``||(e_k - e_l) (x) x~_i||``). Each loss's third derivative along d is at most its second times ``|x~_i d|``, so that
``F(w + d) >= F + g d + r^2 (e^-Rr + Rr - 1) / (Rr)^2`` with ``r = ||d||_H``. Minimised over r this gives bound A, from
which bound P follows. Background: F. Bach, "Self-concordant analysis for logistic regression", Electronic Journal of
Statistics 4 (2010) 384; T. Sun and Q. Tran-Dinh, "Generalized self-concordant functions", arXiv 1703.04599.
"""

import numpy as np


def chi(u: float) -> float:
    """Return ``(u + (1 - u) ln(1 - u)) / u^2``: 1/2 at u = 0, infinity from u = 1 on."""
    if not u < 1.0:
        return np.inf
    if u < 1e-3:
        return 0.5 + u / 6.0 + u * u / 12.0 + u**3 / 20.0
    return float((u + (1.0 - u) * np.log1p(-u)) / (u * u))


def at_point(decrement: float, R: float) -> float:
    """Return bound A on ``F(w) - F*``, from lambda and R at w."""
    return decrement**2 * chi(decrement * R)


def after_step(decrement: float, R: float, error: float = 0.0) -> float:
    """Return bound P on ``F(w + d) - F*`` after the step ``d = -H^-1 g``, from lambda and R at w.

    ``error`` is the norm of ``g + H d``, in that of ``H^-1``, of a step that is not exact.
    """
    m = decrement * R
    if not m < 50.0:
        return np.inf
    lead = np.expm1(m) / m - 1.0 if m > 1e-5 else m / 2.0 + m * m / 6.0
    after = decrement * lead + error
    return float(np.exp(m) * after**2 * chi(np.exp(m) * after * R))
