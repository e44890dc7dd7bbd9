"""Why a file that was only to be read or changed cannot be: as an error of the archive."""

from __future__ import annotations

from archive.errors import ArchiveError, InvalidInputError, NotDicomError, TooLargeError
from imaging import errors as imaging_errors


def refusal(error: imaging_errors.ImagingError) -> ArchiveError:
    """Return the error that a door answers."""
    if isinstance(error, imaging_errors.LimitError):
        return TooLargeError(str(error))
    if isinstance(error, imaging_errors.NotDicomError):
        return NotDicomError(str(error))
    return InvalidInputError(str(error))
