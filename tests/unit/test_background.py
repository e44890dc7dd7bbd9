"""Background work has a lower priority than what somebody waits for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_SHOW = """
import os
from pathlib import Path
from archive.background import stand_back
stand_back()
stand_back()
group = Path("/proc/self/autogroup")
print(os.getpriority(os.PRIO_PROCESS, 0), group.read_text().split()[-1] if group.exists() else 5)
"""


def test_a_worker_and_what_it_starts_stand_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SHOW],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        start_new_session=True,
    )
    assert done.stdout.split() == ["5", "5"]
