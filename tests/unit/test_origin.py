"""Which origins may open a socket."""

from __future__ import annotations

import pytest

from notifications.origin import is_own_origin


def headers(origin: str | None, host: str = "pacs.example.org") -> list[tuple[bytes, bytes]]:
    found = [(b"host", host.encode())]
    if origin is not None:
        found.append((b"origin", origin.encode()))
    return found


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://pacs.example.org", "pacs.example.org"),
        ("https://pacs.example.org:443", "pacs.example.org"),
        ("http://pacs.example.org", "pacs.example.org:80"),
        ("http://localhost:8000", "localhost:8000"),
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("https://PACS.example.org", "pacs.example.org"),
    ],
)
def test_the_sites_own(origin: str, host: str) -> None:
    assert is_own_origin(headers(origin, host))


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "",
        "null",
        "https://evil.example",
        "https://pacs.example.org.evil.example",
        "https://evilpacs.example.org",
        "https://sub.pacs.example.org",
        "https://example.org",
        "https://pacs.example.org:8443",
        "http://pacs.example.org:8000",
        "https://pacs.example.org@evil.example",
        "https://user@pacs.example.org",
        "https://pacs.example.org/path",
        "https://pacs.example.org?x",
        "https://pacs.example.org:99999",
        "https://pacs.example.org:port",
        "file://pacs.example.org",
        "ws://pacs.example.org",
        "pacs.example.org",
        "https://[::1",
        "https://pаcs.example.org",  # a Cyrillic letter
    ],
)
def test_all_others(origin: str | None) -> None:
    assert not is_own_origin(headers(origin))


def test_two_origins_are_none() -> None:
    own = "https://pacs.example.org"
    assert not is_own_origin([*headers(own), (b"origin", own.encode())])
    assert not is_own_origin([(b"origin", own.encode())])


def test_trusted_origins_are_those_of_forms(settings: object) -> None:
    settings.CSRF_TRUSTED_ORIGINS = [  # type: ignore[attr-defined]
        "https://ris.example.org",
        "https://*.clinic.example",
    ]
    assert is_own_origin(headers("https://ris.example.org"))
    assert is_own_origin(headers("https://a.clinic.example"))
    for origin in (
        "http://ris.example.org",
        "https://ris.example.org:444",
        "https://clinic.example",
        "https://aclinic.example",
        "http://a.clinic.example",
        "https://a.clinic.example:444",
    ):
        assert not is_own_origin(headers(origin)), origin
