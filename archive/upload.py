"""Files that people and programs bring: a DICOM file or a zip archive of them, typed by content."""

from __future__ import annotations

import enum
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import BinaryIO

from django.conf import settings

from archive import audit, filetypes, ingest, spool, upload_log, zips
from archive.abreast import Abreast
from archive.access import Actor
from archive.errors import (
    ArchiveError,
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotDicomError,
    PermanentError,
)
from archive.filetypes import HEAD_BYTES, Kind
from archive.ingest import IngestResult, Outcome, Provenance
from archive.spool import CHUNK_BYTES, Spooled
from imaging import bytesource, part10
from imaging.errors import ImagingError
from imaging.header import InstanceIndex
from worklist.models import Facility

_LONGEST_NAME = 255
# Left behind by operating systems and network drives; nobody means to send them.
_SYSTEM_NAMES = {
    "__macosx",
    "thumbs.db",
    "desktop.ini",
    "@eadir",
    "$recycle.bin",
    "system volume information",
}


class UploadOutcome(enum.Enum):
    """What became of one file."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    REFUSED = "refused"
    SKIPPED = "skipped"


_OUTCOMES = {
    Outcome.STORED: UploadOutcome.STORED,
    Outcome.DUPLICATE: UploadOutcome.DUPLICATE,
    Outcome.CONFLICT: UploadOutcome.CONFLICT,
}
_CONFLICT = (
    "another instance with this SOP Instance UID and other content is already stored. "
    "This one was kept aside; an administrator decides."
)


@dataclass(frozen=True, slots=True)
class UploadResult:
    """What became of one file, or of one member of an archive.

    Attributes
    ----------
    name : as the sender named it, without control characters; never a path of ours
    reason : in words; empty for what was stored or is already here
    instance : where it went, unless it was refused or skipped
    error : of a refused or conflicting file, for the status that a program gets
    """

    name: str
    outcome: UploadOutcome
    reason: str = ""
    instance: IngestResult | None = None
    error: ArchiveError | None = None


@dataclass(slots=True)
class UploadSummary:
    """Counts of many results, with the reasons of what was not taken."""

    counts: Counter[UploadOutcome] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, result: UploadResult) -> None:
        """Count one result."""
        self.counts[result.outcome] += 1
        if result.outcome is UploadOutcome.REFUSED:
            self.reasons[result.reason] += 1

    def __str__(self) -> str:
        """Say it in one line: `12 stored, 2 already here, 1 refused: not DICOM (PNG)`."""
        words = {
            UploadOutcome.STORED: "stored",
            UploadOutcome.DUPLICATE: "already here",
            UploadOutcome.CONFLICT: "kept aside for an administrator",
            UploadOutcome.SKIPPED: "skipped",
            UploadOutcome.REFUSED: "refused",
        }
        parts = [f"{self.counts[kind]} {word}" for kind, word in words.items() if self.counts[kind]]
        if not parts:
            return "nothing to store"
        line = ", ".join(parts)
        if self.reasons:
            line += ": " + "; ".join(
                reason if times == 1 or len(self.reasons) == 1 else f"{times} × {reason}"
                for reason, times in self.reasons.most_common(5)
            )
        return line


def summarise(results: Iterable[UploadResult]) -> UploadSummary:
    """Count `results`."""
    summary = UploadSummary()
    for result in results:
        summary.add(result)
    return summary


def ingest_upload(
    actor: Actor,
    facility: Facility,
    filename: str,
    stream: BinaryIO,
    *,
    expected_patient_id: str | None = None,
) -> list[UploadResult]:
    """Take one uploaded file, or every member of an uploaded zip archive, and audit it.

    Parameters
    ----------
    actor : who brings it
    facility : whose it becomes
    filename : as the sender named it; it only appears in the results
    stream : the content; read once from its position when it is not seekable
    expected_patient_id : whose all files must be; those of others are refused

    Returns
    -------
    one result a file, in order; none for what operating systems leave behind (`Thumbs.db`). An
    archive past the limits is one refused result and nothing of it is taken.

    Raises
    ------
    ForbiddenError
        When the actor may not upload for `facility`.
    StoreUnavailableError
        When the store or the database takes nothing now. What was stored before stays; sending the
        same again finds it as a duplicate.
    """
    (results,) = ingest_uploads(
        actor, facility, [(filename, stream)], expected_patient_id=expected_patient_id
    )
    return results


def ingest_uploads(
    actor: Actor,
    facility: Facility,
    files: Sequence[tuple[str, BinaryIO]],
    *,
    expected_patient_id: str | None = None,
) -> list[list[UploadResult]]:
    """Take the files of one request, several at a time, and audit them as one upload.

    Parameters
    ----------
    files : name and content of each; see :func:`ingest_upload`

    Returns
    -------
    the results of each file, in order

    Raises
    ------
    ForbiddenError, StoreUnavailableError
        See :func:`ingest_upload`.
    """
    _require_right(actor, facility)
    results: list[list[UploadResult]] = [[] for _ in files]
    provenance = _provenance(actor, facility, expected_patient_id)
    with Abreast[tuple[int, UploadResult]]() as storing:
        for number, (name, stream) in enumerate(files):
            for piece in _pieces(provenance, name, stream):
                _begin(storing, number, piece)
                # One that is put off ends the request now, not after thousands of others.
                for of_file, result in storing.finished():
                    results[of_file].append(result)
        for of_file, result in storing.all():
            results[of_file].append(result)
    everything = list(itertools.chain.from_iterable(results))
    upload_log.record_results(actor, facility.pk, everything)
    summary = summarise(everything)
    audit.record(
        actor,
        "upload",
        facility,
        is_success=not summary.counts[UploadOutcome.REFUSED],
        studies=sorted({str(r.instance.study_id) for r in everything if r.instance}),
        **{kind.value: count for kind, count in summary.counts.items()},
    )
    return results


def take(
    actor: Actor, facility: Facility, filename: str, stream: BinaryIO
) -> Iterator[UploadResult]:
    """Yield the results of :func:`ingest_upload` one by one; the caller writes the audit event."""
    _require_right(actor, facility)
    provenance = _provenance(actor, facility, None)
    with Abreast[tuple[int, UploadResult]]() as storing:
        for piece in _pieces(provenance, filename, stream):
            _begin(storing, 0, piece)
            yield from (result for _, result in storing.finished())
        yield from (result for _, result in storing.all())


def _require_right(actor: Actor, facility: Facility) -> None:
    if not actor.can_upload or not actor.scope.includes(facility.pk):
        raise ForbiddenError(f"You may not upload for {facility.name}. Ask an administrator.")


def _provenance(actor: Actor, facility: Facility, patient_id: str | None) -> Provenance:
    return Provenance(
        facility=facility, source=f"upload by {actor.name}", expected_patient_id=patient_id
    )


def _begin(
    storing: Abreast[tuple[int, UploadResult]], number: int, piece: _Spooled | UploadResult
) -> None:
    if isinstance(piece, UploadResult):
        storing.add((number, piece))
        return
    index = ingest.peek(piece.file)
    storing.begin(
        lambda: (number, _store(piece, index)),
        key=index.sop_instance_uid if index is not None else "",
        size_bytes=piece.file.size_bytes,
    )


@dataclass(frozen=True, slots=True)
class _Spooled:
    """A file that only has to be stored; who stores it removes it from the spool."""

    name: str
    file: Spooled
    provenance: Provenance


def _pieces(
    provenance: Provenance, filename: str, stream: BinaryIO
) -> Iterator[_Spooled | UploadResult]:
    """Read one file, or the members of an archive, one after the other."""
    name = display_name(filename)
    if is_system_file(filename):
        return
    head = stream.read(HEAD_BYTES)
    kind, words = filetypes.recognise(head)
    if kind is Kind.ZIP:
        with _seekable(head, stream) as archive_file:
            yield from _archive(provenance, name, archive_file)
    elif kind is Kind.OTHER_ARCHIVE:
        reason = f"not DICOM ({words}). Unpack it first, or pack it as zip."
        yield _refused(name, NotDicomError(reason))
    else:
        yield _file(provenance, name, head, words, stream)


def display_name(name: str) -> str:
    r"""Return a sender's file name as text that is safe to show: one line of bounded length.

    Examples
    --------
    >>> display_name("a/b\x00c.dcm")
    'a/b?c.dcm'
    """
    text = "".join(c if c.isprintable() else "?" for c in name.replace("\\", "/"))
    if len(text) > _LONGEST_NAME:
        text = "…" + text[-(_LONGEST_NAME - 1) :]
    return text or "file without a name"


def is_system_file(name: str) -> bool:
    """Whether an operating system left it there: hidden, `__MACOSX`, `Thumbs.db` and the like."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return any(
        part.lower() in _SYSTEM_NAMES or (part.startswith(".") and part.strip(".") != "")
        for part in parts
    )


