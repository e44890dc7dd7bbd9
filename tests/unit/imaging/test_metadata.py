"""Metadata as the web sends it: what is read, and what is refused before pydicom sees it."""

from __future__ import annotations

import contextlib
import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from imaging import dicomxml
from imaging.errors import ImagingError, LimitError
from imaging.metadata import (
    Metadata,
    MetadataError,
    metadata_of,
    models_of_json,
    models_of_xml,
)
from tests.dicom import make_instance


def nothing(uri: str) -> bytes:
    raise AssertionError(uri)


def read_json(document: bytes, fetch: Any) -> list[Metadata]:
    return [metadata_of(model, fetch) for model in models_of_json(document)]


def read_xml(document: bytes, fetch: Any) -> list[Metadata]:
    return [metadata_of(model, fetch) for model in models_of_xml(document)]


def one(model: Any, fetch: Any = nothing) -> Metadata:
    (found,) = read_json(json.dumps(model).encode(), fetch)
    return found


def rich() -> Dataset:
    """Every kind of value, in sequences too; pydicom's own JSON is the oracle."""
    ds = make_instance(np.zeros((2, 2), np.uint8))
    ds.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.PixelSpacing = ["0.5", "0.25"]
    ds.SeriesNumber = 7
    ds.FrameIncrementPointer = 0x00181063
    ds.RedPaletteColorLookupTableData = b"\1\2\3\4"
    code = Dataset()
    code.CodeValue, code.CodeMeaning = "T-1", "Schädel"
    nested = Dataset()
    nested.ConceptNameCodeSequence = Sequence([code])
    ds.AnatomicRegionSequence = Sequence([nested, Dataset()])
    block = ds.private_block(0x0009, "NOCTIS TEST", create=True)
    block.add_new(0x01, "LO", "private")
    block.add_new(0x02, "FD", 1.5)
    del ds.PixelData
    return ds


@pytest.mark.parametrize("form", ["json", "xml"])
def test_everything_that_is_written_is_read_again(form: str) -> None:
    ds = rich()
    model = ds.to_json_dict()
    if form == "json":
        found = one([model])
    else:
        (found,) = read_xml(dicomxml.of_model(model), nothing)
    assert found.data_set == ds
    assert (found.meta, found.bulk) == ({}, {})


def test_text_beyond_ascii_is_written_in_utf_8() -> None:
    found = one({"00080005": {"vr": "CS", "Value": ["ISO_IR 100"]},
                 "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Müller"}]}})  # fmt: skip
    assert found.data_set.SpecificCharacterSet == "ISO_IR 192"
    plain = one({"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Mueller"}]}})
    assert "SpecificCharacterSet" not in plain.data_set


def test_bulk_data_is_named_where_it_is_large_and_fetched_where_it_is_inside() -> None:
    model = {
        "00020010": {"vr": "UI", "Value": ["1.2.840.10008.1.2.4.50"]},
        "7FE00010": {"vr": "OB", "BulkDataURI": "a/pixels"},
        "00420011": {"vr": "OB", "BulkDataURI": "a/document"},
        "00204000": {"vr": "LT", "BulkDataURI": "a/comment"},
        "54000100": {"vr": "SQ", "Value": [{"54001010": {"vr": "OW", "BulkDataURI": "a/wave"}}]},
    }
    asked: list[str] = []

    def fetch(uri: str) -> bytes:
        asked.append(uri)
        return "Größe".encode() if uri == "a/comment" else b"\1\2"

    found = one(model, fetch)
    assert found.bulk == {0x7FE00010: ("OB", "a/pixels"), 0x00420011: ("OB", "a/document")}
    assert sorted(asked) == ["a/comment", "a/wave"]
    assert found.data_set.ImageComments == "Größe"
    assert found.data_set.WaveformSequence[0].WaveformData == b"\1\2"
    assert found.meta["00020010"]["Value"] == ["1.2.840.10008.1.2.4.50"]


DEEP: dict[str, Any] = {"00080018": {"vr": "UI", "Value": ["1.2"]}}
for _ in range(70):
    DEEP = {"0040A730": {"vr": "SQ", "Value": [DEEP]}}


