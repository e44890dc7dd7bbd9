"""`export_audit`: the audit trail as CSV, as FHIR resources or as DICOM's audit messages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from archive import audit_fhir, audit_message, trail
from archive.access import EVERYTHING, Actor
from archive.audit_facts import Facts, facts_of
from archive.models import AuditEvent
from archive.trail import TrailQuery


class Command(BaseCommand):
    help = "Write the audit trail to the standard output, newest first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", metavar="YYYY-MM-DD", help="The first day, in UTC.")
        parser.add_argument("--until", metavar="YYYY-MM-DD", help="The last day, in UTC.")
        parser.add_argument(
            "--format",
            dest="form",
            choices=["csv", *_FORMS],
            default="csv",
            help="csv; fhir: AuditEvent resources (R4), one a line (NDJSON); dicom: audit messages "
            "(PS3.15 A.5), one a line.",
        )

    def handle(
        self, *_args: Any, since: str | None, until: str | None, form: str, **_options: Any
    ) -> None:
        last = _day(until)
        query = TrailQuery(since=_day(since), before=last + timedelta(days=1) if last else None)
        actor = Actor(name="export_audit", scope=EVERYTHING, is_administrator=True)
        if form == "csv":
            for line in trail.lines(actor, query):
                self.stdout.write(line, ending="")
            return
        for facts in _facts(trail.events(actor, query)):
            self.stdout.write(_FORMS[form](facts))


def _fhir(facts: Facts) -> str:
    return json.dumps(audit_fhir.audit_event(facts), ensure_ascii=False)


_FORMS: dict[str, Callable[[Facts], str]] = {"fhir": _fhir, "dicom": audit_message.audit_message}
_AT_ONCE = 500


def _facts(events: Iterator[AuditEvent]) -> Iterator[Facts]:
    while some := list(islice(events, _AT_ONCE)):
        yield from facts_of(some)


def _day(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise CommandError(f"“{text}” is no day. Write 2026-01-31.") from error
