"""The worklist's columns: what they are called, how they sort, which may be hidden."""

from __future__ import annotations

from dataclasses import dataclass

from accounts import preferences
from accounts.models import User


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `sort` is empty where it does not sort, `field` where it does not filter."""

    key: str
    name: str
    sort: str = ""
    field: str = ""


COLUMNS = (
    Column("status", "Status", field="status"),
    Column("preview", "Preview"),
    Column("patient", "Patient", sort="name", field="name"),
    Column("id", "Patient ID", sort="patient_id", field="id"),
    Column("date", "Study date", sort="date", field="date"),
    Column("modality", "Modality", sort="modality", field="mod"),
    Column("description", "Description", field="desc"),
    Column("accession", "Accession", sort="accession", field="acc"),
    Column("facility", "Facility", field="facility"),
    Column("images", "Images", sort="images"),
    Column("received", "Received", sort="received", field="received"),
)
OPTIONAL = frozenset(
    {"preview", "id", "description", "accession", "facility", "images", "received"}
)


def hidden_from(user: User, *, has_facilities: bool) -> list[str]:
    """Return the keys of the columns that are not shown to this person."""
    hidden = [key for key in preferences.hidden_columns_of(user) if key in OPTIONAL]
    if not has_facilities and "facility" not in hidden:
        hidden.append("facility")
    return hidden