@pytest.mark.parametrize(
    "model",
    [
        5,
        [[]],
        {"PatientID": {"vr": "LO"}},
        {"0010002": {"vr": "LO"}},
        {"00100020": {"Value": ["x"]}},
        {"00100020": {"vr": "LO", "Value": "x"}},
        {"00100020": {"vr": "TOO LONG"}},
        {"00100020": "x"},
        {"00100010": {"vr": "PN", "Value": [["x"]]}},
        {"00280010": {"vr": "US", "Value": ["many"]}},
        {"7FE00010": {"vr": "OB", "InlineBinary": "%"}},
        {"7FE00010": {"vr": "OB", "InlineBinary": "AA==", "BulkDataURI": "x"}},
        {"0040A730": {"vr": "SQ", "Value": ["x"]}},
        {"0040A730": {"vr": "SQ", "Value": [{"bad": {}}]}},
        DEEP,
    ],
    ids=[
        "number", "array", "keyword", "short tag", "no vr", "no array", "long vr", "no object",
        "name", "word for number", "base64", "two values", "item", "tag in item", "deep",
    ],
)  # fmt: skip
def test_what_is_no_metadata_is_refused(model: Any) -> None:
    with pytest.raises(ImagingError) as caught:
        one(model)
    assert str(caught.value).endswith((".", "}."))


@pytest.mark.parametrize(
    "document",
    [b"", b"{", b"\xff\xfe\x00", b"[" * 200_000, b'{"a":' * 200_000],
    ids=["empty", "cut off", "no UTF-8", "arrays", "objects"],
)
def test_what_is_no_json_is_refused(document: bytes) -> None:
    with pytest.raises(ImagingError):
        read_json(document, nothing)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<a/>",
        b"<NativeDicomModel><DicomAttribute",
        b'<NativeDicomModel><DicomAttribute tag="x" vr="LO"/></NativeDicomModel>',
        b'<NativeDicomModel><DicomAttribute tag="00280010" vr="US"><Value>x</Value>',
        b'<!DOCTYPE a [<!ENTITY b "b">]><NativeDicomModel>&b;</NativeDicomModel>',
        b'<!DOCTYPE NativeDicomModel SYSTEM "file:///etc/passwd"><NativeDicomModel/>',
        b"<NativeDicomModel>" + b"<a>" * 300,
    ],
    ids=["empty", "another", "cut off", "tag", "number", "entities", "outside", "deep"],
)
def test_what_is_no_native_model_is_refused(document: bytes) -> None:
    with pytest.raises(ImagingError):
        read_xml(document, nothing)


def test_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imaging.metadata.MOST_BYTES", 100)
    with pytest.raises(LimitError):
        read_json(b" " * 101, nothing)
    with pytest.raises(LimitError):
        read_xml(b" " * 101, nothing)


def test_what_would_fill_the_memory_is_refused_before_it_does() -> None:
    """The smallest objects grow most: 15 MiB of them would take 400."""
    element = b'{"00100020":{"vr":"LO"}},'
    items = b'{"0040A730":{"vr":"SQ","Value":[' + b"null," * 10 + b"{}," * 99_999 + b"{}]}}"
    for document in (b"[" + b"{}," * 2_000_000 + b"{}]", b"[" + element * 250_000 + b"{}]", items):
        tracemalloc.start()
        with pytest.raises(LimitError):
            read_json(document, nothing)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 64 * 2**20
    with pytest.raises(LimitError):
        read_xml(b"<NativeDicomModel>" + b"<a/>" * 500_000 + b"</NativeDicomModel>", nothing)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["vr", "Value", "00100010", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)
ELEMENT = st.fixed_dictionaries(
    {"vr": st.sampled_from(["PN", "SQ", "US", "DS", "UI", "OB", "AT", "??", "FD", "DA"])},
    optional={"Value": st.lists(JSON_VALUES, max_size=2), "InlineBinary": JSON_VALUES},
)
TAGS = st.sampled_from(["00100010", "00280010", "0040A730", "7FE00010", "00091001", "00020010"])


@settings(deadline=None)
@given(model=st.dictionaries(TAGS, ELEMENT, max_size=3) | JSON_VALUES)
def test_any_json_is_metadata_or_said_to_be_none(model: Any) -> None:
    with contextlib.suppress(MetadataError, LimitError):
        read_json(json.dumps(model).encode(), nothing)
