"""`backup DIR`: a consistent copy of database and store, while the site works."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import Progress

from archive import backup, chores
from archive.errors import ArchiveError
from archive.models import ChoreKind


class Command(BaseCommand):
    help = "Copy database and store into a folder; again into the same one brings what is new."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("dir", metavar="DIR", help="New, empty, or with an earlier backup.")

    def handle(self, *_args: Any, **options: Any) -> None:
        folder = Path(options["dir"]).absolute()
        console = Console(stderr=True)
        try:
            with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
                task = bar.add_task("Copying", total=None)
                with chores.recorded(ChoreKind.BACKUP, folder) as outcome:
                    done = backup.backup(folder, progress=lambda n: bar.update(task, completed=n))
                    if done.damaged:
                        outcome.bad(f"{len(done.damaged)} files are not what was stored.")
                    else:
                        outcome.good(f"{done.files} files, {done.size_bytes} bytes.")
        except (ArchiveError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{folder}: {done.files} files ({done.size_bytes / 2**20:.1f} MiB), "
            f"{done.new_files} of them new, {done.removed} removed, and the database."
        )
        if done.damaged:
            self.stdout.write(
                self.style.ERROR(f"{len(done.damaged)} files are not what was stored:")
            )
            for name in done.damaged[:50]:
                self.stdout.write(f"  {name}")
            self.stdout.write("Mend them (verify_storage --mend-from), then back up again.")
            sys.exit(1)
