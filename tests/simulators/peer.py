"""Another operator's server, that does what a test tells it: refuses, hangs, cuts, or takes the message.

What holds here: it speaks SMTP and TLS with the project's own machines, whose conformity their own tests show; all that
it hears is kept, in clear and decrypted, so a test can say that a word never reached it. It runs in a thread.

Stages, in the order of a conversation: connect, EHLO, STARTTLS, handshake, MAIL, RCPT, DATA (before the content), content
(its first octets came), end (after the last). At each the script says one of: a Reply, CUT, HANG, or a Gate. A Reply in
mid-content is said at once, and is the last word.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Self

from OpenSSL import SSL

from simulators.patience import DEADLINE_S, until
from simulators.space import Identity
from vaguemestre.protocols import tls
from vaguemestre.protocols.smtp import events
from vaguemestre.protocols.smtp.commands import Mail, Rcpt
from vaguemestre.protocols.smtp.replies import Reply
from vaguemestre.protocols.smtp.server import Limits, ServerConnection
from vaguemestre.protocols.tls import TlsConnection, TlsError


class Silence(Enum):
    """What is no reply."""

    CUT = auto()  # the connection is reset
    HANG = auto()  # nothing comes any more


CUT, HANG = Silence.CUT, Silence.HANG


class Gate:
    """Holds every conversation that comes to it until it is opened, then lets it go on as usual."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.waiting = 0

    def open(self) -> None:
        """Let all go, now and from now on."""
        self._open.set()

    async def passed(self) -> None:
        """Wait until it is open."""
        self.waiting += 1
        while not self._open.is_set():  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(0.01)
        self.waiting -= 1


Action = Reply | Silence | Gate


@dataclass(frozen=True, slots=True)
class Taken:
    """A message the server accepted, over its connection number `connection`."""

    connection: int
    mail: Mail
    recipients: tuple[Rcpt, ...]
    content: bytes
    chunked: bool

    @property
    def reverse_path(self) -> str:
        """The sender, empty for the null path."""
        return self.mail.reverse_path.text if self.mail.reverse_path else ""


