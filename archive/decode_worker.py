"""A process that decodes what strangers compressed, and can be killed for it.

Started by :mod:`archive.decoding` as ``python -m archive.decode_worker``. It knows neither Django
nor the database nor any secret of the site: its environment is empty, its address space limited,
and it writes to nothing but the socket that it has as standard input.

Messages have the same form in both directions: a JSON head and a body, each after its length. Only
JSON and plain bytes are read from it, so that a decoder that was taken over cannot reach further.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from typing import Any

Buffer = bytes | bytearray | memoryview

_LENGTHS = struct.Struct("<IQ")
# A head holds facts about one frame; the body is bounded by what the caller knows of the frame.
MOST_HEAD_BYTES = 1024 * 1024
_GRACE_S = 2
# What a decoder may take beyond what the process has: measured are up to 6 bytes a sample for the
# quick decoders and 29 for the second ones. But it grows with what a frame claims only as far as
# its compressed bytes, with pictures that anybody reads compressed thirtyfold at most, bear it out:
# 166 bytes of JPEG 2000 with tiny precincts would take gigabytes. Whichever of the two is more, and
# not both: bytes that mean nothing, put behind such a lie, would buy what it lacks.
_HEADROOM_BYTES = 64 * 1024**2
_PER_BYTE = 3
_PER_SAMPLE = 32
_UNFOUNDED_BYTES = 232 * 1024**2
_FOUNDED_PER_BYTE = 64
_TOO_BLANK = (
    "The picture claims to be larger than its compressed data can hold. Have it sent again, or "
    "download the file to open it elsewhere."
)
# Quiet workers leave, so that a resting site needs little memory.
IDLE_EXIT_S = 300.0


class ClosedError(Exception):
    """The other side has gone."""


def send(channel: socket.socket, head: Mapping[str, Any], body: Buffer = b"") -> None:
    """Send one message."""
    encoded = json.dumps(head).encode()
    view = memoryview(body).cast("B")
    channel.sendall(_LENGTHS.pack(len(encoded), len(view)) + encoded)
    if len(view):
        channel.sendall(view)


def receive(channel: socket.socket, *, most_body_bytes: int) -> tuple[dict[str, Any], bytearray]:
    """Receive one message.

    Raises
    ------
    ClosedError
        When the other side has gone, or sends what is no message.
    """
    head_length, body_length = _LENGTHS.unpack(_exactly(channel, _LENGTHS.size))
    if head_length > MOST_HEAD_BYTES or body_length > most_body_bytes:
        raise ClosedError("The message is larger than agreed.")
    try:
        head = json.loads(_exactly(channel, head_length))
    except ValueError as error:
        raise ClosedError("The message is not JSON.") from error
    return head, _exactly(channel, body_length)


def _exactly(channel: socket.socket, length: int) -> bytearray:
    data = bytearray(length)
    view = memoryview(data)
    done = 0
    while done < length:
        count = channel.recv_into(view[done:])
        if not count:
            raise ClosedError("The connection ended.")
        done += count
    return data


def _restrict(memory_bytes: int) -> None:
    """Give up what decoding does not need."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    # Nothing can be opened from here on: descriptor 0 is the socket. (With 0 poll itself fails.)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, 1))


def _headroom(samples: int, compressed_bytes: int) -> int:
    """Return how many bytes decoding a sound frame may take at most."""
    return min(
        _HEADROOM_BYTES + _PER_BYTE * compressed_bytes + _PER_SAMPLE * samples,
        max(_UNFOUNDED_BYTES, _FOUNDED_PER_BYTE * compressed_bytes),
    )


@contextlib.contextmanager
def _memory_for(samples: int, compressed_bytes: int, statm: int) -> Iterator[None]:
    """Let the address space grow by what this frame needs, and no further."""
    present = int(os.pread(statm, 32, 0).split()[0]) * resource.getpagesize()
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    granted = min(most, present + _headroom(samples, compressed_bytes))
    resource.setrlimit(resource.RLIMIT_AS, (granted, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _decode(head: dict[str, Any], body: bytearray, statm: int) -> tuple[dict[str, Any], Buffer]:
    import numpy as np  # noqa: PLC0415 - loaded by `main` before the limits

    from imaging import pixels  # noqa: PLC0415
    from imaging.errors import ImagingError  # noqa: PLC0415

    facts = pixels.PixelFacts.from_json(head["facts"])
    limits = pixels.PixelLimits(**head["limits"])
    photometric = ""
    samples = facts.frame_samples
    if samples * facts.dtype.itemsize > _headroom(samples, len(body)):
        return {"error": _TOO_BLANK}, b""
    try:
        with _memory_for(samples, len(body), statm):
            if facts.is_palette or head.get("is_stored"):
                frame, photometric = pixels.stored_frame(
                    body, facts, head["frame_index"], limits=limits
                )
            else:
                frame = pixels.exact_frame(body, facts, head["frame_index"], limits=limits)
    except ImagingError as error:
        return {"error": str(error)}, b""
    except MemoryError:
        return {
            "error": "The picture needs more memory to decode than this system grants. Raise the "
            "decoder's memory limit if such pictures are wanted."
        }, b""
    frame = np.ascontiguousarray(frame)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    answer = {"dtype": frame.dtype.str, "shape": frame.shape, "peak_bytes": used}
    return answer | {"photometric": photometric}, frame.data


def main() -> int:
    """Serve until the other side closes."""
    channel = socket.socket(fileno=0)
    memory_bytes, timeout_s = int(sys.argv[1]), float(sys.argv[2])
    import gdcm  # noqa: F401, PLC0415 - nothing can be loaded once the limits hold
    import imagecodecs  # noqa: PLC0415

    import imaging.pixels  # noqa: F401, PLC0415

    # Its modules load when their functions are first asked for.
    for name in ("jpeg8", "jpegls", "jpeg2k", "htj2k", "jpegxl", "packbits"):
        getattr(imagecodecs, f"{name}_decode")
    statm = os.open("/proc/self/statm", os.O_RDONLY)
    _restrict(memory_bytes)
    send(channel, {"ready": True})
    while True:
        channel.settimeout(IDLE_EXIT_S)
        try:
            head, body = receive(channel, most_body_bytes=memory_bytes)
        except (ClosedError, ConnectionError, TimeoutError):
            return 0
        channel.settimeout(None)
        # Should the caller die meanwhile, nobody else would end an endless decoder.
        signal.alarm(math.ceil(timeout_s) + _GRACE_S)
        answer, content = _decode(head, body, statm)
        signal.alarm(0)
        del body
        send(channel, answer, content)


if __name__ == "__main__":
    sys.exit(main())
