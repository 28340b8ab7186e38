"""Marks of messages: what changes bears a new modseq and is counted; what does not is left as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.simulators.mailbox import Box

from vaguemestre.mailstore import flags, keywords
from vaguemestre.mailstore.flags import Change, FlagsChanged, Wanted
from vaguemestre.mailstore.model import NO_FLAGS, Flag, KeywordError, TooManyKeywordsError, UnknownMailboxError
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database


@pytest.fixture
def box(database: Database, blob_store: BlobStore) -> Box:
    """An account with five messages in its inbox."""
    box = Box(database, blob_store)
    box.append(count=5)
    return box


def marks(changed: FlagsChanged) -> list[tuple[int, Flag, str]]:
    return [(each.uid, Flag(each.flags), each.keywords) for each in changed.changed]


def test_flags_and_keywords_are_added_removed_and_replaced(box: Box) -> None:
    added = box.change([1, 2], Change.ADD, Flag.FLAGGED, "b", "a")
    assert marks(added) == [(1, Flag.FLAGGED, "a b"), (2, Flag.FLAGGED, "a b")]
    removed = box.change([2, 3], Change.REMOVE, Flag.FLAGGED, "a")
    assert marks(removed) == [(2, NO_FLAGS, "b")]
    replaced = box.change([1], Change.REPLACE, Flag.SEEN | Flag.DRAFT, "c")
    assert marks(replaced) == [(1, Flag.SEEN | Flag.DRAFT, "c")]
    cleared = box.change([1], Change.REPLACE)
    assert marks(cleared) == [(1, NO_FLAGS, "")]
    assert box.placed()[0] == cleared.changed[0]
    assert box.anomalies() == {}


def test_what_changes_bears_the_mailboxs_new_modseq(box: Box) -> None:
    before = box.mailbox("INBOX").modseq
    changed = box.change([1, 3, 5], Change.ADD, Flag.SEEN)
    assert changed.modseq == box.mailbox("INBOX").modseq > before
    assert [each.modseq for each in changed.changed] == [changed.modseq] * 3
    assert [each.modseq <= before for each in box.placed()] == [False, True, False, True, False]


@pytest.mark.parametrize(
    ("how", "flag", "words"),
    [
        (Change.ADD, Flag.SEEN, ()),
        (Change.ADD, NO_FLAGS, ("A",)),
        (Change.REMOVE, Flag.FLAGGED, ("unknown",)),
        (Change.REPLACE, Flag.SEEN, ("a",)),
    ],
)
def test_what_stays_the_same_is_not_changed(box: Box, how: Change, flag: Flag, words: tuple[str, ...]) -> None:
    box.change([1], Change.ADD, Flag.SEEN, "a")
    before, placed = box.mailbox("INBOX"), box.placed()
    box.facts.clear()
    same = box.change([1], how, flag, *words)
    assert same == FlagsChanged([], [], before.modseq)
    assert (box.mailbox("INBOX"), box.placed(), box.facts) == (before, placed, [])


def test_unread_and_deleted_are_counted(box: Box) -> None:
    box.change([1, 2, 3], Change.ADD, Flag.SEEN | Flag.DELETED)
    assert (box.mailbox("INBOX").unseen, box.mailbox("INBOX").deleted) == (2, 3)
    box.change([3, 4], Change.REPLACE, Flag.SEEN)
    assert (box.mailbox("INBOX").unseen, box.mailbox("INBOX").deleted) == (1, 2)
    box.change([1, 2, 3, 4, 5], Change.REMOVE, Flag.SEEN | Flag.DELETED)
    assert (box.mailbox("INBOX").unseen, box.mailbox("INBOX").deleted) == (5, 0)


def test_messages_changed_since_are_left_alone_and_told(box: Box) -> None:
    modseq = box.mailbox("INBOX").modseq
    box.change([2, 4], Change.ADD, Flag.FLAGGED)
    outcome = box.change([1, 2, 3, 4], Change.ADD, Flag.DELETED, unchanged_since=modseq)
    assert marks(outcome) == [(1, Flag.DELETED, ""), (3, Flag.DELETED, "")]
    assert outcome.modified == [2, 4]
    assert [Flag(each.flags) for each in box.placed()][1::2] == [Flag.FLAGGED, Flag.FLAGGED]


def test_unchanged_since_zero_refuses_all(box: Box) -> None:
    outcome = box.change([1, 2, 9], Change.ADD, Flag.DELETED, unchanged_since=0)
    assert (outcome.changed, outcome.modified) == ([], [1, 2])


def test_uids_that_are_not_there_are_passed_over(box: Box) -> None:
    assert [each.uid for each in box.change([9, 3, 3, 1, 0], Change.ADD, Flag.SEEN).changed] == [1, 3]
    assert box.change([], Change.ADD, Flag.SEEN).changed == []


def test_the_change_is_told_with_what_it_became(box: Box) -> None:
    before = box.mailbox("INBOX").modseq
    box.facts.clear()
    changed = box.change([1, 2], Change.ADD, Flag.SEEN, "x")
    (told,) = box.told()
    assert (told.account_id, told.before, told.after) == (box.account.id, before, changed.modseq)
    assert list(told.placed) == changed.changed
    assert (told.expunged, told.reader, told.readings) == ((), 0, ())


def test_a_keyword_is_spelled_as_the_mailbox_first_saw_it(box: Box) -> None:
    box.change([1], Change.ADD, NO_FLAGS, "$Forwarded")
    assert marks(box.change([2], Change.ADD, NO_FLAGS, "$FORWARDED")) == [(2, NO_FLAGS, "$Forwarded")]
    assert marks(box.change([1], Change.REMOVE, NO_FLAGS, "$forwarded")) == [(1, NO_FLAGS, "")]
    box.append(keywords=frozenset({"$forwarded", "New"}))
    assert box.placed()[-1].keywords == "$Forwarded New"
    assert box.mailbox("INBOX").keywords == ("$Forwarded", "New")


@pytest.mark.parametrize(
    "word", ["", "a b", "a\r", "(", "a)", "{", "%", "*", '"', "\\Seen", "a]", "é", "x" * 65, "\x7f"]
)
def test_what_is_no_atom_is_no_keyword(box: Box, word: str) -> None:
    for how in Change:
        with pytest.raises(KeywordError):
            box.change([1], how, NO_FLAGS, word)
    with pytest.raises(KeywordError):
        box.append(keywords=frozenset({word}))
    assert box.mailbox("INBOX").keywords == ()


@pytest.mark.parametrize("word", ["$MDNSent", "x" * 64, "a/b", "!#$&'+,-.:;<=>?@[^_`|}~"])
def test_every_atom_is_a_keyword(box: Box, word: str) -> None:
    assert box.change([1], Change.ADD, NO_FLAGS, word).changed[0].keywords == word


def test_a_mailbox_knows_a_limited_number_of_keywords(box: Box) -> None:
    words = [f"k{n:03}" for n in range(keywords.MOST)]
    box.change([1], Change.ADD, NO_FLAGS, *words)
    for verb in (
        lambda: box.change([2], Change.ADD, NO_FLAGS, "more"),
        lambda: box.append(keywords=frozenset({"more"})),
    ):
        with pytest.raises(TooManyKeywordsError):
            verb()
    assert set(box.mailbox("INBOX").keywords) == set(words)
    assert box.anomalies() == {}


def test_keywords_that_no_message_bears_any_more_make_room(box: Box) -> None:
    words = [f"k{n:03}" for n in range(keywords.MOST)]
    box.change([1], Change.ADD, NO_FLAGS, *words)
    box.change([1], Change.REMOVE, NO_FLAGS, *words[1:])
    assert box.change([2], Change.ADD, NO_FLAGS, "more", "again").changed[0].keywords == "again more"
    assert box.mailbox("INBOX").keywords == ("k000", "again", "more")


def test_keywords_learnt_for_nothing_are_not_remembered(box: Box) -> None:
    box.change([9], Change.ADD, NO_FLAGS, "x")
    assert box.mailbox("INBOX").keywords == ()


def test_ten_thousand_messages_change_at_once(box: Box) -> None:
    blob = box.content()
    box.append(count=10_000, blob_id=blob)
    box.change(range(5, 10_000, 7), Change.ADD, Flag.FLAGGED, "x")
    changed = box.change(range(1, 10_006), Change.ADD, Flag.SEEN)
    assert len(changed.changed) == 10_005
    assert box.mailbox("INBOX").unseen == 0
    assert box.placed() == changed.changed


def test_a_mailbox_that_is_not_there_is_said(box: Box) -> None:
    box.create("a")
    known = box.id("a")
    box.delete("a")

    with pytest.raises(UnknownMailboxError):
        box.database.write(flags.change, flags.Wanted(known, [1], Change.ADD, Flag.SEEN))


@given(st.sets(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=70)))
def test_the_text_of_keywords_gives_them_back(words: set[str]) -> None:
    assert set(keywords.joined(words).split()) == words


def test_changes_of_one_batch_each_follow_the_one_before(box: Box) -> None:
    other = Box(box.database, box.store, "autre@a.mssante.fr")
    other.append(count=2)
    box.facts.clear()
    wanted = [
        Wanted(box.inbox, [1, 2], Change.ADD, Flag.SEEN, frozenset({"Later"})),
        Wanted(other.inbox, [2, 7], Change.ADD, Flag.DELETED),
        Wanted(box.inbox, [2, 3], Change.REPLACE, Flag.FLAGGED, frozenset({"LATER"})),
        Wanted(box.inbox, [3], Change.REMOVE, Flag.ANSWERED),
        Wanted(box.inbox, [2], Change.ADD, Flag.DRAFT, unchanged_since=box.placed()[1].modseq),
    ]
    first, second, third, fourth, fifth = box.database.write(flags.change_all, wanted)
    assert marks(first) == [(1, Flag.SEEN, "Later"), (2, Flag.SEEN, "Later")]
    assert marks(second) == [(2, Flag.DELETED, "")]
    assert marks(third) == [(2, Flag.FLAGGED, "Later"), (3, Flag.FLAGGED, "Later")]
    assert (fourth.changed, fourth.modseq) == ([], third.modseq)
    assert (fifth.changed, fifth.modified) == ([], [2])
    assert first.modseq < third.modseq == box.mailbox("INBOX").modseq
    assert [(each.uid, Flag(each.flags), each.modseq) for each in box.placed()[:3]] == [
        (1, Flag.SEEN, first.modseq),
        (2, Flag.FLAGGED, third.modseq),
        (3, Flag.FLAGGED, third.modseq),
    ]
    assert [(each.before, each.after) for each in box.told()] == [
        (box.told()[0].before, first.modseq),
        (first.modseq, third.modseq),
    ]
    assert (box.mailbox("INBOX").unseen, other.mailbox("INBOX").deleted) == (4, 1)
    assert box.anomalies() == {}


def test_a_bad_change_of_a_batch_leaves_all_undone(box: Box) -> None:
    before = box.placed()
    wanted = [
        Wanted(box.inbox, [1], Change.ADD, Flag.SEEN),
        Wanted(box.inbox, [2], Change.ADD, Flag.SEEN, frozenset("(")),
    ]
    with pytest.raises(KeywordError):
        box.database.write(flags.change_all, wanted)
    assert box.placed() == before
