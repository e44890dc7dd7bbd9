"""Celery as the way to run jobs on many machines: its workers drain the same job table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "noctis_pro.settings")  # noqa: TID251

import django
from celery import Celery
from celery.app.amqp import AMQP
from django.conf import settings
from kombu import Connection

django.setup()

from archive import runner

_DRAIN_EVERY_S = 1.0
_CARE_EVERY_S = 60.0
# Celery's own pauses grow to half a minute, and after a hundred of them it gives up.
_RETRY_S = 2


def _embedded_broker(folder: Path) -> dict[str, Any]:
    """Return a broker made of files: no server, one machine."""
    for name in ("queue", "control", "processed"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return {
        "broker_url": "filesystem://",
        "broker_transport_options": {
            "data_folder_in": str(folder / "queue"),
            "data_folder_out": str(folder / "queue"),
            "control_folder": str(folder / "control"),
            "processed_folder": str(folder / "processed"),
        },
    }


class _Connection(Connection):
    """A broker that was away for long is tried as often as one that has just gone."""

    def ensure_connection(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - kombu's own
        given = {**options, "interval_start": _RETRY_S, "interval_step": 0}
        return super().ensure_connection(*args, **given)


class _Amqp(AMQP):
    Connection = _Connection


app = Celery("noctis_pro", amqp=_Amqp)
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    beat_schedule_filename=str(settings.MEDIA_ROOT.parent / "celerybeat-schedule"),
    beat_schedule={
        # A lost or late message costs a second, never a job: the table is the queue.
        "drain": {"task": "noctis.drain", "schedule": _DRAIN_EVERY_S, "options": {"expires": 5}},
        "care": {"task": "noctis.care", "schedule": _CARE_EVERY_S, "options": {"expires": 60}},
    },
    **(
        {"broker_url": settings.CELERY_BROKER_URL}
        if settings.CELERY_BROKER_URL
        else _embedded_broker(settings.MEDIA_ROOT.parent / "broker")
    ),
)


@app.task(name="noctis.drain")
def drain() -> int:
    """Dispatch events and do the due jobs."""
    return runner.drain(most_jobs=200)


@app.task(name="noctis.care")
def care() -> None:
    """Do the housekeeping of the tables."""
    runner.care()