@dataclass
class ScriptedPeer:
    """`offers_not`: EHLO keywords it leaves out. `script`: what it does at the next passages of a stage, one after the
    other, then as usual; `always` what it does at every passage."""

    identity: Identity
    offers_not: Iterable[str] = ()
    size: int = 1 << 30
    script: dict[str, list[Action]] = field(default_factory=dict)
    always: dict[str, Action] = field(default_factory=dict)
    port: int = 0

    def __post_init__(self) -> None:
        self.taken: list[Taken] = []
        self.connections = 0
        self.at_once = 0
        self.most_at_once = 0
        self.unwanted = 0  # octets that came after our last word
        self.passages: deque[str] = deque()
        self._heard: list[bytes] = []
        self._open: set[_Conversation] = set()
        self._tls: SSL.Context = tls.server_context(self.identity.certificate, self.identity.key)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="scripted peer")

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(DEADLINE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()

    @property
    def route(self) -> str:
        """Its address, for an operator's `[queue.routes]`."""
        return f"127.0.0.1:{self.port}"

    @property
    def heard(self) -> bytes:
        """All that came, decrypted."""
        return b"".join(self._heard)

    def takes(self, count: int = 1) -> list[Taken]:
        """Wait until it has taken so many messages; all of them."""
        until(lambda: len(self.taken) >= count, f"{count} messages reach the peer")
        return self.taken

    def passes(self, stage: str, count: int = 1) -> None:
        """Wait until conversations have come so many times to a stage."""
        until(lambda: self.passages.count(stage) >= count, f"{count} conversations come to {stage}")

    def hang_up(self, reply: Reply) -> None:
        """Say good-bye on every open line, as a server that restarts, and close it."""

        async def close() -> None:
            for conversation in set(self._open):
                conversation.last_word(reply)

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(DEADLINE_S)

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self._over = False

        async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                if not self._over:
                    self.connections += 1
                    await _Conversation(self, self.connections, reader, writer, self._tls).run()
            finally:
                writer.transport.abort()

        server = await asyncio.start_server(session, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopping.wait()
        self._over = True
        server.close()
        for _ in range(3):  # who was accepted this moment has a task that has not begun: it begins, and ends
            await asyncio.sleep(0)
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for conversation in set(self._open):
                conversation.abort()
            await asyncio.wait(others, timeout=0.1)

    def _action(self, stage: str) -> Action | None:
        self.passages.append(stage)
        planned = self.script.get(stage)
        return planned.pop(0) if planned else self.always.get(stage)


class _Over(Exception):
    """The conversation ends here."""


class _Conversation:
    def __init__(
        self,
        peer: ScriptedPeer,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        context: SSL.Context,
    ) -> None:
        self._peer = peer
        self._number = number
        self._reader = reader
        self._writer = writer
        self._context = context
        self._tls: TlsConnection | None = None
        self._machine = ServerConnection("peer.example", Limits(message_size=peer.size))
        self._mail: Mail | None = None
        self._recipients: list[Rcpt] = []
        self._content: list[bytes] = []
        self._chunked = False
        self._finished = False
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        peer = self._peer
        peer.at_once += 1
        peer._open.add(self)
        self._task = asyncio.current_task()
        peer.most_at_once = max(peer.most_at_once, peer.at_once)
        try:
            with suppress(_Over, OSError, TlsError):
                await self._converse()
        finally:
            peer.at_once -= 1
            peer._open.discard(self)

    def abort(self) -> None:
        """Cut the line, wherever the conversation stands."""
        if self._task is not None:
            self._task.cancel()

    async def _converse(self) -> None:
        refusal = await self._at("connect")
        self._write(refusal.encode() if refusal else self._machine.greeting())
        while not self._machine.closed:
            event = self._machine.next_event()
            if isinstance(event, events.Wait):
                await self._writer.drain()
                await self._read()
                continue
            await self._answer(event)
        await self._writer.drain()
        await self._until_the_caller_leaves()

    async def _until_the_caller_leaves(self) -> None:
        if self._writer.can_write_eof():
            self._writer.write_eof()
        while data := await self._reader.read(65_536):
            self._peer.unwanted += len(data)

    def last_word(self, reply: Reply) -> None:
        """Say it, asked or not, and close our side."""
        self._write(reply.encode())
        self._writer.write_eof()
        self._finished = True

    async def _read(self) -> None:
        data = await self._reader.read(65_536)
        if not data:
            raise _Over
        if self._finished:
            self._peer.unwanted += len(data)
            return
        if self._tls is not None:
            data = self._tls.receive(data)
            self._writer.write(self._tls.pending())
            if self._tls.handshaken and not self._machine.tls_active:
                self._machine.tls_started()
            if self._tls.closed:
                raise _Over
        self._peer._heard.append(data)
        if data:
            self._machine.receive_data(data)

    async def _answer(self, event: events.Event) -> None:
        machine = self._machine
        match event:
            case events.Hello():
                refusal = await self._at("EHLO")
                self._write(machine.reply(refusal) if refusal else self._without(machine.accept_hello()))
            case events.StartTls():
                refusal = await self._at("STARTTLS")
                self._write(machine.reply(refusal or Reply(220, "2.0.0", ("Go on",))))
                if refusal is None:
                    await self._at("handshake")
                    self._tls = TlsConnection(self._context, server=True)
            case events.MailFrom(command):
                self._mail, self._recipients, self._content = command, [], []
                await self._decide("MAIL")
            case events.RcptTo(recipient):
                if await self._decide("RCPT"):
                    self._recipients.append(recipient)
            case events.ContentStarts(chunked):
                self._chunked = chunked
                refusal = await self._at("DATA")
                self._write(machine.reply(refusal) if refusal else machine.accept_content())
            case events.Content(data):
                refusal = None if self._content else await self._at("content")
                self._content.append(data)
                if refusal is not None:
                    self._write(refusal.encode())
                    await self._until_the_caller_leaves()
                    raise _Over
            case events.ContentEnds(_, fault, refusal):
                if fault is not None and refusal is not None:
                    self._write(machine.reply(refusal))
                elif await self._decide("end"):
                    assert self._mail is not None
                    content, recipients = b"".join(self._content), tuple(self._recipients)
                    self._peer.taken.append(Taken(self._number, self._mail, recipients, content, self._chunked))
            case events.Answered(reply) | events.Rejected(_, reply) | events.Violation(_, reply):
                self._write(machine.reply(reply))
            case events.Reset() | events.Quit():
                self._write(machine.reply(Reply(250 if isinstance(event, events.Reset) else 221, "2.0.0", ("OK",))))

    async def _decide(self, stage: str) -> bool:
        refusal = await self._at(stage)
        self._write(self._machine.reply(refusal or Reply(250, "2.0.0", ("OK",))))
        return refusal is None or refusal.positive

    async def _at(self, stage: str) -> Reply | None:
        """What the script says here: a reply, or None to go on as usual."""
        action = self._peer._action(stage)
        if isinstance(action, Gate):
            await action.passed()
            return None
        if action is CUT:
            self._writer.transport.abort()
            raise _Over
        if action is HANG:
            await asyncio.Event().wait()
        return action if isinstance(action, Reply) else None

    def _without(self, hello: bytes) -> bytes:
        """The answer to EHLO less the keywords it does not offer."""
        hidden = {word.upper() for word in self._peer.offers_not}
        lines = [line[4:] for line in hello.decode().splitlines()]
        kept = [lines[0], *(line for line in lines[1:] if line.split()[0] not in hidden)]
        return Reply(250, "", tuple(kept)).encode()

    def _write(self, data: bytes) -> None:
        if data:
            self._writer.write(self._tls.send(data) if self._tls is not None else data)
