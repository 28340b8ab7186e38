"""Relay: one connection to another operator's server, over which messages pass one after the other.

What it keeps true: not a byte of a message, its envelope included, leaves before the server proved over TLS to be listed
for the recipient's domain, and that is asked again for each message; content streams from its sealed blob and never
stands whole in memory; whatever breaks, the caller learns whether the peer took the message, and only a 2xx means yes.

Standards: RFC 5321 §3.8, §4.5.3.2 (time limits), RFC 3207; spec trust-space §2.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from OpenSSL import SSL

from vaguemestre.errors import VaguemestreError
from vaguemestre.protocols.smtp.client import ClientConnection
from vaguemestre.protocols.smtp.client_events import (
    Capabilities,
    ContentWanted,
    Event,
    Greeting,
    Outcome,
    ReadyForTls,
    Refused,
    Transaction,
)
from vaguemestre.protocols.tls import TlsConnection
from vaguemestre.transport.routing import Host
from vaguemestre.trust.admission import Admission
from vaguemestre.trust.judge import Judge

_CONNECT_S = 30
_REPLY_S = 300
_CONTENT_REPLY_S = 600
_READ = 65_536

Result = TypeVar("Result")


class UnreachableFailure(VaguemestreError):
    """The server cannot be reached or stopped answering; the message stays in the queue."""

    def __init__(self, host: Host, what: str) -> None:
        super().__init__(
            f"The server {host.name}:{host.port} cannot be reached: {what}.",
            f"Le serveur {host.name}:{host.port} est injoignable : {what}.",
        )


class PeerRefusedError(VaguemestreError):
    """We refuse the server: its certificate may not speak for the recipient's domain. Nothing was sent to it."""

    def __init__(self, decided: Admission) -> None:
        super().__init__(decided.en, decided.fr)
        self.decided = decided


class TurnedAwayFailure(VaguemestreError):
    """The server refuses the conversation itself."""

    def __init__(self, host: Host, refused: Refused) -> None:
        said = f"{refused.reply.code} {refused.reply.text}"
        super().__init__(
            f"The server {host.name} refuses to talk: {said}", f"Le serveur {host.name} refuse l'échange : {said}"
        )
        self.reply = refused.reply


@dataclass(frozen=True, slots=True)
class Relayed:
    """What became of a message: the server's decision, and who decided it under which protection."""

    outcome: Outcome
    peer: str
    certificate: str
    list_generated: str
    tls: str
    dsn: bool


