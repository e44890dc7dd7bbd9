"""The viewer's machine findings over HTTP: who sees them, who judges them, what they say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from accounts.models import Role, User
from archive import access, analyses
from archive.analysis_catalogue import EXAMPLE
from archive.models import AnalysisRun, FindingDecision, MachineFinding
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


@pytest.fixture
def image(facility: Facility) -> DicomImage:
    result = factories.store_bytes(to_bytes(make_instance()), facility)
    return DicomImage.objects.select_related("series__study").get(pk=result.image_id)


@pytest.fixture
def finding(image: DicomImage, radiologist: User) -> MachineFinding:
    run = analyses.run_by_hand(access.actor_of(radiologist), image.series.study, EXAMPLE.key)
    AnalysisRun.objects.update(state="done")
    return MachineFinding.objects.create(
        run=run,
        label="Node",
        value=4.2,
        unit="mm",
        sop_instance_uid=image.sop_instance_uid,
        graphic="box",
        points=[[1, 2], [3, 5]],
    )


def client_of(username: str, role: Role, *facilities: Facility) -> Client:
    client = Client()
    client.force_login(factories.user(username, role, facilities))
    return client


def post(client: Client, finding: MachineFinding, body: object) -> Any:
    url = f"/viewer/api/findings/{finding.pk}/"
    return client.post(url, json.dumps(body), content_type="application/json")


def findings_url(image: DicomImage) -> str:
    return f"/viewer/api/studies/{image.series.study_id}/findings/"


def test_a_finding_is_told_drawn_and_judged(
    image: DicomImage, finding: MachineFinding, facility: Facility
) -> None:
    client = client_of("rosa", Role.RADIOLOGIST, facility)
    document = client.get(findings_url(image)).json()
    assert document["can_decide"]
    [run] = document["runs"]
    assert (run["name"], run["version"], run["state"]) == (EXAMPLE.name, EXAMPLE.version, "done")
    [told] = run["findings"]
    assert (told["label"], told["value"], told["unit"]) == ("Node", 4.2, "mm")
    assert (told["decision"], told["decided_by"]) == ("open", None)
    assert told["drawing"] == {
        "SOPInstanceUID": image.sop_instance_uid,
        "frame_number": 1,
        "graphic": "polyline",
        "points": [[1, 2], [3, 2], [3, 5], [1, 5]],
        "is_closed": True,
    }
    answer = post(client, finding, {"decision": "accepted", "comment": "Seen in 2024 too."}).json()
    assert (answer["decision"], answer["decided_by"]) == ("accepted", "rosa")
    assert answer["comment"] == "Seen in 2024 too."
    assert answer["decided_at"]
    for body in ({"decision": "maybe"}, {"comment": "x"}, {"decision": "open", "comment": 5}, []):
        assert post(client, finding, body).status_code == 422
    finding.refresh_from_db()
    assert finding.decision == FindingDecision.ACCEPTED


def test_who_judges(
    image: DicomImage, finding: MachineFinding, facility: Facility, other_facility: Facility
) -> None:
    body = {"decision": "rejected"}
    assert post(Client(), finding, body).status_code == 401
    stranger = client_of("sven", Role.RADIOLOGIST, other_facility)
    assert post(stranger, finding, body).status_code == 403
    assert stranger.get(findings_url(image)).status_code == 403
    looks = client_of("vera", Role.VIEWER, facility)
    assert looks.get(findings_url(image)).json()["can_decide"] is False
    assert post(looks, finding, body).status_code == 403
    finding.pk = image.pk
    assert post(looks, finding, body).status_code == 404
    assert not MachineFinding.objects.exclude(decision="open").exists()


def test_objects_of_machines_carry_their_mark(
    image: DicomImage, finding: MachineFinding, facility: Facility
) -> None:
    made = to_bytes(
        make_instance(
            SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4",
            SeriesInstanceUID="1.2.840.99.3",
            StudyInstanceUID=image.series.study.study_instance_uid,
            Modality="SEG",
        )
    )
    stored = factories.store_bytes(made, facility)
    MachineFinding.objects.filter(pk=finding.pk).update(
        image_id=stored.image_id, decision="rejected", decided_by_name="rita"
    )
    client = client_of("rosa", Role.RADIOLOGIST, facility)
    url = f"/viewer/api/studies/{image.series.study_id}/derived/"
    [told] = client.get(url).json()["objects"]
    assert told["machine"]["name"] == EXAMPLE.name
    assert (told["machine"]["decision"], told["machine"]["decided_by"]) == ("rejected", "rita")
