"""C-FIND of the Query/Retrieve service class (PS3.4 C.4.1, PS3.7 9.1.2)."""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connections
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset

from archive import audit, database, dicom_query, plain_query, query_records
from archive.dicom_query import DicomQuery
from archive.errors import TooBroadError
from archive.query_columns import LEVELS
from dimse import commands, retrieves, status
from dimse.peer import Peer, Request, Service, answer
from imaging import identifier, matching, plainkeys
from imaging.attributes import PATIENT, STUDY
from imaging.errors import InvalidQueryError

logger = logging.getLogger(__name__)

PATIENT_ROOT = "1.2.840.10008.5.1.4.1.2.1.1"
STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2.1"
# Retired, and still asked for by old equipment (PS3.4-2004 C.6.3).
PATIENT_STUDY_ONLY = "1.2.840.10008.5.1.4.1.2.3.1"

# The highest level of each information model, and all of them.
_LEVELS = {
    PATIENT_ROOT: LEVELS,
    STUDY_ROOT: LEVELS[1:],
    PATIENT_STUDY_ONLY: (PATIENT, STUDY),
}
_LEVEL_TAG = 0x00080052
# Bytes of the service class application information (PS3.4 table C.5-2).
_RELATIONAL, _COMBINED, _FUZZY = 0, 1, 2
_OFFERED = (_RELATIONAL, _COMBINED, _FUZZY)
# Of answers that leave together; the first of them waits no longer for the next.
_MOST_WAITING_BYTES = 32 * 1024
_MOST_WAITING_S = 0.1


def handle(peer: Peer, request: Request) -> None:
    """Answer a query with what the caller's facility has."""
    try:
        query = _read(peer, request)
        outcome = _answer_all(peer, request, query)
    except InvalidQueryError as error:
        _refuse(peer, request, error)
        return
    except TooBroadError as error:
        outcome = status.refusal(status.OUT_OF_RESOURCES, str(error))
    except DatabaseError:
        logger.exception("%s The database failed on a query", peer.visit)
        connections.close_all()
        outcome = status.refusal(
            status.OUT_OF_RESOURCES, "The archive's database does not answer. Ask again later."
        )
    if outcome.status not in {status.SUCCESS, status.CANCELLED}:
        logger.warning("%s Query ended with 0x%04X: %s", peer.visit, outcome.status, outcome)
    answer(peer, request, outcome)


def _read(peer: Peer, request: Request) -> DicomQuery:
    context = request.context
    plain = plainkeys.read(request.data_set, context.transfer_syntax)
    asked = plain or identifier.read(request.data_set, context.transfer_syntax)
    levels = _LEVELS[context.abstract_syntax]
    level = next(iter(matching.texts(asked.get(_LEVEL_TAG))), "").upper()
    if level not in levels:
        raise InvalidQueryError(
            f"Query/Retrieve Level must be one of {', '.join(levels)} in this SOP class.",
            _LEVEL_TAG,
        )
    agreed = peer.extended.get(context.abstract_syntax, b"").ljust(len(_OFFERED), b"\0")
    query = DicomQuery(
        level=level,
        identifier=asked,
        root=levels[0],
        is_relational=agreed[_RELATIONAL] == 1,
        options=matching.Options(is_fuzzy=agreed[_FUZZY] == 1, is_combined=agreed[_COMBINED] == 1),
        retrieve_ae_title=settings.DICOM_SCP_AE_TITLE,
    )
    query.check()
    return query


def _refuse(peer: Peer, request: Request, error: InvalidQueryError) -> None:
    code = status.MISMATCH if error.tag else status.CANNOT_UNDERSTAND
    outcome = status.refusal(code, str(error))
    logger.warning("%s Refused a query with 0x%04X", peer.visit, code)
    fields = {}
    if error.tag:
        fields[commands.OFFENDING_ELEMENT] = struct.pack("<HH", error.tag >> 16, error.tag & 0xFFFF)
    answer(peer, request, outcome, fields)


