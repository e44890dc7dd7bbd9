"""What stands in a link: a few facts and a signature over them, bound to one purpose.

Every link that this archive gives out is made here (docs/adr/0094). A text is of one form,
`<facts>.<signature>`, both in URL-safe Base64; the signature is HMAC-SHA256 with the site's secret
key and the purpose, so that a text that was made for one purpose is none for any other.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Sequence

from django.core import signing

from archive.errors import ForbiddenError

CHANGED = "This link was changed on its way. Have it made again."
OVER = "This link is over. Have it made again."
# The name of the parameter that carries a link's text.
PARAMETER = "link"
_LONGEST = 1024

Fact = str | int


def seal(purpose: str, facts: Sequence[Fact], *, ends_at_s: int = 0) -> str:
    """Return a link's text.

    Parameters
    ----------
    purpose : part of what is signed, and no part of the text
    facts : what the text says; anybody who has it can read them
    ends_at_s : seconds since the epoch; 0 where a row says when it ends
    """
    content = json.dumps([ends_at_s, *facts], separators=(",", ":")).encode()
    encoded = base64.urlsafe_b64encode(content).rstrip(b"=").decode()
    return _signer(purpose).sign(encoded)


def unseal(purpose: str, text: str, count: int) -> list[Fact]:
    """Return the facts of a text that was made for a purpose and is not over.

    Parameters
    ----------
    purpose : what it is to be used for
    text : from an address, as it came
    count : how many facts it has

    Raises
    ------
    ForbiddenError
        When a bit of it was changed, it was made for something else, or its time is over.
    """
    if len(text) > _LONGEST:
        raise ForbiddenError(CHANGED)
    try:
        encoded = _signer(purpose).unsign(text)
        padded = encoded + "=" * (-len(encoded) % 4)
        found: list[Fact] = json.loads(base64.urlsafe_b64decode(padded))
        ends_at_s, *facts = found
    except (signing.BadSignature, ValueError, TypeError) as error:
        raise ForbiddenError(CHANGED) from error
    if len(facts) != count or not isinstance(ends_at_s, int):
        raise ForbiddenError(CHANGED)
    if ends_at_s and ends_at_s <= time.time():
        raise ForbiddenError(OVER)
    return facts


def _signer(purpose: str) -> signing.Signer:
    return signing.Signer(sep=".", salt=f"archive.link.{purpose}")
