"""MPPS, spoken by pynetdicom: the state machine, statuses, and what follows in the orders."""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import (
    CTImageStorage,
    ModalityPerformedProcedureStep,
    ModalityPerformedProcedureStepRetrieve,
)

from tests.orderly import item, make_orders
from tests.pdu import IMPLICIT_LE, command, fragment, uid_bytes, us
from tests.receiver import ReceiverSite

MPPS = ModalityPerformedProcedureStep


@contextlib.contextmanager
def association(
    receiver: ReceiverSite, calling: str = "CT_NORTH", context: Any = MPPS
) -> Iterator[Association]:
    ae = AE(ae_title=calling)
    ae.add_requested_context(context)
    found = ae.associate("127.0.0.1", receiver.port, ae_title="NOCTIS_SCP")
    assert found.is_established
    yield found
    found.release()


def begun(study: str = "", accession: str = "", step_id: str = "", **changes: Any) -> Dataset:
    """What a modality sends when it begins."""
    values: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 192",
        "ScheduledStepAttributesSequence": [
            item(
                StudyInstanceUID=study or generate_uid(),
                AccessionNumber=accession,
                RequestedProcedureID="",
                RequestedProcedureDescription="",
                ScheduledProcedureStepID=step_id,
                ScheduledProcedureStepDescription="",
                ScheduledProtocolCodeSequence=[],
                ReferencedStudySequence=[],
            )
        ],
        "PatientName": "Müller^Ånna",
        "PatientID": "P1",
        "PatientBirthDate": "",
        "PatientSex": "",
        "ReferencedPatientSequence": [],
        "PerformedProcedureStepID": "PPS1",
        "PerformedStationAETitle": "CT_NORTH",
        "PerformedStationName": "",
        "PerformedLocation": "",
        "PerformedProcedureStepStartDate": "20260301",
        "PerformedProcedureStepStartTime": "101500",
        "PerformedProcedureStepStatus": "IN PROGRESS",
        "PerformedProcedureStepDescription": "",
        "PerformedProcedureTypeDescription": "",
        "PerformedProcedureStepEndDate": "",
        "PerformedProcedureStepEndTime": "",
        "Modality": "CT",
        "StudyID": "",
        "PerformedProtocolCodeSequence": [],
        "PerformedSeriesSequence": [],
    }
    return item(**values | changes)


def ended(status: str = "COMPLETED", *, instances: int = 2, **changes: Any) -> Dataset:
    """What it sends at the end."""
    images = [
        item(ReferencedSOPClassUID=CTImageStorage, ReferencedSOPInstanceUID=generate_uid())
        for _ in range(instances)
    ]
    series = item(
        PerformingPhysicianName="",
        OperatorsName="",
        ProtocolName="Head",
        SeriesInstanceUID=generate_uid(),
        SeriesDescription="",
        RetrieveAETitle="",
        ReferencedImageSequence=images,
        ReferencedNonImageCompositeSOPInstanceSequence=[],
    )
    values: dict[str, Any] = {
        "PerformedProcedureStepStatus": status,
        "PerformedProcedureStepEndDate": "20260301",
        "PerformedProcedureStepEndTime": "103000",
        "PerformedSeriesSequence": [series],
    }
    return item(**values | changes)


def without(data_set: Dataset, keyword: str) -> Dataset:
    delattr(data_set, keyword)
    return data_set


def step(receiver: ReceiverSite, uid: str) -> dict[str, Any]:
    rows = receiver.rows("SELECT * FROM orders_performedstep WHERE sop_instance_uid = ?", uid)
    assert len(rows) == 1
    return rows[0]


def order_of(receiver: ReceiverSite, accession: str) -> tuple[str, list[str]]:
    rows = receiver.rows(
        "SELECT o.status, s.status AS step FROM orders_order o JOIN orders_scheduledstep s"
        " ON s.order_id = o.id WHERE o.accession_number = ? ORDER BY s.id",
        accession,
    )
    return rows[0]["status"], [row["step"] for row in rows]


