"""Placements: messages copied, moved and expunged, one or ten thousand at a time.

What it keeps true: a copy is another place of the same message, so that its size counts once; a message goes with its
last place, and its content with the last that needs it, message or queue (`blobs.unneeded`). All of a verb is done, or
none.

Standards: RFC 9051 §6.4.3, §6.4.7, §6.4.8; RFC 4315; RFC 7162 §3.2.10 (expunged UIDs are remembered).
"""

from collections import Counter
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from vaguemestre import clock
from vaguemestre.mailstore import indexing, queries, readings
from vaguemestre.mailstore.changes import Placed
from vaguemestre.mailstore.keywords import joined
from vaguemestre.mailstore.ledger import Ledger, Line, close_all, open_ledger, open_ledgers
from vaguemestre.mailstore.model import MOST_IN_A_MAILBOX, Flag, MailboxFullError, TooManyKeywordsError
from vaguemestre.storage import blobs
from vaguemestre.storage.bulk import Statement

_COPY = Statement(
    "INSERT INTO placements (mailbox_id, uid, message_id, modseq, flags, keywords,"
    " saved_at, blob_id, thread_id, size, received_at)"
    " SELECT {value}, {value} + ROW_NUMBER() OVER (ORDER BY uid), message_id, {value}, flags, keywords,"
    " {value}, blob_id, thread_id, size, received_at"
    " FROM placements WHERE mailbox_id = {value} AND uid {among} ORDER BY uid"
)
_SPELL = Statement("UPDATE placements SET keywords = {value} WHERE mailbox_id = {value} AND uid {among}")
_REMEMBER = Statement(
    "INSERT INTO expunged (mailbox_id, modseq, uid, at)"
    " SELECT mailbox_id, {value}, uid, {value} FROM placements WHERE mailbox_id = {value} AND uid {among}"
)
_DELETE = Statement("DELETE FROM placements WHERE mailbox_id = {value} AND uid {among}")
_FORGET = [
    Statement(f"DELETE FROM {table} WHERE mailbox_id = {{value}}")  # noqa: S608 - names of this code
    for table in ("placements", "expunged", "readings")
]
_PLACES = Statement("SELECT id, places, blob_id, size, account_id FROM messages WHERE id {among}")
_FEWER_PLACES = Statement("UPDATE messages SET places = places - {value} WHERE id {among}")
_MORE_PLACES = Statement("UPDATE messages SET places = places + {value} WHERE id {among}")
_DELETE_MESSAGES = Statement("DELETE FROM messages WHERE id {among}")


class Copied(msgspec.Struct, frozen=True):
    """What was copied or moved: UIDs in the source, and in the target, in the same order."""

    uid_validity: int
    source: list[int]
    target: list[int]


class Expunged(msgspec.Struct, frozen=True):
    """UIDs that are no more, the mailbox's modseq, and the names of objects to discard once that is durable."""

    uids: list[int]
    modseq: int
    objects: list[str]


def copy(connection: sa.Connection, source_id: int, uids: Sequence[int], target_id: int) -> Copied:
    """Give messages a place in another mailbox of the account, or another place in the same one.

    Flags, keywords and date of receipt are kept; UIDs that are not there are passed over. Raises UnknownMailboxError,
    MailboxFullError.
    """
    ledger = open_ledger(connection, source_id, target_id)
    found = [Placed(*row) for row in queries.PLACED.run(connection, source_id, list(uids))]
    target = ledger.lines[target_id]
    placed = _put(ledger, found, source_id, target)
    if placed:
        for message_ids, count in _by_count(found):
            _MORE_PLACES.run(connection, count, message_ids)
        ledger.close()
    return Copied(target.uid_validity, [each.uid for each in found], [each.uid for each in placed])


def move(connection: sa.Connection, source_id: int, uids: Sequence[int], target_id: int) -> Copied:
    """`copy`, and the messages are no longer in the source. Raises UnknownMailboxError, MailboxFullError."""
    ledger = open_ledger(connection, source_id, target_id)
    found = [Placed(*row) for row in queries.PLACED.run(connection, source_id, list(uids))]
    target = ledger.lines[target_id]
    placed = _put(ledger, found, source_id, target)
    if placed:
        _take(ledger, ledger.lines[source_id], found)
        ledger.close()
    return Copied(target.uid_validity, [each.uid for each in found], [each.uid for each in placed])


