"""Who a program is: tokens and HTTP Basic, as the sidecar asks for them."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone
from pytest_django import Settings

from accounts import auth, throttle
from accounts.models import ApiToken, User
from archive.errors import TooManyAttemptsError
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def forget_attempts() -> None:
    cache.clear()


def basic(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_token_names_its_user_and_notes_its_use(radiologist: User) -> None:
    token, secret = ApiToken.issue(radiologist, expires_at=None)
    assert auth.authenticate_token(secret) == radiologist
    token.refresh_from_db()
    assert token.last_used_at is not None
    first = token.last_used_at
    auth.authenticate_token(secret)
    token.refresh_from_db()
    assert token.last_used_at == first


def test_a_token_is_kept_as_a_digest_alone(radiologist: User) -> None:
    token, secret = ApiToken.issue(radiologist, expires_at=None)
    assert secret not in str(ApiToken.objects.filter(pk=token.pk).values().get())


@pytest.mark.parametrize("case", ["expired", "revoked", "inactive user", "other", "empty"])
def test_a_token_that_opens_nothing(radiologist: User, case: str) -> None:
    now = timezone.now()
    _, secret = ApiToken.issue(radiologist, expires_at=now + timedelta(minutes=1))
    if case == "expired":
        ApiToken.objects.update(expires_at=now - timedelta(seconds=1))
    elif case == "revoked":
        ApiToken.objects.update(revoked_at=now)
    elif case == "inactive user":
        User.objects.update(is_active=False)
    elif case == "other":
        secret = f"{secret}x"
    else:
        secret = ""
    assert auth.authenticate_token(secret) is None


def test_basic_names_its_user(radiologist: User) -> None:
    assert auth.user_of_basic(basic(f"rita:{PASSWORD}"), address="192.0.2.1") == radiologist


@pytest.mark.parametrize(
    "credentials",
    ["", "!!!", basic("rita"), basic("rita:wrong"), basic("rita\0:x"), "A" * 5000, "/w=="],
    ids=["empty", "no base64", "no colon", "wrong", "NUL", "long", "no UTF-8"],
)
def test_basic_that_names_nobody(radiologist: User, credentials: str) -> None:
    assert auth.user_of_basic(credentials, address="192.0.2.1") is None


def test_remembered_basic_ends_with_the_password_and_with_the_account(radiologist: User) -> None:
    credentials = basic(f"rita:{PASSWORD}")
    assert auth.user_of_basic(credentials, address=None) == radiologist
    radiologist.set_password("a different passphrase")
    radiologist.save()
    assert auth.user_of_basic(credentials, address=None) is None
    changed = basic("rita:a different passphrase")
    assert auth.user_of_basic(changed, address=None) == radiologist
    User.objects.update(is_active=False)
    assert auth.user_of_basic(changed, address=None) is None


def test_remembered_basic_costs_one_query(
    radiologist: User, django_assert_num_queries: object
) -> None:
    credentials = basic(f"rita:{PASSWORD}")
    auth.user_of_basic(credentials, address=None)
    with django_assert_num_queries(1):  # type: ignore[operator]
        auth.user_of_basic(credentials, address=None)


def test_basic_and_the_page_share_the_limit(radiologist: User) -> None:
    for _ in range(throttle.MOST_WRONG):
        assert auth.user_of_basic(basic("rita:wrong"), address="192.0.2.1") is None
    with pytest.raises(TooManyAttemptsError) as refused:
        auth.user_of_password("rita", PASSWORD, address="192.0.2.1")
    assert refused.value.retry_after_s == 60


def test_strangers_names_do_not_clear_the_count(radiologist: User) -> None:
    for _ in range(throttle.MOST_WRONG):
        throttle.count_attempt("rita", "192.0.2.1")
    for number in range(1000):
        throttle.count_attempt(f"stranger{number}", None)
    with pytest.raises(TooManyAttemptsError):
        auth.user_of_password("rita", PASSWORD, address="192.0.2.1")


def test_the_limit_ends_after_a_quiet_window(
    radiologist: User, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    # Redis keeps time by itself; only the cache of this process has a clock to turn.
    backend = "django.core.cache.backends.locmem.LocMemCache"
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": "clock"}}
    clock = [1_000_000.0]
    monkeypatch.setattr("django.core.cache.backends.locmem.time.time", lambda: clock[0])
    monkeypatch.setattr("django.core.cache.backends.base.time.time", lambda: clock[0])
    # Two bursts on both sides of a minute's border are one burst.
    for _ in range(5):
        auth.user_of_password("rita", "wrong", address=None)
    clock[0] += throttle.WINDOW_S - 1
    for _ in range(5):
        auth.user_of_password("rita", "wrong", address=None)
    clock[0] += 2
    with pytest.raises(TooManyAttemptsError):
        auth.user_of_password("rita", PASSWORD, address=None)
    clock[0] += throttle.WINDOW_S
    assert auth.user_of_password("rita", PASSWORD, address=None) == radiologist
