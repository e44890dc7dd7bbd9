"""`import_worklist`: Modality Worklist items from files; run it again after they have changed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from archive import access, facilities
from archive.access import system_actor
from archive.errors import ArchiveError
from orders import worklist_files


class Command(BaseCommand):
    help = (
        "Load Modality Worklist items from *.wl files (Part 10, as dcmtk's wlmscpfs reads) or "
        "DICOM JSON. An item that is known already is brought up to date."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")
        parser.add_argument(
            "--facility", default="", help="code of the owner; the site's own facility by default"
        )

    def handle(self, *_args: Any, paths: list[Path], facility: str, **_options: Any) -> None:
        actor = system_actor("import_worklist")
        try:
            owner = facilities.facility_by_code(facility) if facility else access.site_facility()
        except ArchiveError as error:
            raise CommandError(str(error)) from error
        counts: Counter[str] = Counter()
        refused = 0
        for path, found in worklist_files.items_in(paths):
            if isinstance(found, ArchiveError):
                refused += 1
                self.stderr.write(f"{path}: {found}")
                continue
            for number, item in enumerate(found, 1):
                name = str(path) if len(found) == 1 else f"{path}, item {number}"
                try:
                    outcome = worklist_files.import_item(actor, owner, item, source=path.name)
                except ArchiveError as error:
                    refused += 1
                    self.stderr.write(f"{name}: {error}")
                else:
                    counts[outcome.value] += 1
        if not counts and not refused:
            raise CommandError("There is no worklist file (*.wl, *.json) at these paths.")
        told = ", ".join(f"{counts[o.value]} {o.value}" for o in worklist_files.Outcome)
        self.stdout.write(f"Worklist of {owner.name}: {told}, {refused} refused.")
        if refused:
            raise CommandError("Some items were refused; the reasons stand above.")
