"""Numbers of series that are written here."""

from __future__ import annotations

from worklist.models import Study

# Above the numbers that equipment gives, so that results stand behind the pictures.
_FIRST = 9001


def free_series_number(study: Study) -> int:
    """Return a Series Number of a study that stands behind all others."""
    taken = study.series.order_by("-series_number").values_list("series_number", flat=True)
    highest = max((number for number in taken if number is not None), default=0)
    return highest + 1 if _FIRST <= highest < 2**31 - 10 else _FIRST
