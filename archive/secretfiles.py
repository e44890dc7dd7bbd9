"""Files with a secret: readable by their owner alone from the first byte on."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path


def write_secret(path: Path, text: str) -> None:
    """Write `text` so that nobody else can read it at any moment, and that it survives."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    fresh.replace(path)


def make_secret(path: Path, make: Callable[[], str]) -> str:
    """Return the text kept in `path`; the first who asks makes it, whoever else asks meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with contextlib.suppress(FileNotFoundError):
            return path.read_text(encoding="utf-8")
        fresh = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}")
        write_secret(fresh, make())
        try:
            # Unlike renaming, this never replaces what another process has just put there.
            os.link(fresh, path)
        except FileExistsError:
            continue
        finally:
            fresh.unlink()
