"""What a video's bit stream says of itself, and at what time each of its frames is shown."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

from imaging.errors import DecodeError, UnsupportedError

MPEG_2_CODECS = frozenset(("mpeg1video", "mpeg2video"))
CODECS = MPEG_2_CODECS | {"h264", "hevc"}
# What every browser of the last years plays without its graphics card.
_PLAYABLE_FORMATS = frozenset(("yuv420p", "yuvj420p"))
_MOST_RATE = 1000
_USUAL_RATE = Fraction(25)
_HD_ROWS = 720

# Containers by the media type of the first bytes, in the names of FFmpeg's demultiplexers. The
# program is told which one to use: guessing would let a stranger's bytes be a playlist.
_CONTAINERS = {"video/mp4": "mov", "video/mp2t": "mpegts", "video/mpeg": "mpeg"}
_PROGRAM_STREAM = b"\0\0\1\xba"
_MPEG_2_SYNTAXES = frozenset(("100", "101"))
_HEVC_SYNTAXES = frozenset(("107", "108"))


def container_of(media_type: str, head: bytes, transfer_syntax_uid: str) -> str:
    """Return the container of a video, in FFmpeg's names.

    Parameters
    ----------
    media_type : see `imaging.video.media_type`
    head : the first bytes
    transfer_syntax_uid : of the object; it tells bare H.264 from bare H.265

    Raises
    ------
    UnsupportedError
        For a container that DICOM has no place for.

    References
    ----------
    DICOM PS3.5 sections 8.2.5 to 8.2.8 and A.4.5 to A.4.12.
    """
    number = transfer_syntax_uid.removeprefix("1.2.840.10008.1.2.4.").removesuffix(".1")
    if media_type == "video/mpeg" and not head.startswith(_PROGRAM_STREAM):
        return "mpegvideo"
    if media_type in _CONTAINERS:
        return _CONTAINERS[media_type]
    if media_type == "application/octet-stream" and head.startswith((b"\0\0\1", b"\0\0\0\1")):
        if number in _HEVC_SYNTAXES:
            return "hevc"
        return "mpegvideo" if number in _MPEG_2_SYNTAXES else "h264"
    raise UnsupportedError(
        "The video is neither MPEG-2, H.264 nor H.265 as DICOM has them. Download the file to open "
        "it elsewhere."
    )


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What a video is.

    Parameters
    ----------
    codec : FFmpeg's name, one of `CODECS`
    pixel_format : FFmpeg's name, such as ``yuv420p``
    rows, columns : of a frame
    rate : frames a second
    times_s : when each frame is shown, in the order of being shown, from the first one's on
    keys : places among them of frames that decoding can begin with
    start_s : the container's own time of the first frame
    matrix : of the conversion to RGB: ``bt709`` or ``bt601``
    has_times : False for a bare stream, and where not every frame has a time: reckoned from `rate`
    """

    codec: str
    pixel_format: str
    rows: int
    columns: int
    rate: float
    times_s: tuple[float, ...]
    keys: tuple[int, ...]
    start_s: float
    matrix: str
    has_times: bool

    @classmethod
    def of(cls, probe: Mapping[str, Any]) -> Self:
        """Read what ``ffprobe -show_streams -show_packets -of json`` says of one video stream.

        Raises
        ------
        DecodeError
            If no video stream was found, or no frame in it.
        UnsupportedError
            If it is coded in another way than DICOM's.
        """
        stream = next(iter(probe.get("streams", ())), None)
        if stream is None:
            raise DecodeError(
                "The video is damaged: no picture is found in it. Have it sent again."
            )
        codec = str(stream.get("codec_name", ""))
        if codec not in CODECS:
            raise UnsupportedError(
                "The video is neither MPEG-2, H.264 nor H.265. Download the file to open it "
                "elsewhere."
            )
        packets = probe.get("packets", ())
        # Mark D: to be decoded, but not shown.
        marked = [packet for packet in packets if "D" not in str(packet.get("flags", ""))]
        shown = sorted(
            (float(packet["pts_time"]), "K" in str(packet.get("flags", "")))
            for packet in marked
            if "pts_time" in packet
        )
        rows, columns = int(stream.get("height", 0)), int(stream.get("width", 0))
        if not marked or rows < 1 or columns < 1:
            raise DecodeError("The video is damaged: it holds no frame. Have it sent again.")
        rate = _rate(stream)
        container = str(probe.get("format", {}).get("format_name", ""))
        has_times = len(shown) == len(marked) and container not in _BARE
        keys: tuple[int, ...] = ()
        if has_times:
            start = shown[0][0]
            times = tuple(time - start for time, _ in shown)
            keys = tuple(place for place, (_, is_key) in enumerate(shown) if is_key)
        else:
            start = 0.0
            times = tuple(float(number / rate) for number in range(len(marked)))
        space = str(stream.get("color_space", "unknown"))
        is_bt709 = space == "bt709" or (space == "unknown" and rows >= _HD_ROWS)
        return cls(
            codec=codec,
            pixel_format=str(stream.get("pix_fmt", "")),
            rows=rows,
            columns=columns,
            rate=float(rate),
            times_s=times,
            keys=keys,
            start_s=start,
            matrix="bt709" if is_bt709 else "bt601",
            has_times=has_times,
        )

    @property
    def frame_count(self) -> int:
        """Return how many frames are shown."""
        return len(self.times_s)

    @property
    def is_steady(self) -> bool:
        """Whether frame number n is shown at (n - 1) / rate, to less than half a frame."""
        half = 0.5 / self.rate
        return all(
            abs(time - number / self.rate) < half for number, time in enumerate(self.times_s)
        )

    @property
    def is_playable(self) -> bool:
        """Whether browsers play this coding."""
        return self.codec == "h264" and self.pixel_format in _PLAYABLE_FORMATS

    def before_s(self, frame_index: int) -> float:
        """Return a time between a frame and the one before it, in the container's own reckoning."""
        time = self.times_s[frame_index]
        if frame_index == 0:
            return self.start_s - 1.0
        return self.start_s + (time + self.times_s[frame_index - 1]) / 2

    def entry_s(self, frame_index: int) -> float:
        """Return from when on to decode for a frame, reckoned from the first frame's time.

        It is the key frame before the last one: what follows a key frame in the stream, but is
        shown before it, may refer to frames before both (open groups of pictures).
        """
        place = bisect_right(self.keys, frame_index) - 2
        return self.times_s[self.keys[place]] if place >= 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the facts as JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_json` made."""
        lists = {name: tuple(values[name]) for name in ("times_s", "keys")}
        return cls(**{**values, **lists})


_BARE = frozenset(("h264", "hevc", "mpegvideo"))


def _rate(stream: Mapping[str, Any]) -> Fraction:
    """Return the frames a second: the mean over the stream, else what its coding says."""
    for name in ("avg_frame_rate", "r_frame_rate"):
        try:
            rate = Fraction(str(stream.get(name, "0/1")))
        except (ValueError, ZeroDivisionError):
            continue
        if 0 < rate <= _MOST_RATE:
            return rate
    return _USUAL_RATE
