"""Other systems that are told things: pynetdicom as receiver of N-EVENT-REPORT and N-CREATE."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    InstanceAvailabilityNotification,
    StorageCommitmentPushModel,
)

WELL_KNOWN = "1.2.840.10008.1.20.1.1"


@dataclass
class Told:
    """One message that came."""

    event_type: int
    data_set: Dataset
    calling: str
    instance: str
    # SCU and SCP role that the caller proposed for commitment; None: it proposed none.
    roles: tuple[bool, bool] | None = None


@dataclass
class Inbox:
    """What has been told, and what is answered to it."""

    messages: queue.Queue[Told] = field(default_factory=queue.Queue)
    status: int = 0x0000
    port: int = 0

    def take(self, timeout_s: float = 30) -> Told:
        return self.messages.get(timeout=timeout_s)

    @property
    def is_empty(self) -> bool:
        return self.messages.empty()

    def on_event(self, event: Any) -> tuple[int, None]:
        self.messages.put(
            Told(
                int(event.event_type),
                event.event_information,
                event.assoc.requestor.ae_title,
                str(event.request.AffectedSOPInstanceUID),
                _roles(event.assoc.requestor),
            )
        )
        return self.status, None

    def on_create(self, event: Any) -> tuple[int, Dataset]:
        self.messages.put(
            Told(
                0,
                event.attribute_list,
                event.assoc.requestor.ae_title,
                str(event.request.AffectedSOPInstanceUID),
            )
        )
        return self.status, event.attribute_list


def _roles(requestor: Any) -> tuple[bool, bool] | None:
    found = requestor.role_selection.get(StorageCommitmentPushModel)
    return None if found is None else (found.scu_role, found.scp_role)


@pytest.fixture
def listening() -> Iterator[Callable[[], Inbox]]:
    """Start systems that listen; each has an inbox."""
    servers = []

    def start(port: int = 0) -> Inbox:
        inbox = Inbox()
        ae = AE("LISTENER")
        ae.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
        ae.add_supported_context(InstanceAvailabilityNotification)
        server = ae.start_server(
            ("127.0.0.1", port),
            block=False,
            evt_handlers=[
                (evt.EVT_N_EVENT_REPORT, inbox.on_event),
                (evt.EVT_N_CREATE, inbox.on_create),
            ],
        )
        servers.append(server)
        inbox.port = server.server_address[1]
        return inbox

    yield start
    for server in servers:
        server.shutdown()


def request_of(transaction_uid: str, *references: tuple[str, str]) -> Dataset:
    """The action information of a commitment request."""
    asked = Dataset()
    asked.TransactionUID = transaction_uid
    items = []
    for sop_class_uid, uid in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, uid
        items.append(item)
    asked.ReferencedSOPSequence = items
    return asked
