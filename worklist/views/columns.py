"""The worklist's columns: what they are called, how they sort, which may be hidden."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext_noop

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
    Column("status", gettext_noop("Status"), field="status"),
    Column("preview", gettext_noop("Preview")),
    Column("patient", gettext_noop("Patient"), sort="name", field="name"),
    Column("id", gettext_noop("Patient ID"), sort="patient_id", field="id"),
    Column("date", gettext_noop("Study date"), sort="date", field="date"),
    Column("modality", gettext_noop("Modality"), sort="modality", field="mod"),
    Column("description", gettext_noop("Description"), field="desc"),
    Column("accession", gettext_noop("Accession"), sort="accession", field="acc"),
    Column("facility", gettext_noop("Facility"), field="facility"),
    Column("images", gettext_noop("Images"), sort="images"),
    Column("received", gettext_noop("Received"), sort="received", field="received"),
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
