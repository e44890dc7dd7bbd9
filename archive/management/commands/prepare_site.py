"""Bring a site to where it can start: database, first administrator, own facility, demo."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

from archive import first_start, query_fill
from archive.demo import marker


class Command(BaseCommand):
    help = "Migrate the database and make what a new site lacks. Harmless when nothing is missing."
    # Checks of all addresses and models are for 'manage.py check'; a start must not wait for them.
    requires_system_checks: list[str] = []

    def handle(self, *_args: Any, **_options: Any) -> None:
        try:
            connection.ensure_connection()
        except OperationalError as error:
            raise CommandError(
                f"The database cannot be reached: {str(error).strip()}. "
                "Start it, or correct DATABASE_URL."
            ) from error
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if plan:
            self.stdout.write(f"Bringing the database up to date ({len(plan)} steps).")
            call_command("migrate", interactive=False, verbosity=0)
        first_start.ensure_site_facility()
        first_start.ensure_administrator()
        if query_fill.begin():
            self.stdout.write("The worker reads older headers again, for queries.")
        if settings.LOAD_DEMO and not marker.is_set():
            call_command("load_demo", stdout=self.stdout)
