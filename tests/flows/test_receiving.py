"""An instance arrives: what was answered survives a kill, and is durable before the answer."""

from __future__ import annotations

import hashlib
import random
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import generate_uid

from tests.dicom import make_instance, to_bytes
from tests.pdu import (
    CT,
    EXPLICIT_LE,
    AbortedError,
    Part10,
    RejectedError,
    fragment,
    read_part10,
    store_rq,
)
from tests.receiver import ReceiverSite

OFFERED = [(CT, [EXPLICIT_LE])]


@dataclass
class Sender:
    """One association after another, an instance after another, until it is told to stop."""

    site: ReceiverSite
    number: int
    study: str
    answered: dict[str, str] = field(default_factory=dict)
    unanswered: dict[str, Part10] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                with self.site.peer(OFFERED, calling=f"CT_{self.number}", timeout_s=5) as peer:
                    while not self.stop.is_set():
                        instance = self.next()
                        self.unanswered[instance.sop_instance] = instance
                        answer = peer.store(CT, instance.sop_instance, instance.data, step=4000)
                        if answer.status == 0:
                            digest = hashlib.sha256(instance.data).hexdigest()
                            self.answered[instance.sop_instance] = digest
                            del self.unanswered[instance.sop_instance]
            except (OSError, AbortedError, RejectedError):
                # The receiver was killed: the next one takes over.
                self.stop.wait(0.05)

    def next(self) -> Part10:
        dataset = make_instance(StudyInstanceUID=self.study, PatientID=f"P{self.number}")
        return read_part10(to_bytes(dataset))


def data_set_digests(site: ReceiverSite) -> dict[str, str]:
    """Every row, its file re-read: whole, and what the row says that it is."""
    found = {}
    for row in site.images():
        raw = (site.store / row["storage_key"]).read_bytes()
        assert len(raw) == row["size_bytes"]
        assert hashlib.sha256(raw).hexdigest() == row["sha256"]
        found[row["sop_instance_uid"]] = hashlib.sha256(read_part10(raw).data).hexdigest()
    return found


@pytest.mark.slow
def test_killed_again_and_again_it_loses_nothing_that_it_answered(
    make_site: Callable[..., ReceiverSite],
) -> None:
    rng = random.Random(5)  # noqa: S311 - the same pauses every time
    site = make_site()
    senders = [Sender(site, number, generate_uid()) for number in range(3)]
    site.start()
    threads = [threading.Thread(target=sender.run) for sender in senders]
    for thread in threads:
        thread.start()
    try:
        for _ in range(4):
            before = sum(len(sender.answered) for sender in senders)
            site.eventually(
                lambda before=before: sum(len(s.answered) for s in senders) > before + 5, 30
            )
            time.sleep(rng.uniform(0.0, 0.4))
            site.kill()
            site.start()
    finally:
        for sender in senders:
            sender.stop.set()
        for thread in threads:
            thread.join(timeout=30)
    answered = {uid: digest for sender in senders for uid, digest in sender.answered.items()}
    assert len(answered) > 20
    found = data_set_digests(site)
    assert {uid: found.get(uid) for uid in answered} == answered

    # What was not answered is absent or whole; sent again it is there once.
    left = {uid: instance for sender in senders for uid, instance in sender.unanswered.items()}
    for uid in set(found) - set(answered):
        assert found[uid] == hashlib.sha256(left[uid].data).hexdigest()
    for uid, instance in left.items():
        with site.peer(OFFERED) as peer:
            assert peer.store(CT, uid, instance.data).status == 0
    assert set(data_set_digests(site)) == set(answered) | set(left)
    counted = {
        row["study_instance_uid"]: row["instance_count"]
        for row in site.rows("SELECT * FROM worklist_study")
    }
    assert counted == {
        sender.study: len(sender.answered) + len(sender.unanswered) for sender in senders
    }
    assert site.spooled_files() == []


