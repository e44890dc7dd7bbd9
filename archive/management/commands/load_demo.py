"""Load the demo studies, their facility and their users."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from archive.demo import load


class Command(BaseCommand):
    help = "Load the demo: computed studies of nobody, a facility and two users."
    requires_system_checks: list[str] = []

    def handle(self, *_args: Any, **_options: Any) -> None:
        began = time.monotonic()
        columns = (
            TextColumn("Loading the demo"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} {task.description}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=None)
            loaded = load.load(
                lambda done, total, what: bar.update(
                    task, completed=done, total=total, description=what
                )
            )
        took_s = time.monotonic() - began
        self.stdout.write(f"Demo: {loaded.stored} images stored in {took_s:.1f} s.")
