"""AE titles: PS3.5 section 6.2."""

from __future__ import annotations

import pytest

from imaging import aetitle
from imaging.errors import ImagingError


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("CT_NORTH", "CT_NORTH"),
        ("  CT 1  ", "CT 1"),
        ("a", "a"),
        ("A" * 16, "A" * 16),
        (" " + "A" * 16 + " ", "A" * 16),
        ("!~*?", "!~*?"),
    ],
)
def test_lawful(text: str, title: str) -> None:
    assert aetitle.validate(text) == title
    assert aetitle.normalise(text) == title


@pytest.mark.parametrize(
    "text", ["", "   ", "A" * 17, "A\\B", "A\tB", "A\n", "A\0", "Ä", "A\x7f"], ids=ascii
)
def test_unlawful(text: str) -> None:
    with pytest.raises(ImagingError):
        aetitle.validate(text)
