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
for an account that is there.
"""

import codecs
import re
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path

USER, PASSWORD = "anne@b.example", "sesame"


@dataclass
class Turn:
    said: bytes
    due: list[str] = field(default_factory=list)
    barred: list[str] = field(default_factory=list)

    def check(self, heard: bytes) -> None:
        """Fails unless this is what the server may have answered."""
        lines = heard.decode("utf-8", "backslashreplace").split("\r\n")
        assert lines.pop() == "", (self.said, heard)
        due = list(self.due)
        for line in lines:
            assert not line.startswith(tuple(self.barred)), (self.said, line)
            if due and matches(due[0], line):
                due.pop(0)
            else:
                assert not self.must_match(line), (self.said, line, due)
        assert not due, (self.said, lines, due)

    def must_match(self, line: str) -> bool:
        """A tagged line or a continuation, and not the content of a literal."""
        return line.startswith("+ ") or re.match(r"[^ *]+ (OK|NO|BAD)\b", line) is not None


@dataclass
class Dialogue:
    name: str
    options: dict[str, str] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)
    closed: bool = False


def matches(expected: str, got: str) -> bool:
    """Is `got` as expected, `…` standing for anything?"""
    return re.fullmatch(".*".join(map(re.escape, expected.split("…"))), got) is not None


def read(path: Path) -> Dialogue:
    """The dialogue in this file."""
    dialogue = Dialogue(path.stem)
    plain = b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        mark, text = line[:2], line[3:]
        if mark in ("C:", "C~"):
            text = text.replace("$USER", USER).replace("$PASSWORD", PASSWORD).replace("$PLAIN", plain)
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
