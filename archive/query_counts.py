"""What queries return and no row holds, as columns of one statement: counts, and lists of classes.

`archive.plain_query` reads them beside the columns of a row; `archive.dicom_query` finds the same
by further statements.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from imaging.attributes import OF_LEVEL, PATIENT
from worklist.models import DicomImage, Series, Study

_STUDIES, _SERIES, _IMAGES = (str(model._meta.db_table) for model in (Study, Series, DicomImage))
# Between values that were put together: no text of DICOM holds it.
_BETWEEN = "\x1e"
# A patient's studies are of the patient's facility: nobody sees some of them.
_OF_PATIENT = (
    '(SELECT {what} FROM "' + _STUDIES + '" c WHERE c."patient_id" = {patient} '  # noqa: S608 - our names
    'AND c."deletion_id" IS NULL)'
)
_PATIENT_COUNTS = {
    "NumberOfPatientRelatedStudies": "COUNT(*)",
    "NumberOfPatientRelatedSeries": 'SUM(c."series_count")',
    "NumberOfPatientRelatedInstances": 'SUM(c."instance_count")',
}


def column(vendor: str, keyword: str, *, patient: str, study: str) -> str | None:
    """Return the expression that counts an attribute; None: it is not counted.

    Parameters
    ----------
    patient, study : columns with the keys of the patient and of the study; `study` is empty where
        there is none

    References
    ----------
    DICOM PS3.4 section C.3.4.
    """
    if keyword in _PATIENT_COUNTS:
        return _OF_PATIENT.format(what=_PATIENT_COUNTS[keyword], patient=patient)
    if keyword == "SOPClassesInStudy" and study:
        # SQLite parts distinct values by commas alone; UIDs have none.
        listed = 'GROUP_CONCAT(DISTINCT i2."sop_class_uid")'
        if vendor == "postgresql":
            listed = "STRING_AGG(DISTINCT i2.\"sop_class_uid\", ',')"
        return (
            f'(SELECT {listed} FROM "{_IMAGES}" i2 JOIN "{_SERIES}" e2 '  # noqa: S608 - our names
            f'ON i2."series_id" = e2."id" WHERE e2."study_id" = {study} '
            'AND i2."deletion_id" IS NULL)'
        )
    return None


def patient_attributes(vendor: str, patient: str) -> str:
    """Return the expression for the attributes that a patient's studies keep, oldest first."""
    if vendor == "postgresql":
        what = f'STRING_AGG(c."attributes", \'{_BETWEEN}\' ORDER BY c."sort_at")'
        return _OF_PATIENT.format(what=what, patient=patient)
    return (
        f"(SELECT GROUP_CONCAT(o.\"attributes\", '{_BETWEEN}') FROM "  # noqa: S608 - our names
        + _OF_PATIENT.format(what='c."attributes"', patient=patient)[:-1]
        + ' ORDER BY c."sort_at") o)'
    )


def text_of_count(keyword: str, value: Any) -> str:  # noqa: ANN401 - a column's value
    """Return what `column` found as DICOM writes it."""
    if value is None:
        return ""
    if keyword == "SOPClassesInStudy":
        return "\\".join(sorted(value.split(",")))
    return str(value)


def text_of_patient(keyword: str) -> Callable[[str | None], str]:
    """Return what reads an attribute out of `patient_attributes`: the latest study has it."""
    return lambda text: str(_merged(text).get(keyword, ""))


@lru_cache(maxsize=8)
def _merged(text: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in (text or "").split(_BETWEEN):
        kept = json.loads(one) if one else {}
        found.update({keyword: kept[keyword] for keyword in OF_LEVEL[PATIENT] if keyword in kept})
    return found
