"""What a process loads when it starts: no more than it needs to be ready."""

from __future__ import annotations

from collections.abc import Callable

from tests.receiver import ReceiverSite

_RECEIVER = """
import sys
from dimse import scp
print("\\n".join(sys.modules))
"""
_WORKER = """
import pkgutil, re
from pathlib import Path
from archive import jobs, runner
before = set(jobs._HANDLERS)
runner.dispatch()
for name in ("archive", "dicom_viewer", "notifications", "orders"):
    for path in Path(name).rglob("*.py"):
        for decorated in re.findall(r"^@(?:jobs[.])?handler[(](.*?)[)]", path.read_text(), re.M):
            print("declared", path.with_suffix("").as_posix().replace("/", "."))
print("registered", *sorted({function.__module__ for function in jobs._HANDLERS.values()}))
print("before", *sorted(before))
"""


def test_the_receiver_loads_nothing_of_pages_and_jobs(
    make_site: Callable[..., ReceiverSite],
) -> None:
    loaded = set(make_site().run_python(_RECEIVER).split())
    assert "dimse.express" in loaded
    unneeded = {
        "archive.admin", "archive.retrieve", "archive.thumbnails", "dicom_viewer.services",
        "noctis_pro.urls", "notifications.subscribers", "pydantic", "redis", "worklist.admin",
    }  # fmt: skip
    assert loaded & unneeded == set()


def test_whoever_does_jobs_knows_all_of_them(make_site: Callable[..., ReceiverSite]) -> None:
    lines = [line.split() for line in make_site().run_python(_WORKER).splitlines()]
    declared = {name for word, *names in lines if word == "declared" for name in names}
    registered = {name for word, *names in lines if word == "registered" for name in names}
    before = {name for word, *names in lines if word == "before" for name in names}
    assert "archive.thumbnails" in declared
    assert declared - registered == set()
    assert "thumbnail.make" not in before
