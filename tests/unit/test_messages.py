"""The translations are whole: nothing missing, nothing unused, the same placeholders and markup."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "messages.py"
HEADER = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n\n'


@pytest.fixture
def messages() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def test_every_message_is_translated_into_every_language(messages: dict[str, Any]) -> None:
    found = messages["problems"]()
    assert found == [], "Run make messages and translate what it added."


@pytest.fixture
def small(messages: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """The checks on a project of one template, one script and one language."""
    scope = messages["problems"].__globals__
    scope |= {"ROOT": tmp_path, "LANGUAGES": ("de",)}
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "page.html").write_text(
        "{% translate 'Sign in' %}{% blocktranslate %}<b>Of</b> {{ name }}{% endblocktranslate %}"
        '{% translate "Read" context "verb" %}'
        "{% blocktranslate count n=n %}{{ n }} study"
        "{% plural %}{{ n }} studies{% endblocktranslate %}"
    )
    source = tmp_path / "frontend" / "src"
    (source / "messages").mkdir(parents=True)
    (source / "page.ts").write_text(
        'import { t, tn } from "./i18n";\n'
        'const part = html`<b title=${t("Zoom {factor}", { factor })}>'
        '${tn("{count} image", "{count} images", n)}</b>`;\n'
    )
    return messages


def write(root: Path, scripts: object, *pages: str) -> None:
    path = root / "locale" / "de" / "LC_MESSAGES" / "django.po"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER + "\n\n".join(pages) + "\n")
    (root / "frontend" / "src" / "messages" / "de.json").write_text(json.dumps(scripts))


PAGES = (
    'msgid "Sign in"\nmsgstr "Anmelden"',
    'msgid "<b>Of</b> %(name)s"\nmsgstr "<b>Von</b> %(name)s"',
    'msgctxt "verb"\nmsgid "Read"\nmsgstr "Lesen"',
    (
        'msgid "%(n)s study"\nmsgid_plural "%(n)s studies"\n'
        'msgstr[0] "%(n)s Studie"\nmsgstr[1] "%(n)s Studien"'
    ),
)
SCRIPTS = {
    "Zoom {factor}": "Vergrößerung {factor}",
    "{count} image": {"one": "{count} Bild", "other": "{count} Bilder"},
}


def test_a_whole_catalogue_has_no_problems(small: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path, SCRIPTS, *PAGES)
    assert small["problems"]() == []


@pytest.mark.parametrize(
    ("pages", "scripts", "said"),
    [
        pytest.param(PAGES[1:], SCRIPTS, "'Sign in' is missing", id="missing"),
        pytest.param(
            (*PAGES, 'msgid "Old"\nmsgstr "Alt"'), SCRIPTS, "'Old' is not used", id="unused"
        ),
        pytest.param(
            ('#, fuzzy\nmsgid "Sign in"\nmsgstr "Anmelden"', *PAGES[1:]),
            SCRIPTS,
            "is fuzzy",
            id="fuzzy",
        ),
        pytest.param(
            ('msgid "Sign in"\nmsgstr ""', *PAGES[1:]), SCRIPTS, "is not translated", id="empty"
        ),
        pytest.param(
            (
                PAGES[0],
                'msgid "<b>Of</b> %(name)s"\nmsgstr "<b>Von</b> %(nam)s"',
                *PAGES[2:],
            ),
            SCRIPTS,
            "other placeholders or markup",
            id="placeholder",
        ),
        pytest.param(
            PAGES,
            SCRIPTS | {"Zoom {factor}": "Vergrößerung"},
            "other placeholders or markup",
            id="script-placeholder",
        ),
        pytest.param(
            PAGES, SCRIPTS | {"{count} image": {"other": "Bilder"}}, "lacks a form", id="form"
        ),
        pytest.param(PAGES, {}, "'Zoom {factor}' is missing", id="script-missing"),
    ],
)
def test_what_is_wrong_is_named(
    small: dict[str, Any], tmp_path: Path, pages: tuple[str, ...], scripts: object, said: str
) -> None:
    write(tmp_path, scripts, *pages)
    assert any(said in line for line in small["problems"]())


def test_gathering_keeps_translations_and_drops_what_is_unused(
    small: dict[str, Any], tmp_path: Path
) -> None:
    write(tmp_path, SCRIPTS | {"Old": "Alt"}, *PAGES[1:], 'msgid "Old"\nmsgstr "Alt"')
    small["extract"]()
    assert small["problems"]() == ["de pages: 'Sign in' is not translated."]


SERVICE = '''
"""A sentence of a docstring is none of a service."""
def do(n, study, error):
    """Neither is this one."""
    logger.warning("This is for the log alone.")
    if n:
        raise SomeError(f"{n} {'image' if n == 1 else 'images'} of {study.name} came late.")
    return spoken(f"New {study.modality} study") or f"{error}. {n}."
'''


def test_sentences_of_services_are_found_with_their_values_and_choices(
    small: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "work.py").write_text(SERVICE)
    assert small["sentences"]() == {
        "{n} image of {name} came late.",
        "{n} images of {name} came late.",
        "New {modality} study",
    }
    write(tmp_path, SCRIPTS, *PAGES)
    small["extract"]()
    found = [line for line in small["problems"]() if "sentences" in line]
    assert len(found) == 3
    assert all("is not translated" in line for line in found)
