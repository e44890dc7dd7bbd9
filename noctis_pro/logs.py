"""Log lines that no input can forge: as text for people, as JSON for programs."""

from __future__ import annotations

import contextlib
import json
import logging
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler

from archive import correlation


class EscapingFormatter(logging.Formatter):
    """Keep one record on one line: control characters that came from outside are shown escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """Format `record`; the traceback keeps its own lines."""
        message = record.getMessage()
        if not message.isprintable():
            record = logging.makeLogRecord(record.__dict__)
            record.msg, record.args = _escaped(message), ()
        return super().format(record)


class JsonFormatter(logging.Formatter):
    """One record is one JSON object on one line, with what it belongs to."""

    def format(self, record: logging.LogRecord) -> str:
        """Format `record`; a traceback is a value of it."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
            "thread": record.threadName,
            **correlation.current(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class LogFile(WatchedFileHandler):
    """A log file that others may rotate; when it takes nothing, the work goes on without it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record.

        The library's handler lets the error of a full disk out where it finds the file replaced:
        an association broke because its beginning could not be logged, and so did every later one,
        because the old file kept what it could not write.
        """
        try:
            super().emit(record)
        except OSError:
            broken, self.stream = self.stream, None
            if broken is not None:
                with contextlib.suppress(OSError):
                    broken.close()
            self.handleError(record)


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
