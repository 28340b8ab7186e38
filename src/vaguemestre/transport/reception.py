"""Reception: a message comes in from a peer and stands, durable, in the inboxes of its recipients.

What it keeps true: when `accept` answers, the message is sealed on disk, visible in every recipient's inbox and
journalled, in one transaction; when it fails, none of it is, and the peer is told to try again. A message sent again
because the peer never saw our answer (same peer, envelope and content) is recognised recipient by recipient, answered
alike and not doubled: a crash between commit and answer therefore loses nothing and repeats nothing.

Flow: servers/smtp → `begin` → `write` as content streams in → `finish` → `accept`.
Standards: RFC 5321 §4.4 (trace), §6.3 (loops), §4.1.1.4 (responsibility with the 250).
"""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import sqlalchemy as sa

from vaguemestre import clock, ids
from vaguemestre.documents.headers import Summary, count_received, split_head, summary
from vaguemestre.errors import VaguemestreError
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.mailstore import accounts, messages
from vaguemestre.mailstore.model import Destination, NewMessage
from vaguemestre.storage import blobs
from vaguemestre.storage.blobs import BlobStore, BlobWriter, Sealed
from vaguemestre.storage.bulk import BulkInsert, BulkSelect
from vaguemestre.storage.database import Database
from vaguemestre.transport.bounces import Notifier
from vaguemestre.transport.envelope import Envelope, Recipient
from vaguemestre.transport.tables import receptions

MOST_RECEIVED = 50
_HEAD_LIMIT = 262_144
_KNOWN_FOR_S = 1.0
_MOST_KNOWN = 10_000
_AMPLE_ROOM = 256 * 1024 * 1024

_SEEN = BulkSelect("SELECT fingerprint, blob_id FROM receptions WHERE fingerprint IN {keys}")
_REMEMBER = BulkInsert(receptions, "fingerprint", "blob_id", "received_at")


class LoopError(VaguemestreError):
    """The message passed through too many servers."""

    def __init__(self, hops: int) -> None:
        super().__init__(
            f"This message has been relayed {hops} times already: it is going round in circles. "
            "Its administrator must look for a forwarding loop.",
            f"Ce message a déjà été relayé {hops} fois : il tourne en rond. "
            "Son administrateur doit chercher un renvoi en boucle.",
        )


