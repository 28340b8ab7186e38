"""Where reading is each person's own, what one has seen is unseen to the others; all else is shared."""

import pytest
from tests.simulators.mailbox import ADDRESS, Box

from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Event
from vaguemestre.mailstore import accounts
from vaguemestre.mailstore.changes import Reading
from vaguemestre.mailstore.flags import Change
from vaguemestre.mailstore.model import Flag
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database

ANNE, PAUL, NOBODY = 7, 8, 0


@pytest.fixture
def box(database: Database, blob_store: BlobStore) -> Box:
    """A practice where each reads for themselves, with four messages."""
    box = Box(database, blob_store, own_reading=True)
    box.append(count=4)
    return box


def seen(box: Box, reader: int, mailbox: str = "INBOX") -> list[int]:
    """UIDs that a reader has seen; the count of those they have not agrees."""
    placed = box.placed(mailbox, reader)
    found = [each.uid for each in placed if each.flags & Flag.SEEN]
    assert box.mailbox(mailbox, reader).unseen == len(placed) - len(found)
    return found


def test_what_one_has_seen_is_unseen_to_the_others(box: Box) -> None:
    changed = box.change([1, 3], Change.ADD, Flag.SEEN, reader=ANNE)
    assert [each.flags for each in changed.changed] == [Flag.SEEN, Flag.SEEN]
    assert (seen(box, ANNE), seen(box, PAUL), seen(box, NOBODY)) == ([1, 3], [], [])
    box.change([3], Change.REMOVE, Flag.SEEN, reader=ANNE)
    assert seen(box, ANNE) == [1]
    assert box.anomalies() == {}


def test_other_flags_and_keywords_are_everybodys(box: Box) -> None:
    box.change([2], Change.REPLACE, Flag.FLAGGED | Flag.SEEN, "x", reader=ANNE)
    assert [(each.flags, each.keywords) for each in box.placed(reader=PAUL)][1] == (Flag.FLAGGED, "x")
    assert [(each.flags, each.keywords) for each in box.placed(reader=ANNE)][1] == (Flag.FLAGGED | Flag.SEEN, "x")
    box.change([2], Change.REPLACE, Flag.DELETED, reader=PAUL)
    assert [(each.flags, each.keywords) for each in box.placed(reader=ANNE)][1] == (Flag.DELETED | Flag.SEEN, "")
    assert box.mailbox("INBOX").deleted == 1


def test_what_was_seen_before_the_message_came_is_seen_by_all_until_they_say_otherwise(box: Box) -> None:
    box.append(flags=Flag.SEEN)
    assert seen(box, ANNE) == seen(box, PAUL) == [5]
    box.change([5], Change.REMOVE, Flag.SEEN, reader=PAUL)
    assert (seen(box, ANNE), seen(box, PAUL)) == ([5], [])


def test_a_change_in_nobodys_name_is_everybodys(box: Box) -> None:
    box.change([1], Change.ADD, Flag.SEEN, reader=ANNE)
    box.change([1, 2], Change.ADD, Flag.SEEN)
    assert seen(box, ANNE) == seen(box, PAUL) == [1, 2]
    box.change([1], Change.REMOVE, Flag.SEEN)
    assert seen(box, ANNE) == seen(box, PAUL) == [2]
    assert box.anomalies() == {}


def test_seeing_again_changes_nothing(box: Box) -> None:
    box.change([1], Change.ADD, Flag.SEEN, reader=ANNE)
    before = box.mailbox("INBOX").modseq
    assert box.change([1], Change.ADD, Flag.SEEN, reader=ANNE).changed == []
    assert box.change([2], Change.REMOVE, Flag.SEEN, reader=ANNE).changed == []
    assert box.mailbox("INBOX").modseq == before


def test_another_device_of_the_person_hears_since(box: Box) -> None:
    modseq = box.mailbox("INBOX").modseq
    box.change([1], Change.ADD, Flag.SEEN, reader=ANNE)
    assert [(each.uid, each.flags) for each in box.since(modseq, reader=ANNE)[0]] == [(1, Flag.SEEN)]
    assert [(each.uid, each.flags) for each in box.since(modseq, reader=PAUL)[0]] == [(1, 0)]


