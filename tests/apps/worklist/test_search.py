"""What is typed in the search box and the filter row, read into one query."""

from __future__ import annotations

from datetime import UTC, date, datetime
from urllib.parse import parse_qsl
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from worklist.models import Facility
from worklist.views import search

TODAY = date(2026, 3, 15)
NORTH = Facility(id=uuid4(), code="NORTH", name="North Clinic")


def read(**params: str) -> search.Search:
    return search.read(params, today=TODAY, facilities=[NORTH])


def test_tokens_become_fields_and_the_rest_stays_text() -> None:
    found = read(q='smith mod:ct,MR date:7d name:"van der Berg" acc:A1 id:7 status:Unread head')
    assert found.fields == {
        "q": "smith head",
        "name": "van der Berg",
        "id": "7",
        "acc": "A1",
        "date": "7d",
        "mod": "CT,MR",
        "status": "unread",
    }
    query = found.query
    assert query.text == "smith head"
    assert query.patient_name == "van der Berg"
    assert query.patient_id == "7"
    assert query.accession_number == "A1"
    assert query.modalities == ("CT", "MR")
    assert query.status == "unread"
    assert (query.date_from, query.date_to) == (date(2026, 3, 9), None)
    assert found.notes == []


@pytest.mark.parametrize(
    ("token", "field"),
    [("patient:x", "name"), ("mrn:x", "id"), ("pid:x", "id"), ("accession:x", "acc"),
     ("DESC:x", "desc"), ("modality:X", "mod"), ("is:read", "status"), ("fac:north", "facility")],
)  # fmt: skip
def test_tokens_have_other_names(token: str, field: str) -> None:
    assert list(read(q=token).fields) == [field]


def test_a_token_wins_over_the_field_that_it_edits() -> None:
    assert read(mod="CT", q="mod:MR").fields == {"mod": "MR"}


def test_an_address_reads_as_itself() -> None:
    first = read(q='mod:CT,MR name:"a b" x', sort="name", dir="asc")
    params = dict(parse_qsl(first.address))
    again = search.read(params, today=TODAY, facilities=[NORTH])
    assert again.query == first.query
    assert again.address == first.address


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("today", "2026-03-15", "2026-03-15"),
        ("yesterday", "2026-03-14", "2026-03-14"),
        ("1d", "2026-03-15", None),
        ("30d", "2026-02-14", None),
        ("2026-02-03", "2026-02-03", "2026-02-03"),
        ("2024-02", "2024-02-01", "2024-02-29"),
        ("2025-12", "2025-12-01", "2025-12-31"),
        ("2025", "2025-01-01", "2025-12-31"),
        ("2026-01-05..2026-02", "2026-01-05", "2026-02-28"),
        ("..2025", None, "2025-12-31"),
        ("2026-03..", "2026-03-01", None),
    ],
)
def test_dates(text: str, first: str | None, last: str | None) -> None:
    begin, end = search.parse_dates(text, TODAY)
    assert begin == (date.fromisoformat(first) if first else None)
    assert end == (date.fromisoformat(last) if last else None)


@pytest.mark.parametrize(
    "text", ["x", "2026-13", "2026-02-30", "..", "999999d", "9999-12", "7 d", "2026-1-1", "0000"]
)
def test_what_is_no_date_is_said_and_filters_nothing(text: str) -> None:
    found = read(date=text)
    assert "date" not in found.fields
    assert (found.query.date_from, found.query.date_to) == (None, None)
    assert "is no date" in found.notes[0]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"q": "foo:bar"}, "“foo:” is no filter"),
        ({"facility": "SOUTH"}, "no facility with the code “SOUTH”"),
        ({"mod": "C T;DROP"}, "is no modality"),
        ({"status": "lost"}, "There is no status “lost”"),
        ({"sort": "evil"}, "cannot be sorted by “evil”"),
    ],
)
def test_what_cannot_be_used_is_said(params: dict[str, str], words: str) -> None:
    assert words in " ".join(read(**params).notes)


