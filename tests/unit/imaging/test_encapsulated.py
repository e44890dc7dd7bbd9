"""PDF inside a DICOM object: given out as it was put in, or refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset

from imaging.encapsulated import read_pdf
from imaging.errors import DecodeError, LimitError, NotDicomError, UnsupportedError
from tests.dicom import make_instance, to_bytes

PDF = b"%PDF-1.7\nbody\n%%EOF\n"


def carrying(content: bytes | None, **values: Any) -> Dataset:
    return make_instance(
        PixelData=None,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1",
        EncapsulatedDocument=content,
        **{"MIMETypeOfEncapsulatedDocument": "application/pdf", **values},
    )


def test_a_real_one_comes_out_as_pydicom_reads_it(data: Path) -> None:
    name = data / "pr_pdf_stl/sample-pdf.dcm"
    found = read_pdf(name)
    stored = pydicom.dcmread(name).EncapsulatedDocument
    assert stored.startswith(found.content)
    assert len(stored) - len(found.content) <= 1
    assert found.content.rstrip().endswith(b"%%EOF")
    assert found.media_type == "application/pdf"


@pytest.mark.parametrize(
    ("stored", "values", "given"),
    [
        (PDF, {}, PDF),
        (PDF + b"x\0", {}, PDF + b"x"),
        (PDF + b"xy\0\0", {"EncapsulatedDocumentLength": len(PDF) + 3}, PDF + b"xy\0"),
        (PDF + b"xyz", {"EncapsulatedDocumentLength": 3}, PDF + b"xyz"),
        (b"\xef\xbb\xbf" + PDF, {}, b"\xef\xbb\xbf" + PDF),
        (PDF, {"MIMETypeOfEncapsulatedDocument": None}, PDF),
    ],
    ids=["even", "padded", "length", "lying_length", "mark_behind_a_BOM", "no_type"],
)
def test_padding_goes_and_nothing_else(stored: bytes, values: dict[str, Any], given: bytes) -> None:
    assert read_pdf(to_bytes(carrying(stored, **values))).content == given


@pytest.mark.parametrize(
    ("ds", "error", "words"),
    [
        (carrying(b"<html>", ), DecodeError, "is none"),
        (carrying(b"x" * 1100 + PDF), DecodeError, "is none"),
        (carrying(PDF, MIMETypeOfEncapsulatedDocument="text/xml"), UnsupportedError, "text/xml"),
        (carrying(None), UnsupportedError, "no document"),
        (make_instance(), UnsupportedError, "no document"),
    ],
    ids=["html", "mark_too_late", "other_type", "without", "picture"],
)  # fmt: skip
def test_what_is_none_is_refused(ds: Dataset, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        read_pdf(to_bytes(ds))


def test_a_long_one_is_refused() -> None:
    with pytest.raises(LimitError, match="longer"):
        read_pdf(to_bytes(carrying(PDF + b"x" * 1000)), most_bytes=500)


def test_a_cut_file_is_refused() -> None:
    whole = to_bytes(carrying(PDF + b"x" * 4000))
    with pytest.raises(NotDicomError):
        read_pdf(whole[:-2000])
