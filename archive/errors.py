"""Errors of the archive's use cases; doors translate each class once."""


class ArchiveError(Exception):
    """Base. `str()` is a sentence that a person can act on."""


class PermanentError(ArchiveError):
    """Trying again will not help."""


class TransientError(ArchiveError):
    """Trying again later is right."""


class NotFoundError(PermanentError):
    """There is no such thing."""


class ForbiddenError(PermanentError):
    """It belongs to another facility, or the role does not allow it."""


class InvalidInputError(PermanentError):
    """What was sent cannot be used; the message says what to send instead."""


class NotDicomError(InvalidInputError):
    """The file is not DICOM."""


class TooLargeError(InvalidInputError):
    """Past a limit that a setting names."""


class ConflictError(PermanentError):
    """The stored state and the request disagree."""


class DeletedError(ConflictError):
    """It was deleted here; an administrator can restore it or let it be sent again."""


class UndecodableError(PermanentError):
    """A picture cannot be shown; the message says why."""


class TooBroadError(TransientError):
    """A search found too little in too much time."""

    def __init__(self) -> None:
        super().__init__(
            "The search takes too long. Narrow it by ID, name, date or accession number."
        )


class StoreUnavailableError(TransientError):
    """The store or the database takes nothing now."""


class TooManyAttemptsError(TransientError):
    """Asked too often; `retry_after_s` says when the next attempt counts."""

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
