"""Whether the demo was loaded at this site; kept apart, so that asking costs no arithmetic."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.utils import timezone


def _path() -> Path:
    return Path(settings.DATA_DIR) / "demo-loaded"


def is_set() -> bool:
    """Whether the demo was loaded before: what somebody took away does not come back by itself."""
    return _path().is_file()


def put() -> None:
    """Note that the demo is complete."""
    _path().write_text(timezone.now().isoformat(), encoding="ascii")


def remove() -> None:
    """Let the next start load the demo again."""
    _path().unlink(missing_ok=True)
