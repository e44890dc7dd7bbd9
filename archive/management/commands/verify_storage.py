"""`verify_storage`: does every row have its file, and every file its row?"""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from rich.console import Console
from rich.progress import Progress

from archive import verification
from archive.verification import Listing, Report
from worklist.models import DicomImage, Patient, Series, Study

_ADVICE = {
    "missing": "rows without their file: restore these files from a backup.",
    "damaged": "damaged files: restore them from a backup, or have them sent again.",
    "orphans": "files without a row: nothing shows them. Import them, or move them away.",
    "counters": "counters that disagree with their rows.",
}
_LISTED = 50


class Command(BaseCommand):
    help = "Check that every row has its file and every file its row; --full also compares digests."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--full", action="store_true", help="Read every file and compare its SHA-256."
        )

    def handle(self, *_args: Any, full: bool, **_options: Any) -> None:
        self._totals()
        report = self._verify(is_full=full)
        self._say(report)
        if not report.is_sound:
            sys.exit(1)

    def _totals(self) -> None:
        for model in (Patient, Study, Series, DicomImage):
            name = str(model._meta.verbose_name_plural)
            self.stdout.write(f"{model._default_manager.count():>10}  {name}")
        newest = list(verification.newest())
        if newest:
            self.stdout.write("\nNewest instances:")
        for image in newest:
            study = image.series.study
            self.stdout.write(
                f"  {image.received_at:%Y-%m-%d %H:%M:%S}  {study.facility.code}  "
                f"{image.series.modality or '?':<6}  "
                f"patient {verification.masked(study.patient_identifier)}  {image.storage_key}"
            )

    def _verify(self, *, is_full: bool) -> Report:
        console = Console(stderr=True)
        with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
            task = bar.add_task("Checking", total=DicomImage.objects.count() or None)
            return verification.verify(
                is_full=is_full, progress=lambda done: bar.update(task, completed=done)
            )

    def _say(self, report: Report) -> None:
        what = "size and SHA-256" if report.is_full else "size"
        self.stdout.write(
            f"\nChecked {report.rows} rows and {report.files} files "
            f"({report.size_bytes / 2**20:.1f} MiB) by {what}."
        )
        if report.in_flight:
            self.stdout.write(f"{report.in_flight} files are being stored right now.")
        for name, advice in _ADVICE.items():
            listing: Listing = getattr(report, name)
            if not listing.count:
                continue
            self.stdout.write(self.style.ERROR(f"\n{listing.count} {advice}"))
            for item in listing.items[:_LISTED]:
                self.stdout.write(f"  {item}")
            if listing.count > _LISTED:
                self.stdout.write(f"  … and {listing.count - _LISTED} more")
        if report.is_sound:
            self.stdout.write(self.style.SUCCESS("Every row has its file, and every file its row."))
