"""The sign-in page: sessions, words of its errors, where it leads, the limit on wrong passwords."""

from __future__ import annotations

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils.module_loading import import_string

from accounts import throttle
from accounts.models import User
from archive.models import AuditEvent
from noctis_pro import settings_security
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db
LOGIN = "/accounts/login/"


@pytest.fixture(autouse=True)
def forget_attempts() -> None:
    cache.clear()


def attempt(client: Client, name: str, password: str, **extra: str):
    return client.post(LOGIN, {"username": name, "password": password}, **extra)


def test_right_password_opens_a_session_under_a_new_id(radiologist: User) -> None:
    client = Client()
    client.get(LOGIN)
    client.session["kept"] = 1
    session = client.session
    session["seen"] = "before"
    session.save()
    before = session.session_key
    client.cookies["noctis_session"] = before
    answer = attempt(client, "rita", PASSWORD)
    assert answer.status_code == 302
    assert answer["Location"] == reverse("worklist:study-list")
    assert client.session.session_key != before
    assert client.get(answer["Location"]).status_code == 200
    assert AuditEvent.objects.filter(verb="session.open", actor="rita", is_success=True).exists()


def test_wrong_password_says_so_and_is_noted(radiologist: User) -> None:
    answer = attempt(Client(), "rita", "wrong")
    assert answer.status_code == 200
    assert "do not belong together" in answer.content.decode()
    assert AuditEvent.objects.filter(verb="session.refuse", actor="rita", is_success=False).exists()


def test_unknown_user_reads_the_same(radiologist: User) -> None:
    known, unknown = (
        attempt(Client(), name, "wrong").content.decode() for name in ("rita", "rito")
    )
    assert known.split("</h1>")[1].replace("rita", "").count("do not belong together") == 1
    assert unknown.split("</h1>")[1].count("do not belong together") == 1


def test_inactive_user_stays_out(radiologist: User) -> None:
    User.objects.filter(pk=radiologist.pk).update(is_active=False)
    assert attempt(Client(), "rita", PASSWORD).status_code == 200


@pytest.mark.parametrize(
    ("target", "leads_to"),
    [
        ("/notifications/list/", "/notifications/list/"),
        ("https://evil.example/", "/worklist/studies/"),
        ("//evil.example/", "/worklist/studies/"),
        ("/\\evil.example", "/worklist/studies/"),
        ("javascript:alert(1)", "/worklist/studies/"),
    ],
)
def test_next_leads_nowhere_else(radiologist: User, target: str, leads_to: str) -> None:
    answer = Client().post(LOGIN, {"username": "rita", "password": PASSWORD, "next": target})
    assert answer["Location"] == leads_to


def test_ten_wrong_passwords_then_refusal_even_of_the_right_one(radiologist: User) -> None:
    client = Client()
    for _ in range(throttle.MOST_WRONG):
        assert attempt(client, "rita", "wrong").status_code == 200
    refused = attempt(client, "rita", PASSWORD)
    assert refused.status_code == 429
    assert refused["Retry-After"] == "60"
    assert "Wait 60 seconds" in refused.content.decode()


def test_the_count_does_not_depend_on_how_the_name_is_written(radiologist: User) -> None:
    for number in range(throttle.MOST_WRONG):
        attempt(Client(), "RITA" if number % 2 else "rita", "wrong")
    assert attempt(Client(), "rita", PASSWORD).status_code == 429


def test_a_stranger_elsewhere_does_not_lock_the_owner_out(radiologist: User) -> None:
    for _ in range(throttle.MOST_WRONG + 5):
        attempt(Client(), "rita", "wrong", REMOTE_ADDR="203.0.113.9")
    assert attempt(Client(), "rita", PASSWORD, REMOTE_ADDR="192.0.2.1").status_code == 302


def test_other_accounts_from_the_same_address_go_on(radiologist: User, admin_user: User) -> None:
    for _ in range(throttle.MOST_WRONG + 5):
        attempt(Client(), "rita", "wrong")
    assert attempt(Client(), "ada", PASSWORD).status_code == 302


