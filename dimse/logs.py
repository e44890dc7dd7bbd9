"""The receiver's own log file beside the others."""

from __future__ import annotations

import copy
import logging.config
import warnings
from pathlib import Path

from django.conf import settings

FILE_NAME = "dicom_receiver.log"

_NOISY = ("_validators", "dimse_messages", "dul", "pdu", "pdu_items", "pdu_primitives", "utils")


def configure(*, debug: bool) -> None:
    """Log to the console and to `logs/dicom_receiver.log` in the data directory.

    Parameters
    ----------
    debug : log our own steps at DEBUG; pynetdicom stays silent, names of patients stand in what it
        tells
    """
    configuration = copy.deepcopy(settings.LOGGING)
    handler = configuration["handlers"]["file"]
    handler["filename"] = str(Path(handler["filename"]).with_name(FILE_NAME))
    # What a peer sends wrong is told once, in our words, and not as pynetdicom's tracebacks.
    for module in _NOISY:
        configuration["loggers"][f"pynetdicom.{module}"] = {"level": "CRITICAL"}
    if debug:
        configuration["root"]["level"] = "DEBUG"
    logging.config.dictConfig(configuration)
    # pydicom warns of every odd value that a peer proposes.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\.")
