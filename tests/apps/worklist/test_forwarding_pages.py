"""The pages of forwarding: who sees them, what they say, what their buttons do."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client

from accounts.models import Role
from archive import access, destinations
from archive.destinations import DestinationDraft
from archive.models import Destination, ForwardRule, OutboxEvent, Transmission
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import Facility, Study

pytestmark = pytest.mark.django_db


@pytest.fixture
def north() -> Facility:
    return factories.facility("NORTH", "North Clinic")


@pytest.fixture
def where(north: Facility) -> Destination:
    draft = DestinationDraft("PACS2", "127.0.0.1", 104, facility=north)
    return destinations.save_destination(access.system_actor("tests"), draft)


@pytest.fixture
def study(north: Facility) -> Study:
    factories.store_bytes(to_bytes(make_instance(PatientName="O'Neill^<b>Anna")), north)
    return Study.objects.get()


def client_of(username: str, role: Role, *facilities: Facility) -> Client:
    client = Client()
    client.force_login(factories.user(username, role, facilities))
    return client


@pytest.fixture
def admin() -> Client:
    return client_of("root", Role.ADMIN)


RULES = "/worklist/forwarding/rules/"
QUEUE = "/worklist/forwarding/"


def test_who_sees_what(admin: Client, north: Facility, where: Destination) -> None:
    anna = client_of("anna", Role.RADIOLOGIST, north)
    assert Client().get(QUEUE).status_code == 302
    assert Client().get(RULES).status_code == 302
    assert anna.get(QUEUE).status_code == 200
    assert anna.get(RULES).status_code == 403
    assert anna.post(RULES, {"do": "save", "destination": where.pk}).status_code == 403
    assert admin.get(RULES).status_code == 200
    assert admin.get(f"{QUEUE}?state=nonsense").status_code in (400, 422)


def test_a_rule_is_tried_saved_switched_on_and_removed(
    admin: Client, where: Destination, study: Study
) -> None:
    values = {"destination": str(where.pk), "modality": "CT", "description_contains": "head"}
    tried = admin.post(RULES, {**values, "do": "try"})
    text = tried.content.decode()
    assert tried.status_code == 200
    assert "it would have sent 1 study: 1 image" in text
    assert "whose description contains “head”" in text
    assert "<b>Anna" not in text
    assert not ForwardRule.objects.exists()

    assert admin.post(RULES, {**values, "do": "save"}).status_code == 302
    rule = ForwardRule.objects.get()
    assert not rule.is_active
    address = f"{RULES}{rule.pk}/"
    looked = admin.post(address, {"do": "try"}).content.decode()
    assert "it would have sent 1 study: 1 image" in looked
    admin.post(address, {"do": "on"})
    rule.refresh_from_db()
    assert rule.is_active
    assert rule.active_since is not None
    assert "Switch off" in admin.get(RULES).content.decode()
    admin.post(address, {"do": "off"})
    admin.post(address, {"do": "remove"})
    assert not ForwardRule.objects.exists()
    assert admin.post(address, {"do": "on"}).status_code == 404


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"destination": ""}, "Choose a destination."),
        ({"hours_from": "18:00"}, "Give both hours"),
        ({"hours_from": "noon", "hours_to": "13:00"}, "Write an hour as 18:00."),
    ],
)
def test_errors_stand_beside_the_form_with_what_was_typed(
    admin: Client, where: Destination, values: dict[str, str], message: str
) -> None:
    body = {"destination": str(where.pk), "station_name": "CT7", "do": "save", **values}
    answer = admin.post(RULES, body)
    assert answer.status_code == 422
    assert message in answer.content.decode()
    assert 'value="CT7"' in answer.content.decode()


def test_a_study_is_sent_from_its_page_and_shows_in_the_queue(
    north: Facility, where: Destination, study: Study
) -> None:
    anna = client_of("anna", Role.RADIOLOGIST, north)
    page = anna.get(f"/worklist/studies/{study.pk}/").content.decode()
    assert "Send to another system" in page
    assert f'value="{where.pk}"' in page
    sent = anna.post(f"/worklist/studies/{study.pk}/send/", {"destination": str(where.pk)})
    assert sent.status_code == 302
    entry = Transmission.objects.get()
    queue = anna.get(QUEUE).content.decode()
    assert "anna sent it by hand." in queue
    assert "PACS2" in queue
    twice = anna.post(
        f"/worklist/studies/{study.pk}/send/", {"destination": str(where.pk)}, follow=True
    )
    assert "on its way to PACS2 already" in twice.content.decode()
    anna.post(f"/worklist/forwarding/{entry.pk}/cancel/")
    entry.refresh_from_db()
    assert entry.state == "cancelled"
    anna.post(f"/worklist/forwarding/{entry.pk}/retry/")
    entry.refresh_from_db()
    assert entry.state == "waiting"


def test_others_neither_see_nor_touch_it(
    north: Facility, where: Destination, study: Study, admin: Client
) -> None:
    admin.post(f"/worklist/studies/{study.pk}/send/", {"destination": str(where.pk)})
    entry = Transmission.objects.get()
    olaf = client_of("olaf", Role.RADIOLOGIST, factories.facility("SOUTH", "South"))
    assert "PACS2" not in olaf.get(QUEUE).content.decode()
    for address in (
        f"/worklist/forwarding/{entry.pk}/cancel/",
        f"/worklist/forwarding/{entry.pk}/retry/",
        f"/worklist/studies/{study.pk}/send/",
    ):
        assert olaf.post(address, {"destination": str(where.pk)}).status_code == 403
        assert olaf.get(address).status_code == 405
    viewer = client_of("vera", Role.VIEWER, north)
    page = viewer.get(f"/worklist/studies/{study.pk}/").content.decode()
    assert "Send the study" not in page
    refused = viewer.post(f"/worklist/studies/{study.pk}/send/", {"destination": str(where.pk)})
    assert refused.status_code == 403
    assert viewer.post(f"/worklist/forwarding/{entry.pk}/cancel/").status_code == 403


CHOICES, SEND = "/worklist/api/studies/destinations/", "/worklist/api/studies/send/"


def post(client: Client, address: str, **body: object) -> Any:
    return client.post(address, body, content_type="application/json")


def elsewhere(title: str, facility: Facility | None) -> Destination:
    draft = DestinationDraft(title, "127.0.0.1", 104, facility=facility)
    return destinations.save_destination(access.system_actor("tests"), draft)


def test_selected_studies_are_sent_where_all_of_them_may_go(
    north: Facility, where: Destination, study: Study, admin: Client
) -> None:
    south = factories.facility("SOUTH", "South")
    factories.store_bytes(to_bytes(make_instance()), south)
    theirs = Study.objects.get(facility=south)
    factories.store_bytes(to_bytes(make_instance()), north)
    second = Study.objects.filter(facility=north).exclude(pk=study.pk).get()
    site_wide = elsewhere("ARCHIVE", None)
    elsewhere("SOUTHPACS", south)
    anna = client_of("anna", Role.RADIOLOGIST, north, south)

    def choices(*studies: Study) -> list[str]:
        answer = post(anna, CHOICES, ids=[str(one.pk) for one in studies])
        return [row["name"] for row in answer.json()["destinations"]]

    assert choices(study, second) == ["ARCHIVE at 127.0.0.1", "PACS2 at 127.0.0.1"]
    assert choices(study, theirs) == ["ARCHIVE at 127.0.0.1"]
    ids = [str(study.pk), str(theirs.pk)]
    assert post(anna, SEND, ids=ids, destination=str(where.pk)).status_code == 403
    assert not Transmission.objects.exists()

    admin.post(f"/worklist/studies/{study.pk}/send/", {"destination": str(site_wide.pk)})
    sent = post(anna, SEND, ids=[*ids, str(study.pk)], destination=str(site_wide.pk)).json()
    assert sent["sent"] == [str(theirs.pk)]
    assert [row["id"] for row in sent["not"]] == [str(study.pk)]
    assert "on its way to ARCHIVE already" in sent["not"][0]["reason"]
    assert Transmission.objects.filter(study=theirs).get().reason == "anna sent it by hand."


def test_who_may_not_send_selected_studies(
    north: Facility, where: Destination, study: Study
) -> None:
    ids, key = [str(study.pk)], str(where.pk)
    vera = client_of("vera", Role.VIEWER, north)
    olaf = client_of("olaf", Role.RADIOLOGIST, factories.facility("SOUTH", "South"))
    anna = client_of("anna", Role.RADIOLOGIST, north)
    for client, status in ((Client(), 401), (vera, 403), (olaf, 403)):
        assert post(client, SEND, ids=ids, destination=key).status_code == status
        assert post(client, CHOICES, ids=ids).status_code == status
    assert 'data-action="send"' not in vera.get("/worklist/studies/").content.decode()
    assert 'data-action="send"' in anna.get("/worklist/studies/").content.decode()
    for body in (
        {"ids": [], "destination": key},
        {"ids": ids, "destination": ""},
        {"ids": ["1"], "destination": key},
        {"ids": [str(uuid4())] * 201, "destination": key},
    ):
        assert post(anna, SEND, **body).status_code == 422
    unknown = {"ids": [str(uuid4())], "destination": key}
    assert post(anna, SEND, **unknown).status_code == 404
    assert not Transmission.objects.exists()


def test_open_pages_are_told_and_get_the_rows_alone(
    north: Facility, where: Destination, study: Study
) -> None:
    anna = client_of("anna", Role.RADIOLOGIST, north)
    post(anna, SEND, ids=[str(study.pk)], destination=str(where.pk))
    entry = Transmission.objects.get()

    def told() -> list[UUID | None]:
        rows = OutboxEvent.objects.filter(kind="transmission.changed").order_by("id")
        assert {row.payload["transmission_id"] for row in rows} == {str(entry.pk)}
        return [row.facility_id for row in rows]

    assert told() == [north.pk]
    bare = anna.get(f"{QUEUE}?part=queue").content.decode()
    assert "<html" not in bare
    assert f'data-entry="{entry.pk}" data-version="waiting 0/1 0' in bare
    script = {"HTTP_ACCEPT": "application/json"}
    answer = anna.post(f"/worklist/forwarding/{entry.pk}/cancel/", **script)
    assert answer.json() == {"message": "No more of it is sent to PACS2."}
    again = anna.post(f"/worklist/forwarding/{entry.pk}/cancel/", **script)
    assert (again.status_code, again.json()["detail"]) == (409, "It is not on its way any more.")
    anna.post(f"/worklist/forwarding/{entry.pk}/retry/", **script)
    assert told() == [north.pk] * 3
    assert "waiting 0/1 0" in anna.get(f"{QUEUE}?part=queue&state=waiting").content.decode()
