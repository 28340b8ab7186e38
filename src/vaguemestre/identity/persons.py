"""Persons: kept once for all accounts, found by national identifier.

Kept true: one row a national identifier; a person's number never changes, since traces and read states name it.
"""

from typing import Any

import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.clock import now_ms
from vaguemestre.identity.model import Person, UnknownPersonError
from vaguemestre.identity.tables import persons
from vaguemestre.storage.database import insert_or_ignore


def keep(connection: sa.Connection, national_id: str, name: str) -> Person:
    """The person of this identifier, made or renamed; an empty name leaves the one that is known."""
    connection.execute(
        insert_or_ignore(connection, persons),
        {"id": ids.next_id(), "national_id": national_id, "name": name or national_id, "created_at": now_ms()},
    )
    if name:
        renamed = sa.update(persons).where(persons.c.national_id == national_id, persons.c.name != name)
        connection.execute(renamed.values(name=name))
    return get(connection, national_id)


def find(connection: sa.Connection, national_id: str) -> Person | None:
    """The person of this identifier, or None."""
    row = connection.execute(sa.select(persons).where(persons.c.national_id == national_id)).one_or_none()
    return None if row is None else person(row)


def get(connection: sa.Connection, national_id: str) -> Person:
    """The person of this identifier. Raises UnknownPersonError."""
    found = find(connection, national_id)
    if found is None:
        raise UnknownPersonError(national_id)
    return found


def numbered(connection: sa.Connection, person_id: int) -> Person:
    """The person of a number that a row of ours holds: there is one."""
    return person(connection.execute(sa.select(persons).where(persons.c.id == person_id)).one())


def person(row: Any) -> Person:
    """The person in a row that has the columns of `persons`."""
    return Person(row.id, row.national_id, row.name)
