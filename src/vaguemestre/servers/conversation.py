"""An SMTP conversation, as it is the same for operators and for mail programs: one event at a time, its reply, content.

What it keeps true: what was pipelined is answered in order, and together; content stands in memory only while it is small,
and is written to the spool by a thread; content that failed is read to its end, then refused once; whoever is silent, slow
or unknown for too long is told so and cut.

A server's session is a Conversation: it gives a table from event to method (`_on`), and the methods named under *session*.
Standards: RFC 5321 §4.1, §4.5.3.2 (times), RFC 2920.
"""

import asyncio
import contextlib
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

from OpenSSL import SSL

from vaguemestre.errors import StorageFailure, VaguemestreError
from vaguemestre.mailstore.model import Destination
from vaguemestre.protocols.smtp import events
from vaguemestre.protocols.smtp.commands import Mail, Rcpt
from vaguemestre.protocols.smtp.replies import Reply
from vaguemestre.protocols.smtp.server import ServerConnection
from vaguemestre.protocols.tls import TlsError
from vaguemestre.servers.replies import BYE, READY, STOPPING, TOO_MANY, TOO_SLOW, TRY_LATER
from vaguemestre.servers.stream import Floor, Stream
from vaguemestre.transport.envelope import Envelope, Recipient

_SPOOL_STEP = 262_144
_MOST_AT_ONCE = 128  # pipelined commands handled before the other sessions have their turn

Handler = Callable[[Any, Any], None]


class Content(Protocol):
    """A message being taken: `transport.intake.Incoming`, `transport.outgoing.Outgoing`."""

    @property
    def spooled(self) -> bool:
        """Whether content goes to a file by now; then `write` and `finish` belong in a thread."""

    def write(self, content: bytes) -> None:
        """Take what comes."""

    def finish(self) -> Any:
        """Seal the end; gives the whole."""

    def abandon(self) -> None:
        """Forget it."""