class Line:
    """An open connection. `open` it, `relay` any number of messages, `close` it."""

    def __init__(self, host: Host, hostname: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.host = host
        self._reader = reader
        self._writer = writer
        self._machine = ClientConnection(hostname)
        self._tls: TlsConnection | None = None
        self._chain: tuple[bytes, ...] = ()
        self._reading: asyncio.Task[bytes] | None = None
        self.content_left = False  # whether content of the last message went out, so that the peer may have it

    @classmethod
    async def open(cls, host: Host, hostname: str, tls: SSL.Context) -> "Line":
        """Connect and start TLS; the certificate is not judged yet. Raises VaguemestreError (see the classes above)."""
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection(host.name, host.port), _CONNECT_S)
        except (OSError, TimeoutError, UnicodeError) as error:  # a name of a peer's DNS may be no name
            raise UnreachableFailure(host, _words(error)) from error
        line = cls(host, hostname, reader, writer)
        try:
            await line._secure(tls)
        except BaseException:
            line.abort()
            raise
        return line

    @property
    def usable(self) -> bool:
        """Whether another message may pass."""
        return not self._machine.closed and not self._writer.is_closing() and not self._reader.at_eof()

    async def relay(self, judge: Judge, transaction: Transaction, content: Iterator[bytes]) -> Relayed:
        """Pass one message. Raises PeerRefusedError before anything is sent, or the failures above, never half a yes."""
        decided = await self._judge(judge, transaction.forward_path.domain)
        self.content_left = False
        self._machine.begin(transaction)
        event = await self._event(_REPLY_S)
        if isinstance(event, ContentWanted):
            event = await self._send_content(content)
        if isinstance(event, Refused):
            raise TurnedAwayFailure(self.host, event)
        assert isinstance(event, Outcome) and self._tls is not None  # noqa: S101, PT018 - all the machine gives here
        evidence = decided.evidence
        return Relayed(
            event,
            evidence.subject,
            evidence.sha256,
            evidence.list_generated,
            f"{self._tls.version} {self._tls.cipher}",
            "DSN" in self._machine.features,
        )

    async def close(self) -> None:
        """Say good-bye and leave."""
        if self.usable:
            with contextlib.suppress(VaguemestreError):
                self._machine.quit()
                await self._event(5)
                if self._tls is not None:
                    await self._write(self._tls.close())
        self.abort()

    def abort(self) -> None:
        """Leave at once."""
        if self._reading is not None:
            self._reading.cancel()
        self._writer.transport.abort()

    async def _secure(self, tls: SSL.Context) -> None:
        await self._expect(Greeting)
        self._machine.ehlo()
        await self._expect(Capabilities)
        self._machine.start_tls()
        await self._expect(ReadyForTls)
        self._tls = TlsConnection(tls, server_name=self.host.name)
        while not self._tls.handshaken:
            await self._write(self._tls.pending())
            data = await self._read(_CONNECT_S)
            if not data:
                raise UnreachableFailure(self.host, "it closed the line during the TLS handshake")
            early = self._tls.receive(data)
        await self._write(self._tls.pending())
        self._chain = self._tls.peer_chain()
        self._machine.tls_started()
        if early:
            self._machine.receive_data(early)
        self._machine.ehlo()
        await self._expect(Capabilities)

    async def _judge(self, judge: Judge, domain: str) -> Admission:
        decided = judge.decide(self._chain, domain)
        if judge.may_learn(decided, self._chain):
            decided = await judge.learn(self._chain, domain)
        if not decided.allowed:
            raise PeerRefusedError(decided)
        return decided

    async def _send_content(self, content: Iterator[bytes]) -> Event:
        """Send it all and take the answer; or stop where the server refuses early, or hangs up with a word."""
        machine, self.content_left = self._machine, True
        while (chunk := await asyncio.to_thread(next, content, None)) is not None:
            outgoing = machine.content(chunk)
            try:
                await self._send(outgoing)
            except UnreachableFailure:
                if (event := self._overheard()) is None:
                    raise
            else:
                event = self._overheard()
            if event is not None:
                return event
        await self._send(machine.end_content())
        return await self._event(_CONTENT_REPLY_S)

    def _overheard(self) -> Event | None:
        """What the server says while we send, without waiting for it."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._reader.read(_READ))
        elif self._reading.done():
            reading, self._reading = self._reading, None
            if not reading.cancelled() and reading.exception() is None:
                self._take(reading.result())
        return self._machine.next_event()

    async def _expect(self, kind: type[Event]) -> None:
        event = await self._event(_REPLY_S)
        if isinstance(event, Refused):
            raise TurnedAwayFailure(self.host, event)
        assert isinstance(event, kind)  # noqa: S101 - the machine gives nothing else at this stage

    async def _event(self, limit: float) -> Event:
        await self._send(self._machine.data_to_send())
        while (event := self._machine.next_event()) is None:
            self._take(await self._read(limit))
            event = self._machine.next_event()
            await self._send(self._machine.data_to_send())
            if event is not None:
                return event
        return event

    def _take(self, data: bytes) -> None:
        """Give the machine what the server said; nothing means that it closed the line."""
        if self._tls is not None and data:
            data = self._tls.receive(data)
            self._writer.write(self._tls.pending())
            if not data and not self._tls.closed:
                return
        self._machine.receive_data(data)

    async def _send(self, data: bytes) -> None:
        if data:
            await self._write(data if self._tls is None else self._tls.send(data))

    async def _write(self, data: bytes) -> None:
        if data:
            self._writer.write(data)
            await self._within(self._writer.drain(), _REPLY_S)

    async def _read(self, limit: float) -> bytes:
        reading, self._reading = self._reading, None
        return await self._within(reading or self._reader.read(_READ), limit)

    async def _within(self, wanted: Awaitable[Result], limit: float) -> Result:
        try:
            return await asyncio.wait_for(wanted, limit)
        except (OSError, TimeoutError) as error:
            raise UnreachableFailure(self.host, _words(error)) from error


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    return getattr(error, "strerror", None) or type(error).__name__
