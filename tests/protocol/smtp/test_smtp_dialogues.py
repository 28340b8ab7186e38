"""Every dialogue in `dialogues/` gives the same replies, events and messages however its octets are cut.

`-> ` sends a line with CRLF, `~> ` sends octets with Python escapes and no CRLF, `<- ` expects a reply line (a final
`…` stands for any rest), `== ` expects an acknowledged message (with escapes), `** closed` expects the end.
`! option=value` sets the machine up, as one for submission where `mechanisms` are given; `# ` is a comment.
"""

import codecs
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_caller import ScriptedCaller

from vaguemestre.protocols.smtp.server import Limits, ServerConnection
from vaguemestre.protocols.smtp.submission import LINE, SubmissionConnection

DIALOGUES = sorted((Path(__file__).parent / "dialogues").glob("*.txt"))


@dataclass
class Dialogue:
    limits: dict[str, int] = field(default_factory=dict)
    tls_active: bool = True
    tls_required: bool = True
    mechanisms: tuple[str, ...] = ()
    turns: list[tuple[bytes, list[str]]] = field(default_factory=list)  # what is sent, the reply lines it causes
    messages: list[bytes] = field(default_factory=list)
    closed: bool = False

    def machine(self) -> ServerConnection:
        if self.mechanisms:
            limits = Limits(**{"command_line": LINE, **self.limits})
            return SubmissionConnection("mx.b.example", self.mechanisms, limits, tls_active=self.tls_active)
        limits = Limits(**self.limits)
        return ServerConnection("mx.b.example", limits, tls_required=self.tls_required, tls_active=self.tls_active)


def escaped(text: str) -> bytes:
    return codecs.escape_decode(text.encode())[0]  # type: ignore[attr-defined,no-any-return]


def read_dialogue(path: Path) -> Dialogue:
    dialogue = Dialogue()
    for line in path.read_text().splitlines():
        mark, text = line[:3], line[3:]
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
            if option.startswith("tls"):
                setattr(dialogue, option, value == "yes")
            elif option == "mechanisms":
                dialogue.mechanisms = tuple(value.split())
            else:
                dialogue.limits[option] = int(value)
        else:
            assert not line or line.startswith("#"), line
    return dialogue


def matches(expected: str, got: str) -> bool:
    return got.startswith(expected[:-1]) if expected.endswith("…") else got == expected


def play(dialogue: Dialogue, cuts: list[int] | None = None) -> ScriptedCaller:
    """Feeds each turn cut into pieces of the given sizes (used round and round; None is whole)."""
    caller = ScriptedCaller(dialogue.machine())
    turn = 0
    for data, expected in dialogue.turns:
        caller.sent.clear()
        start = 0
        while start < len(data):
            size = len(data) if cuts is None else cuts[turn % len(cuts)]
            turn += 1
            caller.feed(data[start : start + size])
            start += size
        got = caller.sent.decode("ascii").split("\r\n")
        assert got.pop() == ""
        assert len(got) == len(expected), (data, got, expected)
        assert all(map(matches, expected, got)), (data, got, expected)
    assert caller.messages == dialogue.messages
    assert caller.machine.closed == dialogue.closed
    return caller


@pytest.mark.parametrize("path", DIALOGUES, ids=lambda path: path.stem)
def test_dialogue_goes_as_written(path: Path) -> None:
    play(read_dialogue(path))


# Whether plaintext follows STARTTLS can only be told from what has come already: this one is about timing.
UNTIMED = [path for path in DIALOGUES if path.stem != "starttls-injection"]


@pytest.mark.parametrize("path", UNTIMED, ids=lambda path: path.stem)
def test_dialogue_is_the_same_octet_by_octet(path: Path) -> None:
    dialogue = read_dialogue(path)
    assert play(dialogue, [1]).log == play(dialogue).log


@settings(max_examples=120, deadline=None)
@given(path=st.sampled_from(UNTIMED), cuts=st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_dialogue_is_the_same_under_any_cutting(path: Path, cuts: list[int]) -> None:
    dialogue = read_dialogue(path)
    assert play(dialogue, cuts).log == play(dialogue).log
