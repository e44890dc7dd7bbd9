"""A store request while it comes (STOW-RS, PS3.18 section 10.5): parts into the archive.

Instances are stored while further parts come, several at a time (docs/adr/0125); metadata and bulk
data that come apart wait in the spool until the request is whole.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.conf import settings

from archive import ingest, spool, storing
from archive.abreast import Abreast
from archive.errors import ArchiveError, NotDicomError, TooLargeError
from archive.ingest import Provenance
from archive.spool import CHUNK_BYTES, Growing, Spooled
from archive.storing import Deposit
from fastapi_app.services.dicomweb.related import BrokenBodyError, Part, Reader, media_type
from imaging import assembly, metadata
from imaging.assembly import BulkData
from imaging.elements import PIXEL_DATA
from imaging.errors import ImagingError, LimitError, UnsupportedError
from imaging.metadata import Metadata
from imaging.part10 import part10_header

DICOM, JSON, XML = "application/dicom", "application/dicom+json", "application/dicom+xml"
# Of bulk data inside sequences, which is held whole.
_MOST_NESTED_BYTES = 16 * 2**20
_JSON_NAMES = frozenset({JSON, "application/json"})
_XML_NAMES = frozenset({XML, "text/xml", "application/xml"})


class _Content:
    """The content of a part on its way into a spool file; a refusal keeps the rest out."""

    def __init__(self, *, most_bytes: int | None = None) -> None:
        self.refusal: ArchiveError | None = None
        self._file: Growing | None = None
        try:
            self._file = Growing(most_bytes=most_bytes)
        except ArchiveError as error:
            self.refusal = error

    def write(self, piece: bytes | memoryview) -> None:
        """Append a piece, unless the content was refused already."""
        if self._file is None:
            return
        try:
            self._file.write(piece)
        except ArchiveError as error:
            self.refusal = error
            self.discard()

    def finish(self) -> Spooled | None:
        """Return the file; None where it was refused."""
        file, self._file = self._file, None
        try:
            return file.finish() if file is not None else None
        except ArchiveError as error:
            self.refusal = error
            return None

    def discard(self) -> None:
        """Forget it."""
        file, self._file = self._file, None
        if file is not None:
            file.discard()


class _Instance:
    """A part that is a whole instance."""

    def __init__(self, request: Reception, problem: ArchiveError | None) -> None:
        self._request = request
        self._content = None if problem else _Content()
        self._problem = problem

    def write(self, piece: memoryview) -> None:
        if self._content is not None:
            self._content.write(piece)

    def finish(self) -> None:
        if self._content is None:
            self._request.note(storing.refused(self._problem or NotDicomError("not DICOM")))
            return
        spooled = self._content.finish()
        if spooled is None:
            self._request.note(storing.refused(self._content.refusal or TooLargeError("too large")))
            return
        self._request.store(spooled)

    def discard(self) -> None:
        if self._content is not None:
            self._content.discard()


class Reception(ABC):
    """One store request.

    Attributes
    ----------
    deposits : what became of the instances, in the order in which they came
    """

    def __init__(self, provenance: Provenance) -> None:
        self.provenance = provenance
        self.deposits: list[Deposit] = []
        self._storing = Abreast[Deposit]()

    def note(self, deposit: Deposit) -> None:
        """Keep what became of an instance."""
        self._storing.add(deposit)
        self.deposits.extend(self._storing.finished())

    def store(self, spooled: Spooled) -> None:
        """Begin to store an instance; its file is removed afterwards."""
        index = ingest.peek(spooled)

        def work() -> Deposit:
            with spooled:
                return storing.deposit(spooled, self.provenance, index=index)

        key = index.sop_instance_uid if index is not None else ""
        self._storing.begin(work, key=key, size_bytes=spooled.size_bytes)
        self.deposits.extend(self._storing.finished())

    def settle(self) -> None:
        """Wait until everything that came whole is stored, or is refused."""
        self.deposits.extend(self._storing.all())

    @abstractmethod
    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body; call it in a thread, it writes and stores."""

    @abstractmethod
    def close(self) -> None:
        """Take note that the body is whole."""

    @abstractmethod
    def discard(self) -> None:
        """Forget what is not stored yet; harmless after `close`."""


class Single(Reception):
    """A body that is one instance (PS3.18 8.6.1.1)."""

    def __init__(self, provenance: Provenance) -> None:
        super().__init__(provenance)
        self._part = _Instance(self, None)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._part.write(memoryview(chunk))

    def close(self) -> None:
        """Store the instance."""
        self._part.finish()

    def discard(self) -> None:
        """Forget it."""
        self._part.discard()


