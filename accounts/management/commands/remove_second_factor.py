"""`remove_second_factor`: let somebody in who has lost the device and the recovery codes."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import second_factor
from accounts.models import User
from archive.access import system_actor


class Command(BaseCommand):
    help = "Remove the second factor of a user, who then signs in with the password alone."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")

    def handle(self, *_args: Any, username: str, **_options: Any) -> None:
        user = User.objects.filter(username=username).first()
        if user is None:
            raise CommandError(f"There is no user with the name {username}.")
        if not second_factor.remove(system_actor("remove_second_factor"), user):
            raise CommandError(f"{username} has no second factor.")
        self.stdout.write(f"The second factor of {username} is removed.")
