"""QIDO-RS in process: every level, every way to match, and what is said of wrong requests.

What a real client and a real server make of it is in test_client.py.
"""

from __future__ import annotations

import gzip
import json
from email import message_from_bytes
from email.policy import HTTP
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import imagecodecs
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pytest_django import Settings

from accounts.models import Role, User
from archive import dicom_query
from archive.models import AuditEvent
from imaging import dicomxml
from tests import factories
from tests.dicom import make_instance, to_bytes
from tests.sidecar import Caller, Sidecar, assert_problem
from worklist.models import Facility

pytestmark = pytest.mark.django_db(transaction=True)

BASE = "/dicom-web"
STUDY, SERIES, SOP = "0020000D", "0020000E", "00080018"


def keep(facility: Facility, **keywords: Any) -> Dataset:
    dataset = make_instance(**keywords)
    factories.store_bytes(to_bytes(dataset), facility)
    return dataset


def value(model: dict[str, Any], tag: str) -> Any:
    values = model[tag].get("Value")
    return values[0] if values else None


def found(caller: Caller, path: str, tag: str = STUDY, **parameters: Any) -> list[Any]:
    answer = caller.get(f"{BASE}{path}", params=parameters)
    assert answer.status_code == 200, answer.text
    return [value(model, tag) for model in answer.json()]


@pytest.fixture
def held(store: Path, facility: Facility) -> dict[str, Dataset]:
    """Three studies; the first has two series, of two instances and of one."""
    one = {
        "StudyInstanceUID": "1.2.1",
        "PatientID": "P1",
        "PatientName": "Müller^Jörg",
        "StudyDate": "20260101",
        "StudyTime": "101500",
        "AccessionNumber": "A1",
        "StudyDescription": "HEAD",
        "StudyID": "S1",
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientSex": "M",
        "PatientBirthDate": "19500607",
    }
    request = Dataset()
    request.RequestedProcedureID = "RP1"
    request.ScheduledProcedureStepID = "SPS1"
    held = {
        "a": keep(facility, **one, SeriesInstanceUID="1.2.1.1", SOPInstanceUID="1.2.1.1.1",
                  Modality="CT", SeriesNumber=2, InstanceNumber=2, SeriesDescription="AXIAL",
                  RequestAttributesSequence=Sequence([request])),
        "b": keep(facility, **one, SeriesInstanceUID="1.2.1.1", SOPInstanceUID="1.2.1.1.2",
                  Modality="CT", SeriesNumber=2, InstanceNumber=1, SeriesDescription="AXIAL"),
        "c": keep(facility, **one, SeriesInstanceUID="1.2.1.2", SOPInstanceUID="1.2.1.2.1",
                  Modality="SR", SeriesNumber=1, InstanceNumber=1),
    }  # fmt: skip
    held["d"] = keep(
        facility, StudyInstanceUID="1.2.2", SeriesInstanceUID="1.2.2.1", SOPInstanceUID="1.2.2.1.1",
        PatientID="P2", PatientName="Meier^Anna^Maria", StudyDate="20260215", Modality="MR",
        AccessionNumber="A2", StudyDescription="KNEE LEFT",
    )  # fmt: skip
    held["e"] = keep(
        facility, StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.1", SOPInstanceUID="1.2.3.1.1",
        PatientID="P3", PatientName="Smith^John", StudyDate="20250510", Modality="CT",
        AccessionNumber="B1", StudyDescription="KNEE RIGHT",
    )  # fmt: skip
    return held


# What is returned ----------------------------------------------------------------------------


def test_a_study_is_told_with_the_attributes_of_the_table(
    caller: Caller, held: dict[str, Dataset]
) -> None:
    answer = caller.get(f"{BASE}/studies", params={"StudyInstanceUID": "1.2.1"})
    assert answer.headers["content-type"] == "application/dicom+json"
    (study,) = answer.json()
    told = {tag: model.get("Value") for tag, model in study.items()}
    assert told == {
        "00080005": ["ISO_IR 192"],
        "00080020": ["20260101"],
        "00080030": ["101500"],
        "00080050": ["A1"],
        "00080056": ["ONLINE"],
        "00080061": ["CT", "SR"],
        "00080090": told["00080090"],
        "00081030": ["HEAD"],
        "00081190": ["http://testserver/dicom-web/studies/1.2.1"],
        "00100010": [{"Alphabetic": "Müller^Jörg"}],
        "00100020": ["P1"],
        "00100021": None,
        "00100030": ["19500607"],
        "00100040": ["M"],
        "0020000D": ["1.2.1"],
        "00200010": ["S1"],
        "00201206": [2],
        "00201208": [3],
    }
    assert list(study) == sorted(study)


