"""The command line, as a person runs it."""

import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

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


@pytest.mark.slow
def test_warmup_lists_what_it_compiles(monkeypatch):
    case = warmup.Case("float64", "C", 2)
    monkeypatch.setattr(warmup, "CASES", [case])
    monkeypatch.setattr(warmup, "compile_all", lambda: iter([(case, warmup.compile_case(case))]))
    result = CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1"}).invoke(app, ["warmup"])
    assert result.exit_code == 0, result.output
    assert max(len(line) for line in result.output.splitlines()) <= 80
    assert "float64, rows, two classes: ready" in result.output
    assert re.search(r"passes.loss_grad +\S *\d", result.output)
