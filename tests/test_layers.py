"""Who may import whom: imports go down only, heavy ones are lazy."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import toys

PACKAGE = Path(__file__).parent.parent / "fastlogit"

#: From the bottom up; a module may import its own floor and those below. ``PUBLIC`` is what users import.
PUBLIC = "__init__"
FLOORS = [
    {"exceptions", "reference", "kernels", "kernels.machine"},
    {"kernels.storages"},
    {"kernels.losses"},
    {"kernels.passes"},
    {"costs"},
    {"prediction"},
    {"sources"},
    {"scaling", "cholesky", "reads"},
    {"penalties", "hessians"},
    {"partitions"},
    {"objective", "span", "notebook", "logits"},
    {"solvers"},
    {"parameters", "plan"},
    {"problem"},
    {"fit"},
    {"estimators"},
    {PUBLIC},
    {"plots", "warmup"},
    {"cli"},
    {"__main__"},
]
LAZY = {"scipy", "matplotlib", "typer", "rich", "sklearn", "pyarrow", "dask", "pandas", "polars"}
#: Imported when `LogisticRegression` is asked for: only there scikit-learn is imported.
SKLEARN = "estimators"


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        yield name, ast.parse(path.read_text())


def module_of(target):
    """The module of the package that an imported name is, or comes from; None where it is not of the package."""
    parts = target.split(".")
    if parts[0] != "fastlogit":
        return None
    path = PACKAGE.joinpath(*parts[1:])
    if len(parts) > 1 and (path.with_suffix(".py").exists() or path.is_dir()):
        return ".".join(parts[1:])
    return module_of(".".join(parts[:-1])) if len(parts) > 1 else PUBLIC


def floor(name):
    matches = [
        (len(prefix), level)
        for level, names in enumerate(FLOORS)
        for prefix in names
        if name == prefix or name.startswith(prefix + ".")
    ]
    assert matches, f"{name} stands on no floor"
    return max(matches)[1]


def imported(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def test_imports_go_down():
    for name, tree in modules():
        for node in ast.walk(tree):
            for target in imported(node):
                module = module_of(target)
                if module is not None:
                    assert floor(module) <= floor(name), f"{name} imports {module}, which stands above it"


def test_packages_and_public_names_are_seen():
    assert module_of("fastlogit.kernels.storages") == "kernels.storages"
    assert module_of("fastlogit.kernels.storages.rows.Rows") == "kernels.storages.rows"
    assert module_of("fastlogit") == module_of("fastlogit.solve") == PUBLIC
    assert module_of("numpy") is None
    assert floor("kernels.machine.jit") < floor("kernels.storages.rows") < floor("estimators.labels") < floor(PUBLIC)


def test_heavy_imports_are_lazy():
    for name, tree in modules():
        if name == "cli":
            continue  # the command line is itself imported by nobody
        for node in tree.body:
            for target in imported(node):
                lazy = LAZY - {"sklearn", "scipy"} if name.startswith(SKLEARN) else LAZY
                assert target.split(".")[0] not in lazy, f"{name} imports {target} at its top"


def test_library_needs_its_core_dependencies_only():
    code = "import sys, fastlogit; print(*sorted(m.split('.')[0] for m in sys.modules))"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not loaded & (LAZY - {"scipy"})  # numba itself looks for SciPy


def test_storages_a_loss_and_a_source_join_in_few_lines():
    parts = Path(toys.__file__).read_text().split("\n# --- ")[1:]
    assert [part.splitlines()[0] for part in parts] == [
        "a storage",
        "a storage of two others, column after column",
        "a loss",
        "a transport",
    ]
    assert all(len(part.splitlines()) <= 60 for part in parts)
    assert not any("toys" in path.read_text() for path in PACKAGE.rglob("*.py"))


THREADS = """
import numpy as np, sys, hashlib
from fastlogit.kernels.machine.jit import threads
from fastlogit.sources.targets import memory_source
rng = np.random.default_rng(0)
for dtype in (np.float32, np.float64):
    for order in "CF":
        for K in (2, 5):
            X = np.asarray(rng.standard_normal((4001, 23)).astype(dtype), order=order)
            y = rng.integers(0, K, len(X))
            source = memory_source(X, y, rng.random(len(X)))
            W, center = rng.standard_normal((24, 1 if K == 2 else K)), X.mean(axis=0).astype(float)
            results = set()
            for n in (1, 2, 3, 8):
                with threads(n):
                    sums, moments = source.loss_grad(W, center), source.moments()
                    curved = (dtype, order, K) == (np.float64, "C", 2)
                    hess = source.grad_hess(W, center, np.ones(23)).hess if curved else W
                scalars = np.array([sums.loss_sum, sums.smallest_margin])
                parts = (scalars, sums.grad, moments.mean, moments.squares, hess)
                results.add(hashlib.sha256(b"".join(p.tobytes() for p in parts)).hexdigest())
            assert len(results) == 1, (dtype, order, K)
print("equal")
"""


def test_sums_are_bitwise_equal_for_any_number_of_threads():
    environment = os.environ | {"NUMBA_NUM_THREADS": "8"}
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, env=environment)
    assert done.stdout == "equal\n", done.stderr
