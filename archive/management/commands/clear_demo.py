"""Take the demo away: its facility, its users, its studies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from archive import removal
from archive.access import system_actor
from archive.demo.load import FACILITY_CODE, PASSWORDS_FILE
from worklist.models import Facility


class Command(BaseCommand):
    help = "Destroy the demo facility with its users and studies; nothing else is touched."

    def handle(self, *_args: Any, **_options: Any) -> None:
        facility = Facility.objects.filter(code=FACILITY_CODE, is_demo=True).first()
        if facility is None:
            self.stdout.write("There is no demo here.")
            return
        destroyed = removal.destroy_demo_facility(system_actor("clear_demo"), facility)
        (Path(settings.DATA_DIR) / PASSWORDS_FILE).unlink(missing_ok=True)
        self.stdout.write(
            f"The demo is gone ({destroyed} images). 'manage.py load_demo' brings it back."
        )
