"""Run Debian's FFmpeg on strangers' videos, confined: it is no part of the product.

The programs `ffmpeg` and `ffprobe` are started through `prlimit` with bounds on memory, processor
time and the size of what they write; with an empty environment, without a network (the protocols
are named), and with the container and the codecs named, so that a stranger's bytes are never taken
for a playlist of other files. A program that takes too long is killed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from django.conf import settings

from archive.errors import UndecodableError

logger = logging.getLogger(__name__)

_SEARCHED = "/usr/local/bin:/usr/bin:/bin"
_CODECS = "h264,hevc,mpeg1video,mpeg2video,aac,mp2,mp3,ac3,pcm_s16le,pcm_s16be,pcm_bluray"
_ENTRIES = (
    "packet=pts_time,flags:format=format_name:"
    "stream=codec_name,pix_fmt,width,height,avg_frame_rate,r_frame_rate,color_space"
)
_MOST_WORDS = 4096
_DIED_OF_LIMIT = "The video takes more time or memory than this system grants."
# What decodes uses a core: more at once would only share them.
_running = threading.BoundedSemaphore(max(2, os.cpu_count() or 1))

MISSING = (
    "This is a video. To show it this system needs the program ffmpeg, which is not installed: ask "
    "your administrator to install the package ffmpeg, or download the file to open it elsewhere."
)


def is_installed() -> bool:
    """Whether videos can be looked into here."""
    return all(_program(name) for name in ("prlimit", "ffmpeg", "ffprobe"))


def _program(name: str) -> str | None:
    return shutil.which(name, path=settings.FFMPEG_PATH or _SEARCHED)


def _command(name: str, timeout_s: float) -> list[str]:
    prlimit, program = _program("prlimit"), _program(name)
    if prlimit is None or program is None:
        raise UndecodableError(MISSING)
    memory = settings.VIDEO_MEMORY_BYTES
    # Several threads use up processor time faster than the clock goes.
    cores = os.cpu_count() or 1
    return [
        prlimit,
        f"--as={memory}",
        f"--cpu={math.ceil(timeout_s * cores)}",
        f"--fsize={settings.VIDEO_MOST_BYTES}",
        "--core=0",
        "--nofile=64",
        program,
        "-hide_banner",
        "-v",
        "error",
    ]


def source(path: Path, container: str, *, entry_s: float = 0.0) -> list[str]:
    """Return the arguments that name what is read.

    Parameters
    ----------
    container : FFmpeg's name of it
    entry_s : of an MP4, reckoned from its beginning: from when on frames are decoded
    """
    found = [
        "-protocol_whitelist", "file,pipe", "-codec_whitelist", _CODECS,
        "-threads", "2", "-f", container,
    ]  # fmt: skip
    if entry_s > 0:
        found += ["-noaccurate_seek", "-ss", f"{entry_s:.6f}"]
    return [*found, "-i", f"file:{path}"]


def probe(path: Path, container: str) -> dict[str, Any]:
    """Return what ffprobe says of the first video stream of a file.

    Raises
    ------
    UndecodableError
        When it is damaged, takes too long, or the program is not there.
    """
    command = _command("ffprobe", settings.DECODE_TIMEOUT_S)
    command += ["-select_streams", "v:0", "-of", "json", "-show_entries", _ENTRIES]
    output = _run(command + source(path, container), settings.DECODE_TIMEOUT_S)
    try:
        found = json.loads(output)
    except ValueError as error:
        raise UndecodableError("The video is damaged. Have it sent again.") from error
    return found if isinstance(found, dict) else {}


def output_of(arguments: Sequence[str], *, timeout_s: float) -> bytes:
    """Run ffmpeg and return what it writes to its standard output.

    Raises
    ------
    UndecodableError
        When it fails or takes too long.
    """
    return _run([*_command("ffmpeg", timeout_s), "-nostdin", *arguments], timeout_s)


def _run(command: Sequence[str], timeout_s: float) -> bytes:
    with _running:
        try:
            done = subprocess.run(  # noqa: S603 - arguments of ours, no shell
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout_s,
                env={},
                cwd="/",
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise UndecodableError(_DIED_OF_LIMIT) from error
    if done.returncode:
        raise _failed(done.returncode, done.stderr)
    return done.stdout


def _failed(status: int, words: bytes) -> UndecodableError:
    logger.warning(
        "ffmpeg ended with %d: %s", status, words[-_MOST_WORDS:].decode("utf-8", "replace").strip()
    )
    if status < 0 or status > 128:
        return UndecodableError(_DIED_OF_LIMIT)
    return UndecodableError(
        "The video is damaged, or coded in a way that is not known here. Have it sent again, or "
        "download the file to open it elsewhere."
    )


def feed(arguments: Sequence[str], pieces: Iterable[bytes], *, timeout_s: float) -> None:
    """Run ffmpeg on what it is given piece by piece on its standard input.

    Raises
    ------
    UndecodableError
        When it fails or takes too long.
    """
    command = [*_command("ffmpeg", timeout_s), *arguments]
    with _running, _words() as words:
        process = subprocess.Popen(  # noqa: S603 - arguments of ours, no shell
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=words,
            env={},
            cwd="/",
        )
        # Killed, it closes the pipe, which ends the writing below.
        guard = threading.Timer(timeout_s, process.kill)
        guard.start()
        try:
            with process, contextlib.suppress(BrokenPipeError):
                stdin = process.stdin
                if stdin is not None:
                    for piece in pieces:
                        stdin.write(piece)
        except BaseException:
            process.kill()
            raise
        finally:
            guard.cancel()
        if process.returncode:
            words.seek(0)
            raise _failed(process.returncode, words.read())


@contextlib.contextmanager
def _words() -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as words:
        yield words
