"""Early plugin: the test run's own data directory, set before Django reads its settings."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pydicom  # noqa: F401 - with its decoders, before the product loads it without: the oracle

_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of a safe name is made in it
_NEEDED_BYTES = 4 * 1024**3


def roomy_memory() -> str | None:
    """Return the file system in memory if it has room: there is no disk to wait for."""
    if not _MEMORY.is_dir() or shutil.disk_usage(_MEMORY).free < _NEEDED_BYTES:
        return None
    told = Path("/proc/meminfo").read_text()
    available = int(told.partition("MemAvailable:")[2].split()[0]) * 1024
    return str(_MEMORY) if available > 2 * _NEEDED_BYTES else None


# Workers of pytest-xdist inherit the variable: each gets a folder of its own below it.
_is_mine = "NOCTIS_TEST_ROOT" not in os.environ
_root = os.environ.get("NOCTIS_TEST_ROOT") or tempfile.mkdtemp("", "noctis-test-", roomy_memory())
os.environ["NOCTIS_TEST_ROOT"] = _root
_data = Path(_root) / os.environ.get("PYTEST_XDIST_WORKER", "main")
_data.mkdir(parents=True, exist_ok=True)
os.environ["NOCTIS_DATA_DIR"] = str(_data)
os.environ["NOCTIS_DEMO"] = "0"
os.environ["PYTEST_DEBUG_TEMPROOT"] = _root  # where `tmp_path` is
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright's loop runs in the test thread
# Hundreds of processes start in a run: none shall compile what another one has compiled.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_unconfigure() -> None:
    """Leave nothing behind, unless the caller named the folder to look at it afterwards."""
    if _is_mine:
        shutil.rmtree(_root, ignore_errors=True)
