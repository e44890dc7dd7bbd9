"""Lines of CSV that spreadsheets open as text, whatever names people gave themselves."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable


def line(values: Iterable[object]) -> str:
    r"""Return one line of CSV, ended as RFC 4180 ends it.

    Examples
    --------
    >>> line(["=1+1", 7])
    "'=1+1,7\r\n"
    """
    buffer = io.StringIO()
    csv.writer(buffer).writerow([_inert(str(value)) for value in values])
    return buffer.getvalue()


def _inert(text: str) -> str:
    """Return what no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
