"""What a server's connection tells its caller, in the order it happened.

What stays true: every event that needs an answer is answered once before the next one appears; the caller never sees
content that breaks a rule as if it were whole.

RFC 5321 §4.1; RFC 3207; RFC 3030; RFC 4954.
"""

from dataclasses import dataclass, field
from enum import Enum

from vaguemestre.protocols.smtp.commands import Mail, Rcpt
from vaguemestre.protocols.smtp.faults import ContentError, PeerError
from vaguemestre.protocols.smtp.replies import Reply


class Wait(Enum):
    """Why there is no event."""

    NEED_DATA = "need data"
    PAUSED = "paused"


NEED_DATA = Wait.NEED_DATA
"""Nothing more until `receive_data`."""
PAUSED = Wait.PAUSED
"""Nothing more until the last event is answered; or never again, once the connection is `closed`."""


@dataclass(frozen=True, slots=True)
class Hello:
    """EHLO (`extended`) or HELO; any transaction under way is over. Answer: `accept_hello()` or a refusal."""

    extended: bool
    name: str


@dataclass(frozen=True, slots=True)
class StartTls:
    """Answer 220, do the handshake, then call `tls_started()`; or a refusal."""


@dataclass(frozen=True, slots=True)
class Authenticate:
    """AUTH: sign-in begins, by a mechanism that is offered. Answer: `challenge()`, 235, or a refusal.

    `initial_response` is decoded; None where there was none.
    """

    mechanism: str
    initial_response: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SaslResponse:
    """The client's answer to `challenge()`, decoded. Answer: another `challenge()`, 235, or a refusal."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class MailFrom:
    """A transaction wants to begin. Answer: 250 or a refusal."""

    command: Mail


@dataclass(frozen=True, slots=True)
class RcptTo:
    """A recipient is offered. Answer: 250 or a refusal of this one."""

    command: Rcpt


@dataclass(frozen=True, slots=True)
class ContentStarts:
    """DATA, or the first BDAT (`chunked`). Answer: `accept_content()` or a refusal, which ends the transaction."""

    chunked: bool


@dataclass(frozen=True, slots=True)
class Content:
    """The next octets of the message, dots removed. No answer."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ContentEnds:
    """The message came whole, `size` octets of it admitted. Answer for all recipients; the transaction ends.

    With a `fault` the content is not to be kept and only a refusal may be answered: `refusal` is the one to send.
    """

    size: int
    fault: ContentError | None = None
    refusal: Reply | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """RSET; any transaction under way is over. Answer: 250."""


@dataclass(frozen=True, slots=True)
class Quit:
    """QUIT. Answer: 221; the connection is then `closed`."""


@dataclass(frozen=True, slots=True)
class Answered:
    """Something that needs no decision (NOOP, VRFY, HELP, a BDAT chunk that came whole). Answer: `reply`."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Rejected:
    """The machine refuses a command: syntax, sequence, limits, no TLS. Answer: `reply`."""

    fact: PeerError
    reply: Reply


@dataclass(frozen=True, slots=True)
class Violation:
    """The peer can no longer be followed safely. Answer: `reply`; the connection is then `closed`."""

    fact: PeerError
    reply: Reply


Event = (
    Hello
    | StartTls
    | Authenticate
    | SaslResponse
    | MailFrom
    | RcptTo
    | ContentStarts
    | Content
    | ContentEnds
    | Reset
    | Quit
    | Answered
    | Rejected
    | Violation
)
