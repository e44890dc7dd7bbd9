"""What a link opens of the sidecar, by its purpose: a few addresses to read, and nothing else.

Whose study it is, the actor's scope decides behind these doors. Together they mean that an address
which somebody adds is closed to links until it is named here.
"""

from __future__ import annotations

import re

from archive.errors import ForbiddenError
from archive.link_rows import LinkPurpose

# Searches, objects, metadata, frames, bulk data and pictures of DICOMweb; WADO-URI.
_OBJECTS = r"/dicom-web/(?:studies|series|instances)(?:/.*)?|/wado/?"
# What our viewer fetches: pictures, and no files.
_PICTURES = (
    r"/api/v1/dicom/frames"
    r"|/api/v1/dicom/image/[^/]+/(?:frames/[^/]+|thumbnail|film\.[a-z0-9]+|video(?:/facts)?)"
    r"|/api/v1/dicom/studies/[^/]+/thumbnail"
)
_DOORS = {
    LinkPurpose.VIEW: re.compile(_PICTURES),
    LinkPurpose.OHIF: re.compile(_OBJECTS),
    LinkPurpose.ANALYSIS: re.compile(_OBJECTS),
}
_READING = frozenset({"GET", "HEAD"})


def check(purpose: str, method: str, path: str) -> None:
    """Refuse an address that a link of this purpose does not open.

    Raises
    ------
    ForbiddenError
    """
    if method in _READING and _DOORS[LinkPurpose(purpose)].fullmatch(path):
        return
    raise ForbiddenError("The link that you came by opens one study to be read, and nothing else.")
