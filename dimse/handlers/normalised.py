"""What the services with N- messages have in common: their data sets, and statuses for errors."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Sequence

from django.db import Error as DatabaseError
from django.db import connections
from pydicom.dataset import Dataset

from archive import database
from archive.access import Actor
from archive.errors import ArchiveError, NotFoundError
from dimse import commands, retrieves, status
from dimse.commands import CommandSet
from dimse.peer import Peer, PeerLostError, Request, answer
from imaging import identifier
from imaging.errors import InvalidQueryError

logger = logging.getLogger(__name__)

# PS3.7 annex C.
INVALID_VALUE = 0x0106
LIST_ERROR = 0x0107
FAILURE = 0x0110
DUPLICATE_INSTANCE = 0x0111
NO_SUCH_INSTANCE = 0x0112
NO_SUCH_EVENT = 0x0113
INVALID_ARGUMENT = 0x0115
VALUE_OUT_OF_RANGE = 0x0116
INVALID_INSTANCE = 0x0117
MISSING_ATTRIBUTE = 0x0120
MISSING_VALUE = 0x0121
NO_SUCH_ACTION = 0x0123
RESOURCE_LIMITATION = 0x0213

Refusal = Callable[[ArchiveError], tuple[int, dict[int, bytes]]]
Work = Callable[[Actor, Dataset], tuple[status.Answer, dict[int, bytes], Dataset | None]]

TRANSFER_SYNTAXES: Sequence[str] = retrieves.TRANSFER_SYNTAXES


def serve(
    peer: Peer,
    request: Request,
    refusal_of: Refusal,
    work: Work,
    *,
    dropped: list[int] | None = None,
) -> bool:
    """Read the data set, do the work, answer; returns whether the work was done.

    Parameters
    ----------
    refusal_of : status and further elements for an error of the archive
    work : returns the answer, further elements of its command and its data set
    dropped : takes the tags of elements that cannot be read, before the work; None: they refuse it
    """
    try:
        # They may list the instances of a study by the thousand.
        data_set = identifier.read(
            request.data_set,
            request.context.transfer_syntax,
            limits=identifier.LISTS,
            dropped=dropped,
        )
        with database.shared():
            outcome, fields, found = work(retrieves.actor_of(peer), data_set)
    except InvalidQueryError as error:
        return refuse(peer, request, FAILURE, str(error))
    except ArchiveError as error:
        code, fields = refusal_of(error)
        return refuse(peer, request, code, str(error), fields)
    except DatabaseError:
        logger.exception("%s The database failed", peer.visit)
        connections.close_all()
        later = "The archive's database takes nothing now. Send again later."
        return refuse(peer, request, RESOURCE_LIMITATION, later)
    except PeerLostError:
        raise
    except Exception:
        # The edge of the handler: whatever it was, the caller must not hear of success.
        logger.exception("%s A service failed", peer.visit)
        return refuse(peer, request, FAILURE, "The archive failed on this message; see its log.")
    encoded = None
    if found is not None:
        encoded = identifier.write(found, request.context.transfer_syntax)
    answer(peer, request, outcome, fields, encoded)
    return True


def default_refusal(error: ArchiveError) -> tuple[int, dict[int, bytes]]:
    """Return the status of PS3.7 for errors that mean the same in every service."""
    return (NO_SUCH_INSTANCE if isinstance(error, NotFoundError) else FAILURE), {}


def attribute_list(command: CommandSet) -> list[int]:
    """Return the tags of an Attribute Identifier List (0000,1005)."""
    raw = command.values.get(commands.ATTRIBUTE_IDENTIFIER_LIST, b"")
    return [
        (group << 16) | element
        for group, element in struct.iter_unpack("<HH", raw[: len(raw) & ~3])
    ]


def refuse(
    peer: Peer, request: Request, code: int, sentence: str, fields: dict[int, bytes] | None = None
) -> bool:
    """Answer that the work was not done, and why; returns False."""
    logger.warning("%s Answered 0x%04X: %s", peer.visit, code, sentence)
    peer.visit.note_trouble(sentence)
    answer(peer, request, status.refusal(code, sentence), fields)
    return False
