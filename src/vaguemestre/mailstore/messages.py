"""Messages: appended many at once, listed without parsing anything.

What it keeps true: a UID is given once in a mailbox and grows; every append raises the account's modseq, and each
message and mailbox it touches bears the new one; counts and used octets are exact. Verbs take an open Connection and
never commit.

Standards: RFC 9051 §2.3.1 (UID), RFC 7162 (modseq), RFC 8621 §4.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.documents.headers import Summary
from vaguemestre.mailstore import indexing, queries, threads
from vaguemestre.mailstore.changes import MailboxChange, Placed
from vaguemestre.mailstore.keywords import Vocabulary, joined
from vaguemestre.mailstore.model import (
    MOST_IN_A_MAILBOX,
    AccountClosedError,
    AccountState,
    Appended,
    Flag,
    Listed,
    MailboxFullError,
    NewMessage,
    QuotaExceededError,
    UnknownMailboxError,
)
from vaguemestre.mailstore.tables import accounts, mailboxes, messages, placements
from vaguemestre.storage.bulk import BulkInsert, BulkSelect, BulkUpdate, Statement
from vaguemestre.storage.database import announce

_SEEN, _DELETED = int(Flag.SEEN), int(Flag.DELETED)
_CLOSED = str(AccountState.CLOSED)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Summary).decode

_TARGETS = BulkSelect(
    "SELECT mailboxes.id, mailboxes.uid_next, mailboxes.modseq, mailboxes.total, mailboxes.keywords,"
    " accounts.id, accounts.modseq, accounts.state, accounts.quota - accounts.used"
    " FROM mailboxes JOIN accounts ON mailboxes.account_id = accounts.id"
    " WHERE mailboxes.id IN {keys} ORDER BY accounts.id, mailboxes.id"
)
_MESSAGE = BulkInsert(messages, "id", "account_id", "blob_id", "thread_id", "size", "received_at", "summary")
_PLACEMENT = BulkInsert(
    placements,
    "mailbox_id",
    "uid",
    "message_id",
    "modseq",
    "flags",
    "keywords",
    "saved_at",
    "blob_id",
    "thread_id",
    "size",
    "received_at",
)
_MAILBOX = BulkUpdate(
    mailboxes,
    "id",
    ["uid", "at", "more", "fresh", "marked", "weight"],
    {
        "uid_next": "new.uid",
        "modseq": "new.at",
        "total": "total + new.more",
        "unseen": "unseen + new.fresh",
        "deleted": "deleted + new.marked",
        "octets": "octets + new.weight",
    },
)
_KEYWORDS = Statement("UPDATE mailboxes SET keywords = {value} WHERE id = {value}")
_ACCOUNT = BulkUpdate(
    accounts,
    "id",
    ["at", "more", "octets"],
    {"modseq": "new.at", "messages": "messages + new.more", "used": "used + new.octets"},
)


class _Owner(msgspec.Struct, gc=False):
    """An account being appended to."""

    id: int
    modseq: int
    closed: bool
    room: int
    more: int = 0
    octets: int = 0


class _Place(msgspec.Struct):
    """A mailbox being appended to."""

    id: int
    uid_next: int
    before: int
    total: int
    keywords: str
    owner: _Owner
    placed: list[Placed] = []
    fresh: int = 0
    marked: int = 0
    octets: int = 0


def append(connection: sa.Connection, new: Sequence[NewMessage], *, within_quota: bool = False) -> list[Appended]:
    """Append messages, in order. Raises UnknownMailboxError or AccountClosedError, and then appends none.

    With `within_quota`, which mail programs are held to, raises QuotaExceededError too. Keywords raise KeywordError
    and TooManyKeywordsError.
    """
    if not new:
        return []
    places = _places(connection, new)
    if within_quota:
        _check_room(places, new)
    keywords = _spell(connection, places, new) if any(message.keywords for message in new) else [""] * len(new)
    own = ids.next_ids(len(new))
    thread_ids = threads.assign(
        connection,
        [(message.account_id, message_id, message.summary) for message, message_id in zip(new, own, strict=True)],
    )
    pairs = [
        (message, _take(places[message.mailbox_id], message, message_id, thread, text))
        for message, message_id, thread, text in zip(new, own, thread_ids, keywords, strict=True)
    ]
    _MESSAGE.run(
        connection,
        [
            (
                put.message_id,
                each.account_id,
                put.blob_id,
                put.thread_id,
                put.size,
                put.received_at,
                _encode(each.summary),
            )
            for each, put in pairs
        ],
    )
    indexing.enqueue(connection, [(put.message_id, each.account_id, put.blob_id) for each, put in pairs])
    _PLACEMENT.run(
        connection,
        [
            (
                each.mailbox_id,
                put.uid,
                put.message_id,
                put.modseq,
                put.flags,
                put.keywords,
                each.saved_at,
                put.blob_id,
                0 if put.thread_id == put.message_id else put.thread_id,
                put.size,
                put.received_at,
            )
            for each, put in pairs
        ],
    )
    _MAILBOX.run(
        connection,
        [
            (each.id, each.uid_next, each.placed[-1].modseq, len(each.placed), each.fresh, each.marked, each.octets)
            for each in places.values()
        ],
    )
    owners = {place.owner.id: place.owner for place in places.values()}.values()
    _ACCOUNT.run(connection, [(owner.id, owner.modseq, owner.more, owner.octets) for owner in owners])
    facts = [
        MailboxChange(place.owner.id, place.id, place.before, place.placed[-1].modseq, tuple(place.placed))
        for place in places.values()
    ]
    announce(connection, *facts)
    return [Appended(put.message_id, put.thread_id, each.mailbox_id, put.uid, put.modseq) for each, put in pairs]


def _places(connection: sa.Connection, new: Sequence[NewMessage]) -> dict[int, _Place]:
    """The mailboxes that messages go to, by identifier, held; checked to be theirs, and open."""
    places: dict[int, _Place] = {}
    owners: dict[int, _Owner] = {}
    wanted = list({message.mailbox_id for message in new})
    queries.hold(connection, wanted)
    for mailbox_id, uid_next, before, total, keywords, account_id, modseq, state, room in _TARGETS.run(
        connection, wanted
    ):
        owner = owners.get(account_id)
        if owner is None:
            owner = owners[account_id] = _Owner(account_id, modseq, state == _CLOSED, room)
        places[mailbox_id] = _Place(mailbox_id, uid_next, before, total, keywords, owner)
    for message in new:
        place = places.get(message.mailbox_id)
        if place is None or place.owner.id != message.account_id:
            raise UnknownMailboxError(ids.to_text(message.mailbox_id))
        if place.owner.closed:
            raise AccountClosedError
    return places


def _check_room(places: dict[int, _Place], new: Sequence[NewMessage]) -> None:
    for account_id, room in {place.owner.id: place.owner.room for place in places.values()}.items():
        if sum(message.size for message in new if message.account_id == account_id) > room:
            raise QuotaExceededError
    for place in places.values():
        if place.total + sum(message.mailbox_id == place.id for message in new) > MOST_IN_A_MAILBOX:
            raise MailboxFullError(MOST_IN_A_MAILBOX)


def _spell(connection: sa.Connection, places: dict[int, _Place], new: Sequence[NewMessage]) -> list[str]:
    """The keywords of each message, as its mailbox spells them; new ones are remembered."""
    known = {place.id: Vocabulary(connection, place.id, place.keywords) for place in places.values()}
    texts = [joined(known[message.mailbox_id].learn(message.keywords)) for message in new]
    for mailbox_id, vocabulary in known.items():
        if vocabulary.changed:
            _KEYWORDS.run(connection, vocabulary.text, mailbox_id)
    return texts


def _take(place: _Place, message: NewMessage, message_id: int, thread_id: int, keywords: str) -> Placed:
    """Give a message its UID and modseq, and count it."""
    owner, uid, flags, size = place.owner, place.uid_next, int(message.flags), message.size
    owner.modseq += 1
    owner.more += 1
    owner.octets += size
    place.uid_next += 1
    place.octets += size
    place.fresh += not flags & _SEEN
    place.marked += bool(flags & _DELETED)
    put = Placed(
        uid,
        message_id,
        message.blob_id,
        thread_id,
        owner.modseq,
        flags,
        keywords,
        size,
        message.received_at,
        message.saved_at or message.received_at,
    )
    place.placed.append(put)
    return put


def listing(
    connection: sa.Connection, mailbox_id: int, *, limit: int = 50, before_uid: int | None = None
) -> list[Listed]:
    """The newest messages of a mailbox, newest first, a page at a time."""
    wanted = (
        sa.select(
            placements.c.message_id,
            placements.c.uid,
            placements.c.modseq,
            placements.c.flags,
            messages.c.thread_id,
            messages.c.blob_id,
            messages.c.size,
            messages.c.received_at,
            messages.c.summary,
        )
        .join_from(placements, messages, placements.c.message_id == messages.c.id)
        .where(placements.c.mailbox_id == mailbox_id)
    )
    if before_uid is not None:
        wanted = wanted.where(placements.c.uid < before_uid)
    return [_listed(row) for row in connection.execute(wanted.order_by(placements.c.uid.desc()).limit(limit))]


def find(connection: sa.Connection, mailbox_id: int, uid: int) -> Listed | None:
    """One message of a mailbox, or None."""
    found = listing(connection, mailbox_id, limit=1, before_uid=uid + 1)
    return found[0] if found and found[0].uid == uid else None


def _listed(row: Any) -> Listed:
    return Listed(
        row.message_id,
        row.uid,
        row.modseq,
        Flag(row.flags),
        row.thread_id,
        row.blob_id,
        row.size,
        row.received_at,
        _decode(row.summary),
    )
