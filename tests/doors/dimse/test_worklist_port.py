"""MWL_PORT: a listener that serves Modality Worklist, MPPS and echoes, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import (
    CTImageStorage,
    ModalityPerformedProcedureStep,
    ModalityWorklistInformationFind,
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    Verification,
)

from tests.dcmtk import free_port
from tests.orderly import make_orders
from tests.pdu import RawPeer, RejectedError
from tests.receiver import ReceiverSite

SERVED = [Verification, ModalityWorklistInformationFind, ModalityPerformedProcedureStep]
NOT_SERVED = [
    CTImageStorage,
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    "1.2.826.0.1.3680043.10.99.1",
]


@dataclass
class Site:
    receiver: ReceiverSite
    worklist_port: int


@pytest.fixture(params=["1", "0"], ids=["ours", "pynetdicom"], scope="module")
def both(request: pytest.FixtureRequest, make_site: Callable[..., ReceiverSite]) -> Iterator[Site]:
    port = free_port()
    site = make_site(
        environment={
            "MWL_PORT": str(port),
            "MWL_AET": "WORKLIST",
            "DICOM_FAST_PATH": request.param,
        }
    )
    site.start()
    make_orders(
        site,
        {
            "patient_name": "Test^Anna",
            "patient_identifier": "W1",
            "accession_number": "W-A1",
            "steps": [{"modality": "CT", "start_date": "2026-03-01"}],
        },
    )
    yield Site(site, port)
    assert site.stop() == 0
    assert "Traceback" not in site.log(), site.log()


def associate(port: int, called: str, *syntaxes: Any) -> Any:
    ae = AE("CT_NORTH")
    for syntax in syntaxes:
        ae.add_requested_context(syntax)
    return ae.associate("127.0.0.1", port, ae_title=called)


def names(association: Any) -> set[str]:
    return {str(context.abstract_syntax) for context in association.accepted_contexts}


def test_it_serves_these_and_nothing_else(both: Site) -> None:
    association = associate(both.worklist_port, "WORKLIST", *SERVED, *NOT_SERVED)
    assert association.is_established
    assert names(association) == set(map(str, SERVED))
    assert association.send_c_echo().Status == 0
    keys = Dataset()
    keys.AccessionNumber = ""
    found = list(association.send_c_find(keys, ModalityWorklistInformationFind))
    assert [status.Status for status, _ in found] == [0xFF00, 0x0000]
    assert found[0][1].AccessionNumber == "W-A1"
    association.release()


def test_the_other_port_serves_everything(both: Site) -> None:
    association = associate(both.receiver.port, "NOCTIS_SCP", *SERVED, *NOT_SERVED)
    assert association.is_established
    assert names(association) == set(map(str, [*SERVED, *NOT_SERVED]))
    association.release()


def test_each_port_has_its_own_name(both: Site) -> None:
    for port, wrong in ((both.worklist_port, "NOCTIS_SCP"), (both.receiver.port, "WORKLIST")):
        with pytest.raises(RejectedError) as caught:
            RawPeer(port, called=wrong)
        assert (caught.value.result, caught.value.source, caught.value.reason) == (1, 1, 7)
    assert f"WORKLIST listens on 127.0.0.1 port {both.worklist_port}" in both.receiver.log()


def test_a_worklist_port_that_is_taken_is_named(
    both: Site, make_site: Callable[..., ReceiverSite]
) -> None:
    site = make_site(environment={"MWL_PORT": str(both.worklist_port)})
    with pytest.raises(AssertionError):
        site.start()
    assert site.process is not None
    assert site.process.wait(timeout=10) == 1
    assert f"It may also be MWL_PORT={both.worklist_port}." in site.log()
