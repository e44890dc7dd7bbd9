"""Security headers of the site's answers that no view makes: files, refused hosts, errors."""

from __future__ import annotations

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db

_NAMES = (
    "Content-Security-Policy", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy",
)  # fmt: skip


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [
        ("/static/images/mark.svg", "localhost", 200),
        ("/static/nothing.js", "localhost", 404),
        ("/nothing", "localhost", 404),
        ("/accounts/login/", "localhost", 200),
        ("/accounts/login/", "evil.example", 400),
        ("/favicon.ico", "localhost", 302),
        ("/viewer/api/presets/", "localhost", 401),
        ("/accounts/logout/", "localhost", 405),
        ("/health/live", "localhost", 200),
    ],
)
def test_every_answer_has_them(path: str, host: str, status: int) -> None:
    answer = Client(raise_request_exception=False).get(path, headers={"Host": host})
    assert answer.status_code == status
    assert [name for name in _NAMES if name not in answer] == []
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_a_drawing_that_is_opened_by_itself_runs_nothing() -> None:
    policy = Client().get("/static/images/mark.svg")["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "script-src" not in policy
