"""C-FIND of the Query/Retrieve service class (PS3.4 C.4.1, PS3.7 9.1.2)."""

from __future__ import annotations

import logging
import struct

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connections
from pydicom.datadict import dictionary_VR

from archive import audit, database, dicom_query
from archive.dicom_query import DicomQuery
from archive.errors import TooBroadError
from archive.query_columns import LEVELS
from dimse import commands, retrieves, status
from dimse.peer import Peer, Request, Service, answer
from imaging import identifier, matching
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


def handle(peer: Peer, request: Request) -> None:
    """Answer a query with what the caller's facility has."""
    try:
        query = _read(peer, request)
    except InvalidQueryError as error:
        _refuse(peer, request, error)
        return
    missing = query.unsupported()
    try:
        with database.shared():
            audit.record(
                retrieves.actor_of(peer),
                "query",
                service="C-FIND",
                level=query.level,
                keys=sorted(e.keyword for e in query.identifier if e.keyword and e.value),
            )
        outcome = _answer_all(peer, request, query, is_whole=not missing)
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
    asked = identifier.read(request.data_set, context.transfer_syntax)
    levels = _LEVELS[context.abstract_syntax]
    level = str(asked.get("QueryRetrieveLevel") or "").strip().upper()
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


def _answer_all(
    peer: Peer, request: Request, query: DicomQuery, *, is_whole: bool
) -> status.Answer:
    pending = status.Answer(status.PENDING if is_whole else status.PENDING_WITHOUT_KEYS)
    encode = _Encoder(query, request.context.transfer_syntax)
    for record in dicom_query.search(retrieves.actor_of(peer).scope, query):
        if peer.is_cancelled(request.command.message_id):
            return status.Answer(status.CANCELLED)
        record["QueryRetrieveLevel"] = query.level
        answer(peer, request, pending, data_set=encode(record))
    return status.OK


class _Encoder:
    """Encodes what was found, with the keys asked for and those that every answer has."""

    def __init__(self, query: DicomQuery, transfer_syntax: str) -> None:
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

    def __call__(self, record: dicom_query.Record) -> bytes:
        plain = None
        if self._writer is not None:
            tags = self._tags
            plain = self._writer.write({tags[k]: v for k, v in record.items() if k in tags})
        if plain is not None:
            return plain
        found = matching.response(dicom_query.as_data_set(record), self._keys)
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
