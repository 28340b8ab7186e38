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
from vaguemestre.mailstore.ledger import Ledger, close_all, open_ledger, open_ledgers
from vaguemestre.mailstore.model import Flag
from vaguemestre.storage.bulk import Statement

_SEEN = int(Flag.SEEN)
# Rows that become alike, together: of each group its mailbox, flags, keywords, modseq and UIDs.
_SET = Statement(
    "UPDATE placements SET flags = new.flags, keywords = new.keywords,"
    " born = COALESCE(NULLIF(born, 0), placements.modseq), modseq = new.at"
    " FROM (SELECT json_extract(alike.value, '$[0]') AS mailbox, json_extract(alike.value, '$[1]') AS flags,"
    " json_extract(alike.value, '$[2]') AS keywords, json_extract(alike.value, '$[3]') AS at, each.value AS uid"
    " FROM json_each({value}) AS alike CROSS JOIN json_each(alike.value, '$[4]') AS each) AS new"
    " WHERE placements.mailbox_id = new.mailbox AND placements.uid = new.uid",
    postgresql="UPDATE placements SET flags = new.flags, keywords = new.keywords,"
    " born = COALESCE(NULLIF(born, 0), placements.modseq), modseq = new.at"
    " FROM (SELECT (alike->>0)::bigint AS mailbox, (alike->>1)::int AS flags, alike->>2 AS keywords,"
    " (alike->>3)::bigint AS at, each.value::bigint AS uid FROM jsonb_array_elements({value}::jsonb) AS alike"
    " CROSS JOIN jsonb_array_elements_text(alike->4) AS each (value)) AS new"
    " WHERE placements.mailbox_id = new.mailbox AND placements.uid = new.uid",
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


class Wanted(msgspec.Struct, frozen=True):
    """A change of the marks of some messages of a mailbox; UIDs that are not there are passed over.

    With `unchanged_since`, messages changed after that modseq are left alone and told. With a `reader`, Seen is that
    person's own where the account has own reading.
    """

    mailbox_id: int
    uids: Sequence[int]
    how: Change
    flags: Flag
    keywords: frozenset[str] = frozenset()
    unchanged_since: int | None = None
    reader: int = 0


def change(connection: sa.Connection, wanted: Wanted) -> FlagsChanged:
    """Change marks of messages. Raises UnknownMailboxError, KeywordError, TooManyKeywordsError."""
    return change_all(connection, [wanted])[0]


def change_all(connection: sa.Connection, wanted: Sequence[Wanted]) -> list[FlagsChanged]:
    """Several changes, each after the one before, written in a few statements. Raises as `change`, and then does none."""
    named: dict[int, set[int]] = {}
    for each in wanted:
        named.setdefault(each.mailbox_id, set()).update(each.uids)
    ledgers = open_ledgers(connection, named)
    placed: dict[int, dict[int, Placed]] = {mailbox_id: {} for mailbox_id in named}
    for mailbox_id, *row in queries.PLACED_AMONG.run(connection, queries.among(named)):
        placed[mailbox_id][row[0]] = Placed(*row)
    changed: dict[int, dict[int, Placed]] = {mailbox_id: {} for mailbox_id in named}
    done = []
    for each in wanted:
        result, shared = _change(ledgers[each.mailbox_id], placed[each.mailbox_id], each)
        done.append(result)
        for after in shared:
            placed[each.mailbox_id][after.uid] = changed[each.mailbox_id][after.uid] = after
    alike: dict[tuple[int, int, str, int], list[int]] = {}
    for mailbox_id, those in changed.items():
        for after in those.values():
            alike.setdefault((mailbox_id, after.flags, after.keywords, after.modseq), []).append(after.uid)
    if alike:
        _SET.run(connection, msgspec.json.encode([(*key, uids) for key, uids in alike.items()]).decode())
        touched = {ledgers[mailbox_id].account_id: ledgers[mailbox_id] for mailbox_id, *_ in alike}
        close_all(list(touched.values()))
    return done


def _change(ledger: Ledger, placed: dict[int, Placed], wanted: Wanted) -> tuple[FlagsChanged, list[Placed]]:
    """What becomes of messages, counted and told; with the flags that all share, for their rows."""
    connection, mailbox_id = ledger.connection, wanted.mailbox_id
    line = ledger.lines[mailbox_id]
    reader = wanted.reader if ledger.own_reading else 0
    removing = wanted.how is Change.REMOVE
    spelled = line.vocabulary.known(wanted.keywords) if removing else line.vocabulary.learn(wanted.keywords)
    found = [placed[uid] for uid in sorted(set(wanted.uids)) if uid in placed]
    modified = []
    if wanted.unchanged_since is not None:
        modified = [each.uid for each in found if each.modseq > wanted.unchanged_since]
        found = [each for each in found if each.modseq <= wanted.unchanged_since]
    read = as_read(connection, mailbox_id, found, reader)
    marked = [(each, *_marks(each, wanted.how, int(wanted.flags), spelled)) for each in read]
    changes = [
        (shared, *each)
        for shared, each in zip(found, marked, strict=True)
        if (each[0].flags, each[0].keywords) != each[1:]
    ]
    if not changes:
        return FlagsChanged([], modified, line.modseq), []
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
    everybodys = False
    for (before, *_), after in zip(changes, shared_now, strict=True):
        everybodys = everybodys or (before.flags, before.keywords) != (after.flags, after.keywords)
        line.recount(before.flags, after.flags)
    ledger.tell(line, modseq, shared_now, reader=0 if everybodys else reader)
    return FlagsChanged(now, modified, modseq), shared_now


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
