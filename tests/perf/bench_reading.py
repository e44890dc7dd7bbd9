"""Queries and retrieval, measured: `make bench-reading`. One JSON object a line.

    python -m tests.perf.bench_reading [--studies 2000] [--asked 200] [-n 200] [--rounds 5]

Ours and, where it is installed, Orthanc (`apt-get install orthanc`) hold the same instances and are
asked by turns, query after query, so that whatever else the machine does meets both; only the ratio
of the medians travels. The peer acknowledges at once, which hides Orthanc's wait of 40 ms for a
delayed acknowledgement.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import sys
import time
from collections.abc import Mapping, Sequence

from pydicom.uid import generate_uid

from tests.dicom import make_instance, to_bytes
from tests.pdu import (
    CT,
    EXPLICIT_LE,
    IMPLICIT_LE,
    associate_rq,
    command,
    fragment,
    read_part10,
    uid_bytes,
    us,
)
from tests.perf import senders, targets
from tests.perf.senders import Instance, QuickPeer, median
from tests.perf.targets import Orthanc, Ours, Target

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
_RETURNED = (
    0x00080020, 0x00080030, 0x00080050, 0x00080052, 0x00080061, 0x00081030, 0x00100010, 0x00100020,
    0x00100030, 0x0020000D,
)  # fmt: skip
_PENDING = {0xFF00, 0xFF01}


def say(**facts: object) -> None:
    """Write one line of results."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def identifier(keys: Mapping[int, str], returned: Sequence[int] = ()) -> bytes:
    """Return a study level identifier, implicit VR little endian."""
    found = b""
    for tag in sorted({0x00080052, *returned, *keys}):
        text = "STUDY" if tag == 0x00080052 else keys.get(tag, "")
        value = text.encode() + (
            b"" if len(text) % 2 == 0 else b"\0" if tag >> 16 == 0x20 else b" "
        )
        found += struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value
    return found


class Reader(QuickPeer):
    """Asks and fetches, and reads no more of the answers than their ends."""

    def __init__(self, target: Target) -> None:
        offered = [(FIND, [IMPLICIT_LE]), (GET, [IMPLICIT_LE]), (CT, [EXPLICIT_LE])]
        request = associate_rq("CT_NORTH", target.called, offered, most=131072, roles=[(CT, 0, 1)])
        super().__init__(target.port, offered, request=request, timeout_s=120)

    def ask(self, sop_class: str, field: int, keys: Mapping[int, str]) -> int:
        """Send a request and read until its last answer; returns how many came before it."""
        context = self.context_of(sop_class)
        asked = command(
            (0x0002, uid_bytes(sop_class)),
            (0x0100, us(field)),
            (0x0110, us(7)),
            (0x0700, us(0)),
            (0x0800, us(1)),
        )
        data = identifier(keys, _RETURNED if sop_class == FIND else ())
        self.send(fragment(context, 3, asked) + fragment(context, 2, data))
        count = 0
        while True:
            told, data_context = self._message()
            if told[0x0100] == us(0x0001):
                count += 1
                answer = command(
                    (0x0002, told[0x0002]),
                    (0x0100, us(0x8001)),
                    (0x0120, told[0x0110]),
                    (0x0800, us(0x0101)),
                    (0x0900, us(0)),
                    (0x1000, told[0x1000]),
                )
                self.send(fragment(data_context, 3, answer))
                continue
            status = int.from_bytes(told[0x0900], "little")
            if status not in _PENDING:
                assert status == 0, f"0x{status:04X}"
                return count
            count += sop_class == FIND

    def _message(self) -> tuple[dict[int, bytes], int]:
        """Read one message; returns its command set and context."""
        told: dict[int, bytes] = {}
        while True:
            _, body = self.receive()
            offset = 0
            while offset < len(body):
                length, context, control = struct.unpack_from(">IBB", body, offset)
                if control & 1:
                    told = _elements(body[offset + 6 : offset + 4 + length])
                offset += 4 + length
                if control & 2 and (not control & 1 or told[0x0800] == us(0x0101)):
                    return told, context


