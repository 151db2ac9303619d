"""What fastlogit relies on inside numba, where numba promises nothing: a new numba that moved it fails here."""

import inspect
import subprocess
import sys
import textwrap
from typing import NamedTuple

import numba
import numpy as np
import pytest
from llvmlite import binding, ir
from numba import types
from numba.core import callconv, cgutils, config
from numba.core.caching import FunctionCache
from numba.core.codegen import JITCodeLibrary, JITCPUCodegen
from numba.core.compiler import CompilerBase
from numba.core.serialize import dumps
from numba.extending import intrinsic, overload, register_jitable

from fastlogit.kernels.machine import driver, jit


class Pair(NamedTuple):
    """A storage in miniature."""

    x: np.ndarray
    n: int


def add_one(x):
    return x + 1


def generated(look):
    """Return ``look(context, builder, kind, array)``, called where code is generated for an array (n,) of float64."""
    found = []

    @intrinsic
    def probe(typingctx, x):
        def codegen(context, builder, signature, args):
            found.append(look(context, builder, signature.args[0], args[0]))
            return context.get_dummy_value()

        return types.void(x), codegen

    @numba.njit
    def run(x):
        probe(x)

    run.compile((types.float64[::1],))
    return found[0]


def compiled(signature=(types.int64,)):
    dispatcher = numba.njit(add_one)
    dispatcher.compile(signature)
    return dispatcher.overloads[signature]


PAIR = numba.typeof(Pair(np.zeros(3), 1))
CGUTILS = "alloca_once alloca_once_value for_range_slice gep_inbounds get_or_insert_function make_anonymous_struct"


class Files:
    """What a cache's `_cache_file` is asked for."""

    def __init__(self):
        self.asked = []

    def load(self, key):
        self.asked.append(("load", key))

    def save(self, key, data):
        self.asked.append(("save", key))
        dumps(data)

    def flush(self):
        self.asked.append(("flush",))


def asked_of_a_cache():
    cache = FunctionCache(add_one)
    cache._cache_file = files = Files()
    dispatcher = numba.njit(add_one)
    dispatcher._cache = cache
    dispatcher.compile((types.int64,))
    cache.flush()
    return files.asked


def array_members(context, builder, kind, value):
    array = context.make_array(kind)(context, builder, value)
    array.meminfo = ir.Constant(array.meminfo.type, None)
    assert array._getvalue().type == value.type
    return [str(getattr(array, name).type) for name in ("data", "shape", "strides")]


def convention(context, builder, kind, value):
    function = context.call_conv.get_function_type(types.none, [kind, types.int64])
    packed = context.get_arg_packer([kind, types.int64]).as_arguments(builder, [value, ir.Constant(ir.IntType(64), 0)])
    assert [a.type for a in packed] == list(function.args[2:])
    return function.return_type, all(isinstance(a, ir.PointerType) and a.pointee for a in function.args[:2])


