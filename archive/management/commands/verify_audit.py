"""`verify_audit`: is the audit trail as it was written?"""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from archive import chores, seals
from archive.errors import ArchiveError
from archive.models import ChoreKind
from archive.seals import Head, Report


def _head(text: str) -> Head:
    found = re.fullmatch(r"([1-9]\d{0,17}):([0-9a-f]{64})", text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(
            "write the number and the 64 hexadecimal digits that an earlier check printed, "
            "with a colon between them"
        )
    return Head(int(found[1]), found[2])


class Command(BaseCommand):
    help = "Check that no event of the audit trail was changed, removed, added or reordered."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--head",
            type=_head,
            metavar="NUMBER:SHA256",
            help="A head printed earlier and kept elsewhere: finds the end cut off, or all of it "
            "written anew.",
        )

        parser.add_argument(
            "--of-copy",
            action="store_true",
            help="This is a restored copy: what was not sealed when it was made stays so.",
        )

    def handle(self, *_args: Any, head: Head | None, of_copy: bool, **_options: Any) -> None:
        report = seals.verify(head, is_live=False) if of_copy else self._recorded(head)
        self.stdout.write(
            f"Checked {report.events} events in {report.seals} seals; "
            f"{report.unsealed} wait for theirs."
        )
        if report.head is not None:
            self.stdout.write(f"Head: {report.head}")
        for problem in report.problems:
            self.stdout.write(self.style.ERROR(problem))
        if report.problem_count > len(report.problems):
            self.stdout.write(f"… and {report.problem_count - len(report.problems)} more")
        if not report.is_sound:
            sys.exit(1)
        self.stdout.write(self.style.SUCCESS("The audit trail is as it was written."))

    def _recorded(self, head: Head | None) -> Report:
        """Check, and keep how it went for the page “Health”."""
        try:
            with chores.recorded(ChoreKind.AUDIT) as outcome:
                report = seals.verify(head)
                if report.is_sound:
                    outcome.good(f"{report.events} events in {report.seals} seals.")
                else:
                    outcome.bad(f"{report.problem_count} faults, such as: {report.problems[0]}")
        except ArchiveError as error:
            raise CommandError(str(error)) from error
        return report
