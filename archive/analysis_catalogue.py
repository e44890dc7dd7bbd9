"""Programs that are installed to analyse studies.

A program is a Python function `analyse(study, results)`: it reads the DICOM files of one study in
the folder `study` and writes into the folder `results`: `findings.json`, and DICOM files (SEG, SR,
presentation states, PDF) of the same study in new series. Packages announce theirs as entry points
of the group `noctis_pro.analyses`, whose function carries the attributes of :class:`Program`.
Nothing that was not installed on this machine can be named.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata

logger = logging.getLogger(__name__)

GROUP = "noctis_pro.analyses"


@dataclass(frozen=True, slots=True)
class Program:
    """An installed program.

    Attributes
    ----------
    key : how rows name it
    target : `module:function`
    purpose : what it is for, and what it is not for, in a sentence
    """

    key: str
    target: str
    name: str
    version: str
    manufacturer: str
    purpose: str


EXAMPLE = Program(
    key="example-volumes",
    target="imaging.example_volumes:analyse",
    name="Bone and lung volumes (example)",
    version="2",
    manufacturer="NoctisPro",
    purpose="An example of how analyses are written: thresholds on CT. Not for diagnosis.",
)


@lru_cache(maxsize=1)
def installed() -> dict[str, Program]:
    """Return every program by its key; one that cannot be described is left out and logged."""
    found = {EXAMPLE.key: EXAMPLE}
    for entry in metadata.entry_points(group=GROUP):
        distribution = entry.dist
        if distribution is None or len(entry.name) > 64:
            logger.error("The analysis %s is left out: its package is not known.", entry.name)
            continue
        about = distribution.metadata.json
        found[entry.name] = Program(
            key=entry.name,
            target=entry.value,
            name=str(about.get("name") or entry.name)[:64],
            version=distribution.version[:32],
            manufacturer=str(about.get("author") or about.get("name") or "")[:64],
            purpose=str(about.get("summary") or "")[:255],
        )
    return found
