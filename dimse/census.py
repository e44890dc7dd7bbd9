"""How many may be here at once: caps per AE title and address, and a reserve for the others.

Above a cap the caller that has done nothing for longest makes room; when all of them work, the
newcomer is put off (never kept waiting). Connections that have not said who they are do not count:
the oldest of them goes when there are too many.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

# A caller that has completed no PDU for this long may lose its place to a newcomer.
STALE_S = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """The most associations at once.

    Attributes
    ----------
    total : of all callers
    reserve : the last places of `total`, for AE titles that have no association yet
    per_address, per_ae_title : of one caller
    pending : connections without a complete association request
    """

    total: int
    reserve: int
    per_address: int
    per_ae_title: int
    pending: int


@dataclass(eq=False, slots=True)
class Guest:
    """A place that is taken.

    Attributes
    ----------
    evict : takes its place away: says why and ends its association at once; must not block
    close : ends its association at once; must not block
    last_progress : monotonic seconds of its last complete PDU or our last answer
    is_served : a request of its is being worked on: it is not idle however long that takes
    """

    address: str
    ae_title: str
    evict: Callable[[], None]
    close: Callable[[], None]
    last_progress: float = field(default_factory=time.monotonic)
    is_served: bool = False

    def touch(self) -> None:
        """Note that the guest did something."""
        self.last_progress = time.monotonic()


class Census:
    """Counts guests and connections; every method may be called from any thread."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._guests: set[Guest] = set()
        self._pending: dict[object, Callable[[], None]] = {}

    @property
    def guests(self) -> list[Guest]:
        """Return everybody who is here."""
        with self._lock:
            return list(self._guests)

    def enter(self, guest: Guest) -> str:
        """Give `guest` a place; returns an empty string, or why there is none for now."""
        evicted: list[Guest] = []
        with self._lock:
            while full := self._full(guest):
                sentence, rivals = full
                stale = self._stalest(rivals)
                if stale is None:
                    break
                self._guests.discard(stale)
                evicted.append(stale)
            else:
                self._guests.add(guest)
                sentence = ""
        for other in evicted:
            other.evict()
        return sentence

    def leave(self, guest: Guest) -> None:
        """Take back its place; harmless when it was evicted before."""
        with self._lock:
            self._guests.discard(guest)

    def wait(self, connection: object, drop: Callable[[], None]) -> None:
        """Count a connection that has not said who it is; above the cap the oldest is dropped.

        Parameters
        ----------
        connection : names it until `settle`
        drop : ends it; must not block
        """
        oldest: Callable[[], None] | None = None
        with self._lock:
            if len(self._pending) >= self.limits.pending:
                oldest = self._pending.pop(next(iter(self._pending)))
            self._pending[connection] = drop
        if oldest is not None:
            oldest()

    def settle(self, connection: object) -> None:
        """Stop counting a connection that has said who it is, or is gone."""
        with self._lock:
            self._pending.pop(connection, None)

    def _full(self, guest: Guest) -> tuple[str, list[Guest]] | None:
        """Say which cap stands against `guest`, and who could make room."""
        same_title = [other for other in self._guests if other.ae_title == guest.ae_title]
        if len(same_title) >= self.limits.per_ae_title:
            return (f"{guest.ae_title} has {len(same_title)} associations already.", same_title)
        same_address = [other for other in self._guests if other.address == guest.address]
        if len(same_address) >= self.limits.per_address:
            return (f"{guest.address} has {len(same_address)} associations already.", same_address)
        total = self.limits.total - (self.limits.reserve if same_title else 0)
        if len(self._guests) >= total:
            return ("As many associations as this receiver takes are open.", list(self._guests))
        return None

    def _stalest(self, rivals: list[Guest]) -> Guest | None:
        before = time.monotonic() - STALE_S
        stale = [other for other in rivals if not other.is_served and other.last_progress < before]
        return min(stale, key=lambda other: other.last_progress, default=None)
