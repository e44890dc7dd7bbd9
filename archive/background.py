"""Work that may wait stands back behind receiving and reading, which share its processors."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

# A third of the share of the others while all processors are busy; all of it while they are not.
NICENESS = 5
_AUTOGROUP = Path("/proc/self/autogroup")


def stand_back() -> None:
    """Give this process, and those it will start, the lower priority.

    Where the kernel groups processes by session (`sched_autogroup`), their own niceness counts
    within the group alone: the group gets one too.
    """
    with contextlib.suppress(OSError):
        if os.getpriority(os.PRIO_PROCESS, 0) < NICENESS:
            os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    with contextlib.suppress(OSError):
        _AUTOGROUP.write_text(str(NICENESS), "ascii")
