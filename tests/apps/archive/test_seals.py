"""The chain over the audit trail: nothing of it is changed unseen."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from archive import audit, database, runner, seals, signing
from archive.access import EVERYTHING, Actor
from archive.models import AuditEvent, AuditSeal, SigningKey
from archive.seals import Head
from tests import factories
from worklist.models import Facility, Patient

pytestmark = pytest.mark.django_db

ACTOR = Actor(name="CT_NORTH", scope=EVERYTHING, address="2001:db8::7")


@pytest.fixture(autouse=True)
def own_key(tmp_path: Path, settings: object) -> Path:
    settings.DATA_DIR = tmp_path  # type: ignore[attr-defined]
    settings.SIGNING_KEY = ""  # type: ignore[attr-defined]
    return tmp_path


def write(count: int) -> list[AuditEvent]:
    """Write events of a facility whose making was an event itself, which is forgotten."""
    north = Facility.objects.filter(code="NORTH").first()
    if north is None:
        north = factories.facility("NORTH", "North Clinic")
        AuditEvent.objects.all().delete()
    patient = Patient(facility=north)
    return [
        audit.record(ACTOR, "query", patient, keys=["b", "a"], count=n, share=1.0, ok=None)
        for n in range(count)
    ]


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> list[AuditEvent]:
    """Return six events in three seals."""
    monkeypatch.setattr(seals, "_MOST_EVENTS", 2)
    events = write(6)
    made = [seals.seal(), seals.seal(), seals.seal()]
    assert [one.number for one in made if one] == [1, 2, 3]
    assert seals.seal() is None
    return events


def check(head: Head | None = None) -> list[str]:
    report = seals.verify(head)
    assert report.problem_count == len(report.problems)
    return report.problems


def test_a_sound_trail(sealed: list[AuditEvent]) -> None:
    report = seals.verify()
    assert report.is_sound
    assert (report.events, report.seals, report.unsealed) == (6, 3, 0)
    assert report.head == Head(3, AuditSeal.objects.get(number=3).head)
    assert seals.verify(report.head).is_sound


@pytest.mark.parametrize(
    "change",
    [
        {"actor": "SOMEBODY"},
        {"verb": "study.look"},
        {"at": timezone.now()},
        {"address": None},
        {"address": "2001:db8::8"},
        {"target_id": "x"},
        {"target_kind": "study"},
        {"facility": None},
        {"is_success": False},
        {"detail": {"keys": ["a", "b"], "count": 2, "share": 1.0, "ok": None}},
    ],
    ids=lambda change: "-".join(f"{k} {v if k != 'at' else 'now'}" for k, v in change.items()),
)
def test_an_edited_event(sealed: list[AuditEvent], change: dict[str, object]) -> None:
    AuditEvent.objects.filter(pk=sealed[2].pk).update(**change)
    assert check() == [f"Event {sealed[2].pk} (seal 2) was changed."]


def test_a_removed_event(sealed: list[AuditEvent]) -> None:
    gone = sealed[3].pk
    sealed[3].delete()
    assert check() == [f"Event {gone} (seal 2) is missing."]


def test_two_events_in_each_others_place(sealed: list[AuditEvent]) -> None:
    first, second = sealed[0], sealed[1]
    AuditEvent.objects.filter(pk=first.pk).update(at=second.at, detail=second.detail)
    AuditEvent.objects.filter(pk=second.pk).update(at=first.at, detail=first.detail)
    assert len(check()) == 2


def test_an_event_moved_to_another_seal(sealed: list[AuditEvent]) -> None:
    AuditEvent.objects.filter(pk=sealed[0].pk).update(seal_number=3)
    assert check() == [
        f"Event {sealed[0].pk} (seal 1) is missing.",
        f"Event {sealed[0].pk} was added to seal 3.",
    ]


def test_an_event_put_in_later(sealed: list[AuditEvent]) -> None:
    (late,) = write(1)
    AuditEvent.objects.filter(pk=late.pk).update(seal_number=2)
    assert check() == [f"Event {late.pk} was added to seal 2."]


def test_a_removed_seal(sealed: list[AuditEvent]) -> None:
    AuditSeal.objects.get(number=2).delete()
    assert check() == ["Seals 2 to 2 are missing."]


def test_a_removed_seal_whose_gap_was_closed(sealed: list[AuditEvent]) -> None:
    AuditEvent.objects.filter(seal_number=2).delete()
    AuditSeal.objects.get(number=2).delete()
    AuditSeal.objects.filter(number=3).update(number=2)
    AuditEvent.objects.filter(seal_number=3).update(seal_number=2)
    problems = check()
    assert "Seal 2 does not continue seal 1." in problems
    assert "Seal 2 was changed." in problems


def test_a_changed_seal(sealed: list[AuditEvent]) -> None:
    AuditSeal.objects.filter(number=2).update(sealed_at=F("sealed_at") - timedelta(days=1))
    assert check() == ["Seal 2 was changed."]


def test_a_seal_made_anew_without_the_key(sealed: list[AuditEvent]) -> None:
    AuditEvent.objects.filter(pk=sealed[5].pk).update(actor="SOMEBODY")
    one = AuditSeal.objects.get(number=3)
    rows = AuditEvent.objects.filter(seal_number=3).order_by("id").values_list(*seals._COLUMNS)
    one.entries = b"".join(seals._entry(row) for row in rows)
    one.head = seals.head_of(one)
    one.save()
    assert check() == ["The signature of seal 3 is wrong."]


def test_a_cut_off_end_is_found_by_a_head_that_was_kept(sealed: list[AuditEvent]) -> None:
    head = seals.verify().head
    AuditEvent.objects.filter(seal_number=3).delete()
    AuditSeal.objects.get(number=3).delete()
    assert check() == []
    assert check(head) == ["Seals 3 to 3 are missing: the end was cut off."]


def test_events_that_lost_their_seal(sealed: list[AuditEvent]) -> None:
    AuditSeal.objects.get(number=3).delete()
    assert check() == ["2 events name a seal that is missing."]


def test_a_trail_signed_anew_is_found_by_a_head_that_was_kept(
    sealed: list[AuditEvent], own_key: Path
) -> None:
    head = seals.verify().head
    assert head is not None
    AuditEvent.objects.filter(pk=sealed[0].pk).update(actor="SOMEBODY")
    AuditEvent.objects.update(seal_number=None)
    AuditSeal.objects.all().delete()
    (own_key / "signing-key.pem").unlink()
    signing._private_key.cache_clear()
    while seals.seal():
        pass
    assert check() == []
    assert check(head) == [f"Seal 3 is not the one that was seen: {head.head}."]


def test_events_stay_as_they_are_when_user_and_facility_go() -> None:
    user, place = factories.user("reader"), factories.facility("GONE", "Gone")
    place_id, user_id = place.pk, user.pk
    actor = Actor(name="reader", scope=EVERYTHING, user_id=user_id)
    audit.record(actor, "patient.look", Patient(facility=place))
    with database.reading() as reader:
        audit.record_read(reader, actor, "query", Patient(facility=place))
    seals.seal()
    user.delete()
    place.delete()
    assert check() == []
    assert AuditEvent.objects.filter(facility_id=place_id, user_id=user_id).count() == 2


def test_what_nobody_seals_is_said() -> None:
    (event,) = write(1)
    assert check() == []
    AuditEvent.objects.filter(pk=event.pk).update(at=timezone.now() - timedelta(minutes=11))
    (problem,) = check()
    assert "is the worker running?" in problem
    assert seals.verify(is_live=False).is_sound


def test_a_runner_seals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_last_pulse", [-runner._PULSE_EVERY_S])
    write(3)
    runner.drain()
    assert not AuditEvent.objects.filter(seal_number=None).exists()
    assert AuditSeal.objects.get().event_count == 3


def test_an_access_that_is_rolled_back_leaves_no_gap(
    transactional_db: None, sealed: list[AuditEvent]
) -> None:
    class RolledBack(Exception):  # noqa: N818 - for this test alone
        pass

    def access() -> None:
        with transaction.atomic():
            write(1)
            raise RolledBack

    with pytest.raises(RolledBack):
        access()
    write(1)
    seals.seal()
    assert check() == []


def test_the_key_is_private_and_stays(own_key: Path) -> None:
    first = signing.sign("test", b"message")
    path = own_key / "signing-key.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in own_key.iterdir()] == [path.name]
    signing._private_key.cache_clear()
    assert signing.sign("test", b"message") == first
    key = SigningKey.objects.get(pk=first.key_id)
    assert signing.is_signed(key.public_key, "test", b"message", first.text)
    assert not signing.is_signed(key.public_key, "other", b"message", first.text)
    assert not signing.is_signed(key.public_key, "test", b"messagf", first.text)
    assert not signing.is_signed(key.public_key, "test", b"message", first.text[:-4])
    assert not signing.is_signed("", "test", b"message", first.text)


@pytest.mark.parametrize("text", ["nonsense", "-----BEGIN PRIVATE KEY-----"])
def test_a_key_that_is_none_is_refused_in_words(settings: object, text: str) -> None:
    settings.SIGNING_KEY = text  # type: ignore[attr-defined]
    with pytest.raises(signing.SigningKeyError, match="NOCTIS_SIGNING_KEY holds no Ed25519 key"):
        signing.sign("test", b"message")


def run(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("verify_audit", *arguments, stdout=out, no_color=True)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_command(sealed: list[AuditEvent]) -> None:
    code, text = run()
    head = str(seals.verify().head)
    assert code == 0
    assert text == (
        f"Checked 6 events in 3 seals; 0 wait for theirs.\nHead: {head}\n"
        "The audit trail is as it was written.\n"
    )
    assert run("--head", head)[0] == 0
    gone = sealed[0].pk
    sealed[0].delete()
    code, text = run("--head", head)
    assert code == 1
    assert f"Event {gone} (seal 1) is missing." in text


@pytest.mark.parametrize("head", ["", "1", "0:" + "a" * 64, "1:" + "g" * 64])
def test_command_with_a_head_that_is_none(head: str) -> None:
    with pytest.raises(CommandError, match="argument --head"):
        call_command("verify_audit", "--head", head)


@pytest.mark.parametrize("make", [lambda: b"", lambda: b"\x00" * 31])
def test_entries_of_another_length(sealed: list[AuditEvent], make: Callable[[], bytes]) -> None:
    AuditSeal.objects.filter(number=1).update(entries=make())
    problems = check()
    assert problems[0] == "Seal 1 was changed."