def test_a_step_begins_goes_on_and_ends(receiver: ReceiverSite) -> None:
    uid, study = generate_uid(), generate_uid()
    with association(receiver) as peer:
        status, _ = peer.send_n_create(begun(study), MPPS, uid)
        assert status.Status == 0x0000
        going_on = item(
            PerformedProcedureStepDescription="Schädel", CommentsOnThePerformedProcedureStep=""
        )
        going_on.SpecificCharacterSet = "ISO_IR 100"
        status, _ = peer.send_n_set(going_on, MPPS, uid)
        assert status.Status == 0x0000
        assert step(receiver, uid)["status"] == "IN PROGRESS"
        end = ended(instances=3)
        status, _ = peer.send_n_set(end, MPPS, uid)
        assert status.Status == 0x0000
    row = step(receiver, uid)
    assert (row["status"], row["study_instance_uid"]) == ("COMPLETED", study)
    sent = end.PerformedSeriesSequence[0]
    assert json.loads(row["references"]) == [
        [sent.SeriesInstanceUID, CTImageStorage, image.ReferencedSOPInstanceUID]
        for image in sent.ReferencedImageSequence
    ]
    kept = Dataset.from_json(row["attributes"])
    assert kept.PatientName == "Müller^Ånna"
    assert kept.PerformedProcedureStepDescription == "Schädel"


@pytest.mark.parametrize("status", ["COMPLETED", "DISCONTINUED"])
def test_nothing_changes_after_the_end(receiver: ReceiverSite, status: str) -> None:
    uid = generate_uid()
    with association(receiver) as peer:
        peer.send_n_create(begun(), MPPS, uid)
        answer, _ = peer.send_n_set(ended(status), MPPS, uid)
        assert answer.Status == 0x0000
        answer, _ = peer.send_n_set(item(PerformedProcedureStepDescription="late"), MPPS, uid)
    assert answer.Status == 0x0110
    assert answer.ErrorComment == "Performed Procedure Step Object may no longer be updated"
    assert answer.ErrorID == 0xA710
    assert "late" not in step(receiver, uid)["attributes"]


@pytest.mark.parametrize(
    ("attributes", "lacking"),
    [
        (without(begun(), "Modality"), ["Modality"]),
        (begun(Modality=""), ["Modality"]),
        (without(begun(), "PerformedProcedureStepStatus"), ["PerformedProcedureStepStatus"]),
        (
            without(begun(), "ScheduledStepAttributesSequence"),
            ["ScheduledStepAttributesSequence"],
        ),
        (
            begun(ScheduledStepAttributesSequence=[item(AccessionNumber="A1")]),
            ["StudyInstanceUID"],
        ),
        (
            without(without(begun(), "PerformedProcedureStepID"), "PerformedStationAETitle"),
            ["PerformedProcedureStepID", "PerformedStationAETitle"],
        ),
    ],
    ids=["no modality", "empty modality", "no state", "no steps", "no study", "no id"],
)
def test_a_step_that_lacks_something_begins_with_a_warning(
    receiver: ReceiverSite, attributes: Dataset, lacking: list[str]
) -> None:
    uid = generate_uid()
    with association(receiver) as peer:
        answer, _ = peer.send_n_create(attributes, MPPS, uid)
        assert answer.Status == 0x0107
        assert answer.ErrorComment.startswith(f"Not sent: {lacking[0]}")
        ending, _ = peer.send_n_set(ended(), MPPS, uid)
        assert ending.Status == 0x0000
    assert step(receiver, uid)["status"] == "COMPLETED"
    (line,) = [line for line in receiver.log().splitlines() if f"step {uid}" in line]
    assert lacking[-1] in line
    assert "Müller" not in line


def test_a_step_of_a_study_without_lawful_uid_begins_with_a_warning(
    receiver: ReceiverSite,
) -> None:
    uid = generate_uid()
    with association(receiver) as peer:
        answer, _ = peer.send_n_create(begun("1.2.03.4"), MPPS, uid)
    assert (answer.Status, answer.ErrorComment) == (0x0116, "Not usable: StudyInstanceUID.")
    assert step(receiver, uid)["study_instance_uid"] == ""


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        (begun(PerformedProcedureStepStatus="COMPLETED"), 0x0106),
        (begun(PerformedProcedureStepStatus="BUSY"), 0x0106),
        (item(SpecificCharacterSet="ISO_IR 100"), 0x0120),
    ],
    ids=["ended", "no such state", "nothing"],
)
def test_a_step_begins_in_progress_only(
    receiver: ReceiverSite, attributes: Dataset, status: int
) -> None:
    uid = generate_uid()
    with association(receiver) as peer:
        answer, _ = peer.send_n_create(attributes, MPPS, uid)
    assert answer.Status == status
    assert receiver.rows("SELECT 1 FROM orders_performedstep WHERE sop_instance_uid = ?", uid) == []


