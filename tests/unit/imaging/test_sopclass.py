"""What a SOP class is to a reader; names by PS3.6, groups by PS3.4 Annex B.5."""

from __future__ import annotations

import pytest

from imaging import sopclass

STORAGE = "1.2.840.10008.5.1.4.1.1."


@pytest.mark.parametrize(
    ("number", "has_pixels", "kind", "words"),
    [
        ("2", True, "image", "CT Image"),
        ("88.33", False, "document", "structured report"),
        ("88.59", False, "other", "key object selection"),
        ("104.1", False, "document", "PDF document"),
        ("104.3", False, "document", "3D model (STL)"),
        ("9.1.1", False, "waveform", "electrocardiogram"),
        ("9.6.1", False, "waveform", "waveform"),
        ("11.1", False, "other", "presentation state"),
        ("481.3", False, "other", "radiotherapy structure set"),
        ("481.5", False, "other", "radiotherapy plan or record"),
        ("66", False, "other", "raw data set"),
        ("66.4", True, "image", "segmentation"),
        ("2", False, "other", "CT Image"),
    ],
)
def test_kind_and_words(number: str, has_pixels: bool, kind: str, words: str) -> None:
    uid = STORAGE + number
    assert sopclass.kind_of(uid, has_pixels=has_pixels) == kind
    assert sopclass.plain_name(uid) == words


def test_a_private_class_is_named_as_such() -> None:
    assert sopclass.plain_name("1.2.276.0.19.55.1.5.1.1.1") == "private object"
    assert sopclass.class_name("1.2.276.0.19.55.1.5.1.1.1") == "1.2.276.0.19.55.1.5.1.1.1"
    assert sopclass.class_name(STORAGE + "2") == "CT Image Storage"


@pytest.mark.parametrize(
    ("uid", "expected"),
    [
        ("1.2.840.10008.5.1.4.1.1.1", True),  # Computed Radiography Image Storage
        ("1.2.840.10008.5.1.4.1.1.2.1", True),  # Enhanced CT Image Storage
        ("1.2.840.10008.5.1.4.1.1.11.1", False),  # Grayscale Softcopy Presentation State
        ("1.2.840.10008.5.1.4.1.1.88.11", False),  # Basic Text SR
        ("1.2.840.10008.5.1.4.1.1.66.4", False),  # Segmentation
        ("1.2.3.4", False),
    ],
)
def test_which_classes_should_hold_pixels(uid: str, *, expected: bool) -> None:
    assert sopclass.is_image_class(uid) is expected
