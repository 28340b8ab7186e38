"""Names that are not one word: found by any of their words, with or without hyphens.

What it keeps true: after `refresh`, each practitioner whose family or given name has several words, or a mark between
them, has a spelling from each of its words on: "Lefèvre-Noël" is found by `lefevre n`, by `noel`, and by `lefevre-n` in
its own key. Names of one word, four in five, need no row.

Rule: whoever writes practitioners calls it in the same transaction.
"""

import sqlalchemy as sa

from vaguemestre.directory import tables
from vaguemestre.documents.words import words

_BATCH = 5000


def of(name: str) -> list[str]:
    """What a name is also found by, besides its key: nothing for one word alone."""
    found = words(name)
    if len(found) < 2:
        return []
    return list(dict.fromkeys(" ".join(found[start:]) for start in range(len(found))))


def refresh(connection: sa.Connection, after: int) -> int:
    """Write the spellings of practitioners changed after that revision (0: of all); returns how many."""
    people, spellings = tables.practitioners, tables.spellings
    if after:
        changed = sa.select(people.c.id).where(people.c.revision > after)
        connection.execute(spellings.delete().where(spellings.c.id.in_(changed)))
    else:
        connection.execute(spellings.delete())
    several = sa.or_(*(_several(connection, column) for column in (people.c.family_key, people.c.given_key)))
    chosen = sa.select(people.c.id, people.c.family_key, people.c.given_key).where(several)
    last, written = -(2**62), 0
    while True:
        page = chosen.where(people.c.revision > after, people.c.id > last).order_by(people.c.id).limit(_BATCH)
        batch = connection.execute(page).all()
        if not batch:
            return written
        rows = [
            {"id": each.id, "field": field, "key": key}
            for each in batch
            for field, name in (("f", each.family_key), ("g", each.given_key))
            for key in of(name)
        ]
        if rows:
            connection.execute(spellings.insert(), rows)
        last, written = batch[-1].id, written + len(rows)


def _several(connection: sa.Connection, column: "sa.Column[str]") -> "sa.ColumnElement[bool]":
    if connection.dialect.name == "postgresql":
        return column.regexp_match("[^a-z0-9]")
    return column.op("GLOB")("*[^a-z0-9]*")
