"""What a retrieve request names: the instances, in the order in which they are sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Q

from archive import audit, database
from archive.access import Actor, Scope
from archive.errors import InvalidInputError
from archive.models import Destination
from imaging.framecut import Cut
from imaging.uid import is_valid_uid
from worklist.models import DicomImage, Study

T = TypeVar("T")

# Query/Retrieve Levels (PS3.4 C.3), from the top.
PATIENT, STUDY, SERIES, IMAGE = "PATIENT", "STUDY", "SERIES", "IMAGE"
LEVELS = (PATIENT, STUDY, SERIES, IMAGE)
KEY_OF_LEVEL = {
    PATIENT: "PatientID",
    STUDY: "StudyInstanceUID",
    SERIES: "SeriesInstanceUID",
    IMAGE: "SOPInstanceUID",
}
_FIELD_OF_KEY = {
    "PatientID": "series__study__patient__patient_id",
    "StudyInstanceUID": "series__study__study_instance_uid",
    "SeriesInstanceUID": "series__series_instance_uid",
    "SOPInstanceUID": "sop_instance_uid",
}
# Values of one IN clause: SQLite and PostgreSQL both take far more.
_MOST_VALUES = 5000
# Of an instance, in the order of `StoredInstance`.
COLUMNS = (
    "pk",
    "series__study_id",
    "sop_class_uid",
    "sop_instance_uid",
    "transfer_syntax_uid",
    "storage_key",
    "data_set_offset",
    "size_bytes",
)


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """One instance as far as sending it needs.

    Attributes
    ----------
    image_id, study_id : of its rows
    transfer_syntax_uid : of the stored data set
    storage_key : where the file lies
    data_set_offset : of the data set in the file
    size_bytes : of the file
    cut : frames of the stored instance that go out as a new one; then `sop_instance_uid` is its
    """

    image_id: UUID
    study_id: UUID
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    storage_key: str
    data_set_offset: int
    size_bytes: int
    cut: Cut | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Selection:
    """What is wanted: a level and unique keys.

    Attributes
    ----------
    level : PATIENT, STUDY, SERIES or IMAGE
    keys : values by DICOM keyword: PatientID and UIDs, of this level and of those above

    References
    ----------
    DICOM PS3.4 section C.4.2.1.4.
    """

    level: str
    keys: Mapping[str, Sequence[str]]

    def check(self) -> None:
        """Refuse what names nothing, or may not stand in a request.

        Raises
        ------
        InvalidInputError
            With a sentence that says what to send instead.
        """
        if self.level not in LEVELS:
            raise InvalidInputError(
                f"Query/Retrieve Level must be one of {', '.join(LEVELS)} (0008,0052)."
            )
        key = KEY_OF_LEVEL[self.level]
        if not self.keys.get(key):
            raise InvalidInputError(f"A retrieval at {self.level} level needs a {key}.")
        for name, values in self.keys.items():
            if name == "PatientID":
                if len(values) > 1 or "*" in values[0] or "?" in values[0]:
                    raise InvalidInputError("Patient ID must be one value without wildcards.")
            elif not all(map(is_valid_uid, values)):
                raise InvalidInputError(f"{name} holds what is no lawful UID (PS3.5 9.1).")


def select(scope: Scope, selection: Selection) -> list[StoredInstance]:
    """Return the instances of a selection that are in scope, series by series.

    Parameters
    ----------
    scope : whose data the caller may have
    selection : the unique keys; empty when nothing matches, which is no error

    Raises
    ------
    InvalidInputError
        See `Selection.check`.
    """
    selection.check()
    condition = Q()
    long_key = max(selection.keys, key=lambda name: len(selection.keys[name]))
    for name, values in selection.keys.items():
        if name != long_key:
            condition &= Q(**{f"{_FIELD_OF_KEY[name]}__in": list(values)})
    found: list[StoredInstance] = []
    for some in _pieces(dict.fromkeys(selection.keys[long_key])):
        rows = DicomImage.objects.filter(
            condition, **{f"{_FIELD_OF_KEY[long_key]}__in": some}
        ).order_by(
            "series__study_id", "series__series_number", "series_id", "instance_number", "pk"
        )
        # The facility of the study: an index of all its instances must not come first.
        mine = scope.filter(rows, "series__study__facility")
        found += [StoredInstance(*row) for row in mine.values_list(*COLUMNS)]
    return found


def of_study(study: Study) -> list[StoredInstance]:
    """Return the instances of one study."""
    rows = DicomImage.objects.filter(series__study=study).order_by(
        "series__series_number", "series_id", "instance_number", "pk"
    )
    return [StoredInstance(*row) for row in rows.values_list(*COLUMNS)]


def with_ids(image_ids: Iterable[UUID]) -> list[StoredInstance]:
    """Return the instances with these ids that still exist."""
    found: list[StoredInstance] = []
    for some in _pieces(image_ids):
        rows = DicomImage.objects.filter(pk__in=some).order_by("series_id", "instance_number", "pk")
        found += [StoredInstance(*row) for row in rows.values_list(*COLUMNS)]
    return found


def destination_for(scope: Scope, ae_title: str) -> Destination | None:
    """Return the registered destination of this name that a facility's caller may send to.

    A destination that belongs to no facility serves the whole site; another facility's is not
    there for the caller.
    """
    destination = Destination.objects.filter(ae_title=ae_title).first()
    if destination is None:
        return None
    owner = destination.facility_id
    return destination if owner is None or scope.includes(owner) else None


def record_access(
    actor: Actor,
    verb: str,
    instances: Iterable[StoredInstance],
    **detail: Any,  # noqa: ANN401 - JSON values
) -> None:
    """Write one audit event for each study that is about to leave; without it, nothing is sent."""
    counts: dict[UUID, int] = {}
    for instance in instances:
        counts[instance.study_id] = counts.get(instance.study_id, 0) + 1
    with database.shared():
        studies = [
            study
            for some in _pieces(counts)
            for study in Study.objects.filter(pk__in=some).only("pk", "facility_id")
        ]
    with database.reading() as connection:
        audit.record_reads(
            connection,
            actor,
            verb,
            [(study, {"instances": counts[study.pk], **detail}) for study in studies],
        )


def _pieces(values: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(values)
    while some := list(islice(rest, _MOST_VALUES)):
        yield some
