"""Objects that are handed in without whose they are: changed before anything of them is stored.

The sender announces them by their own UIDs, and learns the new ones from the answer. What is kept
of the announcement is what is left of it: new UIDs, no name of the file, nothing that was said
beside it. The digest is of the bytes that were sent, so that their sender knows them again.
"""

from __future__ import annotations

from archive import spool
from archive.errors import InvalidInputError, TooLargeError
from archive.spool import Spooled
from imaging import header
from imaging.errors import ImagingError
from imaging.part10 import DEFLATED
from radiology.models import OfflineImage

# A file is changed in memory, some times over.
MOST_BYTES = 64 * 2**20
FILENAME = "deidentified.dcm"
_DICOM = "application/dicom"
_UIDS = ("study_uid", "series_uid", "image_uid")


def hide(row: OfflineImage) -> None:
    """Take away what an announcement says of whom it is about.

    Raises
    ------
    InvalidInputError
        For an order, which says whose it is; for a picture, of which nobody knows what it shows.
    TooLargeError
    """
    if row.order is not None:
        raise InvalidInputError(
            "An order says whose an image is. De-identify without 'radiology_order_id' (null), "
            "for a 'facility'."
        )
    if row.mime_type != _DICOM:
        raise InvalidInputError("DICOM alone is de-identified here: pictures may show anything.")
    if row.file_size > MOST_BYTES:
        raise TooLargeError(
            f"Files of more than {MOST_BYTES} bytes are not de-identified as they arrive."
        )
    new = _new_uids(row, row.study_uid, row.series_uid, row.image_uid)
    for name, value in zip(_UIDS, new, strict=True):
        setattr(row, name, value)
    row.filename = FILENAME
    row.image_metadata = {}
    row.is_deidentified = True


def _new_uids(row: OfflineImage, *uids: str) -> list[str]:
    # The table of attributes takes its time and memory: loaded where it is needed.
    from archive import anonymise  # noqa: PLC0415

    return [anonymise.new_uid(row.facility_id, each) for each in uids]


def made_of(row: OfflineImage, spooled: Spooled) -> Spooled:
    """Return a file without whose it is; it is its caller's to remove.

    Raises
    ------
    InvalidInputError
        When its UIDs are not those that were announced, or it cannot be de-identified; the message
        says nothing of whose it is.
    """
    from archive import anonymise  # noqa: PLC0415

    try:
        index = header.read_index(spooled.source)
    except ImagingError:
        raise _not_taken("its header cannot be read") from None
    found = (index.study_instance_uid, index.series_instance_uid, index.sop_instance_uid)
    if _new_uids(row, *found) != [row.study_uid, row.series_uid, row.image_uid]:
        raise _not_taken("its UIDs are others than those that were announced")
    if index.transfer_syntax_uid in DEFLATED:
        raise _not_taken("it is deflated")
    try:
        content = anonymise.arriving(row.facility_id, spooled.path.read_bytes())
    except anonymise.LeftOutError as error:
        raise _not_taken(str(error)) from None
    return spool.spool_chunks([content])


def _not_taken(words: str) -> InvalidInputError:
    return InvalidInputError(f"This file cannot be de-identified: {words}. Nothing was stored.")