def test_what_is_told_says_whose_reading_changed(box: Box) -> None:
    box.facts.clear()
    box.change([1, 2], Change.ADD, Flag.SEEN, reader=ANNE)
    box.change([1], Change.ADD, Flag.FLAGGED | Flag.SEEN, reader=PAUL)
    own, shared = box.told()
    assert (own.reader, own.readings) == (ANNE, (Reading(ANNE, 1, True), Reading(ANNE, 2, True)))
    assert [each.flags for each in own.placed] == [0, 0]
    assert (shared.reader, set(shared.readings)) == (NOBODY, {Reading(ANNE, 1, True), Reading(PAUL, 1, True)})
    for reader in (ANNE, PAUL):
        assert [each.flags for each in shared.for_reader(reader)] == [Flag.FLAGGED | Flag.SEEN]
    assert [each.flags for each in shared.for_reader(NOBODY)] == [Flag.FLAGGED]


@pytest.mark.parametrize("verb", ["copy", "move"])
def test_a_copy_is_seen_by_those_who_saw_the_original(box: Box, verb: str) -> None:
    box.create("a")
    box.append(flags=Flag.SEEN)
    box.change([1, 2], Change.ADD, Flag.SEEN, reader=ANNE)
    box.change([5], Change.REMOVE, Flag.SEEN, reader=PAUL)
    box.facts.clear()
    getattr(box, verb)([2, 3, 5], "a")
    assert (seen(box, ANNE, "a"), seen(box, PAUL, "a")) == ([1, 3], [])
    (told,) = box.told("a")
    assert [each.flags & Flag.SEEN for each in told.for_reader(ANNE)] == [1, 0, 1]
    assert [each.flags & Flag.SEEN for each in told.for_reader(PAUL)] == [0, 0, 0]
    assert box.anomalies() == {}


def test_what_was_kept_goes_with_the_message_and_the_mailbox(box: Box) -> None:
    box.create("a")
    box.copy([1, 2], "a")
    for mailbox in ("INBOX", "a"):
        box.change([1, 2], Change.ADD, Flag.SEEN, mailbox=mailbox, reader=ANNE)
    box.expunge([1])
    assert seen(box, ANNE) == [2]
    box.delete("a")
    assert box.anomalies() == {}


def test_reading_becomes_everybodys_again(box: Box) -> None:
    box.change([1, 2], Change.ADD, Flag.SEEN, reader=ANNE)
    box.change([3], Change.ADD, Flag.SEEN)
    modseq, then = box.mailbox("INBOX").modseq, box.placed(reader=ANNE)
    box.facts.clear()
    account = box.database.write(accounts.change_own_reading, ADDRESS, False)
    assert account.own_reading is False
    assert seen(box, ANNE) == seen(box, PAUL) == [3]
    changed, _, complete = box.since(modseq, reader=ANNE)
    assert ([each.uid for each in changed], complete) == ([1, 2], True)
    (told,) = box.told()
    assert [each.flags for each in told.for_reader(ANNE)] == [0, 0]
    assert {each.uid: each for each in then} | {each.uid: each for each in changed} == {
        each.uid: each for each in box.placed()
    }
    assert box.anomalies() == {}


def test_reading_becomes_each_persons_own(box: Box) -> None:
    box.database.write(accounts.change_own_reading, ADDRESS, False)
    box.change([1], Change.ADD, Flag.SEEN, reader=ANNE)
    assert seen(box, PAUL) == seen(box, NOBODY) == [1]
    box.database.write(accounts.change_own_reading, ADDRESS, True)
    box.change([1], Change.REMOVE, Flag.SEEN, reader=PAUL)
    assert (seen(box, ANNE), seen(box, PAUL)) == ([1], [])
    assert box.anomalies() == {}


def test_changing_how_reading_is_kept_is_journalled_once(box: Box) -> None:
    for own in (True, False, False):
        assert box.database.write(accounts.change_own_reading, ADDRESS, own).own_reading is own
    found = box.database.read(journal.log)
    facts = [entry.facts for entry in found if entry.event == Event.ACCOUNT_CHANGE]
    assert facts == [{"change": "own_reading", "own": True}, {"change": "own_reading", "own": False}]
