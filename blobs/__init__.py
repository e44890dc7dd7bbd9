"""Where instances' bytes lie: one protocol, one implementation per kind of store."""

from blobs.errors import BlobDamagedError, BlobError, BlobMissingError, BlobStoreUnavailableError
from blobs.filesystem import FileSystemStore
from blobs.protocol import BlobStore

__all__ = [
    "BlobDamagedError",
    "BlobError",
    "BlobMissingError",
    "BlobStore",
    "BlobStoreUnavailableError",
    "FileSystemStore",
]
