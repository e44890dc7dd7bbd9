"""The receiver is one of several processes on small machines: it loads what it needs."""

from __future__ import annotations

from pathlib import Path

from tests.receiver import run_python

_SHOW = """
import sys
import dimse.scp
print(*sorted({"gdcm", "redis", "requests", "cryptography", "pydantic"} & set(sys.modules)))
"""


def test_it_loads_no_decoder_and_no_client_of_servers_that_are_not_there(tmp_path: Path) -> None:
    assert run_python(tmp_path, _SHOW).split() == ["requests"]  # by pydicom
