"""`migrate_radiology`: images of an earlier installation; run it again as often as needed."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from archive import access, facilities
from archive.access import system_actor
from archive.errors import ArchiveError
from radiology import old_records
from radiology.old_records import Outcome


class Command(BaseCommand):
    help = (
        "Bring over images of an earlier installation, which kept records and files of its own: "
        "from what its 'manage.py dumpdata radiology' wrote, and its media folder. Nothing there "
        "is changed; a repeated run goes on where the last one ended."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("dump", type=Path, metavar="DUMP.json")
        parser.add_argument("media", type=Path, metavar="FOLDER", help="its media folder")
        parser.add_argument(
            "--orders",
            type=Path,
            metavar="FILE.csv",
            help="the number of each order there, a comma, its accession number here; JPEG and "
            "PNG need it, for nothing else says whose they are",
        )
        parser.add_argument(
            "--facility",
            default="",
            help="code of the owner of DICOM files without an order; the site's own by default",
        )

    def handle(
        self,
        *_args: Any,
        dump: Path,
        media: Path,
        orders: Path | None,
        facility: str,
        **_options: Any,
    ) -> None:
        counts: Counter[Outcome] = Counter()
        try:
            owner = facilities.facility_by_code(facility) if facility else access.site_facility()
            records = old_records.read_dump(dump)
            known = old_records.read_orders(orders) if orders else {}
            actor = system_actor("migrate_radiology")
            for result in old_records.migrate(actor, owner, records, media, known):
                counts[result.outcome] += 1
                if result.reason:
                    self.stderr.write(f"{result.name}: {result.reason}")
        except ArchiveError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            ", ".join(f"{counts[outcome]} {outcome.value}" for outcome in Outcome) + "."
        )
        if counts[Outcome.REFUSED]:
            sys.exit(1)
