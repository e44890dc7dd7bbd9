"""DICOM unique identifiers."""

import re

from imaging.errors import InvalidUIDError

_UID = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*", re.ASCII)

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