def _elements(raw: bytes) -> dict[int, bytes]:
    found, offset = {}, 0
    while offset < len(raw):
        _, number, length = struct.unpack_from("<HHI", raw, offset)
        found[number] = raw[offset + 8 : offset + 8 + length]
        offset += 8 + length
    return found


def studies(count: int) -> list[Instance]:
    """Make instances of 1 KB, each a study of its own, two a patient."""
    found = []
    for number in range(count):
        study = generate_uid()
        raw = to_bytes(
            make_instance(
                StudyInstanceUID=study,
                PatientID=f"P{number // 2:07}",
                PatientName=f"Name{number // 20}^A",
                AccessionNumber=f"A{number:08}",
                StudyDate=f"2025{number % 12 + 1:02}{number % 28 + 1:02}",
            )
        )
        found.append(Instance(raw, read_part10(raw), study))
    return found


def measure(name: str, runs: Mapping[str, Sequence[float]], **facts: object) -> None:
    """Say what the turns of each target took, and the ratio to the first."""
    for target, seconds in runs.items():
        say(
            what=name,
            target=target,
            median_ms=round(median(seconds) * 1000, 3),
            least_ms=round(min(seconds) * 1000, 3),
            load=round(os.getloadavg()[0], 1),
            **facts,
        )
    ours, *others = runs
    for other in others:
        say(
            what=name,
            ratio=f"{other} / {ours}",
            rate=round(median(runs[other]) / median(runs[ours]), 2),
        )


def by_turns(
    compared: Sequence[Target], times: int, field: int, sop_class: str, keys: Mapping[int, str]
) -> tuple[dict[str, list[float]], int]:
    """Ask each target the same by turns, each on one association."""
    readers = {target.name: Reader(target) for target in compared}
    runs: dict[str, list[float]] = {name: [] for name in readers}
    counts = {reader.ask(sop_class, field, keys) for reader in readers.values()}
    assert len(counts) == 1, counts
    for _ in range(times):
        for name, reader in readers.items():
            began = time.perf_counter()
            reader.ask(sop_class, field, keys)
            runs[name].append(time.perf_counter() - began)
    for reader in readers.values():
        reader.release()
    return runs, counts.pop()


def main() -> None:
    """Start what is compared, fill it, measure, end it."""
    parser = argparse.ArgumentParser(description="Measure queries and retrieval.")
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--asked", type=int, default=200, help="times that each query is asked")
    parser.add_argument("-n", type=int, default=200, help="instances of the study fetched")
    parser.add_argument("--rounds", type=int, default=5)
    wanted = parser.parse_args()
    compared: list[Target] = [Ours()]
    try:
        if targets.has_orthanc():
            compared.append(Orthanc())
        else:
            say(note="Orthanc is not installed: our own figures alone.")
        small, large = studies(wanted.studies), senders.corpus("ct", wanted.n)
        for target in compared:
            for instances in (small, large):
                run = senders.send_raw(target.port, target.called, ["CT_NORTH"], instances)
                assert run.refused == 0
        queries = {
            "accession number": {0x00080050: "A00000050"},
            "Patient ID": {0x00100020: "P0000023"},
            "Study Instance UID": {0x0020000D: small[7].study},
            "no match": {0x00100020: "NOSUCH"},
            "name, beginning": {0x00100010: "NAME7*"},
            "one day": {0x00080020: "20250101"},
        }
        for name, keys in queries.items():
            runs, count = by_turns(compared, wanted.asked, 0x0020, FIND, keys)
            measure(f"C-FIND {name}", runs, studies=wanted.studies, matches=count)
        key = {0x0020000D: large[0].study}
        runs, count = by_turns(compared, wanted.rounds, 0x0010, GET, key)
        measure("C-GET", runs, instances=count)
    finally:
        for target in compared:
            target.stop()


if __name__ == "__main__":
    main()
