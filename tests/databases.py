"""What tests need again and again, made once: migrated databases, and folders like them.

To run all migrations takes five seconds of processor time, to copy their result a few milliseconds.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock
from urllib.parse import urlsplit

import django
import psycopg
from django.core.management.color import Style
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from tests import product

_DATABASE = "noctis.sqlite3"
_TEMPLATE = "noctis_migrated"


def once(name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that the first worker of the run who asks for it makes, with what is in it.

    Parameters
    ----------
    make : fills the empty folder that it is given
    """
    root = Path(os.environ["NOCTIS_TEST_ROOT"]) / "once"
    root.mkdir(exist_ok=True)
    folder = root / name
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            half_made = root / f"{name}.new"
            shutil.rmtree(half_made, ignore_errors=True)
            half_made.mkdir()
            make(half_made)
            half_made.rename(folder)
    return folder


def _migrate(data_dir: Path, **variables: str) -> None:
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0", "--skip-checks"]
    done = product.run(command, product.environment(data_dir, **variables))
    assert done.returncode == 0, done.stderr


def _migrated() -> Path:
    """Return a migrated SQLite database, of this run or of an earlier one with these migrations."""
    digest = hashlib.sha256(django.__version__.encode())
    for path in sorted(product.PROJECT.glob("*/migrations/*.py")):
        digest.update(str(path.relative_to(product.PROJECT)).encode() + b"\0" + path.read_bytes())
    kept = Path(sys.prefix) / f".migrated-{digest.hexdigest()[:16]}.sqlite3"
    with kept.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            with tempfile.TemporaryDirectory() as folder:
                _migrate(Path(folder))
                half_copied = kept.with_suffix(".new")
                shutil.copyfile(Path(folder) / _DATABASE, half_copied)
                half_copied.replace(kept)
    return kept


def copy_to(path: Path) -> None:
    """Put a migrated SQLite database without rows at `path`."""
    shutil.copyfile(_migrated(), path)


def place(data_dir: Path) -> None:
    """Put a migrated SQLite database without rows where a site looks for its own."""
    data_dir.mkdir(parents=True, exist_ok=True)
    copy_to(data_dir / _DATABASE)


def postgresql_template(url: str) -> str:
    """Return the name of a migrated database of the server, to make others like it."""
    server = urlsplit(url)._replace(path="/postgres").geturl()
    address = urlsplit(url)._replace(path=f"/{_TEMPLATE}").geturl()

    def make(folder: Path) -> None:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
        _migrate(folder, DATABASE_URL=address)

    once(f"postgresql-{urlsplit(url).port}", make)
    return _TEMPLATE


@contextmanager
def quick_flush() -> Iterator[None]:
    """Let a flush keep the rows that Django makes for every model, and bring back the migrations'.

    The former are the same in every test; to look each of them up takes longer than most tests do.
    The latter are what a new site begins with: tests rely on them in whichever order they run.
    """
    from django.apps import apps
    from django.contrib.auth.models import Permission
    from django.contrib.contenttypes.models import ContentType
    from django.core.management.commands import flush

    kept = {Permission._meta.db_table, ContentType._meta.db_table}
    models = [model for model in apps.get_models() if model._meta.db_table not in kept]
    migrated = [(model, rows) for model in models if (rows := list(model._base_manager.all()))]

    def sql_flush(style: Style, connection: BaseDatabaseWrapper, **options: bool) -> list[str]:
        names = connection.introspection.django_table_names(only_existing=True, include_views=False)
        return connection.ops.sql_flush(style, sorted(set(names) - kept), **options)

    def bring_back(*_: object, **__: object) -> None:
        for model, rows in migrated:
            model._base_manager.bulk_create(rows)

    with (
        mock.patch.object(flush, "sql_flush", sql_flush),
        mock.patch.object(flush, "emit_post_migrate_signal", bring_back),
    ):
        yield
