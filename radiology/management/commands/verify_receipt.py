"""`verify_receipt`: did this archive give that receipt, and is it as it was given?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from radiology import receipts

_MOST_BYTES = 1024 * 1024


class Command(BaseCommand):
    help = (
        "Check a receipt of an offline image: the JSON that an acknowledgement answered, or its "
        "'receipt' alone."
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
        receipt = receipts.read(text)
        if receipt is None:
            raise CommandError(receipts.NO_RECEIPT)
        fault = receipts.fault_of(receipt, public_key)
        if fault:
            raise CommandError(fault)
        self.stdout.write(
            self.style.SUCCESS(
                f"The receipt is right: image {receipt['image_uuid']} with SHA-256 "
                f"{receipt.get('checksum')} was stored when it was given "
                f"({receipt.get('acknowledged_at')}), signed with key {receipt['key_id']}."
            )
        )


def _text_of(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as handle:
            return handle.read(_MOST_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {error}") from error
