"""Keys numba's disk cache by the sources, because numba itself does not see edits in imported files."""

import hashlib
import os
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
_sources = sorted([*(ROOT / "fastlogit" / "kernels").glob("*.py"), *(ROOT / "tests").glob("*.py")])
_digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in _sources)).hexdigest()[:16]
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"fastlogit-tests-{_digest}"))
os.environ.setdefault("MPLBACKEND", "Agg")


def pytest_collection_modifyitems(items):
    """Begin with the longest test: at the end it would keep one process busy, and the others idle."""
    items.sort(key=lambda item: "test_substitution" not in item.nodeid)
