"""A peer that sends much: our own client machines over mutual TLS, for tests of failure and for benchmarks.

What it keeps true: like a real peer it believes only a 2xx to the content; what was not answered it holds to be unsent.
It never looks at the server's certificate: what trust decides is tested elsewhere.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from OpenSSL import SSL

from vaguemestre.protocols.smtp.addresses import Address
from vaguemestre.protocols.smtp.client import ClientConnection
from vaguemestre.protocols.smtp.client_events import ContentWanted, Event, Outcome, Refused, Transaction
from vaguemestre.protocols.smtp.replies import Reply
from vaguemestre.protocols.tls import TlsConnection

MARK = b"Ce texte ne doit jamais se trouver en clair sur le disque."
_LINE = MARK + b" " + b"0123456789abcdef" + b"\r\n"
_BLOCK = _LINE * (65_536 // len(_LINE))


@dataclass(frozen=True, slots=True)
class Letter:
    """A message of exactly `size` octets, the same each time it is sent; `name` makes its Message-ID."""

    name: str
    author: str
    recipient: str
    size: int

    @property
    def message_id(self) -> str:
        """Its Message-ID, without brackets."""
        return f"{self.name}@load.test"

    def chunks(self) -> Iterator[bytes]:
        """Its content, in chunks that end between two lines, the last one apart."""
        head = (
            f"From: <{self.author}>\r\nTo: <{self.recipient}>\r\nSubject: {self.name}\r\n"
            f"Message-ID: <{self.message_id}>\r\nDate: Sun, 1 Mar 2026 12:00:00 +0000\r\n\r\n"
        ).encode()
        yield head
        left = self.size - len(head)
        while left > len(_BLOCK) + 2:
            yield _BLOCK
            left -= len(_BLOCK)
        yield _BLOCK[: left - 2].rstrip(b"\r\n").ljust(left - 2, b"=") + b"\r\n"

    def content(self) -> bytes:
        """All of it."""
        return b"".join(self.chunks())


class Line:
    """A connection to a server, TLS started and EHLO said. Every verb raises ConnectionError once the server is gone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._machine = ClientConnection("load.test")
        self._tls: TlsConnection | None = None

    @classmethod
    async def open(cls, port: int, tls: SSL.Context, *, chunking: bool = True) -> "Line":
        """Connect to a server of this machine; without `chunking` all content goes by DATA."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        line = cls(reader, writer)
        try:
            await line._secure(tls)
        except BaseException:
            line.cut()
            raise
        if not chunking:
            line._machine.features -= {"CHUNKING"}
        return line

    async def send(self, letter: Letter) -> Reply:
        """Send a letter; what the server answered, to the content or to what stopped it before."""
        author, recipient = Address.parse(letter.author), Address.parse(letter.recipient)
        self._machine.begin(Transaction(author, recipient, letter.size))
        event = await self._event()
        if isinstance(event, ContentWanted):
            for chunk in letter.chunks():
                await self._write(self._machine.content(chunk))
                if (early := self._machine.next_event()) is not None:
                    return _reply(early)
            await self._write(self._machine.end_content())
            event = await self._event()
        return _reply(event)

    @property
    def usable(self) -> bool:
        """Whether another letter may follow: the server did not say good-bye."""
        return not self._machine.closed

    def cut(self) -> None:
        """Leave without a word."""
        self._writer.transport.abort()

    async def _secure(self, tls: SSL.Context) -> None:
        await self._event()
        self._machine.ehlo()
        await self._event()
        self._machine.start_tls()
        await self._event()
        self._tls = TlsConnection(tls)
        early = b""
        while not self._tls.handshaken:
            self._writer.write(self._tls.pending())
            early = self._tls.receive(await self._read())
        self._writer.write(self._tls.pending())
        self._machine.tls_started()
        self._take(early)
        self._machine.ehlo()
        await self._event()

    async def _event(self) -> Event:
        await self._write(self._machine.data_to_send())
        while (event := self._machine.next_event()) is None:
            data = await self._read()
            self._take(data if self._tls is None else self._tls.receive(data))
        if isinstance(event, Refused):
            raise ConnectionError(f"{event.reply.code} {event.reply.text}")
        return event

    def _take(self, data: bytes) -> None:
        if data:
            self._machine.receive_data(data)

    async def _read(self) -> bytes:
        data = await self._reader.read(65_536)
        if not data:
            raise ConnectionError("the server is gone")
        return data

    async def _write(self, data: bytes) -> None:
        if data:
            self._writer.write(data if self._tls is None else self._tls.send(data))
            await self._writer.drain()


@dataclass(slots=True)
class Tally:
    """What a peer knows of its letters: answered 250, never answered (to be sent again), answered otherwise."""

    accepted: list[Letter] = field(default_factory=list)
    unanswered: list[Letter] = field(default_factory=list)
    refused: list[tuple[Letter, Reply]] = field(default_factory=list)


async def press(
    port: int, tls: SSL.Context, tally: Tally, connections: int, letters: Iterator[Letter], *, chunking: bool = True
) -> None:
    """Send letters over several connections until there are no more, or the server is gone."""

    async def work() -> None:
        with contextlib.suppress(ConnectionError):
            line = await Line.open(port, tls, chunking=chunking)
            try:
                for letter in letters:  # each is taken by one connection
                    await _settle(line, letter, tally)
                    if not line.usable:
                        break
            finally:
                line.cut()

    await asyncio.gather(*(work() for _ in range(connections)))


def again(tally: Tally) -> Iterator[Letter]:
    """What was put off, or never answered, as a real peer sends it again."""
    tally.unanswered += [letter for letter, _ in tally.refused]
    tally.refused.clear()
    while tally.unanswered:
        yield tally.unanswered.pop(0)


@contextlib.contextmanager
def pressing(port: int, tls: SSL.Context, tally: Tally, connections: int, letters: Iterator[Letter]) -> Iterator[None]:
    """Send letters in a thread while the block runs; leave once the server is gone, or all are sent."""
    failures: list[BaseException] = []

    def send() -> None:
        try:
            asyncio.run(press(port, tls, tally, connections, letters))
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    for failure in failures:
        raise failure


async def _settle(line: Line, letter: Letter, tally: Tally) -> None:
    try:
        reply = await line.send(letter)
    except BaseException:
        tally.unanswered.append(letter)
        raise
    if reply.positive:
        tally.accepted.append(letter)
    else:
        tally.refused.append((letter, reply))


def _reply(event: Event) -> Reply:
    assert isinstance(event, Outcome), event
    return event.reply
