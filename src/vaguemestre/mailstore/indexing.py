"""Indexing: which messages wait until their words are in a concordance, and which are no more: verbs on rows.

What it keeps true: a message is in `to_index`, written in the transaction that delivers it, or in one concordance, which
shows in the transaction that takes its row away; one that is no more is in `forgotten`, written in the transaction that
deletes it, for as long as a concordance may hold it. So a search is complete, whatever the worker (`indexer`) has done
yet, and what kills the worker loses and doubles nothing.
"""

from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa

from vaguemestre.clock import now_ms
from vaguemestre.errors import VaguemestreError
from vaguemestre.mailstore import concordances
from vaguemestre.mailstore.concordances import Kept, Made
from vaguemestre.mailstore.tables import forgotten, messages, to_index
from vaguemestre.storage.bulk import BulkInsert, Statement

_WORTH = 8  # a concordance is written again for the messages it lost once they are one in so many

_ENQUEUE = BulkInsert(to_index, "account_id", "message_id", "blob_id", "attempts", "due_at")
_DUE = Statement(
    "SELECT account_id, message_id, blob_id, attempts FROM to_index WHERE account_id > {value} AND due_at <= {value}"
    " ORDER BY account_id, message_id LIMIT {value}"
)
_DUE_OF = Statement(
    "SELECT account_id, message_id, blob_id, attempts FROM to_index WHERE account_id = {value} AND message_id <= {value}"
    " AND due_at <= {value} ORDER BY message_id DESC LIMIT {value}"
)
_TAKE = Statement("DELETE FROM to_index WHERE account_id = {value} AND message_id {among} RETURNING message_id")
_PUT_OFF = Statement(
    "UPDATE to_index SET attempts = attempts + 1, due_at = {value} WHERE account_id = {value} AND message_id = {value}"
)
_FORGET = BulkInsert(forgotten, "account_id", "message_id", "forgotten_at")
_FORGOTTEN = Statement("SELECT message_id, forgotten_at FROM forgotten WHERE account_id = {value}")
_REMEMBER_NO_MORE = Statement("DELETE FROM forgotten WHERE account_id = {value} AND message_id {among}")
_TO_PURGE = Statement(
    "SELECT account_id FROM forgotten GROUP BY account_id HAVING min(forgotten_at) < {value} OR count(*) * {value} >="
    " (SELECT coalesce(sum(entries), 0) FROM concordances"
    " WHERE concordances.account_id = forgotten.account_id AND state = 'ready')"
)


class Waiting(msgspec.Struct, frozen=True):
    """A message that waits; `attempts` is how often it could not be had."""

    account_id: int
    message_id: int
    blob_id: int
    attempts: int


class OvertakenError(VaguemestreError):
    """Another process has done this work meanwhile; what it wrote stands."""

    def __init__(self) -> None:
        super().__init__("Another process indexes this account.", "Un autre processus indexe ce compte.")


def enqueue(connection: sa.Connection, new: Sequence[tuple[int, int, int]]) -> None:
    """Have new messages indexed: of each its identifier, account and content. Part of the transaction that writes them."""
    _ENQUEUE.run(connection, [(account_id, message_id, blob_id, 0, 0) for message_id, account_id, blob_id in new])


def forget(connection: sa.Connection, account_id: int, message_ids: Sequence[int]) -> None:
    """Have messages of an account found no more. Part of the transaction that deletes them."""
    if message_ids:
        _TAKE.run(connection, account_id, list(message_ids))
        at = now_ms()
        _FORGET.run(connection, [(account_id, message_id, at) for message_id in set(message_ids)])


