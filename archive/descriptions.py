"""What stored objects say of themselves, as DICOM JSON: an index of each series, made once.

The index holds the headers of a series' instances, compressed in blocks, under a name that is made
of what the series holds: it never becomes wrong, and a series that changes gets another one. A job
makes it when a series has arrived; where it is missing it is made by whoever asks.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.utils import timezone
from isal import isal_zlib

from archive import frame_cache, jobs, outbox, stores
from archive.errors import NotFoundError, UndecodableError
from archive.frame_entry import Entry
from archive.runner import Payloads, subscriber
from blobs import BlobMissingError
from imaging import dicomjson
from imaging.dicomjson import Json, Path
from imaging.errors import ImagingError
from imaging.frametable import frame_table_from_bytes
from worklist.models import DicomImage, Series

logger = logging.getLogger(__name__)

# Raised when what is written changes: older indexes are then made again.
_VERSION = 1
_BLOCK_BYTES = 256 * 1024
_QUIET = timedelta(seconds=4)
_DELAY_S = 5.0
# Stands for the address of the service, which the index does not know. No value can hold it:
# there, quotation marks are escaped.
_MARK = '"BulkDataURI":"\\u001f'
_MARKED = _MARK.encode()

_PIXEL_TAGS = {"integer": ("7FE00010", "OW"), "float": ("7FE00008", "OF")}
_PIXEL_TAGS["double"] = ("7FE00009", "OD")


@dataclass(frozen=True, slots=True)
class Description:
    """The headers of a series' instances, in the order of Instance Number.

    Attributes
    ----------
    uids : SOP Instance UIDs
    size_bytes : of all documents together
    """

    uids: Sequence[str]
    size_bytes: int
    _content: bytes
    # Of each block: documents in it, its length compressed.
    _blocks: Sequence[tuple[int, int]]

    def documents(self, base_url: str) -> Iterator[list[bytes]]:
        """Yield the JSON documents block by block.

        Parameters
        ----------
        base_url : of the service, such as ``https://pacs.example.org/dicom-web``
        """
        at = 0
        for _, length in self._blocks:
            yield self._block(at, length, base_url)
            at += length

    def document(self, sop_instance_uid: str, base_url: str) -> bytes:
        """Return the document of one instance; only its block is unpacked."""
        place, at = self.uids.index(sop_instance_uid), 0
        for count, length in self._blocks:
            if place < count:
                return self._block(at, length, base_url)[place]
            place -= count
            at += length
        raise LookupError(sop_instance_uid)

    def _block(self, at: int, length: int, base_url: str) -> list[bytes]:
        plain = isal_zlib.decompress(self._content[at : at + length])
        address = f'"BulkDataURI":"{base_url}'.encode()
        return [bytes(one) for one in plain.replace(_MARKED, address).split(b"\n")]


@dataclass(frozen=True, slots=True)
class _Member:
    pk: UUID
    sop_instance_uid: str
    sha256: str


class _PartialError(Exception):
    """Some headers could not be read now: what was made is given out, but not kept."""

    def __init__(self, entry: Entry) -> None:
        super().__init__()
        self.entry = entry


class Inventory:
    """What a series holds now, and the name of its index.

    Parameters
    ----------
    series : with its study
    """

    def __init__(self, series: Series) -> None:
        self._series = series
        self._members = _members(series)
        self.digest = _digest(series, self._members)

    def description(self) -> Description:
        """Return the headers of the series' instances, from the index.

        An instance whose file cannot be read now is described by what the database knows.

        References
        ----------
        DICOM PS3.18 section 10.4.1.1.2.
        """

        def make() -> Entry:
            return _make(self._series, self._members)

        try:
            entry = frame_cache.rendered().get_or_make(self.digest, make)
        except _PartialError as error:
            entry = error.entry
        facts = entry.facts
        blocks = [(count, length) for count, length in facts["blocks"]]
        return Description(facts["uids"], facts["size"], entry.content, blocks)


def of_series(series: Series) -> Description:
    """Return the headers of a series' instances; see `Inventory`."""
    return Inventory(series).description()


def _members(series: Series) -> list[_Member]:
    rows = DicomImage.objects.filter(series=series).order_by("instance_number", "pk")
    return [_Member(*row) for row in rows.values_list("pk", "sop_instance_uid", "sha256")]


def _digest(series: Series, members: Iterable[_Member]) -> str:
    inside = (f"{one.sop_instance_uid} {one.sha256}" for one in members)
    return frame_cache.key_of("description", _VERSION, series.pk, *inside)


def _make(series: Series, members: Sequence[_Member]) -> Entry:
    content, blocks = bytearray(), list[tuple[int, int]]()
    waiting: list[bytes] = []
    waiting_bytes = total = 0
    is_whole = True

    def pack() -> None:
        packed = isal_zlib.compress(b"\n".join(waiting), 2)
        content.extend(packed)
        blocks.append((len(waiting), len(packed)))
        waiting.clear()

    root = f"/studies/{series.study.study_instance_uid}/series/{series.series_instance_uid}"
    for start in range(0, len(members), 200):
        some = members[start : start + 200]
        rows = DicomImage.objects.in_bulk([one.pk for one in some])
        for one in some:
            image = rows.get(one.pk)
            model, is_sound = _describe(series, image, one, root)
            is_whole &= is_sound
            document = json.dumps(model, ensure_ascii=False, separators=(",", ":")).encode(
                "utf-8", "surrogatepass"
            )
            waiting.append(document)
            waiting_bytes += len(document)
            total += len(document)
            if waiting_bytes >= _BLOCK_BYTES:
                pack()
                waiting_bytes = 0
    if waiting:
        pack()
    facts = {"uids": [one.sop_instance_uid for one in members], "blocks": blocks, "size": total}
    entry = Entry(bytes(content), facts)
    if not is_whole:
        raise _PartialError(entry)
    return entry