@pytest.mark.parametrize(
    ("changes", "status", "comment"),
    [
        (
            without(ended(), "PerformedProcedureStepEndTime"),
            0x0107,
            "Not sent: PerformedProcedureStepEndTime.",
        ),
        (ended(PerformedSeriesSequence=[]), 0x0107, "Not sent: PerformedSeriesSequence."),
        (
            ended(PerformedSeriesSequence=[item(ProtocolName="Head")]),
            0x0107,
            "Not sent: SeriesInstanceUID.",
        ),
        (
            ended(PerformedSeriesSequence=[item(SeriesInstanceUID="1.02")]),
            0x0116,
            "Not usable: SeriesInstanceUID.",
        ),
    ],
    ids=["no end", "no series", "no series uid", "bad series uid"],
)
def test_a_step_ends_with_a_warning_of_what_it_lacks(
    receiver: ReceiverSite, changes: Dataset, status: int, comment: str
) -> None:
    uid = generate_uid()
    with association(receiver) as peer:
        peer.send_n_create(begun(), MPPS, uid)
        answer, _ = peer.send_n_set(changes, MPPS, uid)
    assert (answer.Status, answer.ErrorComment) == (status, comment)
    assert step(receiver, uid)["status"] == "COMPLETED"


def test_a_step_does_not_come_to_a_state_that_there_is_not(receiver: ReceiverSite) -> None:
    uid = generate_uid()
    with association(receiver) as peer:
        peer.send_n_create(begun(), MPPS, uid)
        answer, _ = peer.send_n_set(ended("FINISHED"), MPPS, uid)
    assert answer.Status == 0x0106
    assert step(receiver, uid)["status"] == "IN PROGRESS"


def test_a_step_that_was_given_up_needs_no_series(receiver: ReceiverSite) -> None:
    uid = generate_uid()
    with association(receiver) as peer:
        peer.send_n_create(begun(), MPPS, uid)
        answer, _ = peer.send_n_set(ended("DISCONTINUED", PerformedSeriesSequence=[]), MPPS, uid)
    assert answer.Status == 0x0000
    assert step(receiver, uid)["status"] == "DISCONTINUED"


def test_duplicate_and_unknown_instances(receiver: ReceiverSite) -> None:
    uid = generate_uid()
    with association(receiver) as peer:
        peer.send_n_create(begun(), MPPS, uid)
        duplicate, _ = peer.send_n_create(begun(), MPPS, uid)
        unknown, _ = peer.send_n_set(ended(), MPPS, generate_uid())
    assert (duplicate.Status, unknown.Status) == (0x0111, 0x0112)


def test_who_and_when_it_began_stays(receiver: ReceiverSite) -> None:
    uid = generate_uid()
    with association(receiver) as peer:
        peer.send_n_create(begun(), MPPS, uid)
        answer, _ = peer.send_n_set(ended(PatientName="Other^Name", PatientID="P2"), MPPS, uid)
    assert answer.Status == 0x0107
    assert answer.AttributeIdentifierList == [0x00100010, 0x00100020]
    assert answer.ErrorComment == "Left as it was: PatientName, PatientID."
    row = step(receiver, uid)
    assert row["status"] == "COMPLETED"
    assert "Other^Name" not in row["attributes"]


def test_a_step_without_a_uid_gets_one(receiver: ReceiverSite) -> None:
    with association(receiver) as peer:
        answer, _ = peer.send_n_create(begun(PerformedProcedureStepID="NOUID"), MPPS, None)
    assert answer.Status == 0x0000
    rows = receiver.rows(
        "SELECT sop_instance_uid FROM orders_performedstep"
        " WHERE performed_procedure_step_id = 'NOUID'"
    )
    assert [row["sop_instance_uid"][:5] for row in rows] == ["2.25."]


@pytest.mark.parametrize("context", [MPPS, ModalityPerformedProcedureStepRetrieve])
def test_a_step_can_be_asked_for(receiver: ReceiverSite, context: Any) -> None:
    uid = generate_uid()
    with association(receiver) as peer:
        peer.send_n_create(begun(), MPPS, uid)
    with association(receiver, context=context) as peer:
        status, found = peer.send_n_get([0x00100010, 0x00400252], context, uid)
        assert status.Status == 0x0000
        assert found is not None
        assert (found.PatientName, found.PerformedProcedureStepStatus) == (
            "Müller^Ånna",
            "IN PROGRESS",
        )
        assert "PatientID" not in found
        _, everything = peer.send_n_get([], context, uid)
        assert everything is not None
        assert everything.PatientID == "P1"
        unknown, _ = peer.send_n_get([], context, generate_uid())
        assert unknown.Status == 0x0112