def test_a_right_password_forgives_the_wrong_ones(radiologist: User) -> None:
    for _ in range(throttle.MOST_WRONG - 1):
        attempt(Client(), "rita", "wrong")
    assert attempt(Client(), "rita", PASSWORD).status_code == 302
    for _ in range(throttle.MOST_WRONG - 1):
        attempt(Client(), "rita", "wrong")
    assert attempt(Client(), "rita", PASSWORD).status_code == 302


def test_one_network_of_ipv6_is_one_address(radiologist: User) -> None:
    for number in range(throttle.MOST_WRONG):
        attempt(Client(), "rita", "wrong", REMOTE_ADDR=f"2001:db8:1:2::{number:x}")
    assert attempt(Client(), "rita", PASSWORD, REMOTE_ADDR="2001:db8:1:2::ffff").status_code == 429
    assert attempt(Client(), "rita", PASSWORD, REMOTE_ADDR="2001:db8:1:3::1").status_code == 302


def test_signing_out_is_a_post_and_ends_the_session(site: Client) -> None:
    page = reverse("worklist:study-list")
    assert site.get("/accounts/logout/").status_code == 405
    kept = site.cookies["noctis_session"].value
    assert site.post("/accounts/logout/").status_code == 302
    other = Client()
    other.cookies["noctis_session"] = kept
    assert other.get(page).status_code == 302
    assert AuditEvent.objects.filter(verb="session.close", actor="rita").exists()


def test_forms_need_their_token(radiologist: User) -> None:
    client = Client(enforce_csrf_checks=True)
    answer = attempt(client, "rita", PASSWORD)
    assert answer.status_code == 403
    assert "too old or came from another site" in answer.content.decode()


def test_the_administration_has_no_second_sign_in(radiologist: User) -> None:
    answer = Client().get("/admin/login/?next=/admin/archive/knock/")
    assert answer["Location"] == "/accounts/login/?next=%2Fadmin%2Farchive%2Fknock%2F"
    assert (
        Client().get("/admin/login/?next=//evil.example")["Location"].endswith("next=%2Fadmin%2F")
    )
    posted = Client().post("/admin/login/", {"username": "rita", "password": PASSWORD})
    assert posted.status_code == 302
    client = Client()
    client.force_login(radiologist)
    assert client.get("/admin/login/").status_code == 403


def test_passwords_are_kept_with_argon2(radiologist: User) -> None:
    assert radiologist.password.startswith("argon2$")
    # Tests hash at less cost; the product at Django's, which grows with its releases.
    first = import_string(settings_security.PASSWORD_HASHERS[0])
    assert first is Argon2PasswordHasher
    assert (first.memory_cost, first.time_cost) >= (100 * 1024, 2)


def test_changing_the_password_ends_other_sessions(radiologist: User) -> None:
    here, there = Client(), Client()
    for client in (here, there):
        attempt(client, "rita", PASSWORD)
    fields = {
        "old_password": PASSWORD,
        "new_password1": "another long passphrase",
        "new_password2": "another long passphrase",
    }
    assert here.post("/accounts/password/", fields).status_code == 302
    page = reverse("worklist:study-list")
    assert here.get(page).status_code == 200
    assert there.get(page).status_code == 302


def test_the_theme_of_the_person_comes_with_signing_in(radiologist: User) -> None:
    client = Client()
    client.force_login(radiologist)
    kept = client.post("/accounts/api/theme/", {"theme": "light"}, content_type="application/json")
    assert kept.json() == {"theme": "light"}
    other = Client()
    answer = attempt(other, "rita", PASSWORD)
    assert answer.cookies["noctis_theme"].value == "light"
    assert 'data-theme="light"' in other.get(reverse("worklist:study-list")).content.decode()


@pytest.mark.parametrize(
    "body",
    ['{"theme": "pink"}', "[]", "not json", "{}", "[" * 50_000],
    ids=["unknown", "list", "no JSON", "nothing", "deep"],
)
def test_a_theme_that_is_none_is_refused(site: Client, body: str) -> None:
    answer = site.post("/accounts/api/theme/", body, content_type="application/json")
    assert answer.status_code == 422
