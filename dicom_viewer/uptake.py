"""What makes standardized uptake values of a PET series, for the viewer."""

from __future__ import annotations

import threading
from typing import Any

from cachetools import LRUCache

from archive.errors import ArchiveError
from dicom_viewer.contents import read_file
from imaging import suv
from imaging.petfacts import PetFacts, read_pet_facts
from worklist.models import DicomImage, Series

# A series with more images is read elsewhere; the longest dynamic ones stay below.
_MOST_IMAGES = 10_000

_facts: LRUCache[str, PetFacts] = LRUCache(16_384)
_lock = threading.Lock()


def uptake_document(series: Series) -> dict[str, Any]:
    """Return the factors of a series, or why there are none; its files are read once.

    Returns
    -------
    ``types`` with a factor for each type of uptake value that can be told, and ``refusals`` for
    the others.
    """
    found = _uptake(series)
    return {
        "id": str(series.pk),
        "types": [
            {"type": name, "unit": scale.unit, "factor": scale.factor}
            for name, scale in found.scales.items()
        ],
        "refusals": dict(found.refusals),
        "source": found.source,
        "origin": found.origin,
    }


def _uptake(series: Series) -> suv.Suv:
    if series.modality != "PT":
        return _refused("This series is not of positron emission tomography.")
    if series.instance_count > _MOST_IMAGES:
        return _refused("The series has too many images for uptake values.")
    try:
        images = [_facts_of(image) for image in series.images.all()]
    except ArchiveError as error:
        return _refused(f"A file of the series cannot be read. {error}")
    return suv.uptake(images)


def _refused(reason: str) -> suv.Suv:
    return suv.Suv({}, dict.fromkeys(suv.TYPES, reason))


def _facts_of(image: DicomImage) -> PetFacts:
    with _lock:
        kept = _facts.get(image.sha256)
    if kept is not None:
        return kept
    facts = read_file(image, read_pet_facts)
    with _lock:
        _facts[image.sha256] = facts
    return facts