def test_another_facility_does_not_see_it(receiver: ReceiverSite) -> None:
    uid = generate_uid()
    with association(receiver) as peer:
        peer.send_n_create(begun(), MPPS, uid)
    with association(receiver, "CT_WEST") as peer:
        changed, _ = peer.send_n_set(ended(), MPPS, uid)
        found, _ = peer.send_n_get([], MPPS, uid)
        # The same UID is free there: a duplicate would tell that it exists elsewhere.
        made, _ = peer.send_n_create(begun(), MPPS, uid)
    assert (changed.Status, found.Status, made.Status) == (0x0112, 0x0112, 0x0000)
    rows = receiver.rows(
        "SELECT source_ae_title, status FROM orders_performedstep WHERE sop_instance_uid = ?"
        " ORDER BY source_ae_title",
        uid,
    )
    assert [row["source_ae_title"] for row in rows] == ["CT_NORTH", "CT_WEST"]
    assert {row["status"] for row in rows} == {"IN PROGRESS"}


def test_orders_follow_what_is_done(receiver: ReceiverSite) -> None:
    steps = [
        {"modality": "CT", "start_date": "2026-03-01", "scheduled_procedure_step_id": step_id}
        for step_id in ("S1", "S2")
    ]
    patient = {"patient_name": "Kim^Lee", "patient_identifier": "P1"}
    make_orders(
        receiver,
        {**patient, "accession_number": "MPPS1", "study_instance_uid": "1.2.3.1", "steps": steps},
        {
            **patient,
            "facility": "WEST",
            "accession_number": "MPPS1W",
            "study_instance_uid": "1.2.3.1",
            "steps": steps,
        },
    )
    first, second, third = (generate_uid() for _ in range(3))
    wrong_entry = item(CodeValue="110514", CodingSchemeDesignator="DCM", CodeMeaning="Incorrect")
    with association(receiver) as peer:
        peer.send_n_create(begun("1.2.3.1", "MPPS1", "S1"), MPPS, first)
        assert order_of(receiver, "MPPS1") == ("in_progress", ["STARTED", "SCHEDULED"])
        discontinued = ended(
            "DISCONTINUED", PerformedProcedureStepDiscontinuationReasonCodeSequence=[wrong_entry]
        )
        peer.send_n_set(discontinued, MPPS, first)
        assert order_of(receiver, "MPPS1") == ("scheduled", ["SCHEDULED", "SCHEDULED"])
        # By accession number where the modality made its own Study Instance UID.
        peer.send_n_create(begun("", "MPPS1", "S1"), MPPS, second)
        peer.send_n_set(ended(), MPPS, second)
        assert order_of(receiver, "MPPS1") == ("in_progress", ["COMPLETED", "SCHEDULED"])
        peer.send_n_create(begun("1.2.3.1", "MPPS1", "S2"), MPPS, third)
        peer.send_n_set(ended("DISCONTINUED"), MPPS, third)
    assert order_of(receiver, "MPPS1") == ("completed", ["COMPLETED", "DISCONTINUED"])
    assert order_of(receiver, "MPPS1W") == ("scheduled", ["SCHEDULED", "SCHEDULED"])


def test_values_that_cannot_be_read_are_left_out(receiver: ReceiverSite) -> None:
    uid, study = generate_uid(), generate_uid()
    broken = begun(study)
    broken.PatientWeight = "70"
    broken["PatientWeight"]._value = "seventy"
    planned = broken.ScheduledStepAttributesSequence[0]
    planned.StartTrim = "1"
    planned["StartTrim"]._value = "one"
    with association(receiver) as peer:
        answer, _ = peer.send_n_create(broken, MPPS, uid)
        assert answer.Status == 0x0116
        assert answer.ErrorComment == "Not usable: PatientWeight, StartTrim."
    row = step(receiver, uid)
    assert row["study_instance_uid"] == study
    assert "PatientWeight" not in Dataset.from_json(row["attributes"])


def test_what_is_no_data_set_is_refused_and_the_association_goes_on(
    receiver: ReceiverSite,
) -> None:
    uid = generate_uid()
    request = command(
        (0x0002, uid_bytes(MPPS)),
        (0x0100, us(0x0140)),
        (0x0110, us(1)),
        (0x0800, us(1)),
        (0x1000, uid_bytes(uid)),
    )
    lawful = encode(begun(), is_implicit_vr=True, is_little_endian=True)
    assert lawful
    endless = struct.pack("<HHI", 0x0040, 0x0270, 0xFFFFFFFF) + bytes(6)
    with receiver.peer([(MPPS, [IMPLICIT_LE])]) as peer:
        for data, status in ((endless, 0x0110), (lawful, 0x0000)):
            peer.send(fragment(1, 3, request) + fragment(1, 2, data))
            assert peer.response().status == status
    assert step(receiver, uid)["status"] == "IN PROGRESS"
