"""What the SMTP client machine takes and tells: a transaction to do, events, and the facts that stop it.

RFC 5321 §3.3, §4.2; RFC 3461 §4.
"""

from dataclasses import dataclass
from enum import Enum

from vaguemestre.errors import VaguemestreError
from vaguemestre.protocols.smtp.addresses import Address, format_path
from vaguemestre.protocols.smtp.replies import Reply, ReplyError


class ProtocolViolation(ReplyError):
    """The server's replies, each well formed, do not follow the protocol: believe nothing on this connection."""


class TlsNotOffered(VaguemestreError):
    """The server does not offer STARTTLS: nothing may be sent to it."""


class FeatureNotOffered(VaguemestreError):
    """The message needs an extension that the server does not offer: it can never be sent there as it is."""


class ContentTooLarge(VaguemestreError):
    """The message exceeds what the server says that it accepts."""


class UnsafeParameter(VaguemestreError):
    """A delivery option holds characters that would change the meaning of a command."""


class ConnectionCut(VaguemestreError):
    """The server closed the connection while its answer was awaited; the message must be tried again."""


class Stage(Enum):
    """What a reply answers."""

    GREETING = "the connection"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    RSET = "RSET"
    MAIL = "MAIL FROM"
    RCPT = "RCPT TO"
    DATA = "DATA"
    CHUNK = "BDAT"
    CONTENT = "the content"
    QUIT = "QUIT"
    NOTHING = "no command"
    DISCARDED = "a command of an abandoned transaction"


@dataclass(frozen=True, slots=True)
class Greeting:
    """The server is there."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the server offers: keywords in capitals, and the largest content in bytes (None: no limit told)."""

    features: frozenset[str]
    size: int | None
    reply: Reply


@dataclass(frozen=True, slots=True)
class ReadyForTls:
    """The server awaits the TLS handshake."""


@dataclass(frozen=True, slots=True)
class ContentWanted:
    """The envelope is accepted: send the content."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a transaction: what the server decided, at which stage, in its own words."""

    accepted: bool
    stage: Stage
    reply: Reply

    @property
    def diagnostic(self) -> str:
        """The reply on one line, as `Diagnostic-Code: smtp;` takes it (RFC 3464 §2.3.6)."""
        return " ".join(part for part in (str(self.reply.code), self.reply.enhanced, self.reply.text) if part)


@dataclass(frozen=True, slots=True)
class Refused:
    """The server refuses the conversation itself; the connection is of no more use."""

    stage: Stage
    reply: Reply


@dataclass(frozen=True, slots=True)
class Closed:
    """The server said good-bye."""


Event = Greeting | Capabilities | ReadyForTls | ContentWanted | Outcome | Refused | Closed


@dataclass(frozen=True, slots=True)
class Transaction:
    """One message to one recipient.

    The reverse-path is None for a notification. `size` is the exact content size in
    bytes. `eight_bit`: the content has bytes above 127; `utf8_headers`: its header has. `notify`, `orcpt`, `ret` and
    `envid` are the values of RFC 3461 as they stand on the wire (xtext); they are left out where DSN is not offered.
    """

    reverse_path: Address | None
    forward_path: Address
    size: int
    eight_bit: bool = False
    utf8_headers: bool = False
    notify: tuple[str, ...] = ()
    orcpt: str | None = None
    ret: str | None = None
    envid: str | None = None

    @property
    def needs_utf8(self) -> bool:
        """Whether only a server with SMTPUTF8 can take it."""
        paths = format_path(self.reverse_path) + format_path(self.forward_path)
        return self.utf8_headers or not paths.isascii()
