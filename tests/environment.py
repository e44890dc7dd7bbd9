"""Early plugin: the test run's own data directory, set before Django reads its settings."""

import os
import tempfile
from pathlib import Path

import pydicom  # noqa: F401 - with its decoders, before the product loads it without: the oracle

# Workers of pytest-xdist inherit the variable: each gets a folder of its own below it.
_root = os.environ.get("NOCTIS_TEST_ROOT") or tempfile.mkdtemp(prefix="noctis-test-")
os.environ["NOCTIS_TEST_ROOT"] = _root
_data = Path(_root) / os.environ.get("PYTEST_XDIST_WORKER", "main")
_data.mkdir(parents=True, exist_ok=True)
os.environ["NOCTIS_DATA_DIR"] = str(_data)
os.environ["NOCTIS_DEMO"] = "0"
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright's loop runs in the test thread
