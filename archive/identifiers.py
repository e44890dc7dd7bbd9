"""What other archives call the same study."""

from __future__ import annotations

import hashlib


def orthanc_study_id(patient_id: str, study_instance_uid: str) -> str:
    """Return the identifier that Orthanc gives the same study.

    Examples
    --------
    >>> orthanc_study_id("P1", "1.2.3")
    '08ed9f71-eb2bc98b-51ab49c3-4d4d0f1b-2ab9a5ff'
    """
    text = f"{patient_id.strip()}|{study_instance_uid.strip()}".encode()
    digest = hashlib.sha1(text, usedforsecurity=False).hexdigest()
    return "-".join(digest[at : at + 8] for at in range(0, 40, 8))
