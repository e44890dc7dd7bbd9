"""WADO-RS: whole objects of a study, a series or one instance (PS3.18 section 10.4)."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import BinaryIO, cast

from cachetools import TTLCache
from starlette.exceptions import HTTPException
from starlette.responses import Response

from archive import addressed, damage, outgoing, retrieval, stores
from archive.access import Actor
from archive.addressed import Address, Held
from archive.errors import NotFoundError, PermanentError, StoreUnavailableError
from archive.models import DamageKind
from blobs.errors import BlobError, BlobMissingError
from fastapi_app.services.dicomweb import conditions, streams
from fastapi_app.services.dicomweb.asking import Asked, bad_request, not_acceptable
from fastapi_app.services.dicomweb.media import DICOM, ZIP, Choice, Offer
from fastapi_app.services.dicomweb.streams import Part, Piece
from imaging.part10 import EXPLICIT_LITTLE_ENDIAN, VIDEO, part10_header
from imaging.transcode import TARGETS
from imaging.uid import is_valid_uid

logger = logging.getLogger(__name__)

_PARTS = Offer(DICOM, is_multipart=True)
_SINGLE = Offer(DICOM)
_ZIP = Offer(ZIP)
_AS_STORED = "*"
# Files up to this are checked before a byte of them leaves, larger ones while they leave.
_CHECKED_WHOLE_BYTES = 16 * 1024 * 1024
_PIECE_BYTES = 1024 * 1024
# A digest takes twice the time of all else: a file that was compared is compared again when it has
# changed, or after this time. What changes beneath the file system is found by the sweep.
_CHECKED_FOR_S = 3600.0
_State = tuple[str, int, int, int]
_checked: TTLCache[str, _State] = TTLCache(maxsize=100_000, ttl=_CHECKED_FOR_S)
_checked_lock = threading.Lock()
_ZIP_NAME_DIGITS = 5
# Videos, and pictures that lie elsewhere.
_NOT_CONVERTED = VIDEO | {f"1.2.840.10008.1.2.4.{number}" for number in (94, 95, 204, 205)}


def retrieve(asked: Asked, address: Address) -> Callable[[Actor], Response]:
    """Return the work of a retrieval of whole objects.

    References
    ----------
    DICOM PS3.18 sections 10.4.1.1.1 and 8.7.3.
    """
    offers = [_PARTS, _SINGLE] if address.instance else [_PARTS, _ZIP]

    def work(actor: Actor) -> Response:
        instances = addressed.held(actor.scope, address)
        choice = _choose(asked, offers, instances)
        syntaxes = [syntax_for(choice.transfer_syntax, one) for one in instances]
        tag = conditions.tag_of(
            choice.offer, *syntaxes, *(one.sha256 for one in instances), asked.base_url
        )
        unchanged = conditions.unchanged(asked, tag)
        if unchanged is not None:
            return unchanged
        there = _there(instances)
        verb = "image.download" if address.instance else "study.retrieve"
        retrieval.record_access(actor, verb, there, service="WADO-RS", level=address.level)
        present = {one.image_id for one in there}
        pairs = [(one, syntaxes[at]) for at, one in enumerate(instances) if one.image_id in present]
        if choice.offer.is_multipart:
            return _in_parts(pairs, choice, tag, is_partial=len(there) < len(instances))
        if choice.offer == _ZIP:
            return _zipped(pairs, address, choice, tag)
        return _single(asked, *pairs[0], choice, tag)

    return work


def _choose(asked: Asked, offers: Sequence[Offer], instances: Sequence[Held]) -> Choice:
    """Return the first form that the caller takes and that can be made."""
    choices = asked.choices(offers)
    for choice in choices:
        syntax = choice.transfer_syntax
        if syntax and syntax != _AS_STORED and not is_valid_uid(syntax):
            raise bad_request("'transfer-syntax' is a UID, or * for what is stored.")
        wanted = {syntax_for(syntax, one) for one in instances}
        stored = {one.transfer_syntax_uid for one in instances}
        if wanted <= stored | set(TARGETS):
            return choice
    if choices:
        there = ", ".join(sorted({*TARGETS, *(one.transfer_syntax_uid for one in instances)}))
        raise HTTPException(
            HTTPStatus.NOT_ACCEPTABLE,
            f"Nothing here writes that transfer syntax. There is: {there}, and * for what is "
            "stored.",
        )
    raise not_acceptable(offers)


def syntax_for(wanted: str, instance: Held) -> str:
    """Return the transfer syntax in which an instance leaves.

    Parameters
    ----------
    wanted : a UID, ``*``, or empty for the default: explicit little endian, but what lost something
        when it was compressed is not blown up

    References
    ----------
    DICOM PS3.18 section 8.7.3.5.2: a caller that says nothing takes explicit little endian.
    """
    stored = instance.transfer_syntax_uid
    if wanted in (_AS_STORED, stored):
        return stored
    if not wanted:
        is_kept = instance.is_lossy or stored in _NOT_CONVERTED
        return stored if is_kept else EXPLICIT_LITTLE_ENDIAN
    # What holds no picture is not compressed as one: table 8.7.3-1 has it in explicit VR.
    return wanted if instance.has_pixels or wanted in TARGETS[:2] else EXPLICIT_LITTLE_ENDIAN


def _there(instances: Sequence[Held]) -> Sequence[Held]:
    """Return those whose files are there.

    Raises
    ------
    NotFoundError
        When none is.
    """
    store = stores.instances()
    found = []
    for one in instances:
        try:
            if store.holds(one.storage_key, one.size_bytes):
                found.append(one)
                continue
        except OSError:
            pass
        logger.error("The file of instance %s is missing or cut off", one.image_id)
    if not found:
        raise NotFoundError(
            "The stored files are missing or damaged. Have the images sent again, or ask your "
            "administrator to restore them from a backup."
        )
    return found


def _content_type(syntax: str) -> str:
    return f"{DICOM}; transfer-syntax={syntax}"


def _in_parts(
    pairs: Sequence[tuple[Held, str]], choice: Choice, tag: str, *, is_partial: bool
) -> Response:
    lengths = None
    if all(syntax == one.transfer_syntax_uid for one, syntax in pairs):
        lengths = [(_content_type(syntax), one.size_bytes, "") for one, syntax in pairs]
    return streams.multipart(
        (_part(one, syntax, choice) for one, syntax in pairs),
        DICOM,
        lengths=lengths,
        # Some are left out: table 10.4.3-1.
        status_code=HTTPStatus.PARTIAL_CONTENT if is_partial else HTTPStatus.OK,
        headers=conditions.headers_of(tag),
    )


def _part(instance: Held, syntax: str, choice: Choice) -> Part:
    found, pieces = _file(instance, syntax, choice)
    is_stored = found == syntax == instance.transfer_syntax_uid
    return Part(_content_type(found), pieces, instance.size_bytes if is_stored else None)


def _single(asked: Asked, instance: Held, syntax: str, choice: Choice, tag: str) -> Response:
    headers = conditions.headers_of(
        tag, content_disposition=f'attachment; filename="{instance.sop_instance_uid}.dcm"'
    )
    found, pieces = _file(instance, syntax, choice)
    if found != instance.transfer_syntax_uid:
        return streams.Stream(pieces, media_type=_content_type(found), headers=headers)
    headers["accept-ranges"] = "bytes"
    size = instance.size_bytes
    asked_range = conditions.range_of(asked.headers, tag, size)
    if isinstance(asked_range, Response):
        return asked_range
    start, end = asked_range or (0, size)
    if asked_range is not None:
        headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    return streams.Stream(
        _cut(pieces, start, end) if asked_range else pieces,
        media_type=_content_type(found),
        length=end - start,
        status_code=HTTPStatus.PARTIAL_CONTENT if asked_range else HTTPStatus.OK,
        headers=headers,
    )


def _cut(pieces: Iterable[Piece], start: int, end: int) -> Iterator[Piece]:
    """Yield a range of a file; all of it is read, because all of it is checked."""
    at = 0
    for piece in pieces:
        part = memoryview(piece)[max(0, start - at) : max(0, end - at)]
        at += len(piece)
        if len(part):
            yield part


# Files ---------------------------------------------------------------------------------------


def _file(instance: Held, syntax: str, choice: Choice) -> tuple[str, Iterator[Piece]]:
    """Return a Part 10 file and its transfer syntax: the stored one, or in another encoding.

    Who asked for no encoding gets the stored one where ours cannot be made of it.
    """
    stored = instance.transfer_syntax_uid
    if syntax == stored:
        return stored, _stored(instance)
    try:
        # Written into a file of its own first: what cannot be converted shows now.
        data = outgoing.converted(instance, syntax)
    except PermanentError as error:
        if choice.transfer_syntax or isinstance(error, NotFoundError):
            raise
        return stored, _stored(instance)
    return syntax, _with_header(instance, syntax, data)


def _with_header(instance: Held, syntax: str, data: Iterator[Piece]) -> Iterator[Piece]:
    yield part10_header(
        sop_class_uid=instance.sop_class_uid,
        sop_instance_uid=instance.sop_instance_uid,
        transfer_syntax_uid=syntax,
    )
    yield from data


def _stored(instance: Held) -> Iterator[Piece]:
    try:
        with stores.instances().open(instance.storage_key) as file:
            state = _state_of(file, instance)
            is_known = _was_checked(instance, state)
            if instance.size_bytes <= _CHECKED_WHOLE_BYTES:
                content = file.read()
                if not is_known:
                    _check(instance, hashlib.sha256(content).hexdigest())
                    _note_checked(instance, state)
                yield content
                return
            if is_known:
                while piece := file.read(_PIECE_BYTES):
                    yield piece
                return
            digest, kept = hashlib.sha256(), b""
            while piece := file.read(_PIECE_BYTES):
                digest.update(piece)
                if kept:
                    yield kept
                # The last piece leaves when all has been checked.
                kept = piece
            _check(instance, digest.hexdigest())
            _note_checked(instance, state)
            yield kept
    except BlobMissingError as error:
        raise NotFoundError("The stored file is missing.") from error
    except (BlobError, OSError) as error:
        raise StoreUnavailableError("The store cannot be read now.") from error


def _state_of(file: BinaryIO, instance: Held) -> _State:
    status = os.fstat(file.fileno())
    return instance.sha256, status.st_ino, status.st_size, status.st_mtime_ns


def _was_checked(instance: Held, state: _State) -> bool:
    """Whether this very file was compared with its digest within the last while."""
    with _checked_lock:
        return _checked.get(instance.storage_key) == state


def _note_checked(instance: Held, state: _State) -> None:
    with _checked_lock:
        _checked[instance.storage_key] = state


def _check(instance: Held, digest: str) -> None:
    if digest == instance.sha256:
        return
    report_change(instance)
    raise PermanentError(
        "A stored file has changed since it came and is not given out. Tell your administrator to "
        "run verify_storage."
    )


def report_change(instance: Held) -> None:
    """Have a file that is not what was stored put beside, and told."""
    image = addressed.row(instance)
    if image is not None and damage.look_at(image) is DamageKind.CHANGED:
        damage.report(image, DamageKind.CHANGED)


# Archives ------------------------------------------------------------------------------------


class _Sink:
    """Takes what zipfile writes; cannot seek."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Take a piece."""
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Keep what is there."""

    def taken(self) -> list[bytes]:
        """Return what was written since."""
        found, self._pieces = self._pieces, []
        return found


def _zipped(
    pairs: Sequence[tuple[Held, str]], address: Address, choice: Choice, tag: str
) -> Response:
    return streams.Stream(
        _archive(pairs, choice),
        media_type=ZIP,
        headers=conditions.headers_of(
            tag,
            content_disposition=f'attachment; filename="{address.series or address.study}.zip"',
        ),
    )


def _archive(pairs: Sequence[tuple[Held, str]], choice: Choice) -> Iterator[Piece]:
    """Yield a zip archive: one folder a series, files not compressed, names without identity."""
    sink = _Sink()
    folders: dict[object, str] = {}
    with zipfile.ZipFile(cast("BinaryIO", sink), "w", allowZip64=True) as archive:
        for number, (one, syntax) in enumerate(pairs, start=1):
            folder = folders.setdefault(one.series_id, f"{len(folders) + 1:03}")
            name = f"{folder}/{number:0{_ZIP_NAME_DIGITS}}.dcm"
            # The same moment for every file: the same study gives the same archive.
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            with archive.open(info, "w", force_zip64=True) as entry:
                for piece in _file(one, syntax, choice)[1]:
                    entry.write(piece)
                    yield from sink.taken()
            yield from sink.taken()
    yield from sink.taken()