def expunge(connection: sa.Connection, mailbox_id: int, uids: Sequence[int] | None, *, only_deleted: bool) -> Expunged:
    """Take messages out of a mailbox for good: those of some UIDs or all, marked Deleted or not.

    Raises UnknownMailboxError.
    """
    if uids is None:
        rows = (queries.ALL_DELETED if only_deleted else queries.ALL_PLACED).run(connection, mailbox_id)
    else:
        wanted = queries.PLACED_AND_DELETED if only_deleted else queries.PLACED
        rows = wanted.run(connection, mailbox_id, list(uids))
    return _expunge(connection, [(mailbox_id, [Placed(*row) for row in rows])])[0]


def expunge_deleted(connection: sa.Connection, wanted: Sequence[tuple[int, Sequence[int]]]) -> list[Expunged]:
    """Of some UIDs of each of several mailboxes, take out for good those that are marked Deleted.

    Raises UnknownMailboxError, and then takes out none.
    """
    named: dict[int, set[int]] = {}
    for mailbox_id, uids in wanted:
        named.setdefault(mailbox_id, set()).update(uids)
    placed: dict[int, dict[int, Placed]] = {mailbox_id: {} for mailbox_id in named}
    for mailbox_id, *row in queries.PLACED_AMONG.run(connection, queries.among(named)):
        if row[5] & Flag.DELETED:
            placed[mailbox_id][row[0]] = Placed(*row)
    taken = []
    for mailbox_id, uids in wanted:
        those = placed[mailbox_id]
        taken.append((mailbox_id, [those.pop(uid) for uid in sorted(set(uids)) if uid in those]))
    return _expunge(connection, taken)


def _expunge(connection: sa.Connection, taken: Sequence[tuple[int, Sequence[Placed]]]) -> list[Expunged]:
    """Take messages out of their mailboxes; objects to discard stand with the first."""
    ledgers = open_ledgers(connection, [mailbox_id for mailbox_id, _ in taken])
    for mailbox_id, found in taken:
        if found:
            _take(ledgers[mailbox_id], ledgers[mailbox_id].lines[mailbox_id], found)
    every = [each for _, found in taken for each in found]
    objects = _let_go({ledger.account_id: ledger for ledger in ledgers.values()}, every) if every else []
    done = []
    for mailbox_id, found in taken:
        done.append(Expunged([each.uid for each in found], ledgers[mailbox_id].lines[mailbox_id].modseq, objects))
        objects = []
    changed = {ledgers[mailbox_id].account_id: ledgers[mailbox_id] for mailbox_id, found in taken if found}
    close_all(list(changed.values()))
    return done


def deleted_octets(connection: sa.Connection, mailbox_id: int) -> int:
    """The sum of the sizes of messages marked Deleted (RFC 9208 §4.1.4)."""
    return sum(Placed(*row).size for row in queries.ALL_DELETED.run(connection, mailbox_id))


def move_all(connection: sa.Connection, source_id: int, target_id: int) -> Copied:
    """`move` every message. Raises UnknownMailboxError, MailboxFullError."""
    rows = queries.ALL_PLACED.run(connection, source_id)
    return move(connection, source_id, [row[0] for row in rows], target_id)


def clear(connection: sa.Connection, mailbox_id: int) -> list[str]:
    """Empty a mailbox that is about to go, and forget all that was remembered of it; returns objects to discard.

    Nobody is told of each message. Raises UnknownMailboxError.
    """
    ledger = open_ledger(connection, mailbox_id)
    found = [Placed(*row) for row in queries.ALL_PLACED.run(connection, mailbox_id)]
    for statement in _FORGET:
        statement.run(connection, mailbox_id)
    objects = _let_go({ledger.account_id: ledger}, found)
    ledger.raise_modseq()
    for each in found:
        ledger.lines[mailbox_id].count(each.flags, each.size, -1)
    ledger.close()
    return objects


