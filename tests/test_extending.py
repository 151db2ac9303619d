"""The page on adding to fastlogit: its code runs, in order, and its assertions hold."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("kernels")

PAGE = Path(__file__).parent.parent / "docs" / "extending.md"


def blocks():
    """Yield each block of Python of the page, behind as many empty lines as stand before it in the page."""
    text = PAGE.read_text()
    for block in re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        yield "\n" * text.count("\n", 0, block.start(1)) + block[1]


def test_the_code_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # it writes files
    names = {"__name__": "extending"}
    for block in blocks():
        exec(compile(block, str(PAGE), "exec"), names)  # a traceback then names the page's line
    assert len(names["want"].history) > 0 and names["from_files"].converged


def test_what_the_page_includes_is_there():
    text, toys = PAGE.read_text(), (Path(__file__).parent / "toys.py").read_text()
    marks = re.findall(r"^:(?:start-at|start-after|end-before): (.+)$", text, re.MULTILINE)
    assert len(marks) >= 8
    for mark in marks:
        assert mark.strip('" ') in toys, mark
