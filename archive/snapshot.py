"""The database at one moment, with the list of the files that it names; and the way back.

SQLite is copied by its backup API, PostgreSQL by `pg_dump` of an exported snapshot: writers go on
in both.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from django.db import OperationalError, connection, transaction

from archive.errors import InvalidInputError, StoreUnavailableError
from archive.models import InstanceConflict
from worklist.models import DicomImage

_LONGEST_S = 6 * 3600


def file_name() -> str:
    """Return what the copy of this site's kind of database is called."""
    return "noctis.sqlite3" if connection.vendor == "sqlite" else "noctis.pgdump"


def take(target: Path, listing: Path, folder: str) -> None:
    """Copy the database to `target`, and list the files that the copy names.

    Parameters
    ----------
    target : a new file
    listing : is written as `sha256sum` does, `<digest>  <folder>/<key>`, in the order of names
    folder : that names are given in

    Raises
    ------
    StoreUnavailableError
        When the database, or its tool, fails.
    """
    try:
        if connection.vendor == "sqlite":
            _take_sqlite(target, listing, folder)
        else:
            _take_postgresql(target, listing, folder)
    except (sqlite3.Error, OperationalError) as error:
        raise StoreUnavailableError(f"The database cannot be copied now: {error}") from error


def exists() -> bool:
    """Whether this site's database holds anything."""
    if connection.vendor == "sqlite":
        return Path(str(connection.settings_dict["NAME"])).exists()
    return bool(connection.introspection.table_names())


def put_back(source: Path) -> None:
    """Make the copy this site's database, which must not exist.

    Raises
    ------
    StoreUnavailableError
        When the database's tool fails.
    """
    if connection.vendor != "sqlite":
        # An extension that an administrator made is there, and its comment is not ours to write.
        _run("pg_restore", "--no-owner", "--no-comments", "--exit-on-error", "--single-transaction",
             "--dbname", str(connection.settings_dict["NAME"]), str(source))  # fmt: skip
        return
    target = Path(str(connection.settings_dict["NAME"]))
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    shutil.copyfile(source, part)
    _sync(part)
    part.replace(target)
    _sync(target.parent)


def _query() -> str:
    """Return the statement that lists the files: ordered by bytes, as Python compares."""
    order = "" if connection.vendor == "sqlite" else ' COLLATE "C"'
    quote = connection.ops.quote_name
    images, conflicts = (quote(model._meta.db_table) for model in (DicomImage, InstanceConflict))
    return (
        "SELECT sha256, storage_key FROM ("  # noqa: S608 - names of ours
        f"SELECT sha256, storage_key FROM {images} UNION ALL "
        f"SELECT sha256, 'conflicts/' || storage_key FROM {conflicts}"
        f") AS files ORDER BY storage_key{order}"
    )


def _take_sqlite(target: Path, listing: Path, folder: str) -> None:
    # One step: a copy in many begins anew whenever another process writes.
    source = sqlite3.connect(f"file:{connection.settings_dict['NAME']}?mode=ro", uri=True)
    copy = sqlite3.connect(target)
    try:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
        (verdict,) = copy.execute("PRAGMA quick_check").fetchone()
        if verdict != "ok":
            raise StoreUnavailableError(f"The database is damaged: {verdict}")
        _write(listing, folder, copy.execute(_query()))
    finally:
        copy.close()
        source.close()
    _sync(target)


def _take_postgresql(target: Path, listing: Path, folder: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute("SELECT pg_export_snapshot()")
        (name,) = cursor.fetchone()
        _run("pg_dump", "--format=custom", "--no-owner", f"--snapshot={name}",
             "--file", str(target), str(connection.settings_dict["NAME"]))  # fmt: skip
        cursor.execute(f"DECLARE files NO SCROLL CURSOR FOR {_query()}")
        _write(listing, folder, _fetched(cursor))
    _sync(target)


def _fetched(cursor: Any) -> Iterable[tuple[str, str]]:  # noqa: ANN401 - Django's cursor wrapper
    while True:
        cursor.execute("FETCH 5000 FROM files")
        rows = cursor.fetchall()
        if not rows:
            return
        yield from rows


def _write(listing: Path, folder: str, rows: Iterable[tuple[str, str]]) -> None:
    with listing.open("w", encoding="utf-8") as handle:
        for digest, key in rows:
            handle.write(f"{digest}  {folder}/{key}\n")


def _run(program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs on this site's database; the password is no argument."""
    environment = dict(os.environ)
    for name, value in _libpq_variables(connection.settings_dict).items():
        if value:
            environment[name] = str(value)
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program with our own arguments
            [program, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_LONGEST_S,
        )
    except FileNotFoundError as error:
        raise InvalidInputError(
            f"{program} is not installed. Install PostgreSQL's client programs (apt: "
            "postgresql-client), of the server's version or newer."
        ) from error
    if done.returncode != 0:
        raise StoreUnavailableError(f"{program} failed: {done.stderr.strip()[-500:]}")


def _libpq_variables(known: Mapping[str, Any]) -> dict[str, Any]:
    """Return how to reach the database; what a DATABASE_URL says in its query is an option."""
    options = known["OPTIONS"]
    found = {
        f"PG{name.upper()}": known[name.upper()] or options.get(name)
        for name in ("host", "port", "user", "password")
    }
    others = ("sslmode", "sslrootcert", "sslcert", "sslkey", "service", "passfile")
    return found | {f"PG{name.upper()}": options.get(name) for name in others}


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
