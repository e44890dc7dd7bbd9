"""What the viewer is told about uptake values of a series."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from archive import stores
from dicom_viewer import uptake
from tests import factories
from worklist.models import DicomImage, Facility

pytestmark = pytest.mark.django_db

Stored = Callable[[str], DicomImage]


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    """What one test reads of a file must not answer for the next."""
    uptake._facts.clear()


@pytest.fixture
def stored(data: Path, facility: Facility) -> Stored:
    def store(name: str) -> DicomImage:
        result = factories.store_file(data / name, facility)
        return DicomImage.objects.select_related("series").get(pk=result.image_id)

    return store


def test_factors_of_a_real_series(stored: Stored) -> None:
    series = stored("pt_nm/GH184.dcm").series
    document = uptake.uptake_document(series)
    assert document["id"] == str(series.pk)
    # calculate-suv 1.1.0 of the Cornerstone project, given the same attributes.
    assert document["types"][0] == {
        "type": "BW",
        "unit": "SUVbw",
        "factor": pytest.approx(0.00033176370742160247, rel=1e-12),
    }
    assert [entry["type"] for entry in document["types"]] == ["BW", "BSA"]
    assert set(document["refusals"]) == {"LBMJANMA", "LBMJAMES128", "IBW"}
    assert document["source"] == "dose 474.6 MBq at 09:32:00, scan at 11:00:36 (Series Time)"
    assert document["origin"] == "dose"


def test_other_modalities_have_none(stored: Stored) -> None:
    document = uptake.uptake_document(stored("ct/head_phantom_1mm/I270").series)
    assert document["types"] == []
    assert "not of positron emission tomography" in document["refusals"]["BW"]


def test_a_file_that_has_changed_gives_no_number(stored: Stored) -> None:
    image = stored("pt_nm/GH184.dcm")
    path = stores.instances().path(image.storage_key)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)
    document = uptake.uptake_document(image.series)
    assert document["types"] == []
    assert "has changed since it came" in document["refusals"]["BW"]