class Conversation(Stream):
    """One connection. Methods a session gives are named under *session*."""

    _on: ClassVar[Mapping[type, Handler]]

    def __init__(self, floor: Floor, tls: SSL.Context, machine: ServerConnection, *, tls_first: bool = False) -> None:
        super().__init__(floor, tls, tls_first=tls_first)
        self._machine = machine
        self._since = self._opened
        self._content_octets = 0
        self._admitted = False  # we know who it is: it may take its time
        self._farewell = STOPPING
        self._envelope: Envelope | None = None
        self._announced = 0
        self._recipients: list[tuple[Recipient, Destination | None]] = []
        self._incoming: Content | None = None
        self._failure: Exception | None = None
        self._held = bytearray()

    # --- session

    @abstractmethod
    def _begin(self) -> Content:
        """Start taking content for the recipients accepted. Raises VaguemestreError."""

    @abstractmethod
    def _whole(self, whole: Any) -> None:
        """The content came whole: do with it what is to be done, then reply."""

    @abstractmethod
    def _refusal(self, error: Exception) -> Reply:
        """What the client is told of an error."""

    @abstractmethod
    def _note_refusal(self, error: Exception, reply: Reply) -> None:
        """Record that a message was refused."""

    # --- connection

    def _greeting(self) -> bytes:
        return self._machine.greeting()

    def _turning_away(self) -> bytes:
        return TOO_MANY.encode()

    def _secured(self) -> None:
        self._machine.tls_started()

    def _feed(self, data: bytes) -> None:
        self._machine.receive_data(data)

    def _fail(self, error: Exception) -> None:
        """Tell the client to try again."""
        self._out.append(TRY_LATER.encode())
        super()._fail(error)

    # --- events

    def _advance(self) -> None:
        """Handle events until the machine wants data or the session waits; then send all replies at once."""
        machine, on, handled = self._machine, self._on, 0
        while not self._busy and not self._choked:
            if handled == _MOST_AT_ONCE:
                self._rest()
                break
            handled += 1
            event = machine.next_event()
            if isinstance(event, events.Wait):
                break
            on[type(event)](self, event)
        self._flush()
        if machine.closed:
            self._abandon()
            self._close()
        elif self._stopping and not self._busy and self._envelope is None:
            self._say_and_close(self._farewell)
        elif not self._busy and not self._choked:
            # Only now, with nothing left to handle: else each wait would let in more than it handles.
            self._read_on()

    def _reply(self, reply: Reply) -> None:
        self._out.append(self._machine.reply(reply))

    def _hello(self, event: events.Hello) -> None:
        self._abandon()
        self._out.append(self._machine.accept_hello())

    def _starttls(self, event: events.StartTls) -> None:
        self._reply(READY)
        self._flush()
        self._start_tls()

    def _reset(self, event: events.Reset) -> None:
        self._abandon()
        self._reply(Reply(250, "2.0.0", ("OK",)))

    def _quit(self, event: events.Quit) -> None:
        self._abandon()
        self._reply(BYE)

    def _answered(self, event: events.Answered) -> None:
        self._reply(event.reply)

    # --- content

    def _content_starts(self, event: events.ContentStarts) -> None:
        try:
            self._incoming = self._begin()
        except VaguemestreError as error:
            self._reply(self._refusal(error))
            return
        self._content_octets = 0
        self._since = time.monotonic()
        self._out.append(self._machine.accept_content())

    def _content(self, event: events.Content) -> None:
        self._content_octets += len(event.data)
        if self._failure is not None or self._incoming is None:
            return
        if self._incoming.spooled:
            self._held += event.data
            if len(self._held) >= _SPOOL_STEP:
                self._to_spool(self._incoming.write, lambda _: None)
            return
        try:
            self._incoming.write(event.data)
        except VaguemestreError as error:
            self._content_failed(error)

    def _content_ends(self, event: events.ContentEnds) -> None:
        incoming = self._incoming
        if event.fault is not None and event.refusal is not None:
            self._note_refusal(event.fault, event.refusal)
            self._abandon()
            self._reply(event.refusal)
        elif self._failure is not None or incoming is None:
            self._not_kept(self._failure or StorageFailure("There is nothing to deliver.", "Il n'y a rien à remettre."))
        elif incoming.spooled:
            self._to_spool(lambda data: _finish(incoming, data), self._whole)
        else:
            try:
                whole = incoming.finish()
            except VaguemestreError as error:
                self._not_kept(error)
                return
            self._whole(whole)

    def _to_spool(self, work: Callable[[bytes], Any], then: Callable[[Any], None]) -> None:
        """Write what is held in a thread; a failure is remembered, or answered at once where the content has ended."""
        data, self._held = bytes(self._held), bytearray()
        ended = then == self._whole
        future = asyncio.get_running_loop().run_in_executor(self._floor.spool, work, data)
        self._wait(future, then, self._not_kept if ended else self._content_failed)

    def _content_failed(self, error: Exception) -> None:
        self._failure = error
        if self._incoming is not None:
            self._incoming.abandon()

    def _not_kept(self, error: Exception) -> None:
        reply = self._refusal(error)
        self._note_refusal(error, reply)
        self._abandon()
        self._reply(reply)

    def _forget_transaction(self) -> None:
        self._envelope = self._incoming = self._failure = None
        self._announced = 0
        self._recipients = []
        self._held = bytearray()

    def _abandon(self) -> None:
        if self._incoming is not None:
            self._incoming.abandon()
        self._forget_transaction()

    # --- the end

    def _say_and_close(self, reply: Reply) -> None:
        self._out.append(reply.encode())
        with contextlib.suppress(TlsError):
            self._flush()
        self._close()

    def sweep(self, now: float) -> None:
        """Close the session if it is silent, sends content slower than the limit, or is still not admitted at the end of
        its time."""
        super().sweep(now)
        if self._transport.is_closing():
            return
        limits, flowing = self._floor.limits, now - self._since
        if not self._admitted and flowing > limits.stranger:
            self._say_and_close(TOO_SLOW)
            return
        if self._busy:
            return
        handshaking = self._tls is not None and not self._tls_text
        silent = now - self._last_heard > (limits.handshake if handshaking else limits.idle)
        slow = (
            self._incoming is not None
            and flowing > limits.content_grace
            and self._content_octets < flowing * limits.slowest
        )
        if silent or slow:
            self._say_and_close(TOO_SLOW)

    def stop(self) -> None:
        """Finish the message under way, if any, then say good-bye."""
        self._stopping = True
        if not self._busy and self._envelope is None and not self._transport.is_closing():
            self._say_and_close(self._farewell)


HANDLERS: dict[type, Handler] = {
    events.Hello: Conversation._hello,
    events.StartTls: Conversation._starttls,
    events.ContentStarts: Conversation._content_starts,
    events.Content: Conversation._content,
    events.ContentEnds: Conversation._content_ends,
    events.Reset: Conversation._reset,
    events.Quit: Conversation._quit,
    events.Answered: Conversation._answered,
}
"""What every server does alike; a session's table has these and its own."""


def recipient_of(command: Rcpt, domain: str) -> Recipient:
    """Whom RCPT names; the bare `Postmaster` is the one of this domain (RFC 5321 §4.1.1.3)."""
    path = command.forward_path
    return Recipient(
        path.text if path.domain else f"postmaster@{domain}",
        frozenset(str(each.value) for each in command.notify),
        command.orcpt or "",
    )


def envelope_of(command: Mail) -> Envelope:
    """What MAIL says, without recipients yet."""
    return Envelope(
        command.reverse_path.text if command.reverse_path is not None else "",
        returned=str(command.ret.value) if command.ret else "",
        envelope_id=command.envid or "",
        utf8=command.smtputf8,
    )


def _finish(content: Content, data: bytes) -> Any:
    content.write(data)
    return content.finish()
