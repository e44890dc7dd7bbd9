"""Bodies in parts: however they are cut, what comes out is what went in; bad ones are refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastapi_app.services.dicomweb.related import BrokenBodyError, Reader, media_type

BOUNDARY = "b-1=?"


class Collected:
    """A part that is kept."""

    def __init__(self, headers: dict[str, str], into: list[tuple[dict[str, str], bytes]]) -> None:
        self.headers, self.content, self.into = headers, bytearray(), into
        self.is_discarded = False

    def write(self, piece: memoryview) -> None:
        self.content += piece

    def finish(self) -> None:
        self.into.append((self.headers, bytes(self.content)))

    def discard(self) -> None:
        self.is_discarded = True


def body(
    *parts: bytes, boundary: str = BOUNDARY, headers: bytes = b"Content-Type: a/b\r\n"
) -> bytes:
    lead = f"--{boundary}\r\n".encode()
    written = b"".join(lead + headers + b"\r\n" + part + b"\r\n" for part in parts)
    return written + f"--{boundary}--".encode()


def taken_apart(
    content: bytes, cuts: list[int] | None = None
) -> list[tuple[dict[str, str], bytes]]:
    found: list[tuple[dict[str, str], bytes]] = []
    reader = Reader(BOUNDARY, lambda headers: Collected(headers, found))
    at = 0
    for cut in sorted(cuts or []):
        reader.feed(content[at:cut])
        at = max(at, cut)
    reader.feed(content[at:])
    reader.close()
    return found


# Line ends, hyphens and pieces of the boundary are what a search for the boundary trips over.
CONTENT = st.lists(
    st.sampled_from([b"\r", b"\n", b"-", b"--", b"--b", b"\r\n--b-1", b"\r\n--b-1=", b"x", b"\0"]),
    max_size=12,
).map(b"".join)


@settings(deadline=None)
@given(
    parts=st.lists(CONTENT, min_size=1, max_size=4),
    preamble=st.sampled_from([b"", b"\r\n", b"For people only.\r\n", b"--nearly\r\n"]),
    epilogue=st.sampled_from([b"", b"\r\n", b"\r\nwhatever follows"]),
    cuts=st.lists(st.integers(0, 200), max_size=8),
)
def test_parts_come_out_as_they_went_in(
    parts: list[bytes], preamble: bytes, epilogue: bytes, cuts: list[int]
) -> None:
    # A part must not hold the whole delimiter; senders choose a boundary that it does not.
    whole = [part.replace(b"--b-1=?", b"") for part in parts]
    found = taken_apart(preamble + body(*whole) + epilogue, cuts)
    assert [content for _, content in found] == whole
    assert all(headers == {"content-type": "a/b"} for headers, _ in found)


@settings(deadline=None)
@given(content=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=4))
def test_whatever_comes_is_parts_or_said_to_be_none(content: bytes, cuts: list[int]) -> None:
    for sent in (content, f"--{BOUNDARY}\r\n".encode() + content):
        with contextlib.suppress(BrokenBodyError):
            taken_apart(sent, cuts)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no boundary at all",
        body(b"one")[:-2],
        body(b"one", b"two")[:60],
        body(b"one", boundary="another"),
        f"--{BOUNDARY}\nContent-Type: a/b\n\none\n--{BOUNDARY}--".encode(),
        body(b"one", headers=b"Content-Type a/b\r\n"),
        body(b"one", headers=b"X: " + b"y" * 9000 + b"\r\n"),
        body(b"one", headers=b"X: y\r\n" * 40),
        b"\r\n" * 9000,
    ],
    ids=[
        "empty",
        "no boundary",
        "no closing hyphens",
        "cut off in a part",
        "another boundary",
        "bare line feeds",
        "header without colon",
        "long header",
        "many headers",
        "endless beginning",
    ],
)
def test_broken_bodies_are_refused(content: bytes) -> None:
    with pytest.raises(BrokenBodyError):
        taken_apart(content)


def test_more_parts_than_anybody_needs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi_app.services.dicomweb.related.MOST_PARTS", 3)
    assert len(taken_apart(body(b"1", b"2", b"3"))) == 3
    with pytest.raises(BrokenBodyError, match="more than 3 parts"):
        taken_apart(body(b"1", b"2", b"3", b"4"))


def test_a_part_that_is_cut_off_is_discarded_and_whole_ones_stay() -> None:
    found: list[tuple[dict[str, str], bytes]] = []
    opened: list[Collected] = []

    def open_part(headers: dict[str, str]) -> Collected:
        opened.append(Collected(headers, found))
        return opened[-1]

    reader = Reader(BOUNDARY, open_part)
    reader.feed(body(b"one", b"two" * 100)[:-200])
    with pytest.raises(BrokenBodyError, match="cut off"):
        reader.close()
    assert [content for _, content in found] == [b"one"]
    assert [part.is_discarded for part in opened] == [False, True]


@pytest.mark.parametrize(
    "boundary", ["", "x" * 71, "ü", "a\r\nb"], ids=["empty", "long", "ü", "line"]
)
def test_boundaries_that_no_sender_may_use(boundary: str) -> None:
    with pytest.raises(BrokenBodyError):
        Reader(boundary, lambda _: Collected({}, []))


def test_media_types_are_read_with_their_parameters() -> None:
    kind = media_type('Multipart/Related; TYPE="application/dicom+json";boundary="a b"; x=1')
    assert kind.name == "multipart/related"
    assert (kind.parameter("type"), kind.parameter("boundary")) == ("application/dicom+json", "a b")
    assert media_type(None).name == ""
    assert kind.parameter("transfer-syntax") == ""
