"""Stored segmentations opened again: the same pixels, a new object, the old one as it was."""

from __future__ import annotations

import io
import itertools
import json
import subprocess
from pathlib import Path
from typing import Any
from uuid import UUID

import highdicom
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from accounts.models import Role, User
from archive import access, deletions, stores
from archive.access import Actor, actor_of
from archive.errors import ForbiddenError, InvalidInputError, NotFoundError
from dicom_viewer import drafts, segment_copies
from dicom_viewer.models import StoredResult
from imaging import masks
from tests import factories
from tests.dicom import make_instance, to_bytes
from tests.segmentations import described, segmented
from worklist.models import DicomImage, Facility

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

STUDY = "1.2.826.0.1.3680043.10.1338.71"
SPACE = f"{STUDY}.9"
ROWS, COLUMNS = 12, 10


def slices(series: str = f"{STUDY}.1", count: int = 4) -> list[Dataset]:
    return [
        make_instance(
            np.full((ROWS, COLUMNS), number, np.uint16),
            StudyInstanceUID=STUDY,
            SeriesInstanceUID=series,
            SOPInstanceUID=f"{series}.{number + 1}",
            FrameOfReferenceUID=SPACE,
            InstanceNumber=number + 1,
            ImagePositionPatient=[10, 20, 30 + 2.5 * number],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            PixelSpacing=[0.5, 0.25],
            SliceThickness=2.5,
        )
        for number in range(count)
    ]


def two_parts() -> np.ndarray:
    pixels = np.zeros((4, ROWS, COLUMNS), np.uint8)
    pixels[1, 2:8, 2:8] = 1
    pixels[2, 3:6, 1:9] = 1
    pixels[2, 8:11] = 2
    return pixels


def stored(content: Dataset | bytes, facility: Facility) -> DicomImage:
    whole = content if isinstance(content, bytes) else to_bytes(content)
    result = factories.store_bytes(whole, facility)
    return access.image_for(access.EVERYTHING, result.image_id)


def opened(content: bytes) -> tuple[dict[str, Any], np.ndarray]:
    length = int.from_bytes(content[:4], "little")
    return json.loads(content[4 : 4 + length]), np.frombuffer(content, "<u4", offset=4 + length)


def labels_of(content: bytes, rows: int = ROWS, columns: int = COLUMNS) -> dict[str, np.ndarray]:
    head, runs = opened(content)
    return {
        one["SOPInstanceUID"]: masks.from_runs(
            runs[one["offset"] : one["offset"] + one["count"]], rows, columns
        )
        for one in head["frames"]
    }


def kept(actor: Actor, copy: bytes, drawn: dict[str, np.ndarray] | None = None) -> StoredResult:
    """Keep a copy as the viewer does, with other labels where they are given, and store it."""
    head, runs = opened(copy)
    series_id = UUID(head.pop("series_id"))
    del head["notes"]
    for segment in head["segments"]:
        segment["colour"] = segment["colour"] or "#3cb44b"
    payload = runs.tobytes()
    if drawn is not None:
        head["frames"], pieces, offset = [], [], 0
        for uid, mask in drawn.items():
            own = masks.to_runs(mask)
            head["frames"].append({"SOPInstanceUID": uid, "offset": offset, "count": len(own)})
            pieces.append(own.tobytes())
            offset += len(own)
        payload = b"".join(pieces)
    version = drafts.save_draft(actor, series_id, drafts.packed({"version": 0, **head}, payload))
    return drafts.store_draft(actor, series_id, drafts.StoreBody(version=version))


def bytes_of(image: DicomImage) -> bytes:
    with stores.instances().open(image.storage_key) as handle:
        return handle.read()


def errors_of(content: bytes, path: Path) -> list[str]:
    path.write_bytes(content)
    told = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
    return [line for line in told.stderr.splitlines() if line.startswith("Error")]


