r"""An IMAP session: a mail program's connection, from the greeting to BYE.

What it keeps true: no command is answered before what it did is durable; a client is told of expunges only where its
numbers may move (RFC 9051 §7.5.1); an account that is suspended, or a secret that is revoked, ends its sessions; whatever
fails is answered, and the session goes on.

Flow: `stream` → machine → one coroutine a command, of the file named after its family → untagged answers → what else
changed → the tagged answer. A command's coroutine is driven here, by the futures it awaits: most never wait, and then no
task is made. One command runs at a time; its client is not read from meanwhile.
Standards: RFC 9051, RFC 3501, RFC 7162; the rest in docs/standards.md.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from OpenSSL import SSL

from vaguemestre import log
from vaguemestre.errors import VaguemestreError
from vaguemestre.identity.model import Rights
from vaguemestre.mailstore.access import Access, SessionEndedError
from vaguemestre.mailstore.filing import Filer
from vaguemestre.mailstore.structures import Keeper
from vaguemestre.mailstore.views import Picture, Views
from vaguemestre.protocols.imap import commands, events, refusals, response_codes, responses
from vaguemestre.protocols.imap.commands import Command
from vaguemestre.protocols.imap.compression import CompressionError, Deflate, Inflate
from vaguemestre.protocols.imap.faults import CharsetError
from vaguemestre.protocols.imap.server import ServerConnection
from vaguemestre.protocols.sasl import Exchange
from vaguemestre.protocols.tls import TlsError
from vaguemestre.servers.imap import actions, news, search
from vaguemestre.servers.imap.answers import DEFERRED, Answer
from vaguemestre.servers.imap.append import Appending
from vaguemestre.servers.imap.errors import AnswerError, outcome, refusal, words
from vaguemestre.servers.imap.kept_texts import KeptTexts
from vaguemestre.servers.imap.notify import Notified
from vaguemestre.servers.imap.search import Context
from vaguemestre.servers.limits import ServerLimits
from vaguemestre.servers.sign_in import Origin, SignIn
from vaguemestre.servers.stream import Floor, Stream
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database

_MOST_AT_ONCE = 64  # pipelined commands handled before the other sessions have their turn
_MUCH = 65_536  # octets said; less goes with the tagged answer, in one record and one packet
_IDLE_S = 1800.0  # RFC 9051 §5.4: half an hour at least, once signed in
_log = log.get("servers.imap")

Result = TypeVar("Result")
Handler = Callable[["Session", bytes, Any], Coroutine[Any, Any, "Answer"]]


@dataclass(frozen=True, slots=True)
class MailAccess:
    """What every session of the operator's listeners shares."""

    hostname: str
    tls: SSL.Context
    sign_in: SignIn
    database: Database
    blobs: BlobStore
    filer: Filer
    views: Views
    texts: KeptTexts
    structures: Keeper
    limits: ServerLimits
    handlers: dict[type, Handler]
    catch_up: Callable[[int], Awaitable[None]]  # have an account's words indexed, ahead of all else


@dataclass(slots=True)
class Selected:
    """The mailbox at hand."""

    mailbox_id: int
    name: str
    picture: Picture
    read_only: bool
    recent_from: int
    mark_texts: dict[int, bytes]
    """What FLAGS says of each mark of the view, once it was said."""


