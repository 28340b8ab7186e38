"""Every dialogue gives the same answers and events however its octets are cut."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_server import SmallServer

from simulators import dialogue as dialogues
from simulators.dialogue import Dialogue
from vaguemestre.protocols.imap.server import ServerConnection

DIALOGUES = [dialogues.read(path) for path in sorted(Path(__file__).parent.glob("*.dialogue"))]
# Whether anything follows STARTTLS or COMPRESS can only be told from what has come already: these are about timing.
UNTIMED = [dialogue for dialogue in DIALOGUES if "timing" not in dialogue.options]


def server(dialogue: Dialogue) -> SmallServer:
    machine = ServerConnection(dialogue.limits, tls_active=dialogue.over_tls)
    if "signed-in" in dialogue.options:
        machine.authenticated()
    return SmallServer(machine)


def play(dialogue: Dialogue, cuts: list[int] | None = None) -> SmallServer:
    """Says each turn cut into pieces of the given sizes (used round and round; None is whole)."""
    played = server(dialogue)
    piece = 0
    for turn in dialogue.turns:
        played.sent.clear()
        start = 0
        while start < len(turn.said):
            size = len(turn.said) if cuts is None else cuts[piece % len(cuts)]
            piece += 1
            played.feed(turn.said[start : start + size])
            start += size
        turn.check(bytes(played.sent))
    assert played.machine.closed == dialogue.closed
    return played


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda dialogue: dialogue.name)
def test_dialogue_goes_as_written(dialogue: Dialogue) -> None:
    play(dialogue)


@pytest.mark.parametrize("dialogue", UNTIMED, ids=lambda dialogue: dialogue.name)
def test_dialogue_is_the_same_octet_by_octet(dialogue: Dialogue) -> None:
    assert play(dialogue, [1]).log == play(dialogue).log


@settings(max_examples=150)
@given(dialogue=st.sampled_from(UNTIMED), cuts=st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_dialogue_is_the_same_under_any_cutting(dialogue: Dialogue, cuts: list[int]) -> None:
    assert play(dialogue, cuts).log == play(dialogue).log
