"""Application Entity titles."""

from imaging.errors import ImagingError

MAX_LENGTH = 16


class InvalidAETitleError(ImagingError):
    """An Application Entity title breaks the rules of PS3.5 section 6.2."""


def normalise(text: str) -> str:
    """Return the significant part of an AE title: leading and trailing spaces do not count.

    References
    ----------
    DICOM PS3.5 section 6.2, VR AE; PS3.8 section 9.3.2.
    """
    return text.strip(" ")


def validate(text: str) -> str:
    r"""Return the normalised AE title, or refuse it.

    Parameters
    ----------
    text : 1 to 16 characters of the default repertoire without backslash and control characters,
        not only spaces

    Raises
    ------
    InvalidAETitleError
        With a sentence for the person who typed it.

    References
    ----------
    DICOM PS3.5 section 6.2, VR AE.
    """
    title = normalise(text)
    if not title:
        raise InvalidAETitleError("An AE title needs at least one character that is not a space.")
    if len(title) > MAX_LENGTH:
        raise InvalidAETitleError(
            f"The AE title {title!r} has {len(title)} characters; at most {MAX_LENGTH} are allowed."
        )
    if not all(0x20 <= ord(character) < 0x7F for character in title):
        raise InvalidAETitleError(
            f"The AE title {title!r} may hold only plain ASCII letters, digits and signs."
        )
    if "\\" in title:
        raise InvalidAETitleError(f"The AE title {title!r} may not hold a backslash.")
    return title
