"""Parts of patients' names by index, whatever database there is (docs/adr/0044).

PostgreSQL has a trigram index of the names in the rows of studies, and uses it by itself. On SQLite
the few names with a part are looked up first (worklist.0012_parts_of_names); studies are then
found by their whole names. Where many names have the part, studies are as soon found one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Q
from django.db.models.expressions import RawSQL

from archive import database

# More names than this have more studies than anybody remembers the keys of.
MOST_NAMES = 5_000
_COLUMN = "patient_name_folded"
_CONTAINS = f"{_COLUMN}__contains"
_TRIGRAM = 3
_BY_PARTS = (
    "id IN (SELECT rowid FROM worklist_studyname_parts WHERE worklist_studyname_parts MATCH %s)"
)
LAST_ID = "(SELECT last_id FROM worklist_studyname_indexed)"


def narrowed(reader: BaseDatabaseWrapper, condition: Q) -> Q:
    """Return a condition with whole names for the parts that it wants of them, where they are few.

    Parameters
    ----------
    reader : connection to read names by; nobody else uses it meanwhile
    condition : with ``patient_name_folded__contains`` somewhere, of studies or by way of them

    Returns
    -------
    A condition that finds the same; the given one where nothing is gained.
    """
    if reader.vendor == "postgresql":
        return condition
    return _narrowed(reader, condition)


def is_of_names(condition: Q) -> bool:
    """Whether a condition that was narrowed finds studies by whole names alone."""
    children: list[Any] = condition.children
    found = [
        is_of_names(child) if isinstance(child, Q) else child[0] == f"{_COLUMN}__in"
        for child in children
    ]
    return bool(found) and (all(found) if condition.connector == Q.OR else any(found))


def is_of_many(condition: Q) -> bool:
    """Whether a condition that was narrowed wants parts of names that many have, and no more."""
    children: list[Any] = condition.children
    return bool(children) and all(
        is_of_many(child) if isinstance(child, Q) else child[0] == _CONTAINS for child in children
    )


def _narrowed(reader: BaseDatabaseWrapper, condition: Q) -> Q:
    groups: dict[str, list[str]] = {}
    before: list[Any] = condition.children
    children: list[Any] = []
    for child in before:
        if isinstance(child, Q):
            children.append(_narrowed(reader, child))
            continue
        path, value = child
        is_part = path == _CONTAINS or path.endswith(f"__{_CONTAINS}")
        if is_part and condition.connector == Q.AND:
            groups.setdefault(path, []).append(value)
        elif is_part and condition.connector == Q.OR:
            children.append(_of_parts(reader, path, [value]))
        else:
            children.append(child)
    for path, parts in groups.items():
        found = _of_parts(reader, path, parts)
        children += found.children if condition.connector == Q.AND else [found]
    return Q.create(children, connector=condition.connector, negated=condition.negated)


def _of_parts(reader: BaseDatabaseWrapper, path: str, parts: Sequence[str]) -> Q:
    found = with_parts(reader, parts)
    if found is None:
        return Q(*((path, part) for part in parts))
    # Names are looked up again by the statement that reads studies: one that is corrected between
    # two statements, from a name with the part to another with it, would be missed.
    statement, values = _lookup(reader, parts)
    names: RawSQL | list[str] = []
    if found:
        names = RawSQL(statement, values)  # noqa: S611 - ours, values apart
    return Q((f"{path.removesuffix('contains')}in", names))


def with_parts(reader: BaseDatabaseWrapper, parts: Sequence[str]) -> list[str] | None:
    """Return the names that have all of some parts, of SQLite's table of them.

    Returns
    -------
    None where more than `MOST_NAMES` have them.
    """
    statement, values = _lookup(reader, parts)
    reader.ensure_connection()
    rows = database.execute(
        reader,
        f"{database.dialect(statement, reader.vendor)} LIMIT {MOST_NAMES + 1}",
        values,
    )
    return [name for (name,) in rows] if len(rows) <= MOST_NAMES else None


def _lookup(reader: BaseDatabaseWrapper, parts: Sequence[str]) -> tuple[str, list[Any]]:
    """Return the statement for the names that have all of some parts, and its values."""
    terms = [term for part in parts for term in _terms(part)]
    where = [r"name LIKE %s ESCAPE '\'"] * len(parts)
    values: list[Any] = [f"%{reader.ops.prep_for_like_query(part)}%" for part in parts]
    statement = f"SELECT name FROM worklist_studyname WHERE {' AND '.join(where)}"  # noqa: S608
    if terms:
        # Names that came lately are not in the index: few, and compared.
        statement = f"{statement} AND {_BY_PARTS} UNION ALL {statement} AND id > {LAST_ID}"
        values = [*values, " ".join(terms), *values]
    return statement, values


def _terms(part: str) -> list[str]:
    """Return what FTS5 is asked for a part: its trigrams; none where it is shorter."""
    # A string of SQLite's query language ends at a zero.
    if "\0" in part:
        return []
    found = dict.fromkeys(part[at : at + _TRIGRAM] for at in range(len(part) - _TRIGRAM + 1))
    return ['"' + trigram.replace('"', '""') + '"' for trigram in found]