@dataclass(frozen=True, slots=True)
class Peer:
    """Who speaks to us: what trust established, and how the line is protected. Texts are safe in a header."""

    name: str
    fingerprint: str
    list_generated: str
    tls: str
    ip: str
    helo: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message wholly received and sealed, ready to be delivered."""

    peer: Peer
    envelope: Envelope
    destinations: tuple[Destination, ...]
    sealed: Sealed
    summary: Summary
    received_at: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """What stands for the message from now on; `repeated` when it had been received before."""

    id: str
    repeated: bool


class Incoming:
    """One message coming in. `write` may touch the disk once `spooled`; then it belongs in a thread."""

    def __init__(
        self, writer: BlobWriter, peer: Peer, envelope: Envelope, destinations: tuple[Destination, ...], hostname: str
    ) -> None:
        self._writer = writer
        self._peer = peer
        self._envelope = envelope
        self._destinations = destinations
        self._head = bytearray()
        self._head_complete = False
        self._received_at = clock.now_ms()
        writer.write(_trace(peer, envelope, hostname, ids.to_text(writer.id), self._received_at), digested=False)

    @property
    def spooled(self) -> bool:
        """Whether content goes to a file by now."""
        return self._writer.spooled

    def write(self, content: bytes) -> None:
        """Take content as it comes. Raises StorageFailure."""
        if not self._head_complete:
            self._head += content
            end = split_head(bytes(self._head))
            self._head_complete = end < len(self._head) or len(self._head) >= _HEAD_LIMIT
            if self._head_complete:
                del self._head[end:]
        self._writer.write(content)

    def finish(self) -> Arrival:
        """Seal the end. Raises LoopError, StorageFailure; then nothing is kept."""
        head = bytes(self._head)
        hops = count_received(head)
        if hops > MOST_RECEIVED:
            self.abandon()
            raise LoopError(hops)
        sealed = self._writer.finish()
        return Arrival(
            self._peer,
            self._envelope,
            self._destinations,
            sealed,
            summary(head),
            self._received_at,
        )

    def abandon(self) -> None:
        """Forget it: the peer went away or broke a rule."""
        self._writer.abandon()


class Reception:
    """Receives for one operator."""

    def __init__(self, database: Database, store: BlobStore, notifier: Notifier, hostname: str) -> None:
        self._database = database
        self._blobs = store
        self._notifier = notifier
        self._hostname = hostname
        self._known: dict[str, tuple[float, Destination | None]] = {}

    def known_destination(self, address: str) -> tuple[Destination | None] | None:
        """What `destination` said within the last second, in a tuple, or None. Closing is decided afresh at delivery."""
        known = self._known.get(address)
        return None if known is None or known[0] < time.monotonic() else (known[1],)

    async def destination(self, address: str) -> Destination | None:
        """Where mail for a local address goes, or None. Raises StorageFailure."""
        found = await self._database.read_async(accounts.destination, address)
        if found is not None and found.room < _AMPLE_ROOM:
            return found  # what each message leaves of a nearly full mailbox matters
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[address] = (time.monotonic() + _KNOWN_FOR_S, found)
        return found

    def begin(self, peer: Peer, envelope: Envelope, destinations: tuple[Destination, ...]) -> Incoming:
        """Start taking content for accepted recipients."""
        return Incoming(self._blobs.writer(), peer, envelope, destinations, self._hostname)

    def accept(self, arrival: Arrival) -> "asyncio.Future[Accepted]":
        """Deliver; the future is done once the message is durable and visible, or holds the error."""
        return self._database.write_together(self.deliver, arrival)

    def deliver(self, connection: sa.Connection, arrivals: Sequence[Arrival]) -> list[Accepted]:
        """Deliver many arrivals in the caller's transaction; one result each, in order."""
        marks = [
            [_fingerprint(arrival, recipient) for recipient in arrival.envelope.recipients] for arrival in arrivals
        ]
        seen = {bytes(row[0]): row[1] for row in _SEEN.run(connection, [mark for each in marks for mark in each])}
        outcomes, fresh, new, rows, entries = [], [], [], [], []
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
            personal = {"from": arrival.envelope.reverse_path, "digest": arrival.sealed.digest.hex()}
            entries.append(Entry(Event.ACCEPTANCE, subject, facts, personal))
            for recipient, destination in recipients:
                account = ids.to_text(destination.account_id)
                entries.append(Entry(Event.DELIVERY, subject, {"account": account}, {"to": recipient.address}))
            outcomes.append(Accepted(subject, False))
        if fresh:
            _REMEMBER.run(connection, rows)
            blobs.insert(connection, fresh)
            messages.append(connection, new)
        journal.append(connection, entries)
        for arrival, outcome in zip(arrivals, outcomes, strict=True):
            if not outcome.repeated:
                self._notify_success(connection, arrival)
        return outcomes

    def forget(self, connection: sa.Connection, before_ms: int) -> int:
        """Forget receptions no peer will repeat any more; returns how many."""
        return connection.execute(sa.delete(receptions).where(receptions.c.received_at < before_ms)).rowcount

    def _notify_success(self, connection: sa.Connection, arrival: Arrival) -> None:
        asked = [each for each in arrival.envelope.recipients if "SUCCESS" in each.notify]
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


def _trace(peer: Peer, envelope: Envelope, hostname: str, identifier: str, at: int) -> bytes:
    """Return-Path and Received (RFC 5321 §4.4); the recipient is named only when alone, lest others learn of him."""
    date = clock.rfc5322(clock.from_ms(at))
    named = f"\r\n\tfor <{envelope.recipients[0].address}>" if len(envelope.recipients) == 1 else ""
    protocol = "UTF8SMTPS" if envelope.utf8 else "ESMTPS"
    lines = (
        f"Return-Path: <{envelope.reverse_path}>\r\n"
        f"Received: from {peer.helo} ([{peer.ip}])\r\n"
        f"\t(using {peer.tls}, client certificate {_comment(peer.name)})\r\n"
        f"\tby {hostname} (Vaguemestre) with {protocol} id {identifier}{named};\r\n"
        f"\t{date}\r\n"
    )
    return lines.encode("utf-8", "surrogateescape")


@lru_cache(1024)
def _comment(text: str) -> str:
    """A certificate name inside a header comment: ASCII, its special characters quoted (RFC 5322 §3.2.2)."""
    plain = text.encode("ascii", "replace").decode()
    return "".join(f"\\{c}" if c in "()\\" else c if c.isprintable() else "?" for c in plain)
