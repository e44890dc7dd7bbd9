"""Alerts: raised once when something goes wrong, cleared when it has been well for long enough.

A check says of each thing whether it is wrong, well, or in between. In between nothing changes, so
that a value which swings around its limit raises one alert, not one each minute.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from django.db import IntegrityError, transaction
from django.utils import timezone

from archive import outbox
from archive.models import Alert, AlertLevel

logger = logging.getLogger(__name__)

KEEP_CLEARED = timedelta(days=90)


class Verdict(Enum):
    """What a check says of one thing."""

    WRONG = "wrong"
    BETWEEN = "between"
    WELL = "well"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found of one thing.

    Attributes
    ----------
    key : which disk, facility or file; empty where there is but one
    text, remedy : what was found, and what to do; no names of patients
    """

    key: str = ""
    verdict: Verdict = Verdict.WELL
    level: AlertLevel = AlertLevel.WARN
    text: str = ""
    remedy: str = ""


Check = Callable[[], Iterable[Finding]]


def verdict_of(value: float, *, wrong_from: float, well_to: float) -> Verdict:
    """Judge a value of which more is worse."""
    if value >= wrong_from:
        return Verdict.WRONG
    return Verdict.WELL if value <= well_to else Verdict.BETWEEN


def settle(kind: str, findings: Iterable[Finding]) -> None:
    """Raise, change and clear the alerts of a kind by what was found.

    What is no longer named at all (a facility that was removed) is over.
    """
    open_alerts = {row.key: row for row in Alert.objects.filter(kind=kind, cleared_at=None)}
    for finding in findings:
        row = open_alerts.pop(finding.key[:64], None)
        if finding.verdict is Verdict.WRONG:
            if row is None:
                _raise(kind, finding)
            else:
                _update(row, finding)
        elif finding.verdict is Verdict.WELL and row is not None:
            _clear(row)
    for row in open_alerts.values():
        _clear(row)


def _raise(kind: str, finding: Finding) -> None:
    try:
        with transaction.atomic():
            row = Alert.objects.create(
                kind=kind,
                key=finding.key[:64],
                level=finding.level,
                text=finding.text[:255],
                remedy=finding.remedy[:255],
            )
            outbox.record(outbox.AlertChanged(alert_id=row.pk, is_open=True))
    except IntegrityError:
        return  # another worker has just raised it
    logger.warning("Alert: %s %s", finding.text, finding.remedy)


def _update(row: Alert, finding: Finding) -> None:
    """Keep the words up to date; nobody is told again unless it has become urgent."""
    was, row.level = row.level, finding.level
    row.text, row.remedy = finding.text[:255], finding.remedy[:255]
    with transaction.atomic():
        row.save(update_fields=["level", "text", "remedy"])
        if was == AlertLevel.WARN and row.level == AlertLevel.DANGER:
            outbox.record(outbox.AlertChanged(alert_id=row.pk, is_open=True))


def _clear(row: Alert) -> None:
    with transaction.atomic():
        changed = Alert.objects.filter(pk=row.pk, cleared_at=None).update(cleared_at=timezone.now())
        if changed:
            outbox.record(outbox.AlertChanged(alert_id=row.pk, is_open=False))
    logger.info("Alert is over: %s", row.text)


def open_alerts() -> list[Alert]:
    """Return what somebody has to do something about, the urgent first."""
    rows = Alert.objects.filter(cleared_at=None).order_by("since")
    return sorted(rows, key=lambda row: row.level != AlertLevel.DANGER)


def cleared_alerts(most: int) -> list[Alert]:
    """Return what was over lately."""
    rows = Alert.objects.filter(cleared_at__isnull=False)
    return list(rows.order_by("-cleared_at")[:most])


def forget_old() -> None:
    """Drop what was over long ago."""
    Alert.objects.filter(cleared_at__lt=timezone.now() - KEEP_CLEARED).delete()


def look(checks: Iterable[tuple[str, Check]]) -> Iterator[str]:
    """Settle the alerts of each check; a check that fails itself is logged, the others go on."""
    for kind, check in checks:
        try:
            settle(kind, check())
        except Exception:
            logger.exception("The check %s failed.", kind)
            continue
        yield kind
