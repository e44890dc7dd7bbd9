"""The audit trail for others: DICOM's audit messages, FHIR resources, both by other checkers."""

from __future__ import annotations

import base64
import json
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from fhir.resources.R4B.auditevent import AuditEvent as FhirAuditEvent
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.operationoutcome import OperationOutcome
from lxml import etree
from pydicom.sr.codedict import codes

from accounts.models import ApiToken, Role, User
from archive import audit, audit_codes, audit_fhir, audit_message
from archive.access import EVERYTHING, Actor
from archive.audit_codes import Code
from archive.audit_facts import Facts, facts_of
from archive.models import AuditEvent
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility, Study

pytestmark = pytest.mark.django_db

_SCHEMA = Path(__file__).parents[2] / "schemas" / "audit_message.rng"
RITA = Actor(
    name="rita", scope=EVERYTHING, user_id=UUID(int=7), address="192.0.2.7", is_administrator=True
)


@pytest.fixture(scope="module")
def schema() -> etree.RelaxNG:
    return etree.RelaxNG(etree.parse(str(_SCHEMA)))


@pytest.fixture
def study(store: Path, facility: Facility) -> Study:
    instance = make_instance(
        PatientID="P-7", PatientName="Müller^Änne", AccessionNumber="A-1", StudyInstanceUID="1.2.7"
    )
    result = factories.store_bytes(to_bytes(instance), facility)
    return DicomImage.objects.get(pk=result.image_id).series.study


def one(event: AuditEvent) -> Facts:
    return facts_of([event])[0]


def checked(facts: Facts, schema: etree.RelaxNG) -> Any:
    tree = etree.fromstring(audit_message.audit_message(facts))
    schema.assertValid(tree)
    return tree


def resource(facts: Facts) -> dict[str, Any]:
    text = json.dumps(audit_fhir.audit_event(facts))
    again: dict[str, Any] = json.loads(FhirAuditEvent.model_validate_json(text).model_dump_json())
    assert set(again) == set(json.loads(text))
    return again


def of(tree: Any, path: str) -> list[str]:
    found: list[str] = tree.xpath(path)
    return found


def test_a_reading_names_patient_study_person_and_address(
    study: Study, schema: etree.RelaxNG
) -> None:
    facts = one(audit.record(RITA, "study.open", study, window="lung"))
    tree = checked(facts, schema)
    assert of(tree, "//EventID/@csd-code") == ["110103"]
    assert of(tree, "//EventTypeCode/@csd-code") == ["study.open"]
    assert of(tree, "//@EventActionCode") == ["R"]
    assert of(tree, "//ActiveParticipant[@UserIsRequestor='true']/@UserID") == ["rita"]
    assert of(tree, "//ActiveParticipant/@NetworkAccessPointID")[0] == "192.0.2.7"
    assert of(tree, "//@AuditEnterpriseSiteID") == ["NORTH"]
    assert of(tree, "//@ParticipantObjectID") == ["1.2.7", "P-7"]
    assert of(tree, "//ParticipantObjectIDTypeCode/@csd-code") == ["110180", "2"]
    assert of(tree, "//Accession/@Number") == ["A-1"]
    assert of(tree, "//ParticipantObjectName/text()")[1] == "Müller^Änne"
    (detail,) = of(tree, "//ParticipantObjectDetail/@value")
    assert json.loads(base64.b64decode(detail)) == {"window": "lung"}
    found = resource(facts)
    assert found["entity"][0]["what"]["identifier"]["value"] == "P-7"
    assert found["entity"][1]["what"]["identifier"]["value"] == "urn:oid:1.2.7"
    assert (found["action"], found["outcome"]) == ("R", "0")
    assert found["agent"][0]["who"]["identifier"]["value"] == "rita"
    assert [agent["requestor"] for agent in found["agent"]] == [True, False]


def test_an_images_event_names_its_study(study: Study, schema: etree.RelaxNG) -> None:
    facts = one(audit.record(RITA, "image.read", DicomImage.objects.get()))
    assert of(checked(facts, schema), "//@ParticipantObjectID") == ["1.2.7", "P-7"]


