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

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Summary).decode

_TARGETS = (
    sa.select(
        mailboxes.c.id, mailboxes.c.uid_next, accounts.c.id.label("account_id"), accounts.c.modseq, accounts.c.state
    )
    .join_from(mailboxes, accounts, mailboxes.c.account_id == accounts.c.id)
    .where(mailboxes.c.id.in_(sa.bindparam("mailboxes", expanding=True)))
    .order_by(accounts.c.id, mailboxes.c.id)
    .with_for_update()
)
_MESSAGE = sa.insert(messages)
_PLACEMENT = sa.insert(placements)
_MAILBOX = (
    sa.update(mailboxes)
    .where(mailboxes.c.id == sa.bindparam("key"))
    .values(
        uid_next=sa.bindparam("next"),
        modseq=sa.bindparam("at"),
        total=mailboxes.c.total + sa.bindparam("more"),
        unseen=mailboxes.c.unseen + sa.bindparam("fresh"),
    )
)
_ACCOUNT = (
    sa.update(accounts)
    .where(accounts.c.id == sa.bindparam("key"))
    .values(
        modseq=sa.bindparam("at"),
        used=accounts.c.used + sa.bindparam("octets"),
        messages=accounts.c.messages + sa.bindparam("more"),
    )
)


def append(connection: sa.Connection, new: Sequence[NewMessage]) -> list[Appended]:
    """Append messages, in order. Raises UnknownMailboxError or AccountClosedError, and then appends none."""
    targets = connection.execute(_TARGETS, {"mailboxes": list({message.mailbox_id for message in new})}).all()
    uids = {row.id: row.uid_next for row in targets}
    modseqs = {row.account_id: row.modseq for row in targets}
    owners = {row.id: row.account_id for row in targets}
    closed = {row.account_id for row in targets if row.state == AccountState.CLOSED}
    mailbox_changes: dict[int, dict[str, int]] = {}
    account_changes: dict[int, dict[str, int]] = {}
    message_rows: list[dict[str, Any]] = []
    placement_rows: list[dict[str, Any]] = []
    appended = []
    thread_ids = threads.assign(connection, [(message.account_id, message.summary) for message in new])
    for message, thread_id in zip(new, thread_ids, strict=True):
        account_id, mailbox_id = message.account_id, message.mailbox_id
        if owners.get(mailbox_id) != account_id:
            raise UnknownMailboxError(str(mailbox_id))
        if account_id in closed:
            raise AccountClosedError
        uid, message_id = uids[mailbox_id], ids.next_id()
        modseq = modseqs[account_id] + 1
        uids[mailbox_id], modseqs[account_id] = uid + 1, modseq
        message_rows.append(
            {
                "id": message_id,
                "account_id": account_id,
                "blob_id": message.blob_id,
                "thread_id": thread_id,
                "size": message.size,
                "received_at": message.received_at,
                "summary": _encode(message.summary),
            }
        )
        placement_rows.append(
            {
                "mailbox_id": mailbox_id,
                "uid": uid,
                "message_id": message_id,
                "modseq": modseq,
                "flags": int(message.flags),
                "keywords": "",
            }
        )
        change = mailbox_changes.setdefault(mailbox_id, {"key": mailbox_id, "more": 0, "fresh": 0})
        change.update(next=uid + 1, at=modseq)
        change["more"] += 1
        change["fresh"] += Flag.SEEN not in message.flags
        change = account_changes.setdefault(account_id, {"key": account_id, "more": 0, "octets": 0})
        change["at"] = modseq
        change["more"] += 1
        change["octets"] += message.size
        appended.append(Appended(message_id, thread_id, mailbox_id, uid, modseq))
    connection.execute(_MESSAGE, message_rows)
    connection.execute(_PLACEMENT, placement_rows)
    connection.execute(_MAILBOX, list(mailbox_changes.values()))
    connection.execute(_ACCOUNT, list(account_changes.values()))
    return appended


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
