"""Rows of what is stored and their counters, changed in one transaction.

This is how the first instance of a series comes in; `archive.arrivals` adds those that follow.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any
from uuid import UUID

from django.db.models import F
from django.utils import timezone

from archive import deletions
from imaging import header
from imaging.attributes import IMAGE, PATIENT, SERIES, STUDY
from imaging.header import InstanceIndex
from imaging.sopclass import COMPANION_MODALITIES
from worklist.models import DicomImage, Facility, Patient, Series, Study

# Where a study without a date stands among the others: before all of them, so last where the newest
# come first. A day after the first that there is: every zone can write it.
UNDATED = datetime(1, 1, 2, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Placed:
    """Where the bytes of an instance lie, and what they are."""

    storage_key: str
    size_bytes: int
    sha256: str
    source_ae_title: str = ""
    is_demo: bool = False


@dataclass(frozen=True, slots=True)
class Added:
    """The rows of a stored instance.

    `patient_identifier` is that of the study, which need not be the instance's.
    """

    image_id: UUID
    series_id: UUID
    study_id: UUID
    modality: str
    patient_identifier: str
    is_new_study: bool


def add(index: InstanceIndex, facility: Facility, placed: Placed) -> Added:
    """Insert the instance and whatever of its study is new; must run in a transaction.

    Raises
    ------
    IntegrityError
        When the facility already has this SOP Instance UID.
    """
    study, is_new_study = _study(index, facility, is_demo=placed.is_demo)
    series, is_new_series = _series(index, study, placed.source_ae_title)
    image = DicomImage(**image_values(index, facility.pk, series.pk, placed))
    image.save(force_insert=True)
    Series.objects.filter(pk=series.pk).update(
        instance_count=F("instance_count") + 1,
        frame_count=F("frame_count") + index.number_of_frames,
        size_bytes=F("size_bytes") + placed.size_bytes,
    )
    _count(study, series, placed.size_bytes, is_new_series=is_new_series)
    return Added(
        image_id=image.pk,
        series_id=series.pk,
        study_id=study.pk,
        modality=series.modality,
        patient_identifier=study.patient_identifier,
        is_new_study=is_new_study,
    )


def fold(name: str) -> str:
    """Return a name as it is searched: no accents, no case, one space between its parts.

    Examples
    --------
    >>> fold("Müller^Anna=山田^花子")
    'muller anna 山田 花子'
    """
    plain = unicodedata.normalize("NFKD", name)
    bare = "".join(c for c in plain if not unicodedata.combining(c)).casefold()
    return " ".join(bare.replace("^", " ").replace("=", " ").split())


def patient_identifier(index: InstanceIndex) -> str:
    """Return the Patient ID as the study's row keeps it."""
    return _cut(index.patient_id, 64)


def _patient(index: InstanceIndex, facility: Facility) -> Patient:
    values = {
        "patient_name": _cut(index.patient_name, 324),
        "patient_birth_date": index.patient_birth_date,
        "patient_sex": _cut(index.patient_sex, 16),
    }
    patient_id = patient_identifier(index)
    issuer = _cut(index.issuer_of_patient_id, 64)
    if not patient_id:
        return Patient.objects.create(facility=facility, issuer_of_patient_id=issuer, **values)
    patient, _ = Patient.objects.get_or_create(
        facility=facility, issuer_of_patient_id=issuer, patient_id=patient_id, defaults=values
    )
    return patient


def _study(index: InstanceIndex, facility: Facility, *, is_demo: bool) -> tuple[Study, bool]:
    # Locked, so that counters of concurrent associations add up (SQLite has one writer anyway).
    locked = Study.with_deleted.select_for_update(of=("self",))
    identity = {"facility": facility, "study_instance_uid": index.study_instance_uid}
    study = locked.filter(**identity).first()
    if study is not None:
        deletions.refuse_if_deleted(study)
        _warn_of_other_patient(study, index)
        return study, False
    name = _cut(index.patient_name, 324)
    study, is_new = locked.get_or_create(
        **identity,
        defaults={
            "patient": _patient(index, facility),
            "study_id": _cut(index.study_id, 64),
            "study_date": index.study_date,
            "study_time": index.study_time,
            "sort_at": _moment(index) or UNDATED,
            "accession_number": _cut(index.accession_number, 64),
            "study_description": _cut(index.study_description, 255),
            "referring_physician_name": _cut(index.referring_physician_name, 324),
            "patient_name": name,
            "patient_name_folded": fold(name)[:324],
            "patient_identifier": patient_identifier(index),
            "patient_birth_date": index.patient_birth_date,
            "patient_sex": _cut(index.patient_sex, 16),
            "patient_age": _cut(index.patient_age, 8),
            "body_part_examined": _cut(index.body_part_examined, 64),
            "attributes": attributes_text(index, PATIENT, STUDY),
            "is_demo": is_demo,
        },
    )
    return study, is_new


