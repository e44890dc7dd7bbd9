"""Records and files of an earlier installation, handed in to this archive as if they came today.

The earlier one kept tables of its own and files below its media folder. Records of before it had
studies and series name an order and a file alone: they get a study for each order and a series in
it. Every image goes through the same three steps as a new one, so that a run may be repeated.
"""

from __future__ import annotations

import csv
import enum
import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from archive import filetypes, upload
from archive.access import Actor
from archive.errors import InvalidInputError, PermanentError
from archive.upload import UploadOutcome
from imaging import capture, header, uid
from imaging.errors import ImagingError
from radiology import offline
from radiology.models import OfflineImage, OfflineState
from radiology.offline import Announcement
from worklist.models import Facility

# Of the identities that a record without any gets, the same in each run.
_NAMESPACE = UUID("6f0c1f0a-5d0e-5c53-9f0e-6a4c3f1a9d27")
_MOST_BYTES = 1024**3
_TEXTS = ("study_description", "series_description", "modality", "body_part_examined")
_NUMBERS = ("series_number", "instance_number")


class Outcome(enum.Enum):
    """What became of a record."""

    MIGRATED = "migrated"
    KNOWN = "here already"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one record, with the reason where it was refused."""

    name: str
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """An image as the earlier installation knew it.

    Attributes
    ----------
    key : its number there
    file : below the media folder
    order : the order's number there; empty where none is named
    said : what its rows said, by the names of today
    """

    key: str
    file: str
    order: str
    said: Mapping[str, Any]


def read_dump(path: Path) -> list[Record]:
    """Return the images of a `manage.py dumpdata radiology` of the earlier installation.

    Raises
    ------
    InvalidInputError
        When it is none, or holds no images.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InvalidInputError(f"{path} is too large to be a dump of records.")
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"{path} cannot be read as JSON: {error}") from error
    tables: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and isinstance(row.get("fields"), dict):
            table = str(row.get("model", "")).rpartition(".")[2]
            tables.setdefault(table, {})[str(row.get("pk"))] = row["fields"]
    images = tables.get("radiologyimage", {})
    if not images:
        raise InvalidInputError(
            f"{path} holds no images. Write it with: manage.py dumpdata radiology"
        )
    return [_record(key, fields, tables) for key, fields in images.items()]