@pytest.mark.slow
def test_what_a_killed_receiver_left_in_the_spool_is_swept(
    make_site: Callable[..., ReceiverSite],
) -> None:
    site = make_site()
    site.start()
    # Larger than what is kept in memory.
    instance = read_part10(to_bytes(make_instance(np.zeros((1024, 1024), np.uint16))))
    with site.peer(OFFERED) as peer:
        peer.send(fragment(1, 3, store_rq(CT, instance.sop_instance)))
        for start in range(0, 1200_000, 100_000):
            peer.send(fragment(1, 0, instance.data[start : start + 100_000]))
        (left,) = site.eventually(site.spooled_files)
        site.kill()
    assert left.exists()
    other = left.with_name("in-of-another-process.part")
    other.write_bytes(b"not the receiver's")
    site.start()
    assert site.spooled_files() == [other]
    other.unlink()
    assert site.images() == []


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["names", "content"])
def test_what_a_power_cut_takes_from_the_layout_was_answered_for(
    make_site: Callable[..., ReceiverSite], loss: str
) -> None:
    """Killed, and then the disk forgets what nobody had synced yet: the journal has it."""
    site = make_site({"JOURNAL_IDLE_S": 3600.0})
    site.start()
    site.eventually(site.ready_journals)
    sent = [read_part10(to_bytes(make_instance())) for _ in range(8)]
    with site.peer(OFFERED) as peer:
        for instance in sent:
            assert peer.store(CT, instance.sop_instance, instance.data).status == 0
    site.kill()
    for key in site.stored_files():
        path = site.store / key
        if loss == "names":
            path.unlink()
        else:
            path.write_bytes(bytes(path.stat().st_size))
    site.start()
    found = data_set_digests(site)
    assert found == {i.sop_instance: hashlib.sha256(i.data).hexdigest() for i in sent}
    assert f"Restored {len(sent)} files" in site.log()
    assert site.stop() == 0
    site.assert_consistent()


def calls_of(trace: Path) -> list[tuple[str, str, str]]:
    """Thread, system call and its arguments, in the order in which the calls began."""
    found = (_CALL.match(line) for line in trace.read_text(errors="replace").splitlines())
    return [(call["tid"], call["call"], call["arguments"]) for call in found if call]


_CALL = re.compile(r"^(?P<tid>\d+) +(?P<call>\w+)\((?P<arguments>.*)")


_TRACED = (
    "fdatasync,fsync,syncfs,link,linkat,openat,rename,renameat,renameat2,"
    "pwrite64,pwritev2,sendto,sendmsg,write,setsockopt"
)


def traced(make_site: Callable[..., ReceiverSite], trace: Path) -> ReceiverSite:
    """A receiver whose system calls are noted, with its journal ready."""
    site = make_site(
        wrapper=["strace", "-f", "-y", "-s", "16", "-e", f"trace={_TRACED}", "-o", trace]
    )
    site.start()
    # Its generation is written when all of it is made.
    site.eventually(lambda: "NPsegmt1" in trace.read_text(errors="replace"))
    return site


