"""Storage commitment over the network: N-ACTION, and N-EVENT-REPORT on the same association.

What is promised and how a caller is called back is in tests/apps/archive/test_commitment.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification

from tests.dicom import make_instance, to_bytes
from tests.pdu import CT, EXPLICIT_LE, RawPeer, read_part10
from tests.receiver import ReceiverSite
from tests.reports import WELL_KNOWN, Inbox, listening, request_of

__all__ = ["listening"]

DRAIN = "from archive import runner; runner.drain()"
DRAIN_ALL = """
from archive import jobs, runner
from archive.models import Job
runner.drain()
for job in Job.objects.filter(state="queued"):
    jobs.hasten(job.kind, job.key)
runner.drain()
"""


@pytest.fixture(params=["1", "0"], ids=["ours", "pynetdicom"], scope="module")
def patient_site(
    request: pytest.FixtureRequest, make_site: Callable[..., ReceiverSite]
) -> Iterator[ReceiverSite]:
    """A receiver that holds associations long enough for a worker that starts anew each time."""
    site = make_site(
        {"COMMITMENT_SAME_ASSOCIATION_S": 50}, environment={"DICOM_FAST_PATH": request.param}
    )
    site.start()
    yield site
    assert site.stop() == 0
    assert "Traceback" not in site.log(), site.log()


def store(site: ReceiverSite, count: int = 1, calling: str = "CT_NORTH") -> list[tuple[str, str]]:
    references = []
    with RawPeer(site.port, [(CT, [EXPLICIT_LE])], calling=calling) as peer:
        for _ in range(count):
            part = read_part10(to_bytes(make_instance()))
            assert peer.store(CT, part.sop_instance, part.data).status == 0
            references.append((CT, part.sop_instance))
        peer.release()
    return references


def associate(site: ReceiverSite, inbox: Inbox | None = None, calling: str = "CT_NORTH") -> Any:
    ae = AE(calling)
    ae.add_requested_context(StorageCommitmentPushModel)
    ae.add_requested_context(Verification)
    handlers = [(evt.EVT_N_EVENT_REPORT, inbox.on_event)] if inbox else []
    association = ae.associate("127.0.0.1", site.port, ae_title="NOCTIS_SCP", evt_handlers=handlers)
    assert association.is_established
    return association


def act(association: Any, asked: Dataset, action: int = 1, instance: str = WELL_KNOWN) -> Any:
    status, _ = association.send_n_action(asked, action, StorageCommitmentPushModel, instance)
    return status


def state_of(site: ReceiverSite, transaction_uid: str) -> dict[str, Any]:
    rows = site.rows(
        "SELECT * FROM archive_commitmentrequest WHERE transaction_uid = ?", transaction_uid
    )
    assert len(rows) == 1
    return rows[0]


def test_the_report_comes_on_the_association_that_waits(patient_site: ReceiverSite) -> None:
    references = store(patient_site, 2)
    missing = CT, generate_uid()
    inbox = Inbox()
    association = associate(patient_site, inbox)
    uid = generate_uid()
    assert act(association, request_of(uid, *references, missing)).Status == 0
    # Answered means durable.
    assert state_of(patient_site, uid)["state"] == "received"
    patient_site.run_python(DRAIN)
    told = inbox.take()
    assert told.event_type == 2
    assert told.data_set.TransactionUID == uid
    assert [
        (i.ReferencedSOPClassUID, i.ReferencedSOPInstanceUID)
        for i in told.data_set.ReferencedSOPSequence
    ] == references
    (failed,) = told.data_set.FailedSOPSequence
    assert (failed.ReferencedSOPInstanceUID, failed.FailureReason) == (missing[1], 0x0112)
    patient_site.eventually(lambda: state_of(patient_site, uid)["state"] == "reported")
    # The association goes on.
    assert association.send_c_echo().Status == 0
    association.release()
    assert association.is_released


def test_who_asks_for_something_else_or_leaves_is_called_back(
    patient_site: ReceiverSite, listening: Callable[[], Inbox]
) -> None:
    references = store(patient_site)
    here, back = Inbox(), listening()
    uids = [generate_uid(), generate_uid()]
    association = associate(patient_site, here)
    for uid in uids:
        assert act(association, request_of(uid, *references)).Status == 0
        # Not kept waiting for the report.
        assert association.send_c_echo().Status == 0
    association.release()
    assert association.is_released
    patient_site.run_python(
        "from archive import destinations\nfrom archive.access import system_actor\n"
        "destinations.save_destination(system_actor('tests'), destinations.DestinationDraft("
        f"'CT_NORTH', '127.0.0.1', {back.port}))"
    )
    patient_site.run_python(DRAIN_ALL)
    assert {back.take().data_set.TransactionUID for _ in uids} == set(uids)
    assert here.is_empty
    assert {state_of(patient_site, uid)["state"] for uid in uids} == {"reported"}


def test_who_breaks_off_while_it_waits_is_called_back(
    patient_site: ReceiverSite, listening: Callable[[], Inbox]
) -> None:
    references = store(patient_site)
    back = listening()
    uid = generate_uid()
    association = associate(patient_site)
    assert act(association, request_of(uid, *references)).Status == 0
    association.abort()
    patient_site.run_python(
        "from archive import destinations\nfrom archive.access import system_actor\n"
        "destinations.save_destination(system_actor('tests'), destinations.DestinationDraft("
        f"'CT_NORTH', '127.0.0.1', {back.port}))"
    )
    patient_site.run_python(DRAIN_ALL)
    told = back.take()
    assert told.event_type == 1
    assert told.calling == "NOCTIS_SCU"


@pytest.mark.parametrize(
    ("asked", "action", "instance", "status"),
    [
        (request_of("1.2.3", (CT, "1.2.4")), 1, "1.2.3.4", 0x0112),
        (request_of("1.2.3", (CT, "1.2.4")), 2, WELL_KNOWN, 0x0123),
        (request_of("1.2.3"), 1, WELL_KNOWN, 0x0115),
        (request_of("", (CT, "1.2.4")), 1, WELL_KNOWN, 0x0115),
        (request_of("1.2.3", (CT, "1.2.04")), 1, WELL_KNOWN, 0x0115),
    ],
    ids=["instance", "action", "no-references", "no-transaction", "bad-uid"],
)
def test_what_is_refused(
    receiver: ReceiverSite, asked: Dataset, action: int, instance: str, status: int
) -> None:
    association = associate(receiver)
    refusal = act(association, asked, action, instance)
    assert refusal.Status == status
    assert refusal.ErrorComment
    assert association.send_c_echo().Status == 0
    association.release()
    assert not receiver.rows(
        "SELECT * FROM archive_commitmentrequest WHERE transaction_uid='1.2.3'"
    )


def test_thousands_of_references_are_taken(receiver: ReceiverSite) -> None:
    uid = generate_uid()
    references = [(CT, f"1.2.3.{number}") for number in range(1, 12_001)]
    association = associate(receiver)
    assert act(association, request_of(uid, *references)).Status == 0
    association.release()
    receiver.run_python(
        "from archive.models import CommitmentRequest as R\n"
        f"assert len(R.objects.get(transaction_uid='{uid}').references) == 12000"
    )


def test_another_facilitys_instances_are_unknown(receiver: ReceiverSite) -> None:
    references = store(receiver)
    uid = generate_uid()
    association = associate(receiver, calling="CT_WEST")
    assert act(association, request_of(uid, *references)).Status == 0
    association.release()
    receiver.run_python(DRAIN)
    assert "274" in state_of(receiver, uid)["failures"]  # 0x0112