#: What is relied on, beginning with the file of `fastlogit/kernels` that does, and how to see that it is there.
RELIED_ON = {
    "cache: FunctionCache._cache_path is a folder": lambda: isinstance(FunctionCache(add_one)._cache_path, str),
    "cache: FunctionCache._impl.filename_base ends in -LINE.pyVERSION": lambda: (
        FunctionCache(add_one)._impl.filename_base.rpartition("-")[2].partition(".")[2].startswith("py")
    ),
    "cache: FunctionCache._index_key(sig, codegen) begins with the signature, and has the processor": lambda: (
        list(inspect.signature(FunctionCache._index_key).parameters) == ["self", "sig", "codegen"]
        and asked_of_a_cache()[0][1][0] == (types.int64,)
        and (config.CPU_NAME or binding.get_host_cpu_name()) in asked_of_a_cache()[0][1][1]
    ),
    "cache: a dispatcher's _cache asks its _cache_file to load, save, flush, and saves what can be pickled": lambda: (
        [call[0] for call in asked_of_a_cache()] == ["load", "save", "flush"]
    ),
    "jit: config.NUMBA_NUM_THREADS": lambda: config.NUMBA_NUM_THREADS >= numba.get_num_threads() >= 1,
    "jit: overload's options": lambda: {"jit_options", "strict"} <= set(inspect.signature(overload).parameters),
    "jit: register_jitable's options": lambda: register_jitable(error_model="numpy")(add_one) is add_one,
    "jit: what a library does once its parts are linked, and whom it asks to set an environment": lambda: (
        {"_optimize_final_module", "_finalize_final_module", "codegen"} <= set(dir(JITCodeLibrary))
        and callable(JITCPUCodegen.set_env)
    ),
    "driver: a dispatcher's overloads[signature].library.get_pointer_to_function(.fndesc.llvm_func_name)": lambda: (
        compiled().library.get_pointer_to_function(compiled().fndesc.llvm_func_name) > 0
    ),
    "driver: the statuses of a value and of None": lambda: (
        (callconv.RETCODE_OK.constant, callconv.RETCODE_NONE.constant) == driver._RETURNED
    ),
    "driver: call_conv.get_function_type and get_arg_packer: a status, two pointers, the packed arguments": lambda: (
        generated(convention) == (ir.IntType(32), True)
    ),
    "driver: make_array's data, shape, strides, and meminfo, which may be none": lambda: (
        generated(array_members) == ["double*", "[1 x i64]", "[1 x i64]"]
    ),
    "driver: cgutils": lambda: (
        all(callable(getattr(cgutils, name)) for name in CGUTILS.split())
        and (cgutils.true_bit.constant, cgutils.false_bit.constant) == (1, 0)
    ),
    "pointer: get_data_type and get_abi_sizeof": lambda: (
        generated(lambda context, *_: context.get_abi_sizeof(context.get_data_type(types.float32))) == 4
    ),
    "simd: codegen()._tm_features is the target's features": lambda: isinstance(
        generated(lambda context, *_: context.codegen()._tm_features), str
    ),
    "storage: the type of a NamedTuple has instance_class and fields": lambda: (
        (PAIR.instance_class, tuple(PAIR.fields)) == (Pair, ("x", "n"))
    ),
}


@pytest.mark.every_case
@pytest.mark.parametrize("what", RELIED_ON)
def test_numba_has(what):
    try:
        assert RELIED_ON[what]()
    except Exception as error:
        pytest.fail(f"numba {numba.__version__} differs in what is relied on: {what}; {error!r}")


def test_symbols_have_the_qualified_name_of_their_function():
    """`dense._bind` sets it, so that kernels from the disk's cache never share a name."""

    def impl(x):
        return x

    impl.__qualname__ = "sweep.of_a_kind"
    dispatcher = numba.njit(impl)
    dispatcher.compile((types.int64,))
    assert "sweep" in dispatcher.overloads[(types.int64,)].fndesc.llvm_func_name


@jit.tile
def doubled(x):
    return 2 * x


def test_a_tile_is_compiled_within_its_callers_only(monkeypatch):
    libraries, finalize = [], jit._TileLibrary._finalize_final_module
    monkeypatch.setattr(
        jit._TileLibrary, "_finalize_final_module", lambda self: (libraries.append(self), finalize(self))
    )
    assert numba.njit(lambda x: doubled(x) + 1)(20) == 41
    (library,) = libraries
    (function,) = library.get_defined_functions()
    assert library.get_pointer_to_function(function.name) == 0


@jit.kernel
def numbers(chunk: int, n_chunks: int, out: np.ndarray) -> None:
    """Write each chunk's number."""
    out[chunk] = chunk


def test_a_kernel_is_called_by_address():
    """All of it together."""
    out = np.zeros(3)
    numbers(3, out)
    assert out.tolist() == [0, 1, 2]


def test_a_compilation_loads_what_a_cached_kernel_does_without():
    assert "target_context.refresh()" in inspect.getsource(FunctionCache.load_overload)
    assert "targetctx.refresh()" in inspect.getsource(CompilerBase.__init__)


def test_a_cached_kernel_loads_the_runtime_alone():
    code = """
    import numpy as np
    import fastlogit as fl
    from numba.core.base import BaseContext
    calls, refresh = [], BaseContext.refresh
    BaseContext.refresh = lambda self: calls.append(1) or refresh(self)
    fl.cross_entropy_loss(np.linspace(-1, 1, 300).reshape(100, 3), np.arange(100) % 3)
    print(len(calls))
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    _, again = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert int(again) == 0
