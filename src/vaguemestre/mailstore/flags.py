"""Flags and keywords of messages: added, removed, replaced, for one message or ten thousand.

What it keeps true: a message whose marks are the same afterwards is not changed, and its modseq stays; of those that are
changed, each bears the new modseq, and the counts of the mailbox follow.

Own reading: see `readings`. Standards: RFC 9051 §6.4.6 (STORE), RFC 7162 §3.1.3 (UNCHANGEDSINCE).
"""

from collections.abc import Sequence
from enum import Enum

import msgspec
import sqlalchemy as sa

from vaguemestre.mailstore import queries, readings
from vaguemestre.mailstore.changes import Placed, as_read
from vaguemestre.mailstore.keywords import joined
from vaguemestre.mailstore.ledger import open_ledger
from vaguemestre.mailstore.model import Flag
from vaguemestre.storage.bulk import Statement

_SEEN = int(Flag.SEEN)
_SET = Statement(
    f"UPDATE placements SET flags = {{value}}, keywords = {{value}}, born = {queries.BORN}, modseq = {{value}}"  # noqa: S608
    " WHERE mailbox_id = {value} AND uid {among}"
)

_TOUCH = Statement(
    f"UPDATE placements SET born = {queries.BORN}, modseq = {{value}}"  # noqa: S608 - names of this code
    " WHERE mailbox_id = {value} AND uid {among}"
)


class Change(Enum):
    """What to do with the marks given."""

    ADD = "add"
    REMOVE = "remove"
    REPLACE = "replace"


class FlagsChanged(msgspec.Struct, frozen=True):
    """Messages that changed, as the reader now sees them; UIDs refused, for they changed since; the mailbox's modseq."""

    changed: list[Placed]
    modified: list[int]
    modseq: int


def change(
    connection: sa.Connection,
    mailbox_id: int,
    uids: Sequence[int],
    how: Change,
    flags: Flag,
    keywords: frozenset[str] = frozenset(),
    *,
    unchanged_since: int | None = None,
    reader: int = 0,
) -> FlagsChanged:
    """Change marks of messages; UIDs that are not there are passed over.

    With `unchanged_since`, messages changed after that modseq are left alone and told. With a `reader`, Seen is that
    person's own where the account has own reading. Raises UnknownMailboxError, KeywordError, TooManyKeywordsError.
    """
    ledger = open_ledger(connection, mailbox_id)
    line = ledger.lines[mailbox_id]
    reader = reader if ledger.own_reading else 0
    spelled = line.vocabulary.known(keywords) if how is Change.REMOVE else line.vocabulary.learn(keywords)
    found = [Placed(*row) for row in queries.PLACED.run(connection, mailbox_id, list(uids))]
    modified = []
    if unchanged_since is not None:
        modified = [each.uid for each in found if each.modseq > unchanged_since]
        found = [each for each in found if each.modseq <= unchanged_since]
    read = as_read(connection, mailbox_id, found, reader)
    wanted = [(each, *_marks(each, how, int(flags), spelled)) for each in read]
    changes = [
        (shared, *each)
        for shared, each in zip(found, wanted, strict=True)
        if (each[0].flags, each[0].keywords) != each[1:]
    ]
    if not changes:
        return FlagsChanged([], modified, line.modseq)
    modseq = ledger.raise_modseq()
    now = [_moved(own, modseq, after, text) for _, own, after, text in changes]
    if reader:
        shared_now = [
            _moved(shared, modseq, after & ~_SEEN | shared.flags & _SEEN, text) for shared, _, after, text in changes
        ]
        _change_own(connection, mailbox_id, reader, shared_now, now)
    else:
        shared_now = now
        if ledger.own_reading:
            turned = [shared.uid for shared, _, after, _ in changes if (shared.flags ^ after) & _SEEN]
            readings.drop(connection, mailbox_id, turned)
    alike: dict[tuple[int, str], list[int]] = {}
    everybodys = False
    for (before, *_), after in zip(changes, shared_now, strict=True):
        alike.setdefault((after.flags, after.keywords), []).append(after.uid)
        everybodys = everybodys or (before.flags, before.keywords) != (after.flags, after.keywords)
        line.recount(before.flags, after.flags)
    for (value, text), group in alike.items():
        _SET.run(connection, value, text, modseq, mailbox_id, group)
    ledger.tell(line, modseq, shared_now, reader=0 if everybodys else reader)
    ledger.close()
    return FlagsChanged(now, modified, modseq)


def share_readings(connection: sa.Connection, mailbox_id: int) -> None:
    """Drop what persons kept to themselves: those messages change for them. Raises UnknownMailboxError."""
    uids = readings.uids(connection, mailbox_id)
    if not uids:
        return
    ledger = open_ledger(connection, mailbox_id)
    modseq = ledger.raise_modseq()
    readings.drop(connection, mailbox_id, uids)
    _TOUCH.run(connection, modseq, mailbox_id, uids)
    placed = [Placed(*row) for row in queries.PLACED.run(connection, mailbox_id, uids)]
    ledger.tell(ledger.lines[mailbox_id], modseq, placed)
    ledger.close()


def _marks(placed: Placed, how: Change, flags: int, keywords: set[str]) -> tuple[int, str]:
    """What a message's flags and keywords become."""
    if how is Change.REPLACE:
        return flags, joined(keywords)
    if how is Change.ADD:
        return placed.flags | flags, joined({*placed.keywords.split(), *keywords}) if keywords else placed.keywords
    kept = joined(set(placed.keywords.split()) - keywords) if keywords else placed.keywords
    return placed.flags & ~flags, kept


def _change_own(
    connection: sa.Connection, mailbox_id: int, reader: int, shared: Sequence[Placed], own: Sequence[Placed]
) -> None:
    """Keep what differs, for the reader, from the flag that all share."""
    pairs = list(zip(shared, own, strict=True))
    differ = {mine.uid: bool(mine.flags & _SEEN) for all_, mine in pairs if (all_.flags ^ mine.flags) & _SEEN}
    readings.change(connection, mailbox_id, reader, differ, [mine.uid for _, mine in pairs if mine.uid not in differ])


def _moved(placed: Placed, modseq: int, flags: int, keywords: str) -> Placed:
    return Placed(
        placed.uid,
        placed.message_id,
        placed.blob_id,
        placed.thread_id,
        modseq,
        flags,
        keywords,
        placed.size,
        placed.received_at,
        placed.saved_at,
    )