@contextmanager
def _seekable(head: bytes, stream: BinaryIO) -> Iterator[BinaryIO]:
    """Give the archive as a seekable stream: its table of contents stands at its end."""
    if stream.seekable():
        yield stream
        return
    chunks = _rest(head, stream)
    with (
        spool.spool_chunks(chunks, most_bytes=settings.MAX_ARCHIVE_BYTES) as spooled,
        spooled.path.open("rb") as handle,
    ):
        yield handle


def _rest(head: bytes, stream: zips.Readable) -> Iterator[bytes]:
    return itertools.chain([head], iter(lambda: stream.read(CHUNK_BYTES), b""))


def _archive(
    provenance: Provenance, name: str, stream: BinaryIO
) -> Iterator[_Spooled | UploadResult]:
    count = 0
    try:
        for member in zips.members(stream):
            if is_system_file(member.name):
                continue
            count += 1
            yield _member(provenance, f"{name}/{display_name(member.name)}", member)
    except InvalidInputError as error:
        yield _refused(name, error)
        return
    if not count:
        yield _refused(name, InvalidInputError("the archive holds no files."))


def _member(provenance: Provenance, name: str, member: zips.Member) -> _Spooled | UploadResult:
    if member.problem:
        return _refused(name, InvalidInputError(member.problem))
    try:
        reader = member.open()
        head = reader.read(HEAD_BYTES)
    except InvalidInputError as error:
        return _refused(name, error)
    kind, words = filetypes.recognise(head)
    if kind in (Kind.ZIP, Kind.OTHER_ARCHIVE):
        reason = f"an archive inside an archive ({words}) is not opened. Unpack it first."
        return UploadResult(name=name, outcome=UploadOutcome.SKIPPED, reason=reason)
    return _file(provenance, name, head, words, reader)


