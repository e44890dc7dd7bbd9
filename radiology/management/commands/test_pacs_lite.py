"""`test_pacs_lite`: does the offline synchronisation work here, from end to end?"""

from __future__ import annotations

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from radiology import selftest


class Command(BaseCommand):
    help = (
        "Try the synchronisation of offline images in eleven steps, on data of a facility that is "
        "destroyed afterwards."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        self.stdout.write(f"Storage: {settings.RADIOLOGY_STORAGE}")
        self.stdout.write(f"Folder: {settings.DICOM_ROOT}")
        passed = 0
        for step in selftest.run():
            passed += step.is_passed
            word = self.style.SUCCESS("PASS") if step.is_passed else self.style.ERROR("FAIL")
            self.stdout.write(f"{word}  {step.number:2}. {step.name}: {step.detail}")
        if passed < selftest.COUNT:
            self.stdout.write(self.style.ERROR(f"{passed} of {selftest.COUNT} steps passed."))
            sys.exit(1)
        self.stdout.write(self.style.SUCCESS("All 11 tests passed; their data are removed."))
