"""The SMTP client that relays one message to one recipient a transaction, as a machine without I/O.

What holds here:
- No envelope and no content is ever produced before TLS: `begin` refuses, and there is no HELO and no clear fallback.
- A message is accepted only by a 2xx reply to the end of its content; every other reply, at whatever stage, is the
  outcome of that transaction and of no other one.
- What the server sent before TLS is forgotten, and a server that sent anything after its `220` to STARTTLS is
  disbelieved altogether (command injection).

How it is driven: `receive_data`, then `next_event` until it returns None; after any call, write what `data_to_send`
returns. A conversation: Greeting · `ehlo` · Capabilities · `start_tls` · ReadyForTls · (handshake, admission)
`tls_started` · `ehlo` · Capabilities · then for each message `begin` · ContentWanted · `content`… `end_content` ·
Outcome · at last `quit` · Closed. A Refused ends the conversation and leaves its transaction, if any, undecided. One
transaction's commands leave in one write when the server offers PIPELINING.

RFC 5321; RFC 1870 (SIZE), 2920 (PIPELINING), 3030 (CHUNKING), 3207 (STARTTLS), 3461 (DSN), 6152 (8BITMIME),
6531 (SMTPUTF8).
"""

import re
from collections import deque

from vaguemestre.protocols.smtp.addresses import format_path
from vaguemestre.protocols.smtp.client_events import (
    Capabilities,
    Closed,
    ConnectionCut,
    ContentTooLarge,
    ContentWanted,
    Event,
    FeatureNotOffered,
    Greeting,
    Outcome,
    ProtocolViolation,
    ReadyForTls,
    Refused,
    Stage,
    TlsNotOffered,
    Transaction,
    UnsafeParameter,
)
from vaguemestre.protocols.smtp.content_out import DotStuffer, LineEndings
from vaguemestre.protocols.smtp.replies import Reply, ReplyReader

_ENVELOPE = frozenset({Stage.MAIL, Stage.RCPT, Stage.DATA})
# Below, DATA costs no more than BDAT and every server does it; above, BDAT spares both sides the search for dots.
_CHUNKED_FROM = 65_536

_VALUE = re.compile(r"[^\x00-\x20\x7f=]+")


