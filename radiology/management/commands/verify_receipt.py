"""`verify_receipt`: did this archive give those receipts, and are they as they were given?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from radiology import receipts
from radiology.receipts import Receipt

_MOST_BYTES = 256 * 1024 * 1024


class Command(BaseCommand):
    help = (
        "Check receipts of offline images: the JSON that an acknowledgement answered, its "
        "'receipt' alone, or a list of them as the page of offline uploads gives it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", metavar="FILE", help="- reads it from the standard input")
        parser.add_argument(
            "--public-key",
            default="",
            metavar="BASE64",
            help="the archive's key, from /api/v1/radiology/receipt-keys/; by default this "
            "archive's own keys are asked",
        )

    def handle(self, *_args: Any, path: str, public_key: str, **_options: Any) -> None:
        text = sys.stdin.read(_MOST_BYTES) if path == "-" else _text_of(Path(path))
        found = receipts.read_all(text)
        wrong = [self._fault(receipt, public_key) for receipt in found]
        for number, fault in enumerate(wrong, 1):
            if fault and len(found) > 1:
                self.stderr.write(f"Receipt {number}: {fault}")
        if any(wrong):
            failed = sum(map(bool, wrong))
            raise CommandError(
                wrong[0] if len(found) == 1 else f"{failed} of {len(found)} receipts are wrong."
            )

    def _fault(self, receipt: Receipt | None, public_key: str) -> str:
        if receipt is None:
            return receipts.NO_RECEIPT
        fault = receipts.fault_of(receipt, public_key)
        if fault:
            return fault
        self.stdout.write(
            self.style.SUCCESS(
                f"The receipt is right: image {receipt['image_uuid']} with SHA-256 "
                f"{receipt.get('checksum')} was stored when it was given "
                f"({receipt.get('acknowledged_at')}), signed with key {receipt['key_id']}."
            )
        )
        return ""


def _text_of(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as handle:
            return handle.read(_MOST_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {error}") from error
