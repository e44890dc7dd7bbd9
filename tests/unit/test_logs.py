"""The log file: a full disk or a rotation never stops who writes to it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from noctis_pro.logs import LogFile


def test_a_log_that_takes_nothing_stops_nobody_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    path = tmp_path / "site.log"
    path.symlink_to("/dev/full")
    handler = LogFile(path, delay=True)

    def say(words: str) -> None:
        handler.handle(logging.makeLogRecord({"msg": words}))

    say("to a full disk")
    # The case that broke associations: the file is replaced while the old one still owes a write.
    path.unlink()
    path.write_text("")
    say("after the rotation")
    say("and on")
    handler.close()
    assert path.read_text().splitlines()[-1] == "and on"
