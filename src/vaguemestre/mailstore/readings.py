"""Readings: what a person has seen, in an account where each person's reading is their own.

What it keeps true: a row stands only where a person's state differs from the flag of the placement, so that delivery
writes none, and a message is unseen to everybody until they see it. Without own reading there are no rows.

Rules: what a person changes is theirs; what is changed in nobody's name (reader 0) holds for everybody, and what they
kept to themselves about that message is dropped. A copy is seen by those who saw the original.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from vaguemestre.mailstore.tables import readings
from vaguemestre.storage.bulk import BulkInsert, Statement

_OWN = "SELECT uid, seen FROM readings WHERE person_id = {value} AND mailbox_id = {value}"
_ALL_OF_READER = Statement(_OWN)
_SOME_OF_READER = Statement(_OWN + " AND uid {among}")
_OF_MESSAGES = Statement("SELECT person_id, uid, seen FROM readings WHERE mailbox_id = {value} AND uid {among}")
_UIDS = Statement("SELECT DISTINCT uid FROM readings WHERE mailbox_id = {value} ORDER BY uid")
_DROP_OF_READER = Statement("DELETE FROM readings WHERE person_id = {value} AND mailbox_id = {value} AND uid {among}")
_DROP = Statement("DELETE FROM readings WHERE mailbox_id = {value} AND uid {among}")
_INSERT = BulkInsert(readings, "person_id", "mailbox_id", "uid", "seen")


def of_reader(
    connection: sa.Connection, mailbox_id: int, reader: int, uids: Sequence[int] | None = None
) -> dict[int, bool]:
    """What a person keeps to themselves about a mailbox, or some messages of it: whether seen, by UID."""
    if uids is None:
        rows = _ALL_OF_READER.run(connection, reader, mailbox_id)
    else:
        rows = _SOME_OF_READER.run(connection, reader, mailbox_id, list(uids))
    return {row[0]: bool(row[1]) for row in rows}


def of_messages(connection: sa.Connection, mailbox_id: int, uids: Sequence[int]) -> list[tuple[int, int, bool]]:
    """What anybody keeps to themselves about some messages: person, UID, whether seen."""
    return [(row[0], row[1], bool(row[2])) for row in _OF_MESSAGES.run(connection, mailbox_id, list(uids))]


def uids(connection: sa.Connection, mailbox_id: int) -> list[int]:
    """The messages about which anybody keeps something to themselves, in order."""
    return [row[0] for row in _UIDS.run(connection, mailbox_id)]


def keep(connection: sa.Connection, mailbox_id: int, rows: Sequence[tuple[int, int, bool]]) -> None:
    """Write down new rows: person, UID, whether seen."""
    _INSERT.run(connection, [(person, mailbox_id, uid, seen) for person, uid, seen in rows])


def change(
    connection: sa.Connection, mailbox_id: int, reader: int, own: dict[int, bool], shared: Sequence[int]
) -> None:
    """A person's state of some messages: `own` where it differs from the flag, `shared` where it no longer does."""
    _DROP_OF_READER.run(connection, reader, mailbox_id, [*own, *shared])
    keep(connection, mailbox_id, [(reader, uid, seen) for uid, seen in own.items()])


def drop(connection: sa.Connection, mailbox_id: int, uids: Sequence[int]) -> None:
    """Forget what anybody kept to themselves about some messages."""
    _DROP.run(connection, mailbox_id, list(uids))
