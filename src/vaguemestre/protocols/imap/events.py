"""What a server's connection tells its caller, in the order it happened.

What stays true: content of APPEND passes through and is never kept; what follows a command that turns the session (or
a literal to be accepted) is not read before the caller has answered.

RFC 9051 §2.2 and §6.3.12; RFC 3502 (MULTIAPPEND); RFC 4469 (CATENATE); RFC 2177 (IDLE); RFC 9051 §6.2.2 (AUTHENTICATE).
"""

from enum import Enum

import msgspec

from vaguemestre.protocols.imap import commands
from vaguemestre.protocols.imap.faults import ClientError


class Wait(Enum):
    """Why there is no event."""

    NEED_DATA = "need data"
    PAUSED = "paused"


NEED_DATA = Wait.NEED_DATA
"""Nothing more until `receive_data`."""
PAUSED = Wait.PAUSED
"""Nothing more until the caller has answered what turns the session; or never again, once it is `closed`."""


class Command(msgspec.Struct, frozen=True):
    """A whole command. Answer: any untagged responses, then the tagged one, then `answered()`."""

    tag: bytes
    command: commands.Command


# ---- AUTHENTICATE


class SaslResponse(msgspec.Struct, frozen=True):
    """The client's answer to `challenge()`, decoded. Answer: another `challenge()`, or the tagged one and `answered()`."""

    tag: bytes
    data: bytes


class SaslCancelled(msgspec.Struct, frozen=True):
    """The client gives up with `*`. Answer: tagged BAD and `answered()`."""

    tag: bytes


# ---- IDLE


class IdleDone(msgspec.Struct, frozen=True):
    """DONE came. Answer: tagged OK."""

    tag: bytes


# ---- APPEND
# AppendStarts, then for each message AppendMessage, its parts, AppendMessageEnds; then AppendEnds. A part is AppendLiteral
# and its AppendContent, or AppendUrl; only CATENATE has more than one. At any of these the caller may `refuse_append()`;
# then, as after a Rejected, nothing more of this APPEND comes.


class AppendStarts(msgspec.Struct, frozen=True):
    """No answer needed; the mailbox need not exist."""

    tag: bytes
    mailbox: str


class AppendMessage(msgspec.Struct, frozen=True):
    """`date`, the INTERNALDATE asked for, in Unix milliseconds; `catenated`: made of parts (RFC 4469). No answer."""

    flags: frozenset[str]
    date: int | None = None
    catenated: bool = False


class AppendLiteral(msgspec.Struct, frozen=True):
    """`size` octets are offered. Answer: `accept_literal()` or `refuse_append()`.

    `waiting`: the client sends them only once they are accepted. `binary`: a literal8, which may hold NUL (RFC 3516);
    `utf8`: its headers may hold UTF-8 (RFC 6855 §4).
    """

    size: int
    waiting: bool = True
    binary: bool = False
    utf8: bool = False


class AppendContent(msgspec.Struct, frozen=True):
    """The next octets of the literal. No answer. NUL may be among them whatever was announced: a message that somebody
    else's server kept so is not to be lost; `values.without_nul` when it is written."""

    data: bytes


class AppendUrl(msgspec.Struct, frozen=True):
    """A part to be taken from elsewhere in the mailstore (RFC 4469, RFC 5092). No answer, or `refuse_append()`."""

    url: str


class AppendMessageEnds(msgspec.Struct, frozen=True):
    """All parts of the message came."""


class AppendEnds(msgspec.Struct, frozen=True):
    """The command is complete. Answer: the tagged one and `answered()`."""

    tag: bytes


# ---- refusals of the machine


class Rejected(msgspec.Struct, frozen=True):
    """The machine has refused a command: `data_to_send` holds its tagged answer. An APPEND, AUTHENTICATE or IDLE under
    way is over. `tag` is empty where it could not be read; `name` where there is no such command, else as in the grammar."""

    tag: bytes
    fact: ClientError
    name: bytes = b""


class Violation(msgspec.Struct, frozen=True):
    """The client can no longer be followed safely: `data_to_send` holds a BYE, and the connection is `closed`."""

    fact: ClientError


Event = (
    Command
    | SaslResponse
    | SaslCancelled
    | IdleDone
    | AppendStarts
    | AppendMessage
    | AppendLiteral
    | AppendContent
    | AppendUrl
    | AppendMessageEnds
    | AppendEnds
    | Rejected
    | Violation
)
