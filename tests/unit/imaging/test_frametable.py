"""Frame tables: how fragments are assigned to frames, and that a table survives storage."""

from __future__ import annotations

import struct
from array import array
from pathlib import Path

import pytest
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames

from imaging.errors import DecodeError
from imaging.frametable import Fragment, frame_table_from_bytes, frame_table_to_bytes
from imaging.header import InstanceIndex, part10_header, read_index
from tests.dicom import make_instance, to_bytes

JPEG = b"\xff\xd8\xff\xe0"
EOI = b"\xff\xd9"


def instance(
    value: bytes, frames: int, extended: tuple[list[int], list[int]] | None = None
) -> bytes:
    """An object with `value` as its encapsulated pixel data, delimiter left out."""
    ds = make_instance(NumberOfFrames=frames)
    raw = to_bytes(ds)
    body = raw[read_index(raw).data_set_offset : raw.index(b"\xe0\x7f\x10\x00")]
    out = part10_header(
        sop_class_uid=ds.SOPClassUID,
        sop_instance_uid=ds.SOPInstanceUID,
        transfer_syntax_uid="1.2.840.10008.1.2.4.50",
    )
    out += body
    for element, numbers in enumerate(extended or (), 1):
        packed = struct.pack(f"<{len(numbers)}Q", *numbers)
        out += struct.pack("<HH2sHI", 0x7FE0, element, b"OV", 0, len(packed)) + packed
    out += struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF) + value
    return out + b"\xfe\xff\xdd\xe0\0\0\0\0"


def frames_of(raw: bytes, index: InstanceIndex) -> list[bytes]:
    assert index.frames is not None
    return [
        b"".join(raw[offset : offset + length] for offset, length in index.frames.fragments(k))
        for k in range(index.frames.frame_count)
    ]


def item(body: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(body)) + body


FRAMES = [JPEG + bytes([k]) * (10 + 2 * k) + EOI for k in range(4)]


@pytest.mark.parametrize("fragments", [1, 2, 3])
@pytest.mark.parametrize("has_table", [True, False], ids=["table", "no table"])
def test_fragments_find_their_frames(fragments: int, has_table: bool) -> None:
    value = encapsulate(FRAMES, fragments_per_frame=fragments, has_bot=has_table)
    raw = instance(value, 4)
    index = read_index(raw)
    assert index.number_of_frames == 4
    assert index.offset_table_kind == ("basic" if has_table else "scanned")
    assert frames_of(raw, index) == FRAMES
    assert list(generate_frames(value, number_of_frames=4)) == FRAMES, "pydicom agrees"


def test_extended_offset_table() -> None:
    value, offsets, lengths = encapsulate_extended(FRAMES)
    tables = (list(struct.unpack("<4Q", offsets)), list(struct.unpack("<4Q", lengths)))
    raw = instance(value, 4, tables)
    index = read_index(raw)
    assert index.offset_table_kind == "extended"
    assert frames_of(raw, index) == FRAMES


@pytest.mark.parametrize(
    "tables",
    [
        ([0, 1, 2, 3], [4, 4, 4, 4]),
        ([0, 2**63, 2**62, 5], [22, 24, 26, 28]),
        ([0], [22]),
    ],
)
def test_an_extended_table_that_lies_is_not_believed(tables: tuple[list[int], list[int]]) -> None:
    raw = instance(encapsulate(FRAMES, has_bot=False), 4, tables)
    index = read_index(raw)
    assert index.offset_table_kind == "scanned"
    assert frames_of(raw, index) == FRAMES


@pytest.mark.parametrize(
    "offsets", [(0, 5, 9, 12), (24, 0, 24, 0), (0, 0, 0, 0), (4, 30, 58, 88), (2**31,) * 4]
)
def test_a_basic_table_that_lies_is_not_believed(offsets: tuple[int, ...]) -> None:
    value = item(struct.pack("<4I", *offsets)) + b"".join(map(item, FRAMES))
    raw = instance(value, 4)
    index = read_index(raw)
    assert index.offset_table_kind == "scanned"
    assert frames_of(raw, index) == FRAMES


def test_one_frame_takes_all_fragments() -> None:
    value = item(b"") + b"".join(item(bytes([k]) * 6) for k in range(5))
    raw = instance(value, 1)
    assert frames_of(raw, read_index(raw)) == [b"".join(bytes([k]) * 6 for k in range(5))]


