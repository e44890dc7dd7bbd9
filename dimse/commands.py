"""Command sets: read flat and bounded, before anything trusts them.

A lawful command set is a short list of elements of group 0000 in Implicit VR Little Endian without
any sequence (PS3.7 6.3). It is read here without recursion; what does not fit ends the association.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from dimse.status import Answer

# Command fields (PS3.7 table E.1-1); a response is its request with the highest bit set.
C_STORE_RQ = 0x0001
C_GET_RQ = 0x0010
C_FIND_RQ = 0x0020
C_MOVE_RQ = 0x0021
C_ECHO_RQ = 0x0030
C_CANCEL_RQ = 0x0FFF
N_EVENT_REPORT_RQ = 0x0100
N_GET_RQ = 0x0110
N_SET_RQ = 0x0120
N_ACTION_RQ = 0x0130
N_CREATE_RQ = 0x0140
RESPONSE = 0x8000

_MEDIUM = 0
NO_DATA_SET = 0x0101
HAS_DATA_SET = 0x0001

MAX_BYTES = 64 * 1024
MAX_ELEMENTS = 128

# Elements of group 0000 (PS3.7 table E.1-1).
AFFECTED_SOP_CLASS_UID = 0x0002
REQUESTED_SOP_CLASS_UID = 0x0003
COMMAND_FIELD = 0x0100
MESSAGE_ID = 0x0110
MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
MOVE_DESTINATION = 0x0600
PRIORITY = 0x0700
COMMAND_DATA_SET_TYPE = 0x0800
STATUS = 0x0900
OFFENDING_ELEMENT = 0x0901
ERROR_COMMENT = 0x0902
ERROR_ID = 0x0903
AFFECTED_SOP_INSTANCE_UID = 0x1000
REQUESTED_SOP_INSTANCE_UID = 0x1001
EVENT_TYPE_ID = 0x1002
ATTRIBUTE_IDENTIFIER_LIST = 0x1005
ACTION_TYPE_ID = 0x1008
REMAINING_SUBOPERATIONS = 0x1020
COMPLETED_SUBOPERATIONS = 0x1021
FAILED_SUBOPERATIONS = 0x1022
WARNING_SUBOPERATIONS = 0x1023
MOVE_ORIGINATOR_AE_TITLE = 0x1030
MOVE_ORIGINATOR_MESSAGE_ID = 0x1031


class CommandError(Exception):
    """The command set breaks PS3.7 section 6.3; the association cannot go on."""


@dataclass(frozen=True, slots=True)
class CommandSet:
    """The elements of a command set: value bytes by element number of group 0000."""

    values: dict[int, bytes]

    @property
    def command_field(self) -> int:
        """Which message it is (PS3.7 table E.1-1)."""
        return self.whole(COMMAND_FIELD)

    @property
    def has_data_set(self) -> bool:
        """Whether a data set follows."""
        return self.whole(COMMAND_DATA_SET_TYPE) != NO_DATA_SET

    @property
    def message_id(self) -> int:
        """Message ID of a request."""
        return self.whole(MESSAGE_ID)

    @property
    def status(self) -> int:
        """Status of a response."""
        return self.whole(STATUS)

    @property
    def sop_class_uid(self) -> str:
        """Affected or Requested SOP Class UID, not yet checked; empty where it is missing."""
        return self.text(AFFECTED_SOP_CLASS_UID) or self.text(REQUESTED_SOP_CLASS_UID)

    @property
    def sop_instance_uid(self) -> str:
        """Affected or Requested SOP Instance UID, not yet checked; empty where it is missing."""
        return self.text(AFFECTED_SOP_INSTANCE_UID) or self.text(REQUESTED_SOP_INSTANCE_UID)

    def whole(self, element: int) -> int:
        """Return an element with VR US.

        Raises
        ------
        CommandError
            If it is missing or not two bytes long.
        """
        value = self.values.get(element, b"")
        if len(value) != 2:
            raise CommandError(f"The command has no usable element (0000,{element:04X}).")
        return int.from_bytes(value, "little")

    def text(self, element: int) -> str:
        """Return an element with VR UI, AE or LO without padding; empty where it is missing."""
        value = self.values.get(element, b"").rstrip(b"\0 ").lstrip(b" ")
        return value.decode("ascii", "backslashreplace")


def parse(data: bytes) -> CommandSet:
    """Read a whole command set.

    Raises
    ------
    CommandError
        If it is cut off, not flat, repeats an element or holds another group.

    References
    ----------
    DICOM PS3.7 sections 6.3.1 and E.
    """
    if len(data) > MAX_BYTES:
        raise CommandError(f"The command is longer than {MAX_BYTES} bytes.")
    values: dict[int, bytes] = {}
    offset = 0
    while offset < len(data):
        if offset + 8 > len(data):
            raise CommandError("The command ends within an element.")
        group, element, length = struct.unpack_from("<HHI", data, offset)
        offset += 8
        if group != 0x0000:
            raise CommandError(f"The command holds an element of group {group:04X}.")
        if length > len(data) - offset:
            raise CommandError("An element of the command runs past its end, or is a sequence.")
        if element in values or len(values) == MAX_ELEMENTS:
            raise CommandError("The command repeats elements or holds too many.")
        values[element] = data[offset : offset + length]
        offset += length
    return CommandSet(values)


def request(
    command_field: int, message_id: int, fields: Mapping[int, bytes], *, has_data_set: bool
) -> bytes:
    """Return the command set of a request of ours.

    Parameters
    ----------
    fields : further elements by element number, encoded
    """
    return _build(
        {
            COMMAND_FIELD: us(command_field),
            MESSAGE_ID: us(message_id),
            COMMAND_DATA_SET_TYPE: us(HAS_DATA_SET if has_data_set else NO_DATA_SET),
            **fields,
        }
    )


def store_request(
    message_id: int, sop_class_uid: str, sop_instance_uid: str, originator: bytes = b""
) -> bytes:
    """Return the command set of a C-STORE of ours; thousands go out one after the other.

    Parameters
    ----------
    originator : see `move_originator`

    References
    ----------
    DICOM PS3.7 section 9.3.1.1.
    """
    body = (
        _store_head(sop_class_uid)
        + us(message_id)
        + _STORE_MIDDLE
        + _element(AFFECTED_SOP_INSTANCE_UID, ui(sop_instance_uid))
        + originator
    )
    return _GROUP_LENGTH.pack(0, 0, 4, len(body)) + body


def move_originator(ae_title: str, message_id: int) -> bytes:
    """Return the elements that tell a receiver who asked for a C-MOVE (PS3.7 9.1.1.1)."""
    return _element(MOVE_ORIGINATOR_AE_TITLE, lo(ae_title)) + _element(
        MOVE_ORIGINATOR_MESSAGE_ID, us(message_id)
    )


@lru_cache
def _store_head(sop_class_uid: str) -> bytes:
    """Return the beginning of a C-STORE's command set, up to its Message ID."""
    return (
        _element(AFFECTED_SOP_CLASS_UID, ui(sop_class_uid))
        + _element(COMMAND_FIELD, us(C_STORE_RQ))
        + struct.pack("<HHI", 0x0000, MESSAGE_ID, 2)
    )


