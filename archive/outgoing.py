"""The bytes of an instance that leaves: as they lie in the store, wherever the peer takes them.

Where it does not, they are converted into a temporary file first: what cannot be converted shows
before a byte is sent, and memory holds one frame.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import BinaryIO, cast

from django.conf import settings

from archive import decoding, stores
from archive.errors import NotFoundError, PermanentError, StoreUnavailableError
from archive.retrieval import StoredInstance
from blobs.errors import BlobError, BlobMissingError
from imaging import framecut, transcode
from imaging.errors import ImagingError
from imaging.framechoice import FrameCutError, FrameSelection
from imaging.part10 import part10_header
from worklist.models import DicomImage

logger = logging.getLogger(__name__)

Piece = bytes | memoryview
# All of a data set, or its pieces one after the other.
Data = Piece | Iterator[Piece]

# Small files are read whole before a byte of them is sent, so that a fault of the disk fails one
# instance and not the association.
_READ_WHOLE_BYTES = 8 * 1024 * 1024
_PIECE_BYTES = 4 * 1024 * 1024


class Memory:
    """What small instances are read into, one after the other."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def view(self, size_bytes: int) -> memoryview:
        """Return so much memory; what was read into it before is gone."""
        if len(self._bytes) < size_bytes:
            self._bytes = bytearray(size_bytes)
        return memoryview(self._bytes)[:size_bytes]


def is_small(instance: StoredInstance) -> bool:
    """Whether the stored data set is read as a whole before it is sent."""
    return instance.size_bytes <= _READ_WHOLE_BYTES


def data_set(
    instance: StoredInstance,
    transfer_syntax_uid: str,
    memory: Memory,
    *,
    is_without_bulk: bool = False,
) -> Data:
    """Return the data set of an instance.

    Parameters
    ----------
    instance : from `archive.retrieval`
    transfer_syntax_uid : that the peer takes; another one than the stored is converted to
    memory : for a small one: what is returned is good until it is used again
    is_without_bulk : leave out pixel data, waveforms and documents (PS3.4 annex Z)

    Returns
    -------
    All of it, or an iterator that is to be read to its end. What can fail has failed before it is
    returned, but for reading a file of many megabytes.

    Raises
    ------
    NotFoundError, PermanentError, StoreUnavailableError
        With a sentence for people; nothing was sent.
    """
    if instance.cut is not None:
        return _cut_out(instance, instance.cut, transfer_syntax_uid)
    is_as_stored = not is_without_bulk and transfer_syntax_uid == instance.transfer_syntax_uid
    if is_as_stored and is_small(instance):
        return _whole(instance, memory)
    if is_as_stored:
        return _in_pieces(_open(instance), instance.data_set_offset)
    return converted(instance, transfer_syntax_uid, is_without_bulk=is_without_bulk)


def converted(
    instance: StoredInstance, transfer_syntax_uid: str, *, is_without_bulk: bool = False
) -> Iterator[Piece]:
    """Return the data set of an instance in another encoding than the stored one; see `data_set`.

    It was written into a temporary file when this returns.
    """
    with closing(_open(instance)) as file:
        return _converted(instance, file, transfer_syntax_uid, is_without_bulk=is_without_bulk)


def with_frames(instance: StoredInstance, selection: FrameSelection) -> StoredInstance:
    """Return the new instance that some frames of a stored one make.

    Raises
    ------
    FrameCutError
        When none can be made, with the reason.
    NotFoundError, PermanentError, StoreUnavailableError
        When the stored one cannot be read.

    References
    ----------
    DICOM PS3.4 section Y.3.3.
    """
    with closing(_open(instance)) as file:
        try:
            cut = framecut.plan(file, selection)
        except FrameCutError:
            raise
        except ImagingError as error:
            raise PermanentError(str(error)) from error
        except OSError as error:
            raise StoreUnavailableError("The store cannot be read now.") from error
    return replace(instance, sop_instance_uid=cut.sop_instance_uid, cut=cut)


def _cut_out(instance: StoredInstance, cut: framecut.Cut, transfer_syntax_uid: str) -> Data:
    """Return the data set of some frames, as they are stored or converted."""
    header = part10_header(
        sop_class_uid=instance.sop_class_uid,
        sop_instance_uid=instance.sop_instance_uid,
        transfer_syntax_uid=instance.transfer_syntax_uid,
    )
    out = cast("BinaryIO", tempfile.TemporaryFile(dir=settings.CACHE_DIR))  # noqa: SIM115 - sent
    try:
        with closing(_open(instance)) as file, _conversion():
            out.write(header)
            for piece in framecut.write(file, cut):
                out.write(piece)
            out.flush()
        if transfer_syntax_uid == instance.transfer_syntax_uid:
            return _in_pieces(out, len(header))
        with closing(out):
            return _converted(instance, out, transfer_syntax_uid, is_without_bulk=False)
    except BaseException:
        out.close()
        raise


@contextmanager
def _conversion() -> Iterator[None]:
    """Say in a sentence why an instance cannot be written in another way."""
    try:
        yield
    except ImagingError as error:
        raise PermanentError(str(error)) from error
    except OSError as error:
        raise StoreUnavailableError("There is no room to convert the instance now.") from error


@contextmanager
def _faults(instance: StoredInstance) -> Iterator[None]:
    """Say in a sentence what is wrong with the store."""
    try:
        yield
    except BlobMissingError as error:
        logger.exception("The file of %s is missing", instance.sop_instance_uid)
        raise NotFoundError("The stored file of this instance is missing.") from error
    except (BlobError, OSError) as error:
        raise StoreUnavailableError("The store cannot be read now.") from error


def _open(instance: StoredInstance) -> BinaryIO:
    with _faults(instance):
        return stores.instances().open(instance.storage_key)


def _whole(instance: StoredInstance, memory: Memory) -> memoryview:
    size = instance.size_bytes
    # A byte more, to see whether the file has one.
    view = memory.view(size + 1)
    with _faults(instance):
        count = stores.instances().read_into(instance.storage_key, view)
    if count != size:
        logger.error("The file of %s has another size than stored", instance.sop_instance_uid)
        raise PermanentError("The stored file of this instance is damaged.")
    return view[instance.data_set_offset : size]


def _in_pieces(file: BinaryIO, offset: int) -> Iterator[Piece]:
    with closing(file):
        file.seek(offset)
        while piece := file.read(_PIECE_BYTES):
            yield piece


def _converted(
    instance: StoredInstance, file: BinaryIO, transfer_syntax_uid: str, *, is_without_bulk: bool
) -> Iterator[Piece]:
    # It draws pictures too: large, and seldom needed by a receiver.
    from archive.retrieve import facts_of  # noqa: PLC0415

    image = DicomImage.objects.filter(pk=instance.image_id).first()
    if image is None:
        raise NotFoundError("The instance was removed meanwhile.")
    facts = facts_of(image)
    frames = instance.cut.frame_indexes if instance.cut is not None else None
    out = cast("BinaryIO", tempfile.TemporaryFile(dir=settings.CACHE_DIR))  # noqa: SIM115 - sent
    try:
        with _conversion():
            for piece in transcode.transcode(
                file,
                transfer_syntax_uid,
                lambda at: decoding.decode_stored(
                    image, facts, at if frames is None else frames[at]
                ),
                is_without_bulk=is_without_bulk,
            ):
                out.write(piece)
    except BaseException:
        out.close()
        raise
    return _in_pieces(out, 0)
