"""The bytes of an instance that leaves: as they lie in the store, wherever the peer takes them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from typing import BinaryIO

from archive import stores
from archive.errors import NotFoundError, PermanentError, StoreUnavailableError
from archive.retrieval import StoredInstance
from blobs.errors import BlobError, BlobMissingError

logger = logging.getLogger(__name__)

Piece = bytes | memoryview

# Small files are read whole before a byte of them is sent, so that a fault of the disk fails one
# instance and not the association.
_READ_WHOLE_BYTES = 8 * 1024 * 1024
_PIECE_BYTES = 4 * 1024 * 1024


def data_set(instance: StoredInstance, transfer_syntax_uid: str) -> Iterator[Piece]:
    """Return the data set of an instance in pieces.

    Parameters
    ----------
    instance : from `archive.retrieval`
    transfer_syntax_uid : that the peer takes

    Returns
    -------
    An iterator that is to be read to its end. What can fail has failed before it is returned, but
    for reading a file of many megabytes.

    Raises
    ------
    NotFoundError, PermanentError, StoreUnavailableError
        With a sentence for people; nothing was sent.
    """
    if transfer_syntax_uid != instance.transfer_syntax_uid:
        raise PermanentError("The receiver does not take this instance in its stored encoding.")
    return _stored(instance)


def _stored(instance: StoredInstance) -> Iterator[Piece]:
    try:
        file = stores.instances().open(instance.storage_key)
    except BlobMissingError as error:
        logger.exception("The file of %s is missing", instance.sop_instance_uid)
        raise NotFoundError("The stored file of this instance is missing.") from error
    except (BlobError, OSError) as error:
        raise StoreUnavailableError("The store cannot be read now.") from error
    if instance.size_bytes > _READ_WHOLE_BYTES:
        return _in_pieces(file, instance.data_set_offset)
    with closing(file):
        try:
            content = file.read()
        except (BlobError, OSError) as error:
            raise StoreUnavailableError("The store cannot be read now.") from error
    if len(content) != instance.size_bytes:
        logger.error("The file of %s has another size than stored", instance.sop_instance_uid)
        raise PermanentError("The stored file of this instance is damaged.")
    return iter((memoryview(content)[instance.data_set_offset :],))


def _in_pieces(file: BinaryIO, offset: int) -> Iterator[Piece]:
    with closing(file):
        file.seek(offset)
        while piece := file.read(_PIECE_BYTES):
            yield piece
