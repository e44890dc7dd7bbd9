"""When a disk will be full, by how it has filled so far; and when nobody can say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

# With less than a week nobody knows whether it was a quiet one.
LEAST_DAYS = 7
# What was before is another clinic's life: new equipment, other protocols.
MOST_DAYS = 42
FARTHEST_DAYS = 3650
# Quantile 0.95 of the normal distribution: nine of ten lie between.
_Z = 1.6448536269514722
_DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """How a disk fills.

    Attributes
    ----------
    days : of data that it rests on, first to last
    bytes_per_day : the median; negative where room is gained. None: there is too little data
    full_on : None where there is too little data, or the disk does not fill within ten years
    earliest, latest : nine times of ten the day lies between; `latest` may be None, never
    """

    days: int
    bytes_per_day: float | None = None
    full_on: date | None = None
    earliest: date | None = None
    latest: date | None = None

    @property
    def is_known(self) -> bool:
        """Whether there was enough to say anything."""
        return self.bytes_per_day is not None


def forecast(samples: Sequence[tuple[datetime, int]], free_bytes: int, now: datetime) -> Forecast:
    """Tell when `free_bytes` will be used up.

    The growth is the median of all slopes between two days (Theil-Sen), so that one import of an
    old archive, or one clean-up, does not decide; its bounds are Sen's, at 90 %.

    Parameters
    ----------
    samples : moment and bytes in use, in order of time; of a day the median counts
    free_bytes : what is left now

    References
    ----------
    P. K. Sen, J. Am. Stat. Assoc. 63 (1968) 1379.
    """
    begin = now - timedelta(days=MOST_DAYS)
    kept = [(at, used) for at, used in samples if at >= begin]
    if not kept:
        return Forecast(days=0)
    # As time passes, not as days have numbers: a site that was off for a week has a gap.
    days = int((kept[-1][0] - kept[0][0]).total_seconds() // _DAY_S)
    per_day = _medians(kept)
    if days < LEAST_DAYS or len(per_day) < LEAST_DAYS:
        return Forecast(days=days)
    slope, low, high = slopes(np.array(per_day, dtype=np.float64))
    return Forecast(
        days=days,
        bytes_per_day=slope,
        full_on=_full(free_bytes, slope, now),
        earliest=_full(free_bytes, high, now),
        latest=_full(free_bytes, low, now),
    )


def _medians(samples: Sequence[tuple[datetime, int]]) -> list[tuple[float, float]]:
    by_day: dict[date, list[tuple[float, int]]] = {}
    for at, used in samples:
        by_day.setdefault(at.date(), []).append((at.timestamp() / _DAY_S, used))
    return [
        (
            float(np.median([moment for moment, _ in day])),
            float(np.median([used for _, used in day])),
        )
        for day in by_day.values()
    ]


def slopes(points: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the median slope between any two points, and its bounds at 90 %.

    Parameters
    ----------
    points : shape (n, 2), days and bytes, n > 1
    """
    x, y = points[:, 0], points[:, 1]
    first, second = np.triu_indices(len(x), 1)
    apart = x[second] - x[first]
    found = np.sort((y[second] - y[first])[apart != 0] / apart[apart != 0])
    n, count = len(x), len(found)
    spread = _Z * float(np.sqrt(n * (n - 1) * (2 * n + 5) / 18))
    low = max(round((count - spread) / 2) - 1, 0)
    high = min(round((count + spread) / 2), count - 1)
    return float(np.median(found)), float(found[low]), float(found[high])


def _full(free_bytes: int, bytes_per_day: float, now: datetime) -> date | None:
    if bytes_per_day <= 0 or free_bytes / bytes_per_day > FARTHEST_DAYS:
        return None
    return (now + timedelta(days=free_bytes / bytes_per_day)).date()
