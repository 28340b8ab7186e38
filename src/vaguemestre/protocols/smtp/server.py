"""The server's side of one SMTP connection, as a machine: octets in, events out, replies back.

What stays true:
- one event at a time waits for its answer, so pipelined commands are answered in order, each after the other's effect;
- only CRLF ends a command and only CRLF.CRLF ends content: no octet of a message is ever read as a command;
- nothing sent in clear survives STARTTLS, and where TLS is required no mail command gets anything but 530 before it;
- content with a fault can only be refused: a caller that would acknowledge it gets an exception instead.

Rules: the caller loops `receive_data` → `next_event` until NEED_DATA or PAUSED, answers each event with `reply` or its
`accept_…`, sends the octets these return, and closes once `closed`. While PAUSED it stops reading the socket: what the
machine holds is then one fed chunk and no more. Limits that wait for time (slow peers) are the caller's.

RFC 5321 §4; RFC 2920 (pipelining); RFC 3030 (CHUNKING); RFC 3207 (STARTTLS); RFC 2034 (enhanced status codes).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from vaguemestre.protocols.smtp import commands, events, faults
from vaguemestre.protocols.smtp.commands import parse_command
from vaguemestre.protocols.smtp.content import ChunkReader, ContentJudge, DataReader
from vaguemestre.protocols.smtp.events import NEED_DATA, PAUSED, Wait
from vaguemestre.protocols.smtp.refusals import refusal
from vaguemestre.protocols.smtp.replies import Reply

_UNANSWERED = (events.Content, Wait)
_LAST = (events.Quit, events.Violation)
_DONE = Reply(250, "2.0.0", ("OK",))
_GO_ON = Reply(354, "", ("End data with <CR><LF>.<CR><LF>",)).encode()
_NO_VERIFYING = Reply.explained(
    252,
    "2.0.0",
    "Ce serveur ne dit pas si une adresse existe ; envoyez le message, sa réponse vous le dira.",
    "This server does not say whether an address exists; send the message and its reply will tell.",
)
_HELP = Reply.explained(
    214,
    "2.0.0",
    "Ce serveur reçoit le courrier d'opérateurs MSSanté : EHLO, STARTTLS avec certificat, puis MAIL, RCPT, DATA.",
    "This server takes mail from MSSanté operators: EHLO, STARTTLS with a client certificate, then MAIL, RCPT, DATA.",
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may cost. Sizes in octets."""

    message_size: int = 25 * 1024 * 1024
    recipients: int = 1000  # a transaction; RFC 5321 §4.5.3.1.8 asks for 100 at least
    transactions: int = 1000
    bad_commands: int = 20
    command_line: int = 2048  # with CRLF; 512 and what each extension adds to MAIL and RCPT
    drained: int = 256 * 1024 * 1024  # refused content read to its end, before the connection is closed instead


class _Phase(Enum):
    COMMAND = auto()
    CONTENT = auto()
    CONTENT_ENDED = auto()
    SKIPPING = auto()  # over the octets of a BDAT chunk that was refused
    HANDSHAKE = auto()  # between the 220 to STARTTLS and `tls_started`


@dataclass(slots=True)
class _Transaction:
    smtputf8: bool
    judge: ContentJudge
    recipients: int = 0
    chunks: ChunkReader | None = None  # set by the first BDAT