def test_series_and_instances_of_a_study(caller: Caller, held: dict[str, Dataset]) -> None:
    series = caller.get(f"{BASE}/studies/1.2.1/series").json()
    # In the order of their numbers.
    assert [value(one, SERIES) for one in series] == ["1.2.1.2", "1.2.1.1"]
    told = series[1]
    assert value(told, "00080060") == "CT"
    assert value(told, "0008103E") == "AXIAL"
    assert value(told, "00200011") == 2
    assert value(told, "00201209") == 2
    assert value(told, "00081190") == f"http://testserver{BASE}/studies/1.2.1/series/1.2.1.1"
    request = told["00400275"]["Value"][0]
    assert request["00401001"]["Value"] == ["RP1"]
    assert request["00400009"]["Value"] == ["SPS1"]
    instances = caller.get(f"{BASE}/studies/1.2.1/series/1.2.1.1/instances").json()
    assert [value(one, SOP) for one in instances] == ["1.2.1.1.2", "1.2.1.1.1"]
    told = instances[0]
    assert value(told, "00200013") == 1
    assert value(told, "00280010") == held["b"].Rows
    assert value(told, "00080016") == held["b"].SOPClassUID
    assert value(told, "00083002") == held["b"].file_meta.TransferSyntaxUID
    assert value(told, "00081190").endswith("/studies/1.2.1/series/1.2.1.1/instances/1.2.1.1.2")
    assert len(found(caller, "/studies/1.2.1/instances", SOP)) == 3


def test_without_a_study_in_the_address_its_attributes_come_along(
    caller: Caller, held: dict[str, Dataset]
) -> None:
    series = caller.get(f"{BASE}/series", params={"Modality": "SR"}).json()
    assert [value(one, "00100020") for one in series] == ["P1"]
    (instance,) = caller.get(f"{BASE}/instances", params={"SOPInstanceUID": "1.2.1.1.1"}).json()
    assert value(instance, "0008103E") == "AXIAL"
    assert value(instance, "00080050") == "A1"
    inside = caller.get(f"{BASE}/studies/1.2.1/series/1.2.1.1/instances").json()[0]
    assert "00080050" not in inside
    assert "0008103E" not in inside


@pytest.mark.parametrize(
    "parameters",
    [
        {"includefield": "PatientAge,InstitutionName"},
        {"includefield": ["PatientAge", "InstitutionName"]},
        {"includefield": "00101010,00080080"},
        {"includefield": "all"},
    ],
    ids=["list", "repeated", "tags", "all"],
)
def test_further_attributes_are_included(
    caller: Caller, facility: Facility, store: Path, parameters: dict[str, Any]
) -> None:
    keep(facility, PatientAge="050Y", InstitutionName="North")
    (told,) = caller.get(f"{BASE}/series", params=parameters).json()
    assert value(told, "00101010") == "050Y"
    assert value(told, "00080080") == "North"
    assert "00080080" not in caller.get(f"{BASE}/series").json()[0]


