"""What a hostile or broken file can do to the reader: be refused, in bounded time and memory."""

from __future__ import annotations

import csv
import io
import resource
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imaging.elements import HeaderLimits
from imaging.errors import ImagingError, LimitError, NotDicomError, TruncatedError
from imaging.header import part10_header, read_index
from imaging.pixels import PixelFacts, exact_frame, problem
from tests.dicom import make_instance, to_bytes

SQ = struct.Struct("<HH2sHI")
UNDEFINED = 0xFFFFFFFF
ITEM = b"\xfe\xff\x00\xe0"
ITEM_END = b"\xfe\xff\x0d\xe0\0\0\0\0"
SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"

# A component with a leading zero is refused by rule (PS3.5 section 9.1), however common it is.
OURS_IS_STRICTER = {"uid_leading_zero.dcm"}


@pytest.fixture(scope="module")
def variants(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("variants")
    subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            str(shared / "tools/make_malformed.py"),
            str(shared / "data/malformed/CT_small.dcm"),
            str(folder),
            "--fuzz",
            "300",
        ],
        check=True,
        capture_output=True,
    )
    return folder


def test_the_malformed_variants(variants: Path) -> None:
    with (variants / "variants.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 83 + 300
    for row in rows:
        path = variants / row["file"]
        started = time.process_time()
        refusal: ImagingError | None = None
        try:
            index = read_index(path)
        except ImagingError as error:
            refusal = error
        assert time.process_time() - started < 3, row
        if refusal is not None:
            assert row["expect"] != "accept" or row["file"] in OURS_IS_STRICTER, (row, refusal)
            sentence = str(refusal)
            assert sentence.isprintable(), row
            assert sentence.endswith("."), row
            assert sentence[0].isupper(), row
            continue
        assert row["expect"] != "reject", row
        facts = PixelFacts.of(index, index.frames)
        assert index.number_of_frames <= 1
        if problem(facts) is None:
            try:
                exact_frame(path, facts, 0)
            except ImagingError as error:
                refusal = error
            assert refusal is None or str(refusal).endswith("."), row


def opened_sequences(depth: int, *, length: int = UNDEFINED, vr: bytes = b"SQ") -> bytes:
    """Sequences in sequences, each in the first item of the one before."""
    if length == UNDEFINED:
        head = SQ.pack(8, 0x1140, vr, 0, UNDEFINED) + ITEM + struct.pack("<I", UNDEFINED)
        return head * depth + (ITEM_END + SEQUENCE_END) * depth
    heads, size = [], 0
    for _ in range(depth):
        heads.append(SQ.pack(8, 0x1140, vr, 0, size + 8) + ITEM + struct.pack("<I", size))
        size += 20
    return b"".join(reversed(heads))


def with_inserted(body: bytes) -> bytes:
    raw = to_bytes(make_instance())
    at = raw.index(b"\x10\x00\x10\x00PN")
    return raw[:at] + body + raw[at:]


@pytest.mark.parametrize("depth", [65, 5_000, 50_000])
@pytest.mark.parametrize("length", [UNDEFINED, 0], ids=["undefined", "defined"])
def test_nesting_beyond_the_limit(depth: int, length: int) -> None:
    started = time.process_time()
    with pytest.raises(LimitError, match="64 levels"):
        read_index(with_inserted(opened_sequences(depth, length=length)))
    assert time.process_time() - started < 2


def test_nesting_up_to_the_limit() -> None:
    assert read_index(with_inserted(opened_sequences(64))).rows == 64
    assert read_index(with_inserted(opened_sequences(64, length=0))).rows == 64
    limits = HeaderLimits(depth=10)
    with pytest.raises(LimitError):
        read_index(with_inserted(opened_sequences(11)), limits=limits)


def implicit_sequences(depth: int) -> bytes:
    head = struct.pack("<HHI", 8, 0x1140, UNDEFINED) + ITEM + struct.pack("<I", UNDEFINED)
    return head * depth + (ITEM_END + SEQUENCE_END) * depth


def test_nesting_inside_un_and_implicit() -> None:
    """What hides in an element of unknown type is looked through as well."""
    hidden = implicit_sequences(5000)
    un = struct.pack("<HH2sHI", 9, 0x1010, b"UN", 0, UNDEFINED)
    item = ITEM + struct.pack("<I", UNDEFINED)
    with pytest.raises(LimitError):
        read_index(with_inserted(un + item + hidden + ITEM_END + SEQUENCE_END))
    defined = ITEM + struct.pack("<I", len(hidden)) + hidden
    un = struct.pack("<HH2sHI", 9, 0x1010, b"UN", 0, len(defined))
    with pytest.raises(LimitError):
        read_index(with_inserted(un + defined))


def test_what_is_inside_un_is_implicit() -> None:
    """A length of 0x4F4C spells LO: read as explicit, it would be another element."""
    inner = struct.pack("<HHI", 8, 0x0104, 0x4F4C) + b"x" * 0x4F4C
    item = ITEM + struct.pack("<I", UNDEFINED) + inner + ITEM_END
    un = struct.pack("<HH2sHI", 9, 0x1010, b"UN", 0, UNDEFINED)
    index = read_index(with_inserted(un + item + SEQUENCE_END))
    assert index.patient_name == "Test^Anna"
    assert index.warnings == ()


def test_nesting_behind_the_pixel_data() -> None:
    raw = to_bytes(make_instance())
    tail = SQ.pack(0x7FE1, 0x1001, b"SQ", 0, UNDEFINED) + ITEM + struct.pack("<I", UNDEFINED)
    with pytest.raises(LimitError):
        read_index(raw + tail * 100)


def test_too_many_elements() -> None:
    body = b"".join(struct.pack("<HH2sH", 9, 0x1000 + i, b"LO", 0) for i in range(2000))
    assert read_index(with_inserted(body)).rows == 64
    with pytest.raises(LimitError, match="more than 500 elements"):
        read_index(with_inserted(body), limits=HeaderLimits(elements=500))
    items = SQ.pack(8, 0x1140, b"SQ", 0, UNDEFINED) + (ITEM + bytes(4)) * 2000 + SEQUENCE_END
    with pytest.raises(LimitError, match="more than 500 elements"):
        read_index(with_inserted(items), limits=HeaderLimits(elements=500))


def test_a_large_header_is_bounded(tmp_path: Path) -> None:
    element = struct.pack("<HH2sH", 9, 0x1010, b"LO", 1024) + bytes(1024)
    raw = with_inserted(element * 3000)
    assert read_index(raw).rows == 64
    with pytest.raises(LimitError, match="header"):
        read_index(raw, limits=HeaderLimits(header_bytes=2**20))


def test_bulk_values_are_stepped_over(tmp_path: Path) -> None:
    """A document of 300 MB is no header: neither refused nor read into memory."""
    size = 300 * 2**20
    head = with_inserted(b"")
    at = head.index(b"\x10\x00\x10\x00PN")
    path = tmp_path / "large.dcm"
    with path.open("wb") as file:
        file.write(head[:at] + SQ.pack(9, 0x1010, b"OB", 0, size))
        file.seek(size, io.SEEK_CUR)
        file.write(head[at:])
    tracemalloc.start()
    index = read_index(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert index.rows == 64
    assert most < 2**20
    with path.open("r+b") as file:
        file.truncate(size)
    with pytest.raises(TruncatedError):
        read_index(path)


def deflated(*parts: bytes) -> bytes:
    ds = make_instance()
    raw = to_bytes(ds)
    at = raw.index(b"\xe0\x7f\x10\x00")
    body = raw[read_index(raw).data_set_offset : at]
    deflater = zlib.compressobj(1, wbits=-15)
    out = [deflater.compress(body), *(deflater.compress(part) for part in parts)]
    head = part10_header(
        sop_class_uid=ds.SOPClassUID,
        sop_instance_uid=ds.SOPInstanceUID,
        transfer_syntax_uid="1.2.840.10008.1.2.1.99",
    )
    return head + b"".join(out) + deflater.flush()


def test_an_inflate_bomb_is_bounded() -> None:
    zeros = bytes(2**20)
    size = 300
    head = SQ.pack(0x7FE0, 0x10, b"OB", 0, size * 2**20)
    bomb = deflated(head, *([zeros] * size))
    assert len(bomb) < 2 * 2**20
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(LimitError, match="256 MiB"):
        read_index(bomb)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4 * 2**20
    assert time.process_time() - started < 5
    with pytest.raises(LimitError, match="more than 1 MiB"):
        read_index(bomb, limits=HeaderLimits(inflated_bytes=2**20))


def test_a_deflated_stream_that_is_cut_off_or_broken() -> None:
    whole = deflated(SQ.pack(0x7FE0, 0x10, b"OW", 0, 8192), bytes(8192))
    assert read_index(whole).number_of_frames == 1
    with pytest.raises(TruncatedError):
        read_index(whole[:-3])
    with pytest.raises(TruncatedError):
        read_index(deflated(SQ.pack(0x7FE0, 0x10, b"OW", 0, 8192), bytes(8190)))
    broken = bytearray(whole)
    broken[-40:] = b"\xff" * 40
    with pytest.raises(NotDicomError):
        read_index(bytes(broken))


@pytest.mark.parametrize("keep", [1, 100, 5000, 8191])
def test_pixel_data_that_is_cut_off(keep: int) -> None:
    raw = to_bytes(make_instance())
    with pytest.raises(TruncatedError, match="The picture is cut off"):
        read_index(raw[:-keep])


def encapsulated(fragments: list[bytes], *, is_closed: bool = True, frames: int = 1) -> bytes:
    ds = make_instance(NumberOfFrames=frames)
    raw = to_bytes(ds)
    body = raw[read_index(raw).data_set_offset : raw.index(b"\xe0\x7f\x10\x00")]
    head = part10_header(
        sop_class_uid=ds.SOPClassUID,
        sop_instance_uid=ds.SOPInstanceUID,
        transfer_syntax_uid="1.2.840.10008.1.2.5",
    )
    out = head + body + SQ.pack(0x7FE0, 0x10, b"OB", 0, UNDEFINED) + ITEM + bytes(4)
    for fragment in fragments:
        out += ITEM + struct.pack("<I", len(fragment)) + fragment
    return out + (SEQUENCE_END if is_closed else b"")


def test_fragments_that_are_cut_off() -> None:
    whole = encapsulated([bytes(100)])
    assert read_index(whole).number_of_frames == 1
    for size in (9, 50, 108, 115):
        with pytest.raises(TruncatedError, match="cut off"):
            read_index(whole[:-size])
    undefined = encapsulated([])[:-8] + ITEM + struct.pack("<I", UNDEFINED)
    with pytest.raises(TruncatedError):
        read_index(undefined)


def test_a_missing_end_is_forgiven_only_where_no_frame_can_be_missing() -> None:
    index = read_index(encapsulated([bytes(100), bytes(60)], is_closed=False, frames=2))
    assert index.number_of_frames == 2
    assert any("not closed" in warning for warning in index.warnings)
    with pytest.raises(TruncatedError):
        read_index(encapsulated([bytes(100), bytes(60)], is_closed=False, frames=3))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0",
        bytes(132),
        bytes(128) + b"DICM",
        b"DICM",
        b"\x08\x00",
        b"\x08\x00\x05\x00CS",
        bytes(128) + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00",
        bytes(128) + b"DICM" + b"\x02\x00\x01\x00OB\0\0\xff\xff\xff\xff",
        b"%PDF-1.7\n",
        b"\x89PNG\r\n\x1a\n" + bytes(300),
        b"PK\x03\x04" + bytes(300),
    ],
    ids=range(12),
)
def test_what_is_no_dicom(raw: bytes) -> None:
    with pytest.raises(NotDicomError):
        read_index(raw)


