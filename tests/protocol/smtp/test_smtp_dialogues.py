"""Every dialogue in `dialogues/` gives the same replies, events and messages however its octets are cut.

How they are written: `simulators.smtp_dialogue`.
"""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_caller import ScriptedCaller

from simulators.smtp_dialogue import Dialogue, matches
from simulators.smtp_dialogue import read as read_dialogue

DIALOGUES = sorted((Path(__file__).parent / "dialogues").glob("*.txt"))


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
