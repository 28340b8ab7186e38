"""Messages: appended many at once, listed without parsing anything.

What it keeps true: a UID is given once in a mailbox and grows; every append raises the account's modseq, and each
message and mailbox it touches bears the new one; counts and used octets are exact. Verbs take an open Connection and
never commit.

Standards: RFC 9051 §2.3.1 (UID), RFC 7162 (modseq), RFC 8621 §4.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.documents.headers import Summary
from vaguemestre.mailstore import threads
from vaguemestre.mailstore.model import (
    AccountClosedError,
    AccountState,
    Appended,
    Flag,
    Listed,
    NewMessage,
    UnknownMailboxError,
)
from vaguemestre.mailstore.tables import accounts, mailboxes, messages, placements
from vaguemestre.storage.bulk import BulkInsert, BulkSelect, BulkUpdate

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Summary).decode

_TARGETS = BulkSelect(
    "SELECT mailboxes.id, mailboxes.uid_next, accounts.id, accounts.modseq, accounts.state"
    " FROM mailboxes JOIN accounts ON mailboxes.account_id = accounts.id"
    " WHERE mailboxes.id IN {keys} ORDER BY accounts.id, mailboxes.id",
    lock=True,
)
_MESSAGE = BulkInsert(messages, "id", "account_id", "blob_id", "thread_id", "size", "received_at", "summary")
_PLACEMENT = BulkInsert(placements, "mailbox_id", "uid", "message_id", "modseq", "flags", "keywords")
_MAILBOX = BulkUpdate(
    mailboxes,
    "id",
    ["uid", "at", "more", "fresh"],
    {"uid_next": "new.uid", "modseq": "new.at", "total": "total + new.more", "unseen": "unseen + new.fresh"},
)
_ACCOUNT = BulkUpdate(
    accounts,
    "id",
    ["at", "more", "octets"],
    {"modseq": "new.at", "messages": "messages + new.more", "used": "used + new.octets"},
)


@dataclass(slots=True)
class _Owner:
    """An account being appended to."""

    id: int
    modseq: int
    closed: bool
    more: int = 0
    octets: int = 0


@dataclass(slots=True)
class _Place:
    """A mailbox being appended to."""

    id: int
    uid_next: int
    owner: _Owner
    more: int = 0
    fresh: int = 0
    modseq: int = 0


def append(connection: sa.Connection, new: Sequence[NewMessage]) -> list[Appended]:
    """Append messages, in order. Raises UnknownMailboxError or AccountClosedError, and then appends none."""
    if not new:
        return []
    places = _places(connection, new)
    thread_ids = threads.assign(connection, [(message.account_id, message.summary) for message in new])
    appended = [_take(places, message, thread) for message, thread in zip(new, thread_ids, strict=True)]
    pairs = list(zip(new, appended, strict=True))
    _MESSAGE.run(
        connection,
        [
            (
                put.message_id,
                each.account_id,
                each.blob_id,
                put.thread_id,
                each.size,
                each.received_at,
                _encode(each.summary),
            )
            for each, put in pairs
        ],
    )
    _PLACEMENT.run(
        connection, [(put.mailbox_id, put.uid, put.message_id, put.modseq, int(each.flags), "") for each, put in pairs]
    )
    _MAILBOX.run(connection, [(each.id, each.uid_next, each.modseq, each.more, each.fresh) for each in places.values()])
    owners = {place.owner.id: place.owner for place in places.values()}.values()
    _ACCOUNT.run(connection, [(owner.id, owner.modseq, owner.more, owner.octets) for owner in owners])
    return appended


def _places(connection: sa.Connection, new: Sequence[NewMessage]) -> dict[int, _Place]:
    """The mailboxes that messages go to, by identifier, locked; checked to be theirs, and open."""
    places: dict[int, _Place] = {}
    owners: dict[int, _Owner] = {}
    for mailbox_id, uid_next, account_id, modseq, state in _TARGETS.run(
        connection, list({message.mailbox_id for message in new})
    ):
        owner = owners.setdefault(account_id, _Owner(account_id, modseq, state == AccountState.CLOSED))
        places[mailbox_id] = _Place(mailbox_id, uid_next, owner)
    for message in new:
        place = places.get(message.mailbox_id)
        if place is None or place.owner.id != message.account_id:
            raise UnknownMailboxError(str(message.mailbox_id))
        if place.owner.closed:
            raise AccountClosedError
    return places


def _take(places: dict[int, _Place], message: NewMessage, thread_id: int) -> Appended:
    """Give a message its UID and modseq, and count it."""
    place = places[message.mailbox_id]
    owner, uid = place.owner, place.uid_next
    owner.modseq += 1
    owner.more += 1
    owner.octets += message.size
    place.uid_next += 1
    place.modseq = owner.modseq
    place.more += 1
    place.fresh += Flag.SEEN not in message.flags
    return Appended(ids.next_id(), thread_id, place.id, uid, owner.modseq)


def listing(
    connection: sa.Connection, mailbox_id: int, *, limit: int = 50, before_uid: int | None = None
) -> list[Listed]:
    """The newest messages of a mailbox, newest first, a page at a time."""
    wanted = (
        sa.select(
            placements,
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


def in_use(connection: sa.Connection, blob_id: int) -> bool:
    """Whether any message has this content."""
    wanted = sa.select(messages.c.id).where(messages.c.blob_id == blob_id).limit(1)
    return connection.execute(wanted).one_or_none() is not None


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
