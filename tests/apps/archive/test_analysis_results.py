"""What programs hand back is read as a stranger's, taken once, and judged by people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from archive import analyses, analysis_results, findings
from archive.access import Actor
from archive.analysis_catalogue import EXAMPLE
from archive.errors import InvalidInputError, PermanentError
from archive.models import AnalysisRun, AnalysisState, FindingDecision, MachineFinding
from tests import factories
from tests.dicom import to_bytes
from tests.volumes import stacked
from worklist.models import DicomImage, Facility, Study

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

SEG = "1.2.840.10008.5.1.4.1.1.66.4"


@pytest.fixture
def run(reader: Actor, facility: Facility) -> AnalysisRun:
    for ds in stacked([0.0, 1.0], np.zeros((2, 8, 10), np.int16)):
        factories.store_bytes(to_bytes(ds), facility)
    return analyses.run_by_hand(reader, Study.objects.get(), EXAMPLE.key)


def first(run: AnalysisRun) -> DicomImage:
    return DicomImage.objects.filter(series__study=run.study).order_by("instance_number")[0]


def place(run: AnalysisRun, **changes: Any) -> dict[str, Any]:
    uid = first(run).sop_instance_uid
    said = {"SOPInstanceUID": uid, "frame_number": 1, "graphic": "box", "points": [[1, 2], [9, 7]]}
    return {**said, **changes}


def said(folder: Path, *found: object) -> Path:
    (folder / "findings.json").write_text(json.dumps({"findings": found}))
    return folder


def test_a_finding_with_a_place_is_taken_once(run: AnalysisRun, tmp_path: Path) -> None:
    said(tmp_path, {"label": "Node", "value": 4, "unit": "mm", "at": place(run)})
    assert analysis_results.take(run, tmp_path) == 1
    assert analysis_results.take(run, tmp_path) == 1
    [finding] = MachineFinding.objects.all()
    assert finding.sop_instance_uid == first(run).sop_instance_uid
    assert (finding.graphic, finding.points) == ("box", [[1, 2], [9, 7]])
    run.refresh_from_db()
    assert run.state == AnalysisState.DONE


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"SOPInstanceUID": "1.2.3"}, "the study has not", id="elsewhere"),
        pytest.param({"points": [[1, 2], [11, 7]]}, "outside of its image", id="outside"),
        pytest.param({"points": [[1, 2], [float("nan"), 7]]}, "outside", id="nan"),
        pytest.param({"frame_number": 2}, "no frame 2", id="frame"),
        pytest.param({"frame_number": "1"}, "a whole number", id="frame-as-text"),
        pytest.param({"points": [[1, 2]]}, "2 to 2 points", id="half-a-box"),
        pytest.param({"graphic": "star"}, "docs/operations.md", id="star"),
        pytest.param({"points": [[1, 2, 3], [4, 5, 6]]}, "docs/operations.md", id="mm"),
    ],
)
def test_places_that_are_none_are_refused_whole(
    run: AnalysisRun, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    said(tmp_path, {"label": "Good"}, {"label": "Node", "at": place(run, **changes)})
    with pytest.raises(PermanentError, match=words):
        analysis_results.take(run, tmp_path)
    assert not MachineFinding.objects.exists()
    run.refresh_from_db()
    assert run.state == AnalysisState.WAITING


def test_what_a_cancelled_run_stored_keeps_its_mark(
    run: AnalysisRun, store: Path, tmp_path: Path
) -> None:
    made = pydicom.dcmread(store / first(run).storage_key)
    made.SOPClassUID, made.SOPInstanceUID = SEG, "1.2.840.99.1"
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.file_meta.MediaStorageSOPClassUID = SEG
    made.SeriesInstanceUID, made.Modality = "1.2.840.99.2", "SEG"
    made.save_as(tmp_path / "a.dcm")
    AnalysisRun.objects.update(state=AnalysisState.CANCELLED)
    analysis_results.take(run, tmp_path)
    run.refresh_from_db()
    assert run.state == AnalysisState.CANCELLED
    assert [one.sop_instance_uid for one in images_of(run)] == ["1.2.840.99.1"]
    assert findings.made_by_machines(run.study)


def images_of(run: AnalysisRun) -> list[DicomImage]:
    return [finding.image for finding in run.findings.all() if finding.image]


def test_comments_stay_until_others_are_written(
    run: AnalysisRun, reader: Actor, tmp_path: Path
) -> None:
    analysis_results.take(run, said(tmp_path, {"label": "Node"}))
    key = run.findings.get().pk
    findings.decide(reader, key, FindingDecision.REJECTED, " A vessel. ")
    findings.decide(reader, key, FindingDecision.OPEN)
    assert run.findings.get().comment == "A vessel."
    findings.decide(reader, key, FindingDecision.ACCEPTED, "")
    assert run.findings.get().comment == ""
    with pytest.raises(InvalidInputError, match="1024"):
        findings.decide(reader, key, FindingDecision.ACCEPTED, "x" * 1025)