def test_a_search_carries_its_question(facility: Facility, schema: etree.RelaxNG) -> None:
    facts = one(audit.record(RITA, "query", facility, keys={"PatientID": "P*"}))
    tree = checked(facts, schema)
    assert of(tree, "//EventID/@csd-code") == ["110112"]
    (query,) = of(tree, "//ParticipantObjectQuery/text()")
    assert json.loads(base64.b64decode(query)) == {"keys": {"PatientID": "P*"}}
    assert "query" in resource(facts)["entity"][0]


@pytest.mark.parametrize(
    ("verb", "event", "types", "action"),
    [
        ("session.open", "110114", ["110122"], "E"),
        ("session.close", "110114", ["110123"], "E"),
        ("study.delete", "110105", [], "D"),
        ("study.export", "110106", [], "R"),
        ("study.retrieve", "110104", [], "R"),
        ("patient.link", "110110", [], "R"),
        ("order.create", "110109", [], "C"),
        ("user.change", "110113", ["110137"], "U"),
        ("facility.ae_title.remove", "110113", ["110128"], "D"),
        ("audit.look", "110101", [], "R"),
        ("something.else", "110103", [], "E"),
    ],
)
def test_verbs_have_dicoms_codes(
    verb: str, event: str, types: list[str], action: str, schema: etree.RelaxNG
) -> None:
    facts = one(audit.record(RITA, verb, is_success=verb != "session.open"))
    tree = checked(facts, schema)
    assert of(tree, "//EventID/@csd-code") == [event]
    assert of(tree, "//EventTypeCode/@csd-code") == [*types, verb]
    assert of(tree, "//@EventActionCode") == [action]
    assert of(tree, "//@EventOutcomeIndicator") == ["4" if verb == "session.open" else "0"]
    assert resource(facts)["subtype"][-1]["code"] == verb


def test_codes_and_meanings_are_the_standards() -> None:
    ours = [value for value in vars(audit_codes).values() if isinstance(value, Code)]
    assert len(ours) > 15
    known = {code.value: code.meaning for code in (getattr(codes.DCM, n) for n in codes.DCM.dir())}
    for code in ours:
        assert known[code.value] == code.meaning


def test_nothing_that_a_caller_calls_itself_breaks_a_message(
    facility: Facility, schema: etree.RelaxNG
) -> None:
    evil = Actor(name="<&\"'\x00\x1b]]>\n", scope=EVERYTHING)
    facts = one(audit.record(evil, "session.refuse", because="\x01" * 9000, keys=[{"a": "\x00"}]))
    tree = checked(facts, schema)
    assert of(tree, "//ActiveParticipant/@UserID")[0].startswith("<&\"'\ufffd")
    assert len(audit_message.audit_message(facts)) < 8000
    resource(facts)


def test_a_row_that_was_meddled_with_goes_out_all_the_same(schema: etree.RelaxNG) -> None:
    event = audit.record(RITA, "study.open")
    AuditEvent.objects.update(target_kind="patient", target_id="no id at all")
    event.refresh_from_db()
    assert of(checked(one(event), schema), "//@ParticipantObjectID") == ["no id at all"]
    resource(one(event))


def test_facts_of_many_events_cost_a_few_queries(
    study: Study, django_assert_max_num_queries: Any
) -> None:
    events = [audit.record(RITA, "study.open", study) for _ in range(40)]
    with django_assert_max_num_queries(8):
        assert len(facts_of(events)) == 40


# The command --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["fhir", "dicom"])
def test_the_export_is_one_event_a_line(study: Study, form: str, schema: etree.RelaxNG) -> None:
    for _ in range(3):
        audit.record(RITA, "study.open", study)
    out = StringIO()
    call_command("export_audit", format=form, form=form, stdout=out)
    lines = out.getvalue().splitlines()
    assert len(lines) == AuditEvent.objects.count()
    for line in lines:
        if form == "fhir":
            FhirAuditEvent.model_validate_json(line)
        else:
            schema.assertValid(etree.fromstring(line))
    assert AuditEvent.objects.filter(verb="audit.export").count() == 1


# By HTTP ------------------------------------------------------------------------------------------


@pytest.fixture
def admin(admin_user: User) -> Client:
    client = Client()
    client.force_login(admin_user)
    return client


def search(client: Client, **query: Any) -> Bundle:
    answer = client.get("/fhir/AuditEvent", query)
    assert answer.status_code == 200, answer.content
    assert answer["Content-Type"].startswith("application/fhir+json")
    assert "no-store" in answer["Cache-Control"]
    return Bundle.model_validate_json(answer.content)