def reindex(connection: sa.Connection, account_id: int | None = None) -> None:
    """Have all messages of an account, or all there are, indexed anew; until they are, searches read them."""
    concordances.retire_all(connection, account_id)
    every = sa.select(messages.c.account_id, messages.c.id, messages.c.blob_id, sa.literal(0), sa.literal(0))
    of_no_use = sa.delete(forgotten)
    if account_id is not None:
        every = every.where(messages.c.account_id == account_id)
        of_no_use = of_no_use.where(forgotten.c.account_id == account_id)
    connection.execute(of_no_use)
    waits = sa.exists().where(to_index.c.account_id == messages.c.account_id, to_index.c.message_id == messages.c.id)
    columns = ["account_id", "message_id", "blob_id", "attempts", "due_at"]
    connection.execute(sa.insert(to_index).from_select(columns, every.where(~waits)))


def pending(connection: sa.Connection, account_id: int | None = None) -> int:
    """How many messages wait, of an account or in all."""
    wanted = sa.select(sa.func.count()).select_from(to_index)
    if account_id is not None:
        wanted = wanted.where(to_index.c.account_id == account_id)
    return connection.execute(wanted).scalar_one()


def due(connection: sa.Connection, after: int, limit: int) -> list[Waiting]:
    """Messages to be indexed now, of accounts after this one; then of all."""
    now = now_ms()
    rows = _DUE.run(connection, after, now, limit)
    if not rows and after >= 0:
        rows = _DUE.run(connection, -1, now, limit)
    return [Waiting(*row) for row in rows]


def due_of(connection: sa.Connection, account_id: int, up_to: int, limit: int) -> list[Waiting]:
    """Messages of an account to be indexed now, up to this one, newest first."""
    return [Waiting(*row) for row in _DUE_OF.run(connection, account_id, up_to, now_ms(), limit)]


def settle(connection: sa.Connection, made: Sequence[Made], indexed: Mapping[int, Sequence[int]]) -> None:
    """Show concordances, and have the messages in them, by account, wait no more. Raises OvertakenError."""
    for account_id, message_ids in indexed.items():
        lost = set(message_ids) - {row[0] for row in _TAKE.run(connection, account_id, list(message_ids))}
        if lost and lost - forgotten_of(connection, account_id).keys():
            raise OvertakenError
    concordances.insert(connection, made)


def put_off(connection: sa.Connection, late: Sequence[tuple[Waiting, int]]) -> None:
    """Have messages that could not be had wait, each until a moment in Unix milliseconds."""
    for waiting, due_at in late:
        _PUT_OFF.run(connection, due_at, waiting.account_id, waiting.message_id)


def replace(connection: sa.Connection, made: Made, retired: Sequence[Kept], purged: Sequence[int]) -> None:
    """Show a concordance, `coming` or new, in place of others, without the messages `purged`. Raises OvertakenError."""
    volume_ids = [each.volume.id for each in retired]
    if not concordances.retire(connection, volume_ids):
        raise OvertakenError
    if concordances.is_small(retired):
        concordances.drop(connection, volume_ids)
    if made.in_steps:
        concordances.show(connection, made.volume.id)
    elif made.entries:
        concordances.insert(connection, [made])
    no_more_forgotten(connection, made.account_id, purged)


def forgotten_of(connection: sa.Connection, account_id: int) -> dict[int, int]:
    """The messages of an account that concordances may still hold, with when each was deleted (Unix milliseconds)."""
    return dict(_FORGOTTEN.run(connection, account_id))


def no_more_forgotten(connection: sa.Connection, account_id: int, message_ids: Sequence[int]) -> None:
    """No concordance holds these any more."""
    _REMEMBER_NO_MORE.run(connection, account_id, list(message_ids))


def to_purge(connection: sa.Connection, before: int) -> list[int]:
    """Accounts that lost much of what was indexed, or anything before a moment (Unix milliseconds)."""
    return [row[0] for row in _TO_PURGE.run(connection, before, _WORTH)]


def worth_purging(entries: int, lost: Sequence[int], before: int) -> bool:
    """Whether to write a concordance again that lost messages at these moments."""
    return bool(lost) and (len(lost) * _WORTH >= entries or min(lost) < before)
