"""Signatures of requests between this site and a service, by the Standard Webhooks rules.

`webhook-id`, `webhook-timestamp` and `webhook-signature` (`v1,` and the Base64 of an HMAC-SHA256)
over `id.timestamp.body`, with a secret that is written as `whsec_` and Base64
(https://www.standardwebhooks.com): services check and make them with libraries that exist.
"""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import Mapping

# How far clocks may be apart.
TOLERANCE_S = 300
_PREFIX = "whsec_"
_LONGEST_ID = 256


def secret_text(secret: bytes) -> str:
    """Write a secret as services read it."""
    return _PREFIX + base64.b64encode(secret).decode("ascii")


def sign(secret: bytes, name: str, body: bytes, *, at: int | None = None) -> dict[str, str]:
    """Return the headers of a request.

    Parameters
    ----------
    name : of the message; the same when it is sent again
    at : seconds since 1970; now by default
    """
    stamp = str(int(time.time()) if at is None else at)
    check = Check(secret, name, stamp)
    check.update(body)
    return {
        "webhook-id": name,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{check.value()}",
    }


class Check:
    """Checks a signature while the body comes."""

    def __init__(self, secret: bytes, name: str, stamp: str) -> None:
        self._mac = hmac.new(secret, f"{name}.{stamp}.".encode(), "sha256")

    def update(self, piece: bytes) -> None:
        """Take the next bytes of the body."""
        self._mac.update(piece)

    def value(self) -> str:
        """Return what the signature has to be."""
        return base64.b64encode(self._mac.digest()).decode("ascii")

    def is_signed(self, header: str) -> bool:
        """Whether one of the signatures in a header is right."""
        mine = self.value().encode("ascii")
        # Several stand beside each other while a secret is being changed.
        return any(
            version == "v1" and hmac.compare_digest(mine, text.encode("utf-8"))
            for version, _, text in (one.partition(",") for one in header.split(" "))
        )


def begin(secret: bytes, headers: Mapping[str, str], *, now: float | None = None) -> Check | None:
    """Return the check of a request; None where its headers are missing, or of another time."""
    name, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not name or len(name) > _LONGEST_ID or not (stamp.isascii() and stamp.isdigit()):
        return None
    if len(stamp) > 12 or abs((time.time() if now is None else now) - int(stamp)) > TOLERANCE_S:
        return None
    return Check(secret, name, stamp)
