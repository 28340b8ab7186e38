"""Mailboxes: made with their superiors, renamed with their inferiors, deleted alone; names in one form; UIDVALIDITY once."""

import unicodedata

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from tests.simulators.mailbox import Box

from vaguemestre.mailstore import mailboxes
from vaguemestre.mailstore.changes import MailboxesChange
from vaguemestre.mailstore.model import (
    Flag,
    MailboxExistsError,
    MailboxNameError,
    Role,
    SpecialMailboxError,
    TooManyMailboxesError,
    UnknownAccountError,
    UnknownMailboxError,
)
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database


@pytest.fixture
def box(database: Database, blob_store: BlobStore) -> Box:
    """An account."""
    return Box(database, blob_store)


def changed(box: Box) -> int:
    """How often it was told that mailboxes changed, since last asked."""
    told = [fact for fact in box.facts if isinstance(fact, MailboxesChange)]
    box.facts.clear()
    assert all(fact.account_id == box.account.id for fact in told)
    return len(told)


def test_a_mailbox_is_made_with_the_superiors_it_lacks(box: Box) -> None:
    made = box.create("Patients/2026/Été")
    assert box.names() == ["Patients", "Patients/2026", "Patients/2026/Été"]
    assert (made.name, made.total, made.unseen, made.uid_next, made.subscribed) == ("Patients/2026/Été", 0, 0, 1, False)
    assert made.role is None
    box.create("Patients/2027")
    assert box.names() == ["Patients", "Patients/2026", "Patients/2026/Été", "Patients/2027"]
    assert changed(box) == 2


def test_a_last_separator_is_left_out(box: Box) -> None:
    assert box.create("Patients/").name == "Patients"


@pytest.mark.parametrize("name", ["INBOX", "inbox", "Brouillons", "Patients", "Patients/"])
def test_a_name_that_is_taken_is_refused(box: Box, name: str) -> None:
    box.create("Patients")
    with pytest.raises(MailboxExistsError):
        box.create(name)


@pytest.mark.parametrize("name", ["inbox/Urgent", "InBox/Urgent", "INBOX/Urgent"])
def test_inbox_is_in_any_case_as_first_level_too(box: Box, name: str) -> None:
    assert box.create(name).name == "INBOX/Urgent"
    assert box.mailbox("inbox/Urgent").id == box.id(name)


def test_one_name_has_one_form(box: Box) -> None:
    decomposed = unicodedata.normalize("NFD", "Été")
    box.create(decomposed)
    assert box.names() == ["Été"]
    assert box.id(decomposed) == box.id("Été")
    with pytest.raises(MailboxExistsError):
        box.create("Été")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "/a",
        "a//b",
        "a/ /b",
        " ",
        "a\r\nb",
        "a\x00",
        "a\x7f",
        "a\x85b",
        "a\u2028b",
        "a\ud800",
        "x" * 501,
        "é" * 251,
        "/".join("a" * 21),
    ],
)
def test_a_name_that_cannot_be_is_refused(box: Box, name: str) -> None:
    with pytest.raises(MailboxNameError):
        box.create(name)
    box.create("a")
    with pytest.raises(MailboxNameError):
        box.rename("a", name)
    assert box.names() == ["a"]


@pytest.mark.parametrize(
    "name", ["x" * 500, "é" * 250, "/".join("a" * 20), "Réponses & suites", '"\\', "~", "#news", "50 %", "*"]
)
def test_a_name_at_the_limits_is_taken(box: Box, name: str) -> None:
    assert box.create(name).name == name


def test_an_account_has_a_limited_number_of_mailboxes(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailboxes, "MOST", len(mailboxes.SPECIAL_USE) + 2)
    box.create("a/b")
    with pytest.raises(TooManyMailboxesError):
        box.create("c")
    with pytest.raises(TooManyMailboxesError):
        box.rename("a/b", "x/y")
    box.delete("a")
    box.create("c")


def test_nobodys_account_has_no_mailboxes(database: Database) -> None:
    with pytest.raises(UnknownAccountError):
        database.write(mailboxes.create, 42, "a")


def test_a_mailbox_made_again_has_another_uidvalidity_even_within_the_second(box: Box) -> None:
    given_before = {each.uid_validity for each in box.database.read(mailboxes.listing, box.account.id)}
    assert len(given_before) == len(mailboxes.SPECIAL_USE)
    for _ in range(5):
        made = box.create("a")
        assert made.uid_validity > max(given_before)
        given_before.add(made.uid_validity)
        box.delete("a")