def _answer_all(peer: Peer, request: Request, query: DicomQuery) -> status.Answer:
    is_whole = not query.unsupported()
    pending = commands.response(
        request.command,
        status.Answer(status.PENDING if is_whole else status.PENDING_WITHOUT_KEYS),
        {},
        has_data_set=True,
    )
    waiting = 0
    since = time.monotonic()
    for found in _found(peer, request, query):
        if not waiting and peer.is_cancelled(request.command.message_id):
            return status.Answer(status.CANCELLED)
        # Answers leave together: many as they come, few as soon as all of them are there.
        waiting += len(found)
        more = waiting < _MOST_WAITING_BYTES and time.monotonic() - since < _MOST_WAITING_S
        peer.respond(request.context, pending, found, more=more)
        if not more:
            waiting, since = 0, time.monotonic()
    return status.OK


def _found(peer: Peer, request: Request, query: DicomQuery) -> Iterator[bytes]:
    """Write down who asks, then find and encode what matches."""
    actor = retrieves.actor_of(peer)
    asked, syntax = query.identifier, request.context.transfer_syntax
    with database.reading() as connection:
        audit.record_read(
            connection,
            actor,
            "query",
            service="C-FIND",
            level=query.level,
            keys=sorted(key.keyword for key in asked if key.keyword and key.value),
        )
        patience = query.patience()
        found = plain_query.search(connection, actor.scope, query, patience)
    if found is None:
        encode = _Encoder(_unabridged(request, query), syntax)
        for record in dicom_query.search(actor.scope, encode.query, patience):
            record["QueryRetrieveLevel"] = query.level
            encoded = encode(record)
            with patience.paused():
                yield encoded
        return
    write = _writer(found.elements, syntax, tuple(identifier.character_sets(asked))).write_row
    for row in found.rows:
        plain = write(row)
        if plain is None:
            encode = _Encoder(_unabridged(request, query), syntax)
            plain = encode(dict(zip(found.keywords, row, strict=True)))
        yield plain


def _unabridged(request: Request, query: DicomQuery) -> DicomQuery:
    """Return a query of plain keys as one of pydicom's data set."""
    if isinstance(query.identifier, Dataset):
        return query
    return replace(
        query, identifier=identifier.read(request.data_set, request.context.transfer_syntax)
    )


@lru_cache(maxsize=512)
def _writer(
    elements: tuple[tuple[int, str], ...], transfer_syntax: str, terms: tuple[str, ...]
) -> identifier.PlainWriter:
    return identifier.PlainWriter(elements, transfer_syntax, terms)


class _Encoder:
    """Encodes what was found, with the keys asked for and those that every answer has."""

    def __init__(self, query: DicomQuery, transfer_syntax: str) -> None:
        self.query = query
        self._keys = dicom_query.supported_keys(query)
        for keyword in ("QueryRetrieveLevel", "RetrieveAETitle"):
            setattr(self._keys, keyword, "")
        self._syntax = transfer_syntax
        self._terms = identifier.character_sets(query.identifier)
        self._tags = {element.keyword: int(element.tag) for element in self._keys}
        vrs = [(int(element.tag), dictionary_VR(element.tag)) for element in self._keys]
        self._writer = None
        if all(vr in identifier.PLAIN_VRS for _, vr in vrs):
            self._writer = identifier.PlainWriter(vrs, transfer_syntax, self._terms)

    def __call__(self, record: query_records.Record) -> bytes:
        plain = None
        if self._writer is not None:
            tags = self._tags
            plain = self._writer.write({tags[k]: v for k, v in record.items() if k in tags})
        if plain is not None:
            return plain
        found = matching.response(query_records.as_data_set(record), self._keys)
        found.QueryRetrieveLevel = record["QueryRetrieveLevel"]
        return identifier.write(found, self._syntax, self._terms)


def negotiate(_: str, information: bytes) -> bytes | None:
    """Agree to what is asked for and can be done (PS3.4 C.5.1.1).

    Returns
    -------
    As many bytes as were sent: relational queries, combined matching of date and time, fuzzy
    matching of names; nothing else.
    """
    if not information:
        return None
    return bytes(
        1 if at in _OFFERED and byte == 1 else 0 for at, byte in enumerate(information[:7])
    )


SERVICE = Service(
    abstract_syntaxes=tuple(_LEVELS),
    transfer_syntaxes=retrieves.TRANSFER_SYNTAXES,
    operations={commands.C_FIND_RQ: handle},
    negotiate=negotiate,
)
