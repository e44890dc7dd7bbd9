"""Pages of what was shown: what administrators and readers see, by series, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Role, User
from archive import access
from archive.access import Actor, actor_of
from archive.models import AuditEvent
from dicom_viewer.ledger import gaps
from reports import viewed
from reports.models import SeriesViewing
from reports.viewed import Shown
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility, Study

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

STUDY = "1.2.826.0.1.3680043.10.1338.4751"


@pytest.fixture
def study(facility: Facility, store: object) -> Study:
    """Two series: of four images, and of one."""
    for series, count in ((1, 4), (2, 1)):
        for number in range(1, count + 1):
            result = factories.store_bytes(
                to_bytes(
                    make_instance(
                        StudyInstanceUID=STUDY,
                        SeriesInstanceUID=f"{STUDY}.{series}",
                        SOPInstanceUID=f"{STUDY}.{series}.{number}",
                        SeriesNumber=series,
                        InstanceNumber=number,
                        PatientName="Ledger^Lea",
                    )
                ),
                facility,
            )
    return access.study_for(access.EVERYTHING, result.study_id)


def image(study: Study, name: str) -> DicomImage:
    uid = f"{STUDY}.{name}"
    return access.images_named(access.EVERYTHING, study.facility_id, [uid])[uid]


def show(actor: Actor, study: Study, names: dict[str, int]) -> None:
    entries = [Shown(image(study, name).pk, 1, shown_ms) for name, shown_ms in names.items()]
    viewed.note_shown(actor, study.pk, uuid4(), entries)


def page_of(person: User, name: str = "shown-study", **arguments: object) -> str:
    client = Client()
    client.force_login(person)
    answer = client.get(reverse(f"dicom_viewer:{name}", kwargs=arguments))
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


@pytest.mark.parametrize(
    ("places", "words"),
    [([], ""), ([4], "4"), ([1, 2, 3, 7, 9, 10], "1–3, 7, 9–10")],
    ids=["none", "one", "runs"],
)
def test_gaps_are_written_as_runs(places: list[int], words: str) -> None:
    assert gaps(places) == words


def test_not_all_gaps_are_written() -> None:
    assert gaps(range(1, 100, 2)).endswith("21, 23, …")


def test_administrators_see_everybody_and_people_themselves(
    reader: Actor,
    study: Study,
    facility: Facility,
    make_user: Callable[..., User],
    admin_user: User,
    radiologist: User,
) -> None:
    otto = make_user("otto", Role.RADIOLOGIST, [facility])
    show(reader, study, {"1.1": 61_000, "1.4": 1000, "2.1": 500})
    show(actor_of(otto), study, {"2.1": 200})
    everybody = page_of(admin_user, study_id=study.pk)
    assert f"{radiologist}</h2>" in everybody
    assert f"{otto}</h2>" in everybody
    assert "2 of 4" in everybody
    assert "2–3" in everybody
    assert "1 min 2 s" in everybody
    own = page_of(otto, study_id=study.pk)
    assert f"{radiologist}</h2>" not in own
    assert "none of 4" in own
    assert "all 1" in own
    said = AuditEvent.objects.filter(verb="viewed.read").values_list("actor", "detail__of")
    assert set(said) == {("ada", "everybody"), ("otto", "oneself")}


def test_a_study_that_nobody_saw_says_so(study: Study, admin_user: User) -> None:
    assert "Nobody was shown an image" in page_of(admin_user, study_id=study.pk)


def test_the_download_has_every_frame(
    reader: Actor, study: Study, radiologist: User, admin_user: User
) -> None:
    radiologist.first_name, radiologist.last_name = "=HYPERLINK(1)", "Rita"
    radiologist.save()
    show(reader, study, {"2.1": 500, "1.4": 1000, "1.1": 1234})
    client = Client()
    client.force_login(admin_user)
    answer = client.get(reverse("dicom_viewer:shown-csv", args=[study.pk]))
    assert answer["Content-Disposition"].endswith('.csv"')
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [(row["SOPInstanceUID"], row["InstanceNumber"], row["shown_s"]) for row in rows] == [
        (f"{STUDY}.1.1", "1", "1.234"),
        (f"{STUDY}.1.4", "4", "1.000"),
        (f"{STUDY}.2.1", "1", "0.500"),
    ]
    assert {row["person"] for row in rows} == {"'=HYPERLINK(1) Rita"}
    assert {row["user"] for row in rows} == {str(radiologist.pk)}
    assert AuditEvent.objects.filter(verb="viewed.export", actor="ada").count() == 1


def test_studies_shown_are_listed_to_oneself(
    reader: Actor,
    study: Study,
    facility: Facility,
    make_user: Callable[..., User],
    radiologist: User,
    admin_user: User,
) -> None:
    show(reader, study, {"1.1": 1000, "1.2": 2000})
    assert "Ledger, Lea" in page_of(radiologist, "shown-list")
    otto = make_user("otto", Role.RADIOLOGIST, [facility])
    assert "No image was shown yet" in page_of(otto, "shown-list")
    client = Client()
    client.force_login(otto)
    assert client.get(reverse("dicom_viewer:shown-list"), {"who": "rita"}).status_code == 403
    client.force_login(admin_user)
    assert (
        "Ledger, Lea"
        in client.get(reverse("dicom_viewer:shown-list"), {"who": "rita"}).content.decode()
    )
    unknown = client.get(reverse("dicom_viewer:shown-list"), {"who": "nobody"})
    assert unknown.status_code == 404


def test_a_long_list_has_pages(reader: Actor, facility: Facility) -> None:
    from reports import ledger

    now = timezone.now()
    wanted = []
    for number in range(5):
        result = factories.store_bytes(to_bytes(make_instance()), facility)
        viewed.note_shown(reader, result.study_id, uuid4(), [Shown(result.image_id, 1, 100)])
        SeriesViewing.objects.filter(study=result.study_id).update(
            last_at=now - timedelta(minutes=number // 2)
        )
        wanted.append(result.study_id)
    found, cursor = [], ""
    while True:
        page = ledger.of_person(reader, cursor=cursor, limit=2)
        found += [line.study.pk for line in page.studies]
        cursor = page.cursor
        if not cursor:
            break
    assert sorted(found) == sorted(wanted)
    assert set(found[:2]) == set(wanted[:2])