def _warn_of_other_patient(study: Study, index: InstanceIndex) -> None:
    """Two Patient IDs in one study are never merged silently: the study says so."""
    other = patient_identifier(index)
    if other != study.patient_identifier and not study.warning:
        study.warning = (
            f"Images of this study carry different Patient IDs: "
            f"{study.patient_identifier or 'none'} and {other or 'none'}."
        )[:255]


def _series(index: InstanceIndex, study: Study, source_ae_title: str) -> tuple[Series, bool]:
    series, is_new = Series.with_deleted.get_or_create(
        study=study,
        series_instance_uid=index.series_instance_uid,
        defaults={
            "series_number": _whole(index.series_number),
            "series_description": _cut(index.series_description, 255),
            "modality": _cut(index.modality, 16),
            "body_part_examined": _cut(index.body_part_examined, 64),
            "laterality": _cut(index.laterality, 16),
            "protocol_name": _cut(index.protocol_name, 64),
            "series_date": index.series_date,
            "series_time": index.series_time,
            "frame_of_reference_uid": _cut(index.frame_of_reference_uid, 64),
            "manufacturer": _cut(index.manufacturer, 64),
            "station_name": _cut(index.station_name, 64),
            "institution_name": _cut(index.institution_name, 64),
            "attributes": attributes_text(index, SERIES),
            "source_ae_title": source_ae_title,
        },
    )
    deletions.refuse_if_deleted(series)
    return series, is_new


def image_values(
    index: InstanceIndex, facility_id: UUID, series_id: UUID, placed: Placed
) -> dict[str, Any]:
    """Return the columns of an instance's row that do not have their default."""
    return {
        "series_id": series_id,
        "facility_id": facility_id,
        "sop_instance_uid": index.sop_instance_uid,
        "sop_class_uid": index.sop_class_uid,
        "transfer_syntax_uid": index.transfer_syntax_uid,
        "instance_number": _whole(index.instance_number),
        "storage_key": placed.storage_key,
        "size_bytes": placed.size_bytes,
        "sha256": placed.sha256,
        "data_set_offset": index.data_set_offset,
        "pixel_data_offset": index.pixel_data_offset,
        "pixel_data_length": index.pixel_data_length,
        "frame_table": header.frame_table_to_bytes(index.frames) if index.frames else None,
        "rows": index.rows,
        "columns": index.columns,
        "number_of_frames": index.number_of_frames,
        "samples_per_pixel": index.samples_per_pixel,
        "photometric_interpretation": _cut(index.photometric_interpretation, 16),
        "planar_configuration": index.planar_configuration,
        "bits_allocated": index.bits_allocated,
        "bits_stored": index.bits_stored,
        "high_bit": index.high_bit,
        "pixel_representation": index.pixel_representation,
        "has_pixels": index.has_pixels,
        "is_lossy": index.lossy,
        "display": _display(index),
        "attributes": attributes_text(index, IMAGE),
        "source_ae_title": placed.source_ae_title,
    }


def attributes_text(index: InstanceIndex, *levels: str) -> str:
    """Return what queries may ask for at some levels as their rows keep it."""
    found = index.attributes.of(*levels)
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).replace("\\u0000", "")


def _display(index: InstanceIndex) -> dict[str, Any]:
    """Return the viewer's facts, with when and what the image was: series are sorted by it."""
    date, moment = index.acquisition_date, index.acquisition_time
    return {
        **index.display,
        "AcquisitionDate": date.isoformat() if date else None,
        "AcquisitionTime": moment.isoformat("seconds") if moment else None,
        "AcquisitionNumber": _whole(index.acquisition_number),
        "ImageType": list(index.image_type) or None,
    }


def _count(study: Study, series: Series, size_bytes: int, *, is_new_series: bool) -> None:
    codes = study.modality_codes
    if series.modality and series.modality not in codes:
        codes.append(series.modality)
        study.modalities = ("\\" + "\\".join(codes) + "\\")[:128]
        if not study.modality or study.modality in COMPANION_MODALITIES:
            study.modality = series.modality
    if not study.body_part_examined:
        study.body_part_examined = series.body_part_examined
    study.series_count += int(is_new_series)
    study.instance_count += 1
    study.size_bytes += size_bytes
    study.last_received_at = timezone.now()
    study.save(
        update_fields=[
            "modalities",
            "modality",
            "body_part_examined",
            "series_count",
            "instance_count",
            "size_bytes",
            "last_received_at",
            "warning",
        ]
    )


def _moment(index: InstanceIndex) -> datetime | None:
    """Return when the study was made; DICOM gives no zone, so lists sort it as UTC."""
    if index.study_date is None:
        return None
    return datetime.combine(index.study_date, index.study_time or time(), tzinfo=UTC)


def _whole(number: int | None) -> int | None:
    """Return an Integer String that fits its column (PS3.5 6.2 allows no more); else nothing."""
    return number if number is not None and abs(number) < 2**31 else None


def _cut(text: str | None, length: int) -> str:
    """Return a value that fits its column; NUL, which PostgreSQL refuses in text, is dropped."""
    return (text or "").replace("\x00", "")[:length]
