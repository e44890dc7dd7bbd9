"""The process in which an analysis runs: with limits, without secrets, ended with its worker.

`python -m archive.analysis_process TARGET FOLDER MEMORY_MIB TIME_S`; it says how it went in
`FOLDER/outcome.json`.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import traceback
from importlib import import_module
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_MOST_FILE_BYTES = 2 * 1024**3
_NICENESS = 10
OUTCOME = "outcome.json"


def _restrict(memory_mib: int, time_s: int) -> None:
    """Give up what an analysis does not need."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    limits = (
        (resource.RLIMIT_AS, memory_mib * 1024**2),
        (resource.RLIMIT_CPU, time_s),
        (resource.RLIMIT_FSIZE, _MOST_FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    )
    for what, most in limits:
        resource.setrlimit(what, (most, most))
    os.nice(_NICENESS)


def main() -> int:
    """Run one analysis."""
    target, folder_name, memory_mib, time_s = sys.argv[1:5]
    folder = Path(folder_name)
    _restrict(int(memory_mib), int(time_s))
    outcome: dict[str, str] = {}
    try:
        module, _, function = target.partition(":")
        getattr(import_module(module), function)(folder / "study", folder / "results")
    except MemoryError:
        outcome["error"] = f"It needed more than {memory_mib} MiB of memory."
    except Exception as error:  # noqa: BLE001 - the edge of the process: told to the worker
        outcome["error"] = f"{type(error).__name__}: {error}"[:1000]
        outcome["traceback"] = traceback.format_exc()[-4000:]
    part = folder / f"{OUTCOME}.part"
    part.write_text(json.dumps(outcome))
    part.rename(folder / OUTCOME)
    return 1 if outcome else 0


if __name__ == "__main__":
    raise SystemExit(main())
