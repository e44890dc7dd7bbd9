"""Modality Worklist, asked by dcmtk's findscu and by pynetdicom."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.sop_class import ModalityWorklistInformationFind

from tests.orderly import item, make_orders
from tests.receiver import ReceiverSite, make_site

MWL = ModalityWorklistInformationFind

__all__ = ["make_site"]


def planned(step_id: str, modality: str, day: str, at: str, **values: Any) -> dict[str, Any]:
    return {
        "scheduled_procedure_step_id": step_id,
        "modality": modality,
        "start_date": day,
        "start_time": at,
        **values,
    }


ORDERS: list[dict[str, Any]] = [
    {
        "patient_name": "Müller^Ånna",
        "patient_identifier": "MWL1",
        "issuer_of_patient_id": "NORTH",
        "patient_birth_date": "1970-02-03",
        "patient_sex": "F",
        "accession_number": "MWL-A1",
        "description": "CT head",
        "requesting_physician": "House^Gregory",
        "referring_physician_name": "Cuddy^Lisa",
        "priority": "HIGH",
        "study_instance_uid": "1.2.840.1",
        "attributes": {
            "00101030": {"vr": "DS", "Value": [62.5]},
            "00102110": {"vr": "LO", "Value": ["Contrast"]},
            "00321064": {
                "vr": "SQ",
                "Value": [
                    {
                        "00080100": {"vr": "SH", "Value": ["CTH"]},
                        "00080102": {"vr": "SH", "Value": ["99LOCAL"]},
                    }
                ],
            },
        },
        "steps": [
            planned(
                "S1",
                "CT",
                "2026-03-01",
                "09:30:00",
                scheduled_station_ae_title="CT_NORTH",
                scheduled_station_name="CT1",
                scheduled_performing_physician_name="Wilson^James",
                description="Head without contrast",
                location="Room 2",
            ),
            planned("S2", "CT", "2026-03-02", "14:00:00", scheduled_station_ae_title="CT_1"),
        ],
    },
    {
        "patient_name": "Yamada^Tarou=山田^太郎=やまだ^たろう",
        "patient_identifier": "MWL2",
        "accession_number": "MWL-A2",
        "description": "MR knee",
        "steps": [planned("S1", "MR", "2026-03-01", "18:00:00")],
    },
    {
        "patient_name": "Done^Already",
        "patient_identifier": "MWL3",
        "accession_number": "MWL-A3",
        "steps": [planned("S1", "CT", "2026-03-01", "08:00:00", status="COMPLETED")],
    },
    {
        "facility": "WEST",
        "patient_name": "Müller^Ånna",
        "patient_identifier": "MWL1",
        "accession_number": "MWL-W1",
        "steps": [planned("S1", "CT", "2026-03-01", "09:30:00")],
    },
]


@pytest.fixture(scope="module")
def scheduled(receiver: ReceiverSite) -> ReceiverSite:
    make_orders(receiver, *ORDERS)
    return receiver


@contextlib.contextmanager
def association(
    site: ReceiverSite, calling: str = "CT_NORTH", extended: bytes = b""
) -> Iterator[Association]:
    ae = AE(ae_title=calling)
    ae.add_requested_context(MWL)
    items = []
    if extended:
        offer = SOPClassExtendedNegotiation()
        offer.sop_class_uid = MWL
        offer.service_class_application_information = extended
        items.append(offer)
    found = ae.associate("127.0.0.1", site.port, ae_title="NOCTIS_SCP", ext_neg=items)
    assert found.is_established
    yield found
    found.release()


def query(step: dict[str, Any] | None = None, **keys: Any) -> Dataset:
    """The keys that every modality asks for, and those that the test is about."""
    asked = {
        "Modality": "",
        "ScheduledStationAETitle": "",
        "ScheduledProcedureStepStartDate": "",
        "ScheduledProcedureStepStartTime": "",
        "ScheduledProcedureStepID": "",
        **(step or {}),
    }
    common = {
        "AccessionNumber": "",
        "PatientName": "",
        "PatientID": "",
        "StudyInstanceUID": "",
        "ScheduledProcedureStepSequence": [item(**asked)],
    }
    return item(**common | keys)


def find(site: ReceiverSite, keys: Dataset, calling: str = "CT_NORTH") -> list[Dataset]:
    with association(site, calling) as peer:
        answers = list(peer.send_c_find(keys, MWL))
    assert [status.Status for status, _ in answers[:-1]] == [0xFF00] * (len(answers) - 1)
    assert answers[-1][0].Status == 0x0000
    return [found for _, found in answers if found is not None]


def steps(found: list[Dataset]) -> list[str]:
    return [
        f"{one.AccessionNumber}/{one.ScheduledProcedureStepSequence[0].ScheduledProcedureStepID}"
        for one in found
    ]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (query(), ["MWL-A1/S1", "MWL-A2/S1", "MWL-A1/S2"]),
        (query({"Modality": "MR"}), ["MWL-A2/S1"]),
        (query({"Modality": "US"}), []),
        (query({"ScheduledStationAETitle": "CT_NORTH"}), ["MWL-A1/S1"]),
        (query({"ScheduledStationAETitle": "CT*"}), ["MWL-A1/S1", "MWL-A1/S2"]),
        (query({"ScheduledProcedureStepStartDate": "20260302"}), ["MWL-A1/S2"]),
        (query({"ScheduledProcedureStepStartDate": "-20260301"}), ["MWL-A1/S1", "MWL-A2/S1"]),
        (query({"ScheduledProcedureStepStartDate": "20260302-"}), ["MWL-A1/S2"]),
        (query({"ScheduledProcedureStepStartTime": "0900-1000"}), ["MWL-A1/S1"]),
        (query({"ScheduledPerformingPhysicianName": "wilson*"}), ["MWL-A1/S1"]),
        (query({"ScheduledProcedureStepID": "S2"}), ["MWL-A1/S2"]),
        (query({"ScheduledProcedureStepStatus": "COMPLETED"}), ["MWL-A3/S1"]),
        (query(PatientID="MWL2"), ["MWL-A2/S1"]),
        (query(PatientID="MWL?", AccessionNumber="*A2"), ["MWL-A2/S1"]),
        (query(PatientName="muller*"), ["MWL-A1/S1", "MWL-A1/S2"]),
        (query(PatientName="m?ller^*na"), ["MWL-A1/S1", "MWL-A1/S2"]),
        (query(PatientName="*LLER^ANN?"), ["MWL-A1/S1", "MWL-A1/S2"]),
        (query(PatientName="anna*"), []),
        (query(SpecificCharacterSet="ISO_IR 192", PatientName="*=山田*"), ["MWL-A2/S1"]),
        (query(SpecificCharacterSet="ISO_IR 192", PatientName="yamada*==やまだ*"), ["MWL-A2/S1"]),
        (query(AccessionNumber="MWL-A2"), ["MWL-A2/S1"]),
        (query(StudyInstanceUID="1.2.840.1"), ["MWL-A1/S1", "MWL-A1/S2"]),
        (query(RequestedProcedurePriority="HIGH"), ["MWL-A1/S1", "MWL-A1/S2"]),
        (query(ReferringPhysicianName="cuddy^lisa"), ["MWL-A1/S1", "MWL-A1/S2"]),
        (query(RequestedProcedureCodeSequence=[item(CodeValue="CTH")]), ["MWL-A1/S1", "MWL-A1/S2"]),
        (query(RequestedProcedureCodeSequence=[item(CodeValue="XX")]), []),
    ],
)  # fmt: skip
def test_keys_match(scheduled: ReceiverSite, keys: Dataset, expected: list[str]) -> None:
    assert steps(find(scheduled, keys)) == expected


@pytest.mark.parametrize(
    ("offered", "agreed", "expected"),
    [
        (b"\1\1\1", b"\1\1\1", ["MWL-A1/S1", "MWL-A1/S2"]),
        (b"\1\1\1\1", b"\1\1\1\0", ["MWL-A1/S1", "MWL-A1/S2"]),
        (b"\1\1\0\1", b"\1\1\0\0", []),
        (b"\1\1", None, []),
    ],
    ids=["fuzzy", "fuzzy with time zones", "time zones alone", "too short"],
)
def test_fuzzy_names_are_agreed_on(
    scheduled: ReceiverSite, offered: bytes, agreed: bytes | None, expected: list[str]
) -> None:
    """PS3.4 K.5.1: the words of a key in any order; times are never adjusted."""
    with association(scheduled, extended=offered) as peer:
        assert peer.acceptor.sop_class_extended.get(MWL) == agreed
        answers = [found for _, found in peer.send_c_find(query(PatientName="anna mul"), MWL)]
    assert steps([found for found in answers if found is not None]) == expected


def test_everything_that_was_asked_comes_back(scheduled: ReceiverSite) -> None:
    keys = query(
        {
            "ScheduledPerformingPhysicianName": "",
            "ScheduledProcedureStepDescription": "",
            "ScheduledStationName": "",
            "ScheduledProcedureStepLocation": "",
            "ScheduledProcedureStepStatus": "",
            "ScheduledProtocolCodeSequence": [],
            "PreMedication": "",
        },
        AccessionNumber="MWL-A1",
        PatientBirthDate="",
        PatientSex="",
        PatientWeight=None,
        Allergies="",
        PregnancyStatus=None,
        IssuerOfPatientID="",
        RequestedProcedureID="",
        RequestedProcedureDescription="",
        RequestedProcedurePriority="",
        RequestingPhysician="",
        ReferringPhysicianName="",
        RequestedProcedureCodeSequence=[],
        ReferencedStudySequence=[],
    )
    keys.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStatus = "SCHEDULED"
    found = find(scheduled, keys)[0]
    # All of what it holds beside is nobody's business.
    assert {element.tag for element in found} - {0x00080005} == {element.tag for element in keys}
    step = found.ScheduledProcedureStepSequence[0]
    assert {element.tag for element in step} == {
        element.tag for element in keys.ScheduledProcedureStepSequence[0]
    }
    assert [
        str(step[keyword].value)
        for keyword in (
            "Modality", "ScheduledStationAETitle", "ScheduledProcedureStepStartDate",
            "ScheduledProcedureStepStartTime", "ScheduledPerformingPhysicianName",
            "ScheduledProcedureStepDescription", "ScheduledStationName",
            "ScheduledProcedureStepLocation", "ScheduledProcedureStepStatus",
        )
    ] == [
        "CT", "CT_NORTH", "20260301", "093000", "Wilson^James", "Head without contrast", "CT1",
        "Room 2", "SCHEDULED",
    ]  # fmt: skip
    assert (found.PatientBirthDate, found.PatientSex, found.IssuerOfPatientID) == (
        "19700203",
        "F",
        "NORTH",
    )
    assert (float(found.PatientWeight), found.Allergies) == (62.5, "Contrast")
    assert found.RequestedProcedureCodeSequence[0].CodeValue == "CTH"
    assert found.RequestedProcedureID == "MWL-A1"


def test_another_facility_has_another_worklist(scheduled: ReceiverSite) -> None:
    assert steps(find(scheduled, query(), "CT_WEST")) == ["MWL-W1/S1"]


@pytest.mark.parametrize(
    ("asked_in", "answered_in"),
    [("ISO_IR 100", "ISO_IR 100"), ("", "ISO_IR 192"), ("ISO_IR 144", "ISO_IR 192")],
    ids=["fits", "none", "does not fit"],
)
def test_names_come_in_the_character_set_of_the_question(
    scheduled: ReceiverSite, asked_in: str, answered_in: str
) -> None:
    keys = query(AccessionNumber="MWL-A1")
    if asked_in:
        keys.SpecificCharacterSet = asked_in
    found = find(scheduled, keys)[0]
    assert found.SpecificCharacterSet == answered_in
    found.decode()
    assert found.PatientName == "Müller^Ånna"


def test_three_part_names_come_whole(scheduled: ReceiverSite) -> None:
    found = find(scheduled, query(AccessionNumber="MWL-A2"))[0]
    found.decode()
    assert found.PatientName == "Yamada^Tarou=山田^太郎=やまだ^たろう"


def test_a_key_that_cannot_be_read_is_refused_in_words(scheduled: ReceiverSite) -> None:
    with association(scheduled) as peer:
        keys = query({"ScheduledProcedureStepStartDate": "20260301"})
        step = keys.ScheduledProcedureStepSequence[0]
        step["ScheduledProcedureStepStartDate"]._value = "tomorrow"
        ((status, found),) = peer.send_c_find(keys, MWL)
        assert (status.Status, found) == (0xA900, None)
        assert "ScheduledProcedureStepStartDate" in status.ErrorComment
        assert len(list(peer.send_c_find(query(), MWL))) == 4


def test_cancel_ends_the_answers(receiver: ReceiverSite) -> None:
    many = {
        "patient_name": "Many^Steps",
        "patient_identifier": "MANY",
        "steps": [planned(f"S{n}", "XA", "2026-05-01", "09:00:00") for n in range(50)],
    }
    make_orders(receiver, *(dict(many) for _ in range(20)))
    with association(receiver) as peer:
        answers = peer.send_c_find(query({"Modality": "XA"}), MWL, msg_id=7)
        assert next(answers)[0].Status == 0xFF00
        peer.send_c_cancel(7, query_model=MWL)
        rest = [status.Status for status, _ in answers]
    assert rest[-1] == 0xFE00
    assert len(rest) < 1000


@pytest.mark.peers
def test_findscu_gets_its_worklist(scheduled: ReceiverSite, tmp_path: Path) -> None:
    def ask(*keys: str) -> list[Dataset]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        done = subprocess.run(
            ["findscu", "-W", "-X", "-od", str(folder), "-aet", "CT_NORTH", "-aec", "NOCTIS_SCP",
             "127.0.0.1", str(scheduled.port), *(part for key in keys for part in ("-k", key))],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return [dcmread(path, force=True) for path in sorted(folder.iterdir())]

    step = "(0040,0100)[0]"
    found = ask(
        "0010,0010=", "0010,0020", "0008,0050", f"{step}.0008,0060=CT",
        f"{step}.0040,0002=20260301-20260331", f"{step}.0040,0009",
    )  # fmt: skip
    assert steps(found) == ["MWL-A1/S1", "MWL-A1/S2"]
    assert len(ask("0008,0050=MWL-A2")) == 1
    assert len(ask("0010,0020", "0008,0050=MWL*")) == 3
