"""Keys numba's disk cache by the sources, because numba itself does not see edits in imported files."""

import hashlib
import os
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
_sources = sorted([*(ROOT / "fastlogit" / "kernels").rglob("*.py"), *(ROOT / "tests").glob("*.py")])
_digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in _sources)).hexdigest()[:16]
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"fastlogit-tests-{_digest}"))
os.environ.setdefault("MPLBACKEND", "Agg")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Other processes want the cores on which the threads of OpenMP and BLAS would wait for work in a loop: 82 seconds
    # of fits and references are 22 without. Fits themselves keep BLAS on one thread, and processes that tests start
    # are not limited.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import scipy.linalg  # noqa: F401  (its BLAS is one of those to limit)
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")


@pytest.fixture
def kernels(monkeypatch):
    """Leave no data to NumPy, however little: for tests of kernels, storages and sources that fit few rows."""
    from fastlogit import costs

    monkeypatch.setattr(costs, "LITTLE", 0)


def pytest_addoption(parser):
    parser.addoption("--one-case", action="store_true", help="of tests not marked every_case run the first case only")


def pytest_collection_modifyitems(config, items):
    """Begin with the longest test: at the end it would keep one process busy, and the others idle."""
    items.sort(key=lambda item: "test_substitution" not in item.nodeid)
    if config.getoption("one_case"):
        first = {item.nodeid.partition("[")[0]: item for item in reversed(items)}
        kept = [item for item in items if item in first.values() or item.get_closest_marker("every_case")]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept
