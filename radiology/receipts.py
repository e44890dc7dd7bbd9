"""Receipts: this archive's signed word that it has an image, which its sender keeps."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from archive import signing
from archive.models import SigningKey
from radiology.models import OfflineImage
from worklist.models import DicomImage

PURPOSE = "offline-receipt"
_SIGNATURE = ("key_id", "signature")
_LONGEST = 16 * 1024
NO_RECEIPT = "This is no receipt: it is not the JSON that an acknowledgement answers."

Receipt = dict[str, Any]


def issue(row: OfflineImage, image: DicomImage, at: datetime) -> Receipt:
    """Return a receipt for a stored image whose file was read again just now.

    Parameters
    ----------
    at : when it was read

    Raises
    ------
    SigningKeyError
        When the site's key is none.
    """
    receipt: Receipt = {
        "version": 1,
        "image_uuid": str(row.image_uuid),
        "facility": row.facility.code,
        "study_uid": row.study_uid,
        "series_uid": row.series_uid,
        "image_uid": row.image_uid,
        "file_key": row.file_key,
        "file_size": row.file_size,
        "checksum": row.checksum,
        "stored_sha256": image.sha256,
        "acknowledged_at": at.isoformat(),
    }
    if row.is_deidentified:
        receipt["deidentified"] = True
    signed = signing.sign(PURPOSE, message_of(receipt))
    return receipt | {"key_id": signed.key_id, "signature": signed.text}


def message_of(receipt: Mapping[str, Any]) -> bytes:
    """Return what is signed: everything but key and signature, as JSON with sorted names."""
    said = {name: value for name, value in receipt.items() if name not in _SIGNATURE}
    return json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def keys() -> list[dict[str, str]]:
    """Return the public keys of this archive, the newest last."""
    return [
        {
            "key_id": key.pk,
            "algorithm": "Ed25519",
            "public_key": key.public_key,
            "created_at": key.created_at.isoformat(),
        }
        for key in SigningKey.objects.order_by("created_at")
    ]


def fault_of(receipt: Receipt, public_key: str = "") -> str:
    """Return why a receipt is none; empty where this archive gave it and nobody changed it.

    Parameters
    ----------
    receipt : from :func:`read`
    public_key : 32 bytes in Base64; looked up among this archive's own where it is empty
    """
    if public_key:
        try:
            raw = base64.b64decode(public_key, validate=True)
        except (binascii.Error, ValueError):
            return "The public key is not Base64."
        if signing.id_of(raw) != receipt["key_id"]:
            return "The receipt was signed with another key than the one that was given."
    else:
        known = SigningKey.objects.filter(pk=receipt["key_id"]).first()
        if known is None:
            return "The receipt was signed with a key that is not this archive's."
        public_key = known.public_key
    if not signing.is_signed(public_key, PURPOSE, message_of(receipt), receipt["signature"]):
        return "The signature is wrong: the receipt was changed, or another archive gave it."
    return ""


def read_all(text: str) -> list[Receipt | None]:
    """Return the receipts in a text: one, or a list of them; None stands for what is none.

    Parameters
    ----------
    text : JSON; each receipt alone, or as an acknowledgement's whole answer
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return [None]
    if isinstance(found, list) and found:
        return [_receipt_of(each) for each in found]
    return [_receipt_of(found)]


def _receipt_of(found: object) -> Receipt | None:
    if isinstance(found, dict) and isinstance(found.get("receipt"), dict):
        found = found["receipt"]
    if not isinstance(found, dict):
        return None
    if not all(isinstance(found.get(name), str) for name in (*_SIGNATURE, "image_uuid")):
        return None
    try:
        is_short = len(message_of(found)) <= _LONGEST
    except (ValueError, RecursionError):
        return None
    return found if is_short else None