def test_a_real_segmentation_is_edited_and_stored_as_a_new_one(
    data: Path, reader: Actor, facility: Facility, tmp_path: Path
) -> None:
    for number in (1, 2, 3):
        series_id = stored((data / f"seg/liver/0{number}.dcm").read_bytes(), facility).series_id
    content = (data / "seg/liver/liver.dcm").read_bytes()
    before = stored(content, facility)
    theirs = dcmread(io.BytesIO(content))
    copy = segment_copies.copy_of(reader, before.pk)
    head, _ = opened(copy)
    assert head["series_id"] == str(series_id)
    (segment,) = head["segments"]
    assert (segment["name"], segment["property"], segment["is_semiautomatic"]) == (
        "Liver", "source", True,
    )  # fmt: skip
    assert segment["source"] == {
        "image_id": str(before.pk), "number": 1, "name": "Liver, Tissue",
    }  # fmt: skip
    drawn = labels_of(copy, 512, 512)
    frames = {
        functional.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID: frame
        for functional, frame in zip(
            theirs.PerFrameFunctionalGroupsSequence, theirs.pixel_array, strict=True
        )
    }
    assert drawn.keys() == frames.keys()
    for uid, mask in drawn.items():
        assert np.array_equal(mask, frames[uid])
    # A brush on one slice; the others stay.
    changed = next(iter(drawn))
    drawn[changed][5:9, 7:20] = 1
    row = kept(reader, copy, drawn)
    after = dcmread(io.BytesIO(bytes_of(row.image)))
    assert after.SOPInstanceUID != theirs.SOPInstanceUID
    assert after.SeriesInstanceUID != theirs.SeriesInstanceUID
    read = highdicom.seg.Segmentation.from_dataset(after)
    pixels = read.get_pixels_by_source_instance(list(drawn))
    for at, uid in enumerate(drawn):
        assert np.array_equal(pixels[at, ..., 0], drawn[uid])
    assert np.count_nonzero(drawn[changed] != frames[changed]) == 4 * 13
    # What it says of the liver is what the other maker said.
    said = after.SegmentSequence[0]
    kind = said.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("T-62000", "SRT")
    assert said.SegmentAlgorithmType == "SEMIAUTOMATIC"
    assert said.SegmentAlgorithmName == theirs.SegmentSequence[0].SegmentAlgorithmName
    # It names what it was made from, and that has not changed.
    *_, source = after.SourceImageSequence
    assert source.ReferencedSOPInstanceUID == theirs.SOPInstanceUID
    assert source.ReferencedSOPClassUID == theirs.SOPClassUID
    *_, referenced = after.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == theirs.SeriesInstanceUID
    (instance,) = referenced.ReferencedInstanceSequence
    assert instance.ReferencedSOPInstanceUID == theirs.SOPInstanceUID
    assert row.contents["copied_from"] == [theirs.SOPInstanceUID]
    assert bytes_of(access.image_for(access.EVERYTHING, before.pk)).endswith(
        content[132:][-90_000:]
    )
    assert errors_of(bytes_of(row.image), tmp_path / "after.dcm") == []


def test_ours_comes_back_under_the_same_finding(
    reader: Actor, facility: Facility, tmp_path: Path
) -> None:
    images = slices()
    for image in images:
        stored(image, facility)
    anatomy = highdicom.sr.CodedConcept("64033007", "SCT", "Kidney")
    first = described(
        1, algorithm_type="AUTOMATIC", anatomic_regions=[anatomy], tracking_id="K",
        tracking_uid="1.2.3.4.5",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name="Net", family=codes.DCM.ArtificialIntelligence, version="3"
        ),
    )  # fmt: skip
    side = highdicom.sr.CodedConcept("7771000", "SCT", "Left")
    first.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [side]
    pixels = two_parts()
    before = stored(segmented(images, pixels, "BINARY", first, described(2)), facility)
    wanted = {f"{STUDY}.1.{at + 1}": pixels[at] for at in (1, 2)}
    copy = segment_copies.copy_of(reader, before.pk)
    assert [one["property"] for one in opened(copy)[0]["segments"]] == ["source", "71616004"]
    versions = [before]
    for _ in range(2):
        copy = segment_copies.copy_of(reader, versions[-1].pk)
        found = labels_of(copy)
        assert found.keys() == wanted.keys()
        assert all(np.array_equal(found[uid], wanted[uid]) for uid in wanted)
        versions.append(access.image_for(access.EVERYTHING, kept(reader, copy).image_id))
    files = [dcmread(io.BytesIO(bytes_of(one))) for one in versions]
    for before_it, file in itertools.pairwise(files):
        assert file.SourceImageSequence[-1].ReferencedSOPInstanceUID == before_it.SOPInstanceUID
        kidney, muscle = file.SegmentSequence
        (region,) = kidney.AnatomicRegionSequence
        assert region.CodeMeaning == "Kidney"
        assert region.AnatomicRegionModifierSequence[0].CodeMeaning == "Left"
        assert (kidney.TrackingUID, kidney.TrackingID) == ("1.2.3.4.5", "K")
        # What a program drew and a person had in hand is no longer the program's alone.
        assert (kidney.SegmentAlgorithmType, kidney.SegmentAlgorithmName) == (
            "SEMIAUTOMATIC",
            "Net",
        )
        assert muscle.SegmentAlgorithmType == "MANUAL"
        assert "AnatomicRegionSequence" not in muscle
    assert files[1].SegmentSequence[1].TrackingUID == files[2].SegmentSequence[1].TrackingUID
    assert len({file.SeriesInstanceUID for file in files}) == 3
    assert errors_of(bytes_of(versions[-1]), tmp_path / "third.dcm") == []


def test_label_maps_and_frames_that_name_no_picture(reader: Actor, facility: Facility) -> None:
    images = slices()
    for image in images:
        stored(image, facility)
    pixels = two_parts()
    wanted = {f"{STUDY}.1.{at + 1}": pixels[at] for at in (1, 2)}
    unnamed = segmented(images, pixels)
    for functional in unnamed.PerFrameFunctionalGroupsSequence:
        del functional.DerivationImageSequence
    for one in (segmented(images, pixels, "LABELMAP"), unnamed):
        found = labels_of(segment_copies.copy_of(reader, stored(one, facility).pk))
        assert found.keys() == wanted.keys()
        assert all(np.array_equal(found[uid], wanted[uid]) for uid in wanted)


