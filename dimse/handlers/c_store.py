"""C-STORE: a data set comes in, one answer goes out (PS3.4 annex B, PS3.7 9.1.1)."""

from __future__ import annotations

import logging

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connections

from archive import errors, ingest
from archive.ingest import Provenance
from archive.spool import Spooled
from dimse import commands, status
from dimse.commands import CommandSet
from dimse.status import Answer
from dimse.stream import DataSetStream
from dimse.visit import Visit
from imaging.header import part10_header
from imaging.uid import is_valid_uid

logger = logging.getLogger(__name__)


class EndlessError(Exception):
    """The sender goes on far beyond the limit; only the end of the association stops it."""


class Reception:
    """One instance being received.

    However it goes wrong, the rest of the data set is still taken, so that the sender hears the
    reason in its response and keeps its association.

    Parameters
    ----------
    visit : the association
    command : its C-STORE-RQ
    abstract_syntax, transfer_syntax : of the accepted presentation context
    """

    def __init__(
        self, visit: Visit, command: CommandSet, *, abstract_syntax: str, transfer_syntax: str
    ) -> None:
        self.command = command
        self._visit = visit
        self._received_bytes = 0
        # A growing file, or why there is none.
        self._sink: DataSetStream | Answer = self._open(command, abstract_syntax, transfer_syntax)

    def _open(
        self, command: CommandSet, abstract_syntax: str, transfer_syntax: str
    ) -> DataSetStream | Answer:
        refused = _look_at(command, abstract_syntax)
        if refused is not None:
            return refused
        header = part10_header(
            sop_class_uid=command.sop_class_uid,
            sop_instance_uid=command.sop_instance_uid,
            transfer_syntax_uid=transfer_syntax,
        )
        try:
            return DataSetStream(header)
        except OSError as error:
            return self._disk_refuses(error)

    def write(self, fragment: bytes | memoryview) -> None:
        """Take the next fragment of the data set.

        Raises
        ------
        EndlessError
            When twice the limit has come and there is no end.
        """
        self._received_bytes += len(fragment)
        limit: int = settings.MAX_INSTANCE_BYTES
        if self._received_bytes > 2 * limit:
            raise EndlessError(f"More than {2 * limit} bytes in one data set.")
        if isinstance(self._sink, Answer):
            return
        if self._received_bytes > limit:
            self._refuse(
                status.refusal(
                    status.OUT_OF_RESOURCES, f"Larger than {limit} bytes, the most taken here."
                )
            )
            return
        try:
            self._sink.write(fragment)
        except OSError as error:
            self._refuse(self._disk_refuses(error))

    def finish(self) -> bytes:
        """Store what was received and return the C-STORE-RSP; success only after the commit."""
        return commands.response(self.command, self._finish(), {})

    def _finish(self) -> Answer:
        if isinstance(self._sink, DataSetStream):
            try:
                return self._store(self._sink)
            finally:
                self.discard()
        self._visit.note_refused(self._sink, self.command.sop_instance_uid)
        return self._sink

    def _store(self, received: DataSetStream) -> Answer:
        try:
            spooled = received.finish()
        except OSError as error:
            answer = self._disk_refuses(error)
            self._visit.note_refused(answer, self.command.sop_instance_uid)
            return answer
        return handle(spooled, self._visit, self.command)

    def discard(self) -> None:
        """Forget the spool file; harmless after `finish`."""
        if isinstance(self._sink, DataSetStream):
            self._sink.discard()

    def _refuse(self, answer: Answer) -> None:
        self.discard()
        self._sink = answer

    def _disk_refuses(self, error: OSError) -> Answer:
        logger.error("%s The spool takes nothing: %s", self._visit, error)
        return status.refusal(
            status.OUT_OF_RESOURCES, "The archive's disk takes nothing now. Send again later."
        )


def _look_at(command: CommandSet, abstract_syntax: str) -> Answer | None:
    """Refuse what the command alone shows to be wrong, before a byte is kept."""
    for what, uid in (
        ("SOP Class UID", command.sop_class_uid),
        ("SOP Instance UID", command.sop_instance_uid),
    ):
        if not is_valid_uid(uid):
            return status.refusal(status.MISMATCH, f"The {what} is no lawful UID (PS3.5 9.1).")
    if command.sop_class_uid != abstract_syntax:
        return status.refusal(
            status.SOP_CLASS_NOT_SUPPORTED, "The SOP Class is not that of the context."
        )
    return None


def handle(spooled: Spooled, visit: Visit, command: CommandSet) -> Answer:
    """Store one received instance.

    Parameters
    ----------
    spooled : the data set under our Part 10 header; it stays its owner's to remove
    visit : whose it is
    command : what the sender said that it is

    Returns
    -------
    Answer
        Success only after the database commit; see `dimse.status` for the rest.
    """
    provenance = Provenance(
        facility=visit.facility,
        source=f"{visit.ae_title} at {visit.address}",
        source_ae_title=visit.ae_title,
        expected_sop_class_uid=command.sop_class_uid,
        expected_sop_instance_uid=command.sop_instance_uid,
    )
    try:
        result = ingest.ingest_instance(spooled, provenance)
    except errors.ArchiveError as error:
        answer = status.of_error(error)
        if isinstance(error, errors.TransientError):
            # An association lives long: a connection that broke must not fail all that follows.
            connections.close_all()
    except DatabaseError:
        logger.exception("%s The database failed on %s", visit, command.sop_instance_uid)
        connections.close_all()
        answer = status.refusal(
            status.OUT_OF_RESOURCES, "The archive's database takes nothing now. Send again later."
        )
    except Exception:
        # The edge of the handler: whatever it was, the sender must not hear of success.
        logger.exception("%s Storing %s failed", visit, command.sop_instance_uid)
        answer = status.refusal(status.FAILED, "The archive failed on this instance; see its log.")
    else:
        answer = status.of_outcome(result.outcome)
    if answer.is_success:
        visit.note_stored()
    else:
        visit.note_refused(answer, command.sop_instance_uid)
    return answer
