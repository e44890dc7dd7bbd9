"""Figures that processes count for monitoring; `/metrics` adds them up over all of a machine.

Each process counts in memory and leaves its counts in a file of its own below `METERS_DIR` every
few seconds. prometheus_client's own way for several processes maps files into memory: on a full
disk a write there ends the process by SIGBUS, and reading must go on then.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import Metric

_LEAVE_EVERY_S = 5.0
# Counts of processes that ended go on counting, so that no sum falls; after this they are old.
_KEPT_S = 30 * 24 * 3600
_BEGAN = int(time.time())

_registry = CollectorRegistry()
FRAMES_ASKED = Counter(
    "noctis_frame_cache_requests",
    "Frames that were asked for, by the cache and by where they were found.",
    ["cache", "found"],
    registry=_registry,
)
FRAMES_MADE = Histogram(
    "noctis_frame_seconds",
    "What it took to make a frame that was in no cache, by the cache it is made for.",
    ["cache"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=_registry,
)
INGESTED = Counter(
    "noctis_ingest",
    "Instances that came, by facility and outcome; 'put_off' are sent again later.",
    ["facility", "outcome"],
    registry=_registry,
)
INGESTED_BYTES = Counter(
    "noctis_ingest_bytes", "Bytes of instances that were stored.", ["facility"], registry=_registry
)
INGEST_SECONDS = Histogram(
    "noctis_ingest_seconds",
    "What it took to store an instance, or to find out that it cannot be.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=_registry,
)

_Sample = tuple[str, tuple[tuple[str, str], ...]]
_lock = threading.Lock()
_writer_of = 0
_pause = threading.Event()


_left = ""


def leave() -> None:
    """Leave what this process has counted where `/metrics` looks; a full disk is no error."""
    global _left  # noqa: PLW0603
    content = json.dumps(
        [
            [s.name, sorted(s.labels.items()), s.value]
            for m in _registry.collect()
            for s in m.samples
        ]
    )
    if content == _left:
        return
    with contextlib.suppress(OSError):
        settings.METERS_DIR.mkdir(parents=True, exist_ok=True)
        beside = settings.METERS_DIR / f".{os.getpid()}"
        beside.write_text(content, "utf-8")
        beside.rename(settings.METERS_DIR / f"{os.getpid()}-{_BEGAN}.json")
        _left = content


def count_ingest(facility: str, outcome: str, size_bytes: int, seconds: float) -> None:
    """Count an instance that came."""
    start()
    INGESTED.labels(facility, outcome).inc()
    INGEST_SECONDS.observe(seconds)
    if outcome == "stored":
        INGESTED_BYTES.labels(facility).inc(size_bytes)


def start() -> None:
    """Leave the counts of this process every few seconds, as long as it lives; once is enough."""
    global _writer_of  # noqa: PLW0603
    if _writer_of == os.getpid():
        return
    with _lock:
        if _writer_of == os.getpid():
            return
        _writer_of = os.getpid()
    threading.Thread(target=_leave_again, name="meters", daemon=True).start()


def _leave_again() -> None:
    while not _pause.wait(_LEAVE_EVERY_S):
        leave()


class _Everybody:
    """All processes' counts as one."""

    def collect(self) -> Iterator[Metric]:
        sums: dict[_Sample, float] = defaultdict(float)
        for path in Path(settings.METERS_DIR).glob("*.json"):
            with contextlib.suppress(OSError, ValueError):
                if path.stat().st_mtime < time.time() - _KEPT_S:
                    path.unlink()
                    continue
                for name, labels, value in json.loads(path.read_text("utf-8")):
                    sums[name, tuple(map(tuple, labels))] += value
        for own in _registry.collect():
            metric = Metric(own.name, own.documentation, own.type)
            names = {own.name + end for end in ("_total", "_bucket", "_count", "_sum")}
            for (name, labels), value in sums.items():
                if name in names:
                    metric.add_sample(name, dict(labels), value)
            yield metric


def text() -> str:
    """Return what all processes of this machine have counted, as Prometheus reads it."""
    leave()
    everybody = CollectorRegistry()
    everybody.register(_Everybody())
    return generate_latest(everybody).decode()