def test_uidvalidity_grows_from_the_clock_when_that_is_ahead(box: Box) -> None:
    early = sa.text("UPDATE accounts SET uid_validity = 7")
    box.database.write(lambda connection: connection.execute(early))
    assert box.create("a").uid_validity > 1_700_000_000


def test_a_mailbox_keeps_everything_but_its_name(box: Box) -> None:
    made = box.create("a")
    box.append("a", 2)
    box.database.write(mailboxes.subscribe, box.account.id, "a")
    before = box.mailbox("a")
    box.rename("a", "b/c")
    after = box.mailbox("b/c")
    assert (after.id, after.uid_validity, after.uid_next, after.modseq) == (
        made.id,
        made.uid_validity,
        3,
        before.modseq,
    )
    assert (after.total, after.subscribed) == (2, True)
    assert box.names() == ["b", "b/c"]
    with pytest.raises(UnknownMailboxError):
        box.mailbox("a")


def test_inferiors_are_renamed_too_and_nothing_else(box: Box) -> None:
    for name in ("a/b/c", "ab", "x"):
        box.create(name)
    box.rename("a", "x/y")
    assert box.names() == ["ab", "x", "x/y", "x/y/b", "x/y/b/c"]
    assert changed(box) == 4


def test_a_name_with_inferiors_alone_can_be_renamed(box: Box) -> None:
    box.create("a/b")
    box.delete("a")
    assert box.names() == ["a/b"]
    box.rename("a", "c")
    assert box.names() == ["c/b"]


def test_a_mailbox_cannot_move_into_itself(box: Box) -> None:
    box.create("a/b")
    with pytest.raises(MailboxNameError):
        box.rename("a", "a/b/c")


@pytest.mark.parametrize(("old", "new"), [("a", "b"), ("a", "a"), ("a", "inbox"), ("a", "z")])
def test_no_name_is_taken_over(box: Box, old: str, new: str) -> None:
    for name in ("a/x", "b", "z/x"):
        box.create(name)
    box.delete("z")
    with pytest.raises(MailboxExistsError):
        box.rename(old, new)
    assert box.names() == ["a", "a/x", "b", "z/x"]


def test_an_inferior_too_long_under_its_new_name_is_refused(box: Box) -> None:
    box.create("a/" + "x" * 490)
    with pytest.raises(MailboxNameError):
        box.rename("a", "y" * 20)


def test_what_is_not_there_cannot_be_renamed_deleted_or_subscribed_to(box: Box) -> None:
    for verb in (box.delete, lambda name: box.rename(name, "b")):
        with pytest.raises(UnknownMailboxError):
            verb("a")
    for subscribing in (mailboxes.subscribe, mailboxes.unsubscribe):
        with pytest.raises(UnknownMailboxError):
            box.database.write(subscribing, box.account.id, "a")


def test_renaming_inbox_moves_its_messages_and_leaves_it_and_its_inferiors(box: Box) -> None:
    box.create("INBOX/b")
    box.append(count=3, flags=Flag.SEEN)
    before, validity = box.placed(), box.mailbox("INBOX").uid_validity
    box.rename("inbox", "Avant/2026")
    assert box.names() == ["Avant", "Avant/2026", "INBOX/b"]
    inbox, moved = box.mailbox("INBOX"), box.mailbox("Avant/2026")
    assert (inbox.id, inbox.total, inbox.uid_next, inbox.uid_validity) == (box.inbox, 0, 4, validity)
    assert inbox.role is Role.INBOX
    assert (moved.total, moved.unseen, moved.role) == (3, 0, None)
    assert [each.message_id for each in box.placed("Avant/2026")] == [each.message_id for each in before]
    assert box.since(before[-1].modseq)[1] == [1, 2, 3]
    box.append()
    assert box.placed()[0].uid == 4
    assert box.anomalies() == {}


def test_renaming_inbox_cannot_take_over_a_name(box: Box) -> None:
    box.append()
    with pytest.raises(MailboxExistsError):
        box.rename("INBOX", "Archives")
    assert box.mailbox("INBOX").total == 1


@pytest.mark.parametrize("name", [*mailboxes.SPECIAL_USE.values(), "inbox"])
def test_a_special_use_mailbox_cannot_be_deleted(box: Box, name: str) -> None:
    with pytest.raises(SpecialMailboxError):
        box.delete(name)


