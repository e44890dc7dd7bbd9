"""The page of the audit trail, and the trail as CSV."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from archive import audit, trail
from archive.access import EVERYTHING, Actor
from archive.models import AuditEvent
from archive.trail import TrailQuery
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility, Series, Study

pytestmark = pytest.mark.django_db

ADDRESS = "192.0.2.7"


@pytest.fixture
def study(store: Path, facility: Facility) -> Study:
    ds = make_instance(PatientName="Mueller^Anna", PatientID="P-7", AccessionNumber="A-7")
    factories.store_bytes(to_bytes(ds), facility)
    factories.store_bytes(to_bytes(make_instance(PatientID="P-8")), facility)
    AuditEvent.objects.all().delete()
    return Study.objects.get(patient_identifier="P-7")


def happen(verb: str, target: Any = None, name: str = "rita", **more: Any) -> AuditEvent:
    actor = Actor(name=name, scope=EVERYTHING, address=more.pop("address", None))
    return audit.record(actor, verb, target, **more)


def verbs(client: Client, **query: str) -> list[str]:
    answer = client.get(reverse("worklist:trail-list"), query)
    assert answer.status_code == 200, answer.content.decode()
    return [entry.event.verb for entry in answer.context["page"].entries]


def refused(client: Client, **query: str) -> str:
    answer = client.get(reverse("worklist:trail-list"), query)
    assert answer.status_code == 422
    return str(answer.context["failure"])


def test_each_filter_finds_its_own(admin: Client, study: Study, facility: Facility) -> None:
    series, image = Series.objects.get(study=study), DicomImage.objects.get(series__study=study)
    other = Study.objects.exclude(pk=study.pk).get()
    old = happen("study.open", other, name="olga")
    AuditEvent.objects.filter(pk=old.pk).update(at=timezone.now() - timedelta(days=30))
    happen("study.open", study, address=ADDRESS)
    happen("image.read", image)
    happen("series.read", series, name="CT_NORTH")
    happen("study.delete", study, is_success=False, reason="<b>twice</b>")
    happen("studies.search")
    assert verbs(admin, what="study") == ["study.delete", "study.open", "study.open"]
    assert verbs(admin, what="study.open", when="7d") == ["study.open"]
    assert verbs(admin, who="CT_NORTH") == ["series.read"]
    assert verbs(admin, who="CT_") == []
    assert verbs(admin, address=ADDRESS) == ["study.open"]
    assert verbs(admin, outcome="no") == ["study.delete"]
    everything = ["study.delete", "series.read", "image.read", "study.open"]
    for about in ("P-7", "A-7", study.study_instance_uid):
        assert verbs(admin, about=about) == everything
    assert verbs(admin, about=image.sop_instance_uid) == ["image.read"]
    assert verbs(admin, about=str(series.pk)) == ["series.read"]
    assert verbs(admin, about="P-9") == []
    assert len(verbs(admin, facility=facility.code, what="study")) == 3
    assert verbs(admin, when="2020") == []


def test_what_cannot_be_used_is_said(admin: Client) -> None:
    assert "is no time" in refused(admin, when="yesterdayish")
    assert "is no address" in refused(admin, address="localhost")
    assert "no facility" in refused(admin, facility="NOWHERE")
    assert "yes or no" in refused(admin, outcome="perhaps")
    assert "not one of ours" in refused(admin, cursor="eHh4")
    assert "not one of ours" in refused(admin, cursor="ü")


def test_a_patient_of_whom_there_is_too_much(
    admin: Client, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail, "_MOST_TARGETS", 3)
    assert "More than 3" in refused(admin, about="P-7")


def test_pages_follow_one_another(admin: Client, admin_user: User) -> None:
    moment = timezone.now() - timedelta(hours=1)
    written = [happen("study.open") for _ in range(7)]
    # Several in one moment: their ids decide.
    AuditEvent.objects.filter(pk__in=[one.pk for one in written[2:5]]).update(at=moment)
    actor = Actor(name="ada", scope=EVERYTHING, is_administrator=True)
    seen: list[AuditEvent] = []
    cursor = ""
    while True:
        found = trail.page(actor, TrailQuery(verb="study.open", limit=2, cursor=cursor))
        seen += [entry.event for entry in found.entries]
        cursor = found.cursor
        if not cursor:
            break
    assert seen == list(AuditEvent.objects.filter(verb="study.open").order_by("-at", "-id"))
    assert len(seen) == 7


def test_who_looks_is_written_down(admin: Client, admin_user: User, study: Study) -> None:
    admin.get(reverse("worklist:trail-list"), {"about": "P-7", "who": "rita"})
    event = AuditEvent.objects.get(verb="audit.look")
    assert event.actor == admin_user.username
    assert event.detail == {"who": "rita", "about": "one patient, study or object"}
    admin.get(reverse("worklist:trail-csv"))
    assert AuditEvent.objects.filter(verb="audit.export").count() == 1


def test_only_administrators_read_it(facility: Facility) -> None:
    reader = Client()
    for name in ("trail-list", "trail-csv"):
        address = reverse(f"worklist:{name}")
        assert reader.get(address).status_code == 302
    reader.force_login(factories.user("rita"))
    for name in ("trail-list", "trail-csv"):
        assert reader.get(reverse(f"worklist:{name}")).status_code == 403
    assert not AuditEvent.objects.filter(verb__startswith="audit.").exists()


def test_page_shows_what_was_done_to_whom(admin: Client, study: Study) -> None:
    happen("study.delete", study, is_success=False, level="study", reason="<b>twice</b>")
    text = admin.get(reverse("worklist:trail-list"), {"what": "study"}).content.decode()
    assert "Mueller, Anna" in text
    assert reverse("worklist:study-detail", args=[study.pk]) in text
    assert "&lt;b&gt;twice&lt;/b&gt;" in text
    assert "Refused" in text
    assert "<b>twice" not in text


def test_an_event_that_somebody_has_meddled_with_is_shown(admin: Client, study: Study) -> None:
    for verb in ("study.open", "series.read", "image.read"):
        happen(verb, study)
    events = AuditEvent.objects.filter(actor="rita")
    for kind in ("study", "series", "dicomimage"):
        events.update(target_kind=kind, target_id="no id")
        assert len(verbs(admin, who="rita")) == 3


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv(
    admin: Client, study: Study, facility: Facility, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail, "_AT_ONCE", 2)
    for number in range(5):
        happen("study.open", study, name=f"=cmd|{number}", address=ADDRESS, n=number)
    answer = admin.get(reverse("worklist:trail-csv"), {"what": "study"})
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert ".csv" in answer["Content-Disposition"]
    rows = rows_of(answer.content.decode())
    assert [row["actor"] for row in rows] == [f"'=cmd|{n}" for n in (4, 3, 2, 1, 0)]
    assert {row["target"] for row in rows} == {str(study.pk)}
    assert {(row["facility"], row["address"], row["success"]) for row in rows} == {
        (facility.code, ADDRESS, "yes")
    }
    assert rows[0]["detail"] == '{"n": 4}'
    assert rows[0]["time"].endswith("+00:00")


def test_csv_ends_at_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail, "_AT_ONCE", 2)
    for _ in range(5):
        happen("study.open")
    actor = Actor(name="ada", scope=EVERYTHING, is_administrator=True)
    query = TrailQuery(verb="study.open")
    for most, found in ((0, 0), (1, 1), (2, 2), (3, 3), (5, 5), (9, 5), (None, 5)):
        assert len(list(trail.lines(actor, query, most=most))) == found + 1


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    event = happen("study.open")
    AuditEvent.objects.filter(pk=event.pk).update(at="2026-01-31T23:30:00Z")
    happen("study.look")
    call_command("export_audit", since="2026-01-31", until="2026-01-31")
    assert [row["verb"] for row in rows_of(capsys.readouterr().out)] == ["study.open"]
    call_command("export_audit")
    assert [row["verb"] for row in rows_of(capsys.readouterr().out)][-2:] == [
        "study.look", "study.open"
    ]  # fmt: skip
    with pytest.raises(CommandError, match="is no day"):
        call_command("export_audit", since="31.1.2026")
