"""When a disk is full: what is said, and when nothing is said."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from scipy.stats import theilslopes

from archive import forecast

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
GB = 10**9


def samples(days: int, per_day: float, *, every_hours: int = 6) -> list[tuple[datetime, int]]:
    count = days * 24 // every_hours
    moments = [NOW - timedelta(hours=every_hours * n) for n in range(count, -1, -1)]
    begin = moments[0]
    return [
        (at, round(100 * GB + per_day * (at - begin).total_seconds() / 86400)) for at in moments
    ]


def test_steady_growth_ends_on_its_day() -> None:
    found = forecast.forecast(samples(21, 2 * GB), 100 * GB, NOW)
    assert found.days == 21
    assert found.bytes_per_day == pytest.approx(2 * GB, rel=1e-6)
    assert found.full_on == date(2026, 5, 20)
    assert found.earliest == found.latest == found.full_on


@pytest.mark.parametrize("days", [0, 1, 6])
def test_too_little_data_is_no_forecast(days: int) -> None:
    found = forecast.forecast(samples(days, 2 * GB), 100 * GB, NOW)
    assert (found.days, found.is_known, found.full_on) == (days, False, None)


def test_nothing_seen_is_no_forecast() -> None:
    assert forecast.forecast([], GB, NOW) == forecast.Forecast(days=0)


def test_a_week_seen_on_two_days_alone_is_no_forecast() -> None:
    ends = [(NOW - timedelta(days=20), GB), (NOW, 2 * GB)]
    assert not forecast.forecast(ends, GB, NOW).is_known


def test_what_is_long_ago_does_not_count() -> None:
    old = [(at - timedelta(days=60), used * 9) for at, used in samples(30, 9 * GB)]
    found = forecast.forecast([*old, *samples(14, GB)], 10 * GB, NOW)
    assert found.days == 14
    assert found.bytes_per_day == pytest.approx(GB, rel=1e-6)


@pytest.mark.parametrize("per_day", [0.0, -3.0 * GB, 10.0])
def test_a_disk_that_does_not_fill_has_no_day(per_day: float) -> None:
    found = forecast.forecast(samples(20, per_day), 900 * GB, NOW)
    assert found.is_known
    assert found.full_on is None


def test_one_import_of_an_old_archive_does_not_decide() -> None:
    steady = samples(28, GB)
    leap = [(at, used + (500 * GB if at > NOW - timedelta(days=9.2) else 0)) for at, used in steady]
    found = forecast.forecast(leap, 100 * GB, NOW)
    least_squares = np.polyfit([at.timestamp() / 86400 for at, _ in leap], [u for _, u in leap], 1)
    assert least_squares[0] > 20 * GB
    assert found.bytes_per_day is not None
    assert found.bytes_per_day < 2 * GB
    assert found.earliest is not None
    assert found.full_on is not None
    assert found.earliest < found.full_on


def test_slopes_are_those_of_another_program() -> None:
    random = np.random.default_rng(7)
    points = np.column_stack([np.arange(20.0), 3 * np.arange(20.0) + random.normal(0, 5, 20)])
    expected = theilslopes(points[:, 1], points[:, 0], alpha=0.90)
    found = forecast.slopes(points)
    assert found[0] == pytest.approx(expected.slope)
    assert found[1] == pytest.approx(expected.low_slope)
    assert found[2] == pytest.approx(expected.high_slope)