def test_a_special_use_mailbox_keeps_its_use_under_another_name(box: Box) -> None:
    box.rename("Indésirables", "Spam")
    found = box.database.read(mailboxes.with_role, box.account.id, Role.JUNK)
    assert (found.name, found.id) == ("Spam", box.id("Spam"))
    box.create("Indésirables")
    assert box.mailbox("Indésirables").role is None
    with pytest.raises(SpecialMailboxError):
        box.delete("Spam")


def test_deleting_a_mailbox_leaves_its_inferiors_and_takes_its_messages(box: Box) -> None:
    box.create("a/b")
    box.append("a", 2, flags=Flag.DELETED)
    box.append("a/b")
    gone = box.id("a")
    box.facts.clear()
    assert box.delete("a") == []
    assert box.facts == [MailboxesChange(box.account.id, (gone,))]
    assert box.names() == ["a/b"]
    assert box.mailbox("a/b").total == 1
    assert box.anomalies() == {}


def test_a_large_content_goes_with_the_mailbox(box: Box) -> None:
    box.create("a")
    box.append("a", blob_id=box.content(bytes(5000)), size=5000)
    objects = box.delete("a")
    assert len(objects) == 1
    box.store.discard(objects)
    assert box.anomalies() == {}


def test_a_mailbox_is_subscribed_to_when_somebody_says_so(box: Box) -> None:
    assert all(each.subscribed for each in box.database.read(mailboxes.listing, box.account.id))
    box.create("a")
    changed(box)
    for verb, subscribed, told in (
        (mailboxes.unsubscribe, False, 0),
        (mailboxes.subscribe, True, 1),
        (mailboxes.subscribe, True, 0),
        (mailboxes.unsubscribe, False, 1),
    ):
        box.database.write(verb, box.account.id, "a")
        assert box.mailbox("a").subscribed is subscribed
        assert changed(box) == told


def absent(box: Box) -> list[str]:
    return box.database.read(mailboxes.absent, box.account.id)


def test_a_subscription_outlives_its_mailbox_and_comes_back_with_the_name(box: Box) -> None:
    box.create("a")
    box.create("b")
    box.database.write(mailboxes.subscribe, box.account.id, "a")
    box.delete("a")
    box.delete("b")
    assert absent(box) == ["a"]
    assert box.create("a").subscribed
    assert absent(box) == []
    assert not box.create("b").subscribed


@pytest.mark.parametrize("way", ["renamed", "superior", "renamed superior", "inbox"])
def test_a_name_subscribed_to_may_come_back_in_any_way_and_go_again(box: Box, way: str) -> None:
    box.create("a")
    box.database.write(mailboxes.subscribe, box.account.id, "a")
    box.delete("a")
    box.create("b/c")
    {
        "renamed": lambda: box.rename("b", "a"),
        "superior": lambda: box.create("a/x"),
        "renamed superior": lambda: box.rename("b", "a/b"),
        "inbox": lambda: box.rename("INBOX", "a"),
    }[way]()
    assert box.mailbox("a").subscribed
    assert box.anomalies() == {}
    box.delete("a")
    assert absent(box) == ["a"]


def test_what_is_no_more_can_be_unsubscribed_from_once(box: Box) -> None:
    box.create("a")
    box.database.write(mailboxes.subscribe, box.account.id, "a")
    box.delete("a")
    changed(box)
    box.database.write(mailboxes.unsubscribe, box.account.id, "a")
    assert (absent(box), changed(box)) == ([], 1)
    with pytest.raises(UnknownMailboxError):
        box.database.write(mailboxes.unsubscribe, box.account.id, "a")


def test_the_listing_has_counts_and_special_uses_first(box: Box) -> None:
    box.create("a")
    box.append("a", 2, size=30)
    box.append("a", 1, size=5, flags=Flag.SEEN | Flag.DELETED)
    found = box.database.read(mailboxes.listing, box.account.id)
    assert [each.name for each in found] == [*mailboxes.SPECIAL_USE.values(), "a"]
    assert found[-1] == box.mailbox("a")
    assert (found[-1].total, found[-1].unseen, found[-1].deleted, found[-1].octets) == (3, 2, 1, 65)


@given(st.text(max_size=30))
def test_a_name_taken_is_taken_again_in_the_same_form(name: str) -> None:
    try:
        first = mailboxes.checked(name)
    except MailboxNameError:
        return
    assert mailboxes.checked(first) == mailboxes.canonical(first) == first
    assert "\n" not in first
    assert "\r" not in first
    assert first.encode()