def _record(
    key: str, fields: Mapping[str, Any], tables: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> Record:
    series = tables.get("radiologyseries", {}).get(str(fields.get("series")), {})
    study_key = str(series.get("study") or fields.get("study"))
    study = tables.get("radiologystudy", {}).get(study_key, {})
    said = {**study, **series, **fields}
    order = fields.get("radiology_order") or study.get("radiology_order") or ""
    file = fields.get("file_key") or fields.get("image_file") or ""
    return Record(key, str(file), str(order), said)


def read_orders(path: Path) -> dict[str, str]:
    """Return our orders by their numbers in the earlier installation.

    Parameters
    ----------
    path : CSV of two columns: the number there, and the accession number or id here

    Raises
    ------
    InvalidInputError
    """
    found: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            for number, line in enumerate(csv.reader(handle), 1):
                if not any(line):
                    continue
                if len(line) != 2:
                    raise InvalidInputError(
                        f"{path}, line {number}: write two columns, the old order's number and "
                        "the accession number here."
                    )
                found[line[0].strip()] = line[1].strip()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInputError(f"{path} cannot be read as CSV: {error}") from error
    return found


def migrate(
    actor: Actor,
    facility: Facility,
    records: list[Record],
    media: Path,
    orders: Mapping[str, str],
) -> Iterator[Result]:
    """Hand in every record with its file, and yield what became of it.

    Parameters
    ----------
    facility : whose the images without an order become
    media : folder of the earlier installation's files
    orders : from :func:`read_orders`

    Raises
    ------
    TransientError
        When the store or the database takes nothing now; run it again.
    """
    root = media.resolve()
    for record in records:
        name = f"image {record.key}"
        try:
            outcome = _migrate_one(actor, facility, record, root, orders)
        except PermanentError as error:
            yield Result(name, Outcome.REFUSED, str(error))
        else:
            yield Result(name, outcome)


def _migrate_one(
    actor: Actor, facility: Facility, record: Record, root: Path, orders: Mapping[str, str]
) -> Outcome:
    path = _file_of(record, root)
    known_order = orders.get(record.order, "")
    with path.open("rb") as handle:
        kind = capture.media_type_of(handle.read(filetypes.HEAD_BYTES))
        handle.seek(0)
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
        said = str(record.said.get("checksum") or "").lower()
        if len(said) == len(digest) and said != digest:
            raise InvalidInputError("The file is not what its record says: the checksum differs.")
        handle.seek(0)
        if not known_order:
            return _without_order(actor, facility, record, path, kind)
        announcement = _announcement(actor, record, path, kind, digest, known_order)
        row = OfflineImage.objects.filter(pk=announcement.image_uuid).first()
        if row is not None and row.state == OfflineState.ACK_RECEIVED:
            return Outcome.KNOWN
        offline.declare(actor, announcement)
        offline.attach(actor, announcement.image_uuid, handle)
        offline.acknowledge(actor, announcement.image_uuid)
    return Outcome.MIGRATED


def _file_of(record: Record, root: Path) -> Path:
    if not record.file:
        raise InvalidInputError("The record names no file.")
    path = (root / record.file).resolve()
    if not path.is_relative_to(root):
        raise InvalidInputError("The record names a file outside of the media folder.")
    if not path.is_file():
        raise InvalidInputError(f"The file {record.file} is not there.")
    return path


def _without_order(
    actor: Actor, facility: Facility, record: Record, path: Path, kind: str
) -> Outcome:
    """Take a DICOM file, which says itself whose it is."""
    if kind:
        raise InvalidInputError(
            f"This is {kind}, and nothing says whose it is: name order {record.order or '(none)'} "
            "in the file of --orders."
        )
    with path.open("rb") as handle:
        results = upload.ingest_upload(actor, facility, path.name, handle)
    for result in results:
        if result.outcome is UploadOutcome.STORED:
            return Outcome.MIGRATED
        if result.outcome is UploadOutcome.DUPLICATE:
            return Outcome.KNOWN
        raise InvalidInputError(result.reason or "Nothing was stored.")
    raise InvalidInputError("The file was left behind by an operating system.")


def _announcement(
    actor: Actor, record: Record, path: Path, kind: str, digest: str, known_order: str
) -> Announcement:
    order = offline.order_for(actor, known_order)
    mark = f"{order.facility_id} {order.pk}"
    study_uid, series_uid, image_uid = (
        _uid(record, "study_uid") or order.study_instance_uid,
        _uid(record, "series_uid") or f"2.25.{uuid.uuid5(_NAMESPACE, f'{mark} series').int}",
        _uid(record, "image_uid")
        or f"2.25.{uuid.uuid5(_NAMESPACE, f'{mark} image {record.key}').int}",
    )
    if not kind:
        study_uid, series_uid, image_uid = _uids_of(path)
    metadata = {name: record.said[name] for name in _TEXTS if record.said.get(name)}
    metadata |= {
        name: record.said[name] for name in _NUMBERS if isinstance(record.said.get(name), int)
    }
    return Announcement(
        image_uuid=uuid.uuid5(_NAMESPACE, f"{mark} {record.key} {digest}"),
        radiology_order_id=str(order.pk),
        filename=str(record.said.get("filename") or path.name),
        file_size=path.stat().st_size,
        mime_type=kind or offline.DICOM,
        checksum=digest,
        study_uid=study_uid,
        series_uid=series_uid,
        image_uid=image_uid,
        image_metadata=metadata,
    )


def _uid(record: Record, name: str) -> str:
    """Return a UID of the record; empty where it has none that is lawful."""
    try:
        return uid.from_text(str(record.said.get(name) or "").strip(), name)
    except ImagingError:
        return ""


def _uids_of(path: Path) -> tuple[str, str, str]:
    try:
        index = header.read_index(path)
    except ImagingError as error:
        raise InvalidInputError(str(error)) from error
    return index.study_instance_uid, index.series_instance_uid, index.sop_instance_uid
