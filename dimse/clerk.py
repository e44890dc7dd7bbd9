"""Notes about callers, written to the database by one thread at its own pace.

An association must not wait for a note, and thousands of calls a minute must not become thousands
of transactions. Notes of the same caller are merged; strangers who knock under ever new names are
bounded.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

from django.db import Error as DatabaseError
from django.db import connections
from django.utils import timezone

from archive import callers, facilities
from archive.callers import Sighting

logger = logging.getLogger(__name__)

PACE_S = 0.5
# Kept while the database is away, and between two writes; more are only in the log.
MOST_SIGHTINGS = 1000
MOST_KNOCKS = 100
# A stranger may fill the list by calling under many names: this many new ones an hour.
MOST_NEW_KNOCKS = 500
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class KnockNote:
    """A refused caller; see `archive.models.Knock`."""

    calling_ae_title: str
    called_ae_title: str
    address: str
    reason_code: str
    reason: str
    proposed: tuple[str, ...]
    implementation: str
    certificate: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What makes two knocks the same."""
        return (self.calling_ae_title, self.called_ae_title, self.address, self.reason_code)


class Clerk:
    """Takes notes from any thread; `start` and `stop` belong to the receiver."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._sightings: dict[str, Sighting] = {}
        self._knocks: OrderedDict[tuple[str, str, str, str], KnockNote] = OrderedDict()
        self._known_knocks: set[tuple[str, str, str, str]] = set()
        self._hour_began = 0.0
        self._thread = threading.Thread(target=self._run, name="dimse-clerk", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is left and end."""
        self._stopping.set()
        self._news.set()
        self._thread.join(timeout=15)

    def note_association(
        self, ae_title: str, facility_id: UUID, address: str, certificate: str = ""
    ) -> None:
        """Note that a known caller was admitted, and the fingerprint of what it presented."""
        now = timezone.now()
        self._see(
            ae_title,
            facility_id,
            address,
            lambda s: replace(s, associated_at=now, certificate=certificate),
        )

    def note_echo(self, ae_title: str, facility_id: UUID, address: str) -> None:
        """Note that a known caller sent an echo."""
        now = timezone.now()
        self._see(ae_title, facility_id, address, lambda s: replace(s, echoed_at=now))

    def note_stored(self, ae_title: str, facility_id: UUID, address: str) -> None:
        """Note that a known caller's instance was stored."""
        now = timezone.now()
        self._see(ae_title, facility_id, address, lambda s: replace(s, stored_at=now))

    def note_trouble(self, ae_title: str, facility_id: UUID, address: str, sentence: str) -> None:
        """Note what went wrong with a known caller."""
        now = timezone.now()
        self._see(
            ae_title, facility_id, address, lambda s: replace(s, error=sentence, error_at=now)
        )

    def note_knock(self, knock: KnockNote) -> None:
        """Note that a caller was refused."""
        now = timezone.now().timestamp()
        with self._lock:
            if now - self._hour_began > _HOUR_S:
                self._known_knocks.clear()
                self._hour_began = now
            is_known = knock.key in self._known_knocks
            if not is_known and len(self._known_knocks) >= MOST_NEW_KNOCKS:
                return
            if knock.key not in self._knocks and len(self._knocks) >= MOST_KNOCKS:
                return
            self._known_knocks.add(knock.key)
            self._knocks[knock.key] = knock
        self._news.set()

    def _see(
        self,
        ae_title: str,
        facility_id: UUID,
        address: str,
        change: Callable[[Sighting], Sighting],
    ) -> None:
        with self._lock:
            sighting = self._sightings.get(ae_title)
            if sighting is None or sighting.facility_id != facility_id:
                if len(self._sightings) >= MOST_SIGHTINGS:
                    return
                sighting = Sighting(ae_title=ae_title, facility_id=facility_id, address=address)
            self._sightings[ae_title] = replace(change(sighting), address=address)
        self._news.set()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._news.wait()
                self._news.clear()
                self._write()
                self._stopping.wait(PACE_S)
            self._write()
        finally:
            connections.close_all()

    def _write(self) -> None:
        with self._lock:
            sightings, self._sightings = self._sightings, {}
            knocks, self._knocks = self._knocks, OrderedDict()
        if sightings:
            self._attempt(partial(callers.record, sightings.values()))
        for knock in knocks.values():
            self._attempt(partial(_remember, knock))

    def _attempt(self, write: Callable[[], None]) -> None:
        try:
            write()
        except DatabaseError:
            # Notes are a convenience; the associations go on, and the log has every one of them.
            logger.warning("The database takes no notes about callers now", exc_info=True)
            connections.close_all()


def _remember(knock: KnockNote) -> None:
    facilities.remember_knock(
        calling_ae_title=knock.calling_ae_title,
        called_ae_title=knock.called_ae_title,
        address=knock.address,
        reason_code=knock.reason_code,
        reason=knock.reason,
        proposed=knock.proposed,
        implementation=knock.implementation,
        certificate=knock.certificate,
    )
