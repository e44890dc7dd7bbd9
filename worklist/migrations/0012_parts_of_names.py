"""Parts of names by index: trigrams of every name that studies have.

On SQLite the names stand in a table of their own, each once, which triggers keep; `archive.names`
adds the trigrams of new ones to an FTS5 index by the thousand. The triggers go when Django makes
the table of studies anew (as it does on SQLite to alter a field): a migration that does so runs
`keep` of this one again at its end.

Nobody waits long: names are taken over some thousand at a time, and PostgreSQL builds its index
beside its writers. Run again after an interruption, it goes on.
"""

import logging

from django.db import Error, migrations, transaction

logger = logging.getLogger(__name__)

_BATCH = 5_000
_INDEX = "study_name_trigrams"
_TABLES = (
    # A number never comes again: those up to `last_id` have their trigrams in the index.
    "CREATE TABLE IF NOT EXISTS worklist_studyname "
    "(id integer PRIMARY KEY AUTOINCREMENT, name text UNIQUE NOT NULL)",
    "CREATE TABLE IF NOT EXISTS worklist_studyname_indexed (last_id integer NOT NULL)",
    "INSERT INTO worklist_studyname_indexed SELECT 0 "
    "WHERE NOT EXISTS (SELECT 1 FROM worklist_studyname_indexed)",
    # Trigrams without their places: what they find is compared afterwards anyway.
    "CREATE VIRTUAL TABLE IF NOT EXISTS worklist_studyname_parts USING fts5("
    "name, content='worklist_studyname', content_rowid='id', tokenize='trigram', "
    "detail='none', columnsize=0)",
)
_ADD = (
    "INSERT INTO worklist_studyname (name) SELECT NEW.patient_name_folded "
    "WHERE NOT EXISTS (SELECT 1 FROM worklist_studyname WHERE name = NEW.patient_name_folded);"
)
_DROP = (
    "DELETE FROM worklist_studyname WHERE name = OLD.patient_name_folded AND NOT EXISTS "
    "(SELECT 1 FROM worklist_study WHERE patient_name_folded = OLD.patient_name_folded);"
)
_TRIGGERS = {
    "studyname_of_new_study": "AFTER INSERT ON worklist_study "
    f"WHEN NEW.patient_name_folded <> '' BEGIN {_ADD} END",
    "studyname_of_renamed_study": "AFTER UPDATE OF patient_name_folded ON worklist_study "
    f"WHEN NEW.patient_name_folded <> OLD.patient_name_folded BEGIN {_ADD} {_DROP} END",
    "studyname_of_removed_study": f"AFTER DELETE ON worklist_study BEGIN {_DROP} END",
    "studyname_parts_removed": "AFTER DELETE ON worklist_studyname "
    "WHEN OLD.id <= (SELECT last_id FROM worklist_studyname_indexed) BEGIN "
    "INSERT INTO worklist_studyname_parts (worklist_studyname_parts, rowid, name) "
    "VALUES ('delete', OLD.id, OLD.name); END",
}


def keep(apps, schema_editor):
    connection = schema_editor.connection
    if connection.vendor == "postgresql":
        _keep_on_postgresql(connection)
        return
    with connection.cursor() as cursor:
        for statement in _TABLES:
            cursor.execute(statement)
        for name, body in _TRIGGERS.items():
            cursor.execute(f"CREATE TRIGGER IF NOT EXISTS {name} {body}")
    after = ""
    while after is not None:
        after = _take_over(connection, after)
    while _add_parts(connection):
        pass


def _take_over(connection, after):
    """Take over the next names; returns the last of them."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        # Names that come meanwhile are there: triggers keep them.
        cursor.execute(
            "SELECT DISTINCT patient_name_folded FROM worklist_study "
            f"WHERE patient_name_folded > %s ORDER BY patient_name_folded LIMIT {_BATCH}",
            [after],
        )
        names = [row[0] for row in cursor.fetchall()]
        cursor.executemany(
            "INSERT INTO worklist_studyname (name) SELECT %s "
            "WHERE NOT EXISTS (SELECT 1 FROM worklist_studyname WHERE name = %s)",
            [(name, name) for name in names],
        )
    return names[-1] if len(names) == _BATCH else None


def _add_parts(connection):
    """Add the trigrams of the next names; returns whether there may be more."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(
            "SELECT max(id) FROM (SELECT id FROM worklist_studyname WHERE id > "
            f"(SELECT last_id FROM worklist_studyname_indexed) ORDER BY id LIMIT {_BATCH})"
        )
        (last,) = cursor.fetchone()
        if last is None:
            return False
        cursor.execute(
            "INSERT INTO worklist_studyname_parts (rowid, name) SELECT id, name FROM "
            "worklist_studyname WHERE id > (SELECT last_id FROM worklist_studyname_indexed) "
            "AND id <= %s",
            [last],
        )
        cursor.execute("UPDATE worklist_studyname_indexed SET last_id = %s", [last])
    return True


def _keep_on_postgresql(connection):
    try:
        with connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    except Error:
        logger.warning(
            "The database has no pg_trgm: parts in the middle of names are searched without an "
            "index. Install PostgreSQL's contrib modules, let its administrator run CREATE "
            "EXTENSION pg_trgm, and create the index named in docs/operations.md."
        )
        return
    with connection.cursor() as cursor:
        # One that was interrupted stays behind as invalid.
        cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_INDEX}")
        cursor.execute(
            f"CREATE INDEX CONCURRENTLY {_INDEX} ON worklist_study "
            "USING gin (patient_name_folded gin_trgm_ops)"
        )


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP INDEX IF EXISTS {_INDEX}")
        return
    for name in _TRIGGERS:
        schema_editor.execute(f"DROP TRIGGER IF EXISTS {name}")
    schema_editor.execute("DROP TABLE IF EXISTS worklist_studyname_parts")
    schema_editor.execute("DROP TABLE IF EXISTS worklist_studyname")
    schema_editor.execute("DROP TABLE IF EXISTS worklist_studyname_indexed")


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("worklist", "0011_indexes_that_others_cover")]

    operations = [migrations.RunPython(keep, drop)]