class ClientConnection:
    """The client's side of one connection. See the module for how to drive it."""

    def __init__(self, hostname: str) -> None:
        """`hostname` is our name in EHLO, an ASCII domain."""
        self.hostname = hostname
        self.features: frozenset[str] = frozenset()
        self.size_limit: int | None = None
        self.secure = False
        self.closed = False  # nothing more can be sent
        self._replies = ReplyReader()
        self._ended = False
        self._out = bytearray()
        self._planned: deque[tuple[bytes, Stage]] = deque()
        self._awaited: deque[Stage] = deque([Stage.GREETING])
        self._failure: Outcome | None = None
        self._in_content = False
        self._chunking = False
        self._must_reset = False
        self._stuffer = DotStuffer()
        self._endings = LineEndings()

    # Reading

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the server; empty bytes mean that it closed the connection."""
        if data:
            self._replies.receive_data(data)
        else:
            self._ended = True

    def next_event(self) -> Event | None:
        """What the server said next, None when it must be waited for.

        Raises ReplyError, ProtocolViolation, and ConnectionCut when the stream ended before an awaited answer.
        """
        while (reply := self._replies.next_reply()) is not None:
            event = self._read(reply)
            self._write_planned()
            if event is not None:
                return event
        if self._ended and not self.closed:
            self.closed = True
            if self._failure and self._envelope_awaited:
                return self._failure  # it was decided; only answers that mean nothing are lost
            raise ConnectionCut(
                "The recipient's server closed the connection before it answered; the message will be tried again.",
                "Le serveur du destinataire a fermé la connexion avant de répondre ; l'envoi sera tenté de nouveau.",
            )
        return None

    # Writing

    def data_to_send(self) -> bytes:
        """The commands to write now, maybe none."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def ehlo(self) -> None:
        """Introduce ourselves: after the greeting, and again over TLS."""
        self._plan(f"EHLO {self.hostname}", Stage.EHLO)

    def start_tls(self) -> None:
        """Ask for TLS. Raises TlsNotOffered."""
        if self.secure:
            raise RuntimeError("TLS is already there")
        if "STARTTLS" not in self.features:
            raise TlsNotOffered(
                "The recipient's server does not offer STARTTLS: nothing can be sent to it securely; its operator must"
                " enable it.",
                "Le serveur du destinataire ne propose pas STARTTLS : rien ne peut lui être envoyé de façon sûre ; son"
                " opérateur doit l'activer.",
            )
        self._plan("STARTTLS", Stage.STARTTLS)

    def tls_started(self) -> None:
        """The handshake is over and the peer admitted: what was learnt in clear is forgotten."""
        self.features = frozenset()
        self.size_limit = None
        self.secure = True

    def begin(self, transaction: Transaction) -> None:
        """Send the envelope.

        Raises FeatureNotOffered, ContentTooLarge and UnsafeParameter, all before a byte is sent.
        """
        if not self.secure or self.closed or self._in_content or self._planned:
            raise RuntimeError("a transaction begins over TLS, after the end of the one before")
        mail, rcpt = self._mail(transaction), self._rcpt(transaction)
        self._failure = None
        self._chunking = transaction.size >= _CHUNKED_FROM and {"CHUNKING", "PIPELINING"} <= self.features
        self._stuffer, self._endings = DotStuffer(), LineEndings()
        if self._must_reset:
            self._must_reset = False
            self._planned.append((b"RSET\r\n", Stage.RSET))
        self._planned += [(mail, Stage.MAIL), (rcpt, Stage.RCPT)]
        if not self._chunking:
            self._planned.append((b"DATA\r\n", Stage.DATA))
        self._write_planned()

    def content(self, chunk: bytes) -> bytes:
        """The bytes to write for the next chunk of content (returned, not queued: it may be large).

        Look for an event between chunks: an Outcome may come early, and then no more is to be sent.
        Raises BareLineEnding: the connection must then be dropped, for the server still awaits the rest.
        """
        self._content_expected()
        self._endings.check(chunk)
        if not self._chunking:
            return self._stuffer.stuff(chunk)
        if not chunk:
            return b""
        self._awaited.append(Stage.CHUNK)
        return b"BDAT %d\r\n" % len(chunk) + chunk

    def end_content(self) -> bytes:
        """The bytes that end the content; the Outcome is then awaited. Raises BareLineEnding."""
        self._content_expected()
        self._endings.end()
        self._in_content = False
        self._awaited.append(Stage.CONTENT)
        return b"BDAT 0 LAST\r\n" if self._chunking else self._stuffer.end()

    def quit(self) -> None:
        """Say good-bye; nothing may follow."""
        self._plan("QUIT", Stage.QUIT)

    # Commands

    def _mail(self, transaction: Transaction) -> bytes:
        command = [f"MAIL FROM:{format_path(transaction.reverse_path)}"]
        if "SIZE" in self.features:
            self._check_size(transaction.size)
            command.append(f"SIZE={transaction.size}")
        if transaction.eight_bit or transaction.utf8_headers:
            self._require("8BITMIME")
            command.append("BODY=8BITMIME")
        if transaction.needs_utf8:
            self._require("SMTPUTF8")
            command.append("SMTPUTF8")
        if "DSN" in self.features:
            if transaction.ret:
                command.append(f"RET={_value(transaction.ret)}")
            if transaction.envid:
                command.append(f"ENVID={_value(transaction.envid)}")
        return " ".join(command).encode() + b"\r\n"

    def _rcpt(self, transaction: Transaction) -> bytes:
        command = [f"RCPT TO:{format_path(transaction.forward_path)}"]
        if "DSN" in self.features:
            if transaction.notify:
                command.append(f"NOTIFY={_value(','.join(transaction.notify))}")
            if transaction.orcpt:
                orcpt = transaction.orcpt if transaction.needs_utf8 else _ascii_address(transaction.orcpt)
                command.append(f"ORCPT={_value(orcpt)}")
        return " ".join(command).encode() + b"\r\n"

    def _check_size(self, size: int) -> None:
        if self.size_limit and size > self.size_limit:
            raise ContentTooLarge(
                f"The message ({size} bytes) exceeds what the recipient's server accepts ({self.size_limit} bytes):"
                " send fewer or smaller attachments.",
                f"Le message ({size} octets) dépasse ce que le serveur du destinataire accepte ({self.size_limit}"
                " octets) : envoyez moins de pièces jointes, ou de plus petites.",
            )

    def _require(self, feature: str) -> None:
        if feature not in self.features:
            raise FeatureNotOffered(
                f"The recipient's server does not support what this message needs ({feature}).",
                f"Le serveur du destinataire ne prend pas en charge ce dont ce message a besoin ({feature}).",
            )

    def _plan(self, command: str, stage: Stage) -> None:
        if self.closed:
            raise RuntimeError("the connection is closed")
        self._planned.append((command.encode("ascii") + b"\r\n", stage))
        self._write_planned()

    def _write_planned(self) -> None:
        """Write what is planned: all of it where pipelining is offered, else one command an answer."""
        while self._planned and (not self._awaited or "PIPELINING" in self.features):
            command, stage = self._planned.popleft()
            self._out += command
            self._awaited.append(stage)

    @property
    def _envelope_awaited(self) -> bool:
        return bool(self._awaited) and self._awaited[0] in _ENVELOPE

    def _content_expected(self) -> None:
        if not self._in_content:
            raise RuntimeError("no content is wanted now")

    # Replies

    def _read(self, reply: Reply) -> Event | None:
        if self.closed:
            return None  # what follows a refusal or a good-bye means nothing
        stage = self._awaited.popleft() if self._awaited else Stage.NOTHING
        if reply.code == 421 and stage is not Stage.QUIT:
            return self._hung_up(stage, reply)
        match stage:
            case Stage.GREETING:
                return Greeting(reply) if reply.code == 220 else self._refused(stage, reply)
            case Stage.EHLO:
                return self._capabilities(reply) if reply.code == 250 else self._refused(stage, reply)
            case Stage.STARTTLS:
                return self._ready_for_tls() if reply.code == 220 else self._refused(stage, reply)
            case Stage.RSET:
                return None if reply.positive else self._refused(stage, reply)
            case Stage.MAIL | Stage.RCPT | Stage.DATA:
                return self._envelope_answered(stage, reply)
            case Stage.CHUNK | Stage.CONTENT:
                return self._content_answered(stage, reply)
            case Stage.QUIT:
                self.closed = True
                return Closed()
            case Stage.NOTHING:
                return self._unasked(reply)
            case Stage.DISCARDED:
                return None

    def _capabilities(self, reply: Reply) -> Capabilities:
        offered = [line.upper().split() for line in reply.lines[1:]]
        self.features = frozenset(words[0] for words in offered if words)
        sizes = [words[1] for words in offered if len(words) > 1 and words[0] == "SIZE"]
        limit = int(sizes[0]) if sizes and sizes[0].isascii() and sizes[0].isdigit() and len(sizes[0]) <= 20 else 0
        self.size_limit = limit or None  # RFC 1870 §4: zero means no limit told
        return Capabilities(self.features, self.size_limit, reply)

    def _ready_for_tls(self) -> ReadyForTls:
        if self._replies.pending:
            raise _violation("it sent data between its agreement to TLS and the handshake")
        self.features = frozenset()
        return ReadyForTls()

    def _envelope_answered(self, stage: Stage, reply: Reply) -> Event | None:
        done = reply.code == 354 if stage is Stage.DATA else reply.positive
        if not done and not (reply.transient or reply.permanent):
            raise _violation(f"it answered {reply.code} to {stage.value}")
        if not done and self._failure is None:
            self._failure = Outcome(False, stage, reply)
            self._planned.clear()
        if done and stage is Stage.DATA and self._failure:
            # Pipelined, and it wants content for a recipient it refused: RFC 2920 §3.1, a lone dot.
            self._out += b".\r\n"
            self._awaited.append(Stage.DISCARDED)
        elif self._envelope_awaited:
            return None  # the transaction's other answers are still to come
        if self._failure:
            self._must_reset = True
            return self._failure
        if stage is Stage.DATA or (stage is Stage.RCPT and self._chunking):
            self._in_content = True
            return ContentWanted()
        return None

    def _content_answered(self, stage: Stage, reply: Reply) -> Outcome | None:
        if reply.intermediate:
            raise _violation(f"it answered {reply.code} to {stage.value}")
        if stage is Stage.CONTENT:
            return Outcome(reply.positive, stage, reply)
        if reply.positive:
            return None
        # A chunk is refused: the answers to those already sent after it mean nothing (RFC 3030 §2).
        self._in_content = False
        self._must_reset = True
        self._awaited = deque(Stage.DISCARDED for _ in self._awaited)
        return Outcome(False, stage, reply)

    def _unasked(self, reply: Reply) -> Event:
        """A reply to nothing: in mid-content a refusal is believed, an acceptance never is."""
        if self._in_content and reply.code >= 400:
            return self._hung_up(Stage.CONTENT, reply)
        raise _violation(f"it sent a reply ({reply.code}) to no command")

    def _refused(self, stage: Stage, reply: Reply) -> Refused:
        self.closed = True
        return Refused(stage, reply)

    def _hung_up(self, stage: Stage, reply: Reply) -> Outcome | Refused:
        """The server stops here (421), or refuses in mid-content, after which nothing can be told apart."""
        self.closed = True
        if self._in_content:
            self._in_content = False
            return Outcome(False, Stage.CONTENT, reply)
        if stage in _ENVELOPE | {Stage.CHUNK, Stage.CONTENT}:
            return self._failure or Outcome(False, stage, reply)
        return Refused(stage, reply)


def _value(value: str) -> str:
    if not _VALUE.fullmatch(value):
        raise UnsafeParameter(
            "A delivery option of this message cannot be written in SMTP.",
            "Une option de remise de ce message ne peut pas s'écrire en SMTP.",
        )
    return value


def _ascii_address(address: str) -> str:
    """An original recipient in its ASCII form (RFC 6533 §3, utf-8-addr-xtext)."""
    return "".join(c if c.isascii() else f"\\x{{{ord(c):X}}}" for c in address)


def _violation(what: str) -> ProtocolViolation:
    return ProtocolViolation(
        f"The recipient's server does not speak SMTP as it must: {what}. Its operator must look into it.",
        f"Le serveur du destinataire ne suit pas le protocole SMTP ({what}). Son opérateur doit s'en occuper.",
    )
