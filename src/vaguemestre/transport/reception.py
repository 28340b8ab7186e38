"""Reception: a message that came in whole stands, durable, in the inboxes of its recipients.

What it keeps true: when `accept` answers, the message is sealed on disk, visible in every recipient's inbox and
journalled, in one transaction; when it fails, none of it is, and the peer is told to try again. A message sent again
because the peer never saw our answer (same peer, envelope and content) is recognised recipient by recipient, answered
alike and not doubled: a crash between commit and answer therefore loses nothing and repeats nothing.

Flow: servers/smtp → `intake` → `accept` → one transaction for all that wait.
Standards: RFC 5321 §4.1.1.4 (responsibility with the 250).
"""

import asyncio
import hashlib
from collections.abc import Sequence

import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.evidence.recorder import Recorder
from vaguemestre.mailstore import accounts, messages
from vaguemestre.mailstore.model import Destination, NewMessage
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.bulk import BulkInsert, BulkSelect
from vaguemestre.storage.database import Database
from vaguemestre.transport.bounces import Notifier
from vaguemestre.transport.envelope import Recipient
from vaguemestre.transport.intake import Accepted, Arrival
from vaguemestre.transport.tables import receptions

_SEEN = BulkSelect("SELECT fingerprint, blob_id FROM receptions WHERE fingerprint IN {keys}")
_REMEMBER = BulkInsert(receptions, "fingerprint", "blob_id", "received_at")


class Reception:
    """The desk of the process that writes."""

    def __init__(self, database: Database, store: BlobStore, notifier: Notifier) -> None:
        self._database = database
        self._blobs = store
        self._notifier = notifier
        self._recorder = Recorder(database)

    async def destination(self, address: str) -> Destination | None:
        """Where mail for a local address goes, or None. Raises StorageFailure."""
        return await self._database.read_async(accounts.destination, address)

    def accept(self, arrival: Arrival) -> "asyncio.Future[Accepted]":
        """Deliver; the future is done once the message is durable and visible, or holds the error."""
        return self._database.write_together(self.deliver, arrival)

    def record(self, cause: str, entry: Entry) -> None:
        """Journal a refusal soon, unless its cause was recorded too often within the minute."""
        self._recorder.record(cause, entry)

    def deliver(self, connection: sa.Connection, arrivals: Sequence[Arrival]) -> list[Accepted]:
        """Deliver many arrivals in the caller's transaction; one result each, in order."""
        marks = [
            [_fingerprint(arrival, recipient) for recipient in arrival.envelope.recipients] for arrival in arrivals
        ]
        seen = {bytes(row[0]): row[1] for row in _SEEN.run(connection, [mark for each in marks for mark in each])}
        outcomes, fresh, delivered, new, rows, entries = [], [], [], [], [], []
        for arrival, fingerprints in zip(arrivals, marks, strict=True):
            subject = ids.to_text(arrival.sealed.id)
            facts = _facts(arrival)
            recipients = []
            for recipient, destination, mark in zip(
                arrival.envelope.recipients, arrival.destinations, fingerprints, strict=True
            ):
                if mark in seen:
                    continue
                seen[mark] = arrival.sealed.id
                rows.append((mark, arrival.sealed.id, arrival.received_at))
                new.append(_new_message(arrival, destination))
                recipients.append((recipient, destination))
            if not recipients:
                original = ids.to_text(seen[fingerprints[0]])
                entries.append(Entry(Event.REPETITION, original, facts))
                outcomes.append(Accepted(original, True))
                continue
            fresh.append(arrival.sealed)
            delivered.append((arrival, [recipient for recipient, _ in recipients]))
            personal = {"from": arrival.envelope.reverse_path, "digest": arrival.sealed.digest.hex()}
            entries.append(Entry(Event.ACCEPTANCE, subject, facts, personal))
            for recipient, destination in recipients:
                account = ids.to_text(destination.account_id)
                entries.append(Entry(Event.DELIVERY, subject, {"account": account}, {"to": recipient.address}))
            outcomes.append(Accepted(subject, False))
        if fresh:
            _REMEMBER.run(connection, rows)
            self._blobs.insert(connection, fresh)
            messages.append(connection, new)
        journal.append(connection, entries)
        for arrival, told in delivered:
            self._notify_success(connection, arrival, told)
        return outcomes

    def forget(self, connection: sa.Connection, before_ms: int) -> int:
        """Forget receptions no peer will repeat any more; returns how many."""
        return connection.execute(sa.delete(receptions).where(receptions.c.received_at < before_ms)).rowcount

    def _notify_success(self, connection: sa.Connection, arrival: Arrival, delivered: Sequence[Recipient]) -> None:
        asked = [each for each in delivered if "SUCCESS" in each.notify]
        if asked and arrival.envelope.reverse_path:
            self._notifier.delivered(connection, arrival.sealed.id, arrival.envelope, asked, arrival.received_at)


def _new_message(arrival: Arrival, destination: Destination) -> NewMessage:
    return NewMessage(
        destination.account_id,
        destination.inbox_id,
        arrival.sealed.id,
        arrival.sealed.size,
        arrival.received_at,
        arrival.summary,
    )


def _fingerprint(arrival: Arrival, recipient: Recipient) -> bytes:
    """What a repetition shares: the peer's name, both paths and the content as it was sent."""
    envelope = f"{arrival.peer.name}\0{arrival.envelope.reverse_path}\0{recipient.address.lower()}\0"
    return hashlib.sha256(envelope.encode("utf-8", "surrogateescape") + arrival.sealed.digest).digest()


def _facts(arrival: Arrival) -> dict[str, str | int]:
    peer = arrival.peer
    return {
        "peer": peer.name,
        "certificate": peer.fingerprint,
        "list": peer.list_generated,
        "tls": peer.tls,
        "size": arrival.sealed.size,
    }
