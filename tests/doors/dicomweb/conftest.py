"""A reader who asks by DICOMweb, and a study to ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from accounts.models import User
from archive import frame_cache
from tests import factories
from tests.dicom import to_bytes
from tests.doors.dicomweb.study import instance
from tests.sidecar import Caller, Sidecar, running
from worklist.models import Facility


@pytest.fixture
def sidecar(store: Path, settings: Settings) -> Iterator[Sidecar]:
    # The product makes its folders when it starts; what is converted passes through this one.
    settings.CACHE_DIR.mkdir()
    frame_cache.forget_memory()
    with running() as started:
        yield started


@pytest.fixture
def caller(sidecar: Sidecar, radiologist: User) -> Caller:
    return sidecar.by_token(radiologist)


@pytest.fixture
def held(store: Path, facility: Facility) -> dict[str, bytes]:
    """The files of one study by SOP Instance UID: two series, of three instances and of one."""
    found = {}
    for number, series in ((3, 1), (1, 1), (2, 1), (1, 2)):
        dataset = instance(number, series, SpecificCharacterSet="ISO_IR 100", PatientName="Müller")
        found[str(dataset.SOPInstanceUID)] = to_bytes(dataset)
    for content in found.values():
        factories.store_bytes(content, facility)
    return found
