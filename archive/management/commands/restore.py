"""`restore DIR`: bring a backup back into an empty site."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import Progress

from archive import backup
from archive.errors import ArchiveError


class Command(BaseCommand):
    help = "Bring a backup back into an empty data directory and database; nothing is overwritten."
    # Checks ask the database, which is not there yet.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("dir", metavar="DIR", help="Where 'backup' has put it.")

    def handle(self, *_args: Any, **options: Any) -> None:
        folder = Path(options["dir"]).absolute()
        console = Console(stderr=True)
        try:
            made_at = backup.age_of(folder)
            with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
                task = bar.add_task("Bringing back", total=backup.read_manifest(folder).files)
                done = backup.restore(folder, progress=lambda n: bar.update(task, completed=n))
        except (ArchiveError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"The archive of {made_at:%Y-%m-%d %H:%M} UTC is back: {done.new_files} files "
            f"({done.size_bytes / 2**20:.1f} MiB), each checked by its SHA-256, and the database."
        )
        if done.damaged:
            self.stdout.write(
                self.style.ERROR(f"{len(done.damaged)} files are missing or damaged:")
            )
            for name in done.damaged[:50]:
                self.stdout.write(f"  {name}")
            sys.exit(1)
        self.stdout.write("Start the site as before ('make run' or 'manage.py prepare_site').")