def _describe(
    series: Series, image: DicomImage | None, member: _Member, root: str
) -> tuple[Json, bool]:
    """Describe an instance; returns also whether its header could be read."""
    place = f"\x1f{root}/instances/{member.sop_instance_uid}/bulkdata/"

    def bulk_uri(path: Path) -> str:
        return f"{place}{dicomjson.path_text(path)}"

    if image is None:
        return _from_row(series, None, member), False
    try:
        with stores.instances().open(image.storage_key) as file:
            dataset = dicomjson.read(file)
            return dicomjson.of_data_set(dataset, bulk_uri, extra=_pixels(image, place)), True
    except (ImagingError, BlobMissingError, OSError) as error:
        logger.warning("The header of instance %s cannot be described: %s", member.pk, error)
        # pydicom's refusal is final, a missing file may come back.
        return _from_row(series, image, member), isinstance(error, ImagingError)


def _pixels(image: DicomImage, place: str) -> dict[str, Json]:
    """Return the pixel data element: an address alone."""
    if not image.has_pixels:
        return {}
    kind = "integer"
    is_encapsulated = False
    if image.frame_table is not None:
        try:
            table = frame_table_from_bytes(image.frame_table)
        except ImagingError:
            pass
        else:
            kind, is_encapsulated = table.sample_kind, table.kind != "native"
    tag, vr = _PIXEL_TAGS[kind]
    if kind == "integer" and (is_encapsulated or (image.bits_allocated or 16) <= 8):
        vr = "OB"
    return {tag: {"vr": vr, "BulkDataURI": f"{place}{tag}"}}


def _from_row(series: Series, image: DicomImage | None, member: _Member) -> Json:
    """Describe an instance by what the database knows."""
    study = series.study
    record = {
        "SpecificCharacterSet": dicomjson.UTF_8,
        "SOPClassUID": image.sop_class_uid if image else "",
        "SOPInstanceUID": member.sop_instance_uid,
        "Modality": series.modality,
        "PatientName": study.patient_name,
        "PatientID": study.patient_identifier,
        "StudyInstanceUID": study.study_instance_uid,
        "SeriesInstanceUID": series.series_instance_uid,
    }
    for keyword, value in (
        ("SeriesNumber", series.series_number),
        ("InstanceNumber", image.instance_number if image else None),
        ("Rows", image.rows if image else None),
        ("Columns", image.columns if image else None),
    ):
        record[keyword] = "" if value is None else str(value)
    return dicomjson.of_texts(record)


# Single values -------------------------------------------------------------------------------

_DOCUMENT, _DOCUMENT_TYPE = 0x00420011, "MIMETypeOfEncapsulatedDocument"
_DOCUMENT_TYPES = frozenset({"application/pdf", "text/xml", "model/stl", "model/obj", "model/mtl"})


@dataclass(frozen=True, slots=True)
class Value:
    """A large value of an object.

    Attributes
    ----------
    media_type : of an encapsulated document; else empty
    """

    content: bytes
    media_type: str = ""


def value(image: DicomImage, path: Path) -> Value | None:
    """Return a value that the metadata of an object gives the address of; None: there is none.

    Raises
    ------
    NotFoundError
        When the stored file is missing.
    UndecodableError
        When it cannot be read.
    """
    try:
        with stores.instances().open(image.storage_key) as file:
            dataset = dicomjson.read(file, is_whole=True)
    except BlobMissingError as error:
        raise NotFoundError("The stored file is missing.") from error
    except ImagingError as error:
        raise UndecodableError(str(error)) from error
    content = dicomjson.value_bytes(dataset, path)
    if content is None:
        return None
    kind = str(dataset.get(_DOCUMENT_TYPE) or "").lower() if path == (_DOCUMENT,) else ""
    return Value(content, kind if kind in _DOCUMENT_TYPES else "")


def document(image: DicomImage) -> Value | None:
    """Return the document that an object encapsulates; None: there is none. See `value`."""
    return value(image, (_DOCUMENT,))


# After an instance came ----------------------------------------------------------------------


@subscriber(outbox.InstanceStored.kind)
def queue_descriptions(payloads: Payloads) -> None:
    """Queue the index of every series that got instances."""
    for series_id in {payload["series_id"] for payload in payloads}:
        jobs.enqueue("series.describe", series_id, delay_s=_DELAY_S, series_id=series_id)


@jobs.handler("series.describe")
def describe(series_id: str) -> None:
    """Make the index of a series to which nothing is added any more."""
    series = Series.objects.select_related("study").filter(pk=UUID(series_id)).first()
    if series is None:
        return  # deleted meanwhile
    if timezone.now() - series.study.last_received_at < _QUIET:
        # An index of a part of it would be made in vain.
        jobs.enqueue("series.describe", series_id, delay_s=_DELAY_S, series_id=series_id)
        return
    of_series(series)
