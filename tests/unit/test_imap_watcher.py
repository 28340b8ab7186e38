"""The checker of the IMAP stress notices each kind of wrong: it would say nothing of a server that is."""

import pytest

from simulators.imap_answers import Answer, Untagged, read_answer
from simulators.imap_peer import Selected
from simulators.imap_stress import Ledger, Watcher


class Puppet:
    """A session whose server says what a test wants."""

    def __init__(self, *lines: str) -> None:
        self.heard = lambda told: None
        self._first = lines

    def ok(self, *parts: str | bytes) -> Answer:
        return Answer("OK")

    def select(self, mailbox: str, parameters: str) -> Selected:
        self.say(*self._first)
        return Selected(exists=3, uid_validity=1)

    def command(self, *parts: str | bytes) -> Answer:
        return Answer("OK")

    def say(self, *lines: str) -> None:
        for line in lines:
            _, told = read_answer(line.encode() + b"\r\n")
            assert isinstance(told, Untagged)
            self.heard(told)


def watched(*, qresync: bool = False) -> tuple[Puppet, Watcher]:
    """Three messages, UIDs 1, 5 and 9, at MODSEQ 10."""
    puppet = Puppet("* 3 EXISTS")
    watcher = Watcher(puppet, Ledger(), qresync=qresync)  # type: ignore[arg-type]
    for number, uid in enumerate((1, 5, 9), 1):
        puppet.say(f"* {number} FETCH (UID {uid} FLAGS () MODSEQ (10) BODY[HEADER] {{13}}\r\nSubject: n{uid}\r\n)")
    return puppet, watcher


@pytest.mark.parametrize(
    "lines",
    [
        ["* 2 EXISTS"],
        ["* 4 EXPUNGE"],
        ["* 0 EXPUNGE"],
        ["* VANISHED 5"],
        ["* 4 FETCH (UID 12)"],
        ["* 2 FETCH (UID 6)"],
        ["* 1 EXPUNGE", "* 1 FETCH (UID 1)"],
        ["* 4 EXISTS", "* 4 FETCH (UID 9)"],
        ["* 4 EXISTS", "* 4 FETCH (UID 3)"],
        ["* 2 FETCH (MODSEQ (9))"],
        ["* 2 FETCH (UID 5 BODY[HEADER] {13}\r\nSubject: xx\r\n)"],
    ],
)
def test_what_may_not_be_is_noticed(lines: list[str]) -> None:
    puppet, _ = watched()
    with pytest.raises(AssertionError):
        puppet.say(*lines)


@pytest.mark.parametrize("lines", [["* 1 EXPUNGE"], ["* VANISHED 4"], ["* VANISHED 10"]])
def test_so_it_is_once_qresync_is_enabled(lines: list[str]) -> None:
    puppet, _ = watched(qresync=True)
    with pytest.raises(AssertionError):
        puppet.say(*lines)


@pytest.mark.parametrize("verb", ["FETCH", "STORE", "SEARCH"])
@pytest.mark.parametrize("qresync", [True, False])
def test_no_expunge_while_numbers_are_meant(verb: str, *, qresync: bool) -> None:
    puppet, watcher = watched(qresync=qresync)
    watcher._verb = verb
    with pytest.raises(AssertionError):
        puppet.say("* VANISHED 5" if qresync else "* 2 EXPUNGE")
    watcher._verb = f"UID {verb}"
    puppet.say("* VANISHED 5" if qresync else "* 2 EXPUNGE")
    assert watcher.known() == [1, 9]


def test_a_uid_given_twice_is_noticed() -> None:
    ledger = Ledger()
    ledger.promise(3, "a")
    with pytest.raises(AssertionError):
        ledger.promise(3, "b")


def test_a_vanished_message_of_unknown_uid_is_found_by_its_neighbours() -> None:
    puppet, watcher = watched(qresync=True)
    puppet.say("* 5 EXISTS", "* 5 FETCH (UID 20)", "* VANISHED 15")
    assert watcher.known() == [1, 5, 9, 20]
    assert len(watcher.view) == 4
