"""Cursors of pages: what comes back changed is refused in words, whatever it is."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from archive import cursors
from archive.errors import InvalidInputError

KEY = UUID("0197f0c4-0000-7000-8000-000000000000")


def packed(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def test_what_was_packed_comes_back() -> None:
    at = datetime(2026, 1, 31, 8, tzinfo=timezone(timedelta(hours=2)))
    value, key = cursors.unpack(cursors.pack(at.isoformat(), KEY))
    assert (cursors.moment(value), key) == (at, KEY)
    assert cursors.moment(value).tzinfo is UTC
    assert cursors.count(cursors.unpack(cursors.pack(17, KEY))[0]) == 17


@pytest.mark.parametrize(
    "cursor",
    ["x", "\ud800", packed("[1]"), packed("{}"), packed('["a", 3]'), packed("[" * 700),
     packed("[" * 30_000), packed(json.dumps(["a" * 1000, str(KEY)]))],
    ids=["letter", "surrogate", "short", "object", "number", "deep", "deeper", "long"],
)  # fmt: skip
def test_what_is_none_of_ours_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInputError, match="'cursor'"):
        cursors.unpack(cursor)


@pytest.mark.parametrize(
    "value",
    [None, {}, 17, "soon", "2026-01-01T00:00:00", "0001-01-01T00:00:00+14:00",
     "9999-12-31T23:00:00-14:00"],
    ids=["none", "object", "number", "word", "no zone", "before the first", "behind the last"],
)  # fmt: skip
def test_moments_that_no_database_compares_are_refused(value: object) -> None:
    with pytest.raises(InvalidInputError, match="'cursor'"):
        cursors.moment(value)


@pytest.mark.parametrize("value", [None, "1", -1, 2**31, 10**30, 1.5, float("inf")])
def test_counts_that_no_column_holds_are_refused(value: object) -> None:
    with pytest.raises(InvalidInputError, match="'cursor'"):
        cursors.count(value)