def response(
    to: CommandSet, answer: Answer, fields: Mapping[int, bytes], *, has_data_set: bool = False
) -> bytes:
    """Return the command set of a response; SOP class and instance are those of the request.

    Parameters
    ----------
    to : the request
    fields : further elements by element number, encoded; they win over the request's

    References
    ----------
    DICOM PS3.7 sections 9.3, 10.3 and E.
    """
    return _build(
        {
            AFFECTED_SOP_CLASS_UID: ui(to.sop_class_uid),
            COMMAND_FIELD: us(to.command_field | RESPONSE),
            MESSAGE_ID_BEING_RESPONDED_TO: us(to.message_id),
            COMMAND_DATA_SET_TYPE: us(HAS_DATA_SET if has_data_set else NO_DATA_SET),
            STATUS: us(answer.status),
            ERROR_COMMENT: lo(answer.comment),
            AFFECTED_SOP_INSTANCE_UID: ui(to.sop_instance_uid),
            **fields,
        }
    )


def us(value: int) -> bytes:
    """Encode an unsigned short."""
    return struct.pack("<H", value)


def ui(uid: str) -> bytes:
    """Encode a UID as it came; what no UID can be is left out."""
    value = uid.encode("ascii")
    return _even(value, b"\0") if len(value) <= 64 else b""


def at(tags: Iterable[int]) -> bytes:
    """Encode attribute tags, each as group and element."""
    return b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in tags)


def lo(text: str) -> bytes:
    """Encode plain ASCII text (LO, AE)."""
    return _even(text.encode("ascii"), b" ")


def _build(elements: Mapping[int, bytes]) -> bytes:
    body = b"".join(_element(number, elements[number]) for number in sorted(elements))
    return _element(0x0000, struct.pack("<I", len(body))) + body


def _even(value: bytes, padding: bytes) -> bytes:
    return value + padding if len(value) % 2 else value


def _element(element: int, value: bytes) -> bytes:
    if not value:
        return b""
    return struct.pack("<HHI", 0x0000, element, len(value)) + value


_GROUP_LENGTH = struct.Struct("<HHII")
_STORE_MIDDLE = _element(PRIORITY, us(_MEDIUM)) + _element(COMMAND_DATA_SET_TYPE, us(HAS_DATA_SET))
