"""Everything that the file of one image says, for the facts pane."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from archive.errors import UndecodableError
from archive.stores import instances
from blobs import BlobMissingError
from dicom_viewer.series import image_document
from imaging import sopclass
from imaging.errors import ImagingError
from imaging.tags import read_tags
from worklist.models import DicomImage


def image_facts(image: DicomImage) -> dict[str, Any]:
    """Return an image's document, what it is stored as, and its elements line by line.

    Raises
    ------
    UndecodableError
        When the stored file cannot be read.
    """
    try:
        with instances().open(image.storage_key) as handle:
            lines = read_tags(handle)
    except (ImagingError, BlobMissingError) as error:
        raise UndecodableError(str(error)) from error
    return {
        **image_document(image),
        "SOPClassName": sopclass.class_name(image.sop_class_uid),
        "TransferSyntaxName": sopclass.class_name(image.transfer_syntax_uid),
        "SeriesInstanceUID": image.series.series_instance_uid,
        "StudyInstanceUID": image.series.study.study_instance_uid,
        "size_bytes": image.size_bytes,
        "sha256": image.sha256,
        "received_at": image.received_at.isoformat(),
        "source_ae_title": image.source_ae_title or None,
        "tags": [asdict(line) for line in lines],
    }