def moved(one: Dataset, by_mm: float) -> Dataset:
    """Return an object whose frames lie elsewhere and name no picture."""
    for functional in one.PerFrameFunctionalGroupsSequence:
        del functional.DerivationImageSequence
        position = functional.PlanePositionSequence[0].ImagePositionPatient
        functional.PlanePositionSequence[0].ImagePositionPatient = [
            position[0], position[1], float(position[2]) + by_mm,
        ]  # fmt: skip
    return one


def elsewhere(one: Dataset) -> Dataset:
    one.FrameOfReferenceUID = generate_uid()
    return moved(one, 0)


def smaller(one: Dataset) -> Dataset:
    """Return an object on a coarser grid of the same pictures."""
    one.Rows = one.Rows // 2
    one.NumberOfFrames = 1
    one.PerFrameFunctionalGroupsSequence = one.PerFrameFunctionalGroupsSequence[:1]
    one.PixelData = bytes([255] * 8)
    return one


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda one: moved(one, 1.0), "pixel upon pixel"),
        (elsewhere, "another frame of reference"),
        (smaller, "6 x 10 pixels, the pictures 12 x 10"),
    ],
    ids=["between slices", "elsewhere", "coarser"],
)
def test_what_does_not_match_the_grid_is_refused_in_words(
    reader: Actor, facility: Facility, change: Any, words: str
) -> None:
    images = slices()
    for image in images:
        stored(image, facility)
    image = stored(change(segmented(images, two_parts())), facility)
    with pytest.raises(InvalidInputError, match=words):
        segment_copies.copy_of(reader, image.pk)


def test_fractional_and_overlapping_segments_are_refused_in_words(
    reader: Actor, facility: Facility
) -> None:
    images = slices()
    for image in images:
        stored(image, facility)
    shares = np.zeros((4, ROWS, COLUMNS), np.float32)
    shares[1, 2:5, 2:5] = 0.5
    fractional = segmented(
        images, shares, "FRACTIONAL", described(1),
        fractional_type="PROBABILITY", max_fractional_value=200,
    )  # fmt: skip
    with pytest.raises(InvalidInputError, match="fractional"):
        segment_copies.copy_of(reader, stored(fractional, facility).pk)
    pixels = np.zeros((4, ROWS, COLUMNS, 2), np.uint8)
    pixels[1, 2:8, 2:8, 0] = 1
    pixels[1, 5:9, 5:9, 1] = 1
    both = stored(segmented(images, pixels), facility)
    with pytest.raises(InvalidInputError, match="“Part 1” and “Part 2” overlap"):
        segment_copies.copy_of(reader, both.pk)
    # One of them alone can be.
    found = labels_of(segment_copies.copy_of(reader, both.pk, [2]))
    assert np.array_equal(found[f"{STUDY}.1.2"], pixels[1, ..., 1])
    with pytest.raises(NotFoundError, match="no such segment"):
        segment_copies.copy_of(reader, both.pk, [7])


def test_who_may_not_draw_gets_no_copy(
    reader: Actor, facility: Facility, other_facility: Facility
) -> None:
    images = slices()
    for image in images:
        stored(image, facility)
    one = stored(segmented(images, two_parts()), facility)
    viewer = actor_of(factories.user("viewer", Role.VIEWER, [facility]))
    stranger = actor_of(factories.user("stranger", Role.RADIOLOGIST, [other_facility]))
    for actor in (viewer, stranger):
        with pytest.raises(ForbiddenError):
            segment_copies.copy_of(actor, one.pk)
    with pytest.raises(NotFoundError, match="no segmentation"):
        segment_copies.copy_of(
            reader, one.series.study.series.get(modality="CT").images.all()[0].pk
        )


def test_a_copy_outlives_what_it_was_copied_from(
    data: Path, reader: Actor, facility: Facility, admin_user: User
) -> None:
    for number in (1, 2, 3):
        stored((data / f"seg/liver/0{number}.dcm").read_bytes(), facility)
    before = stored((data / "seg/liver/liver.dcm").read_bytes(), facility)
    copy = segment_copies.copy_of(reader, before.pk)
    head, runs = opened(copy)
    series_id = UUID(head["series_id"])
    segments = [{**one, "colour": "#3cb44b"} for one in head["segments"]]
    body = {"version": 0, "segments": segments, "frames": head["frames"]}
    drafts.save_draft(reader, series_id, drafts.packed(body, runs.tobytes()))
    deletions.delete_image(actor_of(admin_user), before.pk, "made by mistake")
    with pytest.raises(InvalidInputError, match="“Liver” was copied from is no longer"):
        drafts.store_draft(reader, series_id, drafts.StoreBody(version=1))
    body["version"] = 1
    segments[0]["property"] = "10200004"
    drafts.save_draft(reader, series_id, drafts.packed(body, runs.tobytes()))
    row = drafts.store_draft(reader, series_id, drafts.StoreBody(version=2))
    assert row.contents["copied_from"] == []
    assert "DerivationDescription" not in dcmread(io.BytesIO(bytes_of(row.image)))
