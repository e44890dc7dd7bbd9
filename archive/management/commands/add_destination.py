"""`add_destination`: register an AE that we may send to."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from archive import destinations, facilities
from archive.access import system_actor
from archive.destinations import DestinationDraft
from archive.errors import ArchiveError


class Command(BaseCommand):
    help = "Register a C-MOVE and forwarding destination, or update the one with this AE title."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("aet", help="its AE title")
        parser.add_argument("host", help="name or address")
        parser.add_argument("port", type=int)
        parser.add_argument("--tls", action="store_true", help="call it by TLS")
        parser.add_argument(
            "--availability",
            action="store_true",
            default=None,
            help="tell it of each study that has come whole (Instance Availability Notification)",
        )
        parser.add_argument("--facility", default="", help="code of the facility it stands at")

    def handle(
        self,
        *_args: Any,
        aet: str,
        host: str,
        port: int,
        tls: bool,
        facility: str,
        availability: bool | None,
        **_options: Any,
    ) -> None:
        try:
            draft = DestinationDraft(
                ae_title=aet,
                host=host,
                port=port,
                uses_tls=tls,
                facility=facilities.facility_by_code(facility) if facility else None,
                wants_availability=availability,
            )
            destination = destinations.save_destination(system_actor("add_destination"), draft)
        except ArchiveError as error:
            raise CommandError(str(error)) from error
        how = "by TLS" if destination.uses_tls else "without TLS"
        told = " It is told of new studies." if destination.wants_availability else ""
        self.stdout.write(f"We may send to {destination}, {how}.{told}")
