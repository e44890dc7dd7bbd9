"""Identities that are one person: suggested, linked, unlinked, and nothing stored is changed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from archive import overview, patients, query
from archive.access import EVERYTHING, Actor, actor_of
from archive.errors import ConflictError, ForbiddenError, InvalidInputError
from archive.models import AuditEvent, PatientLink
from archive.patients import is_similar
from archive.query import StudyQuery
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility, Patient, Study

pytestmark = pytest.mark.django_db

WHY = "She married"


@pytest.fixture
def admin(admin_user: User) -> Actor:
    return actor_of(admin_user)


def stored(facility: Facility, patient_id: str, name: str, **keywords: Any) -> Patient:
    ds = make_instance(
        PatientID=patient_id, PatientName=name, SpecificCharacterSet="ISO_IR 192", **keywords
    )
    factories.store_bytes(to_bytes(ds), facility)
    return Patient.objects.get(facility=facility, patient_id=patient_id)


@pytest.fixture
def anna(store: Path, facility: Facility) -> list[Patient]:
    """One person under three IDs."""
    return [
        stored(facility, "P1", "Müller^Anna"),
        stored(facility, "P2", "MUELLER^ANNA MARIA"),
        stored(facility, "P3", "Muller^Anna"),
    ]


def shown_with(patient: Patient) -> set[str]:
    """The Patient IDs of the studies that are listed for a patient."""
    page = query.find_studies(EVERYTHING, StudyQuery(patient=patient.pk))
    return {study.patient_identifier for study in page.items}


@pytest.mark.parametrize(
    ("one", "other", "similar"),
    [
        pytest.param("Müller^Anna", "MUELLER^ANNA", True, id="umlaut"),
        pytest.param("Meier^Hans-Peter", "Meier^Hans Peter", True, id="hyphen"),
        pytest.param("Yamada^Tarou=山田^太郎", "YAMADA^TAROU", True, id="first-group"),
        pytest.param("Schmidt^Eva", "Schmitt^Eva", True, id="spelling"),
        pytest.param("Anna^Müller", "Müller^Anna", True, id="turned-round"),
        pytest.param("Meier^Jan", "Meier^Eva", False, id="family"),
        pytest.param("Meier", "Meier^Eva", False, id="family-name-alone"),
        pytest.param("", "", False, id="no-name"),
    ],
)
def test_names(one: str, other: str, similar: bool) -> None:
    assert is_similar(one, other) is similar
    assert is_similar(other, one) is similar


def test_who_may_be_one_is_suggested(
    anna: list[Patient], facility: Facility, other_facility: Facility, admin: Actor
) -> None:
    stored(facility, "P4", "Mueller^Anna", PatientBirthDate="19700102")
    stored(facility, "P5", "Mueller^Anna", PatientSex="M")
    stored(facility, "P6", "Berger^Eva")
    stored(other_facility, "P7", "Mueller^Anna")
    found = {(s.patient.patient_id, s.into.patient_id) for s in patients.suggestions(admin)}
    assert found == {("P2", "P1"), ("P3", "P1"), ("P3", "P2")}
    assert {s.into_studies for s in patients.suggestions(admin)} == {1}


def test_linked_patients_are_listed_together_and_unlinked_apart(
    anna: list[Patient], admin: Actor, store: Path
) -> None:
    def state() -> tuple[object, ...]:
        digests = [hashlib.sha256(p.read_bytes()).digest() for p in sorted(store.rglob("*.dcm"))]
        rows = (Patient, Study, DicomImage)
        return digests, [list(model.objects.order_by("pk").values()) for model in rows]

    before = state()
    one, two, three = anna
    first = patients.link(admin, two.pk, one.pk, WHY)
    # Both by way of a third: links are followed, and no ring can be made.
    patients.link(admin, three.pk, two.pk, WHY)
    for patient in anna:
        assert shown_with(patient) == {"P1", "P2", "P3"}
    study = Study.objects.get(patient=one)
    others = overview.other_studies(EVERYTHING, study)
    assert {other.patient_identifier for other in others} == {"P2", "P3"}
    with pytest.raises(ConflictError, match="linked already"):
        patients.link(admin, one.pk, three.pk, WHY)
    assert patients.suggestions(admin) == []
    assert state() == before

    patients.unlink(admin, first.pk)
    assert shown_with(one) == {"P1"}
    assert shown_with(two) == {"P2", "P3"}
    with pytest.raises(ConflictError, match="taken back already"):
        patients.unlink(admin, first.pk)
    assert ("P2", "P1") not in {
        (s.patient.patient_id, s.into.patient_id) for s in patients.suggestions(admin)
    }
    assert state() == before
    verbs = set(
        AuditEvent.objects.filter(verb__startswith="patient").values_list("verb", flat=True)
    )
    assert verbs == {"patient.link", "patient.unlink"}


def test_two_people_are_not_suggested_again(anna: list[Patient], admin: Actor) -> None:
    patients.keep_apart(admin, anna[1].pk, anna[0].pk)
    found = {(s.patient.patient_id, s.into.patient_id) for s in patients.suggestions(admin)}
    assert found == {("P3", "P1"), ("P3", "P2")}
    assert shown_with(anna[0]) == {"P1"}


def test_identity_ends_at_the_facility(
    anna: list[Patient], other_facility: Facility, admin: Actor, reader: Actor
) -> None:
    elsewhere = stored(other_facility, "P1", "Müller^Anna")
    with pytest.raises(InvalidInputError, match="two facilities"):
        patients.link(admin, anna[0].pk, elsewhere.pk, WHY)
    with pytest.raises(InvalidInputError, match="different patients"):
        patients.link(admin, anna[0].pk, anna[0].pk, WHY)
    with pytest.raises(InvalidInputError, match="Say why"):
        patients.link(admin, anna[0].pk, anna[1].pk, "")
    for act in (
        lambda: patients.link(reader, anna[0].pk, anna[1].pk, WHY),
        lambda: patients.suggestions(reader),
        lambda: patients.keep_apart(reader, anna[0].pk, anna[1].pk),
    ):
        with pytest.raises(ForbiddenError):
            act()
    assert not PatientLink.objects.exists()


def test_without_links_it_costs_one_query(anna: list[Patient]) -> None:
    with CaptureQueriesContext(connection) as asked:
        patients.group_ids(anna[0].pk)
    assert len(asked) == 1


def test_the_page_links_and_takes_back(
    anna: list[Patient], admin_user: User, site: Client, facility: Facility
) -> None:
    client = Client()
    client.force_login(admin_user)
    home, add = reverse("worklist:patient-links"), reverse("worklist:patient-link-add")
    shown = client.get(home).content.decode()
    assert "Müller, Anna" in shown
    assert "One person" in shown
    ends = {"patient": anna[1].pk, "into": anna[0].pk}
    said = client.post(add, {**ends, "reason": WHY}, follow=True).content.decode()
    assert "They are one person now" in said
    assert client.post(add, {**ends, "reason": WHY}).status_code == 422
    by_hand = {"facility": facility.pk, "patient_identifier": "P3", "into_identifier": "P9"}
    answer = client.post(add, {**by_hand, "reason": WHY})
    assert answer.status_code == 422
    assert "no patient with that Patient ID" in answer.content.decode()
    answer = client.post(add, {**by_hand, "into_identifier": "P1", "reason": WHY}, follow=True)
    assert "They are one person now" in answer.content.decode()
    assert WHY in client.get(home, {"state": "linked"}).content.decode()
    study = Study.objects.get(patient=anna[0])
    page = site.get(reverse("worklist:study-detail", args=[study.pk])).content.decode()
    assert "as P2" in page
    for link in PatientLink.objects.all():
        client.post(reverse("worklist:patient-link-undo", args=[link.pk]))
    assert "taken back by ada" in client.get(home, {"state": "apart"}).content.decode()
    client.post(reverse("worklist:patient-apart"), {"patient": anna[2].pk, "into": anna[1].pk})
    assert "Nothing to suggest" in client.get(home).content.decode()
    for address in (home, add, reverse("worklist:patient-apart")):
        assert site.post(address).status_code in {403, 405}
    assert site.get(home).status_code == 403