def _file(
    provenance: Provenance, name: str, head: bytes, words: str, stream: zips.Readable
) -> _Spooled | UploadResult:
    if words:
        return _refused(name, NotDicomError(f"not DICOM ({words})"))
    try:
        return _Spooled(name, spool.spool_or_hold(_rest(head, stream)), provenance)
    except PermanentError as error:
        return _refused(name, error)


def _store(piece: _Spooled, index: InstanceIndex | None) -> UploadResult:
    name = piece.name
    try:
        with piece.file as spooled:
            if _is_directory(spooled):
                reason = "the index of a disc (DICOMDIR), not an image"
                return UploadResult(name=name, outcome=UploadOutcome.SKIPPED, reason=reason)
            result = ingest.ingest_instance(spooled, piece.provenance, index=index)
    except PermanentError as error:
        return _refused(name, error)
    outcome = _OUTCOMES[result.outcome]
    if outcome is UploadOutcome.CONFLICT:
        return UploadResult(name, outcome, _CONFLICT, result, ConflictError(_CONFLICT))
    return UploadResult(name=name, outcome=outcome, instance=result)


def _is_directory(spooled: Spooled) -> bool:
    """Whether it is a media storage directory (PS3.10 8.6), by its File Meta Information."""
    with bytesource.opened(spooled.source) as handle:
        try:
            container = part10.read_container(handle, None)
        except ImagingError:
            return False  # the ingest says in words what is wrong with it
    return container.sop_class_uid == part10.MEDIA_STORAGE_DIRECTORY


def _refused(name: str, error: ArchiveError) -> UploadResult:
    return UploadResult(name=name, outcome=UploadOutcome.REFUSED, reason=str(error), error=error)
