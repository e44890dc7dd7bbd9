"""The second factor: what a password alone opens, codes and their limits, lost devices."""

from __future__ import annotations

import base64
import re
import time
from io import StringIO

import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts import auth, pending, second_factor, throttle
from accounts.models import RecoveryCode, Role, User
from archive.access import Actor, actor_of
from archive.models import AuditEvent
from tests import factories
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db
LOGIN = "/accounts/login/"
ASK = "/accounts/second-factor/"
SET_UP = "/accounts/second-factor/set-up/"


@pytest.fixture(autouse=True)
def forget_attempts() -> None:
    cache.clear()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Codes are good once: tests go on to the next by moving this."""
    now = [time.time()]
    monkeypatch.setattr(
        "django_otp.plugins.otp_totp.models.time", type("Clock", (), {"time": lambda: now[0]})
    )
    return now


def code_of(user: User, clock: list[float], *, confirmed: bool = True) -> str:
    device = TOTPDevice.objects.get(user=user, confirmed=confirmed)
    return f"{totp(device.bin_key, t0=int(time.time() - clock[0])):06d}"


def wait(clock: list[float]) -> None:
    clock[0] += 30


@pytest.fixture
def codes(radiologist: User, clock: list[float]) -> list[str]:
    """Return the recovery codes of a person with a second factor."""
    second_factor.begin(radiologist)
    made = second_factor.confirm(
        actor_of(radiologist), radiologist, code_of(radiologist, clock, confirmed=False)
    )
    wait(clock)
    return made


def sign_in(client: Client, name: str = "rita", **more: str):
    return client.post(LOGIN, {"username": name, "password": PASSWORD, **more})


def is_in(client: Client) -> bool:
    return client.get("/worklist/studies/").status_code == 200


def test_a_code_is_asked_for_after_the_password(
    radiologist: User, codes: list[str], clock: list[float]
) -> None:
    client = Client()
    answer = sign_in(client, next="/notifications/list/")
    assert answer["Location"] == ASK
    assert not is_in(client)
    assert not AuditEvent.objects.filter(verb="session.open").exists()
    before = client.session.session_key
    answer = client.post(ASK, {"code": "000000"})
    assert "wrong" in answer.content.decode()
    assert not is_in(client)
    refused = AuditEvent.objects.get(verb="session.refuse")
    assert (refused.actor, refused.detail) == ("rita", {"because": "code"})
    code = code_of(radiologist, clock)
    answer = client.post(ASK, {"code": f"{code[:3]} {code[3:]}"})
    assert answer["Location"] == "/notifications/list/"
    assert is_in(client)
    assert client.session.session_key != before
    assert AuditEvent.objects.get(verb="session.open").detail == {"second_factor": "app"}


def test_a_code_is_good_once(radiologist: User, codes: list[str], clock: list[float]) -> None:
    code = code_of(radiologist, clock)
    first, second = Client(), Client()
    for client in (first, second):
        sign_in(client)
        client.post(ASK, {"code": code})
    assert is_in(first)
    assert not is_in(second)


def test_a_recovery_code_is_good_once(radiologist: User, codes: list[str]) -> None:
    assert len(set(codes)) == len(codes) == 10
    first, second = Client(), Client()
    for client in (first, second):
        sign_in(client)
        client.post(ASK, {"code": codes[3].upper().replace("-", " ")})
    assert "9 are left" in first.get("/worklist/studies/").content.decode()
    assert is_in(first)
    assert not is_in(second)
    assert codes[3] not in "".join(RecoveryCode.objects.values_list("digest", flat=True))


@pytest.mark.parametrize("code", ["", "12345", "1234567", "١٢٣٤٥٦", "-12345", "abcdef", "0" * 500])
def test_what_is_no_code(radiologist: User, codes: list[str], code: str) -> None:
    client = Client()
    sign_in(client)
    assert client.post(ASK, {"code": code}).status_code == 200
    assert not is_in(client)


def test_wrong_codes_are_limited_and_do_not_lock_the_owner_out(
    radiologist: User, codes: list[str], clock: list[float]
) -> None:
    thief, owner = Client(REMOTE_ADDR="192.0.2.66"), Client(REMOTE_ADDR="192.0.2.7")
    sign_in(thief)
    for _ in range(throttle.MOST_WRONG):
        assert thief.post(ASK, {"code": "000000"}).status_code == 200
    answer = thief.post(ASK, {"code": code_of(radiologist, clock)})
    assert answer.status_code == 429
    assert answer["Retry-After"] == "60"
    # The password again does not forget the wrong codes.
    sign_in(thief)
    assert thief.post(ASK, {"code": code_of(radiologist, clock)}).status_code == 429
    sign_in(owner)
    owner.post(ASK, {"code": code_of(radiologist, clock)})
    assert is_in(owner)


def test_waiting_ends(radiologist: User, codes: list[str], clock: list[float], monkeypatch) -> None:
    client = Client()
    assert client.get(ASK)["Location"] == LOGIN
    sign_in(client)
    monkeypatch.setattr(pending.time, "time", lambda: clock[0] + 301)
    assert client.post(ASK, {"code": code_of(radiologist, clock)})["Location"] == LOGIN
    assert not is_in(client)


@pytest.mark.parametrize("change", ["password", "inactive"])
def test_waiting_ends_with_the_password_and_the_account(
    radiologist: User, codes: list[str], clock: list[float], change: str
) -> None:
    client = Client()
    sign_in(client)
    if change == "password":
        radiologist.set_password("Another-Password-99")
    else:
        radiologist.is_active = False
    radiologist.save()
    assert client.post(ASK, {"code": code_of(radiologist, clock)})["Location"] == LOGIN
    assert not is_in(client)


def test_setting_it_up(radiologist: User, clock: list[float]) -> None:
    client = Client()
    sign_in(client)
    page = client.get(SET_UP)
    assert "no-store" in page["Cache-Control"]
    text = page.content.decode()
    secret = re.search(r"data-secret>([A-Z2-7 ]+)<", text)
    assert secret is not None
    device = TOTPDevice.objects.get(user=radiologist)
    assert base64.b32decode(secret[1].replace(" ", "")) == device.bin_key
    assert "<svg" in text
    code = code_of(radiologist, clock, confirmed=False)
    answer = client.post(SET_UP, {"code": code, "password": "wrong"})
    assert "not your password" in answer.content.decode()
    assert not second_factor.is_set_up(radiologist)
    answer = client.post(SET_UP, {"code": "000000", "password": PASSWORD})
    assert "code is wrong" in answer.content.decode()
    answer = client.post(SET_UP, {"code": code, "password": PASSWORD})
    assert "no-store" in answer["Cache-Control"]
    shown = re.findall(r"(?:[a-z2-7]{4}-){3}[a-z2-7]{4}", answer.content.decode())
    assert len(shown) == 10
    assert second_factor.is_set_up(radiologist)
    assert AuditEvent.objects.filter(verb="second_factor.add", actor="rita").count() == 1
    assert client.get(SET_UP)["Location"] == reverse("accounts:profile")
    assert "10 recovery codes are left" in client.get("/accounts/profile/").content.decode()


def test_removing_it_and_new_codes(radiologist: User, codes: list[str], clock: list[float]) -> None:
    client = Client()
    client.force_login(radiologist)
    client.post("/accounts/second-factor/remove/", {"code": "000000"})
    assert second_factor.is_set_up(radiologist)
    answer = client.post("/accounts/second-factor/codes/", {"code": code_of(radiologist, clock)})
    fresh = re.findall(r"(?:[a-z2-7]{4}-){3}[a-z2-7]{4}", answer.content.decode())
    assert not set(fresh) & set(codes)
    client.post("/accounts/second-factor/remove/", {"code": codes[0]})
    assert second_factor.is_set_up(radiologist)
    client.post("/accounts/second-factor/remove/", {"code": fresh[0]})
    assert not second_factor.is_set_up(radiologist)
    assert not RecoveryCode.objects.exists()
    assert is_in(client)
    other = Client()
    assert sign_in(other)["Location"] == "/worklist/studies/"


@pytest.mark.parametrize("wanted", ["administrators", "everybody"])
def test_a_site_that_wants_one(settings, clock: list[float], wanted: str) -> None:
    settings.SECOND_FACTOR = wanted
    ada = factories.user("ada", Role.ADMIN)
    client = Client()
    assert sign_in(client, "ada")["Location"] == ASK
    text = client.get(ASK).content.decode()
    assert "Set up a second factor" in text
    assert not is_in(client)
    answer = client.post(ASK, {"code": code_of(ada, clock, confirmed=False)})
    assert "Recovery codes" in answer.content.decode()
    assert is_in(client)
    rita = Client()
    factories.user("rita", Role.RADIOLOGIST)
    assert sign_in(rita)["Location"] == (ASK if wanted == "everybody" else "/worklist/studies/")


def basic(name: str = "rita") -> str:
    return base64.b64encode(f"{name}:{PASSWORD}".encode()).decode()


def test_a_password_alone_opens_nothing_for_programs(radiologist: User, clock: list[float]) -> None:
    assert auth.user_of_basic(basic(), address=None) == radiologist
    # Remembered now: it must not outlive the second factor.
    second_factor.begin(radiologist)
    second_factor.confirm(
        actor_of(radiologist), radiologist, code_of(radiologist, clock, confirmed=False)
    )
    assert auth.user_of_basic(basic(), address=None) is None
    assert auth.user_of_program("rita", PASSWORD, address=None) is None
    cache.clear()
    assert auth.user_of_basic(basic(), address=None) is None
    client = Client(HTTP_AUTHORIZATION=f"Basic {basic()}")
    answer = client.get("/worklist/studies/")
    assert answer.status_code == 401
    assert "needs a token" in answer.json()["detail"]


def test_equipment_keeps_its_password_where_people_need_more(settings, radiologist: User) -> None:
    settings.SECOND_FACTOR = "everybody"
    assert auth.user_of_basic(basic(), address=None) is None
    assert auth.user_of_program("rita", PASSWORD, address=None) == radiologist


def test_an_administrator_lets_somebody_in(
    radiologist: User, codes: list[str], admin_user: User
) -> None:
    client = Client()
    client.force_login(admin_user)
    client.post(
        reverse("admin:accounts_user_changelist"),
        {"action": "remove_second_factor", "_selected_action": [str(radiologist.pk)]},
    )
    assert not second_factor.is_set_up(radiologist)
    event = AuditEvent.objects.get(verb="second_factor.remove")
    assert (event.actor, event.target_id) == (admin_user.username, str(radiologist.pk))


def test_nobody_sees_the_secrets_of_others(admin_user: User, codes: list[str]) -> None:
    client = Client()
    client.force_login(admin_user)
    assert client.get("/admin/otp_totp/totpdevice/").status_code == 404


def test_command(radiologist: User, codes: list[str]) -> None:
    out = StringIO()
    call_command("remove_second_factor", "rita", stdout=out)
    assert out.getvalue() == "The second factor of rita is removed.\n"
    assert not second_factor.is_set_up(radiologist)
    for name in ("rita", "nobody"):
        with pytest.raises(CommandError):
            call_command("remove_second_factor", name)


def test_events_name_the_actor(radiologist: User, codes: list[str]) -> None:
    actor: Actor = actor_of(radiologist)
    assert second_factor.remove(actor, radiologist)
    assert not second_factor.remove(actor, radiologist)
    assert AuditEvent.objects.filter(verb="second_factor.remove").count() == 1
