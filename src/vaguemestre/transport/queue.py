"""The queue: messages on their way to other operators, one row a recipient, each with its own fate.

What it keeps true: a message accepted for relay is in the queue, in the transaction that accepted it, until the one that
relays, bounces or cancels it; its content stays as long as any row needs it. What is being tried is known to the runner
alone: after a crash every row is simply due again, and a peer that saw the message already recognises it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.storage import blobs
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.transport.envelope import Envelope, Recipient
from vaguemestre.transport.tables import queue


@dataclass(frozen=True, slots=True)
class Queued:
    """A recipient's row. Times in Unix milliseconds, size in octets."""

    id: int
    blob_id: int
    size: int
    envelope: Envelope
    created_at: int
    due_at: int
    expires_at: int
    attempts: int
    delay_told: bool
    last_reply: str
    held: bool

    @property
    def recipient(self) -> Recipient:
        """The one recipient."""
        return self.envelope.recipients[0]

    @property
    def domain(self) -> str:
        """The recipient's domain."""
        return self.recipient.domain


def enqueue(
    connection: sa.Connection, blob_id: int, size: int, envelope: Envelope, at: int, give_up_after_ms: int
) -> list[int]:
    """Queue content for every recipient of an envelope; returns the rows' identifiers."""
    rows = [
        {
            "id": ids.next_id(),
            "blob_id": blob_id,
            "size": size,
            "reverse_path": envelope.reverse_path,
            "forward_path": recipient.address,
            "domain": recipient.domain,
            "notify": ",".join(sorted(recipient.notify)),
            "original_recipient": recipient.original,
            "returned": envelope.returned,
            "envelope_id": envelope.envelope_id,
            "utf8": envelope.utf8,
            "eight_bit": envelope.eight_bit,
            "created_at": at,
            "due_at": at,
            "expires_at": at + give_up_after_ms,
            "attempts": 0,
            "delay_told": False,
            "last_reply": "",
            "held": False,
        }
        for recipient in envelope.recipients
    ]
    if rows:
        connection.execute(sa.insert(queue), rows)
    return [int(row["id"]) for row in rows]  # type: ignore[call-overload]


def due(
    connection: sa.Connection, now: int, besides: Sequence[int], besides_domains: Sequence[str], limit: int
) -> list[Queued]:
    """Rows to try now, the longest due first, besides those being tried and those of domains that are busy."""
    wanted = sa.select(queue).where(
        queue.c.due_at <= now,
        queue.c.held.is_(False),
        queue.c.id.not_in(besides),
        queue.c.domain.not_in(besides_domains),
    )
    return [_queued(row) for row in connection.execute(wanted.order_by(queue.c.due_at, queue.c.id).limit(limit))]


def listing(connection: sa.Connection, limit: int = 1000) -> list[Queued]:
    """What waits, the oldest first."""
    return [_queued(row) for row in connection.execute(sa.select(queue).order_by(queue.c.id).limit(limit))]


def get(connection: sa.Connection, row_id: int) -> Queued | None:
    """One row, or None once it is settled."""
    row = connection.execute(sa.select(queue).where(queue.c.id == row_id)).one_or_none()
    return None if row is None else _queued(row)


def settle(connection: sa.Connection, row_id: int) -> bool:
    """Take a row out for good; false where it was gone. The caller journals why."""
    return connection.execute(sa.delete(queue).where(queue.c.id == row_id)).rowcount == 1


def postpone(connection: sa.Connection, row_id: int, due_at: int, reply: str, *, told: bool) -> None:
    """Try again later; `reply` is what the peer, or our own rules, said."""
    changes: dict[str, Any] = {"due_at": due_at, "attempts": queue.c.attempts + 1, "last_reply": reply[:500]}
    if told:
        changes["delay_told"] = True
    connection.execute(sa.update(queue).where(queue.c.id == row_id).values(changes))


def hasten(connection: sa.Connection, row_id: int | None, now: int) -> int:
    """Make a row, or all, due now; returns how many."""
    return _change(connection, row_id, {"due_at": now})


def hold(connection: sa.Connection, row_id: int | None, held: bool) -> int:
    """Keep a row, or all, from being tried, or let them go; returns how many."""
    return _change(connection, row_id, {"held": held})


def release(connection: sa.Connection, store: BlobStore, blob_id: int) -> None:
    """Let go of content that neither the queue nor a mailbox needs any more; a large object waits for the sweep."""
    store.delete(connection, blobs.unneeded(connection, [blob_id]))


def _change(connection: sa.Connection, row_id: int | None, values: dict[str, Any]) -> int:
    change = sa.update(queue).values(values)
    return connection.execute(change if row_id is None else change.where(queue.c.id == row_id)).rowcount


def _queued(row: Any) -> Queued:
    recipient = Recipient(row.forward_path, frozenset(filter(None, row.notify.split(","))), row.original_recipient)
    envelope = Envelope(row.reverse_path, (recipient,), row.returned, row.envelope_id, row.utf8, row.eight_bit)
    return Queued(
        row.id,
        row.blob_id,
        row.size,
        envelope,
        row.created_at,
        row.due_at,
        row.expires_at,
        row.attempts,
        row.delay_told,
        row.last_reply,
        row.held,
    )
