"""The English sentences of services, in the language of whoever reads them (docs/adr/0119).

A service says in English what happened, with names and numbers in it; so it is logged, stored and
answered to programs. Here such a text is recognised by the words around its values, and said anew.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.utils.translation import get_language, gettext

_LONGEST = 4000
_DEEPEST = 3
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_RANGES = re.compile(r"\d+(?: to \d+)?(?:, (?:\d+(?: to \d+)?|…))*")
_END = re.compile(r"[.?”)]\s+")


def spoken(text: str) -> str:
    """Mark words that people read and that end without a full stop, such as a title."""
    return text


# What stands as a value in sentences, where it is one of few words.
VALUES = (
    spoken("study"),
    spoken("series"),
    spoken("image"),
    spoken("patient"),
    spoken("facility"),
    spoken("destination"),
    spoken("nothing"),
    spoken("none"),
    spoken("restored"),
    spoken("destroyed"),
    spoken("completed"),
    spoken("discontinued"),
    spoken("cancelled"),
    spoken("time limit"),
    spoken("memory limit"),
    spoken("how long the link is good"),
    spoken("how often it can be opened"),
    spoken(", and whether it wants TLS"),
)


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A sentence: the words around its values, the values' names, and its translation."""

    pieces: tuple[str, ...]
    names: tuple[str, ...]
    translation: str

    @property
    def weight(self) -> int:
        """How much of a text it explains."""
        return sum(map(len, self.pieces))

    def values_in(self, text: str) -> dict[str, str] | None:
        """Return the values with which this sentence is `text`, none where it is not."""
        first, *middle, last = self.pieces
        at, end = len(first), len(text) - len(last)
        if not (text.startswith(first) and text.endswith(last)):
            return None
        values = []
        for piece in middle:
            found = text.find(piece, at + 1, max(end, 0))
            if found < 0:
                return None
            values.append(text[at:found])
            at = found + len(piece)
        if at >= end:
            return None
        return dict(zip(self.names, [*values, text[at:end]], strict=True))


@dataclass(frozen=True, slots=True)
class _Sentences:
    """What is known in one language: texts as they stand, and those with values in them."""

    plain: dict[str, str]
    patterns: tuple[_Pattern, ...]


def said(text: str) -> str:
    """Return what a service says in the language of the page; as it is where that is not known.

    Parameters
    ----------
    text : one sentence or several, as a service put them together, perhaps long ago

    Returns
    -------
    the same for the reader; names and numbers in it are kept as they are
    """
    language = get_language()
    if not text or not language or language == "en":
        return text
    return _said(language, str(text), _DEEPEST)


@lru_cache(maxsize=4096)
def _said(language: str, text: str, depth: int) -> str:
    if len(text) > _LONGEST:
        return text
    whole = _whole(language, text, depth)
    if whole is not None:
        return whole
    ends = [found.end() for found in _END.finditer(text)]
    for end in reversed(ends):
        head = text[:end].rstrip()
        translation = _whole(language, head, depth)
        if translation is not None:
            return translation + text[len(head) : end] + _said(language, text[end:], depth)
    whole = _whole(language, text, depth, is_one_sentence=False)
    if whole is not None:
        return whole
    # Of whom or what it is said, then a sentence.
    name, colon, rest = text.partition(": ")
    if colon and (translation := _said(language, rest, depth)) != rest:
        return f"{name}: {translation}"
    # What is not known stays English; what follows it may be known.
    return text[: ends[0]] + _said(language, text[ends[0] :], depth) if ends else text


def _whole(language: str, text: str, depth: int, *, is_one_sentence: bool = True) -> str | None:
    """Return what is known as one; values of one sentence hold no ends of sentences."""
    known = _sentences(language)
    plain = known.plain.get(text)
    if plain is not None:
        return plain
    parts = text.split(", ") if 0 < depth < _DEEPEST else []
    if len(parts) > 1 and _whole(language, parts[0], depth - 1) is not None:
        # A list of conditions, say.
        return ", ".join(_whole(language, part, depth - 1) or part for part in parts)
    for pattern in known.patterns:
        values = pattern.values_in(text)
        if values is None or not all(_fits(value, is_one_sentence) for value in values.values()):
            continue
        inner = {
            name: _said(language, value, depth - 1) if depth else value
            for name, value in values.items()
        }
        return _PLACEHOLDER.sub(
            lambda found, inner=inner: inner[found[1]],  # type: ignore[misc]
            pattern.translation,
        )
    if depth < _DEEPEST:
        return _of_value(language, text, depth)
    translation = gettext(text)
    return translation if translation != text else None


def _fits(value: str, is_one_sentence: bool) -> bool:  # noqa: FBT001 - for a comprehension
    """Whether a value may hold ends of sentences: whole sentences may, beginnings may not."""
    return not _END.search(value) or (not is_one_sentence and value.endswith((".", "?", "”", ")")))


def _of_value(language: str, text: str, depth: int) -> str | None:
    """Return a value in words; not by a message: a facility may be called as a button is."""
    if text[:1].islower():  # a sentence that goes on behind a colon
        found = _whole(language, f"{text[0].upper()}{text[1:]}", depth)
        return _in_small(found, language)
    return text.replace(" to ", "–") if _RANGES.fullmatch(text) else None


def _in_small(text: str | None, language: str) -> str | None:
    """Write a sentence as one goes on; German begins with nouns, which keep their capital."""
    return text if text is None or language == "de" else f"{text[0].lower()}{text[1:]}"


@lru_cache(maxsize=8)
def _sentences(language: str) -> _Sentences:
    """Return what is known in a language; the words of several explain more than those of few."""
    path = Path(settings.LOCALE_PATHS[0]) / language / "sentences.json"
    entries: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    plain = {text: words for text, words in entries.items() if not _PLACEHOLDER.search(text)}
    patterns = [_pattern(text, words) for text, words in entries.items() if text not in plain]
    # What ends with a full stop is a sentence, not a part of one with a full stop in its value.
    patterns.sort(key=lambda pattern: (not pattern.pieces[-1].endswith("."), -pattern.weight))
    return _Sentences(plain, tuple(patterns))


def _pattern(text: str, translation: str) -> _Pattern:
    parts = _PLACEHOLDER.split(text)
    return _Pattern(tuple(parts[::2]), tuple(parts[1::2]), translation)


def forget() -> None:
    """Read the catalogues anew."""
    _said.cache_clear()
    _sentences.cache_clear()
