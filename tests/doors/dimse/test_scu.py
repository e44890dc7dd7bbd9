"""Calling others: dcmtk's storescp, our own receiver, and peers that behave badly."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydicom.uid import generate_uid

from archive import destinations
from archive.access import system_actor
from archive.destinations import DestinationDraft
from archive.errors import ForbiddenError
from archive.models import Destination
from dimse import scu
from tests.dicom import make_instance, to_bytes
from tests.pdu import pdu, read_part10
from tests.receiver import ReceiverSite

pytestmark = pytest.mark.django_db


def destination(port: int, *, ae_title: str = "ELSEWHERE", uses_tls: bool = False) -> Destination:
    draft = DestinationDraft(ae_title, "127.0.0.1", port, uses_tls=uses_tls)
    return destinations.save_destination(system_actor("tests"), draft)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def storescp(tmp_path: Path) -> Iterator[Callable[..., SimpleNamespace]]:
    running: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> SimpleNamespace:
        folder = tmp_path / f"received-{len(running)}"
        folder.mkdir()
        port = free_port()
        process = subprocess.Popen(["storescp", *options, "-od", str(folder), str(port)])
        running.append(process)
        for _ in range(200):
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port)).close()
                return SimpleNamespace(port=port, folder=folder)
            threading.Event().wait(0.05)
        raise AssertionError("storescp did not start")

    yield start
    for process in running:
        process.terminate()
        process.wait(timeout=10)


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


@pytest.mark.peers
def test_files_arrive_byte_for_byte_in_their_own_encoding(
    storescp: Callable[..., SimpleNamespace], data: Path
) -> None:
    peer = storescp("+xa", "+B")
    folder = data / "transfer_syntax" / "wg04_ct1"
    paths = [path for path in folder.iterdir() if "UNC" not in path.name]
    paths += sorted((data / "ct" / "head_phantom_1mm").iterdir())[:3]
    report = scu.store(destination(peer.port), paths)
    assert report.failures == ()
    assert report.sent == len(paths) == 9
    sent = {read_part10(path.read_bytes()).data for path in paths}
    received = {read_part10(path.read_bytes()).data for path in peer.folder.iterdir()}
    assert received == sent


@pytest.mark.peers
def test_what_the_other_side_does_not_take_is_told_per_file(
    storescp: Callable[..., SimpleNamespace], data: Path, tmp_path: Path
) -> None:
    peer = storescp("+xe")  # explicit little endian alone
    lossless = data / "transfer_syntax" / "wg04_ct1" / "CT1_JPLL"
    plain = sorted((data / "ct" / "head_phantom_1mm").iterdir())[0]
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(b"nothing that can be sent")
    report = scu.store(destination(peer.port), [lossless, plain, broken])
    assert not report.is_success
    assert report.sent == 1
    told = {failure.path: failure.message for failure in report.failures}
    assert set(told) == {lossless, broken}
    assert told[lossless] == "ELSEWHERE does not take this kind of instance in its encoding."


@pytest.mark.slow
@pytest.mark.peers
def test_more_kinds_than_one_association_offers_take_several(
    storescp: Callable[..., SimpleNamespace], tmp_path: Path
) -> None:
    peer = storescp("+xa", "-pm")
    paths = []
    for number in range(140):
        path = tmp_path / f"{number}.dcm"
        sop_class = f"1.3.6.1.4.1.99999.7.{number + 1}"
        path.write_bytes(
            to_bytes(make_instance(SOPClassUID=sop_class, SOPInstanceUID=generate_uid()))
        )
        paths.append(path)
    report = scu.store(destination(peer.port), paths)
    assert [failure.message for failure in report.failures] == []
    assert report.sent == 140


@pytest.mark.slow
def test_warnings_and_refusals_of_the_receiver_are_told(
    make_site: Callable[..., ReceiverSite], tmp_path: Path
) -> None:
    site = make_site()
    site.run_python(
        "from archive.access import system_actor\n"
        "from archive.facilities import FacilityDraft, save_facility\n"
        "save_facility(system_actor('t'), FacilityDraft('US', 'Us', ae_titles=['NOCTIS_SCU']))"
    )
    site.start()
    uid = generate_uid()
    paths = []
    for name, values in (
        ("first", {"SOPInstanceUID": uid, "PatientID": "A"}),
        ("second", {"SOPInstanceUID": uid, "PatientID": "B"}),
        ("third", {}),
    ):
        paths.append(tmp_path / name)
        paths[-1].write_bytes(to_bytes(make_instance(**values)))
    report = scu.store(destination(site.port, ae_title="NOCTIS_SCP"), paths)
    assert report.is_success
    assert report.sent == 3
    assert report.warnings == (
        "NOCTIS_SCP answered 0xB000: Kept aside: this UID is stored with other content.",
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
