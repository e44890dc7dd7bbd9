"""What programs hand back, read as a stranger's: findings in JSON, and DICOM objects.

`findings.json` is `{"findings": [{"label", "value", "unit", "text", "at"}]}`; `at`, where a finding
lies in one image, is `{"SOPInstanceUID", "frame_number", "graphic", "points"}` with points in pixel
coordinates of which the first pixel's centre is 0, 0. Whatever does not fit is refused as a whole,
with the reason: half of what a program said may mean something else.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone

from archive import access, analyses, audit, ingest, spool
from archive.errors import PermanentError
from archive.ingest import Outcome, Provenance
from archive.models import AnalysisRun, AnalysisState, FindingGraphic, MachineFinding
from archive.spool import Spooled
from imaging import dicomjson
from imaging.errors import ImagingError
from worklist.models import DicomImage

FINDINGS = "findings.json"
MOST_BYTES = 1024**3
MOST_OBJECTS = 200
MOST_FINDINGS = 500
MOST_JSON_BYTES = 1024**2
# What a program may leave in a study: it describes pictures, and is none that equipment took.
_RESULT_KINDS = {
    "1.2.840.10008.5.1.4.1.1.66.4": "Segmentation",
    "1.2.840.10008.5.1.4.1.1.66.7": "Label map",
    "1.2.840.10008.5.1.4.1.1.88.11": "Structured report",
    "1.2.840.10008.5.1.4.1.1.88.22": "Structured report",
    "1.2.840.10008.5.1.4.1.1.88.33": "Structured report",
    "1.2.840.10008.5.1.4.1.1.88.34": "Structured report",
    "1.2.840.10008.5.1.4.1.1.11.1": "Presentation state",
    "1.2.840.10008.5.1.4.1.1.11.2": "Presentation state",
    "1.2.840.10008.5.1.4.1.1.104.1": "PDF document",
}
# How many points each kind of drawing takes.
_MOST_POINTS = 2000
_POINTS = {
    FindingGraphic.POINT: (1, 1),
    FindingGraphic.POLYLINE: (2, _MOST_POINTS),
    FindingGraphic.POLYGON: (3, _MOST_POINTS),
    FindingGraphic.BOX: (2, 2),
    FindingGraphic.CIRCLE: (2, 2),
}
_ME = access.system_actor("analysis")


def take(run: AnalysisRun, folder: Path, *, digest: str = "") -> int:
    """Take the results that lie in a folder: findings as rows, objects into the study.

    Doing it twice does it once. A run that somebody cancelled meanwhile keeps what was stored with
    its mark, so that no object of a machine stands in a study without one.

    Parameters
    ----------
    digest : of the body that they came in, where they came by HTTP

    Returns
    -------
    How many findings and objects the run has.

    Raises
    ------
    PermanentError
        With the reason why they are refused.
    """
    found = _read_findings(run, folder / FINDINGS)
    objects = _store(run, folder)
    with transaction.atomic():
        row = AnalysisRun.objects.select_for_update().get(pk=run.pk)
        if row.findings.exists():
            return row.findings.count()
        for finding in [*found, *objects]:
            finding.run = row
            finding.save(force_insert=True)
        if row.is_open:
            row.state = AnalysisState.DONE
            row.last_error = ""
            row.results_sha256 = digest
            row.finished_at = timezone.now()
            row.save(update_fields=["state", "last_error", "results_sha256", "finished_at"])
        audit.record(_ME, "study.analysed", run.study, program=run.program, found=len(found))
        analyses.tell(run)
    return len(found) + len(objects)


def _read_findings(run: AnalysisRun, path: Path) -> list[MachineFinding]:
    """Read findings as a stranger's: no more than fits, and of the right kind."""
    if not path.is_file():
        return []
    if path.stat().st_size > MOST_JSON_BYTES:
        raise PermanentError("Its findings.json is too large.")
    try:
        said = json.loads(path.read_text("utf-8"))["findings"]
        if not isinstance(said, list) or len(said) > MOST_FINDINGS:
            raise PermanentError(f"Its findings are no list of at most {MOST_FINDINGS}.")
        found = [_finding(one) for one in said]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PermanentError(
            "Its findings.json is not as docs/operations.md describes it."
        ) from error
    _check_places(run, found)
    return found


def _finding(said: dict[str, Any]) -> MachineFinding:
    value = said.get("value")
    number = None if value is None else float(value)
    if number is not None and not math.isfinite(number):
        raise PermanentError("One of its findings is not a number.")
    return MachineFinding(
        label=words(said["label"], 128),
        value=number,
        unit=words(said.get("unit", ""), 16),
        text=words(said.get("text", ""), 1024),
        **_place(said.get("at")),
    )


