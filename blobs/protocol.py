"""The protocol that every store of bytes fulfils."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol


def layout_key(sop_instance_uid: str) -> str:
    """Return the key of an instance: `h[0:2]/h[2:4]/h[0:16].dcm` with h = SHA-256 of its UID.

    Examples
    --------
    >>> layout_key("1.2.3")[:5]
    'd3/e4'
    """
    digest = hashlib.sha256(sop_instance_uid.encode("ascii")).hexdigest()
    return f"{digest[0:2]}/{digest[2:4]}/{digest[0:16]}.dcm"


class BlobStore(Protocol):
    """Immutable objects under keys; nothing is ever overwritten."""

    def put(self, source: Path, key: str) -> str:
        """Make the file at `source` durable under `key` and return the key that it got.

        When `key` is taken the name gets a suffix (`name-1.dcm`): keep what is returned.
        `source` stays where it is; its owner removes it after the database commit.

        Raises
        ------
        BlobStoreUnavailableError
            When the store cannot take it now.
        """

    def open(self, key: str) -> BinaryIO:
        """Open for reading; `BlobMissingError` when there is no such object."""

    def read(self, key: str, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`, fewer at the end of the object."""

    def read_into(self, key: str, memory: memoryview) -> int:
        """Fill `memory` from the object's beginning; returns how many bytes there were."""

    def size(self, key: str) -> int:
        """Return the object's size in bytes."""

    def delete(self, key: str) -> None:
        """Remove the object; nothing happens when there is none."""

    def keys(self) -> Iterator[str]:
        """Yield every key of the store, in no order."""
