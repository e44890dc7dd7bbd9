"""The logs: a full disk or a rotation stops nobody, and each line says what it belongs to."""

from __future__ import annotations

import contextvars
import json
import logging
import sys
from pathlib import Path

import pytest

from archive import correlation
from noctis_pro.logs import JsonFormatter, LogFile


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


def _line(**values: object) -> dict[str, object]:
    record = logging.makeLogRecord({"levelname": "WARNING", "name": "n", **values})
    text = JsonFormatter().format(record)
    assert "\n" not in text
    found: dict[str, object] = json.loads(text)
    return found


def test_a_json_line_is_one_object_that_no_input_can_forge() -> None:
    line = {"msg": "from %s", "args": ('CT\n{"level": "ERROR"}',)}
    found = contextvars.Context().run(lambda: _line(**line))
    assert found["message"] == 'from CT\n{"level": "ERROR"}'
    assert (found["level"], found["logger"]) == ("WARNING", "n")
    assert "request_id" not in found
    assert str(found["time"]).endswith("+00:00")


def test_a_json_line_holds_the_traceback() -> None:
    try:
        int("broken")
    except ValueError:
        found = _line(msg="x", exc_info=sys.exc_info())
    assert "ValueError: invalid literal" in str(found["exception"])


def test_a_line_says_what_it_belongs_to() -> None:
    def within() -> dict[str, object]:
        correlation.begin_request("from-a-gateway")
        correlation.begin_association("CT1@192.0.2.7#1-1")
        with correlation.of_job("thumbnail 7", correlation.origin()):
            return _line(msg="x")

    found = contextvars.Context().run(within)
    assert (found["request_id"], found["association_id"], found["job_id"]) == (
        "from-a-gateway", "CT1@192.0.2.7#1-1", "thumbnail 7",
    )  # fmt: skip


@pytest.mark.parametrize(
    "given", [None, "", "short", "a" * 129, "with a space", "line\nbreak", "<script>x", "Müller-1"]
)
def test_an_odd_request_id_is_replaced(given: str | None) -> None:
    made = contextvars.Context().run(correlation.begin_request, given)
    assert len(made) == 32
    assert made != given
