"""The language of pages: the browser's, then the person's own; programs read English."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.test import Client
from django.utils import translation

from accounts.models import User
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db
PROJECT = Path(__file__).resolve().parents[3]
LOGIN = "/accounts/login/"


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Whoever runs this file alone has not run make."""
    subprocess.run([sys.executable, "scripts/messages.py", "compile"], cwd=PROJECT, check=True)


def text_of(client: Client, path: str, **headers: str) -> str:
    return client.get(path, headers=headers).content.decode()


def test_without_a_wish_pages_are_english() -> None:
    page = text_of(Client(), LOGIN)
    assert '<html lang="en"' in page
    assert "User name" in page
    assert "messages/" not in page


@pytest.mark.parametrize(
    ("asked", "lang", "word"),
    [
        ("de-CH,en;q=0.5", "de", "Benutzername"),
        ("fr", "fr", "Nom d’utilisateur"),
        ("es-MX", "es", "Nombre de usuario"),
        ("sw", "sw", "Jina la mtumiaji"),
        ("pt", "en", "User name"),
    ],
)
def test_the_sign_in_page_speaks_the_browsers_language(asked: str, lang: str, word: str) -> None:
    page = text_of(Client(), LOGIN, accept_language=asked)
    assert f'<html lang="{lang}"' in page
    assert word in page


def test_a_choice_is_kept_for_every_browser_of_the_person(radiologist: User) -> None:
    client = Client()
    client.force_login(radiologist)
    answer = client.post("/accounts/language/", {"language": "sw", "next": "/worklist/upload/"})
    assert answer["Location"] == "/worklist/upload/"
    assert "Orodha ya kazi" in text_of(client, "/worklist/studies/", accept_language="de")
    radiologist.refresh_from_db()
    assert radiologist.preferences["language"] == "sw"
    elsewhere = Client()
    elsewhere.post(LOGIN, {"username": "rita", "password": PASSWORD})
    assert "Orodha ya kazi" in text_of(elsewhere, "/worklist/studies/")


def test_before_signing_in_the_browser_keeps_the_choice() -> None:
    client = Client()
    client.post("/accounts/language/", {"language": "fr", "next": LOGIN})
    assert "Se connecter" in text_of(client, LOGIN)


@pytest.mark.parametrize("is_signed_in", [True, False])
def test_an_unknown_language_is_refused(radiologist: User, *, is_signed_in: bool) -> None:
    client = Client()
    if is_signed_in:
        client.force_login(radiologist)
    answer = client.post("/accounts/language/", {"language": "tlh"})
    assert answer.status_code == 422
    assert settings_cookie(client) is None
    radiologist.refresh_from_db()
    assert "language" not in radiologist.preferences


def settings_cookie(client: Client) -> object:
    return client.cookies.get("noctis_language")


def test_a_choice_leads_to_no_other_site() -> None:
    answer = Client().post("/accounts/language/", {"language": "de", "next": "//evil.example/"})
    assert answer["Location"] == "/worklist/studies/"


def test_people_read_errors_in_their_language_and_programs_in_english(radiologist: User) -> None:
    client = Client()
    client.force_login(radiologist)
    page = text_of(client, "/no-such-page/", accept_language="de")
    assert "Unter dieser Adresse ist nichts." in page
    answer = client.get(
        "/no-such-page/", headers={"accept": "application/json"} | {"accept-language": "de"}
    )
    assert answer.json()["detail"].startswith("There is nothing at this address.")


def test_the_language_ends_with_the_request() -> None:
    text_of(Client(), LOGIN, accept_language="de")
    assert translation.get_language() == "en"


def test_a_page_in_another_language_loads_its_words_for_scripts(radiologist: User) -> None:
    client = Client()
    client.force_login(radiologist)
    page = text_of(client, "/worklist/studies/", accept_language="de")
    catalogue = page.index("messages-de")
    assert catalogue < page.index("assets/site")
    assert "messages-fr" not in page
