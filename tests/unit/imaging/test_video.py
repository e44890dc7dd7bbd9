"""Videos inside objects: their kind by known first bytes, their parts by slicing the whole."""

from __future__ import annotations

import pytest
from pydicom.uid import UID

from imaging.errors import DecodeError, UnsupportedError
from imaging.frametable import Fragment
from imaging.video import Video, media_type, read_video
from tests.codestreams import compressed_instance
from tests.dicom import make_instance, to_bytes

MPEG_4 = "1.2.840.10008.1.2.4.102"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"\0\0\0\x20ftypisom", "video/mp4"),
        (b"\x1a\x45\xdf\xa3\x01", "video/webm"),
        ((b"G" + bytes(187)) * 2, "video/mp2t"),
        (b"\0\0\1\xba\x44", "video/mpeg"),
        (b"\0\0\1\xb3\x14", "video/mpeg"),
        (b"\0\0\0\1\x67\x64", "application/octet-stream"),
        (b"", "application/octet-stream"),
        (b"G" + bytes(300), "application/octet-stream"),
    ],
    ids=["mp4", "webm", "ts", "ps", "mpeg-2", "h.264", "nothing", "a letter"],
)
def test_the_kind_is_read_from_the_first_bytes(head: bytes, expected: str) -> None:
    assert media_type(head) == expected


def test_a_video_is_found_in_its_fragments() -> None:
    stream = b"\0\0\0\x20ftypisom" + bytes(range(200)) + b"xx"
    raw = compressed_instance([stream[:50], stream[50:]], 4, 4, syntax=MPEG_4)
    video = read_video(raw)
    assert video.media_type == "video/mp4"
    assert b"".join(raw[offset : offset + length] for offset, length in video.fragments) == stream
    assert video.size_bytes == len(stream)


def test_parts_are_those_of_the_whole() -> None:
    whole = bytes(range(100))
    video = Video("video/mp4", (Fragment(0, 10), Fragment(10, 30), Fragment(40, 60)))
    for first, last in ((0, 99), (0, 0), (9, 10), (15, 20), (35, 99), (99, 99)):
        parts = list(video.parts(first, last, most_bytes=7))
        assert all(length <= 7 for _, length in parts)
        joined = b"".join(whole[offset : offset + length] for offset, length in parts)
        assert joined == whole[first : last + 1]


def test_what_is_no_video_says_so() -> None:
    with pytest.raises(UnsupportedError, match="no video"):
        read_video(to_bytes(make_instance()))
    empty = make_instance(PixelData=None)
    empty.file_meta.TransferSyntaxUID = UID(MPEG_4)
    with pytest.raises(DecodeError, match="missing"):
        read_video(to_bytes(empty))
