"""Attributes for queries of what was stored before they were kept: a job reads its headers."""

from __future__ import annotations

import logging
import time

from django.db import transaction

from archive import catalogue, jobs, stores
from blobs import BlobError, BlobStoreUnavailableError
from imaging.attributes import IMAGE, PATIENT, SERIES, STUDY
from imaging.errors import ImagingError
from imaging.header import InstanceIndex, read_index
from worklist.models import DicomImage, Series, Study

logger = logging.getLogger(__name__)

JOB = "query.attributes"
SLICE_S = 20.0
_BATCH = 100


def begin() -> bool:
    """Queue the job if anything lacks its attributes; returns whether."""
    if not DicomImage.with_deleted.filter(attributes__isnull=True).exists():
        return False
    jobs.enqueue(JOB, "all")
    return True


@jobs.handler(JOB)
def fill() -> None:
    """Read headers for a while; what is left waits for the next job."""
    deadline = time.monotonic() + SLICE_S
    # Deleted rows too: they may be restored.
    rows = DicomImage.with_deleted.filter(attributes__isnull=True).order_by("pk")
    while batch := list(rows.only("pk", "series_id", "storage_key")[:_BATCH]):
        # Files are read before the transaction: senders wait for it.
        read = [(image, _read(image)) for image in batch]
        with transaction.atomic():
            for image, index in read:
                _write(image, index)
        if time.monotonic() > deadline:
            jobs.enqueue(JOB, "all")
            return


def _read(image: DicomImage) -> InstanceIndex | None:
    try:
        return read_index(stores.instances().path(image.storage_key), require_identity=False)
    except BlobStoreUnavailableError:
        raise  # the job is done again later
    except (BlobError, ImagingError, OSError):
        # Not tried again for ever; the scrub tells what is wrong with the file.
        logger.warning("The header of %s cannot be read for queries", image.storage_key)
        return None


def _write(image: DicomImage, index: InstanceIndex | None) -> None:
    mine = DicomImage.with_deleted.filter(pk=image.pk)
    if index is None:
        mine.update(attributes="{}")
        return
    mine.update(attributes=catalogue.attributes_text(index, IMAGE))
    series = Series.with_deleted.filter(pk=image.series_id, attributes__isnull=True)
    series.update(attributes=catalogue.attributes_text(index, SERIES))
    study = Study.with_deleted.filter(series=image.series_id, attributes__isnull=True)
    study.update(attributes=catalogue.attributes_text(index, PATIENT, STUDY))
