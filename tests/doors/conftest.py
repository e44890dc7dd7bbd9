"""What most doors of the sidecar are tried with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import factories
from tests.codestreams import noise
from tests.dicom import make_instance, to_bytes
from tests.sidecar import Sidecar, running
from worklist.models import DicomImage, Facility


@pytest.fixture
def sidecar(store: Path) -> Iterator[Sidecar]:
    with running() as started:
        yield started


@pytest.fixture
def image(store: Path, facility: Facility) -> DicomImage:
    """One plain picture of `facility`."""
    result = factories.store_bytes(to_bytes(make_instance(noise(16, 16))), facility)
    return DicomImage.objects.select_related("series__study").get(pk=result.image_id)
