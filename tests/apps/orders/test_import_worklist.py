"""`import_worklist`: files as wlmscpfs reads them and DICOM JSON become orders, once."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pydicom import config as pydicom_config
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from archive.access import Scope
from orders import modality_worklist
from orders.models import Order, ScheduledStep
from tests.orderly import item
from worklist.models import Facility


def wl(step_id: str = "S1", **changes: Any) -> Dataset:
    step = item(
        ScheduledStationAETitle=["CT_NORTH", "CT_1"],
        ScheduledProcedureStepStartDate="20260301",
        ScheduledProcedureStepStartTime="0930",
        Modality="CT",
        ScheduledPerformingPhysicianName="Wilson^James",
        ScheduledProcedureStepDescription="Head",
        ScheduledProcedureStepID=step_id,
        ScheduledProtocolCodeSequence=[item(CodeValue="CTH", CodingSchemeDesignator="99L")],
    )
    values: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 100",
        "AccessionNumber": "WL1",
        "PatientName": "Müller^Ånna",
        "PatientID": "P1",
        "PatientBirthDate": "19700203",
        "PatientSex": "F",
        "MedicalAlerts": "Pacemaker",
        "StudyInstanceUID": "1.2.3.4",
        "RequestingPhysician": "House^Gregory",
        "RequestedProcedureDescription": "CT head",
        "RequestedProcedureID": "RP1",
        "RequestedProcedurePriority": "HIGH",
        "ScheduledProcedureStepSequence": [step],
    }
    return item(**values | changes)


def write_wl(path: Path, data_set: Dataset, syntax: str = ExplicitVRLittleEndian) -> Path:
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = syntax
    data_set.file_meta.MediaStorageSOPClassUID = "1.2.276.0.7230010.3.1.0.1"
    data_set.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    data_set.save_as(path, enforce_file_format=True)
    return path


def load(*paths: Path, facility: str = "NORTH") -> str:
    out = io.StringIO()
    call_command("import_worklist", *map(str, paths), facility=facility, stdout=out, stderr=out)
    return out.getvalue()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_nothing_of_a_file_is_lost(facility: Facility, tmp_path: Path, syntax: str) -> None:
    write_wl(tmp_path / "one.wl", wl(), syntax)
    assert "1 created, 0 changed, 0 unchanged, 0 refused" in load(tmp_path)
    everything = wl()
    asked = item(**{element.keyword: None for element in everything if element.VR != "SQ"})
    asked.ScheduledProcedureStepSequence = everything.ScheduledProcedureStepSequence[:0]
    (found,) = modality_worklist.find(Scope(frozenset({facility.pk})), asked)
    # As sent but for the encoding of text, and the status and whole time that items have.
    del everything.SpecificCharacterSet
    sent = everything.ScheduledProcedureStepSequence[0]
    sent.ScheduledProcedureStepStartTime = "093000"
    sent.ScheduledProcedureStepStatus = "SCHEDULED"
    step = found.ScheduledProcedureStepSequence[0]
    for element in sent:
        assert step[element.tag].value == element.value, element.keyword
    for element in everything:
        if element.VR != "SQ":
            assert found[element.tag].value == element.value, element.keyword


def test_importing_again_changes_nothing(facility: Facility, tmp_path: Path) -> None:
    write_wl(tmp_path / "one.wl", wl())
    load(tmp_path)
    before = list(Order.objects.values()), list(ScheduledStep.objects.values())
    assert "0 created, 0 changed, 1 unchanged" in load(tmp_path)
    assert (list(Order.objects.values()), list(ScheduledStep.objects.values())) == before


def test_a_changed_file_changes_what_is_still_open(facility: Facility, tmp_path: Path) -> None:
    write_wl(tmp_path / "one.wl", wl())
    load(tmp_path)
    later = wl()
    step = later.ScheduledProcedureStepSequence[0]
    step.ScheduledProcedureStepStartDate = "20260302"
    write_wl(tmp_path / "one.wl", later)
    assert "1 changed" in load(tmp_path)
    assert str(ScheduledStep.objects.get().start_date) == "2026-03-02"
    ScheduledStep.objects.update(status="COMPLETED")
    step.ScheduledProcedureStepStartDate = "20260303"
    write_wl(tmp_path / "one.wl", later)
    assert "1 unchanged" in load(tmp_path)
    assert str(ScheduledStep.objects.get().start_date) == "2026-03-02"


def test_items_of_one_study_are_steps_of_one_order(facility: Facility, tmp_path: Path) -> None:
    write_wl(tmp_path / "one.wl", wl("S1"))
    write_wl(tmp_path / "two.wl", wl("S2"))
    assert "1 created, 1 changed" in load(tmp_path)
    assert Order.objects.count() == 1
    steps = ScheduledStep.objects.values_list("scheduled_procedure_step_id", flat=True)
    assert set(steps) == {"S1", "S2"}


def test_dicom_json_of_several_items(facility: Facility, tmp_path: Path) -> None:
    first, second = wl(), wl(StudyInstanceUID="1.2.3.5", AccessionNumber="WL2")
    path = tmp_path / "items.json"
    path.write_text(json.dumps([first.to_json_dict(), second.to_json_dict()]))
    assert "2 created" in load(path)
    assert set(Order.objects.values_list("accession_number", flat=True)) == {"WL1", "WL2"}
    assert Order.objects.first().patient_name == "Müller^Ånna"


def test_facilities_are_apart(facility: Facility, other_facility: Facility, tmp_path: Path) -> None:
    write_wl(tmp_path / "one.wl", wl())
    load(tmp_path)
    assert "1 created" in load(tmp_path, facility="SOUTH")
    assert Order.objects.count() == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no dicom at all", "not a DICOM file"),
        (b"{broken", "no DICOM JSON"),
        (b'{"00080060": {"vr": "CS", "Value": ["CT"]}}', r"\(0040,0100\)"),
        (b'[{"00400100": {"vr": "SQ", "Value": [{"00080060": {"vr": "CS"}}]}}]', r"\(0040,0002\)"),
    ],
    ids=["text", "json", "no step", "no date"],
)
def test_a_file_that_is_none_is_named_with_its_reason(
    facility: Facility,
    tmp_path: Path,
    content: bytes,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pydicom_config.settings, "reading_validation_mode", 0)
    path = tmp_path / "odd.wl"
    path.write_bytes(content)
    write_wl(tmp_path / "good.wl", wl())
    out = io.StringIO()
    with pytest.raises(CommandError, match="refused"):
        call_command("import_worklist", str(tmp_path), facility="NORTH", stdout=out, stderr=out)
    assert str(path) in out.getvalue()
    assert re.search(words, out.getvalue()), out.getvalue()
    # The good one beside it is taken.
    assert Order.objects.count() == 1