class Instances(Reception):
    """A body of which each part is an instance."""

    def __init__(self, provenance: Provenance, boundary: str) -> None:
        super().__init__(provenance)
        self._reader = Reader(boundary, self._open)

    def _open(self, headers: dict[str, str]) -> Part:
        kind = media_type(headers.get("content-type")).name
        if kind in {"", DICOM, assembly.OCTETS}:
            return _Instance(self, None)
        problem = f"A part of the request is {kind[:60]}, not {DICOM}."
        return _Instance(self, NotDicomError(problem))

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes; a part that ends with them is stored."""
        self._reader.feed(chunk)

    def close(self) -> None:
        """Check that nothing was cut off."""
        self._reader.close()

    def discard(self) -> None:
        """Forget the part that is not whole."""
        self._reader.discard()


class _Kept:
    """A part of metadata or bulk data that waits until the request is whole."""

    def __init__(self, owner: Apart, location: str, kind: str, syntax: str, most: int) -> None:
        self._owner = owner
        self._content = _Content(most_bytes=most)
        self._location, self._kind, self._syntax = location, kind, syntax

    def write(self, piece: memoryview) -> None:
        self._owner.count(len(piece))
        self._content.write(piece)

    def finish(self) -> None:
        spooled = self._content.finish()
        if spooled is None:
            raise self._content.refusal or TooLargeError("A part of the request is too large.")
        self._owner.keep(self._location, self._kind, self._syntax, spooled)

    def discard(self) -> None:
        self._content.discard()


class Apart(Reception):
    """A body whose metadata and bulk data come in parts of their own.

    Parameters
    ----------
    kind : `JSON` or `XML`: of the metadata
    """

    def __init__(self, provenance: Provenance, boundary: str, kind: str) -> None:
        super().__init__(provenance)
        self._reader = Reader(boundary, self._open)
        self._names = _JSON_NAMES if kind == JSON else _XML_NAMES
        self._models = metadata.models_of_json if kind == JSON else metadata.models_of_xml
        self._metadata: list[Spooled] = []
        self._bulk: dict[str, list[tuple[BulkData, Spooled]]] = {}
        self._size = 0

    def _open(self, headers: dict[str, str]) -> Part:
        kind = media_type(headers.get("content-type"))
        if kind.name in self._names:
            return _Kept(self, "", kind.name, "", metadata.MOST_BYTES)
        location = headers.get("content-location", "")
        if not location:
            raise BrokenBodyError("A part of bulk data has no Content-Location.")
        syntax = kind.parameter("transfer-syntax")
        name = kind.name or assembly.OCTETS
        return _Kept(self, location, name, syntax, settings.MAX_INSTANCE_BYTES)

    def count(self, size: int) -> None:
        """Count bytes that wait in the spool."""
        self._size += size
        if self._size > settings.MAX_ARCHIVE_BYTES:
            raise TooLargeError(
                f"The request is larger than {settings.MAX_ARCHIVE_BYTES} bytes. Send fewer "
                "instances at once."
            )

    def keep(self, location: str, kind: str, syntax: str, spooled: Spooled) -> None:
        """Keep a part that is whole."""
        if not location:
            self._metadata.append(spooled)
            return
        part = BulkData(kind, syntax, spooled.size_bytes, lambda: _pieces(spooled.path))
        self._bulk.setdefault(_place(location), []).append((part, spooled))

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._reader.feed(chunk)

    def close(self) -> None:
        """Make the instances and store them."""
        self._reader.close()
        if not self._metadata:
            raise BrokenBodyError("The request has no part with metadata.")
        # One by one: the data sets of all of them would fill the memory.
        for part in self._metadata:
            try:
                models = self._models(part.path.read_bytes())
            except LimitError as error:
                self._refuse(TooLargeError(str(error)))
                continue
            except ImagingError as error:
                self._refuse(BrokenBodyError(str(error)))
                continue
            while models:
                self.note(self._store(models.pop(0)))

    def _refuse(self, error: ArchiveError) -> None:
        """Refuse a whole part of metadata: that of the request, or one among others."""
        if len(self._metadata) == 1:
            raise error
        if isinstance(error, TooLargeError):
            self.note(storing.refused(error))
        else:
            reason = storing.CANNOT_UNDERSTAND
            self.note(Deposit(failure_reason=reason, sentence=str(error)))

    def discard(self) -> None:
        """Remove everything that waits."""
        self._reader.discard()
        for spooled in self._metadata:
            spooled.path.unlink(missing_ok=True)
        for parts in self._bulk.values():
            for _, spooled in parts:
                spooled.path.unlink(missing_ok=True)

    def _fetch(self, uri: str) -> bytes:
        """Return bulk data of an element inside a sequence."""
        parts = self._parts(uri)
        if sum(part.size_bytes for part in parts) > _MOST_NESTED_BYTES:
            raise LimitError(
                f"Bulk data inside a sequence is larger than {_MOST_NESTED_BYTES} bytes."
            )
        return b"".join(piece for part in parts for piece in part.pieces())

    def _parts(self, uri: str) -> list[BulkData]:
        parts = self._bulk.get(_place(uri))
        if not parts:
            raise metadata.MetadataError(
                f"No part of the request has the Content-Location {uri[:200]!r}. Bulk data that "
                "lies elsewhere is not fetched."
            )
        return [part for part, _ in parts]

    def _store(self, model: object) -> Deposit:
        try:
            one = metadata.metadata_of(model, self._fetch)
        except LimitError as error:
            return storing.refused(TooLargeError(str(error)))
        except ImagingError as error:
            return Deposit(failure_reason=storing.CANNOT_UNDERSTAND, sentence=str(error))
        return self._assembled(one)

    def _assembled(self, one: Metadata) -> Deposit:
        who = storing.reference(
            str(one.data_set.get("SOPClassUID") or ""),
            str(one.data_set.get("SOPInstanceUID") or ""),
        )
        try:
            bulk = {tag: self._parts(uri) for tag, (_, uri) in one.bulk.items()}
            if PIXEL_DATA in bulk:
                bulk[PIXEL_DATA] = self._frames(one.bulk[PIXEL_DATA][1], bulk[PIXEL_DATA])
            made = assembly.assemble(
                one.data_set,
                {tag: vr for tag, (vr, _) in one.bulk.items()},
                bulk,
                transfer_syntax=_named_syntax(one),
            )
            header = part10_header(
                sop_class_uid=who.sop_class_uid,
                sop_instance_uid=who.sop_instance_uid,
                transfer_syntax_uid=made.transfer_syntax_uid,
            )
            spooled = spool.spool_chunks(_joined(header, made.pieces))
        except UnsupportedError as error:
            return Deposit(
                reference=who,
                failure_reason=storing.TRANSFER_SYNTAX_NOT_SUPPORTED,
                sentence=str(error),
            )
        except ImagingError as error:
            return Deposit(
                reference=who, failure_reason=storing.CANNOT_UNDERSTAND, sentence=str(error)
            )
        except ArchiveError as error:
            return storing.refused(error)
        with spooled:
            return storing.deposit(spooled, self.provenance)

    def _frames(self, uri: str, parts: list[BulkData]) -> list[BulkData]:
        """Return the parts of pixel data; further frames may have addresses of their own."""
        place = _place(uri)
        numbered = 1
        found = list(parts)
        while len(found) == numbered and (more := self._bulk.get(f"{place}/frames/{numbered + 1}")):
            found.append(more[0][0])
            numbered += 1
        return found


def _joined(header: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield header
    yield from pieces


def _named_syntax(one: Metadata) -> str:
    """Return the transfer syntax that the metadata itself names."""
    element = one.meta.get("00020010") or {}
    values = element.get("Value") or []
    if values and isinstance(values[0], str):
        return values[0]
    found = one.data_set.get("AvailableTransferSyntaxUID")
    return str(found) if found else ""


def _place(uri: str) -> str:
    """Return an address in the form in which two are compared: as it stands, white space gone."""
    text = unquote(uri.strip().strip("<>"))
    return text if urlsplit(text).scheme else text.removeprefix("./")


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as handle:
        yield from iter(lambda: handle.read(CHUNK_BYTES), b"")


def reception_of(content_type: str | None, provenance: Provenance) -> Reception | None:
    """Return what takes a body of this Content-Type; None where nothing does (415).

    Raises
    ------
    BrokenBodyError
        When the boundary is missing.
    """
    kind = media_type(content_type)
    if kind.name == DICOM:
        return Single(provenance)
    if kind.name != "multipart/related":
        return None
    inner = media_type(kind.parameter("type") or DICOM).name
    makers: dict[str, Callable[[], Reception]] = {
        DICOM: lambda: Instances(provenance, kind.parameter("boundary")),
        JSON: lambda: Apart(provenance, kind.parameter("boundary"), JSON),
        XML: lambda: Apart(provenance, kind.parameter("boundary"), XML),
    }
    maker = makers.get(inner)
    return maker() if maker is not None else None
