"""Videos inside objects: what their bytes are, and where each part of them lies."""

from collections.abc import Iterator
from dataclasses import dataclass

from imaging.bytesource import Source, opened
from imaging.dataset import scan_data_set
from imaging.elements import HeaderLimits
from imaging.errors import DecodeError, UnsupportedError
from imaging.frametable import Fragment
from imaging.part10 import VIDEO

_HEAD_BYTES = 192


def media_type(head: bytes) -> str:
    """Return the media type of a video by its first bytes.

    Parameters
    ----------
    head : at least the first 189 bytes, fewer of a shorter video

    Returns
    -------
    ``video/mp4``, ``video/webm``, ``video/mp2t``, ``video/mpeg``, or ``application/octet-stream``
    for an elementary stream without a container and for what is not known

    References
    ----------
    ISO/IEC 14496-12 section 4.3; ISO/IEC 13818-1 sections 2.4.3 and 2.5.3; DICOM PS3.5 sections
    8.2.5 to 8.2.8.
    """
    if head[4:8] in (b"ftyp", b"styp", b"moov", b"mdat"):
        return "video/mp4"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "video/webm"
    if head[:1] == b"G" and head[188:189] in (b"G", b""):
        return "video/mp2t"
    if head.startswith((b"\0\0\1\xba", b"\0\0\1\xb3")):
        return "video/mpeg"
    return "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Video:
    """A video as it lies in its object, piece by piece.

    Parameters
    ----------
    media_type : see `media_type`
    fragments : where its bytes lie in the file, in order
    """

    media_type: str
    fragments: tuple[Fragment, ...]

    @property
    def size_bytes(self) -> int:
        """Return the length of the whole video; a byte of padding may be its last."""
        return sum(fragment.length for fragment in self.fragments)

    def parts(self, first: int, last: int, *, most_bytes: int) -> Iterator[Fragment]:
        """Yield where the bytes `first` to `last` of the video lie, at most so many at a time."""
        begin = 0
        for offset, length in self.fragments:
            start, end = max(first - begin, 0), min(last + 1 - begin, length)
            while start < end:
                size = min(most_bytes, end - start)
                yield Fragment(offset + start, size)
                start += size
            begin += length


def read_video(source: Source, *, limits: HeaderLimits | None = None) -> Video:
    """Find the video of an object of one of the MPEG transfer syntaxes.

    Raises
    ------
    UnsupportedError
        If the object holds no video.
    DecodeError
        If it says so, but its pixel data is missing.
    NotDicomError, TruncatedError, LimitError
        See `imaging.header.read_index`.

    References
    ----------
    DICOM PS3.5 sections A.4.5 to A.4.7: one bit stream, in one or several fragments.
    """
    with opened(source) as file:
        data_set = scan_data_set(file, {}, limits=limits or HeaderLimits())
        if data_set.container.transfer_syntax_uid not in VIDEO:
            raise UnsupportedError("This object is no video. Ask for its frames.")
        pixels = data_set.scan.pixels
        fragments: tuple[Fragment, ...] = ()
        if pixels is not None:
            places = zip(pixels.fragment_offsets, pixels.fragment_lengths, strict=True)
            fragments = tuple(Fragment(offset, length) for offset, length in places)
            if pixels.length:
                fragments = (Fragment(pixels.offset, pixels.length),)
        if not sum(fragment.length for fragment in fragments):
            raise DecodeError("The video of this object is missing. Have it sent again.")
        file.seek(fragments[0].offset)
        return Video(media_type(file.read(min(_HEAD_BYTES, fragments[0].length))), fragments)