def test_frames_closed_by_their_end_marker() -> None:
    """No start marker that is known, but each code stream ends as JPEG does."""
    pieces = [b"aa", b"bb" + EOI, b"cc" + EOI + b"\0\0", b"dd", b"ee", b"ff" + EOI]
    raw = instance(item(b"") + b"".join(map(item, pieces)), 3)
    assert frames_of(raw, read_index(raw)) == [
        b"aabb" + EOI,
        b"cc" + EOI + b"\0\0",
        b"ddeeff" + EOI,
    ]


def test_frames_opened_by_their_start_marker() -> None:
    """Padding hides the end markers, or a fragment in the middle happens to end like one."""
    pieces = [JPEG + b"a" * 4, b"bb" + EOI, b"cc" + bytes(8), JPEG + b"dd", b"ee" + bytes(8)]
    raw = instance(item(b"") + b"".join(map(item, pieces)), 2)
    assert frames_of(raw, read_index(raw)) == [b"".join(pieces[:3]), b"".join(pieces[3:])]


def test_frames_that_cannot_be_told_apart_are_not_guessed() -> None:
    raw = instance(item(b"") + b"".join(item(bytes(4)) for _ in range(5)), 3)
    index = read_index(raw)
    assert len(index.frames or ()) == 0
    assert any("announces 3 frames" in warning for warning in index.warnings)


def test_fewer_frames_than_announced() -> None:
    raw = instance(encapsulate(FRAMES, has_bot=False), 9)
    index = read_index(raw)
    assert index.number_of_frames == 4
    assert frames_of(raw, index) == FRAMES
    assert "announces 9 frames" in index.warnings[0]


@pytest.mark.parametrize(
    "name",
    [
        "ct/enhanced/CT0012.explicit_little_endian.dcm",
        "ct/enhanced/CT0012.fragmented_no_bot_jpeg_ls.80.dcm",
        "wsi/multiframe.dcm",
        "sr/image_dfl",
        "color/sc_rgb/SC_rgb_expb.dcm",
        "seg/paramap/parametric_map_float.dcm",
        "seg/paramap/parametric_map_double_float.dcm",
        "seg/highdicom/seg_image_sm_dots_tiled_full.dcm",
    ],
)
def test_a_table_survives_storage(data: Path, name: str) -> None:
    table = read_index(data / name, require_identity=False).frames
    assert table is not None
    stored = frame_table_to_bytes(table)
    assert frame_table_from_bytes(stored) == table
    assert frame_table_from_bytes(memoryview(stored)) == table
    if table.kind == "native":
        assert len(stored) < 64


def test_a_table_of_many_frames_is_small() -> None:
    frames = [JPEG + bytes(20 + k % 7 * 2) + EOI for k in range(20_000)]
    index = read_index(instance(encapsulate(frames), 20_000))
    assert index.frames is not None
    stored = frame_table_to_bytes(index.frames)
    assert len(stored) < 20_000
    assert frame_table_from_bytes(stored) == index.frames


@pytest.mark.parametrize("cut", [0, 5, 20, 40, -1])
def test_a_damaged_table_is_refused(data: Path, cut: int) -> None:
    table = read_index(data / "wsi/multiframe.dcm", require_identity=False).frames
    assert table is not None
    stored = frame_table_to_bytes(table)
    with pytest.raises(DecodeError):
        frame_table_from_bytes(stored[:cut])
    with pytest.raises(DecodeError, match="version"):
        frame_table_from_bytes(b"\xff" + stored[1:])


def test_frames_outside_the_table() -> None:
    index = read_index(to_bytes(make_instance()))
    assert index.frames is not None
    assert index.frames.fragments(0) == (Fragment(index.pixel_data_offset or 0, 8192),)
    for frame in (-1, 1, 2**40):
        with pytest.raises(DecodeError, match="no frame"):
            index.frames.fragments(frame)


def test_shifting_moves_every_offset(data: Path) -> None:
    table = read_index(data / "wsi/multiframe.dcm", require_identity=False).frames
    assert table is not None
    moved = table.shifted(-100)
    for frame in (0, 77, 139):
        (before,), (after,) = table.fragments(frame), moved.fragments(frame)
        assert after == (before.offset - 100, before.length)
    assert isinstance(moved.fragment_offsets, array)
