"""The header of a stored instance as a data set, for objects that are written from it."""

from __future__ import annotations

import io

from pydicom.dataset import Dataset

from archive import stores
from archive.errors import PermanentError
from blobs import BlobMissingError
from imaging import dicomjson
from imaging.errors import ImagingError
from worklist.models import DicomImage


def header_of(image: DicomImage) -> Dataset:
    """Return everything before the pixels.

    Raises
    ------
    PermanentError
        When the stored file cannot be read.
    """
    try:
        with stores.instances().open(image.storage_key) as handle:
            # In memory: pydicom reads large values later, when the file is closed.
            end = image.pixel_data_offset or image.size_bytes
            return dicomjson.read(io.BytesIO(handle.read(end)), is_whole=True)
    except (BlobMissingError, ImagingError) as error:
        raise PermanentError(
            "The file of an image cannot be read. Tell your administrator to run verify_storage."
        ) from error
