"""What services say is said anew in the reader's language, with its names and numbers as they are.

The catalogues themselves are checked by `scripts/messages.py check` (tests/unit/test_messages.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import override_settings
from django.utils import translation

from archive import sentences
from archive.sentences import said

SENTENCES = {
    "There is no such study.": "Diese Studie gibt es nicht.",
    "{name} listens on port {port}.": "{name} hört auf Port {port} zu.",
    "{name} took it.": "Angenommen von {name}.",
    "{name} took it again.": "Wieder angenommen von {name}.",
    "{text} Make room soon.": "{text} Schaffen Sie bald Platz.",
    "{free} GiB are free.": "{free} GiB sind frei.",
    "Series {number}: {rest}": "Serie {number}: {rest}",
    "Images {ranges} are missing.": "Bilder {ranges} fehlen.",
    "{rule} go to {to}.": "{rule} gehen an {to}.",
    "Studies of {of}": "Studien von {of}",
    "every facility": "jeder Einrichtung",
    "from station {station}": "von Station {station}",
}


@pytest.fixture(autouse=True)
def catalogue(tmp_path: Path) -> Iterator[None]:
    """A catalogue of a few sentences."""
    (tmp_path / "de").mkdir()
    (tmp_path / "de" / "sentences.json").write_text(json.dumps(SENTENCES))
    with override_settings(LOCALE_PATHS=[tmp_path]), translation.override("de"):
        sentences.forget()
        yield
    sentences.forget()


@pytest.mark.parametrize(
    ("english", "german"),
    [
        ("There is no such study.", "Diese Studie gibt es nicht."),
        ("NOCTIS listens on port 104.", "NOCTIS hört auf Port 104 zu."),
        ("B took it again.", "Wieder angenommen von B."),
        ("There is no such study. B took it.", "Diese Studie gibt es nicht. Angenommen von B."),
        ("Who knows. B took it.", "Who knows. Angenommen von B."),
        ("5 GiB are free. Make room soon.", "5 GiB sind frei. Schaffen Sie bald Platz."),
        ("ct.dcm: There is no such study.", "ct.dcm: Diese Studie gibt es nicht."),
        ("Series 3: images 3 to 4, 7 are missing.", "Serie 3: Bilder 3–4, 7 fehlen."),
        (
            "Studies of every facility, from station CT7, go to PACS2.",
            "Studien von jeder Einrichtung, von Station CT7, gehen an PACS2.",
        ),
        ("took it.", "took it."),
        ("Nobody knows this", "Nobody knows this"),
        ("", ""),
    ],
)
def test_a_sentence_is_known_by_its_words(english: str, german: str) -> None:
    assert said(english) == german


def test_a_facility_that_is_called_as_a_button_is_keeps_its_name() -> None:
    assert said("Sign in took it.") == "Angenommen von Sign in."


@pytest.mark.parametrize("text", ["B took it. " * 1000, "There is no such study. " * 160])
def test_long_texts_cost_little(text: str) -> None:
    assert len(said(text)) >= len(text) // 2


def test_english_readers_read_what_was_said() -> None:
    with translation.override("en"):
        assert said("B took it.") == "B took it."
    with translation.override(None):
        assert said("B took it.") == "B took it."
