"""What two sides agree on when an association begins: contexts, roles, extended negotiation."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pynetdicom.presentation import PresentationContext

from dimse import contexts
from dimse.association import APPLICATION_CONTEXT, AssociationRequest
from dimse.peer import Context
from dimse.services import Table
from imaging.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

# Items of an A-ASSOCIATE-AC (PS3.8 9.3.3, PS3.7 D.3.3).
_APPLICATION_CONTEXT = 0x10
_PRESENTATION_CONTEXT = 0x21
_TRANSFER_SYNTAX = 0x40
_USER_INFORMATION = 0x50
_MAXIMUM_LENGTH = 0x51
_IMPLEMENTATION_CLASS = 0x52
_ROLE_SELECTION = 0x54
_IMPLEMENTATION_VERSION = 0x55
_EXTENDED_NEGOTIATION = 0x56
_USER_IDENTITY = 0x59


@dataclass(frozen=True, slots=True)
class Agreement:
    """Our answer to an admitted association request.

    Attributes
    ----------
    answers : one per proposed context, in the caller's order
    contexts : the accepted ones by identifier
    roles : SCU and SCP role of the caller by SOP class, as it proposed them
    extended : service class application information of ours by SOP class (PS3.7 D.3.3.5)
    confirms_identity : the caller waits for our word that its user was checked, and it was
    """

    answers: Sequence[PresentationContext]
    contexts: Mapping[int, Context]
    roles: Mapping[str, tuple[bool, bool]]
    extended: Mapping[str, bytes]
    confirms_identity: bool


def agree(request: AssociationRequest, services: Table, username: str = "") -> Agreement:
    """Answer everything that a caller proposes.

    Parameters
    ----------
    username : who operates it, once that was checked

    References
    ----------
    DICOM PS3.8 section 9.3.3.2, PS3.7 sections D.3.3.4, D.3.3.5 and D.3.3.7.
    """
    answers = contexts.negotiate(
        request.offers,
        services.transfer_syntaxes,
        request.roles,
        takes_storage=services.takes_storage,
    )
    accepted = {
        answer.context_id: Context(
            context_id=answer.context_id,
            abstract_syntax=str(answer.abstract_syntax),
            transfer_syntax=str(answer.transfer_syntax[0]),
            is_ours_to_call=request.roles.get(str(answer.abstract_syntax), (True, False))[1],
        )
        for answer in answers
        if answer.result == contexts.ACCEPTED
    }
    spoken = {context.abstract_syntax for context in accepted.values()}
    extended = {}
    for uid, information in request.extended.items():
        agreed = services.negotiate(uid, information)
        if agreed is not None:
            extended[uid] = agreed
    return Agreement(
        answers=answers,
        contexts=accepted,
        roles={uid: roles for uid, roles in request.roles.items() if uid in spoken},
        extended=extended,
        confirms_identity=bool(
            username and request.identity is not None and request.identity.wants_response
        ),
    )


def encode(request: AssociationRequest, agreement: Agreement, maximum_length: int) -> bytes:
    """Return the A-ASSOCIATE-AC PDU.

    Parameters
    ----------
    maximum_length : the largest P-DATA-TF that we take, bytes of its variable field

    References
    ----------
    DICOM PS3.8 section 9.3.3, PS3.7 section D.3.3.
    """
    items = [_item(_APPLICATION_CONTEXT, APPLICATION_CONTEXT.encode())]
    for answer in agreement.answers:
        syntax = _item(_TRANSFER_SYNTAX, str(answer.transfer_syntax[0]).encode())
        head = struct.pack(">BxBx", answer.context_id, answer.result)
        items.append(_item(_PRESENTATION_CONTEXT, head + syntax))
    user = [
        _item(_MAXIMUM_LENGTH, struct.pack(">I", maximum_length)),
        _item(_IMPLEMENTATION_CLASS, IMPLEMENTATION_CLASS_UID.encode()),
    ]
    user += [
        _item(_ROLE_SELECTION, _counted(uid) + bytes(roles))
        for uid, roles in agreement.roles.items()
    ]
    user.append(_item(_IMPLEMENTATION_VERSION, IMPLEMENTATION_VERSION_NAME.encode()))
    user += [
        _item(_EXTENDED_NEGOTIATION, _counted(uid) + information)
        for uid, information in agreement.extended.items()
    ]
    if agreement.confirms_identity:
        # Of a user name there is nothing to say but that it was taken: a response of no bytes.
        user.append(_item(_USER_IDENTITY, struct.pack(">H", 0)))
    items.append(_item(_USER_INFORMATION, b"".join(user)))
    # Version 1, then both titles and the reserved bytes as they came (PS3.8 table 9-17).
    body = struct.pack(">Hxx", 1) + request.titles + b"".join(items)
    return struct.pack(">BxI", 0x02, len(body)) + body


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def _counted(uid: str) -> bytes:
    value = uid.encode("ascii")
    return struct.pack(">H", len(value)) + value
