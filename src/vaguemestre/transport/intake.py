"""Intake: a message comes in from a peer, is sealed as it streams, and is handed over the desk to be delivered.

What it keeps true: content stands in clear nowhere; a message handed over is whole; nothing here decides more than once
a second what the store knows, and the delivery itself decides again. It needs no database, so that it can run in a
process beside the one that writes: a Desk answers for that one.

Flow: servers/smtp → `begin` → `write` as content streams in → `finish` → `accept` → `reception`.
Standards: RFC 5321 §4.4 (trace), §6.3 (loops).
"""

import asyncio
import time
from functools import lru_cache
from typing import Protocol

import msgspec

from vaguemestre import clock, ids
from vaguemestre.documents.headers import Summary, count_received, split_head, summary
from vaguemestre.errors import VaguemestreError
from vaguemestre.evidence.entries import Entry
from vaguemestre.mailstore.model import Destination
from vaguemestre.storage.blobs import BlobStore, BlobWriter, Sealed
from vaguemestre.transport.envelope import Envelope

MOST_RECEIVED = 50
_HEAD_LIMIT = 262_144
_KNOWN_FOR_S = 1.0
_MOST_KNOWN = 10_000
_AMPLE_ROOM = 256 * 1024 * 1024


class LoopError(VaguemestreError):
    """The message passed through too many servers."""

    def __init__(self, hops: int) -> None:
        super().__init__(
            f"This message has been relayed {hops} times already: it is going round in circles. "
            "Its administrator must look for a forwarding loop.",
            f"Ce message a déjà été relayé {hops} fois : il tourne en rond. "
            "Son administrateur doit chercher un renvoi en boucle.",
        )


class Peer(msgspec.Struct, frozen=True):
    """Who speaks to us: what trust established, and how the line is protected. Texts are safe in a header."""

    name: str
    fingerprint: str
    list_generated: str
    tls: str
    ip: str
    helo: str


class Arrival(msgspec.Struct, frozen=True):
    """A message wholly received and sealed, ready to be delivered."""

    peer: Peer
    envelope: Envelope
    destinations: tuple[Destination, ...]
    sealed: Sealed
    summary: Summary
    received_at: int


class Accepted(msgspec.Struct, frozen=True):
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


class Desk(Protocol):
    """What the writing side answers, in this process or in another."""

    async def destination(self, address: str) -> Destination | None:
        """Where mail for a local address goes, or None. Raises StorageFailure."""

    def accept(self, arrival: Arrival) -> "asyncio.Future[Accepted]":
        """Deliver; the future is done once the message is durable and visible, or holds the error."""

    def record(self, cause: str, entry: Entry) -> None:
        """Journal a refusal soon; see `evidence.recorder`."""


class Intake:
    """Takes messages in for one operator."""

    def __init__(self, desk: Desk, store: BlobStore, hostname: str) -> None:
        self.desk = desk
        self._blobs = store
        self._hostname = hostname
        self._known: dict[str, tuple[float, Destination | None]] = {}

    def known_destination(self, address: str) -> tuple[Destination | None] | None:
        """What `destination` said within the last second, in a tuple, or None. Closing is decided afresh at delivery."""
        known = self._known.get(address)
        return None if known is None or known[0] < time.monotonic() else (known[1],)

    async def destination(self, address: str) -> Destination | None:
        """Where mail for a local address goes, or None. Raises StorageFailure."""
        found = await self.desk.destination(address)
        if found is not None and found.room < _AMPLE_ROOM:
            return found  # what each message leaves of a nearly full mailbox matters
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[address] = (time.monotonic() + _KNOWN_FOR_S, found)
        return found

    def begin(self, peer: Peer, envelope: Envelope, destinations: tuple[Destination, ...]) -> Incoming:
        """Start taking content for accepted recipients."""
        return Incoming(self._blobs.writer(), peer, envelope, destinations, self._hostname)


def _trace(peer: Peer, envelope: Envelope, hostname: str, identifier: str, at: int) -> bytes:
    """Return-Path and Received (RFC 5321 §4.4); the recipient is named only when alone, lest others learn of him."""
    date = clock.rfc5322(clock.from_ms(at))
    named = f"\r\n\tfor <{envelope.recipients[0].address}>" if len(envelope.recipients) == 1 else ""
    protocol = "UTF8SMTPS" if envelope.utf8 else "ESMTPS"
    lines = (
        f"Return-Path: <{envelope.reverse_path}>\r\n"
        f"Received: from {peer.helo} ([{'IPv6:' * (':' in peer.ip)}{peer.ip}])\r\n"
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
