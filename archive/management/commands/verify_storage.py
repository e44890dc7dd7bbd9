"""`verify_storage`: does every row have its file, and every file its row? `--mend` mends."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import Progress

from archive import backup, damage, reconcile, sweep, verification
from archive.access import system_actor
from archive.verification import Listing, Report
from worklist.models import DicomImage, Patient, Series, Study

_ADVICE = {
    "missing": "rows without their file: restore these files from a backup (--mend-from).",
    "damaged": "damaged files: restore them from a backup, or have them sent again (--mend-from).",
    "orphans": "files without a row: nothing shows them. --mend sets them aside.",
    "counters": "counters that disagree with their rows.",
}
_LISTED = 50


class Command(BaseCommand):
    help = "Check that every row has its file and every file its row; --full also compares digests."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--full", action="store_true", help="Read every file and compare its SHA-256."
        )
        parser.add_argument(
            "--mend",
            action="store_true",
            help="Also put it right: take back what killed processes left, set files without a row "
            "aside, mark damaged instances so that nobody is served them. Reads every file.",
        )
        parser.add_argument(
            "--mend-from",
            metavar="DIR",
            nargs="+",
            default=[],
            help="As --mend, and replace damaged files from backups, where the SHA-256 is right.",
        )

    def handle(
        self, *_args: Any, full: bool, mend: bool, mend_from: list[str], **_options: Any
    ) -> None:
        self._totals()
        if mend or mend_from:
            self._mend([self._store_of(Path(name)) for name in mend_from])
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

    def _store_of(self, folder: Path) -> Path:
        """Return where the instances lie in a backup, or in a plain copy of the store."""
        if not folder.is_dir():
            raise CommandError(f"There is no folder {folder}.")
        inner = folder / backup.STORE
        return inner if inner.is_dir() else folder

    def _mend(self, folders: list[Path]) -> None:
        settled = reconcile.settle_spool()
        swept = sweep.run_to_the_end()
        mended, left = damage.mend_all(system_actor("verify_storage"), folders)
        self.stdout.write(
            f"\nTook back {settled.taken_back} files that were never answered; set aside "
            f"{swept.strays} files without a row; mended {mended} damaged files, {left} are left."
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
