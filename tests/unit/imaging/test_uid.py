"""UIDs: PS3.5 section 9.1, and the hostile forms that reach an archive."""

from __future__ import annotations

import pytest

from imaging.errors import ImagingError, InvalidUIDError
from imaging.uid import is_valid_uid, require_uid


@pytest.mark.parametrize(
    "text", ["1", "0", "1.2.840.10008.1.2", "2.25.0", "1.0.0.1", "1." + "9" * 62]
)
def test_lawful(text: str) -> None:
    assert is_valid_uid(text)
    assert require_uid(text, "Study Instance UID") == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "1.",
        ".1",
        "1..2",
        "01",
        "1.02",
        "00",
        "1.2.abc",
        "1.2 ",
        " 1.2",
        "1.2\n",
        "1.2\0",
        "1/2",
        "../1.2",
        "1.-2",
        "1.+2",
        "1.2²",
        "1.٣",
        "1." + "9" * 63,
        "1,2",
    ],
    ids=ascii,
)
def test_unlawful(text: str) -> None:
    assert not is_valid_uid(text)
    with pytest.raises(InvalidUIDError) as caught:
        require_uid(text, "Study Instance UID")
    assert "Study Instance UID" in str(caught.value)
    assert isinstance(caught.value, ImagingError)
    # The sentence is safe for logs and headers: no control character, nothing endless.
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
