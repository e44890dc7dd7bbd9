"""Users and tokens by command and in administration."""

from __future__ import annotations

import io
import sys
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts import auth
from accounts.models import ApiToken, Role, User
from archive.models import AuditEvent
from tests import factories
from tests.factories import PASSWORD
from worklist.models import Facility

pytestmark = pytest.mark.django_db


def add_user(monkeypatch: pytest.MonkeyPatch, *arguments: str, password: str = "") -> str:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{password}\nsecond line\n"))
    out = io.StringIO()
    call_command("add_user", *arguments, *(["--password-stdin"] if password else []), stdout=out)
    return out.getvalue()


def test_add_user_creates_and_then_changes(
    monkeypatch: pytest.MonkeyPatch, facility: Facility, other_facility: Facility
) -> None:
    said = add_user(
        monkeypatch, "tom", "--role", "technologist", "--facility", "NORTH", password=PASSWORD
    )
    assert said == "Created tom, Technologist, who sees North Clinic.\n"
    tom = User.objects.get(username="tom")
    assert tom.check_password(PASSWORD)
    assert not tom.is_staff
    said = add_user(monkeypatch, "tom", "--role", "radiologist", "--facility", "south")
    assert said == "Changed tom, Radiologist, who sees South Clinic.\n"
    tom.refresh_from_db()
    assert tom.check_password(PASSWORD)
    assert [f.code for f in tom.facilities.all()] == ["SOUTH"]
    assert list(AuditEvent.objects.order_by("at").values_list("verb", flat=True))[-2:] == [
        "user.create",
        "user.change",
    ]


def test_an_administrator_may_administer_and_loses_it_with_the_role(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_user(monkeypatch, "ada", "--role", "admin", password=PASSWORD)
    ada = User.objects.get(username="ada")
    assert ada.is_staff
    assert ada.is_superuser
    add_user(monkeypatch, "ada", "--role", "viewer")
    ada.refresh_from_db()
    assert not ada.is_staff
    assert not ada.is_superuser


@pytest.mark.parametrize(
    ("arguments", "password", "words"),
    [
        (("tom", "--role", "viewer"), "", "needs a password"),
        (("tom", "--role", "viewer"), "short", "at least 10 characters"),
        (("tom", "--role", "viewer"), "password123", "too common"),
        (("tom", "--role", "viewer", "--facility", "NOWHERE"), PASSWORD, "no facility with"),
        (("to m", "--role", "viewer"), PASSWORD, "valid username"),
    ],
)
def test_what_cannot_be_a_user_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], password: str, words: str
) -> None:
    with pytest.raises(CommandError, match=words):
        add_user(monkeypatch, *arguments, password=password)
    assert not User.objects.exists()


def test_add_token_prints_the_token_alone(radiologist: User) -> None:
    out = io.StringIO()
    call_command("add_token", "rita", "--days", "7", stdout=out)
    assert auth.authenticate_token(out.getvalue().strip()) == radiologist
    expires_at = ApiToken.objects.get().expires_at
    assert expires_at is not None
    assert timedelta(days=6.9) < expires_at - timezone.now() < timedelta(days=7.1)


@pytest.mark.parametrize("arguments", [("nobody",), ("rita", "--days", "0")])
def test_add_token_refuses(radiologist: User, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        call_command("add_token", *arguments, stdout=io.StringIO())


@pytest.fixture
def administration(admin_user: User) -> Client:
    client = Client()
    client.force_login(admin_user)
    return client


def test_administration_makes_users_and_keeps_their_role(
    administration: Client, facility: Facility
) -> None:
    fields = {
        "username": "nora",
        "usable_password": "true",
        "password1": PASSWORD,
        "password2": PASSWORD,
        "role": "admin",
        "facilities": [str(facility.pk)],
    }
    answer = administration.post("/admin/accounts/user/add/", fields)
    assert answer.status_code == 302, answer.content.decode()
    nora = User.objects.get(username="nora")
    assert nora.is_superuser
    assert AuditEvent.objects.filter(verb="user.create", target_id=str(nora.pk)).exists()
    page = administration.get("/admin/accounts/user/").content.decode()
    assert "every facility" in page


def test_a_superuser_without_role_keeps_its_rights(administration: Client) -> None:
    root = User.objects.create_superuser("root", password=PASSWORD)
    fields = {"username": "root", "role": "viewer", "first_name": "Ruth", "is_active": "on"}
    answer = administration.post(f"/admin/accounts/user/{root.pk}/change/", fields)
    assert answer.status_code == 302, answer.content.decode()
    root.refresh_from_db()
    assert root.first_name == "Ruth"
    assert root.is_superuser


def test_user_list_costs_the_same_for_many(
    administration: Client, facility: Facility, django_assert_max_num_queries: object
) -> None:
    for number in range(30):
        factories.user(f"user{number}", Role.VIEWER, [facility])
    with django_assert_max_num_queries(8):  # type: ignore[operator]
        assert administration.get("/admin/accounts/user/").status_code == 200


def test_administration_shows_a_token_once_and_revokes_it(
    administration: Client, radiologist: User
) -> None:
    fields = {"user": str(radiologist.pk), "name": "scanner"}
    answer = administration.post("/admin/accounts/apitoken/add/", fields)
    assert "no-store" in answer["Cache-Control"]
    page = answer.content.decode()
    secret = page.split("data-secret>")[1].split("<")[0]
    assert auth.authenticate_token(secret) == radiologist
    token = ApiToken.objects.get()
    assert secret not in administration.get("/admin/accounts/apitoken/").content.decode()
    detail = administration.get(f"/admin/accounts/apitoken/{token.pk}/change/").content.decode()
    assert secret not in detail
    revoke = {"action": "revoke", "_selected_action": [str(token.pk)]}
    administration.post("/admin/accounts/apitoken/", revoke)
    assert auth.authenticate_token(secret) is None


def test_administration_is_for_administrators(site: Client) -> None:
    assert site.get("/admin/", follow=True).status_code == 403


def test_own_tokens_are_made_listed_and_revoked(site: Client, radiologist: User) -> None:
    made = site.post("/accounts/tokens/", {"name": "home", "days": "90"})
    secret = made.content.decode().split("data-secret>")[1].split("<")[0]
    assert auth.authenticate_token(secret) == radiologist
    listed = site.get("/accounts/profile/").content.decode()
    assert "home" in listed
    assert secret not in listed
    token = ApiToken.objects.get()
    site.post(f"/accounts/tokens/{token.pk}/revoke/")
    assert auth.authenticate_token(secret) is None


def test_a_name_that_the_database_does_not_keep_is_refused_in_words(site: Client) -> None:
    answer = site.post("/accounts/tokens/", {"name": "a\0b"})
    # SQLite keeps it.
    assert answer.status_code == (422 if connection.vendor == "postgresql" else 200)
    if answer.status_code == 422:
        assert "cannot be kept" in answer.content.decode()


def test_tokens_of_others_cannot_be_revoked(site: Client, admin_user: User) -> None:
    token, secret = ApiToken.issue(admin_user, expires_at=None)
    assert site.post(f"/accounts/tokens/{token.pk}/revoke/").status_code == 404
    assert auth.authenticate_token(secret) == admin_user


@pytest.mark.parametrize(
    "path", ["/accounts/profile/", "/accounts/password/", "/worklist/studies/", "/admin/"]
)
def test_pages_lead_strangers_to_the_sign_in_page(path: str) -> None:
    answer = Client().get(path, follow=True)
    assert answer.redirect_chain[-1][0].startswith("/accounts/login/?next=")
