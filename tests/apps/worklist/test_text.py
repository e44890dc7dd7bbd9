"""How DICOM values are written for people."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest
from django.utils import translation

from worklist.models import Study
from worklist.templatetags import worklist_text as text

T = "\u2009"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada, Tarou · 山田, 太郎 · やまだ, たろう"),
        (
            "Adams^John Robert Quincy^^Rev.^B.A. M.Div.",
            "Rev. Adams, John Robert Quincy B.A. M.Div.",
        ),
        ("Doe^Jane^Q", "Doe, Jane Q"),
        ("^Jane", "Jane"),
        ("Doe^^^^^^^x", "Doe"),
        ("=山田^太郎", "山田, 太郎"),
        ("^^^^", "No name"),
        ("", "No name"),
    ],
)
def test_person_name(value: str, shown: str) -> None:
    assert text.person_name(value) == shown


@pytest.mark.parametrize(
    ("age", "born", "shown"),
    [
        ("045Y", None, f"F 45{T}y"),
        ("003M", None, f"F 3{T}mo"),
        ("010D", None, f"F 10{T}d"),
        ("002W", None, f"F 2{T}wk"),
        ("old", None, "F old"),
        ("", date(1970, 1, 3), f"F 55{T}y"),
        ("", date(1970, 1, 2), f"F 56{T}y"),
        ("", date(2025, 12, 3), f"F 0{T}mo"),
        ("", date(2030, 1, 1), "F"),
        ("", None, "F"),
    ],
)
def test_sex_and_age(age: str, born: date | None, shown: str) -> None:
    study = Study(
        patient_sex="F", patient_age=age, patient_birth_date=born, study_date=date(2026, 1, 2)
    )
    assert text.sex_and_age(study) == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, f"0{T}B"), (999, f"999{T}B"), (1000, f"1.0{T}kB"), (123_456, f"123{T}kB"),
     (1_234_567, f"1.2{T}MB"), (5 * 10**12, f"5.0{T}TB"), (10**16, f"10000{T}TB")],
)  # fmt: skip
def test_file_size(size: int, shown: str) -> None:
    assert text.file_size(size) == shown
    with translation.override("de"):
        assert text.file_size(size) == shown.replace(".", ",")


def test_numbers_dates_and_classes() -> None:
    assert text.grouped(1_234_567) == f"1{T}234{T}567"
    assert text.dicom_moment(date(2026, 1, 2), time(3, 4, 5)) == "2026-01-02 03:04"
    assert text.dicom_moment(date(2026, 1, 2), None) == "2026-01-02"
    assert text.dicom_moment(None, time(3, 4)) == ""
    assert text.uid_name("1.2.840.10008.5.1.4.1.1.2") == "CT Image"
    assert text.uid_name("1.2.3.4") == "1.2.3.4"


def test_a_moment_is_in_the_readers_zone_with_its_source() -> None:
    at = datetime(2026, 7, 1, 22, 30, 5, tzinfo=UTC)
    shown = str(text.moment(at, ZoneInfo("Europe/Berlin"), form="age"))
    assert ">2026-07-02 00:30<" in shown
    assert 'title="2026-07-02 00:30:05 CEST"' in shown
    assert shown.count("UTC") == 0
    assert 'datetime="2026-07-01T22:30:05+00:00"' in shown
    assert text.moment(None, UTC) == "never"


def test_an_icon_with_a_hostile_label_is_text() -> None:
    assert 'aria-label="&quot;&gt;&lt;b&gt;"' in text.icon("x", '"><b>')
