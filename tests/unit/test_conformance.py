"""The conformance statement says what the code does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from dimse.services import ALL

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENT = PROJECT / "docs" / "conformance.md"


def test_its_tables_are_those_of_the_code() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/write_conformance.py", "--check"], cwd=PROJECT, check=False
    )
    assert done.returncode == 0, "Run scripts/write_conformance.py and commit what it wrote."


def test_it_names_every_sop_class_that_is_served() -> None:
    overview = DOCUMENT.read_text().split("## 2.")[0]
    named = set(re.findall(r"\| (1\.2[\d.]+) \| \S+ \| yes \|", overview))
    assert named == {uid for service in ALL for uid in service.abstract_syntaxes}
