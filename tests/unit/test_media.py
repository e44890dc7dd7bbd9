"""Content negotiation: RFC 9110 section 12.5.1 and what PS3.18 section 8.7 adds to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_app.services.dicomweb import media
from fastapi_app.services.dicomweb.media import Choice, MediaError, MediaRange, Offer

JSON, XML = Offer("application/dicom+json"), Offer("application/dicom+xml", is_multipart=True)
PNG, JPEG, GIF = Offer("image/png"), Offer("image/jpeg"), Offer("image/gif")
JLS, RAW = Offer("image/jls", is_multipart=True), Offer(media.OCTETS, is_multipart=True)


def chosen(accept: str, *offers: Offer) -> list[Offer]:
    return [choice.offer for choice in media.choices(media.parse(accept), offers)]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", [PNG, JPEG]),
        ("*/*", [PNG, JPEG]),
        ("image/*", [PNG, JPEG]),
        ("image/jpeg", [JPEG]),
        ("IMAGE/JPEG", [JPEG]),
        ("image/jpeg, image/png", [JPEG, PNG]),
        ("image/jpeg;q=0.5, image/png;q=0.9", [PNG, JPEG]),
        ("image/jpeg;q=0, */*", [PNG]),
        ("*/*, image/jpeg;q=0", [PNG]),
        ("image/*;q=0.2, image/jpeg", [JPEG, PNG]),
        ("*/*;q=0.1, image/jpeg", [JPEG, PNG]),
        ("text/html", []),
        ("text/html, application/xhtml+xml, */*;q=0.8", [PNG, JPEG]),
        (", ,image/png,", [PNG]),
        ("image/png; charset=utf-8", [PNG]),
        ("image/png; charset=iso-8859-1", []),
        ("multipart/related", []),
    ],
)
def test_what_the_caller_likes_best_comes_first(accept: str, expected: list[Offer]) -> None:
    assert chosen(accept, PNG, JPEG) == expected


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ('multipart/related; type="application/dicom+xml"', [XML]),
        # Not quoted, as many clients write it.
        ("multipart/related; type=application/dicom+xml", [XML]),
        ("multipart/related;type=application/dicom+xml;q=0.3,application/dicom+json", [JSON, XML]),
        ("multipart/related", [XML]),
        ("multipart/*", [XML]),
        ("application/dicom+xml", []),
        ('multipart/related; type="image/*"', []),
        ('multipart/related; type="application/*"', [XML]),
        ("*/*", [JSON, XML]),
    ],
)
def test_parts_are_taken_by_their_own_type(accept: str, expected: list[Offer]) -> None:
    assert chosen(accept, JSON, XML) == expected


def test_parameters_stay_with_their_range() -> None:
    accept = (
        'multipart/related; type="image/jls"; transfer-syntax=1.2.840.10008.1.2.4.80;q=0.9, '
        "multipart/related; type=application/octet-stream; transfer-syntax=*"
    )
    assert media.choices(media.parse(accept), [JLS, RAW]) == [
        Choice(RAW, "*", {"type": media.OCTETS, "transfer-syntax": "*"}),
        Choice(
            JLS,
            "1.2.840.10008.1.2.4.80",
            {"type": "image/jls", "transfer-syntax": "1.2.840.10008.1.2.4.80"},
        ),
    ]


def test_one_offer_may_be_taken_in_two_ways() -> None:
    accept = (
        "multipart/related; type=image/jls; transfer-syntax=1.2.840.10008.1.2.4.81,"
        "multipart/related; type=image/jls; transfer-syntax=1.2.840.10008.1.2.4.80"
    )
    found = media.choices(media.parse(accept), [JLS])
    assert [choice.transfer_syntax[-2:] for choice in found] == ["81", "80"]


def test_quotes_hold_commas_and_semicolons() -> None:
    (found,) = media.parse(r'image/png; a="x,y;z\"q\\"; q=0.25')
    assert found == MediaRange("image/png", {"a": 'x,y;z"q\\'}, 0.25)


@pytest.mark.parametrize(
    "accept",
    [
        "nonsense",
        "image/",
        "/png",
        "image/png/x",
        "image/png; q=2",
        "image/png; q=-1",
        "image/png; q=nan",
        "image/png; q=0.12345",
        "image/png; nonsense",
        'image/png; a="x',
        "im age/png",
        "image/png\x00",
        "ïmage/png",
        "a/b," * 65,
        "image/png;" + "a=b;" * 4000,
        "image/png," * 2000,
    ],
    ids=range(16),
)
def test_what_cannot_be_read_is_said(accept: str) -> None:
    with pytest.raises(MediaError, match="Accept"):
        media.parse(accept)


def test_a_plus_sign_survives_an_address() -> None:
    # What a browser's URL parser makes of ?accept=application/dicom+json.
    (found,) = media.parse_parameter("application/dicom json")
    assert found.media_type == "application/dicom+json"


@given(st.text(alphabet='abc/;,="\\ *q0.1\t', max_size=300))
def test_any_text_is_read_or_refused(accept: str) -> None:
    try:
        ranges = media.parse(accept)
    except MediaError:
        return
    assert 1 <= len(ranges) <= media.MOST_RANGES
    assert all(0 <= one.quality <= 1 for one in ranges)
    media.choices(ranges, [JSON, XML, PNG, JLS])
