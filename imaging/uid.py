"""DICOM unique identifiers."""

import re
from uuid import UUID

from imaging.errors import InvalidUIDError

_UID = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*", re.ASCII)

# Digits alone are a UID of one part.
_UUID = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|(?=[0-9]*[a-f])[0-9a-f]{32}",
    re.ASCII | re.IGNORECASE,
)

MAX_LENGTH = 64


def is_valid_uid(text: str) -> bool:
    """Say whether `text` is a lawful UID: at most 64 digits and dots, no empty or zero-led part.

    References
    ----------
    DICOM PS3.5 section 9.1.
    """
    return len(text) <= MAX_LENGTH and _UID.fullmatch(text) is not None


def require_uid(text: str, what: str) -> str:
    """Return `text` if it is a lawful UID.

    Parameters
    ----------
    text : the UID as it stands in the object, padding removed
    what : its name for people, for example ``"Study Instance UID"``

    Raises
    ------
    InvalidUIDError
        If it is empty or not lawful.

    References
    ----------
    DICOM PS3.5 section 9.1.
    """
    if not text:
        raise InvalidUIDError(
            f"The object has no {what}, so it cannot be filed. Have the sending system add it."
        )
    if not is_valid_uid(text):
        shown = text[:80].encode("ascii", "backslashreplace").decode("ascii")
        raise InvalidUIDError(
            f"The {what} {shown!r} is not a lawful DICOM identifier (digits and dots, at most 64 "
            "characters, no part with a leading zero). Have the sending system correct it."
        )
    return text


def from_text(text: str, what: str) -> str:
    """Return the UID that a text names: a UID itself, or a UUID in its ``2.25.`` form.

    Parameters
    ----------
    text : a UID, or a UUID with or without hyphens
    what : its name for people

    Raises
    ------
    InvalidUIDError
        If it is neither.

    References
    ----------
    DICOM PS3.5 sections 9.1 and B.2.

    Examples
    --------
    >>> from_text("8f06e605-e810-4418-85cb-6304772f152e", "study")
    '2.25.190115422600564017911484279647575676206'
    """
    if _UUID.fullmatch(text):
        return f"2.25.{UUID(text).int}"
    return require_uid(text, what)
