"""The readable list of an object's elements, against pydicom's reading of the same files."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from imaging.tags import TagLine, read_tags
from tests.dicom import make_instance, to_bytes


def value_of(lines: list[TagLine], keyword: str) -> str:
    return next(line.value for line in lines if line.keyword == keyword)


def test_every_top_level_element_of_a_real_file_is_listed(data: Path) -> None:
    path = data / "ct" / "head_phantom_1mm" / "I270"
    theirs = [e for e in pydicom.dcmread(path, stop_before_pixels=True) if e.tag.group != 2]
    ours = [line for line in read_tags(path) if line.depth == 0]
    assert [line.tag for line in ours] == [
        f"({e.tag.group:04x},{e.tag.element:04x})" for e in theirs
    ]
    assert value_of(ours, "Rows") == "512"
    assert value_of(ours, "SeriesDescription") == "STD BRAIN 1MM, iDose"
    assert value_of(ours, "SOPClassUID").endswith("(CT Image Storage)")


@pytest.mark.parametrize("name", ["H31", "H32", "I2", "Greek", "Germ", "Hbrw", "X1"])
def test_names_are_read_in_their_character_set(data: Path, name: str) -> None:
    path = next((data / "charset").glob(f"chr{name}.dcm"))
    theirs = pydicom.dcmread(path, stop_before_pixels=True)
    theirs.decode()
    assert value_of(read_tags(path), "PatientName").replace("=", "") == str(
        theirs.PatientName
    ).replace("=", "")


def test_items_of_sequences_stand_below_them_in_order() -> None:
    ds = make_instance()
    ds.OtherPatientIDsSequence = Sequence([Dataset(), Dataset()])
    ds.OtherPatientIDsSequence[0].PatientID = "first"
    ds.OtherPatientIDsSequence[1].PatientID = "second"
    lines = read_tags(to_bytes(ds))
    at = next(n for n, line in enumerate(lines) if line.keyword == "OtherPatientIDsSequence")
    found = [(line.depth, line.name, line.value) for line in lines[at : at + 5]]
    assert found == [
        (0, "Other Patient IDs Sequence", "2 items"),
        (1, "Item 1", ""),
        (2, "Patient ID", "first"),
        (1, "Item 2", ""),
        (2, "Patient ID", "second"),
    ]


def test_pixel_data_is_left_out_and_bulk_is_named_by_its_size() -> None:
    ds = make_instance()
    ds.add_new(0x00091010, "OB", bytes(range(256)) * 40)
    lines = read_tags(to_bytes(ds))
    assert "PixelData" not in {line.keyword for line in lines}
    private = next(line for line in lines if line.tag == "(0009,1010)")
    assert private.value == "binary, more than 2048 bytes"


def test_the_list_ends_at_its_limit() -> None:
    assert len(read_tags(to_bytes(make_instance()), most_lines=7)) == 7
