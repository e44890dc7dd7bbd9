"""A full disk, a locked database: senders are put off in time, and it heals by itself.

What happens on PostgreSQL is in test_postgresql.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.dicom import make_instance, to_bytes
from tests.pdu import CT, EXPLICIT_LE, Part10, RawPeer, Response, read_part10
from tests.receiver import ReceiverSite

pytestmark = pytest.mark.slow

OFFERED = [(CT, [EXPLICIT_LE])]


def build() -> Part10:
    return read_part10(to_bytes(make_instance()))


def timed(peer: RawPeer, instance: Part10) -> tuple[Response, float]:
    began = time.monotonic()
    answer = peer.store(CT, instance.sop_instance, instance.data)
    return answer, time.monotonic() - began


def test_while_the_database_is_locked_senders_are_put_off_in_time(
    make_site: Callable[..., ReceiverSite],
) -> None:
    site = make_site()
    site.start()
    first = build()
    instances = [build() for _ in range(4)]
    with contextlib.ExitStack() as stack:
        peers = [
            stack.enter_context(site.peer(OFFERED, calling=f"CT_{n}", timeout_s=30))
            for n in range(4)
        ]
        assert peers[0].store(CT, first.sop_instance, first.data).status == 0
        locking = stack.enter_context(
            contextlib.closing(sqlite3.connect(site.data_dir / "noctis.sqlite3"))
        )
        locking.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(4) as executor:
            waiting = [
                executor.submit(timed, peer, instance)
                for peer, instance in zip(peers, instances, strict=True)
            ]
            # Reading goes on, and so does whatever does not write.
            assert site.echo() < 1
            assert [row["sop_instance_uid"] for row in site.images()] == [first.sop_instance]
            for future in waiting:
                answer, seconds = future.result()
                assert answer.status == 0xA700
                assert answer.comment
                assert seconds < 10
        assert site.stored_files() == {row["storage_key"] for row in site.images()}
        locking.rollback()
        for peer, instance in zip(peers, instances, strict=True):
            answer, seconds = timed(peer, instance)
            assert answer.status == 0
            assert seconds < 10
    site.assert_consistent()
    assert site.stop() == 0


def fill(folder: Path) -> Path:
    """Take all that a file system has left; returns the file that does."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as handle:
        for size in (64 * 1024, 4096, 1):
            try:
                while True:
                    handle.write(bytes(size))
            except OSError as error:
                assert error.errno == errno.ENOSPC  # noqa: PT017 - what ends the loop
    return path


@pytest.mark.parametrize("what", ["store", "database"])
def test_on_a_full_disk_senders_are_put_off_in_time(
    make_site: Callable[..., ReceiverSite], what: str
) -> None:
    """In a mount namespace of its own the receiver has a disk of 8 MiB."""
    script = (
        'mkdir -p "$DISK" && mount -t tmpfs -o size=8m none "$DISK" && '
        'cp "$NOCTIS_DATA_DIR"/noctis.sqlite3* "$DISK"/ && exec "$@"'
    )
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-r", "-m"]
    site = make_site(wrapper=[*unshare, "sh", "-c", script, "sh"])
    disk = site.data_dir / "disk"
    site.environment["DISK"] = str(disk)
    variable = {"store": "DICOM_ROOT", "database": "PACS_DB_PATH"}[what]
    site.environment[variable] = str(disk if what == "store" else disk / "noctis.sqlite3")
    site.start()
    inside = Path(f"/proc/{site.pid}/root") / disk.relative_to("/")
    store = inside if what == "store" else site.store
    before, during = build(), build()

    def stored() -> list[bytes]:
        return sorted(path.read_bytes() for path in store.glob("??/??/*.dcm"))

    with site.peer(OFFERED, timeout_s=30) as peer:
        assert peer.store(CT, before.sop_instance, before.data).status == 0
        files = stored()
        filler = fill(inside)
        answer, seconds = timed(peer, during)
        assert answer.status == 0xA700
        assert answer.comment
        assert seconds < 10
        assert site.echo() < 1
        assert stored() == files
        filler.unlink()
        answer, seconds = timed(peer, during)
        assert answer.status == 0
        assert seconds < 10
    assert len(stored()) == 2
    assert list((store / "spool").glob("*.part")) == []
    assert site.stop() == 0
