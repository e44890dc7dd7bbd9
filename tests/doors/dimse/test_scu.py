"""Calling others: dcmtk's storescp, our own receiver, and peers that behave badly."""

from __future__ import annotations

import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydicom.uid import generate_uid

from archive import destinations, retrieval
from archive.access import system_actor
from archive.destinations import DestinationDraft
from archive.errors import ForbiddenError
from archive.models import Destination
from archive.retrieval import StoredInstance
from dimse import scu
from dimse.contexts import Offer
from dimse.outbound import Association
from dimse.suboperations import Courier, Fate
from imaging.header import read_index
from imaging.pixels import PixelFacts, decode_frame
from tests import factories
from tests.dcmtk import free_port
from tests.dicom import make_instance, to_bytes
from tests.pdu import pdu, read_part10
from tests.receiver import ReceiverSite
from worklist.models import Facility

pytestmark = pytest.mark.django_db


def destination(port: int, *, ae_title: str = "ELSEWHERE", uses_tls: bool = False) -> Destination:
    draft = DestinationDraft(ae_title, "127.0.0.1", port, uses_tls=uses_tls)
    return destinations.save_destination(system_actor("tests"), draft)


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], int]]:
    """Servers that say one thing to whoever calls, and hang up."""
    servers: list[socketserver.ThreadingTCPServer] = []

    def start(said: bytes) -> int:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.settimeout(2)
                self.request.recv(65536)
                self.request.sendall(said)

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return int(server.server_address[1])

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.peers
def test_an_echo_that_is_answered(storescp: Callable[..., SimpleNamespace]) -> None:
    report = scu.echo(destination(storescp().port))
    assert report.is_success
    assert report.message.startswith("ELSEWHERE answered in ")
    assert 0 < report.elapsed_ms < 5000


@pytest.mark.peers
def test_the_job_keeps_what_the_echo_found(storescp: Callable[..., SimpleNamespace]) -> None:
    where = destination(storescp().port)
    destinations.send_echo(str(where.pk))
    where.refresh_from_db()
    assert where.last_echo_is_ok
    assert where.last_echo_at is not None
    assert where.last_echo_message.startswith("ELSEWHERE answered in ")


def test_our_receiver_tells_an_unknown_caller_and_a_wrong_name(receiver: ReceiverSite) -> None:
    stranger = scu.echo(destination(receiver.port, ae_title="NOCTIS_SCP"))
    assert not stranger.is_success
    assert stranger.message == (
        "NOCTIS_SCP does not know us. Have it admit the AE title NOCTIS_SCU from this machine."
    )
    misnamed = scu.echo(destination(receiver.port, ae_title="SOMEONE"))
    assert misnamed.message == (
        f"What listens at 127.0.0.1 port {receiver.port} is not called SOMEONE. Correct the AE "
        "title of the destination."
    )


def test_where_nothing_listens() -> None:
    port = free_port()
    report = scu.echo(destination(port))
    assert not report.is_success
    assert report.message == (
        f"Nothing listens at 127.0.0.1 port {port}. Check the port, and that the other system runs."
    )


def test_a_host_that_does_not_exist() -> None:
    draft = DestinationDraft("ELSEWHERE", "no-such-host.invalid", 104)
    report = scu.echo(destinations.save_destination(system_actor("tests"), draft))
    assert report.message.startswith("There is no host named no-such-host.invalid.")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (pdu(3, b"\0\2\3\2"), "ELSEWHERE is too busy for another association now. Try again"),
        (pdu(3, b"\0\1\1\1"), "ELSEWHERE refused the association: "),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "but it did not answer as a DICOM node"),
        (b"", "but it did not answer as a DICOM node"),
        (pdu(7, b"\0\0\2\0"), "but it did not answer as a DICOM node"),
    ],
    ids=["busy", "refused", "http", "silent", "abort"],
)
def test_peers_that_take_no_association(
    answering: Callable[[bytes], int], said: bytes, message: str
) -> None:
    report = scu.echo(destination(answering(said)))
    assert not report.is_success
    assert message in report.message


def test_only_registered_destinations_are_called() -> None:
    with pytest.raises(ForbiddenError):
        scu.echo(Destination(ae_title="ELSEWHERE", host="127.0.0.1", port=104))


def stored(path_or_bytes: Path | bytes, owner: Facility) -> StoredInstance:
    store = factories.store_file if isinstance(path_or_bytes, Path) else factories.store_bytes
    result = store(path_or_bytes, owner)  # type: ignore[operator]
    (instance,) = retrieval.with_ids([result.image_id])
    return instance


@pytest.fixture
def north() -> Facility:
    return factories.facility("NORTH", "North Clinic")


@pytest.mark.peers
def test_instances_arrive_byte_for_byte_in_their_own_encoding(
    storescp: Callable[..., SimpleNamespace], data: Path, north: Facility
) -> None:
    peer = storescp("+xa", "+B")
    folder = data / "transfer_syntax" / "wg04_ct1"
    paths = [path for path in folder.iterdir() if "UNC" not in path.name]
    paths += sorted((data / "ct" / "head_phantom_1mm").iterdir())[:3]
    instances = []
    for path in paths:
        # The same image in many encodings has one UID: each gets a facility of its own.
        owner = factories.facility(f"F{len(instances)}", f"Facility {len(instances)}")
        instances.append(stored(path, owner))
    deliveries = list(scu.send(destination(peer.port), instances))
    assert [delivery.reason for delivery in deliveries] == [""] * 9
    sent = {read_part10(path.read_bytes()).data for path in paths}
    received = {read_part10(path.read_bytes()).data for path in peer.folder.iterdir()}
    assert received <= sent
    assert len(received) == len({instance.sop_instance_uid for instance in instances})