def test_a_private_element_that_looks_like_a_sequence_is_left_alone() -> None:
    """Vendors' binary values may begin with the bytes of an item tag."""
    noise = ITEM + struct.pack("<I", 0x7FFFFFFF) + bytes(range(200))
    un = struct.pack("<HH2sHI", 9, 0x1010, b"UN", 0, len(noise))
    index = read_index(with_inserted(un + noise))
    assert index.rows == 64
    assert index.warnings == ()


def test_a_damaged_sequence_of_known_length_is_passed_over_with_a_word() -> None:
    inner = b"\x08\x00\x50\x11UI" + struct.pack("<H", 5000) + b"1.2.3 "
    item = ITEM + struct.pack("<I", len(inner)) + inner
    broken = SQ.pack(8, 0x1140, b"SQ", 0, len(item)) + item
    index = read_index(with_inserted(broken))
    assert index.patient_name == "Test^Anna"
    assert any("damaged" in warning for warning in index.warnings)


# --- fuzz ------------------------------------------------------------------------------------

SEEDS = [
    to_bytes(make_instance(WindowCenter=40, WindowWidth=80)),
    with_inserted(opened_sequences(3) + opened_sequences(2, length=0)),
    encapsulated([bytes(100), bytes(60)], frames=2),
    deflated(SQ.pack(0x7FE0, 0x10, b"OW", 0, 8192), bytes(8192)),
    to_bytes(make_instance())[132:],
]
FUZZ = settings(
    max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
EDIT = st.tuples(
    st.floats(0, 1, exclude_max=True),
    st.one_of(
        st.binary(min_size=1, max_size=8),
        st.sampled_from([ITEM, ITEM_END, SEQUENCE_END, b"\xff\xff\xff\xff", b"SQ", b"UN", b"OB"]),
    ),
    st.booleans(),
)


def check_survives(raw: bytes) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    sentence = "."
    try:
        index = read_index(raw, require_identity=False)
    except ImagingError as error:
        sentence = str(error)
    else:
        facts = PixelFacts.of(index, index.frames)
        problem(facts)
        assert 0 <= index.number_of_frames <= len(raw) * 8
    assert sentence.endswith(".")
    assert time.process_time() - started < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


@FUZZ
@given(
    seed=st.sampled_from(SEEDS),
    edits=st.lists(EDIT, max_size=8),
    cut=st.floats(0, 1),
)
def test_edited_files(seed: bytes, edits: list[tuple[float, bytes, bool]], cut: float) -> None:
    raw = bytearray(seed)
    header = min(len(raw), 2000)
    for place, what, is_inserted in edits:
        at = int(place * header)
        raw[at : at + (0 if is_inserted else len(what))] = what
    check_survives(bytes(raw[: int(len(raw) * cut)]) if cut < 0.5 else bytes(raw))


@FUZZ
@given(body=st.binary(max_size=600), prefix=st.sampled_from(["part10", "bare", "none"]))
def test_random_bytes(body: bytes, prefix: str) -> None:
    head = {
        "part10": part10_header(
            sop_class_uid="1.2", sop_instance_uid="1.2.3", transfer_syntax_uid="1.2.840.10008.1.2"
        ),
        "bare": b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 192",
        "none": b"",
    }[prefix]
    check_survives(head + body)