class ServerConnection:
    """One connection, from the banner to its end. Not for use by two threads."""

    __slots__ = (
        "_bad_commands",
        "_buffer",
        "_excused",
        "_extensions",
        "_greeted",
        "_hostname",
        "_injected",
        "_limits",
        "_outstanding",
        "_phase",
        "_position",
        "_reader",
        "_skipped",
        "_tls_required",
        "_to_skip",
        "_transaction",
        "_transactions",
        "closed",
        "tls_active",
    )

    _parse: Callable[[bytes], commands.Command] = staticmethod(parse_command)

    def __init__(
        self,
        hostname: str,
        limits: Limits | None = None,
        *,
        tls_required: bool = True,
        tls_active: bool = False,
        extensions: tuple[str, ...] = (),
    ) -> None:
        """`hostname` names us in the banner and EHLO; `extensions` are EHLO lines to add to the machine's own."""
        self._hostname = hostname
        self._limits = limits or Limits()
        self._tls_required = tls_required
        self._extensions = extensions
        self.tls_active = tls_active
        self.closed = False
        """True once the connection is over: send what `reply` returned, then close."""
        self._buffer = b""
        self._position = 0  # of the first octet of the buffer not consumed
        self._phase = _Phase.COMMAND
        self._outstanding: events.Event | None = None
        self._greeted = False
        self._injected = False
        self._transaction: _Transaction | None = None
        self._transactions = 0
        self._bad_commands = 0
        self._excused = False  # a refusal came before, so pipelined commands out of sequence are nobody's fault
        self._reader: DataReader | ChunkReader | None = None
        self._to_skip = self._skipped = 0

    # ---- octets in, events out

    @property
    def buffered(self) -> int:
        """Octets fed and not consumed yet."""
        return len(self._buffer) - self._position

    def greeting(self) -> bytes:
        """The banner to send first."""
        return Reply(220, "", (f"{self._hostname} ESMTP Vaguemestre",)).encode()

    def receive_data(self, data: bytes) -> None:
        """Adds what the socket gave (after TLS, what it decrypted)."""
        if self.closed:
            return
        self._buffer = self._buffer[self._position :] + data if self._position < len(self._buffer) else data
        self._position = 0

    def next_event(self) -> events.Event | Wait:
        """The next thing that happened, or NEED_DATA, or PAUSED. Never raises because of what the peer sent."""
        if self._outstanding is not None or self.closed or self._phase is _Phase.HANDSHAKE:
            return PAUSED
        event = self._advance()
        if not isinstance(event, _UNANSWERED):
            self._outstanding = event
        return event

    def tls_started(self) -> None:
        """The handshake is done: all that was said in clear is forgotten (RFC 3207 §4.2).

        Octets in clear that came after STARTTLS make the next event a Violation.
        """
        self._injected = self.buffered > 0
        self._buffer, self._position = b"", 0
        self.tls_active = True
        self._phase = _Phase.COMMAND
        self._greeted = False
        self._end_transaction()

    # ---- answers

    def accept_hello(self, greeting: str = "") -> bytes:
        """Answers Hello: 250, the host name and, after EHLO, what this server offers."""
        event = self._outstanding
        if not isinstance(event, events.Hello):
            raise RuntimeError("accept_hello answers a Hello event")
        first = f"{self._hostname} {greeting}".rstrip()
        return self.reply(Reply(250, "", (first, *self._offered()) if event.extended else (first,)))

    def accept_content(self) -> bytes:
        """Answers ContentStarts: 354 to DATA, nothing to BDAT. Content events follow."""
        event, transaction = self._outstanding, self._transaction
        if not isinstance(event, events.ContentStarts) or transaction is None:
            raise RuntimeError("accept_content answers a ContentStarts event")
        self._outstanding = None
        self._phase = _Phase.CONTENT
        self._reader = transaction.chunks or DataReader(transaction.judge)
        return b"" if event.chunked else _GO_ON

    def reply(self, reply: Reply) -> bytes:
        """Answers the outstanding event; gives the octets to send. A reply of code 421 closes the connection."""
        event = self._outstanding
        if event is None:
            raise RuntimeError("there is no event to answer")
        if reply.code < 400 and isinstance(event, events.ContentStarts):
            raise RuntimeError("content is accepted by accept_content")
        if reply.code < 400 and isinstance(event, events.ContentEnds) and event.fault is not None:
            raise RuntimeError("content with a fault can only be refused")
        self._outstanding = None
        if reply.code == 421 or isinstance(event, _LAST):
            self.closed = True
            self._buffer, self._position = b"", 0
        elif reply.code < 400:
            self._accepted(event)
        else:
            self._refused(event)
        return reply.encode()

    def _accepted(self, event: events.Event) -> None:
        match event:
            case events.RcptTo() if self._transaction is not None:
                self._transaction.recipients += 1
            case events.MailFrom(command):
                self._transaction = _Transaction(command.smtputf8, ContentJudge(self._limits.message_size))
                self._transactions += 1
            case events.ContentEnds():
                self._end_transaction()
            case events.Hello():
                self._greeted = True
            case events.StartTls():
                self._phase = _Phase.HANDSHAKE

    def _refused(self, event: events.Event) -> None:
        match event:
            case events.ContentStarts():
                if self._transaction is not None and self._transaction.chunks is not None:
                    self._skip(self._transaction.chunks.size)
                self._end_transaction()
                self._excused = True
            case events.ContentEnds():
                self._end_transaction()
                self._excused = True
            case events.MailFrom() | events.RcptTo():
                self._excused = True

    def _offered(self) -> tuple[str, ...]:
        size = f"SIZE {self._limits.message_size}"
        tls = () if self.tls_active else ("STARTTLS",)
        own = ("PIPELINING", size, "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "ENHANCEDSTATUSCODES")
        return (*own, *tls, *self._extensions)

    # ---- phases

    def _advance(self) -> events.Event | Wait:
        if self._injected:
            return _violation(faults.PlaintextAfterStartTlsError())
        if self._phase is _Phase.SKIPPING:
            return self._skip_on()
        if self._phase is _Phase.CONTENT:
            return self._read_content()
        if self._phase is _Phase.CONTENT_ENDED:
            return self._content_ended()
        return self._read_command()

    def _skip(self, octets: int) -> None:
        if octets:
            self._phase = _Phase.SKIPPING
            self._to_skip = octets

    def _skip_on(self) -> events.Event | Wait:
        passed = min(self._to_skip, self.buffered)
        self._position += passed
        self._to_skip -= passed
        self._skipped += passed
        if self._skipped > self._limits.drained:
            return _violation(faults.MessageSizeError(self._limits.message_size))
        if self._to_skip:
            return NEED_DATA
        self._phase = _Phase.COMMAND
        return self._read_command()

    def _read_content(self) -> events.Event | Wait:
        reader, transaction = self._reader, self._transaction
        assert reader is not None  # noqa: S101 - the phase says so
        assert transaction is not None  # noqa: S101
        content, self._position, ended = reader.read(self._buffer, self._position)
        if self._position == len(self._buffer):
            self._buffer, self._position = b"", 0
        if ended:
            self._phase = _Phase.CONTENT_ENDED
        if content:
            return events.Content(content)
        if ended:
            return self._content_ended()
        fault = transaction.judge.fault
        if fault is not None and transaction.judge.drained > self._limits.drained:
            return _violation(fault)
        return NEED_DATA

    def _content_ended(self) -> events.Event:
        transaction = self._transaction
        assert transaction is not None  # noqa: S101 - the phase says so
        self._phase = _Phase.COMMAND
        judge, chunks = transaction.judge, transaction.chunks
        if judge.fault is not None:
            return events.ContentEnds(judge.size, judge.fault, refusal(judge.fault))
        if chunks is not None and not chunks.last:
            return events.Answered(Reply(250, "2.0.0", (f"{chunks.size} octets received",)))
        return events.ContentEnds(judge.size)

    def _read_command(self) -> events.Event | Wait:
        buffer, start = self._buffer, self._position
        end = buffer.find(b"\n", start) + 1
        if (end or len(buffer)) - start > self._limits.command_line:
            return _violation(faults.CommandLineError())
        if not end:
            return NEED_DATA
        line = buffer[start:end]
        if not line.endswith(b"\r\n") or line.find(b"\r", 0, -2) >= 0:
            return _violation(faults.BareCommandLineEndError())
        if end == len(buffer):
            self._buffer, self._position = b"", 0
        else:
            self._position = end
        try:
            command = self._parse(line[:-2])
        except faults.ChunkSizeError as fact:
            return _violation(fact)
        except faults.PeerError as fact:
            event = self._reject(fact)
            self._excused = True  # what was pipelined behind a MAIL or RCPT we could not read
            return event
        return self._judged(command, line.isascii())

    # ---- commands

    def _judged(self, command: commands.Command, ascii_only: bool) -> events.Event | Wait:
        match command:
            case commands.Rset():
                self._end_transaction()
                return events.Reset()
            case commands.Noop():
                return events.Answered(_DONE)
            case commands.Quit():
                return events.Quit()
            case commands.Ehlo(name) | commands.Helo(name):
                self._end_transaction()
                return events.Hello(isinstance(command, commands.Ehlo), name)
            case commands.StartTls():
                return self._starttls()
        if self._tls_required and not self.tls_active:
            if isinstance(command, commands.Bdat):
                self._skip(command.size)
            return self._reject(faults.TlsRequiredError())
        match command:
            case commands.Rcpt():
                return self._rcpt(command, ascii_only)
            case commands.Mail():
                return self._mail(command, ascii_only)
            case commands.Data():
                return self._data()
            case commands.Bdat():
                return self._bdat(command)
            case commands.Vrfy():
                return events.Answered(_NO_VERIFYING)
            case commands.Help():
                return events.Answered(_HELP)
            case commands.Auth() | commands.Expn():
                return self._reject(faults.NotOfferedError())

    def _starttls(self) -> events.Event:
        if self.tls_active:
            return self._reject(faults.TlsActiveError())
        if self.buffered:
            return _violation(faults.PlaintextAfterStartTlsError())
        if self._transaction is not None:
            return self._reject(faults.SequenceError("RSET"))
        return events.StartTls()

    def _mail(self, command: commands.Mail, ascii_only: bool) -> events.Event:
        if not self._greeted:
            return self._reject(faults.SequenceError("EHLO"))
        if self._transaction is not None:
            return self._reject(faults.SequenceError("RSET"))
        self._excused = False
        if self._transactions >= self._limits.transactions:
            return self._turn_down(faults.TooManyTransactionsError())
        if command.size is not None and command.size > self._limits.message_size:
            return self._turn_down(faults.MessageSizeError(self._limits.message_size))
        if not ascii_only and not command.smtputf8:
            return self._turn_down(faults.NonAsciiPathError())
        return events.MailFrom(command)

    def _rcpt(self, command: commands.Rcpt, ascii_only: bool) -> events.Event:
        transaction = self._transaction
        if transaction is None:
            return self._reject(faults.SequenceError("MAIL"))
        if transaction.chunks is not None:
            return self._reject(faults.SequenceError("BDAT LAST"))
        if transaction.recipients >= self._limits.recipients:
            return self._turn_down(faults.TooManyRecipientsError())
        if not ascii_only and not transaction.smtputf8:
            return self._turn_down(faults.NonAsciiPathError())
        return events.RcptTo(command)

    def _data(self) -> events.Event:
        fact = self._content_obstacle()
        if fact is None and self._transaction is not None and self._transaction.chunks is not None:
            fact = faults.SequenceError("BDAT LAST")
        return self._reject(fact) if fact else events.ContentStarts(chunked=False)

    def _bdat(self, command: commands.Bdat) -> events.Event | Wait:
        transaction, fact = self._transaction, self._content_obstacle()
        if fact is not None or transaction is None:
            self._skip(command.size)  # it comes whatever the reply is (RFC 3030 §2)
            event = self._reject(fact or faults.SequenceError("MAIL"))
            self._excused = self._excused or not command.last
            return event
        first = transaction.chunks is None
        chunks = transaction.chunks = transaction.chunks or ChunkReader(transaction.judge)
        chunks.expect(command.size, command.last)
        if transaction.judge.size + command.size > self._limits.message_size:
            transaction.judge.refuse(faults.MessageSizeError(self._limits.message_size))
        if first:
            return events.ContentStarts(chunked=True)
        self._phase = _Phase.CONTENT
        return self._read_content()

    def _content_obstacle(self) -> faults.PeerError | None:
        if self._transaction is None:
            return faults.SequenceError("MAIL")
        return None if self._transaction.recipients else faults.NoRecipientError()

    def _end_transaction(self) -> None:
        self._transaction = self._reader = None
        self._excused = False

    # ---- refusals

    def _turn_down(self, fact: faults.PeerError) -> events.Rejected:
        """Refuses what is well-formed but more than a limit allows; what was pipelined behind it is excused."""
        self._excused = True
        return events.Rejected(fact, refusal(fact))

    def _reject(self, fact: faults.PeerError) -> events.Event:
        """Refuses a command that should not have been sent; too many of them end the connection."""
        if not self._excused or not isinstance(fact, (faults.SequenceError, faults.NoRecipientError)):
            self._bad_commands += 1
        if self._bad_commands > self._limits.bad_commands:
            return _violation(faults.TooManyBadCommandsError())
        return events.Rejected(fact, refusal(fact))


def _violation(fact: faults.PeerError) -> events.Violation:
    return events.Violation(fact, refusal(fact))