def test_a_search_answers_pages_of_a_bundle(admin: Client, study: Study) -> None:
    wanted = [str(audit.record(RITA, "study.open", study).pk) for _ in range(3)]
    audit.record(RITA, "session.open")
    first = search(admin, patient="P-7", _count=2)
    assert first.type == "searchset"
    following = next(link.url for link in first.link if link.relation == "next")
    second = Bundle.model_validate_json(admin.get(following).content)
    found = [entry.resource.id for page in (first, second) for entry in page.entry]
    assert found[:3] == wanted[::-1]
    assert [link.relation for link in second.link] == ["self"]
    one_event = FhirAuditEvent.model_validate_json(admin.get(first.entry[0].fullUrl).content)
    assert one_event.id == wanted[-1]
    assert AuditEvent.objects.filter(verb="audit.look").count() == 3


def test_dates_are_compared_as_fhir_does(admin: Client) -> None:
    event = audit.record(RITA, "session.open")
    AuditEvent.objects.filter(pk=event.pk).update(at="2026-03-05T12:00:00Z")

    def is_found(*dates: str) -> bool:
        answer = search(admin, date=list(dates), agent="rita")
        return bool(answer.entry)

    for dates in (
        ["2026"], ["2026-03"], ["2026-03-05"], ["ge2026-03-05", "lt2026-03-06"], ["le2026-03-05"],
        ["gt2026-03-04"], ["eq2026-03-05T12:00:00Z"], ["ge2026-03-05T13:00:00+01:00"],
    ):  # fmt: skip
        assert is_found(*dates), dates
    for dates in (
        ["2025"], ["2026-04"], ["gt2026-03-05"], ["lt2026-03-05"], ["ge2026-03-05T12:00:01Z"],
    ):  # fmt: skip
        assert not is_found(*dates), dates


@pytest.mark.parametrize(
    "query",
    [{"date": "yesterday"}, {"date": "2026-13"}, {"date": "2026-01-31T99:00"}, {"_count": "0"},
     {"outcome": "perhaps"}, {"entity": "Study/1"}, {"_cursor": "x"},
     {"agent": "a\0b"}, {"date": "ge0001-01-01T00:00:00+14:00"},
     {"date": "le9999-12-31T23:00:00-14:00"}],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_asked_is_said(admin: Client, query: dict[str, str]) -> None:
    answer = admin.get("/fhir/AuditEvent", query)
    assert answer.status_code == 422
    outcome = OperationOutcome.model_validate_json(answer.content)
    assert outcome.issue[0].diagnostics


def test_a_method_that_is_not_known_is_said_in_words(admin: Client) -> None:
    answer = admin.post("/fhir/AuditEvent")
    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD")
    assert answer["Content-Type"] == "application/problem+json"
    assert "method" in answer.json()["detail"]


def test_an_event_that_is_not_there(admin: Client) -> None:
    answer = admin.get(f"/fhir/AuditEvent/{UUID(int=1)}")
    assert answer.status_code == 404
    assert OperationOutcome.model_validate_json(answer.content).issue[0].code == "not-found"


@pytest.mark.parametrize("path", ["/fhir/AuditEvent", f"/fhir/AuditEvent/{UUID(int=1)}"])
def test_it_is_for_administrators(path: str, facility: Facility) -> None:
    client = Client()
    answer = client.get(path)
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")
    OperationOutcome.model_validate_json(answer.content)
    for role in (Role.RADIOLOGIST, Role.TECHNOLOGIST, Role.FACILITY, Role.REFERRER, Role.VIEWER):
        client.force_login(factories.user(f"a {role}", role, [facility]))
        assert client.get(path).status_code == 403
    assert client.post(path).status_code in {403, 405}


def test_a_program_comes_by_token(admin_user: User) -> None:
    _, secret = ApiToken.issue(admin_user, expires_at=None)
    answer = Client().get("/fhir/AuditEvent", headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 200
    Bundle.model_validate_json(answer.content)


def test_no_reading_without_its_event(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import OperationalError

    audit.record(RITA, "session.open", at=timezone.now().isoformat())

    def full(*_: Any, **__: Any) -> None:
        raise OperationalError("disk full")

    monkeypatch.setattr(AuditEvent.objects, "create", full)
    assert admin.get("/fhir/AuditEvent").status_code == 503