@pytest.mark.slow
@pytest.mark.parametrize("rows", [64, 512, 1024], ids=["small", "CT", "large"])
def test_everything_is_on_disk_before_the_answer(
    make_site: Callable[..., ReceiverSite], tmp_path: Path, rows: int
) -> None:
    """The order of GUARANTEES 2, as the kernel saw it.

    What fits goes through the journal, whose one sync stands for the file's data, its name and its
    folders; what is larger is a file from the beginning.
    """
    trace = tmp_path / "trace"
    site = traced(make_site, trace)
    pixels = np.zeros((rows, rows), np.uint16)
    instance = read_part10(to_bytes(make_instance(pixels)))
    with site.peer(OFFERED) as peer:
        assert peer.store(CT, instance.sop_instance, instance.data).status == 0
    site.stop()

    (row,) = site.images()
    stored = site.store / row["storage_key"]
    events = calls_of(trace)

    def first(after: int, calls: set[str], words: str, tid: str | None = None) -> tuple[int, str]:
        for position in range(after + 1, len(events)):
            thread, call, arguments = events[position]
            if call in calls and words in arguments and tid in (None, thread):
                return position, thread
        pytest.fail(f"No {calls} with {words} after event {after}")

    if rows < 1024:
        journal = str(site.store / "spool" / "journal-")
        written, _ = first(-1, {"pwritev2"}, journal)
        made, _ = first(written, {"openat"}, f'{stored}", O_WRONLY|O_CREAT|O_EXCL')
        folders, _ = first(made, {"fdatasync"}, journal)
    else:
        folders = synced_as_a_file(first, site, stored)
    written, writer = first(folders, {"pwrite64"}, "noctis.sqlite3-wal")
    committed, _ = first(written, {"fdatasync", "fsync"}, "noctis.sqlite3-wal", writer)
    # P-DATA-TF of the response; the answer to the association request came long before.
    sent, _ = first(folders, {"sendto", "sendmsg", "write"}, '"\\4\\0')
    assert folders < written < committed < sent
    if rows < 1024:
        # The journal may forget it only when the file system has it.
        kept, _ = first(sent, {"syncfs"}, f"{site.store}>")
        first(kept, {"pwrite64"}, journal)
    assert not any(
        call.startswith("rename") and str(stored) in arguments for _, call, arguments in events
    )
    # One write for the answer, not held back by Nagle, and what came was acknowledged at once.
    answers = [e for e in events if e[1] in {"sendto", "sendmsg", "write"} and '"\\4\\0' in e[2]]
    assert len(answers) == 1
    first(-1, {"setsockopt"}, "TCP_NODELAY, [1]")
    first(-1, {"setsockopt"}, "TCP_QUICKACK, [1]")


def synced_as_a_file(
    first: Callable[..., tuple[int, str]], site: ReceiverSite, stored: Path
) -> int:
    """Check the order of a file's data, name and folders; returns when the last of them began."""
    spool = str(site.store / "spool" / "dimse-")
    synced, worker = first(-1, {"fdatasync", "fsync"}, spool)
    linked, _ = first(synced, {"link", "linkat"}, str(stored), worker)
    folders, _ = first(linked, {"fsync"}, f"{stored.parent}>", worker)
    for parent in (stored.parent.parent, site.store):  # both folders were new
        position, _ = first(linked, {"fsync"}, f"{parent}>", worker)
        folders = max(folders, position)
    return folders


@pytest.mark.slow
def test_who_shares_a_commit_is_answered_after_it(
    make_site: Callable[..., ReceiverSite], tmp_path: Path
) -> None:
    """Each of 80 instances from four senders is in the journal, then committed, then answered."""
    trace = tmp_path / "trace"
    site = traced(make_site, trace)
    study = generate_uid()

    def send(number: int) -> None:
        with site.peer(OFFERED, calling=f"CT_{number}", timeout_s=30) as peer:
            for _ in range(20):
                instance = read_part10(to_bytes(make_instance(StudyInstanceUID=study)))
                assert peer.store(CT, instance.sop_instance, instance.data).status == 0

    with ThreadPoolExecutor(4) as executor:
        for future in [executor.submit(send, number) for number in range(4)]:
            future.result()
    site.stop()

    events = calls_of(trace)
    syncs = [
        at
        for at, (_, call, arguments) in enumerate(events)
        if call in {"fdatasync", "fsync"} and "noctis.sqlite3-wal" in arguments
    ]
    writes = [
        at
        for at, (_, call, arguments) in enumerate(events)
        if call == "pwrite64" and "noctis.sqlite3-wal" in arguments
    ]
    journal_syncs = [
        at
        for at, (_, call, arguments) in enumerate(events)
        if call == "fdatasync" and "journal-" in arguments
    ]
    answered = 0
    for at, (thread, call, _) in enumerate(events):
        if call != "pwritev2":
            continue
        later = [(n, e) for n, e in enumerate(events[at + 1 :], at + 1) if e[0] == thread]
        synced = next(n for n in journal_syncs if n > at)
        answer = next(n for n, e in later if e[1] in {"sendto", "sendmsg"} and '"\\4\\0' in e[2])
        # Its rows were written after it was in the journal, and synced before its answer.
        assert any(synced < n < answer for n in writes)
        assert any(synced < n < answer for n in syncs)
        answered += 1
    assert answered >= 80
    (row,) = site.rows("SELECT instance_count FROM worklist_study")
    assert row["instance_count"] == 80
