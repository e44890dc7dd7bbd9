"""Trigrams of new names for SQLite's index of parts of names: background work (docs/adr/0044)."""

from __future__ import annotations

from django.db import connection, transaction

from archive import runner
from archive.names import LAST_ID

_AT_ONCE = 500


@runner.carer
def index_new() -> None:
    """Add the trigrams of names that came since the last time to SQLite's index.

    Not when they come: a name at a time costs a sender as much as the rest of a new study does, a
    thousand at once a twentieth of that.
    """
    if connection.vendor == "postgresql":
        return
    while _index_some():
        pass


def _index_some() -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id FROM worklist_studyname WHERE id > {LAST_ID} "  # noqa: S608 - our own
            f"ORDER BY id LIMIT {_AT_ONCE}"
        )
        ids = [row[0] for row in cursor.fetchall()]
        if ids:
            cursor.execute(
                "INSERT INTO worklist_studyname_parts (rowid, name) SELECT id, name "  # noqa: S608
                f"FROM worklist_studyname WHERE id > {LAST_ID} AND id <= %s",
                [ids[-1]],
            )
            cursor.execute("UPDATE worklist_studyname_indexed SET last_id = %s", [ids[-1]])
    return len(ids)
