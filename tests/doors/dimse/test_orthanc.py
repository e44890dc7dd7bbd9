"""Orthanc sends to us and is sent to: what arrives is what was there."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.orthanc import Orthanc
from tests.pdu import read_part10
from tests.receiver import ReceiverSite

pytestmark = [pytest.mark.peers, pytest.mark.slow]

# One of each: a CT, a compressed colour picture, a report, a document, an encapsulated multi-frame.
SAMPLES = (
    "cr_dx_mg/GH133.dcm",
    "us/YBR_FULL-RLE.dcm",
    "xa_rf/jpeg_baseline_8bit.dcm",
    "pr_pdf_stl/sample-pdf.dcm",
    "waveform/waveform_ecg.dcm",
)


@pytest.fixture(scope="module")
def clinic(receiver: ReceiverSite) -> ReceiverSite:
    """A receiver whose facility has Orthanc among its equipment."""
    receiver.run_python(
        "from archive.access import system_actor\n"
        "from archive.facilities import FacilityDraft, save_facility\n"
        "draft = FacilityDraft(code='ORTHANC', name='Orthanc Clinic', ae_titles=['ORTHANC'])\n"
        "save_facility(system_actor('tests'), draft)"
    )
    return receiver


def read_file(raw: bytes) -> Dataset:
    return Dataset(dcmread(io.BytesIO(raw)))


def stored(site: ReceiverSite) -> dict[str, bytes]:
    return {
        row["sop_instance_uid"]: read_part10((site.store / row["storage_key"]).read_bytes()).data
        for row in site.images()
    }


def test_orthanc_sends_what_it_holds(
    clinic: ReceiverSite, start_orthanc: Callable[..., Orthanc], data: Path
) -> None:
    orthanc = start_orthanc(clinic.port)
    given = {}
    for name in SAMPLES:
        raw = (data / name).read_bytes()
        identity = orthanc.post("/instances", raw)["ID"]
        given[identity] = read_file(orthanc.file(identity))
    answer = orthanc.post("/modalities/noctis/store", list(given))
    assert (answer["InstancesCount"], answer["FailedInstancesCount"]) == (len(given), 0)
    # dcmtk, which sends for Orthanc, writes sequences anew: the bytes differ, the elements do not.
    found = {
        row["sop_instance_uid"]: read_file((clinic.store / row["storage_key"]).read_bytes())
        for row in clinic.images()
    }
    for whole in given.values():
        assert found[whole.SOPInstanceUID] == whole
    assert orthanc.post("/modalities/noctis/echo", {}) == {}


def test_orthanc_is_a_destination(
    clinic: ReceiverSite, start_orthanc: Callable[..., Orthanc], data: Path
) -> None:
    orthanc = start_orthanc(clinic.port)
    clinic.run_python(
        "from archive.access import system_actor\n"
        "from archive.destinations import DestinationDraft, save_destination\n"
        f"draft = DestinationDraft('ORTHANC', '127.0.0.1', {orthanc.port})\n"
        "save_destination(system_actor('tests'), draft)"
    )
    sent = {}
    for name in SAMPLES:
        part = read_part10((data / name).read_bytes())
        sent[part.sop_instance] = part.data
        with clinic.peer([(part.sop_class, [part.transfer_syntax])], calling="ORTHANC") as peer:
            assert peer.store(part.sop_class, part.sop_instance, part.data).status in (0, 0xB000)
    studies = {row["study_instance_uid"] for row in clinic.rows("SELECT * FROM worklist_study")}
    for study in studies:
        subprocess.run(
            ["movescu", "-S", "-aet", "ORTHANC", "-aec", "NOCTIS_SCP", "-aem", "ORTHANC",
             "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}",
             "127.0.0.1", str(clinic.port)],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
    got = {}
    for identity in orthanc.get("/instances"):
        part = read_part10(orthanc.file(identity))
        got[part.sop_instance] = part.data
    found = stored(clinic)
    assert sent.keys() <= got.keys()
    assert {uid: found[uid] for uid in sent} == {uid: got[uid] for uid in sent}


def test_orthanc_queries_and_retrieves(
    clinic: ReceiverSite, start_orthanc: Callable[..., Orthanc], data: Path
) -> None:
    orthanc = start_orthanc(clinic.port)
    clinic.run_python(
        "from archive.access import system_actor\n"
        "from archive.destinations import DestinationDraft, save_destination\n"
        f"draft = DestinationDraft('ORTHANC', '127.0.0.1', {orthanc.port})\n"
        "save_destination(system_actor('tests'), draft)"
    )
    paths = sorted((data / "ct" / "head_phantom_1mm").iterdir())[:5]
    parts = [read_part10(path.read_bytes()) for path in paths]
    with clinic.peer([(parts[0].sop_class, [parts[0].transfer_syntax])], calling="ORTHANC") as peer:
        for part in parts:
            assert peer.store(part.sop_class, part.sop_instance, part.data).status == 0
        peer.release()
    study = read_file(paths[0].read_bytes()).StudyInstanceUID
    query = {"Level": "Study", "Query": {"StudyInstanceUID": study, "PatientName": ""}}
    found = orthanc.post("/modalities/noctis/query", query)["ID"]
    assert len(orthanc.get(f"/queries/{found}/answers")) == 1
    orthanc.post(f"/queries/{found}/retrieve", {"TargetAet": "ORTHANC", "Synchronous": True})
    got = [read_part10(orthanc.file(identity)) for identity in orthanc.get("/instances")]
    assert {p.sop_instance: p.data for p in got} == {p.sop_instance: p.data for p in parts}
