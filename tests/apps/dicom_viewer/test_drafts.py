"""Segments that are drawn: kept as a draft, and written as DICOM that others read."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import highdicom
import numpy as np
import pytest
from pydicom import Dataset, dcmread

from accounts.models import Role
from archive import access, stores
from archive.access import Actor, actor_of
from archive.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    TooLargeError,
)
from archive.models import AuditEvent
from dicom_viewer import derived, drafts
from dicom_viewer.models import SegmentationDraft, StoredResult
from imaging import masks
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import Facility, Series

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

STUDY = "1.2.826.0.1.3680043.10.1338.8"


@pytest.fixture
def series(facility: Facility, store: object) -> Series:
    for number in range(4):
        content = to_bytes(
            make_instance(
                np.full((12, 10), number, np.uint16),
                StudyInstanceUID=STUDY,
                SeriesInstanceUID=f"{STUDY}.1",
                SOPInstanceUID=f"{STUDY}.1.{number + 1}",
                FrameOfReferenceUID=f"{STUDY}.9",
                InstanceNumber=number + 1,
                ImagePositionPatient=[10, 20, 30 + 2.5 * number],
                ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
                PixelSpacing=[0.5, 0.25],
                SliceThickness=2.5,
                PatientName="Müller^Änne",
                SpecificCharacterSet="ISO_IR 100",
                PatientSex="unlawful",
            )
        )
        factories.store_bytes(content, facility)
    return access.series_for(access.EVERYTHING, f"{STUDY}.1")


def segment(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": str(uuid4()),
        "number": number,
        "name": f"Segment {number}",
        "property": "10200004",
        "colour": "#3cb44b",
        "is_semiautomatic": False,
    } | changes


def draft(drawn: dict[int, np.ndarray], segments: list[dict[str, Any]], version: int = 0) -> bytes:
    """A draft as the viewer sends it; `drawn` by slice number from 1."""
    frames, pieces, offset = [], [], 0
    for number, mask in drawn.items():
        runs = masks.to_runs(mask)
        frames.append(
            {"SOPInstanceUID": f"{STUDY}.1.{number}", "offset": offset, "count": len(runs)}
        )
        pieces.append(runs.tobytes())
        offset += len(runs)
    head = {"version": version, "segments": segments, "frames": frames}
    return drafts.packed(head, b"".join(pieces))


def boxes() -> dict[int, np.ndarray]:
    first, second = np.zeros((12, 10), np.uint8), np.zeros((12, 10), np.uint8)
    first[2:8, 2:8] = 2
    second[3:6, 1:9] = 2
    second[8:11, 0:10] = 5
    return {2: first, 3: second}


def opened(content: bytes) -> tuple[dict[str, Any], bytes]:
    length = int.from_bytes(content[:4], "little")
    return json.loads(content[4 : 4 + length]), content[4 + length :]


def file_of(row: StoredResult) -> Dataset:
    with stores.instances().open(row.image.storage_key) as handle:
        return dcmread(io.BytesIO(handle.read()))


def test_what_is_drawn_is_there_again(reader: Actor, series: Series) -> None:
    head, _ = opened(drafts.draft_of(reader, series.pk))
    assert (head["version"], head["frames"]) == (0, [])
    assert {"code": "10200004", "name": "Liver", "category": "Anatomical Structure"} in head[
        "properties"
    ]
    segments = [segment(2), segment(5, name="Other")]
    assert drafts.save_draft(reader, series.pk, draft(boxes(), segments)) == 1
    assert drafts.save_draft(reader, series.pk, draft(boxes(), segments, version=1)) == 2
    head, payload = opened(drafts.draft_of(reader, series.pk))
    assert head["version"] == 2
    assert [one["name"] for one in head["segments"]] == ["Segment 2", "Other"]
    runs = np.frombuffer(payload, "<u4")
    for frame, (number, mask) in zip(head["frames"], boxes().items(), strict=True):
        assert frame["SOPInstanceUID"] == f"{STUDY}.1.{number}"
        own = runs[frame["offset"] :][: frame["count"]]
        assert np.array_equal(masks.from_runs(own, 12, 10), mask)


def test_two_windows_do_not_overwrite_each_other(reader: Actor, series: Series) -> None:
    segments = [segment(2), segment(5)]
    drafts.save_draft(reader, series.pk, draft(boxes(), segments))
    for stale in (0, 7):
        with pytest.raises(ConflictError, match="another window"):
            drafts.save_draft(reader, series.pk, draft({}, segments, version=stale))
    assert SegmentationDraft.objects.get().version == 1


def test_a_draft_is_its_maker_s_alone(reader: Actor, series: Series, facility: Facility) -> None:
    drafts.save_draft(reader, series.pk, draft(boxes(), [segment(2), segment(5)]))
    other = actor_of(factories.user("other", Role.RADIOLOGIST, [facility]))
    assert opened(drafts.draft_of(other, series.pk))[0]["version"] == 0
    drafts.drop_draft(other, series.pk)
    assert SegmentationDraft.objects.count() == 1
    drafts.drop_draft(reader, series.pk)
    assert not SegmentationDraft.objects.exists()


def test_stored_segments_are_read_by_others_as_they_were_drawn(
    reader: Actor, series: Series
) -> None:
    segments = [
        segment(2, name="Liver, left"),
        segment(4, name="Never drawn"),
        segment(5, name="Möglich", property="52988006", is_semiautomatic=True),
    ]
    drafts.save_draft(reader, series.pk, draft(boxes(), segments))
    row = drafts.store_draft(
        reader, series.pk, drafts.StoreBody(version=1, description="My segments")
    )
    file = file_of(row)
    assert file.SOPClassUID.name == "Segmentation Storage"
    assert (file.StudyInstanceUID, file.SeriesDescription) == (STUDY, "My segments")
    assert file.SeriesInstanceUID != series.series_instance_uid
    assert (str(file.PatientName), file.PatientSex) == ("Müller^Änne", "unlawful")
    assert file.ContentCreatorName
    # highdicom's own reading: pixel for pixel, by the images that they were drawn on.
    theirs = highdicom.seg.Segmentation.from_dataset(file)
    assert theirs.number_of_segments == 2
    pixels = theirs.get_pixels_by_source_instance([f"{STUDY}.1.2", f"{STUDY}.1.3"])
    for at, mask in enumerate(boxes().values()):
        assert np.array_equal(pixels[at, ..., 0], mask == 2)
        assert np.array_equal(pixels[at, ..., 1], mask == 5)
    first, second = (theirs.get_segment_description(number) for number in (1, 2))
    assert (first.segment_label, first.algorithm_type.value) == ("Liver, left", "MANUAL")
    assert (second.segment_label, second.algorithm_type.value) == ("Möglich", "SEMIAUTOMATIC")
    assert second.segmented_property_type.meaning == "Lesion"
    assert second.segmented_property_category.value == "49755003"
    assert first.tracking_uid == f"2.25.{int(segments[0]['id'].replace('-', ''), 16)}"
    # The draft has become an object that everybody sees, and our own reading is the same.
    assert not SegmentationDraft.objects.exists()
    assert AuditEvent.objects.filter(verb="result.store").exists()
    (listed,) = derived.derived_on(reader, series.study_id)["objects"]
    assert [part["name"] for part in listed["parts"]] == ["Liver, left", "Möglich"]
    head, payload = opened(derived.drawn_by(reader, row.image_id))
    runs = np.frombuffer(payload, "<u4")
    uids = [f"{STUDY}.1.{number}" for number in boxes()]
    found = {uid: np.zeros((12, 10), np.uint8) for uid in uids}
    for plane in head["planes"]:
        own = masks.from_runs(runs[plane["offset"] :][: plane["count"]], 12, 10)
        found[plane["SOPInstanceUID"]][own == 1] = {1: 2, 2: 5}[plane["part"]]
    for uid, mask in zip(uids, boxes().values(), strict=True):
        assert np.array_equal(found[uid], mask)
    # 36 + 24 pixels of 0.5 x 0.25 mm in slices of 2.5 mm.
    assert head["parts"][0]["volume_ml"] == pytest.approx(60 * 0.125 * 2.5 / 1000)


def test_segments_of_an_object_of_many_frames(
    data: Path, reader: Actor, facility: Facility
) -> None:
    path = data / "seg/small/23x38x3__multiframe__mf.dcm"
    source = dcmread(path)
    result = factories.store_bytes(path.read_bytes(), facility)
    image = access.image_for(access.EVERYTHING, result.image_id)
    mask = np.zeros((source.Rows, source.Columns), np.uint8)
    mask[3:9, 4:7] = 1
    runs = masks.to_runs(mask)
    frame = {
        "SOPInstanceUID": source.SOPInstanceUID,
        "frame_number": 2,
        "offset": 0,
        "count": len(runs),
    }
    head = {"version": 0, "segments": [segment(1)], "frames": [frame]}
    drafts.save_draft(reader, image.series_id, drafts.packed(head, runs.tobytes()))
    row = drafts.store_draft(reader, image.series_id, drafts.StoreBody(version=1))
    theirs = highdicom.seg.Segmentation.from_dataset(file_of(row))
    pixels = theirs.get_pixels_by_source_frame(
        source.SOPInstanceUID, [1, 2, 3], assert_missing_frames_are_empty=True
    )
    assert [int(frame.sum()) for frame in pixels[..., 0]] == [0, 18, 0]
    assert np.array_equal(pixels[1, ..., 0], mask)


def test_a_newer_state_is_not_stored_by_mistake(reader: Actor, series: Series) -> None:
    with pytest.raises(NotFoundError, match="no draft"):
        drafts.store_draft(reader, series.pk, drafts.StoreBody(version=1))
    drafts.save_draft(reader, series.pk, draft({}, [segment(1)]))
    with pytest.raises(ConflictError, match="changed meanwhile"):
        drafts.store_draft(reader, series.pk, drafts.StoreBody(version=2))
    with pytest.raises(InvalidInputError, match="Draw something"):
        drafts.store_draft(reader, series.pk, drafts.StoreBody(version=1))
    assert SegmentationDraft.objects.count() == 1
    assert not StoredResult.objects.exists()


def unfit(pick: str) -> bytes:
    mask = np.zeros((12, 10), np.uint8)
    mask[2, 2] = 1
    content = draft({1: mask}, [segment(1)])
    head, payload = opened(content)
    if pick == "too few pixels":
        payload = masks.to_runs(mask[:-1]).tobytes()
        head["frames"][0]["count"] = len(payload) // 4
    elif pick == "beyond the end":
        head["frames"][0]["count"] += 1
    elif pick == "unknown segment":
        head["segments"][0]["number"] = 2
    elif pick == "number twice":
        head["segments"].append(segment(1))
    elif pick == "frame twice":
        head["frames"] *= 2
    elif pick == "unknown property":
        head["segments"][0]["property"] = "12345"
    elif pick == "no such image":
        head["frames"][0]["SOPInstanceUID"] = "1.2.3"
    elif pick == "no such frame":
        head["frames"][0]["frame_number"] = 2
    elif pick == "endless run":
        payload = np.array([0xFFFFFF00], "<u4").tobytes()
        head["frames"][0]["count"] = 1
    elif pick == "no head":
        return b"\xff\xff\xff\xffxxxx"
    elif pick == "no JSON":
        return b"\x04\x00\x00\x00{[}]"
    return drafts.packed(head, payload)


@pytest.mark.parametrize(
    ("pick", "error", "words"),
    [
        ("too few pixels", InvalidInputError, "fill its image"),
        ("beyond the end", InvalidInputError, "ends before"),
        ("endless run", InvalidInputError, "fill its image"),
        ("unknown segment", InvalidInputError, "not in the list"),
        ("number twice", InvalidInputError, "same number"),
        ("frame twice", InvalidInputError, "drawn on twice"),
        ("unknown property", InvalidInputError, "not in the list"),
        ("no such image", NotFoundError, "no image"),
        ("no such frame", NotFoundError, "no frame 2"),
        ("no head", InvalidInputError, "no head"),
        ("no JSON", InvalidInputError, "not JSON"),
    ],
)
def test_masks_that_do_not_fit_change_nothing(
    reader: Actor, series: Series, pick: str, error: type[Exception], words: str
) -> None:
    drafts.save_draft(reader, series.pk, draft(boxes(), [segment(2), segment(5)]))
    with pytest.raises(error, match=words):
        drafts.save_draft(reader, series.pk, unfit(pick))
    assert SegmentationDraft.objects.get().version == 1


def test_too_many_runs_are_refused(reader: Actor, series: Series) -> None:
    with pytest.raises(TooLargeError, match="4 MiB"):
        drafts.save_draft(reader, series.pk, bytes(drafts.MOST_BYTES + 1))


def test_who_may_not_draw(
    reader: Actor, series: Series, facility: Facility, other_facility: Facility
) -> None:
    content = draft(boxes(), [segment(2), segment(5)])
    viewer = actor_of(factories.user("viewer", Role.VIEWER, [facility]))
    stranger = actor_of(factories.user("stranger", Role.RADIOLOGIST, [other_facility]))
    for actor in (viewer, stranger):
        with pytest.raises(ForbiddenError):
            drafts.save_draft(actor, series.pk, content)
        with pytest.raises(ForbiddenError):
            drafts.store_draft(actor, series.pk, drafts.StoreBody(version=1))
    with pytest.raises(ForbiddenError):
        drafts.draft_of(stranger, series.pk)
