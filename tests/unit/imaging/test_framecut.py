"""Some frames of an object as a new one: read by pydicom and dcmtk, pixels against the source."""

from __future__ import annotations

import io
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import RLELossless

from imaging import framecut
from imaging.framechoice import FrameCutError, FrameSelection, Problem
from imaging.header import read_index
from imaging.part10 import part10_header
from imaging.pixels import PixelFacts, decode_frame
from imaging.uid import is_valid_uid
from tests.dicom import make_instance, to_bytes

SIMPLE, CALCULATED, TIME = 0x00081161, 0x00081162, 0x00081163

# Small, of every way of keeping frames: native in three encodings, of one bit that share bytes or
# not, and fragments with tables, without, and several a frame.
FILES = [
    "mr/enhanced/emri_small.dcm",
    "mr/enhanced/emri_small_big_endian.dcm",
    "mr/enhanced/emri_small_RLE.dcm",
    "mr/enhanced/emri_small_jpeg_2k_lossless.dcm",
    "ct/enhanced/CT0012.fragmented_no_bot_jpeg_lossless.70.dcm",
    "ct/enhanced/CT0012.not_fragmented_bot_jpeg_ls.80.dcm",
    "ct/enhanced/CT0012.not_fragmented_no_bot_rle.dcm",
    "color/sc_rgb/SC_rgb_2frame.dcm",
    "color/sc_rgb/SC_rgb_expb_32bit_2frame.dcm",
    "us/cine/US-PAL-8-10x-echo",
    "us/cine/IM00001.fragmented_no_bot_jpeg_baseline.50.dcm",
    "us/cine/IM00001.implicit_little_endian.dcm",
    "xa_rf/jpeg_baseline_8bit.dcm",
    "seg/highdicom/seg_image_ct_binary_overlap.dcm",
    "seg/highdicom/seg_image_sm_control.dcm",
    "seg/highdicom/seg_image_sm_control_labelmap_palette_color.dcm",
    "seg/liver/liver_nonbyte_aligned.dcm",
    "seg/liver/liver_nonbyte_aligned_rle.dcm",
    "seg/liver/liver_deflate.dcm",
    "seg/liver/liver_expb.dcm",
    "seg/small/23x38x3__multiframe__mf.dcm",
]


def chosen(*numbers: int, tag: int = SIMPLE) -> FrameSelection:
    return FrameSelection(tag, struct.pack(f"<{len(numbers)}I", *numbers))


def cut_out(content: bytes, selection: FrameSelection) -> bytes:
    """The Part 10 file of some frames."""
    source = io.BytesIO(content)
    cut = framecut.plan(source, selection)
    index = read_index(content, require_identity=False)
    header = part10_header(
        sop_class_uid=index.sop_class_uid,
        sop_instance_uid=cut.sop_instance_uid,
        transfer_syntax_uid=index.transfer_syntax_uid,
    )
    return header + b"".join(framecut.write(source, cut))


def frames(content: bytes) -> list[np.ndarray[Any, Any]]:
    index = read_index(content, require_identity=False)
    facts = PixelFacts.of(index, index.frames)
    return [decode_frame(content, facts, number) for number in range(index.number_of_frames)]


def read(content: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(content))