def _put(ledger: Ledger, found: Sequence[Placed], source_id: int, target: Line) -> list[Placed]:
    """Give messages places in the target, after those it has."""
    if not found:
        return []
    if target.total + len(found) > MOST_IN_A_MAILBOX:
        raise MailboxFullError(MOST_IN_A_MAILBOX)
    connection, modseq, now = ledger.connection, ledger.raise_modseq(), clock.now_ms()
    uids, first = [each.uid for each in found], target.uid_next
    _COPY.run(connection, target.id, first - 1, modseq, now, source_id, uids)
    placed = [
        Placed(
            first + place,
            each.message_id,
            each.blob_id,
            each.thread_id,
            modseq,
            each.flags,
            each.keywords,
            each.size,
            each.received_at,
            now,
        )
        for place, each in enumerate(found)
    ]
    if any(each.keywords for each in found):
        placed = _spell(connection, target, placed)
    if ledger.own_reading:
        moved = {uid: first + place for place, uid in enumerate(uids)}
        kept = readings.of_messages(connection, source_id, uids)
        readings.keep(connection, target.id, [(person, moved[uid], seen) for person, uid, seen in kept])
    target.uid_next += len(found)
    for each in found:
        target.count(each.flags, each.size)
    ledger.tell(target, modseq, placed)
    return placed


def _spell(connection: sa.Connection, target: Line, placed: Sequence[Placed]) -> list[Placed]:
    """Keywords as the target spells them. Those it has no room for stay behind: a message can always be filed."""
    texts: dict[str, str] = {"": ""}
    for text in dict.fromkeys(each.keywords for each in placed):
        spelled: set[str] = set()
        for keyword in text.split():
            try:
                spelled |= target.vocabulary.learn([keyword])
            except TooManyKeywordsError:
                continue
        texts[text] = joined(spelled)
    for text, now in texts.items():
        if text != now:
            _SPELL.run(connection, now, target.id, [each.uid for each in placed if each.keywords == text])
    return [msgspec.structs.replace(each, keywords=texts[each.keywords]) if each.keywords else each for each in placed]


def _take(ledger: Ledger, source: Line, found: Sequence[Placed]) -> None:
    """Take messages out of a mailbox, and remember their UIDs."""
    connection, uids, modseq = ledger.connection, [each.uid for each in found], ledger.raise_modseq()
    _REMEMBER.run(connection, modseq, clock.now_ms(), source.id, uids)
    _DELETE.run(connection, source.id, uids)
    if ledger.own_reading:
        readings.drop(connection, source.id, uids)
    for each in found:
        source.count(each.flags, each.size, -1)
    ledger.tell(source, modseq, expunged=uids)


def _let_go(ledgers: dict[int, Ledger], found: Sequence[Placed]) -> list[str]:
    """Delete the messages that were in no other place, and all that stands beside them; returns objects to discard.

    The ledgers are those of their accounts, which count what goes.
    """
    connection, taken = next(iter(ledgers.values())).connection, Counter(each.message_id for each in found)
    rows = _PLACES.run(connection, list(taken))
    dead = [row for row in rows if row[1] <= taken[row[0]]]
    for row in dead:
        ledgers[row[4]].gone += 1
        ledgers[row[4]].gone_octets += row[3]
    message_ids = [row[0] for row in dead]
    _DELETE_MESSAGES.run(connection, message_ids)
    gone = set(message_ids)
    for others, count in _by_count([each for each in found if each.message_id not in gone]):
        _FEWER_PLACES.run(connection, count, others)
    for account_id in {row[4] for row in dead}:
        indexing.forget(connection, account_id, [row[0] for row in dead if row[4] == account_id])
    return blobs.delete(connection, blobs.unneeded(connection, list({row[2] for row in dead})))


def _by_count(found: Sequence[Placed]) -> list[tuple[list[int], int]]:
    """Messages by the number of their places among those found: nearly always all of them, and one."""
    counted: dict[int, list[int]] = {}
    for message_id, count in Counter(each.message_id for each in found).items():
        counted.setdefault(count, []).append(message_id)
    return [(message_ids, count) for count, message_ids in counted.items()]