class Session(Stream):
    """One connection of a mail program. Commands' files use what is public here."""

    def __init__(self, service: MailAccess, floor: Floor, *, tls_first: bool = False) -> None:
        super().__init__(floor, service.tls, tls_first=tls_first)
        self.service = service
        self.machine = ServerConnection(tls_active=tls_first)
        self.access: Access | None = None
        self.selected: Selected | None = None
        self.enabled: set[str] = set()
        self.saved: list[int] | None = None  # UIDs of SEARCH … SAVE, ascending
        self.notified: Notified | None = None
        self.appending: Appending | None = None
        self.idling = b""
        self.deflate: Deflate | None = None
        self._inflate: Inflate | None = None
        self.exchange: Exchange | None = None
        self.refused: AnswerError | None = None
        self.contexts: dict[bytes, Context] = {}
        self._work: Coroutine[Any, Any, None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._leave: list[Callable[[], None]] = []
        self._farewell = ""

    # --- stream

    def _greeting(self) -> bytes:
        code = response_codes.capability(self.capabilities())
        return responses.untagged_ok(f"{self.service.hostname} Vaguemestre", code)

    def _turning_away(self) -> bytes:
        return b"* BYE [UNAVAILABLE] Trop de connexions / Too many connections; try again in a moment\r\n"

    def _secured(self) -> None:
        if self._tls_first:
            self._transport.write(self._sealed(self._greeting()))
        else:
            self.machine.tls_started()

    def _insecure(self, error: TlsError) -> None:
        _log.info("no TLS", ip=self._ip)

    def _feed(self, data: bytes) -> None:
        if self._inflate is None:
            self.machine.receive_data(data)
        else:
            self._inflate.feed(data)

    def _inflated(self) -> bool:
        """Give the machine the next of what is compressed; whether there was any."""
        if self._inflate is None:
            return False
        try:
            piece = self._inflate.read()
        except CompressionError as error:
            self.end(words(error))
            return False
        self.machine.receive_data(piece)
        return bool(piece)

    def _sealed(self, data: bytes) -> bytes:
        return data if self._tls is None else self._tls.send(data)

    def _flush(self) -> None:
        if self._out:
            data = b"".join(self._out)
            self._out.clear()
            if self.deflate is not None:
                data = self.deflate.compress(data)
            self._transport.write(self._sealed(data))

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the mailbox; a command under way ends at its next wait."""
        super().connection_lost(exc)
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def resume_writing(self) -> None:
        """The client reads again: a command that waits to say more goes on."""
        if self._writable is not None:
            self._choked = False
            if not self._writable.done():
                self._writable.set_result(None)
            return
        super().resume_writing()

    # --- events

    def _advance(self) -> None:
        machine, handled = self.machine, 0
        while not self._busy and not self._choked:
            if handled == _MOST_AT_ONCE:
                self._rest()
                break
            handled += 1
            event = machine.next_event()
            if own := machine.data_to_send():
                self._out.append(own)
            if isinstance(event, events.Wait):
                if event is events.NEED_DATA and self._inflated():
                    continue
                break
            self._handle(event)
        self._flush()
        if machine.closed and not self._busy:
            self._abandon()
            self._close()
        elif self._farewell and not self._busy:
            self.end(self._farewell)
        elif not self._busy and not self._choked:
            self._read_on()

    def _handle(self, event: events.Event) -> None:
        if isinstance(event, events.Command):
            self._run(self._execute(event))
            return
        if isinstance(event, events.IdleDone):
            self.idling = b""
            self.tell_news()
            self._out.append(responses.ok(event.tag, "IDLE"))
            return
        if isinstance(event, events.Rejected | events.Violation):
            self.idling = b""
            if isinstance(event, events.Rejected) and isinstance(event.fact, CharsetError):
                self.saved = []  # whatever a failed search was to save (RFC 5182 §2.1)
            if self.appending is not None:
                self.appending.abandon()
                self.appending = None
            if isinstance(event, events.Rejected):
                self.trace_refused(actions.request_named(event.name), refusals.outcome(event.fact))
            return
        if isinstance(event, events.SaslResponse | events.SaslCancelled):
            self._run(self._execute_sasl(event))
            return
        if isinstance(event, events.AppendStarts):
            self.appending = Appending(self, event)
        elif self.appending is not None:
            self._run(self.appending.take(event))

    async def _execute(self, event: events.Command) -> None:
        """Run a command and answer it."""
        tag, command = event.tag, event.command
        try:
            answer = await self.service.handlers[type(command)](self, tag, command)
        except Exception as error:
            self.refuse(tag, error)
            self.trace_refused(actions.request(command), outcome(error))
        else:
            if answer is DEFERRED:
                return
            if self.notified is not None and self.notified.waiting:
                await self.notified.tell()
            self.answer(tag, command, answer)
        self.machine.answered()

    async def _execute_sasl(self, event: events.SaslResponse | events.SaslCancelled) -> None:
        try:
            answer = await self.service.handlers[type(event)](self, event.tag, event)
        except Exception as error:
            self.refuse(event.tag, error)
        else:
            if answer is DEFERRED:
                return
            self._out.append(responses.ok(event.tag, answer.text, answer.code))
        self.machine.answered()

    def answer(self, tag: bytes, command: Command | None, answer: Answer) -> None:
        """Tell what else changed, then that the command is done."""
        if self.selected is not None:
            self.tell_news(expunges=not isinstance(command, _NUMBERS) or getattr(command, "uid", False))
        self._out.append(responses.ok(tag, answer.text, answer.code))

    def refuse(self, tag: bytes, error: Exception) -> None:
        """Say why not; the session goes on."""
        if not isinstance(error, VaguemestreError):
            _log.error("a command failed", error=type(error).__name__, exc_info=error)
        self._out.append(refusal(tag, error))

    # --- coroutines

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        """Drive a coroutine to its first wait, or to its end."""
        self._busy = True
        self._work = work
        self._step()

    def _step(self) -> None:
        assert self._work is not None  # noqa: S101 - set by `_run`
        try:
            future = self._work.send(None)
        except StopIteration:
            self._work, self._busy = None, False
        except Exception as error:  # what answers a command answers its errors: this is a defect of that
            _log.error("a session failed", error=type(error).__name__, exc_info=True)
            self._work, self._busy = None, False
            self.end("Incident de notre cote / Trouble on our side", b"UNAVAILABLE")
        else:
            if future is None:  # a bare yield: let the others have their turn
                asyncio.get_running_loop().call_soon(self._go_on)
            else:
                future._asyncio_future_blocking = False  # what a task does with the futures it is handed
                future.add_done_callback(self._woken)

    def _woken(self, _: Any) -> None:
        self._go_on()

    def _go_on(self) -> None:
        if self._work is None:
            super()._go_on()
            return
        if self._transport.is_closing():
            work, self._work, self._busy = self._work, None, False
            work.close()
            self._abandon()
            return
        self._step()
        if not self._busy:
            self._advance()

    # --- what commands use

    def say(self, data: bytes) -> None:
        """Add to the answers."""
        self._out.append(data)

    async def discard(self, names: Sequence[str]) -> None:
        """Delete large contents whose rows are gone."""
        if names:
            await asyncio.get_running_loop().run_in_executor(self._floor.spool, self.service.blobs.discard, names)

    async def aside(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Do what waits for a disk in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._floor.spool, work, *arguments)

    async def drain(self) -> None:
        """Send what was said, unless it is little and may go with what follows; wait while the client does not read."""
        if sum(map(len, self._out)) >= _MUCH:
            self._flush()
        if self._choked:
            self._writable = asyncio.get_running_loop().create_future()
            try:
                await self._writable
            finally:
                self._writable = None

    def capabilities(self) -> list[str]:
        """What CAPABILITY says now."""
        if self.access is not None:
            compress = [] if self.deflate else ["COMPRESS=DEFLATE"]
            return [*ALWAYS, *SIGNED_IN, *compress, f"APPENDLIMIT={self.service.limits.message_size}"]
        if not self.machine.tls_active:
            return [*ALWAYS, "STARTTLS", "LOGINDISABLED"]
        return [*ALWAYS, *(f"AUTH={each}" for each in self.service.sign_in.mechanisms())]

    def secure(self) -> None:
        """After what was said, everything is ciphertext."""
        self._flush()
        self._start_tls()

    def compress(self) -> None:
        """After what was said, everything is compressed, both ways."""
        self._flush()
        self.machine.answered()
        self.deflate, self._inflate = Deflate(), Inflate()

    def trace(self, action: str, mailbox: str, count: int) -> None:
        """Keep who did what, without content (CONF.17, CONF.18)."""
        self.service.sign_in.trace(self.account(), action, "ok", actions.request_of(action), f"{count}")

    def trace_refused(self, request: str, answer: str) -> None:
        """Keep who asked in vain for what, where it is an act on the account, and the answer."""
        action = actions.ACTIONS.get(request)
        if action is not None and self.access is not None:
            self.service.sign_in.trace(self.access, action, answer, request)

    def origin(self) -> Origin:
        """Who speaks."""
        return Origin(self._ip, self._tls_text, self._chain, "imap")

    def enter(self, access: Access) -> None:
        """The client is signed in."""
        self.access = access
        self.machine.authenticated()
        self._leave.append(self.service.sign_in.follow(access, self._expelled))

    def account(self) -> Access:
        """Whose mailboxes these are; only once signed in, which the machine sees to."""
        assert self.access is not None  # noqa: S101
        return self.access

    def at_hand(self) -> Selected:
        """The selected mailbox; only while one is, which the machine sees to."""
        assert self.selected is not None  # noqa: S101
        if self.selected.picture.view.gone:
            raise AnswerError("NO", b"NONEXISTENT", "This mailbox was deleted or replaced.", "Ce dossier a disparu.")
        return self.selected

    @property
    def reader(self) -> int:
        """Whose read state counts: 0 where it is everybody's."""
        return self.account().reader

    def may(self, right: Rights) -> None:
        """Raise where a right is missing."""
        if right not in self.account().rights:
            raise AnswerError(
                "NO",
                b"NOPERM",
                "You may not do this in this mailbox. Ask the person answerable for it.",
                "Vous n'avez pas ce droit sur cette boîte. Adressez-vous à son responsable.",
            )

    def enable(self, *capabilities: str) -> None:
        """From now on these are in force."""
        self.enabled.update(capabilities)
        self.machine.enable(capabilities)

    @property
    def rev2(self) -> bool:
        """Whether the client chose the newer revision."""
        return "IMAP4REV2" in self.enabled

    @property
    def condstore(self) -> bool:
        """Whether mod-sequences are told."""
        return "CONDSTORE" in self.enabled

    def unselect(self) -> None:
        """No mailbox is at hand any more."""
        if self.selected is not None:
            view = self.selected.picture.view
            view.watchers.discard(self.watch)
            self.service.views.close(view)
            self.selected = None
            self.saved = None
            self.contexts.clear()
        self.machine.unselected()

    def tell_news(self, *, expunges: bool = True, flags: bool = True) -> None:
        """Say what changed in the mailbox at hand."""
        if self.selected is not None and self.selected.picture.behind:
            news.tell(self, self.selected, expunges=expunges, flags=flags)
            if self.contexts:
                search.tell_contexts(self, self.selected)

    def watch(self) -> None:
        """The view at hand changed: say so at once to a client that waits for it."""
        selected = self.selected
        if self._transport.is_closing() or self._busy or selected is None:
            return
        if selected.picture.view.gone:
            self.end("This mailbox was deleted", b"NONEXISTENT")
        elif self._choked:
            return  # told at its next command, or the next change
        elif self.idling:
            self.tell_news()
            self._flush()
        elif self.notified is not None and self.notified.at_hand is not None:
            self._unasked(self.notified.tell_at_hand(selected))

    def tell_soon(self) -> None:
        """Something changed elsewhere that the client wants to know: now, or with the answer under way."""
        if self.notified is not None and not (self._transport.is_closing() or self._busy or self._choked):
            self._unasked(self.notified.tell())

    def _unasked(self, work: Coroutine[Any, Any, None]) -> None:
        self._run(work)
        if not self._busy:
            self._advance()

    # --- the end

    def end(self, words: str, code: bytes = b"") -> None:
        """Say good-bye, and close."""
        if self._transport.is_closing():
            return
        self._out.append(responses.bye(words, code))
        self._abandon()
        try:
            self._flush()
        except TlsError:
            self._out.clear()
        self._close()

    def _expelled(self, reason: str) -> None:
        """The account, or what signed in to it, is no more."""
        self._farewell = words(SessionEndedError(reason))
        if not self._busy:
            self.end(self._farewell)

    def _abandon(self) -> None:
        if self.appending is not None:
            self.appending.abandon()
            self.appending = None
        if self.selected is not None:
            self.unselect()
        if self.notified is not None:
            self.notified.end()
            self.notified = None
        for leave in self._leave:
            leave()
        self._leave.clear()

    def sweep(self, now: float) -> None:
        """Close a session that has been silent too long (RFC 9051 §5.4)."""
        super().sweep(now)
        if self._busy or self._transport.is_closing():
            return
        silent = now - self._last_heard
        if self.access is None:
            lingering = now - self._opened > self._floor.limits.stranger
            if silent > self._floor.limits.handshake or lingering:
                self.end("Too slow to sign in")
        elif silent > _IDLE_S:
            self.end("Silent for too long")

    def stop(self) -> None:
        """Let the command under way end, then say good-bye."""
        self._stopping = True
        self._farewell = "The server is stopping; connect again in a moment"
        if not self._busy:
            self.end(self._farewell)


_NUMBERS = (commands.Fetch, commands.Store, commands.Search, commands.Sort, commands.Thread)
ALWAYS = (
    "IMAP4rev1",
    "IMAP4rev2",
    "LITERAL+",
    "SASL-IR",
    "ID",
    "ENABLE",
)
SIGNED_IN = (
    "IDLE",
    "NAMESPACE",
    "CHILDREN",
    "UNSELECT",
    "UIDPLUS",
    "MOVE",
    "MULTIAPPEND",
    "CATENATE",
    "BINARY",
    "CONDSTORE",
    "QRESYNC",
    "ESEARCH",
    "SEARCHRES",
    "CONTEXT=SEARCH",
    "SORT",
    "SORT=DISPLAY",
    "ESORT",
    "THREAD=REFERENCES",
    "THREAD=ORDEREDSUBJECT",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "SPECIAL-USE",
    "QUOTA",
    "QUOTA=RES-STORAGE",
    "STATUS=SIZE",
    "OBJECTID",
    "SAVEDATE",
    "PREVIEW",
    "NOTIFY",
    "UTF8=ACCEPT",
    "PARTIAL",
    "WITHIN",
)
