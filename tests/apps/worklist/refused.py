"""Callers that are refused, as the receiver tells the site of them."""

from __future__ import annotations

from typing import Any

from archive import facilities
from archive.models import Knock


def knock(
    calling: str = "CT_2", code: str = "calling-ae", address: str = "10.9.9.9", **values: Any
) -> Knock:
    return facilities.remember_knock(
        calling_ae_title=calling,
        called_ae_title="NOCTIS_SCP",
        address=address,
        reason_code=code,
        reason=f"{calling} belongs to no facility yet.",
        proposed=["CT Image Storage (2 transfer syntaxes)"],
        **values,
    )
