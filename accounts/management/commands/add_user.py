"""`add_user`: create or update a user."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import people
from accounts.models import Role
from accounts.people import UserDraft
from archive.access import system_actor
from archive.errors import ArchiveError


class Command(BaseCommand):
    help = "Create or update a user; the password is read from standard input."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--role", required=True, choices=Role.values)
        parser.add_argument(
            "--facility",
            action="append",
            default=[],
            metavar="CODE",
            help="code of a facility whose studies they see; may be given again",
        )
        parser.add_argument(
            "--password-stdin",
            action="store_true",
            help="read the password from the first line of standard input",
        )

    def handle(
        self,
        *_args: Any,
        username: str,
        role: str,
        facility: list[str],
        password_stdin: bool,
        **_options: Any,
    ) -> None:
        password = sys.stdin.readline().rstrip("\r\n") if password_stdin else ""
        draft = UserDraft(username, Role(role), facility_codes=facility, password=password)
        try:
            user, is_new = people.save_user(system_actor("add_user"), draft)
        except ArchiveError as error:
            raise CommandError(str(error)) from error
        seen = ", ".join(user.facilities.values_list("name", flat=True)) or "no facility yet"
        what = "every facility" if user.is_administrator else seen
        self.stdout.write(
            f"{'Created' if is_new else 'Changed'} {user.username}, "
            f"{user.get_role_display()}, who sees {what}."
        )