# What matches --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, ["1.2.2", "1.2.1", "1.2.3"]),
        ({"PatientID": "P2"}, ["1.2.2"]),
        ({"00100020": "P2"}, ["1.2.2"]),
        ({"patientid": ""}, None),
        ({"PatientID": "p2"}, []),
        ({"PatientID": "P?"}, ["1.2.2", "1.2.1", "1.2.3"]),
        ({"PatientName": "M*"}, ["1.2.2", "1.2.1"]),
        ({"PatientName": "muller^jorg"}, ["1.2.1"]),
        ({"PatientName": "maria anna", "fuzzymatching": "true"}, ["1.2.2"]),
        ({"PatientName": "maria anna", "fuzzymatching": "false"}, []),
        ({"StudyDate": "20260101"}, ["1.2.1"]),
        ({"StudyDate": "20260101-20260331"}, ["1.2.2", "1.2.1"]),
        ({"StudyDate": "-20251231"}, ["1.2.3"]),
        ({"StudyDate": "20260102-"}, ["1.2.2"]),
        ({"StudyInstanceUID": "1.2.1,1.2.3"}, ["1.2.1", "1.2.3"]),
        ({"StudyInstanceUID": "1.2.1\\1.2.3"}, ["1.2.1", "1.2.3"]),
        ({"StudyInstanceUID": ["1.2.1", "1.2.3"]}, ["1.2.1", "1.2.3"]),
        ({"ModalitiesInStudy": "SR"}, ["1.2.1"]),
        ({"00080061": "CT"}, ["1.2.1", "1.2.3"]),
        ({"StudyDescription": "KNEE*"}, ["1.2.2", "1.2.3"]),
        ({"StudyDescription": "KNEE*", "PatientID": "P3"}, ["1.2.3"]),
        ({"AccessionNumber": "A*", "limit": "1"}, ["1.2.2"]),
        ({"AccessionNumber": "A*", "offset": "1"}, ["1.2.1"]),
        ({"limit": "0"}, []),
        ({"offset": "7"}, []),
        ({"PatientID": ""}, ["1.2.2", "1.2.1", "1.2.3"]),
        ({"PatientSex": "M"}, ["1.2.1"]),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_studies_match(
    caller: Caller, held: dict[str, Dataset], parameters: dict[str, Any],
    expected: list[str] | None,
) -> None:  # fmt: skip
    if expected is None:
        assert_problem(caller.get(f"{BASE}/studies", params=parameters), 400, "patientid")
    else:
        assert found(caller, "/studies", **parameters) == expected


@pytest.mark.parametrize(
    "name",
    [
        "RequestAttributesSequence.RequestedProcedureID",
        "00400275.00401001",
        "RequestAttributesSequence.00401001",
    ],
)
def test_keys_reach_into_sequences(caller: Caller, held: dict[str, Dataset], name: str) -> None:
    assert found(caller, "/series", SERIES, **{name: "RP1"}) == ["1.2.1.1"]
    assert found(caller, "/series", SERIES, **{name: "RP2"}) == []


def test_keys_of_upper_levels_narrow_lower_ones(caller: Caller, held: dict[str, Dataset]) -> None:
    assert found(caller, "/instances", SOP, PatientID="P1", Modality="SR") == ["1.2.1.2.1"]
    assert found(caller, "/series", SERIES, StudyDate="20250101-20251231") == ["1.2.3.1"]
    assert found(caller, "/instances", SOP, InstanceNumber="2") == ["1.2.1.1.1"]
    # The address decides.
    assert found(caller, "/studies/1.2.2/series", SERIES, StudyInstanceUID="1.2.1") == ["1.2.2.1"]


