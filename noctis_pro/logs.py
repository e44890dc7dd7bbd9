"""Log lines that no input can forge."""

from __future__ import annotations

import logging


class EscapingFormatter(logging.Formatter):
    """Keep one record on one line: control characters that came from outside are shown escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """Format `record`; the traceback keeps its own lines."""
        message = record.getMessage()
        if not message.isprintable():
            record = logging.makeLogRecord(record.__dict__)
            record.msg, record.args = _escaped(message), ()
        return super().format(record)


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
