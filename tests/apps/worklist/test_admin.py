"""Django's administration: what can be done there, what cannot, and that long lists stay quick.

Not covered here: users and tokens (tests/apps/accounts), the viewer's and notifications' rows.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Role, User
from archive.models import (
    AuditEvent,
    AvailabilityNotice,
    CommitmentRequest,
    Destination,
    InstanceConflict,
    Job,
    Knock,
    KnockState,
    OutboxEvent,
)
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import (
    DicomImage,
    Facility,
    FacilityAE,
    Modality,
    Patient,
    Series,
    Study,
)

pytestmark = pytest.mark.django_db

OURS = [
    AuditEvent, AvailabilityNotice, CommitmentRequest, Destination, DicomImage, Facility,
    InstanceConflict, Job, Knock, Modality, OutboxEvent, Patient, Series, Study,
]  # fmt: skip
VIEW_ONLY = [
    AuditEvent, AvailabilityNotice, CommitmentRequest, DicomImage, InstanceConflict, Job, Knock,
    OutboxEvent, Patient, Series, Study,
]  # fmt: skip


@pytest.fixture
def client(db: None) -> Client:
    user = User.objects.create(username="ada", role=Role.ADMIN, is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def rows(store: Any, facility: Facility) -> None:
    """One row of everything."""
    ds = make_instance(PatientName="Müller^Änne")
    factories.store_bytes(to_bytes(ds), facility)
    ds.PatientID = "OTHER"
    factories.store_bytes(to_bytes(ds), facility)
    told = Destination.objects.create(ae_title="WS1", host="10.1.0.9", port=104, facility=facility)
    AvailabilityNotice.objects.create(
        destination=told, study=Study.objects.first(), sop_instance_uid="2.25.1", instance_count=1
    )
    CommitmentRequest.objects.create(
        facility=facility, ae_title="CT_NORTH", transaction_uid="1.2.3", state="failed",
        references=[["1.2", "1.2.4"]], failures=[["1.2", "1.2.4", 0x112]], failure_count=1,
    )  # fmt: skip
    Job.objects.create(kind="destination.echo", key="1", state="failed", last_error="Boom\nlast")
    AuditEvent.objects.create(actor="ada", verb="study.open", facility=facility)
    make_knock()


def make_knock(name: str = "CT_2", **values: Any) -> Knock:
    return Knock.objects.create(
        calling_ae_title=name, called_ae_title="NOCTIS_SCP", address="10.9.9.9",
        reason=f"{name} belongs to no facility yet.", reason_code="calling-ae",
        proposed=["CT Image Storage"], **values,
    )  # fmt: skip


def address(model: type, what: str = "changelist", *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{what}", args=args)  # type: ignore[attr-defined]


def act(client: Client, model: type, action: str, *chosen: Any, **fields: str) -> Any:
    data = {"action": action, "_selected_action": [str(row.pk) for row in chosen], **fields}
    return client.post(address(model), data, follow=True)


def said(response: Any) -> str:
    return " ".join(str(message) for message in response.context["messages"])


@pytest.mark.parametrize("model", OURS)
def test_every_list_and_page_opens(client: Client, rows: None, model: Any) -> None:
    listing = client.get(address(model))
    assert listing.status_code == 200
    row = model.objects.first()
    assert client.get(address(model, "change", row.pk)).status_code == 200
    searched = client.get(address(model), {"q": "x"})
    assert searched.status_code == 200


@pytest.mark.parametrize("model", VIEW_ONLY)
def test_what_is_stored_or_happened_is_not_edited(client: Client, rows: None, model: Any) -> None:
    row = model.objects.first()
    before = model.objects.count()
    assert client.get(address(model, "add")).status_code == 403
    assert client.post(address(model, "add"), {}).status_code == 403
    assert client.post(address(model, "change", row.pk), {}).status_code == 403
    assert client.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    act(client, model, "delete_selected", row, post="yes")
    assert model.objects.count() == before


def test_a_facility_is_switched_off_not_deleted(client: Client, facility: Facility) -> None:
    assert client.post(address(Facility, "delete", facility.pk), {"post": "yes"}).status_code == 403
    assert Facility.objects.filter(pk=facility.pk).exists()


def facility_form(facility: Facility | None, **values: Any) -> dict[str, Any]:
    entries = list(facility.ae_titles.all()) if facility else []
    form: dict[str, Any] = {
        "code": "EAST",
        "name": "East",
        "address_ranges": "10.2.0.0/16",
        "is_active": "on",
        "ae_titles-TOTAL_FORMS": len(entries) + 1,
        "ae_titles-INITIAL_FORMS": len(entries),
        "ae_titles-MIN_NUM_FORMS": 0,
        "ae_titles-MAX_NUM_FORMS": 1000,
        f"ae_titles-{len(entries)}-ae_title": "",
    }
    for number, entry in enumerate(entries):
        form[f"ae_titles-{number}-id"] = str(entry.pk)
        form[f"ae_titles-{number}-facility"] = str(entry.facility_id)
        form[f"ae_titles-{number}-ae_title"] = entry.ae_title
        form[f"ae_titles-{number}-description"] = entry.description
    return {**form, **values}


def test_facilities_are_saved_by_the_archives_service(client: Client) -> None:
    response = client.post(
        address(Facility, "add"), facility_form(None, **{"ae_titles-0-ae_title": "CT_E"})
    )
    assert response.status_code == 302
    east = Facility.objects.get(code="EAST")
    assert east.address_ranges == ["10.2.0.0/16"]
    assert FacilityAE.objects.get().facility == east
    verbs = set(AuditEvent.objects.values_list("verb", flat=True))
    assert {"facility.save", "facility.ae_title.add"} <= verbs

    response = client.post(
        address(Facility, "change", east.pk),
        facility_form(
            east,
            name="East Clinic",
            address_ranges="",
            **{"ae_titles-0-DELETE": "on", "ae_titles-1-ae_title": "MR_E"},
        ),
    )
    assert response.status_code == 302
    east.refresh_from_db()
    assert (east.name, east.address_ranges, east.code) == ("East Clinic", [], "EAST")
    assert list(east.ae_titles.values_list("ae_title", flat=True)) == ["MR_E"]
    assert AuditEvent.objects.filter(verb="facility.ae_title.remove").count() == 1
    assert AuditEvent.objects.filter(verb="facility.change").count() == 2


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("ae_titles-0-ae_title", "A\\B", "backslash"),
        ("ae_titles-0-ae_title", "CT_NORTH", "already exists"),
        ("address_ranges", "10.1.0.0/16\n10.0.0.300", "is no network"),
        ("code", "NORTH", "already exists"),
    ],
)
def test_a_bad_facility_says_why(
    client: Client, facility: Facility, field: str, value: str, words: str
) -> None:
    response = client.post(address(Facility, "add"), facility_form(None, **{field: value}))
    assert response.status_code == 200
    assert words in response.text
    assert Facility.objects.count() == 1


def test_knocks_are_admitted_and_dismissed(client: Client, facility: Facility) -> None:
    first, second, third = make_knock("CT_2"), make_knock("CT_3"), make_knock("CT_4")
    assert "Choose the facility" in said(act(client, Knock, "admit", first))
    act(client, Knock, "admit", first, facility="x")
    assert not facility.ae_titles.filter(ae_title="CT_2").exists()
    response = act(client, Knock, "admit", first, second, facility=str(facility.pk))
    assert "CT_2 may send to North Clinic" in said(response)
    assert set(facility.ae_titles.values_list("ae_title", flat=True)) == {
        "CT_NORTH", "CT_2", "CT_3",
    }  # fmt: skip
    assert "1 callers are dismissed" in said(act(client, Knock, "dismiss", third, first))
    states = dict(Knock.objects.values_list("calling_ae_title", "state"))
    assert states == {
        "CT_2": KnockState.ADMITTED, "CT_3": KnockState.ADMITTED, "CT_4": KnockState.DISMISSED,
    }  # fmt: skip


def test_a_knock_that_cannot_be_admitted_says_why(
    client: Client, facility: Facility, other_facility: Facility
) -> None:
    taken = make_knock("CT_SOUTH")
    response = act(client, Knock, "admit", taken, facility=str(facility.pk))
    assert "belongs to South Clinic" in said(response)
    taken.refresh_from_db()
    assert taken.state == KnockState.OPEN


def test_failed_jobs_are_tried_again(client: Client) -> None:
    failed = Job.objects.create(kind="k", key="1", state="failed", attempts=6)
    done = Job.objects.create(kind="k", key="2", state="done")
    assert "1 failed jobs are queued again" in said(act(client, Job, "retry", failed, done))
    assert "None of these" in said(act(client, Job, "retry", done))
    states = dict(Job.objects.values_list("key", "state"))
    assert states == {"1": "queued", "2": "done"}


def test_a_conflict_is_settled_and_its_file_stays(client: Client, store: Any, rows: None) -> None:
    conflict = InstanceConflict.objects.get()
    assert "1 conflicts are settled" in said(act(client, InstanceConflict, "keep_first", conflict))
    conflict.refresh_from_db()
    assert conflict.resolved_at is not None
    assert (store / "conflicts" / conflict.storage_key).is_file()
    assert AuditEvent.objects.filter(verb="conflict.keep_first", actor="ada").count() == 1
    assert "0 conflicts" in said(act(client, InstanceConflict, "keep_first", conflict))


def test_destinations_are_saved_by_the_archives_service(client: Client) -> None:
    form = {"ae_title": "WS1", "host": "10.1.0.9", "port": "104"}
    assert client.post(address(Destination, "add"), form).status_code == 302
    saved = Destination.objects.get()
    client.post(address(Destination, "change", saved.pk), {**form, "host": "ws.example"})
    saved.refresh_from_db()
    assert saved.host == "ws.example"
    assert "1 echoes are on their way" in said(act(client, Destination, "send_echo", saved))
    assert Job.objects.filter(kind="destination.echo").exists()
    client.post(address(Destination, "delete", saved.pk), {"post": "yes"})
    assert not Destination.objects.exists()
    verbs = AuditEvent.objects.filter(verb__startswith="destination.")
    assert set(verbs.values_list("verb", flat=True)) == {
        "destination.save", "destination.echo", "destination.remove",
    }  # fmt: skip


def test_names_are_found_whatever_their_accents(client: Client, rows: None) -> None:
    for question in ("muller", "MÜLLER änne", "P1", "A1", "xxxx"):
        page = client.get(address(Study), {"q": question}).text
        assert ("Müller^Änne" in page) is (question != "xxxx"), question


def test_lists_lead_on_to_each_other_and_to_the_product(client: Client, rows: None) -> None:
    study, series = Study.objects.get(), Series.objects.get()
    assert reverse("worklist:study-detail", args=[study.pk]) in client.get(address(Study)).text
    of_patient = client.get(address(Study), {"patient__id__exact": str(study.patient_id)})
    assert "1 study" in of_patient.text
    of_study = client.get(address(Series), {"study__id__exact": str(study.pk)})
    assert "1 series" in of_study.text
    of_series = client.get(address(DicomImage), {"series__id__exact": str(series.pk)})
    assert "1 DICOM instance" in of_series.text
    facility = Facility.objects.get()
    assert (
        reverse("worklist:facility-detail", args=[facility.pk])
        in client.get(address(Facility)).text
    )


def test_long_lists_come_page_by_page(
    client: Client, facility: Facility, django_assert_max_num_queries: Any
) -> None:
    now = timezone.now()
    patient = Patient.objects.create(facility=facility, patient_id="P")
    Study.objects.bulk_create(
        Study(
            facility=facility, patient=patient, study_instance_uid=f"1.2.{n}",
            sort_at=now - timedelta(minutes=n), patient_name=f"Name^{n}",
            patient_name_folded=f"name {n}",
        )
        for n in range(300)
    )  # fmt: skip
    study = Study.objects.first()
    assert study is not None
    series = Series.objects.create(study=study, series_instance_uid="1.2.3")
    DicomImage.objects.bulk_create(
        DicomImage(
            series=series, facility=facility, sop_instance_uid=f"1.3.{n}", sop_class_uid="1.2",
            transfer_syntax_uid="1.2", storage_key=str(n), size_bytes=1,
        )
        for n in range(300)
    )  # fmt: skip
    AuditEvent.objects.bulk_create(
        AuditEvent(actor="a", verb="study.open", target_kind="study", target_id=str(study.pk),
                   facility=facility)
        for _ in range(300)
    )  # fmt: skip
    for model in (Study, DicomImage, AuditEvent):
        for question in ("", "name 77"):
            with django_assert_max_num_queries(12):
                page = client.get(address(model), {"q": question} if question else {})
            assert page.status_code == 200
        assert len(re.findall(r'class="action-select"', client.get(address(model)).text)) <= 100


def test_lists_take_as_many_queries_for_one_row_as_for_twenty(
    client: Client, rows: None, facility: Facility, django_assert_max_num_queries: Any
) -> None:
    # A facility's AE titles are part of its own page, without a list.
    listed = [model for model in (*OURS, FacilityAE) if admin.site.is_registered(model)]
    assert listed == OURS
    counts: list[dict[str, int]] = []
    for start in (0, 20):
        for n in range(start, start + 20):
            make_more(n)
        counts.append({})
        for model in listed:
            client.get(address(model))
            with django_assert_max_num_queries(20) as queries:
                client.get(address(model))
            counts[-1][model.__name__] = len(queries)
    assert counts[0] == counts[1]


def make_more(n: int) -> None:
    place = factories.facility(f"F{n}", f"F {n}", ae_titles=[f"AE_{n}"])
    patient = Patient.objects.create(facility=place, patient_id=f"P{n}")
    study = Study.objects.create(
        facility=place, patient=patient, study_instance_uid=f"1.2.{n}", sort_at=timezone.now()
    )
    series = Series.objects.create(study=study, series_instance_uid="1.2.3")
    image = DicomImage.objects.create(
        series=series, facility=place, sop_instance_uid=f"1.3.{n}", sop_class_uid="1.2",
        transfer_syntax_uid="1.2", storage_key=str(n), size_bytes=1,
    )  # fmt: skip
    InstanceConflict.objects.create(
        facility=place, kept=image, sop_instance_uid="1", storage_key=str(n), size_bytes=1
    )
    Destination.objects.create(ae_title=f"D{n}", host="h", port=1, facility=place)
    make_knock(f"K{n}", admitted_to=place)
    Job.objects.create(kind="k", key=str(n))
    AuditEvent.objects.create(actor="a", verb="v", facility=place)
    OutboxEvent.objects.create(kind="k", facility=place)
    Modality.objects.create(code=f"X{n}", name="x")


def test_the_common_modalities_are_there(db: None) -> None:
    names = dict(Modality.objects.values_list("code", "name"))
    assert names["CT"] == "Computed tomography"
    assert {"MR", "US", "CR", "DX", "MG", "PT", "NM", "XA", "SR", "SEG"} <= names.keys()


def test_staff_without_rights_sees_nothing(db: None, facility: Facility) -> None:
    clerk = User.objects.create(username="cleo", role=Role.VIEWER, is_staff=True)
    client = Client()
    client.force_login(clerk)
    assert client.get(address(Study)).status_code == 403
    assert client.get(address(Knock)).status_code == 403


def test_the_header_names_the_product(client: Client) -> None:
    page = client.get(reverse("admin:index")).text
    assert "NoctisPro administration" in page
    assert "<script>" not in page  # the policy allows no inline script


def test_a_commitment_says_what_is_missing_and_starts_again(client: Client, rows: None) -> None:
    request = CommitmentRequest.objects.get()
    page = client.get(address(CommitmentRequest, "change", request.pk)).content.decode()
    assert "1.2.4: never received, or deleted" in page
    text = said(act(client, CommitmentRequest, "again", request))
    assert text == "1 requests are checked and reported again."
    request.refresh_from_db()
    assert request.state == "received"
    assert Job.objects.filter(kind="commitment.check", state="queued").exists()


def test_a_notice_that_was_given_up_is_sent_again(client: Client, rows: None) -> None:
    notice = AvailabilityNotice.objects.get()
    assert said(act(client, AvailabilityNotice, "again", notice)) == "0 notices are sent again."
    AvailabilityNotice.objects.update(state="failed")
    assert said(act(client, AvailabilityNotice, "again", notice)) == "1 notices are sent again."


def test_the_flag_of_a_destination_is_kept(client: Client, rows: None) -> None:
    row = Destination.objects.get()
    form = {"host": "10.1.0.9", "port": "104", "facility": "", "wants_availability": "on"}
    client.post(address(Destination, "change", row.pk), form)
    row.refresh_from_db()
    assert row.wants_availability
