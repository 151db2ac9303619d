"""The command line, as a person runs it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import fastlogit as fl
from fastlogit import warmup
from fastlogit.cli import app


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Return the output of a small demo and the folder that it wrote to."""
    folder = tmp_path_factory.mktemp("demo")
    result = CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1"}).invoke(
        app, ["demo", "--quick", "--rows", "20000", "--output", str(folder)]
    )
    assert result.exit_code == 0, result.output
    return result.output, folder


def test_demo_fits_80_columns(demo):
    assert max(len(line) for line in demo[0].splitlines()) <= 80
    assert "\x1b" not in demo[0]


def test_demo_compares_with_the_reference(demo):
    text = " ".join(demo[0].split())
    for words in ("Breast cancer", "Digits", "Generated", "NumPy", "GB/s", "read bandwidth"):
        assert words in text
    falls = re.findall(r"([\d.]+) (?:->|→|to) ([\d.]+)", text)
    assert all(float(first) > float(last) for first, last in falls)


def test_demo_draws_its_losses(demo):
    assert (demo[1] / "fastlogit-demo.png").read_bytes().startswith(b"\x89PNG")


def test_output_must_exist(tmp_path):
    result = CliRunner().invoke(app, ["demo", "--quick", "--output", str(tmp_path / "nowhere")])
    assert result.exit_code == 2
    assert "nowhere" in "".join(result.output.split())


def test_without_its_extra_the_command_says_so():
    code = "import sys; sys.modules['typer'] = None; import fastlogit.cli"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip() == "fastlogit's command line needs its extra: pip install 'fastlogit[cli]'"


def test_version():
    for command in ([sys.executable, "-m", "fastlogit"], [str(Path(sys.executable).with_name("fastlogit"))]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"fastlogit {fl.__version__}\n", "")


WARM = """
import sys
import numpy as np
import scipy.sparse
import fastlogit as fl
from fastlogit import warmup
from fastlogit.kernels.machine.jit import specialisations

case = warmup.Case(sys.argv[1], sys.argv[2], int(sys.argv[3]))
warmup.compile_case(case)
before = specialisations()
rng = np.random.default_rng(0)
X = rng.standard_normal((20_000, 5)).astype(case.dtype)
y = (X @ rng.standard_normal((5, case.n_classes)) + rng.gumbel(size=(len(X), case.n_classes))).argmax(axis=1)
asked = None
if case.order == "codes":
    X, asked = np.column_stack([np.arange(len(X)) % 200, np.arange(len(X)) % 3, X[:, :2]]).astype(case.dtype), [0, 1]
forms = {"C": np.ascontiguousarray, "F": np.asfortranarray, "CSR": scipy.sparse.csr_array}
form = forms.get(case.order, np.asfortranarray)
for rows in (form(X), form(X[:300])):
    for solver in ("auto", "newton", "lbfgs", "newton-cg"):
        model = fl.LogisticRegression(solver=solver, class_weight="balanced", tol=1e-6, categorical_features=asked)
        model.fit(rows, y[: rows.shape[0]], np.ones(rows.shape[0]))
    for ask in (model.predict, model.predict_proba, model.predict_log_proba, model.decision_function):
        ask(rows)
new = sorted(specialisations() - before)
assert before and not new, new
"""


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow if i else ()) for i, case in enumerate(warmup.CASES)], ids=str
)
def test_after_warmup_nothing_is_compiled(case):
    command = [sys.executable, "-W", "error", "-c", WARM, *map(str, case)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_warmup_lists_what_it_compiles(monkeypatch):
    case = warmup.Case("float64", "C", 2)
    monkeypatch.setattr(warmup, "CASES", [case])
    monkeypatch.setattr(warmup, "compile_all", lambda: iter([(case, warmup.compile_case(case))]))
    result = CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1"}).invoke(app, ["warmup"])
    assert result.exit_code == 0, result.output
    assert max(len(line) for line in result.output.splitlines()) <= 80
    assert "float64, rows, two classes: ready" in result.output
    assert re.search(r"first_order.loss_grad +\S *\d", result.output)
