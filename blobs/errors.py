"""What can go wrong with stored bytes."""


class BlobError(Exception):
    """Base of the package's errors."""


class BlobMissingError(BlobError):
    """A row names a file that is not there."""

    def __init__(self, key: str) -> None:
        super().__init__(f"The stored file {key} is missing; see verify_storage.")


class BlobDamagedError(BlobMissingError):
    """What the store has under a key is not what was stored: nobody is given it."""


class BlobStoreUnavailableError(BlobError):
    """The store takes nothing now (disk full, read-only, not mounted); later it may."""
