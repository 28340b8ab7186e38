r"""Dialogues kept in files: what a client says and a server answers, for a machine alone or a server over a socket.

    C: a1 NOOP           sent with CRLF; lines that follow one another are sent at once
    C~ hello\r\n         sent with Python escapes, and nothing added
    S: a1 OK…            comes, in this order; `…` stands for any text
    S! * BYE             no line of this turn begins so
    ** closed            the server ends the connection
    ! option=value       how to set the server up
    # comment

A server may say more than the file expects: untagged lines that match none of those that are due are passed over, except
that a tagged line or a continuation always must match. `$USER`, `$PASSWORD` and `$PLAIN` (the base64 of SASL PLAIN) stand
for an account that is there and has nothing yet; `#USER` and `#PASSWORD` for how many octets those have.
"""

import codecs
import re
from base64 import b64encode
from dataclasses import dataclass, field, replace
from pathlib import Path

from vaguemestre.protocols.imap.standing import Limits

USER, PASSWORD = "anne@b.example", "sesame"


@dataclass
class Turn:
    said: bytes
    due: list[str] = field(default_factory=list)
    barred: list[str] = field(default_factory=list)

    def check(self, heard: bytes) -> None:
        """Fails unless this is what the server may have answered, all of it."""
        lines = heard.split(b"\r\n")
        assert lines.pop() == b"", (self.said, heard)
        due = list(self.due)
        for line in lines:
            self.hear(line, due)
        assert not due, (self.said, lines, due)

    def hear(self, octets: bytes, due: list[str]) -> None:
        """Fails unless the server may say this line, without its CRLF, now; takes it off what is still due."""
        line = octets.decode("utf-8", "backslashreplace")
        assert not line.startswith(tuple(self.barred)), (self.said, line)
        if due and matches(due[0], line):
            due.pop(0)
        else:
            assert not _must_match(line), (self.said, line, due)


@dataclass
class Dialogue:
    name: str
    options: dict[str, str] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)
    closed: bool = False

    @property
    def limits(self) -> Limits:
        """What it may cost: as servers have it but for the options named first.…, then.… and as in Limits."""
        limits = Limits()
        for name, value in self.options.items():
            when, _, what = name.partition(".")
            if what:
                limits = replace(limits, **{when: replace(getattr(limits, when), **{what: int(value)})})
            elif name in Limits.__slots__:
                limits = replace(limits, **{name: int(value)})
        return limits

    @property
    def over_tls(self) -> bool:
        """Whether TLS comes first."""
        return self.options.get("tls", "yes") == "yes"


def _must_match(line: str) -> bool:
    """A tagged line or a continuation, and not the content of a literal."""
    return line.startswith("+ ") or re.match(r"[^ *]+ (OK|NO|BAD)\b", line) is not None


def matches(expected: str, got: str) -> bool:
    """Is `got` as expected, `…` standing for anything?"""
    return re.fullmatch(".*".join(map(re.escape, expected.split("…"))), got) is not None


def read(path: Path, user: str = USER, password: str = PASSWORD) -> Dialogue:
    """The dialogue in this file, had with somebody."""
    dialogue = Dialogue(path.stem)
    plain = b64encode(f"\0{user}\0{password}".encode()).decode()
    words = {"$USER": user, "$PASSWORD": password, "$PLAIN": plain, "#USER": len(user), "#PASSWORD": len(password)}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        mark, text = line[:2], line[3:]
        if mark in ("C:", "C~"):
            for word, meant in words.items():
                text = text.replace(word, str(meant))
            said = text.encode() + b"\r\n" if mark == "C:" else escaped(text)
            if dialogue.turns and not dialogue.turns[-1].due and not dialogue.turns[-1].barred:
                dialogue.turns[-1].said += said
            else:
                dialogue.turns.append(Turn(said))
        elif mark == "S:":
            dialogue.turns[-1].due.append(text)
        elif mark == "S!":
            dialogue.turns[-1].barred.append(text)
        elif line == "** closed":
            dialogue.closed = True
        elif mark == "! ":
            option, _, value = line[2:].partition("=")
            dialogue.options[option] = value
        else:
            assert not line or line.startswith("#"), f"{path.name}:{number}: {line}"
    return dialogue


def escaped(text: str) -> bytes:
    """The octets that Python escapes in `text` stand for."""
    return codecs.escape_decode(text.encode())[0]  # type: ignore[attr-defined,no-any-return]
