"""One admitted association: whose it is, and what it did."""

from __future__ import annotations

import itertools
import logging
import math
import os
import time
from dataclasses import dataclass, field

from archive import correlation
from dimse.clerk import Clerk
from dimse.status import Answer
from worklist.models import Facility

logger = logging.getLogger(__name__)

_numbers = itertools.count(1)
_NOTE_EVERY_S = 0.5


@dataclass(slots=True)
class Visit:
    """An association after its admission, in plain values.

    Attributes
    ----------
    facility : whose equipment calls; everything that it sends becomes this facility's
    ae_title, address : of the caller
    clerk : takes notes for the facility's page, away from the association's thread
    username : who operates it, where its facility asks for that
    certificate : SHA-256 fingerprint of what it presented, where it did
    name : tells its lines in the log from others', as `CT1@10.0.0.7#4711-12`
    """

    facility: Facility
    ae_title: str
    address: str
    clerk: Clerk
    username: str = ""
    certificate: str = ""
    name: str = ""
    stored: int = 0
    refused: int = 0
    _began: float = field(default_factory=time.monotonic)
    _noted: int = 0
    _noted_at: float = -math.inf

    def __post_init__(self) -> None:
        self.name = f"{self.ae_title}@{self.address}#{os.getpid()}-{next(_numbers)}"

    def __str__(self) -> str:
        return self.name

    def note_association(self) -> None:
        """Note that the association stands."""
        correlation.begin_association(self.name)
        operated = f", operated by {self.username!r}" if self.username else ""
        logger.info("%s Association for %s%s", self, self.facility.code, operated)
        self.clerk.note_association(self.ae_title, self.facility.pk, self.address, self.certificate)

    def note_echo(self) -> None:
        """Note that an echo was answered."""
        self.clerk.note_echo(self.ae_title, self.facility.pk, self.address)

    def note_stored(self) -> None:
        """Note that an instance is safe."""
        self.stored += 1
        now = time.monotonic()
        # Hundreds a second; the page shows when the last one came.
        if now - self._noted_at >= _NOTE_EVERY_S:
            self._noted_at = now
            self._noted = self.stored
            self.clerk.note_stored(self.ae_title, self.facility.pk, self.address)

    def note_refused(self, answer: Answer, sop_instance_uid: str) -> None:
        """Note that an instance was not taken as sent."""
        self.refused += 1
        logger.warning(
            "%s Answered 0x%04X to %s: %s", self, answer.status, sop_instance_uid, answer.sentence
        )
        self.note_trouble(answer.sentence)

    def note_trouble(self, sentence: str) -> None:
        """Note what went wrong, for the facility's page."""
        self.clerk.note_trouble(self.ae_title, self.facility.pk, self.address, sentence)

    def note_end(self, how: str) -> None:
        """Note that the association is over."""
        if self._noted < self.stored:
            self.clerk.note_stored(self.ae_title, self.facility.pk, self.address)
        logger.info(
            "%s %s after %.1f s: %d stored, %d refused",
            self,
            how,
            time.monotonic() - self._began,
            self.stored,
            self.refused,
        )