@pytest.mark.peers
def test_what_the_other_side_does_not_take_is_told_per_instance(
    storescp: Callable[..., SimpleNamespace], data: Path, north: Facility
) -> None:
    peer = storescp("+xe")  # explicit little endian alone
    private = make_instance(SOPClassUID="1.3.6.1.4.1.99999.7.1")
    instances = [
        stored(to_bytes(private), north),
        stored(sorted((data / "ct" / "head_phantom_1mm").iterdir())[0], north),
    ]
    refused, arrived = scu.send(destination(peer.port), instances)
    assert refused.fate is Fate.FAILED
    assert refused.reason == "The receiver does not take this kind of instance."
    assert arrived.fate is Fate.COMPLETED
    assert len(list(peer.folder.iterdir())) == 1


@pytest.mark.peers
@pytest.mark.parametrize(
    ("option", "syntax"),
    [
        ("+xe", "1.2.840.10008.1.2.1"),
        ("+xi", "1.2.840.10008.1.2"),
        ("+xt", "1.2.840.10008.1.2.4.80"),
        ("+xr", "1.2.840.10008.1.2.5"),
        ("+xs", "1.2.840.10008.1.2.4.70"),
        ("+xv", "1.2.840.10008.1.2.4.90"),
        ("+xb", "1.2.840.10008.1.2.2"),
        ("+xd", "1.2.840.10008.1.2.1.99"),
    ],
    ids=["explicit", "implicit", "jpeg-ls", "rle", "jpeg", "j2k", "big", "deflated"],
)
def test_a_receiver_of_one_encoding_gets_the_same_pixels_in_it(
    storescp: Callable[..., SimpleNamespace],
    data: Path,
    north: Facility,
    option: str,
    syntax: str,
) -> None:
    peer = storescp(option)
    path = data / "transfer_syntax" / "wg04_ct1" / "CT1_JPLL"
    instance = stored(path, north)
    only = [Offer(1, instance.sop_class_uid, (syntax,))]
    where = destination(peer.port)
    with Association(where, only) as association:
        contexts = association.contexts_of(instance.sop_class_uid)
        delivery = Courier(association, {instance.sop_class_uid: contexts}).deliver(instance)
    assert delivery.reason == ""
    (arrived,) = peer.folder.iterdir()
    assert read_part10(arrived.read_bytes()).transfer_syntax == syntax
    for one, other in zip(frames(path), frames(arrived), strict=True):
        np.testing.assert_array_equal(one, other)


def frames(path: Path) -> list[np.ndarray[Any, Any]]:
    index = read_index(path)
    facts = PixelFacts.of(index, index.frames)
    return [decode_frame(path, facts, number) for number in range(index.number_of_frames)]


def test_nobody_there_fails_every_instance_with_the_reason(north: Facility) -> None:
    instances = [stored(to_bytes(make_instance()), north) for _ in range(3)]
    port = free_port()
    deliveries = list(scu.send(destination(port), instances))
    assert [delivery.instance for delivery in deliveries] == instances
    assert {delivery.reason for delivery in deliveries} == {
        f"Nothing listens at 127.0.0.1 port {port}. Check the port, and that the other system runs."
    }


@pytest.mark.slow
@pytest.mark.peers
def test_more_kinds_than_one_association_offers_take_several(
    storescp: Callable[..., SimpleNamespace], north: Facility
) -> None:
    peer = storescp("+xa", "-pm")
    instances = [
        stored(to_bytes(make_instance(SOPClassUID=f"1.3.6.1.4.1.99999.7.{number + 1}")), north)
        for number in range(140)
    ]
    deliveries = list(scu.send(destination(peer.port), instances))
    assert {delivery.reason for delivery in deliveries} == {""}
    assert len(list(peer.folder.iterdir())) == len(deliveries) == 140


@pytest.mark.slow
def test_warnings_of_the_receiver_are_told(
    make_site: Callable[..., ReceiverSite], north: Facility
) -> None:
    site = make_site()
    site.run_python(
        "from archive.access import system_actor\n"
        "from archive.facilities import FacilityDraft, save_facility\n"
        "save_facility(system_actor('t'), FacilityDraft('US', 'Us', ae_titles=['NOCTIS_SCU']))"
    )
    site.start()
    uid = generate_uid()
    south = factories.facility("SOUTH", "South Clinic")
    instances = [
        stored(to_bytes(make_instance(SOPInstanceUID=uid, PatientID="A")), north),
        stored(to_bytes(make_instance(SOPInstanceUID=uid, PatientID="B")), south),
        stored(to_bytes(make_instance()), north),
    ]
    deliveries = list(scu.send(destination(site.port, ae_title="NOCTIS_SCP"), instances))
    assert [delivery.fate for delivery in deliveries] == [
        Fate.COMPLETED,
        Fate.WARNING,
        Fate.COMPLETED,
    ]
    assert deliveries[1].reason == (
        "The receiver answered 0xB000: Kept aside: this UID is stored with other content."
    )


@pytest.mark.peers
def test_tls_is_used_and_checked_where_the_destination_wants_it(
    storescp: Callable[..., SimpleNamespace], tmp_path: Path, settings: object
) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", str(key), "-out", str(cert), "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    peer = storescp("+tls", str(key), str(cert), "-ic")
    where = destination(peer.port, uses_tls=True)

    untrusted = scu.echo(where)
    assert not untrusted.is_success
    assert "not with TLS that we trust" in untrusted.message

    trusted = SimpleNamespace(port=2762, cert=cert, key=key, ca=cert)
    settings.DICOM_TLS = trusted  # type: ignore[attr-defined]
    assert scu.echo(where).is_success

    plain = scu.echo(destination(peer.port))
    assert not plain.is_success
    assert "whether it wants TLS" in plain.message
