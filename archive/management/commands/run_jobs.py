"""The embedded worker: turns events into jobs and does them until it is told to stop."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand

from archive import background, heartbeat, jobs, runner

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.2


class Command(BaseCommand):
    help = "Do the archive's background work until SIGTERM or Ctrl-C."

    def handle(self, *_args: Any, **_options: Any) -> None:
        signals: list[int] = []

        def remember(number: int, _frame: FrameType | None) -> None:
            signals.append(number)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, remember)
        background.stand_back()
        rescued = jobs.rescue_orphans()
        if rescued:
            logger.info("%d jobs of a runner that was killed are queued again", rescued)
        # The loop has a thread of its own: a handler that sets an Event on which its own thread
        # waits may stand still for ever.
        stop = threading.Event()
        loop = threading.Thread(target=runner.run_forever, args=(stop,), name="job-runner")
        loop.start()
        while loop.is_alive() and not signals:
            loop.join(_LOOK_EVERY_S)
        stop.set()
        loop.join()
        heartbeat.leave(heartbeat.WORKER)
        if not signals:
            self.stderr.write("The job runner ended by itself; its log says why.")
            raise SystemExit(1)
