"""`import_dicom`: bulk import of files, folders, zip archives and discs; run it again to go on."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from archive import access, audit, facilities, upload
from archive.access import Actor, system_actor
from archive.errors import ArchiveError, InvalidInputError, StoreUnavailableError
from archive.upload import UploadOutcome, UploadResult, UploadSummary
from worklist.models import Facility

_EXAMPLES = 10
_INTERRUPTED = 130
_WORTH_A_LINE = {UploadOutcome.REFUSED, UploadOutcome.CONFLICT}


class Command(BaseCommand):
    help = (
        "Import DICOM files, folders, zip archives and DICOMDIR discs. What is stored already is "
        "passed over, so an interrupted import goes on when it is run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")
        parser.add_argument(
            "--facility", default="", help="code of the owner; the site's own facility by default"
        )

    def handle(self, *_args: Any, paths: list[Path], facility: str, **_options: Any) -> None:
        actor = system_actor("import_dicom")
        try:
            owner = facilities.facility_by_code(facility) if facility else access.site_facility()
        except ArchiveError as error:
            raise CommandError(str(error)) from error
        files = list(_files(paths))
        if not files:
            raise CommandError("There is no file at these paths.")
        summary = UploadSummary()
        refused: dict[str, list[str]] = defaultdict(list)
        stopped = ""
        try:
            for result in self._results(actor, owner, files):
                summary.add(result)
                if result.outcome in _WORTH_A_LINE:
                    refused[result.reason].append(result.name)
        except KeyboardInterrupt:
            stopped = "Interrupted."
        except StoreUnavailableError as error:
            stopped = str(error)
        counts = {kind.value: count for kind, count in summary.counts.items()}
        audit.record(actor, "import", owner, is_success=not refused, **counts)
        self._say(owner, summary, refused)
        if stopped:
            self.stderr.write(f"{stopped} Run the same command again to go on.")
            sys.exit(_INTERRUPTED)
        if refused:
            sys.exit(1)

    def _results(
        self, actor: Actor, owner: Facility, files: list[tuple[Path, str]]
    ) -> Iterator[UploadResult]:
        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task("Importing", total=len(files))
            for path, name in files:
                yield from _take(actor, owner, path, name)
                bar.advance(task)

    def _say(self, owner: Facility, summary: UploadSummary, refused: dict[str, list[str]]) -> None:
        self.stdout.write(f"{owner.name}: {summary}")
        for reason, names in sorted(refused.items(), key=lambda entry: -len(entry[1])):
            self.stdout.write(f"  {len(names)} × {reason}")
            for name in names[:_EXAMPLES]:
                self.stdout.write(f"      {name}")
            if len(names) > _EXAMPLES:
                self.stdout.write(f"      … and {len(names) - _EXAMPLES} more")


def _files(paths: list[Path]) -> Iterator[tuple[Path, str]]:
    """Yield every file with its name below the path that was given."""
    for path in paths:
        if not path.exists():
            raise CommandError(f"There is nothing at {path}.")
        # A DICOMDIR names files beside and below it: the whole disc is meant.
        folder = path.parent if path.name.upper() == "DICOMDIR" else path
        if not folder.is_dir():
            yield path, path.name
            continue
        for here, names, entries in os.walk(folder):
            names.sort()
            for entry in sorted(entries):
                file = Path(here, entry)
                name = str(file.relative_to(folder))
                if file.is_file() and not upload.is_system_file(name):
                    yield file, name


def _take(actor: Actor, owner: Facility, path: Path, name: str) -> Iterator[UploadResult]:
    try:
        with path.open("rb") as handle:
            yield from upload.take(actor, owner, name, handle)
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
        yield UploadResult(
            name=upload.display_name(name),
            outcome=UploadOutcome.REFUSED,
            reason=reason,
            error=InvalidInputError(reason),
        )
