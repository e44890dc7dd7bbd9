"""`add_facility`: create or update a facility and the AE titles that it may send from."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from archive import facilities
from archive.access import system_actor
from archive.errors import ArchiveError
from archive.facilities import FacilityDraft


class Command(BaseCommand):
    help = "Create or update a facility and the AE titles that it may send from."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="as people call it")
        parser.add_argument("--code", required=True, help="short and unique, such as NORTH")
        parser.add_argument(
            "--aet", action="append", default=[], help="calling AE title; may be given again"
        )
        parser.add_argument(
            "--cidr",
            action="append",
            default=[],
            help="network it may call from, such as 10.1.0.0/16; may be given again",
        )

    def handle(
        self, *_args: Any, name: str, code: str, aet: list[str], cidr: list[str], **_options: Any
    ) -> None:
        draft = FacilityDraft(code=code, name=name, ae_titles=aet, address_ranges=cidr)
        try:
            facility = facilities.save_facility(system_actor("add_facility"), draft)
        except ArchiveError as error:
            raise CommandError(str(error)) from error
        titles = ", ".join(facility.ae_titles.values_list("ae_title", flat=True))
        ranges = ", ".join(facility.address_ranges)
        self.stdout.write(
            f"{facility.name} ({facility.code}) may send as {titles or 'nobody yet'} "
            f"from {ranges or 'any address'}."
        )