def _place(said: dict[str, Any] | None) -> dict[str, Any]:
    """Return where a finding lies; nothing where it is about the study."""
    if said is None:
        return {}
    points = [(float(column), float(row)) for column, row in said["points"]]
    graphic = FindingGraphic(said["graphic"])
    least, most = _POINTS[graphic]
    if not least <= len(points) <= most:
        raise PermanentError(f"A {graphic} has {least} to {most} points, not {len(points)}.")
    frame_number = said.get("frame_number", 1)
    if type(frame_number) is not int:
        raise PermanentError("A frame number is a whole number, counted from 1.")
    return {
        "sop_instance_uid": str(said["SOPInstanceUID"])[:64],
        "frame_number": frame_number,
        "graphic": graphic,
        "points": points,
    }


def _check_places(run: AnalysisRun, found: Sequence[MachineFinding]) -> None:
    """Refuse findings that lie on no image of the study."""
    wanted = {one.sop_instance_uid for one in found if one.sop_instance_uid}
    images = analyses.images_of(run.study)
    known = {row.sop_instance_uid: row for row in images.filter(sop_instance_uid__in=wanted)}
    for one in found:
        if not one.graphic:
            continue
        image = known.get(one.sop_instance_uid)
        if image is None:
            raise PermanentError("One of its findings lies on an image that the study has not.")
        if not 1 <= one.frame_number <= max(image.number_of_frames, 1):
            raise PermanentError(f"An image of the study has no frame {one.frame_number}.")
        size = (image.columns or 0, image.rows or 0)
        if not all(
            -1 <= value <= most
            for point in one.points
            for value, most in zip(point, size, strict=True)
        ):
            raise PermanentError("One of its findings lies outside of its image.")


def words(text: object, most: int) -> str:
    """Return a stranger's words for a page: printable, and no more than fit."""
    return "".join(letter for letter in str(text) if letter.isprintable())[:most]


def _store(run: AnalysisRun, folder: Path) -> list[MachineFinding]:
    """Store the DICOM files that a program made, as new series of the study."""
    paths = sorted(folder.glob("*.dcm"))
    sizes = [path.stat().st_size for path in paths]
    if len(paths) > MOST_OBJECTS or sum(sizes) > MOST_BYTES:
        raise PermanentError("It made more than may be stored in a study.")
    kinds = [_check(run, path) for path in paths]
    provenance = Provenance(
        facility=run.study.facility,
        source=f"analysis {run.algorithm_name} {run.algorithm_version}",
        expected_study_instance_uid=run.study.study_instance_uid,
        is_demo=run.study.is_demo,
    )
    found = []
    for path, kind in zip(paths, kinds, strict=True):
        with path.open("rb") as file, _spooled(file) as spooled:
            result = ingest.ingest_instance(spooled, provenance)
        if result.outcome is Outcome.CONFLICT:
            raise PermanentError("It made an object under an identity that the study has already.")
        image = DicomImage.objects.get(pk=result.image_id)
        found.append(MachineFinding(label=kind, image=image))
    return found


def _spooled(file: Any) -> Spooled:  # noqa: ANN401 - an open file
    return spool.spool_file(file)


def _check(run: AnalysisRun, path: Path) -> str:
    """Return what an object is; refuse what does not belong into a study as a machine's result."""
    try:
        with path.open("rb") as file:
            header = dicomjson.read(file)
    except (ImagingError, OSError) as error:
        raise PermanentError(f"{path.name} is no DICOM file that can be read.") from error
    kind = _RESULT_KINDS.get(str(header.get("SOPClassUID", "")))
    if kind is None:
        raise PermanentError(
            f"{path.name} is neither a segmentation nor a report, presentation state or PDF."
        )
    study = run.study
    if str(header.get("StudyInstanceUID", "")) != study.study_instance_uid:
        raise PermanentError(f"{path.name} is of another study.")
    if str(header.get("PatientID", "") or "") != study.patient_identifier:
        raise PermanentError(f"{path.name} is of another patient.")
    series_uid = str(header.get("SeriesInstanceUID", ""))
    theirs = study.series.filter(series_instance_uid=series_uid).exclude(
        pk__in=MachineFinding.objects.filter(run=run).values("image__series")
    )
    own = DicomImage.objects.filter(
        series__in=theirs, sop_instance_uid=str(header.get("SOPInstanceUID", ""))
    )
    # What was stored before a crash comes again; anything else would mix with people's series.
    if theirs.exists() and not own.exists():
        raise PermanentError(f"{path.name} is in a series that is not the program's own.")
    return kind
