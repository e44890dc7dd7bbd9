"""Fixtures of the tests that drive the receiver."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.dcmtk import storescp
from tests.orthanc import start_orthanc
from tests.receiver import ReceiverSite, make_site, new_folder, receiver_template, run_receiver

__all__ = ["make_site", "new_folder", "receiver_template", "start_orthanc", "storescp"]


@pytest.fixture(scope="module", params=["1", "0"], ids=["own", "pynetdicom"])
def receiver(
    make_site: Callable[..., ReceiverSite],
    request: pytest.FixtureRequest,
) -> Iterator[ReceiverSite]:
    """A receiver on our own upper layer, then one on pynetdicom's: nobody may tell them apart."""
    yield from run_receiver(make_site(environment={"DICOM_FAST_PATH": request.param}))
