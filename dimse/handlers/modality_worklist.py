"""Modality Worklist C-FIND (PS3.4 annex K, PS3.7 9.1.2)."""

from __future__ import annotations

import logging
import struct

from django.db import Error as DatabaseError
from django.db import connections

from archive import audit, database
from archive.errors import TooBroadError
from dimse import commands, retrieves, status
from dimse.peer import Peer, Request, Service, answer
from imaging import identifier, matching
from imaging.errors import InvalidQueryError
from orders import modality_worklist

logger = logging.getLogger(__name__)

MODALITY_WORKLIST = "1.2.840.10008.5.1.4.31"
# Bytes of the service class application information (PS3.4 table K.5-1): the first two are ones.
_RESERVED, _FUZZY = (0, 1), 2
_LEAST, _MOST = 3, 4


def handle(peer: Peer, request: Request) -> None:
    """Answer with the items of the caller's facility, one a response, until it cancels."""
    fields: dict[int, bytes] = {}
    try:
        final = _send_all(peer, request)
    except InvalidQueryError as error:
        code = status.MISMATCH if error.tag else status.CANNOT_UNDERSTAND
        logger.warning("%s Refused a query with 0x%04X", peer.visit, code)
        final = status.refusal(code, str(error))
        if error.tag:
            tag = struct.pack("<HH", error.tag >> 16, error.tag & 0xFFFF)
            fields[commands.OFFENDING_ELEMENT] = tag
    except TooBroadError as error:
        logger.warning("%s A worklist query took too long", peer.visit)
        final = status.refusal(status.OUT_OF_RESOURCES, str(error))
    except DatabaseError:
        logger.exception("%s The database failed", peer.visit)
        connections.close_all()
        final = status.refusal(
            status.OUT_OF_RESOURCES, "The archive's database does not answer. Ask again later."
        )
    answer(peer, request, final, fields)


def _send_all(peer: Peer, request: Request) -> status.Answer:
    syntax = request.context.transfer_syntax
    keys = identifier.read(request.data_set, syntax)
    character_sets = identifier.character_sets(keys)
    actor = retrieves.actor_of(peer)
    with database.shared():
        audit.record(actor, "worklist.query", peer.visit.facility)
    agreed = peer.extended.get(request.context.abstract_syntax, b"")
    options = matching.Options(is_fuzzy=agreed[_FUZZY : _FUZZY + 1] == b"\1")
    count = 0
    for item in modality_worklist.find(actor.scope, keys, options):
        if peer.is_cancelled(request.command.message_id):
            return status.Answer(status.CANCELLED)
        answer(
            peer,
            request,
            status.Answer(status.PENDING),
            data_set=identifier.write(item, syntax, character_sets),
        )
        count += 1
    logger.info("%s Got %d worklist items", peer.visit, count)
    return status.OK


def negotiate(_: str, information: bytes) -> bytes | None:
    """Agree to fuzzy matching of names, and to no adjustment of time zones (PS3.4 K.5.1)."""
    if len(information) < _LEAST:
        return None
    return bytes(
        at in _RESERVED or (at == _FUZZY and byte == 1)
        for at, byte in enumerate(information[:_MOST])
    )


SERVICE = Service(
    abstract_syntaxes=(MODALITY_WORKLIST,),
    transfer_syntaxes=retrieves.TRANSFER_SYNTAXES,
    operations={commands.C_FIND_RQ: handle},
    negotiate=negotiate,
)
