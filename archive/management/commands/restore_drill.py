"""`restore_drill DIR`: does the backup bring a site back? Tried in an empty place, then removed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from archive import backup, chores
from archive.errors import ArchiveError
from archive.models import ChoreKind

# Each is a process of its own: a site's settings hold for a process.
_STEPS = (
    ("restore", "{dir}"),
    ("prepare_site",),
    ("verify_storage", "--full"),
    ("verify_audit", "--of-copy"),
    ("draw_newest",),
)


class Command(BaseCommand):
    help = (
        "Restore a backup into an empty place, compare every digest, check the audit trail, draw "
        "the newest pictures, and remove it all again. The site itself is not touched."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("dir", metavar="DIR", help="Where 'backup' has put it.")
        parser.add_argument(
            "--database-url",
            default="",
            help="An empty PostgreSQL database for the drill, where the site's is PostgreSQL.",
        )
        parser.add_argument(
            "--scratch",
            metavar="DIR",
            default="",
            help="Where there is room for the archive. On the backup's file system files are "
            "linked, which takes none. Default: beside the backup.",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        folder = Path(options["dir"]).absolute()
        try:
            manifest = backup.read_manifest(folder)
        except ArchiveError as error:
            raise CommandError(str(error)) from error
        url = options["database_url"] or self._database_url()
        began = time.monotonic()
        try:
            with chores.recorded(ChoreKind.DRILL, folder) as outcome:
                self._drill(folder, options["scratch"], url)
                took_s = time.monotonic() - began
                outcome.good(f"{manifest.files} files of {manifest.made_at} came back.")
        except ArchiveError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            self.style.SUCCESS(
                f"The backup of {manifest.made_at} is good: {manifest.files} files came back "
                f"within {took_s:.0f} s. Nothing of it is left."
            )
        )

    def _drill(self, folder: Path, scratch_dir: str, url: str) -> None:
        with tempfile.TemporaryDirectory(
            prefix="restore-drill-", dir=scratch_dir or folder.parent
        ) as scratch:
            environment = self._environment(Path(scratch), url)
            for step in _STEPS:
                self._run([part.format(dir=folder) for part in step], environment)

    def _database_url(self) -> str:
        if connection.vendor == "sqlite":
            return ""
        raise CommandError(
            "Name an empty PostgreSQL database for the drill: "
            "--database-url postgres://user@host/drill"
        )

    def _environment(self, scratch: Path, url: str) -> dict[str, str]:
        # Whatever of the environment leads to the site's own data must lead to the drill's.
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in {"DICOM_ROOT", "PACS_STORAGE_PATH", "PACS_DB_PATH", "DATABASE_URL_FILE"}
        }
        data = scratch / "site"
        return {
            **kept,
            "NOCTIS_DATA_DIR": str(data),
            "DICOM_ROOT": str(data / "media" / "dicom"),
            "DATABASE_URL": url or f"sqlite:///{data / 'noctis.sqlite3'}",
            # The site's bucket is not the drill's.
            "RADIOLOGY_STORAGE": "filesystem",
            # The site's Redis holds its locks and its pictures.
            "REDIS_URL": "",
            "NOCTIS_FRAME_CACHE": "disk",
            "CELERY_BROKER_URL": "",
            "NOCTIS_DEMO": "0",
        }

    def _run(self, step: list[str], environment: dict[str, str]) -> None:
        self.stdout.write(f"{step[0]} ...")
        self.stdout.flush()
        done = subprocess.run(  # noqa: S603 - our own commands
            [sys.executable, str(settings.BASE_DIR / "manage.py"), *step],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        for line in done.stdout.strip().splitlines():
            self.stdout.write(f"    {line}")
        if done.returncode:
            raise CommandError(f"The backup is not good: {step[0]} failed, as said above.")