def test_pages_neither_repeat_nor_leave_out(
    caller: Caller, facility: Facility, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Read from the database in pieces that pages do not fit.
    monkeypatch.setattr(dicom_query, "_FIRST_CHUNK", 3)
    monkeypatch.setattr(dicom_query, "_CHUNK", 2)
    for number in range(7):
        keep(facility, PatientID=f"Q{number}", StudyDate="20260301")
    every = found(caller, "/studies")
    paged: list[str] = []
    for offset in range(0, 8, 2):
        answer = caller.get(f"{BASE}/studies", params={"limit": 2, "offset": offset})
        paged += [value(one, STUDY) for one in answer.json()]
        assert ("warning" in answer.headers) == (offset < 5)
    assert paged == every
    assert len(set(every)) == 7


def test_what_remains_is_told(caller: Caller, held: dict[str, Dataset]) -> None:
    answer = caller.get(f"{BASE}/studies", params={"limit": "2"})
    assert answer.headers["warning"].startswith("299 ")
    assert "additional results" in answer.headers["warning"]
    assert "warning" not in caller.get(f"{BASE}/studies", params={"limit": "3"}).headers


def test_keys_that_nobody_matches_are_named(caller: Caller, held: dict[str, Dataset]) -> None:
    answer = caller.get(
        f"{BASE}/studies", params={"00091001": "x", "KVP": "120", "PatientID": "P1"}
    )
    assert len(answer.json()) == 1
    assert "KVP" in answer.headers["warning"]
    assert "00091001" in answer.headers["warning"]


def test_too_many_matches_are_refused_with_a_way_out(
    caller: Caller, held: dict[str, Dataset], settings: Settings
) -> None:
    settings.DICOMWEB_MOST_RESULTS = 2
    assert_problem(caller.get(f"{BASE}/studies"), 413, "'limit'")
    answer = caller.get(f"{BASE}/studies", params={"limit": 100})
    assert len(answer.json()) == 2
    assert "additional results" in answer.headers["warning"]
    assert len(caller.get(f"{BASE}/studies", params={"PatientID": "P1"}).json()) == 1


# Forms ---------------------------------------------------------------------------------------


def xml_parts(answer: httpx.Response) -> list[ET.Element]:
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = message_from_bytes(head + answer.content, policy=HTTP)
    found = []
    for part in message.iter_parts():  # type: ignore[attr-defined]
        assert part.get_content_type() == "application/dicom+xml"
        found.append(ET.fromstring(part.get_payload(decode=True)))  # noqa: S314
    return found


def test_xml_comes_in_parts(caller: Caller, held: dict[str, Dataset]) -> None:
    accept = {"Accept": 'multipart/related; type="application/dicom+xml"'}
    answer = caller.get(f"{BASE}/studies", headers=accept)
    roots = xml_parts(answer)
    spaces = {"d": dicomxml.NAMESPACE}
    names = [
        root.findtext("d:DicomAttribute[@keyword='StudyInstanceUID']/d:Value", namespaces=spaces)
        for root in roots
    ]
    assert names == ["1.2.2", "1.2.1", "1.2.3"]
    nothing = caller.get(f"{BASE}/studies", params={"PatientID": "none"}, headers=accept)
    assert nothing.status_code == 204
    assert nothing.content == b""


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("application/json", "application/json"),
        ("application/dicom+json, application/json;q=0.5", "application/dicom+json"),
        ("text/html, */*", "application/dicom+json"),
        ("*/*", "application/dicom+json"),
    ],
)
def test_json_goes_by_two_names(
    caller: Caller, held: dict[str, Dataset], accept: str, content_type: str
) -> None:
    answer = caller.get(f"{BASE}/studies", headers={"Accept": accept})
    assert answer.headers["content-type"] == content_type
    assert len(answer.json()) == 3
    nothing = caller.get(
        f"{BASE}/studies", params={"PatientID": "none"}, headers={"Accept": accept}
    )
    assert nothing.status_code == 200
    assert nothing.json() == []


def test_the_parameter_accept_counts_before_the_header(
    caller: Caller, held: dict[str, Dataset]
) -> None:
    answer = caller.get(
        f"{BASE}/studies?accept=application/dicom+json", headers={"Accept": "image/png"}
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", ""])
def test_answers_are_compressed_as_the_caller_takes_it(
    caller: Caller, held: dict[str, Dataset], coding: str
) -> None:
    accept = {"Accept-Encoding": coding or "identity"}
    answer = caller.get(f"{BASE}/instances", headers=accept)
    assert answer.headers.get("content-encoding", "") == coding
    assert "Accept-Encoding" in answer.headers["vary"]
    plain = caller.get(f"{BASE}/instances", headers={"Accept-Encoding": "identity"})
    # httpx decodes gzip alone.
    content = answer.content
    if coding == "br":
        content = imagecodecs.brotli_decode(content)
    elif coding == "zstd":
        content = imagecodecs.zstd_decode(content)
    assert json.loads(bytes(content)) == plain.json()


def test_codings_are_chosen_by_quality() -> None:
    from fastapi_app.services.dicomweb.documents import coding_for, compress

    assert coding_for("gzip, br;q=0.2") == "gzip"
    assert coding_for("*") == "zstd"
    assert coding_for("*;q=0.5, zstd;q=0") == "br"
    assert coding_for("gzip;q=0") == ""
    assert coding_for("gzip;q=x, deflate") == ""
    content = b"x" * 5000
    assert gzip.decompress(compress(content, "gzip")) == content
    assert imagecodecs.brotli_decode(compress(content, "br")) == content
    assert imagecodecs.zstd_decode(compress(content, "zstd")) == content


# Wrong requests ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("NoSuchKey=1", "NoSuchKey"),
        ("includefield=NoSuchKey", "NoSuchKey"),
        ("PatientID.PatientName=1", "no sequence"),
        ("ProcedureCodeSequence=1", "ProcedureCodeSequence.<attribute>"),
        ("StudyDate=yesterday", "StudyDate"),
        ("StudyInstanceUID=1.02", "UID"),
        ("StudyInstanceUID=*", "UID"),
        ("limit=-1", "limit"),
        ("limit=x", "limit"),
        ("limit=1&limit=2", "limit"),
        ("offset=1e9", "offset"),
        ("fuzzymatching=maybe", "fuzzymatching"),
        ("PatientID=a&PatientID=b", "twice"),
        ("NumberOfStudyRelatedSeries=x", "NumberOfStudyRelatedSeries"),
        (f"PatientName={'x' * 2000}", "too long"),
        ("=x", "keyword"),
        ("&".join(f"0011{n:04X}=1" for n in range(201)), "200 keys"),
        ("StudyInstanceUID=" + ",".join(f"1.{n}" for n in range(2001)), "2000"),
    ],
    ids=range(18),
)
def test_a_bad_key_is_named(
    caller: Caller, held: dict[str, Dataset], query: str, words: str
) -> None:
    assert_problem(caller.get(f"{BASE}/studies?{query}"), 400, words)


