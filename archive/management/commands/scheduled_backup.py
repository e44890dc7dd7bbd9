"""`scheduled_backup`: the next backup of the schedule, in a folder of its own, now."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from archive import chores
from archive.errors import ArchiveError


class Command(BaseCommand):
    help = "Back up into a new folder below NOCTIS_BACKUP_DIR and remove the oldest ones."

    def handle(self, *_args: Any, **_options: Any) -> None:
        try:
            folder, done = chores.back_up()
        except (ArchiveError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{folder}: {done.files} files, {done.new_files} of them new.")
        if done.damaged:
            sys.exit(1)
