"""JSON documents of the EHR interface: DICOM keywords as keys, our own facts in small letters."""

from __future__ import annotations

from datetime import date, time
from typing import Any

from archive import identifiers, retrieve
from archive.errors import UndecodableError
from archive.models import UploadLog
from imaging import sopclass
from imaging.tags import TagLine
from worklist.models import DicomImage, Series, Study

_API = "/api/v1/dicom"


def study(row: Study) -> dict[str, Any]:
    """Return a study as lists and single answers show it."""
    return {
        "id": str(row.pk),
        "StudyInstanceUID": row.study_instance_uid,
        "StudyID": row.study_id or None,
        "StudyDate": _date(row.study_date),
        "StudyTime": _time(row.study_time),
        "StudyDescription": row.study_description or None,
        "AccessionNumber": row.accession_number or None,
        "ReferringPhysicianName": row.referring_physician_name or None,
        "PatientID": row.patient_identifier or None,
        "PatientName": row.patient_name or None,
        "PatientBirthDate": _date(row.patient_birth_date),
        "PatientSex": row.patient_sex or None,
        "PatientAge": row.patient_age or None,
        "ModalitiesInStudy": row.modality_codes,
        "BodyPartExamined": row.body_part_examined or None,
        "NumberOfStudyRelatedSeries": row.series_count,
        "NumberOfStudyRelatedInstances": row.instance_count,
        "size_bytes": row.size_bytes,
        "status": row.status,
        "warning": row.warning or None,
        "facility": {"code": row.facility.code, "name": row.facility.name},
        "received_at": row.last_received_at.isoformat(),
        "orthanc_study_id": identifiers.orthanc_study_id(
            row.patient_identifier, row.study_instance_uid
        ),
        "series_url": f"{_API}/studies/{row.pk}/series",
        "thumbnail_url": f"{_API}/studies/{row.pk}/thumbnail",
    }


def series(row: Series) -> dict[str, Any]:
    """Return a series."""
    return {
        "id": str(row.pk),
        "SeriesInstanceUID": row.series_instance_uid,
        "SeriesNumber": row.series_number,
        "SeriesDescription": row.series_description or None,
        "Modality": row.modality or None,
        "BodyPartExamined": row.body_part_examined or None,
        "Laterality": row.laterality or None,
        "ProtocolName": row.protocol_name or None,
        "SeriesDate": _date(row.series_date),
        "SeriesTime": _time(row.series_time),
        "FrameOfReferenceUID": row.frame_of_reference_uid or None,
        "Manufacturer": row.manufacturer or None,
        "StationName": row.station_name or None,
        "InstitutionName": row.institution_name or None,
        "NumberOfSeriesRelatedInstances": row.instance_count,
        "frame_count": row.frame_count,
        "size_bytes": row.size_bytes,
        "warning": row.warning or None,
        "images_url": f"{_API}/series/{row.pk}/images",
    }


def image(row: DicomImage) -> dict[str, Any]:
    """Return an instance with what it takes to show it."""
    address = f"{_API}/image/{row.pk}"
    version = f"?v={row.digest}"
    problem = row.problem or retrieve.problem(row) or None
    values: dict[str, Any] = {}
    if row.has_pixels and problem is None:
        try:
            values = retrieve.values(row)
        except UndecodableError as error:
            problem = str(error)
    return {
        "id": str(row.pk),
        "SOPInstanceUID": row.sop_instance_uid,
        "SOPClassUID": row.sop_class_uid,
        "sop_class_name": sopclass.class_name(row.sop_class_uid),
        "kind": sopclass.kind_of(row.sop_class_uid, has_pixels=row.has_pixels),
        "TransferSyntaxUID": row.transfer_syntax_uid,
        "InstanceNumber": row.instance_number,
        **pixel_facts(row),
        # What the exact frames hold, where a Modality LUT was applied to them.
        **{
            key: value
            for key, value in (row.display | values).items()
            if key not in ("frames", "LookupTables")
        },
        "LossyImageCompression": row.is_lossy,
        "size_bytes": row.size_bytes,
        "digest": row.digest,
        "transport": retrieve.transport(row),
        "frame_url": f"{address}/frames/{{n}}" if row.has_pixels else None,
        "png_url": f"{address}/frames/1.png{version}" if row.has_pixels else None,
        "thumbnail_url": f"{address}/thumbnail{version}",
        "file_url": f"{address}/file{version}",
        "problem": problem,
    }


def pixel_facts(row: Any) -> dict[str, Any]:  # noqa: ANN401 - a stored row, or the index of a file
    """Return the attributes of the pixel module (PS3.3 C.7.6.3)."""
    return {
        "Rows": row.rows,
        "Columns": row.columns,
        "NumberOfFrames": row.number_of_frames,
        "SamplesPerPixel": row.samples_per_pixel,
        "PhotometricInterpretation": row.photometric_interpretation or None,
        "PlanarConfiguration": row.planar_configuration,
        "BitsAllocated": row.bits_allocated,
        "BitsStored": row.bits_stored,
        "HighBit": row.high_bit,
        "PixelRepresentation": row.pixel_representation,
    }


def log_line(row: UploadLog) -> dict[str, Any]:
    """Return a line of the log of uploads and deletions."""
    return {
        "id": str(row.pk),
        "at": row.at.isoformat(),
        "actor": row.actor,
        "action": row.action,
        "filename": row.filename or None,
        "StudyInstanceUID": row.study_instance_uid or None,
        "SOPInstanceUID": row.sop_instance_uid or None,
        "instances": row.instance_count,
        "reason": row.reason or None,
        "facility": {"code": row.facility.code, "name": row.facility.name},
    }


def tags(lines: list[TagLine]) -> dict[str, Any]:
    """Return elements as an object: keyword to text, or to a list of such objects for a sequence.

    Elements without a keyword (private ones) stand under their tag.
    """
    root: dict[str, Any] = {}
    # The object that takes the elements of each depth, and the sequence that takes items.
    nodes: dict[int, dict[str, Any]] = {0: root}
    sequences: dict[int, list[dict[str, Any]]] = {}
    for line in lines:
        if line.keyword == "Item" and line.tag == "(fffe,e000)":
            item: dict[str, Any] = {}
            sequences[line.depth].append(item)
            nodes[line.depth + 1] = item
            continue
        name = line.keyword or line.tag
        if line.vr == "SQ":
            sequences[line.depth + 1] = nodes[line.depth][name] = []
        else:
            nodes[line.depth][name] = line.value
    return root


def _date(value: date | None) -> str | None:
    return None if value is None else value.isoformat()


def _time(value: time | None) -> str | None:
    return None if value is None else value.isoformat("seconds")
