"""The server's side of one IMAP connection, as a machine: octets in, events out.

What stays true:
- a command reaches the caller whole, obeying the grammar, and in a state where it may come; anything else is answered here;
- no more is held than one command within its limits, and of APPEND's content nothing;
- nothing sent in clear survives STARTTLS, and where TLS is required no secret is asked for before it;
- whatever the octets, nothing is raised; what the client sends of a literal that was refused is never read as commands.

Rules: the caller loops `receive_data` → `next_event` until NEED_DATA or PAUSED, sends `data_to_send()` after each event
and before its own answer, and closes once `closed`. It answers one event before it takes the next, unless it knows that
both commands may run at once (RFC 9051 §5.5). It tells the machine what it granted (`authenticated`, `selected`,
`unselected`, `enable`), then `answered()`. Limits that wait for time are the caller's.

RFC 9051, RFC 3501; RFC 7888 (LITERAL+); RFC 4959 (SASL-IR); RFC 3502, 4469, 6855 (APPEND); RFC 2177 (IDLE).
"""

import re
from binascii import b2a_base64
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

from vaguemestre.protocols.imap import commands, events, faults
from vaguemestre.protocols.imap.append_grammar import AppendReader
from vaguemestre.protocols.imap.cursor import Cursor
from vaguemestre.protocols.imap.events import NEED_DATA, PAUSED, Wait
from vaguemestre.protocols.imap.grammar import RULES, SIGNED_IN, Rule, decode_base64, read_command
from vaguemestre.protocols.imap.octets import Announcement, Drain, Incoming, announced
from vaguemestre.protocols.imap.refusals import farewell, is_misuse, refusal
from vaguemestre.protocols.imap.standing import Limits, Standing

_COMMAND = re.compile(rb'([^\x00-\x20\x7f-\xff(){%*"\\+]{1,200}) ((?:UID )?[A-Z]+)(?![^ ])', re.I)
_TAG = re.compile(rb'([^\x00-\x20\x7f-\xff(){%*"\\+]{1,200})(?![^ ])')
_APPEND = Rule(lambda _: commands.Noop(), SIGNED_IN)  # read by AppendReader
_GO_ON = b"+ OK\r\n"
_IDLING = b"+ idling\r\n"


class _Phase(Enum):
    COMMAND = auto()  # before or within a command's text
    LITERAL = auto()  # within a literal that is collected
    OFFER = auto()  # an AppendLiteral waits for the caller
    CONTENT = auto()  # within a literal that passes through
    DRAINING = auto()  # within what remains of a refused command
    TURNED = auto()  # the caller has a command, or part of one, that decides how what follows is read
    SASL = auto()  # before a response to `challenge`
    IDLE = auto()  # before DONE


@dataclass(slots=True)
class _Assembly:
    """A command that has not come whole."""

    tag: bytes
    rule: Rule
    start: int  # of the arguments
    text: bytes
    literals: list[bytes]
    append: AppendReader | None = None
    octets: int = 0  # of literals


