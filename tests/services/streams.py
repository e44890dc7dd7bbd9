"""Senders that go on whatever happens, and write down what they were answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pydicom.uid import generate_uid

from tests.dicom import make_instance, to_bytes
from tests.pdu import CT, EXPLICIT_LE, AbortedError, RawPeer, RejectedError, read_part10
from tests.siege import Ledger

# What a sender waits for any answer (GUARANTEES: 10 s); longer counts as none.
LONGEST_S = 10.0


@dataclass
class Stream:
    """Associations that send one small instance after the other, until they are told to stop.

    Attributes
    ----------
    statuses : of every answer, in the order of coming
    rejections : result, source and reason of associations that were refused
    troubles : what no sender should meet: silence, aborts
    """

    port: int
    calling: str
    senders: int = 2
    ledger: Ledger = field(default_factory=Ledger)
    statuses: list[int] = field(default_factory=list)
    rejections: list[tuple[int, int, int]] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Stream:
        self._threads = [threading.Thread(target=self._run) for _ in range(self.senders)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=3 * LONGEST_S)
            assert not thread.is_alive()

    def _run(self) -> None:
        study = generate_uid()
        while not self._stopping.is_set():
            try:
                with RawPeer(
                    self.port,
                    [(CT, [EXPLICIT_LE])],
                    calling=self.calling,
                    timeout_s=LONGEST_S,
                ) as peer:
                    while not self._stopping.is_set():
                        self._send(peer, study)
            except RejectedError as error:
                self.rejections.append((error.result, error.source, error.reason))
                self._stopping.wait(0.2)
            except (OSError, AbortedError) as error:
                self.troubles.append(f"{type(error).__name__}: {error}")
                self._stopping.wait(0.2)

    def _send(self, peer: RawPeer, study: str) -> None:
        instance = read_part10(to_bytes(make_instance(StudyInstanceUID=study)))
        self.ledger.note_sent(instance.sop_instance, instance.data)
        answer = peer.store(CT, instance.sop_instance, instance.data)
        if answer.status == 0:
            self.ledger.note_answered(instance.sop_instance)
        else:
            # As equipment does: what was put off is not sent again in the same moment.
            self._stopping.wait(0.1)
        self.statuses.append(answer.status)

    def wait_for(self, count: int, is_wanted: Callable[[int], bool], timeout_s: float) -> None:
        """Wait for so many more answers of a kind."""
        start = len(self.statuses)
        deadline = time.monotonic() + timeout_s
        while sum(map(is_wanted, self.statuses[start:])) < count:
            late = [f"{status:#06x}" for status in self.statuses[start:]]
            assert time.monotonic() < deadline, (late, self.rejections, self.troubles)
            time.sleep(0.02)


def is_success(status: int) -> bool:
    return status == 0


def is_put_off(status: int) -> bool:
    """Whether the sender is to try again: out of resources (PS3.4 table B.2-1)."""
    return status & 0xFF00 == 0xA700
