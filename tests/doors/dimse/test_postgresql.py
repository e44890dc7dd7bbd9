"""The receiver on PostgreSQL: the same answers, also when the database goes and comes back."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.rows import dict_row
from pydicom.uid import generate_uid

from tests.dicom import make_instance, to_bytes
from tests.pdu import CT, EXPLICIT_LE, Part10, RejectedError, fragment, read_part10, store_rq
from tests.receiver import PREPARE, ReceiverSite
from tests.services import servers

pytestmark = [pytest.mark.services, pytest.mark.slow]

OFFERED = [(CT, [EXPLICIT_LE])]


class Line:
    """A line between the receiver and its database that can be cut."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._open: list[socket.socket] = []
        self.port = 0
        self.mend()

    def mend(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def cut(self) -> None:
        for client in (self._listening, *self._open):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            client.close()
        self._open.clear()

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._open += [client, server]
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=ends, daemon=True).start()

    @staticmethod
    def _pass(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with servers.postgres() as url:
        yield url


@pytest.fixture(scope="module")
def line(database: str) -> Iterator[Line]:
    line = Line(urlsplit(database).port or 0)
    yield line
    line.cut()


@pytest.fixture(scope="module")
def site(
    make_site: Callable[..., ReceiverSite], database: str, line: Line
) -> Iterator[ReceiverSite]:
    url = database.replace(f":{urlsplit(database).port}/", f":{line.port}/")
    site = make_site(environment={"DATABASE_URL": url})
    site.run_python(PREPARE)
    site.start()
    yield site
    assert site.is_alive, site.log()
    assert site.stop() == 0


def rows(url: str, query: str, *values: object) -> list[dict[str, Any]]:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return connection.execute(query, values).fetchall()


def build(**keywords: object) -> Part10:
    return read_part10(to_bytes(make_instance(**keywords)))


def test_eight_senders_and_eight_rivals(site: ReceiverSite, database: str) -> None:
    study, uid = generate_uid(), generate_uid()
    rivals = [
        build(StudyInstanceUID=study, SOPInstanceUID=uid, PatientID=f"R{n}") for n in range(8)
    ]
    start, statuses = threading.Barrier(8), [-1] * 8
    answers: list[int] = []

    def send(number: int) -> None:
        rival = rivals[number]
        with site.peer(OFFERED, calling=f"CT_{number}") as peer:
            peer.send(fragment(1, 3, store_rq(CT, uid)) + fragment(1, 0, rival.data[:-1]))
            start.wait()
            peer.send(fragment(1, 2, rival.data[-1:]))
            statuses[number] = peer.response().status
            for _ in range(5):
                other = build(StudyInstanceUID=study)
                answers.append(peer.store(CT, other.sop_instance, other.data).status)

    threads = [threading.Thread(target=send, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(statuses) == [0x0000] + [0xB000] * 7
    assert answers == [0] * 40
    (found,) = rows(database, "SELECT * FROM worklist_study WHERE study_instance_uid = %s", study)
    assert found["instance_count"] == 41
    (kept,) = rows(database, "SELECT * FROM worklist_dicomimage WHERE sop_instance_uid = %s", uid)
    winner = rivals[statuses.index(0)]
    stored = (site.store / kept["storage_key"]).read_bytes()
    assert read_part10(stored).data == winner.data
    aside = rows(
        database, "SELECT id FROM archive_instanceconflict WHERE sop_instance_uid = %s", uid
    )
    assert len(aside) == 7


def test_associations_keep_no_connection_to_the_database(site: ReceiverSite, database: str) -> None:
    """PostgreSQL allows a hundred; the receiver has up to 128 associations, mostly waiting."""
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(site.peer(OFFERED, calling=f"CT_{n % 8}")) for n in range(40)]
        instances = [build() for _ in peers]
        with ThreadPoolExecutor(len(peers)) as executor:
            answers = executor.map(
                lambda pair: pair[0].store(CT, pair[1].sop_instance, pair[1].data),
                zip(peers, instances, strict=True),
            )
            assert {answer.status for answer in answers} == {0}
        (open_,) = rows(
            database,
            "SELECT count(*) AS n FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        # Eight are shared; the clerk has one.
        assert open_["n"] <= 9


def test_without_its_database_it_puts_off_and_then_heals(
    site: ReceiverSite, database: str, line: Line
) -> None:
    before, during = build(), build()
    with site.peer(OFFERED, calling="CT_1") as peer:
        assert peer.store(CT, before.sop_instance, before.data).status == 0
        line.cut()
        try:
            began = time.monotonic()
            answer = peer.store(CT, during.sop_instance, during.data)
            assert answer.status == 0xA700
            assert answer.comment
            assert time.monotonic() - began < 10
            began = time.monotonic()
            with pytest.raises(RejectedError) as caught:
                site.peer(OFFERED, calling="CT_11")
            assert caught.value == RejectedError(2, 3, 1)
            assert time.monotonic() - began < 10
        finally:
            line.mend()
        # The same association goes on.
        assert peer.store(CT, during.sop_instance, during.data).status == 0
    assert site.echo() < 2
    kept = rows(
        database,
        "SELECT storage_key FROM worklist_dicomimage WHERE sop_instance_uid = %s",
        during.sop_instance,
    )
    assert len(kept) == 1
    in_rows = {row["storage_key"] for row in rows(database, "SELECT * FROM worklist_dicomimage")}
    assert site.stored_files() == in_rows
    assert site.spooled_files() == []
