"""exp, log, log1p, sigmoid, softplus of vectors: branch-free, the same code for float32 and float64.

Numba has had no vector mathematics library since 0.62 (llvmlite#1390): ``math.exp`` in a loop is a call for each
element. Here each function reduces its argument exactly, evaluates a polynomial, and scales the result back exactly;
`_FORMATS` holds what differs between the two types. Errors are within 2 units in the last place in float64 and 4 in
float32 over all finite inputs; infinities and NaN are as in C. `tests/test_elementary.py` measures this against mpmath
and recomputes the coefficients.

The polynomials are Chebyshev fits (``mpmath.chebyfit``) of

- ``q(r) = (exp(r) - 1 - r) / r^2`` on ``|r| <= 1.01 ln(2)/2``
- ``L(z) = (2 atanh(s) - 2 s) / (s z)`` with ``z = s^2`` on ``0 <= z <= 1.02 (3 - 2 sqrt(2))^2``, and for
  ``log1p_to_one`` on ``0 <= z <= 1.001 / 9``

The reduction of the logarithm and the order of its last additions follow fdlibm's ``e_log.c`` (Sun Microsystems, 1993).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fastlogit.kernels.machine.vector import Vector, muladd, where


class _Format(NamedTuple):
    mantissa_bits: int
    exponent_bias: int
    ln2_hi: float  # trailing zeros: k * ln2_hi is exact for every exponent k
    ln2_lo: float
    exp_low: float  # below: exp is 0
    exp_high: float  # above: exp is infinite
    exp_q: Sequence[float]
    log_l: Sequence[float]
    log1p_l: Sequence[float]
    sqrt_half_bits: int

    @property
    def round_magic(self) -> float:
        """Adding this number rounds to an integer, which the low bits of the sum then hold."""
        return 1.5 * 2.0**self.mantissa_bits


_LOG2E = 1.4426950408889634
_FORMATS = {
    32: _Format(
        mantissa_bits=23,
        exponent_bias=127,
        ln2_hi=0.693145751953125,
        ln2_lo=1.4286068203094172e-06,
        exp_low=-104.5,
        exp_high=89.0,
        exp_q=(
            0.5,
            0.16666573381900846023,
            0.041666550110305124444,
            0.0083637738744055734988,
            0.0013926926614021906481,
        ),
        log_l=(0.66666666545127132233, 0.40000129426956258605, 0.28549968591308469441, 0.23353427603651185099),
        log1p_l=(
            0.66666666649918154712,
            0.40000010827351575299,
            0.28570300873065896255,
            0.22264851429353944629,
            0.174630748791491011,
            0.2079414277750117711,
        ),
        sqrt_half_bits=0x3F3504F3,
    ),
    64: _Format(
        mantissa_bits=52,
        exponent_bias=1023,
        ln2_hi=0.6931471803691238,
        ln2_lo=1.9082149292705877e-10,
        exp_low=-746.0,
        exp_high=710.0,
        exp_q=(
            0.5,
            0.16666666666666667534,
            0.041666666666620638584,
            0.0083333333333297934996,
            0.0013888888918939167785,
            0.00019841269864380513295,
            0.000024801518641395993583,
            2.7557266418612303703e-6,
            2.7621338669142923801e-7,
            2.5101346928350340199e-8,
        ),
        log_l=(
            0.66666666666666701417,
            0.39999999999886612948,
            0.2857142863176433463,
            0.22222210199264211533,
            0.18182956608063458865,
            0.15329500754204177122,
            0.14643628601909797594,
        ),
        log1p_l=(
            0.66666666666666666889,
            0.39999999999999517412,
            0.2857142857160175545,
            0.22222222198029474094,
            0.18181819911054523602,
            0.15384543492578210538,
            0.13335188953901269055,
            0.11734140010893390844,
            0.1084630614262001925,
            0.074870965862528138569,
            0.15640149889607409857,
        ),
        sqrt_half_bits=0x3FE6A09E667F3BCD,
    ),
}


def _format(x: Vector) -> _Format:
    return _FORMATS[x.lanes.compute.bitwidth]


def _horner(x: Vector, coefficients: Sequence[float]) -> Vector:
    """``c[0] + c[1] x + c[2] x^2 + ...``."""
    p = x.like(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        p = muladd(p, x, c)
    return p


def _times_power_of_two(e: Vector, k: Vector, rounded: Vector) -> Vector:
    """Return ``2^k e``; ``rounded`` is k plus `_Format.round_magic`, so that its low bits hold k."""
    if e.lanes.has_scalef:
        return e.lanes.scalef(e, k)
    # 2^k as two factors, each a normal number even where the result is subnormal or infinite
    f = _format(e)
    exponent = rounded.bits() - e.like(f.round_magic).bits()
    half = exponent >> 1
    first = ((half + f.exponent_bias) << f.mantissa_bits).as_real()
    second = ((exponent - half + f.exponent_bias) << f.mantissa_bits).as_real()
    return e * first * second


def exp(x: Vector) -> Vector:
    """``e^x``."""
    f = _format(x)
    x = where(x > f.exp_high, f.exp_high, x)  # NaN fails both comparisons, and stays
    x = where(x < f.exp_low, f.exp_low, x)
    rounded = muladd(x, _LOG2E, f.round_magic)
    k = rounded - f.round_magic
    r = muladd(k, -f.ln2_lo, muladd(k, -f.ln2_hi, x))
    e = muladd(r * r, _horner(r, f.exp_q), r) + 1.0
    return _times_power_of_two(e, k, rounded)


def _log_of_product(x: Vector, c: Vector) -> Vector:
    """``ln x + c`` for positive finite x and small c, which is added to the smallest terms, so that it is not lost."""
    f = _format(x)
    tiny = 2.0 ** (1 - f.exponent_bias)
    subnormal = x < tiny
    x = where(subnormal, x * 2.0 ** (f.mantissa_bits + 2), x)
    # x = 2^k (1 + t) with 1 + t in [sqrt(1/2), sqrt(2))
    i = x.bits() + ((f.exponent_bias << f.mantissa_bits) - f.sqrt_half_bits)
    exponent = (i >> f.mantissa_bits) - f.exponent_bias
    k = (x.like(f.round_magic).bits() + exponent).as_real() - f.round_magic
    k = where(subnormal, k - (f.mantissa_bits + 2), k)
    t = ((i & ((1 << f.mantissa_bits) - 1)) + f.sqrt_half_bits).as_real() - 1.0
    s = t / (t + 2.0)
    z = s * s
    half_square = t * 0.5 * t
    tail = muladd(s, muladd(z, _horner(z, f.log_l), half_square), muladd(k, f.ln2_lo, c))
    return muladd(k, f.ln2_hi, t - (half_square - tail))


def _log_edges(x: Vector, y: Vector, zero: float) -> Vector:
    """Return y, but infinity at infinity, -infinity where x is ``zero``, and NaN below it and at NaN."""
    y = where(x.equals(np.inf), x, y)
    y = where(x.equals(zero), -np.inf, y)
    return where(x >= zero, y, np.nan)


def log(x: Vector) -> Vector:
    """``ln x``."""
    return _log_edges(x, _log_of_product(x, x.lanes.zero), 0.0)


def log1p(x: Vector) -> Vector:
    """``ln(1 + x)``."""
    u = x + 1.0
    # the rounding error of u, exact if the larger term is subtracted first
    lost = where(x < 1.0, x - (u - 1.0), 1.0 - (u - x))
    return _log_edges(x, _log_of_product(u, lost / u), -1.0)


def log1p_to_one(x: Vector) -> Vector:
    """``ln(1 + x)`` for x in [0, 1]: ``2 atanh(s)`` with ``s = x / (2 + x)``, a third of the work of `log1p`."""
    s = x / (x + 2.0)
    z = s * s
    return muladd(s * z, _horner(z, _format(x).log1p_l), s + s)


def sigmoid(x: Vector) -> Vector:
    """``1 / (1 + e^-x)``."""
    e = exp(-abs(x))
    return where(x < 0.0, e, 1.0) / (e + 1.0)


def softplus(x: Vector) -> Vector:
    """``ln(1 + e^x)``."""
    y = log1p(exp(-abs(x)))
    return where(x < 0.0, y, x + y)
