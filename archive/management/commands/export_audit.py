"""`export_audit`: the audit trail as CSV."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from archive import trail
from archive.access import EVERYTHING, Actor
from archive.trail import TrailQuery


class Command(BaseCommand):
    help = "Write the audit trail as CSV to the standard output, newest first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", metavar="YYYY-MM-DD", help="The first day, in UTC.")
        parser.add_argument("--until", metavar="YYYY-MM-DD", help="The last day, in UTC.")

    def handle(self, *_args: Any, since: str | None, until: str | None, **_options: Any) -> None:
        last = _day(until)
        query = TrailQuery(since=_day(since), before=last + timedelta(days=1) if last else None)
        actor = Actor(name="export_audit", scope=EVERYTHING, is_administrator=True)
        for line in trail.lines(actor, query):
            self.stdout.write(line, ending="")


def _day(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise CommandError(f"“{text}” is no day. Write 2026-01-31.") from error
