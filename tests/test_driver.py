"""How kernels are run: threads, forks, concurrent calls, the disk cache, what happens when memory is short."""

import os
import subprocess
import sys
import textwrap
import threading
from typing import NamedTuple

import numba
import numpy as np
import pytest
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

import fastlogit as fl
from fastlogit.kernels.machine import cache, jit
from fastlogit.kernels.machine.jit import kernel, max_threads, threads

# numba's number of threads is a variable outside of the kernel
pytestmark = pytest.mark.filterwarnings("ignore:Cannot cache compiled function .number_of_threads")


def python(code, **environment):
    """Run code in a process of its own, with warnings as errors; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@kernel
def number_of_threads(chunk: int, n_chunks: int, out: np.ndarray) -> None:
    """Write the number of threads that the kernel runs on."""
    out[chunk] = numba.get_num_threads()


@kernel
def failing(chunk: int, n_chunks: int, out: np.ndarray) -> None:
    """Fail in one chunk, as where memory is short."""
    if chunk == 2:
        raise MemoryError
    out[chunk] = n_chunks


@kernel
def counting(chunk: int, n_chunks: int, out: np.ndarray) -> None:
    """Count the calls for each chunk."""
    out[chunk] += 1


@intrinsic
def count_of_holders(typingctx, array):
    """Return where numba counts who holds an array."""

    def codegen(context, builder, signature, args):
        holders = context.make_array(array)(context, builder, args[0]).meminfo
        return builder.ptrtoint(holders, ir.IntType(64))

    return types.int64(array), codegen


class Held(NamedTuple):
    """An array in a tuple, as storages are."""

    values: np.ndarray


@kernel
def holders(chunk: int, n_chunks: int, alone: np.ndarray, held: Held, out: np.ndarray) -> None:
    """Write whether numba counts who holds the arguments."""
    out[0] = count_of_holders(alone)
    out[1] = count_of_holders(held.values)


def test_no_thread_counts_who_holds_an_array():
    # all threads would write the same number at every tile: it made passes up to twice as long
    out = np.ones(2, np.int64)
    holders(1, np.zeros(3), Held(np.zeros(3)), out)
    assert out.tolist() == [0, 0]


def test_every_chunk_runs_once():
    for n in (1, 2, 100):
        out = np.zeros(n + 1, np.int64)
        counting(n, out)
        assert out.tolist() == [1] * n + [0]


def test_a_failed_chunk_is_an_error():
    out = np.zeros(4, np.int64)
    with pytest.raises(MemoryError, match="scratch memory"):
        failing(4, out)
    assert out.tolist() == [4, 4, 0, 4]  # the others ran


@pytest.mark.skipif(max_threads() < 2, reason="one thread only")
def test_the_number_of_threads_is_given_and_restored():
    z = np.random.default_rng(0).standard_normal((500, 3))
    before = numba.get_num_threads()
    out = np.zeros(8, np.int64)
    with threads(1):
        number_of_threads(8, out)
    assert set(out) == {1}
    want = fl.softmax(z)
    for n in range(1, max_threads() + 1):
        np.testing.assert_array_equal(fl.softmax(z, n_threads=n), want)
        fl.cross_entropy_loss(z, np.zeros(500, int), n_threads=n)
        fl.grad_of_loss_wrt_logits(z, np.zeros(500, int), n_threads=n)
        forward = fl.binary_classifier_from(z, z[:, 0] > 0, epochs=1, n_threads=n)
        forward(z, n_threads=n)
        assert numba.get_num_threads() == before
    for n in ("1", 1.0):
        with pytest.raises(ValueError, match=f"n_threads={n!r}, but numba was started with"):
            fl.softmax(z, n_threads=n)
    for n in (0, max_threads() + 1):
        with pytest.raises(ValueError, match=f"n_threads={n}"):
            fl.softmax(z, n_threads=n)
        with pytest.raises(ValueError, match=f"n_threads={n}|'n_threads' parameter of solve .*Got {n}"):
            fl.solve(z, z[:, 0] > 0, n_threads=n)


@pytest.mark.skipif(max_threads() < 2, reason="one thread only")
def test_concurrent_calls_share_the_threads_out():
    number_of_threads(8, np.zeros(8, np.int64))  # the layer is known now
    if numba.threading_layer() == "workqueue":
        pytest.skip("one kernel at a time")
    out = np.zeros(8, np.int64)
    with jit._layer.use():  # as if another thread were in a kernel
        number_of_threads(8, out)
    assert set(out) == {max_threads() // 2}
    number_of_threads(8, out)
    assert set(out) == {max_threads()}


CONCURRENT = """
import threading
import numpy as np
import fastlogit as fl
rng = np.random.default_rng(0)
X = rng.standard_normal((200_000, 5)); y = rng.random(200_000) < 0.5
from threadpoolctl import threadpool_info
blas = lambda: [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
want, results = fl.solve(X, y).x, []
before = blas()
def fit():
    for _ in range(20):
        results.append(np.array_equal(fl.solve(X, y).x, want))
workers = [threading.Thread(target=fit) for _ in range(8)]
[w.start() for w in workers]; [w.join() for w in workers]
assert len(results) == 160 and all(results)
assert blas() == before
import numba
print(numba.threading_layer())
"""


@pytest.mark.parametrize("layer", ["workqueue", "omp"])
def test_concurrent_fits(layer):
    assert python(CONCURRENT, NUMBA_THREADING_LAYER=layer).strip() == layer


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_fits():
    code = """
    import os, warnings
    import numpy as np
    import fastlogit as fl
    X = np.random.default_rng(0).standard_normal((200_000, 5)); y = X[:, 0] + X[:, 1] ** 2 > 0
    want = fl.solve(X, y).x
    warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks beside threads
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(fl.solve(X, y).x, want) else 1)
    assert os.waitpid(child, 0)[1] == 0
    print("equal")
    """
    assert python(code) == "equal\n"


FIT = """
import numpy as np
import fastlogit as fl
z = np.linspace(-1, 1, 300).reshape(100, 3)
print(fl.cross_entropy_loss(z, np.arange(100) % 3))
"""


@pytest.mark.slow
def test_a_damaged_cache_is_compiled_anew(tmp_path):
    value = python(FIT, NUMBA_CACHE_DIR=str(tmp_path)).strip()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".nbc"}
    rng = np.random.default_rng(0)
    damages = (
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: rng.bytes(len(data)),
        lambda data: data[:-500] + bytes(byte ^ 255 for byte in data[-500:]),
    )
    for turn in range(2):  # each file in two ways
        for i, path in enumerate(sorted(files)):
            path.write_bytes(damages[(i + 2 * turn) % 4](path.read_bytes()))
        assert python(FIT, NUMBA_CACHE_DIR=str(tmp_path)).strip() == value
    assert sorted(tmp_path.rglob("*.nbc")) == sorted(files)  # written anew, and nothing beside
    written = [path.stat().st_mtime_ns for path in files]
    assert python(FIT, NUMBA_CACHE_DIR=str(tmp_path)).strip() == value
    assert [path.stat().st_mtime_ns for path in files] == written


def test_a_cache_of_other_sources_is_removed(tmp_path):
    python(FIT, NUMBA_CACHE_DIR=str(tmp_path))
    path = next(path for path in tmp_path.rglob("*.nbc") if "cross_entropy" in path.name)
    name, _, rest = path.name.replace(cache.SOURCES[:12], "0" * 12).rpartition("-")
    stale = path.with_name(f"{name}-9{rest}")  # of other sources, in which it stood elsewhere
    path.rename(stale)
    python(FIT, NUMBA_CACHE_DIR=str(tmp_path))
    assert path.exists() and not stale.exists()


def test_without_a_folder_to_write_to_nothing_is_cached(monkeypatch):
    def nowhere(py_func):
        raise RuntimeError("no locator available")

    monkeypatch.setattr(jit, "KernelCache", nowhere)
    out = np.zeros(4, np.int64)
    kernel(failing.__wrapped__)(2, out)
    assert out.tolist() == [2, 2, 0, 0]


def test_threads_of_python_do_not_disturb_each_other():
    numbers = []

    def work(n):
        with threads(n):
            out = np.zeros(4, np.int64)
            number_of_threads(4, out)
            numbers.append((n, int(out.max())))

    workers = [threading.Thread(target=work, args=(1,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert numbers == [(1, 1)] * 4


@pytest.mark.slow
def test_symbols_of_sweeps_differ_whatever_their_types():
    """Kernels come from the disk with their symbols: equal names for margins and accumulate would mix them up."""
    code = """
    import sys
    import numpy as np
    sys.path.insert(0, "tests")
    from numba import njit
    import cases
    from fastlogit.kernels.storages import protocol

    @njit
    def both(rows, A, center, B):
        protocol.margins(rows, 0, 4, A, center, B, 2)
        protocol.accumulate(rows, 0, 4, A, center, B, 2)

    for name in ("rows", "columns"):
        rows = cases.STORAGES[name](np.ones((16, 16)))
        for A in (np.ones((2, 16)), np.ones(16)):
            both(rows, A, np.zeros(16), np.zeros((2, 16)))
    for signature in both.signatures:
        text = both.inspect_llvm(signature)
        for sweep in ("margins", "accumulate"):
            assert sweep in text
        assert "bind" not in text
    print("ok")
    """
    assert python(code).strip() == "ok"


SPINNING = """
import pathlib, time
import numpy as np, scipy.sparse
import fastlogit as fl
from fastlogit.kernels.machine.jit import max_threads
rng = np.random.default_rng(0)
X = scipy.sparse.random(2000, 50000, 1e-3, "csr", random_state=0); y = rng.random(2000) < 0.5

def ticks():
    tasks = pathlib.Path("/proc/self/task").iterdir()
    return {task.name: int((task / "stat").read_text().rpartition(")")[2].split()[11]) for task in tasks}

fl.solve(X, y)
time.sleep(1.0)  # the threads of BLAS, if any began here, sleep after a tenth of a second
before, start = ticks(), time.perf_counter()
while time.perf_counter() - start < 2.0:
    fl.solve(X, y)
busy = sum(after - before.get(name, 0) > 50 for name, after in ticks().items())
assert busy <= max_threads(), ticks()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads' clocks are read from /proc")
def test_no_thread_of_blas_spins_beside_the_kernels():
    # a product of BLAS leaves its threads waiting for the next one in a loop: they would take the kernels' cores
    subprocess.run([sys.executable, "-c", SPINNING], check=True)
