"""C-ECHO: somebody asks whether we are there (PS3.4 annex A, PS3.7 9.1.5)."""

from __future__ import annotations

from dimse import status
from dimse.visit import Visit


def handle(visit: Visit) -> int:
    """Answer an echo and remember it for the facility's page."""
    visit.note_echo()
    return status.SUCCESS