class ServerConnection:
    """One connection, from the greeting to its end. Not for use by two threads."""

    __slots__ = (
        "_assembly",
        "_bad_commands",
        "_collected",
        "_drain",
        "_incoming",
        "_injected",
        "_name",
        "_offer",
        "_phase",
        "_queue",
        "_refusal",
        "_standing",
        "_to_read",
        "_to_send",
        "_turned",
        "closed",
    )

    def __init__(self, limits: Limits | None = None, *, tls_active: bool = False, tls_required: bool = True) -> None:
        """`tls_required`: LOGIN and AUTHENTICATE in clear get NO [PRIVACYREQUIRED] from the machine."""
        self._standing = Standing(limits or Limits(), tls_active=tls_active, tls_required=tls_required)
        self.closed = False
        """True once the connection is over: send `data_to_send()`, then close."""
        self._incoming = Incoming()
        self._name = b""  # of the command that is being read, or was last
        self._to_send: list[bytes] = []
        self._queue: deque[events.Event] = deque()
        self._phase = _Phase.COMMAND
        self._assembly: _Assembly | None = None
        self._collected = bytearray()  # of the literal under way
        self._to_read = 0  # octets of the literal under way that have not come
        self._offer: Announcement | None = None
        self._refusal = b""  # what to answer once the rest of the command was skipped
        self._drain: Drain | None = None
        self._turned: events.Event | None = None
        self._bad_commands = 0
        self._injected = False

    # ---- octets in, events out

    @property
    def buffered(self) -> int:
        """Octets fed and not consumed yet."""
        return len(self._incoming)

    @property
    def utf8(self) -> bool:
        """UTF8=ACCEPT or IMAP4rev2 is enabled: names and quoted strings are UTF-8 both ways."""
        return self._standing.dialect.utf8

    @property
    def tls_active(self) -> bool:
        """Is the connection under TLS?"""
        return self._standing.tls_active

    def receive_data(self, data: bytes) -> None:
        """Adds what the socket gave (after TLS and decompression)."""
        if not self.closed:
            self._incoming.feed(data)

    def next_event(self) -> events.Event | Wait:
        """The next thing that happened, or NEED_DATA, or PAUSED. Never raises because of what the client sent."""
        if self._queue:
            return self._queue.popleft()
        if self._injected:
            return self._violate(faults.PlaintextAfterStartTlsError())
        while not self.closed:
            event = self._advance()
            if event is not None:
                return event
        return PAUSED

    def data_to_send(self) -> bytes:
        """What the machine itself has to say since the last call: continuations, refusals, BYE."""
        if not self._to_send:
            return b""
        data = b"".join(self._to_send)
        self._to_send.clear()
        return data

    # ---- answers

    def answered(self) -> None:
        """The command that the machine waits for is answered; what follows may be read. Without one, does nothing."""
        if self._phase is not _Phase.TURNED:
            return
        turned = self._turned
        self._end_command()
        if isinstance(turned, events.Command) and isinstance(turned.command, commands.Logout):
            self._close()

    def challenge(self, data: bytes) -> None:
        """Goes on with AUTHENTICATE: SaslResponse or SaslCancelled comes next. `data` is encoded here."""
        responded = self._phase is _Phase.TURNED and isinstance(self._turned, events.SaslResponse)
        if not responded and not self._turned_by(commands.Authenticate):
            raise RuntimeError("challenge answers an Authenticate command or a SaslResponse")
        self._to_send.append(b"+ %b\r\n" % b2a_base64(data, newline=False))
        self._phase = _Phase.SASL

    def start_idle(self) -> None:
        """Answers Idle with a continuation: IdleDone comes next, or a Rejected if the client sends something else."""
        if not self._turned_by(commands.Idle):
            raise RuntimeError("start_idle answers an Idle command")
        self._to_send.append(_IDLING)
        self._phase = _Phase.IDLE

    def accept_literal(self) -> None:
        """Answers AppendLiteral: AppendContent follows."""
        offer = self._offer
        if self._phase is not _Phase.OFFER or offer is None or self._queue:
            raise RuntimeError("accept_literal answers an AppendLiteral")
        if offer.waiting:
            self._to_send.append(_GO_ON)
        self._phase = _Phase.CONTENT
        self._to_read = offer.size

    def refuse_append(self, response: bytes) -> None:
        """Ends the APPEND under way with this tagged response, sent as soon as the client will read it.

        What the client still sends of the command is read and forgotten.
        """
        if self._assembly is None or self._assembly.append is None:
            raise RuntimeError("there is no APPEND to refuse")
        self._queue.clear()
        self._refusal = response
        if self._phase is _Phase.OFFER:
            self._skip(self._offer)
        elif self._phase is _Phase.TURNED:
            self._skip(None)
        else:
            self._drain_on(self._to_read)

    def _turned_by(self, kind: type[commands.Command]) -> bool:
        turned = self._turned
        waits = self._phase is _Phase.TURNED
        return waits and isinstance(turned, events.Command) and isinstance(turned.command, kind)

    # ---- what the caller granted

    def tls_started(self) -> None:
        """The handshake is done: all that was said in clear is forgotten (RFC 9051 §6.2.1).

        Octets in clear that came after STARTTLS make the next event a Violation.
        """
        if not self._turned_by(commands.StartTls):
            raise RuntimeError("tls_started follows a StartTls command")
        self._injected = self.buffered > 0
        self._incoming.forget()
        self._standing.tls_active = True
        self._bad_commands = 0
        self._end_command()

    def authenticated(self) -> None:
        """The client is signed in (also from the start: PREAUTH)."""
        self._standing.sign_in()

    def selected(self, read_only: bool) -> None:
        """A mailbox is selected. While `read_only`, STORE, EXPUNGE and MOVE get NO from the machine."""
        self._standing.select(read_only=read_only)

    def unselected(self) -> None:
        """No mailbox is selected any more: CLOSE, UNSELECT, a failed SELECT, or the mailbox is gone."""
        self._standing.unselect()

    def enable(self, capabilities: Iterable[str]) -> None:
        """These are in force from now on; UTF8=ACCEPT, IMAP4REV2 and QRESYNC change what is read. In capitals."""
        self._standing.enable(capabilities)

    # ---- phases: each gives an event, a wait, or None where the next phase is to go on

    def _advance(self) -> events.Event | Wait | None:
        match self._phase:
            case _Phase.COMMAND:
                return self._read_line()
            case _Phase.TURNED | _Phase.OFFER:
                return PAUSED
            case _Phase.CONTENT:
                return self._read_content()
            case _Phase.LITERAL:
                return self._collect()
            case _Phase.DRAINING:
                return self._pass_over()
            case _Phase.SASL:
                return self._read_response()
            case _Phase.IDLE:
                return self._read_done()

    def _read_line(self) -> events.Event | Wait | None:
        assembly, longest = self._assembly, self._standing.allowance.line
        if assembly is not None:
            longest -= len(assembly.text)
        else:
            self._name = b""
        try:
            line = self._incoming.line(longest)
        except faults.LineLengthError as fact:
            tag = assembly.tag if assembly is not None else _tag(self._incoming.head(longest))
            self._drain_on(0)
            return self._reject(tag, fact)
        if line is None:
            return NEED_DATA
        literal = announced(line)
        if not line.endswith(b"\r\n"):
            tag = assembly.tag if assembly is not None else _tag(line[:-1])
            self._skip(literal)
            return self._reject(tag, faults.BareLineEndError())
        text = line if literal is not None else line[:-2]
        return self._begin(text, literal) if assembly is None else self._go_on(assembly, text, literal)

    # ---- commands

    def _begin(self, text: bytes, literal: Announcement | None) -> events.Event | Wait | None:
        """The first line of a command."""
        match = _COMMAND.match(text)
        if match is None:
            self._skip(literal)
            tag = _tag(text)
            return self._reject(tag, faults.UnknownCommandError() if tag else faults.TagError())
        tag, name = match[1], match[2].upper()
        rule = _APPEND if name == b"APPEND" else RULES.get(name)
        self._name = b"" if rule is None else name
        fact = faults.UnknownCommandError() if rule is None else self._standing.obstacle(rule)
        if fact is not None or rule is None:
            self._skip(literal)
            return self._reject(tag, fact or faults.UnknownCommandError())
        if literal is None and rule is not _APPEND:
            return self._whole(tag, rule, Cursor(text, match.end(), (), self._standing.dialect))
        assembly = self._assembly = _Assembly(tag, rule, match.end(), b"", [])
        if rule is _APPEND:
            assembly.append = AppendReader(tag, self._standing.dialect)
            text = text[match.end() + 1 :]
        return self._go_on(assembly, text, literal)

    def _go_on(self, assembly: _Assembly, text: bytes, literal: Announcement | None) -> events.Event | Wait | None:
        """One more line of a command, or its first."""
        if assembly.append is not None:
            return self._append(assembly, assembly.append, text, literal)
        assembly.text += text
        if literal is not None:
            return self._expect(assembly, literal)
        self._assembly = None
        cursor = Cursor(assembly.text, assembly.start, assembly.literals, self._standing.dialect)
        return self._whole(assembly.tag, assembly.rule, cursor)

    def _whole(self, tag: bytes, rule: Rule, cursor: Cursor) -> events.Event:
        """A command all of whose text and literals have come."""
        try:
            command = read_command(rule, cursor)
        except faults.ClientError as fact:
            return self._reject(tag, fact)
        event = events.Command(tag, command)
        if rule.turns:
            if self.buffered and isinstance(command, commands.StartTls):
                return self._violate(faults.PlaintextAfterStartTlsError())
            if self.buffered and isinstance(command, commands.Compress):
                return self._reject(tag, faults.PipelinedCompressionError())
            self._turn(event)
        self._bad_commands = 0
        return event

    def _turn(self, event: events.Event) -> None:
        self._turned = event
        self._phase = _Phase.TURNED

    def _end_command(self) -> None:
        self._assembly = self._turned = self._offer = self._drain = None
        self._collected.clear()
        self._to_read = 0
        self._phase = _Phase.COMMAND

    # ---- literals that are collected

    def _expect(self, assembly: _Assembly, literal: Announcement) -> events.Event | None:
        assembly.octets += literal.size
        standing = self._standing
        too_many = len(assembly.literals) >= standing.limits.literal_count
        if too_many or assembly.octets > standing.allowance.literals:
            self._skip(literal)
            return self._reject(assembly.tag, faults.LiteralSizeError())
        if literal.waiting:
            self._to_send.append(_GO_ON)
        self._phase = _Phase.LITERAL
        self._to_read = literal.size
        return None

    def _collect(self) -> Wait | None:
        octets = self._incoming.take(self._to_read)
        self._to_read -= len(octets)
        self._collected += octets
        if self._to_read:
            return NEED_DATA
        assembly = self._assembly
        assert assembly is not None  # noqa: S101 - the phase says so
        collected = bytes(self._collected)
        self._collected.clear()
        if assembly.append is not None:
            assembly.append.take(collected)
        else:
            assembly.literals.append(collected)
        self._phase = _Phase.COMMAND
        return None

    # ---- APPEND

    def _append(
        self, assembly: _Assembly, reader: AppendReader, text: bytes, literal: Announcement | None
    ) -> events.Event | None:
        try:
            self._queue.extend(reader.read(text))
        except faults.ClientError as fact:
            self._skip(literal)
            return self._reject(assembly.tag, fact)
        if literal is None:
            self._turn(self._queue[-1])
            self._bad_commands = 0
        elif reader.awaits_literal:
            rejected = self._expect(assembly, literal)
            if rejected is not None:
                self._queue.clear()
                return rejected
        else:
            self._offer = literal
            self._phase = _Phase.OFFER
        return self._queue.popleft() if self._queue else None

    def _read_content(self) -> events.Event | Wait | None:
        data = self._incoming.take(self._to_read)
        self._to_read -= len(data)
        if not self._to_read:
            self._phase = _Phase.COMMAND
        if data:
            return events.AppendContent(data)
        return NEED_DATA if self._to_read else None

    # ---- what was refused

    def _skip(self, literal: Announcement | None) -> None:
        """The command is over; what is still on its way of it, this literal first, is not to be read."""
        if literal is None or literal.waiting:
            self._drained()
        else:
            self._drain_on(literal.size)

    def _drain_on(self, literal: int) -> None:
        self._end_command()
        self._drain = Drain(literal, self._standing.allowance.drained)
        self._phase = _Phase.DRAINING

    def _pass_over(self) -> events.Event | Wait | None:
        drain = self._drain
        assert drain is not None  # noqa: S101 - the phase says so
        try:
            if not drain.ends(self._incoming):
                return NEED_DATA
        except faults.DrainedError as fact:
            return self._violate(fact)
        self._drained()
        return None

    def _drained(self) -> None:
        if self._refusal:
            self._to_send.append(self._refusal)
            self._refusal = b""
        self._end_command()

    # ---- AUTHENTICATE and IDLE

    def _read_response(self) -> events.Event | Wait:
        line = self._plain_line()
        if not isinstance(line, bytes):
            return line
        tag = self._tag_turned()
        if line == b"*":
            event: events.Event = events.SaslCancelled(tag)
        else:
            try:
                event = events.SaslResponse(tag, decode_base64(line))
            except faults.SaslEncodingError as fact:
                self._end_command()
                return self._reject(tag, fact)
        self._turn(event)
        return event

    def _read_done(self) -> events.Event | Wait:
        line = self._plain_line()
        if not isinstance(line, bytes):
            return line
        tag = self._tag_turned()
        self._end_command()
        if line.upper() != b"DONE":
            return self._reject(tag, faults.IdleEndError())
        return events.IdleDone(tag)

    def _plain_line(self) -> bytes | events.Event | Wait:
        try:
            line = self._incoming.line(self._standing.allowance.line)
        except faults.LineLengthError as fact:
            return self._violate(fact)
        return NEED_DATA if line is None else line.removesuffix(b"\n").removesuffix(b"\r")

    def _tag_turned(self) -> bytes:
        turned = self._turned
        assert isinstance(turned, events.Command | events.SaslResponse)  # noqa: S101 - the phase says so
        return turned.tag

    # ---- refusals

    def _reject(self, tag: bytes, fact: faults.ClientError) -> events.Event:
        """Refuses a command; too many bad ones, one after the other, end the connection."""
        self._to_send.append(refusal(tag, fact))
        self._bad_commands += is_misuse(fact)
        if self._bad_commands > self._standing.allowance.bad_commands:
            return self._violate(faults.TooManyBadCommandsError())
        return events.Rejected(tag, fact, self._name)

    def _violate(self, fact: faults.ClientError) -> events.Violation:
        self._to_send.append(farewell(fact))
        self._close()
        return events.Violation(fact)

    def _close(self) -> None:
        self.closed = True
        self._injected = False
        self._queue.clear()
        self._end_command()
        self._incoming.forget()


def _tag(text: bytes) -> bytes:
    """The tag that a line begins with; empty if it cannot be read."""
    match = _TAG.match(text)
    return match[1] if match is not None else b""