def test_a_bad_number_is_named(caller: Caller) -> None:
    for query in ("Rows=x", "InstanceNumber=1.5.2"):
        assert_problem(caller.get(f"{BASE}/instances?{query}"), 400, query.partition("=")[0])


@pytest.mark.parametrize("accept", ["image/png", "application/dicom", "text/html"])
def test_what_there_is_not_is_answered_with_what_there_is(caller: Caller, accept: str) -> None:
    answer = caller.get(f"{BASE}/studies", headers={"Accept": accept})
    assert_problem(answer, 406, "application/dicom+json")


@pytest.mark.parametrize(
    "accept", ["nonsense", "a/b;" + "x=y;" * 5000, ",".join(["a/b"] * 100)], ids=range(3)
)
def test_an_accept_that_cannot_be_read_is_refused(caller: Caller, accept: str) -> None:
    assert_problem(caller.get(f"{BASE}/studies", headers={"Accept": accept}), 400, "Accept")


# Whose ---------------------------------------------------------------------------------------


def test_searches_hold_the_own_facilities_alone(
    sidecar: Sidecar, held: dict[str, Dataset], other_facility: Facility, admin_user: User
) -> None:
    keep(other_facility, StudyInstanceUID="1.2.9", SeriesInstanceUID="1.2.9.1")
    stranger = factories.user("sven", Role.RADIOLOGIST, [other_facility])
    theirs = sidecar.by_token(stranger)
    for path in ("/studies", "/series", "/instances"):
        assert found(theirs, path) == ["1.2.9"]
        assert "1.2.9" in found(sidecar.by_token(admin_user), path)
        assert "1.2.1" in found(sidecar.by_token(admin_user), path)
    assert found(theirs, "/studies", StudyInstanceUID="1.2.1") == []
    for path in (
        "/studies/1.2.1/series",
        "/studies/1.2.1/instances",
        "/studies/1.2.1/series/1.2.1.1/instances",
    ):
        assert_problem(theirs.get(f"{BASE}{path}"), 403)
        assert_problem(sidecar.nobody.get(f"{BASE}{path}"), 401)
    for path in (
        "/studies/1.2.7/series",
        "/studies/1.2.9/series/1.2.1.1/instances",
        "/studies/1.02/series",
        "/studies/%2e%2e/instances",
        "/studies/1.2.9'/series",
        "/studies/1.2.9/series/x/instances",
    ):
        assert theirs.get(f"{BASE}{path}").status_code in (403, 404), path
    assert_problem(theirs.get(f"{BASE}/studies/1.2.7/series"), 404)


def test_a_search_is_one_audit_event(caller: Caller, held: dict[str, Dataset]) -> None:
    caller.get(f"{BASE}/studies", params={"PatientName": "M*"})
    (event,) = AuditEvent.objects.filter(verb="query")
    assert event.actor == "rita"
    assert event.detail["service"] == "QIDO-RS"
    assert event.detail["keys"] == ["PatientName"]


def test_requests_are_counted(caller: Caller, settings: Settings) -> None:
    settings.API_REQUESTS_PER_MINUTE = 3
    statuses = [caller.get(f"{BASE}/studies").status_code for _ in range(5)]
    assert statuses == [200] * 3 + [429] * 2


def test_head_answers_without_a_body(caller: Caller, held: dict[str, Dataset]) -> None:
    answer = caller.request("HEAD", f"{BASE}/studies")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"