def test_an_unknown_token_stays_text() -> None:
    assert read(q="foo:bar").query.text == "foo:bar"


def test_facility_by_code_in_any_case() -> None:
    found = read(facility="north")
    assert found.query.facility_ids == (NORTH.pk,)
    assert found.fields == {"facility": "NORTH"}


def test_chips_name_remove_and_edit_each_filter() -> None:
    chips = {chip.name: chip for chip in read(q="abc", name="van Berg", mod="CT").chips}
    assert chips["Patient"].token == 'name:"van Berg"'
    assert chips["Patient"].without == "?q=abc&mod=CT"
    assert chips["Text"].token == "abc"
    assert chips["Modality"].value == "CT"


def test_sorting_twice_turns_round_and_starts_as_people_expect() -> None:
    assert read().sorted_by("name").endswith("sort=name&dir=asc")
    assert read().sorted_by("received").endswith("sort=received&dir=desc")
    assert read(sort="name", dir="asc").sorted_by("name").endswith("dir=desc")
    assert read(sort="name").query.descending is False
    assert read().query.descending is True


def test_texts_are_cut_and_freed_of_nul() -> None:
    found = read(q="a\0b", name="x" * 5000)
    assert found.query.text == "ab"
    assert len(found.query.patient_name) == 200


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "begin", "before"),
    [
        ("today", datetime(2026, 3, 15, tzinfo=BERLIN), datetime(2026, 3, 16, tzinfo=BERLIN)),
        ("2d", datetime(2026, 3, 14, tzinfo=BERLIN), None),
        ("2026-03-01T08:30..", datetime(2026, 3, 1, 8, 30, tzinfo=BERLIN), None),
        ("2026-03-01t08:30z..", datetime(2026, 3, 1, 8, 30, tzinfo=UTC), None),
        ("..2026-03-01T08:30Z", None, datetime(2026, 3, 1, 8, 30, tzinfo=UTC)),
        (
            "2026-03-01T08:30",
            datetime(2026, 3, 1, 8, 30, tzinfo=BERLIN),
            datetime(2026, 3, 1, 8, 31, tzinfo=BERLIN),
        ),
    ],
)
def test_times_of_arrival(text: str, begin: datetime | None, before: datetime | None) -> None:
    found = search.read({"received": text}, today=TODAY, facilities=[], zone=BERLIN)
    assert found.notes == []
    assert (found.query.received_from, found.query.received_before) == (begin, before)
    assert found.fields == {"received": text}


@pytest.mark.parametrize(
    "text", ["soon", "2026-03-01T25:00..", "2026-13-01", "9999-12-31", "2026-03-01T08:30..x"]
)
def test_what_is_no_time_of_arrival_is_said(text: str) -> None:
    found = read(received=text)
    assert found.query.received_from is found.query.received_before is None
    assert "received" not in found.fields
    assert text in found.notes[0]


def test_the_first_hours_east_of_greenwich_are_before_the_first_year() -> None:
    for text in ("0001-01-01", "0001-01-01T00:00.."):
        found = search.read({"received": text}, today=TODAY, facilities=[], zone=BERLIN)
        assert found.query.received_from is found.query.received_before is None
        assert text in found.notes[0]


def test_a_moment_is_shown_in_the_readers_zone() -> None:
    params = {"received": "2026-03-01T08:30Z..", "date": "none"}
    found = search.read(params, today=TODAY, facilities=[], zone=BERLIN)
    assert {chip.name: chip.value for chip in found.chips} == {
        "Received": "since 2026-03-01 09:30",
        "Date": "no date",
    }
    assert {chip.token for chip in found.chips} == {"received:2026-03-01T08:30Z..", "date:none"}


def test_studies_without_a_date_and_with_a_warning_are_asked_for() -> None:
    query = read(q="date:none has:Warning").query
    assert query.is_undated
    assert query.has_warning
    assert (query.date_from, query.date_to) == (None, None)
    other = read(q="has:luck")
    assert not other.query.has_warning
    assert "has:warning" in other.notes[0]
