"""The elementary functions against mpmath, and their coefficients derived anew."""

import inspect
import platform
import re

import mpmath
import numpy as np
import pytest
from numba import from_dtype, njit, types
from numba.extending import intrinsic

from fastlogit.kernels.machine import elementary
from fastlogit.kernels.machine.pointer import Pointer
from fastlogit.kernels.machine.simd import Lanes

EXACT = {
    "exp": mpmath.exp,
    "log": mpmath.log,
    "log1p": mpmath.log1p,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "log1p_to_one": mpmath.log1p,
}
ULP = {np.float64: 2, np.float32: 4}


def mapped(function):
    """Return ``f(x, out)``, which applies a function of vectors to an array; out is padded by 16."""

    @intrinsic
    def apply(typingctx, x, out):
        def codegen(context, builder, signature, args):
            lanes = Lanes(context, builder, x.dtype)
            source, target = (Pointer(context, builder, x, value) for value in args)
            with lanes.rows(source.shape[0]) as (r, mask):
                lanes.store(function(lanes.load(source.at(r), None, mask)), target.at(r))
            return context.get_dummy_value()

        return types.void(x, out), codegen

    @njit
    def run(x, out):
        apply(x, out)

    def call(x):
        out = np.empty(x.size + 16, x.dtype)
        run(x, out)
        return out[: x.size]

    call.compiled = run
    return call


CALLS = {name: mapped(getattr(elementary, name)) for name in EXACT}


def arguments(name, dtype):
    rng = np.random.default_rng(0)
    info = np.finfo(dtype)
    if name == "log1p_to_one":
        parts = [rng.uniform(0, 1, 1000), np.exp(-rng.uniform(0, 700, 500)), [0.0, 1.0, float(info.tiny)]]
    elif name in ("log", "log1p"):
        limit = np.log(float(info.max)) * 0.999
        parts = [np.exp(rng.uniform(-limit, limit, 600)), rng.uniform(0.5, 2, 600), 1 + rng.normal(size=200) * 1e-6]
        if name == "log":
            parts.append(float(info.tiny) / 2.0 ** np.arange(20))
        else:
            parts += [rng.uniform(-0.9999, 1, 600), rng.normal(size=200) * 1e-9]
    else:
        parts = [rng.uniform(-1, 1, 500), rng.uniform(-110, 95, 500), rng.uniform(-750, 715, 500)]
        parts += [rng.normal(size=200) * 1e-8, [0.0, -0.0, 88.72, 88.73, -103.9, 709.78, 709.79, -745.1, -745.2]]
    return np.concatenate(parts).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", EXACT)
def test_units_in_the_last_place(name, dtype):
    x = arguments(name, dtype)
    info = np.finfo(dtype)
    overflow = mpmath.mpf(float(info.max)) * (1 + mpmath.mpf(float(info.eps)) / 4)
    with mpmath.workprec(1300):
        for argument, got in zip(x.tolist(), CALLS[name](x).tolist(), strict=True):
            want = EXACT[name](mpmath.mpf(argument))
            if abs(want) > overflow:
                assert got == np.sign(float(want)) * np.inf
                continue
            ulp = float(np.spacing(dtype(abs(float(want)))))
            assert abs(got - want) <= ULP[dtype] * ulp, (name, argument, got)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_edges(dtype):
    x = np.array([np.inf, -np.inf, np.nan, 0.0, -1.0, -2.0], dtype)
    e = np.float64(np.e)
    want = {
        "exp": [np.inf, 0, np.nan, 1, 1 / e, 1 / e**2],
        "log": [np.inf, np.nan, np.nan, -np.inf, np.nan, np.nan],
        "log1p": [np.inf, np.nan, np.nan, 0, -np.inf, np.nan],
        "sigmoid": [1, 0, np.nan, 0.5, 1 / (1 + e), 1 / (1 + e**2)],
        "softplus": [np.inf, 0, np.nan, np.log(2), np.log1p(1 / e), np.log1p(1 / e**2)],
    }
    for name, values in want.items():
        np.testing.assert_allclose(CALLS[name](x), np.array(values, dtype), rtol=1e-6 if dtype == np.float32 else 1e-14)


X86 = r"\tv?(?:add|sub|mul|div|fn?m(?:add|sub)\d+)"
ARM = r"\tf(?:n?m(?:add|sub)|ml[as]|add|sub|mul|div)\t"
#: Arithmetic on whole registers and on single numbers, in the assembly of each processor.
ARITHMETIC = {
    ("x86_64", np.float32): (rf"{X86}ps\b", rf"{X86}ss\b"),
    ("x86_64", np.float64): (rf"{X86}pd\b", rf"{X86}sd\b"),
    ("aarch64", np.float32): (rf"{ARM}v\d+\.4s\b", rf"{ARM}s\d"),
    ("aarch64", np.float64): (rf"{ARM}v\d+\.2d\b", rf"{ARM}d\d"),
}
#: A call, and how a function ends.
CALL = {"x86_64": (r"\tcallq?\t\S*(exp|log|pow)", "retq"), "aarch64": (r"\tblr?\t", "\tret")}


@pytest.mark.skipif(platform.machine() not in CALL, reason="reads the assembly of others")
@pytest.mark.parametrize("dtype", ULP, ids=lambda d: d.__name__)
@pytest.mark.parametrize("name", EXACT)
def test_no_function_is_a_call_or_a_loop_over_lanes(name, dtype):
    """In the machine code arithmetic is on whole registers, and nothing is called."""
    call = CALLS[name]
    call(np.ones(3, dtype))
    kind = from_dtype(np.dtype(dtype))
    text = call.compiled.inspect_asm(next(types for types in call.compiled.signatures if types[0].dtype == kind))
    packed, single = ARITHMETIC[platform.machine(), dtype]
    called, returned = CALL[platform.machine()]
    body = text.split("run", 1)[1].split(returned, 1)[0]
    assert len(re.findall(packed, body)) > 10 and not re.findall(single, body)
    assert not re.search(called, body)


def test_coefficients_are_chebyshev_fits():
    with mpmath.workdps(40):
        half = mpmath.log(2) / 2 * mpmath.mpf("1.01")
        limit = ((mpmath.sqrt(2) - 1) / (mpmath.sqrt(2) + 1)) ** 2 * mpmath.mpf("1.02")

        def q(r):
            return (mpmath.exp(r) - 1 - r) / r**2 if abs(r) > 1e-6 else 1 / mpmath.mpf(2) + r / 6 + r**2 / 24

        def L(z):
            s = mpmath.sqrt(z)
            return (2 * mpmath.atanh(s) - 2 * s) / (s * z) if z > 1e-8 else 2 / mpmath.mpf(3) + 2 * z / 5

        # mpmath 1.4 has a word for the order, and warns without it
        ascending = {"asc": True} if "asc" in inspect.signature(mpmath.chebyfit).parameters else {}
        for f in elementary._FORMATS.values():
            fits = ((q, (-half, half), f.exp_q), (L, (0, limit), f.log_l), (L, (0, 1.001 / mpmath.mpf(9)), f.log1p_l))
            for function, interval, coefficients in fits:
                fit = mpmath.chebyfit(function, list(interval), len(coefficients), **ascending)
                fit = fit if ascending else fit[::-1]
                np.testing.assert_allclose([float(c) for c in fit], coefficients, rtol=1e-9)
