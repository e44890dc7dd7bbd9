"""Command sets: read flat and bounded, before anything trusts them.

A lawful command set is a short list of elements of group 0000 in Implicit VR Little Endian without
any sequence (PS3.7 6.3). It is read here without recursion; what does not fit ends the association.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from dimse.status import Answer

C_STORE_RQ = 0x0001
C_STORE_RSP = 0x8001
NO_DATA_SET = 0x0101

MAX_BYTES = 64 * 1024
MAX_ELEMENTS = 128

_AFFECTED_SOP_CLASS_UID = 0x0002
_COMMAND_FIELD = 0x0100
_MESSAGE_ID = 0x0110
_MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
_COMMAND_DATA_SET_TYPE = 0x0800
_STATUS = 0x0900
_ERROR_COMMENT = 0x0902
_AFFECTED_SOP_INSTANCE_UID = 0x1000


class CommandError(Exception):
    """The command set breaks PS3.7 section 6.3; the association cannot go on."""


@dataclass(frozen=True, slots=True)
class StoreCommand:
    """What a C-STORE-RQ says about its data set (PS3.7 9.3.1.1).

    Attributes
    ----------
    message_id : (0000,0110)
    sop_class_uid, sop_instance_uid : (0000,0002), (0000,1000) without padding, not yet checked;
        empty where they are missing
    """

    message_id: int
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class CommandSet:
    """The elements of a command set: value bytes by element number of group 0000."""

    values: dict[int, bytes]

    @property
    def command_field(self) -> int:
        """Which message it is (PS3.7 table E.1-1)."""
        return self._whole(_COMMAND_FIELD)

    @property
    def has_data_set(self) -> bool:
        """Whether a data set follows."""
        return self._whole(_COMMAND_DATA_SET_TYPE) != NO_DATA_SET

    def as_store(self) -> StoreCommand:
        """Return the fields of a C-STORE-RQ."""
        return StoreCommand(
            message_id=self._whole(_MESSAGE_ID),
            sop_class_uid=self._text(_AFFECTED_SOP_CLASS_UID),
            sop_instance_uid=self._text(_AFFECTED_SOP_INSTANCE_UID),
        )

    def _whole(self, element: int) -> int:
        value = self.values.get(element, b"")
        if len(value) != 2:
            raise CommandError(f"The command has no usable element (0000,{element:04X}).")
        return int.from_bytes(value, "little")

    def _text(self, element: int) -> str:
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


def c_store_response(command: StoreCommand, answer: Answer) -> bytes:
    """Return the command set of the C-STORE-RSP.

    References
    ----------
    DICOM PS3.7 section 9.3.1.2.
    """
    elements = [
        _element(_AFFECTED_SOP_CLASS_UID, _uid(command.sop_class_uid)),
        _element(_COMMAND_FIELD, struct.pack("<H", C_STORE_RSP)),
        _element(_MESSAGE_ID_BEING_RESPONDED_TO, struct.pack("<H", command.message_id)),
        _element(_COMMAND_DATA_SET_TYPE, struct.pack("<H", NO_DATA_SET)),
        _element(_STATUS, struct.pack("<H", answer.status)),
        _element(_ERROR_COMMENT, _even(answer.comment.encode("ascii"), b" ")),
        _element(_AFFECTED_SOP_INSTANCE_UID, _uid(command.sop_instance_uid)),
    ]
    body = b"".join(elements)
    return _element(0x0000, struct.pack("<I", len(body))) + body


def _uid(text: str) -> bytes:
    """Give a UID back as it came; what no UID can be is left out."""
    value = text.encode("ascii")
    return _even(value, b"\0") if len(value) <= 64 else b""


def _even(value: bytes, padding: bytes) -> bytes:
    return value + padding if len(value) % 2 else value


def _element(element: int, value: bytes) -> bytes:
    if not value:
        return b""
    return struct.pack("<HHI", 0x0000, element, len(value)) + value
