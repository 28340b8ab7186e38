r"""SMTP dialogues kept in files: what a client says and a server replies, for a machine alone or a server over a socket.

    -> NOOP              sent with CRLF; lines that follow one another are sent at once
    ~> hello\r\n         sent with Python escapes, and nothing added
    <- 250 2.0.0 OK      a reply line; a final `…` stands for any rest
    == Bonjour\r\n       an acknowledged message, with escapes
    ** closed            the end comes
    ! option=value       sets the machine up, as one for submission where `mechanisms` are given
    ! socket=no          only for the machine: a comment says why
    # comment

`$PLAIN` stands for the base64 of SASL PLAIN of anne, who is there.
"""

import codecs
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path

from vaguemestre.protocols.smtp.server import Limits, ServerConnection
from vaguemestre.protocols.smtp.submission import LINE, SubmissionConnection

HOST = "mx.b.example"


@dataclass
class Dialogue:
    """`turns`: what is sent, and the reply lines it causes."""

    options: dict[str, int] = field(default_factory=dict)
    tls_active: bool = True
    tls_required: bool = True
    mechanisms: tuple[str, ...] = ()
    socket: bool = True
    turns: list[tuple[bytes, list[str]]] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    closed: bool = False

    @property
    def limits(self) -> Limits:
        """What the connection may cost."""
        return Limits(**({"command_line": LINE, **self.options} if self.mechanisms else self.options))

    def machine(self) -> ServerConnection:
        """A machine to have it with."""
        if self.mechanisms:
            return SubmissionConnection(HOST, self.mechanisms, self.limits, tls_active=self.tls_active)
        return ServerConnection(HOST, self.limits, tls_required=self.tls_required, tls_active=self.tls_active)


def read(path: Path, user: str = "anne", password: str = "sesame") -> Dialogue:
    """The dialogue in this file, had with anne under this name."""
    dialogue = Dialogue()
    plain = b64encode(f"\0{user}\0{password}".encode()).decode()
    for line in path.read_text().splitlines():
        mark, text = line[:3], line[3:].replace("$PLAIN", plain)
        if mark in ("-> ", "~> ", "->"):
            data = escaped(text) if mark == "~> " else text.encode() + b"\r\n"
            if dialogue.turns and not dialogue.turns[-1][1]:
                data = dialogue.turns.pop()[0] + data
            dialogue.turns.append((data, []))
        elif mark == "<- ":
            dialogue.turns[-1][1].append(text)
        elif mark == "== ":
            dialogue.messages.append(escaped(text))
        elif mark == "** ":
            dialogue.closed = True
        elif mark.startswith("! "):
            option, _, value = line[2:].partition("=")
            if option in ("tls_active", "tls_required", "socket"):
                setattr(dialogue, option, value == "yes")
            elif option == "mechanisms":
                dialogue.mechanisms = tuple(value.split())
            else:
                dialogue.options[option] = int(value)
        else:
            assert not line or line.startswith("#"), line
    return dialogue


def matches(expected: str, got: str) -> bool:
    """Is a reply line as expected?"""
    return got.startswith(expected[:-1]) if expected.endswith("…") else got == expected


def escaped(text: str) -> bytes:
    """The octets that Python escapes in `text` stand for."""
    return codecs.escape_decode(text.encode())[0]  # type: ignore[attr-defined,no-any-return]
