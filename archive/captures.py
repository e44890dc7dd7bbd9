"""JPEG and PNG as DICOM objects, made where a hostile one harms nobody else."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import threading
from dataclasses import asdict
from datetime import date
from typing import IO, Any

from django.conf import settings

from archive import spool
from archive.capture_process import MOST_HEAD_BYTES
from archive.errors import InvalidInputError, TooLargeError
from archive.spool import Spooled
from imaging.capture import CaptureFacts

logger = logging.getLogger(__name__)

_AT_ONCE = 2
_FAILED = (
    "The picture made its decoder fail: it is damaged, or needs more time or memory than this "
    "system grants. Save it new in another program. Nothing was stored."
)
_running = threading.BoundedSemaphore(_AT_ONCE)


def write(picture: Spooled, facts: CaptureFacts) -> Spooled:
    """Return a picture as an object in the spool; it is its caller's to remove.

    Parameters
    ----------
    picture : a JPEG or PNG
    facts : whose it is, and what it shows

    Raises
    ------
    InvalidInputError
        When it cannot be decoded.
    TooLargeError
        For too many pixels.
    StoreUnavailableError
        When the disk takes no more.
    """
    with _running:
        # Nothing of our environment: it holds the site's secrets.
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [
                sys.executable,
                "-m",
                "archive.capture_process",
                str(settings.DECODE_MEMORY_BYTES),
                str(settings.DECODE_TIMEOUT_S),
                str(settings.MAX_FRAME_PIXELS),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=settings.BASE_DIR,
            env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        # Killed, it closes both pipes, which ends the work below.
        guard = threading.Timer(settings.DECODE_TIMEOUT_S, process.kill)
        guard.start()
        try:
            with process:
                assert process.stdin is not None  # noqa: S101 - asked for above
                assert process.stdout is not None  # noqa: S101
                return _talk(process.stdin, process.stdout, picture, facts)
        except BrokenPipeError as error:
            raise InvalidInputError(_FAILED) from error
        finally:
            guard.cancel()
            process.kill()


def _talk(stdin: IO[bytes], stdout: IO[bytes], picture: Spooled, facts: CaptureFacts) -> Spooled:
    said = asdict(facts) | {"patient": dict(facts.patient)}
    stdin.write(json.dumps(said, default=_text).encode() + b"\n")
    with picture.path.open("rb") as handle:
        shutil.copyfileobj(handle, stdin, spool.CHUNK_BYTES)
    stdin.close()
    answer = _answer(stdout.readline(MOST_HEAD_BYTES))
    made = spool.spool_chunks(iter(lambda: stdout.read(spool.CHUNK_BYTES), b""))
    if made.size_bytes != answer.get("size"):
        made.path.unlink(missing_ok=True)
        raise InvalidInputError(_FAILED)
    return made


def _answer(line: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        logger.warning("The process that makes objects of pictures ended without an answer.")
        raise InvalidInputError(_FAILED)
    words = answer.get("error")
    if words is not None:
        kind = TooLargeError if answer.get("is_limit") else InvalidInputError
        raise kind(f"{words} Nothing was stored.")
    return answer


def _text(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(type(value).__name__)
