"""Instances for benchmarks, and senders that cost next to nothing while the clock runs."""

from __future__ import annotations

import multiprocessing
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
from pydicom.uid import generate_uid

from tests.dicom import make_instance, to_bytes
from tests.pdu import CT, EXPLICIT_LE, Part10, RawPeer, fragment, read_part10, store_rq

# Rows and columns: a CT slice of 527 KB, and an image of 17 KB.
KINDS = {"ct": (512, 512), "small": (128, 64)}
SERIES = 4


@dataclass(frozen=True)
class Instance:
    """A Part 10 file and what is sent of it."""

    raw: bytes
    part10: Part10
    study: str = ""


@dataclass(frozen=True)
class Run:
    """What one sender after another measured."""

    seconds: float
    latencies_ms: list[float]
    refused: int

    def at(self, share: float) -> float:
        """Return the latency that this share of the answers did not exceed."""
        return sorted(self.latencies_ms)[int(share * (len(self.latencies_ms) - 1))]


def corpus(kind: str, count: int) -> list[Instance]:
    """Make `count` instances of one new study of four series."""
    rows, columns = KINDS[kind]
    noise = np.random.default_rng(7).normal(1000, 30, (rows, columns)).astype(np.uint16)
    study = generate_uid()
    templates = [
        make_instance(noise, StudyInstanceUID=study, SeriesNumber=number, PatientID=study[-12:])
        for number in range(SERIES)
    ]
    raws = [(ds.SOPInstanceUID.encode(), to_bytes(ds)) for ds in templates]
    found = []
    for number in range(count):
        uid, raw = raws[number * SERIES // count]
        # As long as the one that it replaces, and different in every instance.
        fresh = uid[:-6] + b"%06d" % number
        own = raw.replace(uid, fresh)
        found.append(Instance(own, read_part10(own), study))
    return found


class QuickPeer(RawPeer):
    """Acknowledges at once: a peer with Nagle on waits for that in the middle of its answer."""

    def _exactly(self, count: int) -> bytes:
        data = super()._exactly(count)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data


def _send(
    port: int,
    called: str,
    calling: str,
    instances: Sequence[Instance],
    barrier: Barrier,
    results: Queue[tuple[float, list[float], int]],
) -> None:
    with QuickPeer(port, [(CT, [EXPLICIT_LE])], calling=calling, called=called) as peer:
        step = min(peer.most or 131072, 131072) - 6
        messages = []
        for number, instance in enumerate(instances):
            data = instance.part10.data
            starts = range(0, len(data), step)
            parts = [
                fragment(1, 2 if start + step >= len(data) else 0, data[start : start + step])
                for start in starts
            ]
            head = fragment(1, 3, store_rq(CT, instance.part10.sop_instance, number % 60000 + 1))
            messages.append(b"".join([head, *parts]))
        barrier.wait()
        latencies, refused = [], 0
        for message in messages:
            began = time.perf_counter()
            peer.send(message)
            refused += peer.response().status != 0
            latencies.append((time.perf_counter() - began) * 1000)
        results.put((time.time(), latencies, refused))
        peer.release()


def send_raw(port: int, called: str, calling: Sequence[str], instances: Sequence[Instance]) -> Run:
    """Send over as many associations as there are calling titles, a process each.

    Everything is encoded before the clock starts.
    """
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(len(calling) + 1)
    results: Queue[tuple[float, list[float], int]] = context.Queue()
    senders = [
        context.Process(
            target=_send,
            args=(port, called, title, instances[at :: len(calling)], barrier, results),
        )
        for at, title in enumerate(calling)
    ]
    for sender in senders:
        sender.start()
    barrier.wait(timeout=60)
    began = time.time()
    found = [results.get(timeout=300) for _ in senders]
    for sender in senders:
        sender.join()
    return Run(
        max(ended for ended, _, _ in found) - began,
        [latency for _, latencies, _ in found for latency in latencies],
        sum(refused for _, _, refused in found),
    )


def _sent(line: bytes) -> bool:
    return b"Sending file" in line


def _answered(line: bytes) -> bool:
    return b"Received Store Response" in line


def _follow(sender: subprocess.Popen[bytes], moments: list[float], refusals: list[bytes]) -> None:
    """Note when each instance was begun and answered, in turn."""
    assert sender.stdout is not None
    for line in sender.stdout:
        if _sent(line) or _answered(line):
            moments.append(time.perf_counter())
        if _answered(line) and b"(Success)" not in line:
            refusals.append(line)


def send_storescu(
    port: int, called: str, calling: Sequence[str], instances: Sequence[Instance]
) -> Run:
    """Send with dcmtk's storescu as it comes, one process for each calling title.

    The clock runs from the first instance that is begun to the last that is answered: the start of
    the processes, which read every file's beginning before they call, is nobody's merit.
    """
    folder = Path(tempfile.mkdtemp(prefix="noctis-bench-"))
    try:
        for at in range(len(calling)):
            (folder / str(at)).mkdir()
            for number, instance in enumerate(instances[at :: len(calling)]):
                (folder / str(at) / f"{number:05}.dcm").write_bytes(instance.raw)
        command = ["storescu", "-v", "-aec", called, "+sd", "127.0.0.1", str(port)]
        senders = [
            subprocess.Popen(
                [*command, "-aet", title, str(at)],
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            for at, title in enumerate(calling)
        ]
        moments: list[list[float]] = [[] for _ in senders]
        refusals: list[bytes] = []
        followers = [
            threading.Thread(target=_follow, args=(sender, its, refusals))
            for sender, its in zip(senders, moments, strict=True)
        ]
        for follower in followers:
            follower.start()
        for follower, sender in zip(followers, senders, strict=True):
            follower.join()
            assert sender.wait() == 0, "storescu could not send everything."
        latencies = [
            (answered - begun) * 1000
            for its in moments
            for begun, answered in zip(its[::2], its[1::2], strict=True)
        ]
        assert len(latencies) == len(instances), "storescu did not send everything."
        seconds = max(its[-1] for its in moments) - min(its[0] for its in moments)
        return Run(seconds, latencies, len(refusals))
    finally:
        shutil.rmtree(folder)


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)
