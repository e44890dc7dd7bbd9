"""Command sets: what is read, what is refused, what is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from dimse import commands, status
from dimse.commands import CommandError
from tests.pdu import CT, command, store_rq, us


def encoded(**keywords: object) -> bytes:
    """A command set as pydicom writes it."""
    dataset = Dataset()
    for keyword, value in keywords.items():
        setattr(dataset, keyword, value)
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, True
    write_dataset(out, dataset)
    return out.getvalue()


def test_a_store_request_is_read_as_pydicom_writes_it() -> None:
    raw = encoded(
        CommandGroupLength=100,
        AffectedSOPClassUID=CT,
        CommandField=1,
        MessageID=4711,
        Priority=0,
        CommandDataSetType=0,
        AffectedSOPInstanceUID="1.2.3",
    )
    found = commands.parse(raw)
    assert found.command_field == commands.C_STORE_RQ
    assert found.has_data_set
    assert (found.message_id, found.sop_class_uid) == (4711, CT)
    assert found.sop_instance_uid == "1.2.3"


def test_the_response_is_what_pydicom_reads() -> None:
    answer = status.refusal(0xA900, "No lawful UID")
    raw = commands.response(commands.parse(store_rq(CT, "1.2.34", 4711)), answer, {})
    found = read_dataset(DicomBytesIO(raw), is_implicit_VR=True, is_little_endian=True)
    assert found.CommandGroupLength == len(raw) - 12
    assert found.AffectedSOPClassUID == CT
    assert found.CommandField == 0x8001
    assert found.MessageIDBeingRespondedTo == 4711
    assert found.CommandDataSetType == 0x0101
    assert found.Status == 0xA900
    assert found.ErrorComment == "No lawful UID"
    assert found.AffectedSOPInstanceUID == "1.2.34"


def test_a_uid_that_cannot_be_one_is_not_given_back() -> None:
    raw = commands.response(commands.parse(store_rq(CT, "9" * 65)), status.refusal(0xA900, ""), {})
    found = read_dataset(DicomBytesIO(raw), is_implicit_VR=True, is_little_endian=True)
    assert "AffectedSOPInstanceUID" not in found
    assert "ErrorComment" not in found


@pytest.mark.parametrize(
    "raw",
    [
        store_rq(CT, "1.2")[:-1],
        store_rq(CT, "1.2") + b"\0\0\0\0",
        b"\x08\x00\x16\x00\x02\x00\x00\x001 ",
        store_rq(CT, "1.2") + b"\0\0\x05\x10\xff\xff\xff\xff",
        store_rq(CT, "1.2") * 2,
        bytes(commands.MAX_BYTES + 1),
    ],
    ids=["cut", "half an element", "another group", "undefined length", "twice", "too long"],
)
def test_what_is_not_flat_and_whole_is_refused(raw: bytes) -> None:
    with pytest.raises(CommandError):
        commands.parse(raw)


def test_missing_and_misshapen_fields_are_refused_when_they_are_asked_for() -> None:
    found = commands.parse(command((0x0100, b"\1"), (0x0110, us(1))))
    with pytest.raises(CommandError, match="0100"):
        _ = found.command_field
    with pytest.raises(CommandError, match="0800"):
        _ = found.has_data_set
    assert found.message_id == 1
    assert (found.sop_class_uid, found.sop_instance_uid) == ("", "")


@given(st.binary(max_size=300))
def test_noise_is_read_or_refused_and_nothing_else(raw: bytes) -> None:
    try:
        found = commands.parse(raw)
    except CommandError:
        return
    assert sum(len(value) + 8 for value in found.values.values()) == len(raw)


@pytest.mark.parametrize("originator", [None, ("CT_NORTH", 7)], ids=["of our own", "by C-MOVE"])
@pytest.mark.parametrize("instance", ["1.2.3", "1.2.34"], ids=["odd", "even"])
def test_store_requests_are_built_as_every_other_request(
    instance: str, originator: tuple[str, int] | None
) -> None:
    fields = {
        commands.AFFECTED_SOP_CLASS_UID: commands.ui("1.2.840.10008.5.1.4.1.1.2"),
        commands.AFFECTED_SOP_INSTANCE_UID: commands.ui(instance),
        commands.PRIORITY: commands.us(0),
    }
    asked_by = b""
    if originator is not None:
        fields[commands.MOVE_ORIGINATOR_AE_TITLE] = commands.lo(originator[0])
        fields[commands.MOVE_ORIGINATOR_MESSAGE_ID] = commands.us(originator[1])
        asked_by = commands.move_originator(*originator)
    expected = commands.request(commands.C_STORE_RQ, 300, fields, has_data_set=True)
    built = commands.store_request(300, "1.2.840.10008.5.1.4.1.1.2", instance, asked_by)
    assert built == expected