def some(count: int) -> list[int]:
    """Numbers of frames: not the first, not all, the last."""
    return sorted({max(2, count // 2), count})


@pytest.mark.filterwarnings("ignore:Incorrect value for Specific Character Set")
@pytest.mark.parametrize("name", FILES)
def test_chosen_frames_are_those_of_the_source(data: Path, tmp_path: Path, name: str) -> None:
    content = (data / name).read_bytes()
    source, before = read(content), frames(content)
    numbers = some(len(before))
    result = cut_out(content, chosen(*numbers))
    made, after = read(result), frames(result)
    assert made.NumberOfFrames == len(after) == len(numbers)
    for number, frame in zip(numbers, after, strict=True):
        assert np.array_equal(frame, before[number - 1])
    # What is compressed was not touched.
    if source["PixelData"].is_undefined_length:
        old = list(generate_frames(source.PixelData, number_of_frames=len(before)))
        new = list(generate_frames(made.PixelData, number_of_frames=len(numbers)))
        assert [one.rstrip(b"\0") for one in new] == [old[n - 1].rstrip(b"\0") for n in numbers]
    if "PerFrameFunctionalGroupsSequence" in source:
        assert list(made.PerFrameFunctionalGroupsSequence) == [
            source.PerFrameFunctionalGroupsSequence[number - 1] for number in numbers
        ]
    # dcmtk reads it to its end.
    path = tmp_path / "made.dcm"
    path.write_bytes(result)
    done = subprocess.run(["dcmdump", "-q", str(path)], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_nothing_else_changes(data: Path) -> None:
    content = (data / "mr/enhanced/emri_small.dcm").read_bytes()
    source, made = read(content), read(cut_out(content, chosen(3, 4, 9)))
    differs = {
        element.keyword
        for element in [*source, *made]
        if source.get(element.tag) != made.get(element.tag)
    }
    assert differs <= {
        "SOPInstanceUID", "NumberOfFrames", "PixelData", "PerFrameFunctionalGroupsSequence",
        "FrameExtractionSequence", "ContributingEquipmentSequence", "InstanceCreationDate",
        "InstanceCreationTime",
    }  # fmt: skip
    assert made.SOPClassUID == source.SOPClassUID
    assert made.SeriesInstanceUID == source.SeriesInstanceUID


def test_the_new_instance_says_where_it_comes_from(data: Path) -> None:
    content = (data / "mr/enhanced/emri_small.dcm").read_bytes()
    source = read(content)
    first = cut_out(content, chosen(2, 8, 2, tag=CALCULATED))
    made = read(first)
    (extraction,) = made.FrameExtractionSequence
    assert extraction.MultiFrameSourceSOPInstanceUID == source.SOPInstanceUID
    assert list(extraction.CalculatedFrameList) == [2, 8, 2]
    assert "SimpleFrameList" not in extraction
    equipment = made.ContributingEquipmentSequence[-1]
    assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109105"
    assert equipment.PurposeOfReferenceCodeSequence[0].CodingSchemeDesignator == "DCM"
    assert equipment.Manufacturer
    assert len(made.ContributingEquipmentSequence) == 1 + len(
        source.get("ContributingEquipmentSequence", [])
    )
    assert is_valid_uid(made.SOPInstanceUID)
    # Frames of frames: both steps are told, in their order.
    again = read(cut_out(first, chosen(4)))
    assert [item.MultiFrameSourceSOPInstanceUID for item in again.FrameExtractionSequence] == [
        source.SOPInstanceUID,
        made.SOPInstanceUID,
    ]
    assert len(again.ContributingEquipmentSequence) == len(made.ContributingEquipmentSequence) + 1
    # The same frames are the same instance; others are not.
    assert cut_out(content, chosen(2, 8, 2, tag=CALCULATED)) == first
    assert read(cut_out(content, chosen(2))).SOPInstanceUID != made.SOPInstanceUID


def test_a_calculated_list_counts_from_its_first_frame() -> None:
    selection = chosen(1, 3, 1, 5, 0xFFFFFFFF, 2, tag=CALCULATED)
    assert selection.frame_indexes(10) == (0, 1, 2, 4, 6, 8)


@pytest.mark.parametrize(
    ("selection", "problem"),
    [
        (chosen(0), Problem.INVALID),
        (chosen(2, 2), Problem.INVALID),
        (chosen(3, 2), Problem.INVALID),
        (FrameSelection(SIMPLE, b""), Problem.INVALID),
        (FrameSelection(SIMPLE, b"\1\0\0"), Problem.INVALID),
        (chosen(1, 2, tag=CALCULATED), Problem.INVALID),
        (chosen(3, 2, 1, tag=CALCULATED), Problem.INVALID),
        (chosen(1, 2, 0, tag=CALCULATED), Problem.INVALID),
        (chosen(1, 4, 1, 4, 5, 1, tag=CALCULATED), Problem.INVALID),
        (chosen(11, 12), Problem.NO_SUCH_FRAMES),
        (chosen(11, 20, 1, tag=CALCULATED), Problem.NO_SUCH_FRAMES),
    ],
    ids=[
        "zero", "twice", "backwards", "empty", "cut-off", "two-of-three", "last-before-first",
        "no-step", "overlapping", "beyond-the-end", "range-beyond-the-end",
    ],
)  # fmt: skip
def test_lists_that_break_the_rules(selection: FrameSelection, problem: Problem) -> None:
    with pytest.raises(FrameCutError) as caught:
        selection.frame_indexes(10)
    assert caught.value.problem is problem


def test_frames_beyond_the_end_are_passed_over() -> None:
    assert chosen(9, 10, 11).frame_indexes(10) == (8, 9)


# --- what counts and times frames


def cine(count: int = 6, **keywords: Any) -> Dataset:
    pixels = np.arange(count * 8 * 8, dtype=np.uint8).reshape(count, 8, 8)
    instance = make_instance(pixels[0], NumberOfFrames=count, **keywords)
    instance.PixelData = pixels.tobytes()
    return instance


def cut_of(instance: Dataset, *numbers: int) -> Dataset:
    return read(cut_out(to_bytes(instance), chosen(*numbers)))


def test_even_times_stay_even_where_frames_are_left_out_evenly() -> None:
    made = cut_of(cine(FrameTime=40, FrameIncrementPointer=Tag(0x0018, 0x1063)), 2, 4, 6)
    assert made.FrameTime == 80
    assert made.FrameDelay == 40
    assert made.FrameIncrementPointer == Tag(0x0018, 0x1063)


def test_uneven_times_become_a_vector() -> None:
    source = cine(FrameTime=40, FrameDelay=5, FrameIncrementPointer=Tag(0x0018, 0x1063))
    made = cut_of(source, 2, 3, 6)
    assert "FrameTime" not in made
    assert list(made.FrameTimeVector) == [0, 40, 120]
    assert made.FrameDelay == 45
    assert made.FrameIncrementPointer == Tag(0x0018, 0x1065)


def test_a_vector_of_times_is_summed_up() -> None:
    source = cine(
        FrameTimeVector=[0, 10, 20, 30, 40, 50], FrameIncrementPointer=Tag(0x0018, 0x1065)
    )
    made = cut_of(source, 3, 6)
    assert list(made.FrameTimeVector) == [0, 120]
    assert made.FrameDelay == 30


def test_vectors_are_cut_in_either_byte_order() -> None:
    source = cine(
        FrameIncrementPointer=[Tag(0x0054, 0x0010), Tag(0x0054, 0x0080)],
        EnergyWindowVector=[1, 1, 1, 2, 2, 2],
        SliceVector=[1, 2, 3, 1, 2, 3],
        PageNumberVector=[10, 20, 30, 40, 50, 60],
    )
    made = cut_of(source, 2, 5)
    assert list(made.EnergyWindowVector) == [1, 2]
    assert list(made.SliceVector) == [2, 2]
    assert list(made.PageNumberVector) == [20, 50]
    source.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
    out = io.BytesIO()
    source.save_as(out, implicit_vr=False, little_endian=False, force_encoding=True)
    turned = read(cut_out(out.getvalue(), chosen(2, 5)))
    assert list(turned.SliceVector) == [2, 2]
    assert list(turned.FrameExtractionSequence[0].SimpleFrameList) == [2, 5]


def test_claims_about_all_frames_are_left_out() -> None:
    source = cine(
        RepresentativeFrameNumber=3, StartTrim=1, StopTrim=6, InConcatenationNumber=1,
        ConcatenationUID="1.2.3", DimensionOrganizationType="3D",
    )  # fmt: skip
    made = cut_of(source, 1, 2)
    assert not {
        "RepresentativeFrameNumber", "StartTrim", "StopTrim", "ConcatenationUID",
        "InConcatenationNumber", "DimensionOrganizationType",
    } & set(made.dir())  # fmt: skip


def encapsulated(*, is_extended: bool) -> Dataset:
    source = cine(3)
    # RLE: a header of 64 bytes, one segment of literal runs.
    streams = [
        struct.pack("<16I", 1, 64, *[0] * 14) + b"\x3f" + bytes([number]) * 64 + b"\x80"
        for number in range(3)
    ]
    source.file_meta.TransferSyntaxUID = RLELossless
    if is_extended:
        pixels, offsets, lengths = encapsulate_extended(streams)
        source.PixelData = pixels
        source.ExtendedOffsetTable, source.ExtendedOffsetTableLengths = offsets, lengths
    else:
        source.PixelData = encapsulate(streams, fragments_per_frame=2)
    source["PixelData"].VR = "OB"
    source["PixelData"].is_undefined_length = True
    return source


@pytest.mark.parametrize("is_extended", [False, True], ids=["basic", "extended"])
def test_offset_tables_are_made_anew(*, is_extended: bool) -> None:
    content = cut_out(to_bytes(encapsulated(is_extended=is_extended)), chosen(2, 3))
    made, table = read(content), read_index(content, require_identity=False).frames
    assert table is not None
    assert table.kind == ("extended" if is_extended else "basic")
    assert ("ExtendedOffsetTable" in made) == is_extended
    if is_extended:
        assert struct.unpack("<2Q", made.ExtendedOffsetTable)[0] == 0
    assert [int(frame[0, 0]) for frame in frames(content)] == [1, 2]


# --- what is refused


def refused(instance: Dataset, selection: FrameSelection | None = None) -> Problem:
    with pytest.raises(FrameCutError) as caught:
        framecut.plan(io.BytesIO(to_bytes(instance)), selection or chosen(1))
    return caught.value.problem


def test_what_cannot_be_made_valid_is_refused() -> None:
    dose = cine()
    dose.SOPClassUID = pydicom.uid.RTDoseStorage
    groups = Sequence([Dataset(), Dataset()])
    overlay = cine()
    overlay.add_new(0x60000015, "IS", 6)
    video = encapsulated(is_extended=False)
    video.file_meta.TransferSyntaxUID = pydicom.uid.MPEG4HP41
    assert refused(video) is Problem.CANNOT
    assert refused(make_instance()) is Problem.WRONG_KIND
    assert refused(make_instance(PixelData=None, NumberOfFrames=1)) is Problem.WRONG_KIND
    assert refused(dose) is Problem.WRONG_KIND
    assert refused(overlay) is Problem.CANNOT
    assert refused(cine(PerFrameFunctionalGroupsSequence=groups)) is Problem.CANNOT
    assert refused(cine(DimensionOrganizationType="TILED_FULL")) is Problem.CANNOT


@pytest.mark.parametrize("name", ["wsi/multiframe.dcm", "wsi/sm_image.dcm"])
def test_tiles_that_have_their_place_by_their_number_alone_are_refused(
    data: Path, name: str
) -> None:
    with pytest.raises(FrameCutError) as caught:
        framecut.plan(io.BytesIO((data / name).read_bytes()), chosen(2))
    assert caught.value.problem is Problem.CANNOT


def test_tiles_that_say_their_place_keep_it() -> None:
    places = [Dataset() for _ in range(6)]
    for at, place in enumerate(places):
        place.PlanePositionSlideSequence = [Dataset()]
        place.PlanePositionSlideSequence[0].ColumnPositionInTotalImagePixelMatrix = 1 + 8 * at
    made = cut_of(
        cine(
            DimensionOrganizationType="TILED_FULL",
            PerFrameFunctionalGroupsSequence=Sequence(places),
        ),
        3,
    )
    assert made.DimensionOrganizationType == "TILED_SPARSE"
    (group,) = made.PerFrameFunctionalGroupsSequence
    assert group.PlanePositionSlideSequence[0].ColumnPositionInTotalImagePixelMatrix == 17


def test_times_choose_no_frames() -> None:
    by_time = FrameSelection(TIME, struct.pack("<2d", 0, 1))
    assert refused(cine(), by_time) is Problem.NOT_TIMED
    assert refused(cine(FrameTime=40), by_time) is Problem.CANNOT
