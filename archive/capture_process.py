"""A process that takes a stranger's picture apart, and can be killed for it.

`python -m archive.capture_process MEMORY_BYTES TIME_S MOST_PIXELS`, started by
:mod:`archive.captures`. It knows neither Django nor the database nor any secret of the site. Its
input is a line of JSON with the facts and then the picture; its output a line of JSON that says how
it went, and then the object.
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import resource
import signal
import sys
from datetime import date, datetime
from typing import Any

_PR_SET_PDEATHSIG = 1
MOST_HEAD_BYTES = 64 * 1024


def _restrict(memory_bytes: int, time_s: int) -> None:
    """Give up what making an object does not need."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for what, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, time_s),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)
    # Nothing can be opened from here on.
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))


def _warm_up() -> None:
    """Have Pillow and pydicom load what they load when it is first needed: later nothing opens."""
    from PIL import Image  # noqa: PLC0415

    from imaging import capture  # noqa: PLC0415

    at = datetime(2000, 1, 1)  # noqa: DTZ001 - of no moment
    patient = {"PatientName": "ä", "PatientBirthDate": ""}
    facts = capture.CaptureFacts("1.2.1", "1.2.2", "1.2.3", at, patient)
    turned = Image.Exif()
    turned[0x0112] = 6
    cases: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("PNG", "P", {}),
        ("PNG", "RGBA", {"exif": turned}),
        ("PNG", "I;16", {}),
        ("JPEG", "L", {}),
        ("JPEG", "CMYK", {}),
        ("JPEG", "RGB", {"exif": turned, "progressive": True}),
    )
    for kind, mode, options in cases:
        out = io.BytesIO()
        Image.new(mode, (8, 8)).save(out, kind, **options)
        capture.write(out.getvalue(), facts)


def _facts(said: dict[str, Any]) -> dict[str, Any]:
    said["at"] = datetime.fromisoformat(said["at"])
    if said["study_date"] is not None:
        said["study_date"] = date.fromisoformat(said["study_date"])
    return said


def main() -> int:
    """Make one object."""
    memory_bytes, time_s, most_pixels = (int(text) for text in sys.argv[1:4])
    from imaging import capture  # noqa: PLC0415 - loaded before the limits hold
    from imaging.errors import ImagingError, LimitError  # noqa: PLC0415

    _warm_up()
    _restrict(memory_bytes, time_s)
    said = json.loads(sys.stdin.buffer.readline(MOST_HEAD_BYTES))
    picture = sys.stdin.buffer.read()
    made = b""
    answer: dict[str, Any] = {}
    try:
        made = capture.write(picture, capture.CaptureFacts(**_facts(said)), most_pixels=most_pixels)
    except LimitError as error:
        answer = {"error": str(error), "is_limit": True}
    except ImagingError as error:
        answer = {"error": str(error)}
    except MemoryError:
        answer = {"error": "The picture needs too much memory. Send a smaller one."}
        answer["is_limit"] = True
    answer["size"] = len(made)
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
    sys.stdout.buffer.write(made)
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
