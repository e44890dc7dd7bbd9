"""`add_token`: make an API token for a user."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import people
from archive.access import system_actor
from archive.errors import ArchiveError


class Command(BaseCommand):
    help = "Print a new API token of a user. It is shown this once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--days", type=int, help="ends after so many days; never, without it")

        parser.add_argument("--read-only", action="store_true", help="it changes nothing")

    def handle(
        self, *_args: Any, username: str, days: int | None, read_only: bool, **_options: Any
    ) -> None:
        try:
            _, secret = people.issue_token(
                system_actor("add_token"), username, days=days, is_read_only=read_only
            )
        except ArchiveError as error:
            raise CommandError(str(error)) from error
        # Alone on its line, so that scripts can take it.
        self.stdout.write(secret)
