"""Messages: UIDs once and growing, modseq growing, exact counters, threads, whatever is appended."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vaguemestre import ids
from vaguemestre.documents.headers import Summary
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.mailstore import accounts, integrity, mailboxes, messages, threads
from vaguemestre.mailstore.model import (
    Account,
    AccountClosedError,
    AccountKind,
    AccountState,
    Appended,
    Flag,
    Listed,
    Mailbox,
    NewMessage,
    Role,
    UnknownMailboxError,
)
from vaguemestre.storage import blobs
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database

MARIE, CABINET = "marie@a.mssante.fr", "cabinet@a.mssante.fr"


class World:
    """A store with two accounts, and short ways to append to them."""

    def __init__(self, database: Database, store: BlobStore) -> None:
        self.database = database
        self.store = store
        self.accounts: list[Account] = [
            database.write(accounts.create, AccountKind.PER, MARIE, "Marie"),
            database.write(accounts.create, AccountKind.CAB, CABINET, "Cabinet"),
        ]
        self.blob = store.seal(b"Subject: x\r\n\r\nx")
        database.write(blobs.insert, [self.blob])

    def mailbox(self, account: int = 0, role: Role = Role.INBOX) -> Mailbox:
        return self.database.read(mailboxes.with_role, self.accounts[account].id, role)

    def account(self, account: int = 0) -> Account:
        return self.database.read(accounts.get, self.accounts[account].address)

    def new(
        self, account: int = 0, role: Role = Role.INBOX, *, size: int = 10, flags: Flag | None = None, **summary: Any
    ) -> NewMessage:
        mailbox_id = self.mailbox(account, role).id
        known = Summary(**summary)
        return NewMessage(self.accounts[account].id, mailbox_id, self.blob.id, size, 1_000, known, flags or Flag(0))

    def append(self, *new: NewMessage) -> list[Appended]:
        return self.database.write(messages.append, new)

    def anomalies(self) -> dict[str, list[str]]:
        found = self.database.read(integrity.check, self.store, lambda opened: None)
        return {kind: what for kind, what in found.items() if what}


@pytest.fixture
def world(database: Database, blob_store: BlobStore) -> World:
    """Two accounts and one content."""
    return World(database, blob_store)


def test_a_message_lists_as_it_was_appended(world: World) -> None:
    summary = Summary(
        subject="Radio panoramique — dent nº 36",
        from_=(("Dr Pasteur", "pasteur@b.mssante.fr"),),
        date=datetime(2026, 3, 1, 12, tzinfo=UTC),
        message_id="1@b.mssante.fr",
        references=("0@b.mssante.fr",),
        has_attachment=True,
    )
    inbox, account = world.mailbox(), world.accounts[0]
    new = NewMessage(account.id, inbox.id, world.blob.id, 123, 456, summary, Flag.FLAGGED | Flag.SEEN)
    (put,) = world.append(new)
    expected = Listed(
        put.message_id, 1, put.modseq, Flag.FLAGGED | Flag.SEEN, put.thread_id, world.blob.id, 123, 456, summary
    )
    assert world.database.read(messages.listing, inbox.id) == [expected]
    assert world.database.read(messages.find, inbox.id, 1) == expected
    assert world.database.read(messages.find, inbox.id, 2) is None
    assert world.database.read(blobs.unneeded, [42, world.blob.id]) == [42]


def test_appending_nothing_changes_nothing(world: World) -> None:
    assert world.append() == []
    assert world.anomalies() == {}
    assert world.mailbox().uid_next == 1


def test_uids_grow_in_each_mailbox_and_modseq_in_each_account(world: World) -> None:
    first = world.append(world.new(), world.new(role=Role.SENT), world.new(1), world.new())
    second = world.append(world.new(1), world.new())
    assert [put.uid for put in first + second] == [1, 1, 1, 2, 2, 3]
    marie = [put.modseq for put in (first[0], first[1], first[3], second[1])]
    assert marie == sorted(set(marie))
    assert world.mailbox().modseq == marie[-1]
    assert world.mailbox().uid_next == 4
    assert world.mailbox(role=Role.SENT).modseq == marie[1]


def test_the_list_pages_back_from_the_newest(world: World) -> None:
    world.append(*[world.new(subject=str(n)) for n in range(7)])
    inbox = world.mailbox().id

    def page(**wanted: int) -> list[int]:
        return [each.uid for each in world.database.read(lambda c: messages.listing(c, inbox, **wanted))]

    assert page() == [7, 6, 5, 4, 3, 2, 1]
    assert page(limit=3) == [7, 6, 5]
    assert page(limit=3, before_uid=5) == [4, 3, 2]
    assert page(limit=3, before_uid=2) == [1]
    assert page(limit=3, before_uid=1) == []


@pytest.mark.parametrize("batch", ["alone", "with others"])
def test_a_closed_account_takes_nothing(world: World, batch: str) -> None:
    world.append(world.new(1))
    world.database.write(accounts.change_state, CABINET, AccountState.CLOSED)
    new = [world.new(1)] if batch == "alone" else [world.new(), world.new(1), world.new()]
    with pytest.raises(AccountClosedError):
        world.append(*new)
    assert [len(world.database.read(messages.listing, world.mailbox(n).id)) for n in (0, 1)] == [0, 1]
    assert world.anomalies() == {}


def test_a_suspended_account_still_takes_mail(world: World) -> None:
    world.database.write(accounts.change_state, CABINET, AccountState.SUSPENDED)
    assert world.append(world.new(1))[0].uid == 1


def test_an_unknown_mailbox_and_another_accounts_take_nothing(world: World) -> None:
    theirs = NewMessage(world.accounts[0].id, world.mailbox(1).id, world.blob.id, 1, 1, Summary())
    nobodys = NewMessage(world.accounts[0].id, 42, world.blob.id, 1, 1, Summary())
    for wrong in (theirs, nobodys):
        with pytest.raises(UnknownMailboxError):
            world.append(world.new(), wrong)
    assert world.anomalies() == {}
    assert world.account().messages == 0


def test_used_octets_and_counts_are_exact(world: World) -> None:
    world.append(world.new(size=100), world.new(size=20, flags=Flag.SEEN), world.new(role=Role.SENT, size=3))
    assert (world.account().used, world.account().messages) == (123, 3)
    assert (world.mailbox().total, world.mailbox().unseen) == (2, 1)
    assert (world.account(1).used, world.account(1).messages) == (0, 0)


_APPENDS = st.lists(
    st.lists(
        st.tuples(
            st.integers(0, 1),
            st.sampled_from([Role.INBOX, Role.SENT, Role.JUNK]),
            st.integers(0, 31),
            st.integers(0, 2**40),
            st.sampled_from(["", "a", "Re: a", "b", "Fwd: b"]),
            st.lists(st.sampled_from(["1@x", "2@x", "3@x", "4@x"]), max_size=3, unique=True),
        ),
        max_size=6,
    ),
    max_size=5,
)


@given(batches=_APPENDS, spoiled=st.sets(st.integers(0, 4)))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_any_appends_uids_modseqs_and_counters_are_exact(
    world: World, batches: list[list[Any]], spoiled: set[int]
) -> None:
    """Batches that raise after having appended leave no trace: not even a UID is lost."""
    inboxes = {(n, role): world.mailbox(n, role) for n in (0, 1) for role in (Role.INBOX, Role.SENT, Role.JUNK)}
    next_uid = {key: mailbox.uid_next for key, mailbox in inboxes.items()}
    modseq = dict.fromkeys((0, 1), 0)

    def append_and_raise(connection: sa.Connection, new: Sequence[NewMessage]) -> None:
        messages.append(connection, new)
        raise UnknownMailboxError("spoiled")

    for number, batch in enumerate(batches):
        new = [
            world.new(n, role, size=size, flags=Flag(flags), subject=subject, references=tuple(references))
            for n, role, flags, size, subject, references in batch
        ]
        if number in spoiled:
            with pytest.raises(UnknownMailboxError):
                world.database.write(append_and_raise, new)
            continue
        for (n, role, *_), put in zip(batch, world.append(*new), strict=True):
            assert put.uid == next_uid[n, role]
            next_uid[n, role] += 1
            assert put.modseq > modseq[n]
            modseq[n] = put.modseq
    assert world.anomalies() == {}
    assert {key: world.mailbox(*key).uid_next for key in inboxes} == next_uid


def test_one_message_to_very_many_accounts_is_appended(world: World) -> None:
    made = world.database.write(
        lambda c: [accounts.create(c, AccountKind.PER, f"n{n}@a.mssante.fr", "") for n in range(200)]
    )
    inboxes = [world.database.read(mailboxes.with_role, account.id, Role.INBOX).id for account in made]
    new = [
        NewMessage(account.id, inbox, world.blob.id, 1, 1, Summary(message_id=f"{k}@y", references=("0@y",)))
        for k in range(30)
        for account, inbox in zip(made, inboxes, strict=True)
    ]
    put = world.append(*new)
    assert [each.uid for each in put] == [uid for uid in range(1, 31) for _ in made]
    assert len({each.thread_id for each in put}) == len(made)
    assert world.anomalies() == {}


def test_a_batch_may_refer_to_more_messages_than_a_statement_takes_values(database: Database) -> None:
    """A thousand recipients of a reply to fifty messages, and another one behind it."""
    reply = Summary(message_id="50@x", references=tuple(f"{n}@x" for n in range(50)))
    new = [(recipient, recipient, reply) for recipient in range(1, 1501)]
    first = database.write(threads.assign, new)
    assert len(set(first)) == 1500
    assert database.write(threads.assign, new) == first


def test_processes_that_append_to_the_same_accounts_give_each_uid_once(place: Any, world: World) -> None:
    """Each appends to both accounts and to the journal, as a delivery does, in batches of its own."""
    writers, each = 3, 15
    others = [place.open() for _ in range(writers)]
    new = [world.new(n, message_id="same@x", subject="Radio") for n in (0, 1)]

    def deliver(connection: sa.Connection, numbers: Sequence[int]) -> list[list[Appended]]:
        results = [messages.append(connection, new if number % 2 else new[::-1]) for number in numbers]
        journal.append(connection, [Entry(Event.DELIVERY, "", {"n": number}) for number in numbers])
        return results

    async def run(database: Database) -> None:
        for start in range(0, each, 5):
            await asyncio.gather(*(database.write_together(deliver, n) for n in range(start, start + 5)))

    with ThreadPoolExecutor(writers) as pool:
        for job in [pool.submit(lambda database=database: asyncio.run(run(database))) for database in others]:
            job.result()
    for n in (0, 1):
        listed = world.database.read(lambda c, n=n: messages.listing(c, world.mailbox(n).id, limit=1000))
        assert [message.uid for message in listed] == list(range(writers * each, 0, -1))
        assert len({message.modseq for message in listed}) == len(listed)
        assert len({message.thread_id for message in listed}) == 1
    assert world.anomalies() == {}


def threads_of(world: World, *summaries: dict[str, Any], account: int = 0) -> list[int]:
    """Threads of messages appended one by one, numbered in the order they first appear."""
    found = [world.append(world.new(account, **summary))[0].thread_id for summary in summaries]
    return [list(dict.fromkeys(found)).index(thread) for thread in found]


def test_a_reply_joins_the_thread_it_refers_to_before_that_of_its_subject(world: World) -> None:
    assert threads_of(
        world,
        {"message_id": "1@x", "subject": "Radio"},
        {"message_id": "2@x", "subject": "Autre chose"},
        {"message_id": "3@x", "subject": "Re: Radio", "references": ("2@x",)},
        {"message_id": "4@x", "subject": "Re: Autre chose", "in_reply_to": ("1@x",)},
        {"message_id": "5@x", "subject": "Sans rapport", "references": ("1@x", "4@x")},
        {"message_id": "6@x", "subject": "Sans rapport", "references": ("2@x", "nowhere@x")},
    ) == [0, 1, 1, 0, 0, 1]


def test_the_latest_reference_decides(world: World) -> None:
    assert threads_of(
        world,
        {"message_id": "1@x", "subject": "a"},
        {"message_id": "2@x", "subject": "b"},
        {"message_id": "3@x", "subject": "c", "references": ("1@x", "2@x")},
        {"message_id": "4@x", "subject": "d", "references": ("2@x", "1@x")},
    ) == [0, 1, 1, 0]


def test_a_message_that_comes_before_the_one_it_answers_is_joined_by_it(world: World) -> None:
    assert threads_of(
        world, {"message_id": "2@x", "references": ("1@x",)}, {"message_id": "1@x"}, {"message_id": "3@x"}
    ) == [0, 0, 1]


def test_without_references_a_reply_joins_the_latest_thread_of_its_subject(world: World) -> None:
    assert threads_of(
        world,
        {"message_id": "1@x", "subject": "Radio"},
        {"message_id": "2@x", "subject": "Radio"},
        {"message_id": "3@x", "subject": "RE : radio"},
        {"message_id": "4@x", "subject": "Fwd: Re: Radio"},
        {"message_id": "5@x", "subject": "Re: Inconnu"},
    ) == [0, 1, 1, 1, 2]


def test_subjects_that_are_only_alike_do_not_make_a_conversation(world: World) -> None:
    assert threads_of(
        world,
        {"message_id": "1@x", "subject": "Compte rendu"},
        {"message_id": "2@x", "subject": "Compte rendu"},
        {"subject": ""},
        {"subject": "Re:"},
        {"subject": ""},
    ) == [0, 1, 2, 3, 4]


def test_conversations_of_two_accounts_are_apart(world: World) -> None:
    same = {"message_id": "1@x", "subject": "Radio"}
    reply = {"message_id": "2@x", "subject": "Re: Radio", "references": ("1@x",)}
    mine, theirs = world.append(world.new(**same), world.new(1, **same))
    assert mine.thread_id != theirs.thread_id
    my_reply, their_reply = world.append(world.new(**reply), world.new(1, **reply))
    assert (my_reply.thread_id, their_reply.thread_id) == (mine.thread_id, theirs.thread_id)


def test_a_conversation_spans_the_mailboxes_of_an_account(world: World) -> None:
    sent, answer = world.append(
        world.new(role=Role.SENT, message_id="1@x"), world.new(message_id="2@x", in_reply_to=("1@x",))
    )
    assert sent.thread_id == answer.thread_id


def test_threads_are_the_same_in_one_batch_and_one_by_one(world: World) -> None:
    summaries: list[dict[str, Any]] = [
        {"message_id": "1@x", "subject": "Radio"},
        {"message_id": "2@x", "subject": "Re: Radio"},
        {"message_id": "3@x", "subject": "Radio"},
        {"message_id": "4@x", "references": ("3@x",)},
        {"message_id": "5@x", "subject": "Re: Radio"},
        {"message_id": "6@x", "references": ("2@x", "7@x")},
        {"message_id": "7@x"},
    ]
    together = [put.thread_id for put in world.append(*[world.new(1, **each) for each in summaries])]
    assert [list(dict.fromkeys(together)).index(each) for each in together] == threads_of(world, *summaries)


def test_hostile_references_are_bounded(world: World) -> None:
    def count(connection: sa.Connection) -> int:
        return connection.execute(sa.text("SELECT count(*) FROM thread_references")).scalar_one()

    world.append(world.new(message_id="own@x", references=tuple(f"{n}@x" for n in range(5000))))
    assert world.database.read(count) <= threads._MOST_REFERENCES + 2


def test_the_check_finds_nothing_in_a_whole_store_and_counts_what_it_opens(world: World) -> None:
    world.append(world.new(), world.new(1, Role.SENT))
    opened: list[int] = []
    found = world.database.read(integrity.check, world.store, opened.append)
    assert found == {
        "pages": [],
        "contents": [],
        "messages": [],
        "counters": [],
        "relations": [],
        "search": [],
        "journal": [],
    }
    assert sum(opened) == world.database.read(integrity.content_count) == 1


_DAMAGE = {
    "UPDATE mailboxes SET total = total + 1 WHERE role = 'inbox'": "counters",
    "UPDATE mailboxes SET unseen = unseen - 1 WHERE role = 'inbox'": "counters",
    "UPDATE mailboxes SET uid_next = 1 WHERE role = 'inbox'": "counters",
    "UPDATE mailboxes SET modseq = 1 WHERE role = 'inbox'": "counters",
    "UPDATE placements SET flags = flags + 1": "counters",
    "UPDATE placements SET flags = flags + 8": "counters",
    "UPDATE placements SET size = size + 1": "counters",
    "UPDATE mailboxes SET octets = octets + 1 WHERE role = 'inbox'": "counters",
    "UPDATE mailboxes SET deleted = deleted + 1 WHERE role = 'inbox'": "counters",
    "UPDATE mailboxes SET uid_validity = 1": "counters",
    "UPDATE accounts SET uid_validity = 1": "counters",
    "UPDATE placements SET born = modseq": "counters",
    "INSERT INTO expunged (mailbox_id, modseq, uid, at) SELECT id, modseq, 1, 0 FROM mailboxes WHERE role = 'inbox'": "counters",
    "INSERT INTO expunged (mailbox_id, modseq, uid, at) SELECT id, 1, 9, 0 FROM mailboxes WHERE role = 'inbox'": "counters",
    "INSERT INTO expunged (mailbox_id, modseq, uid, at) SELECT id, 99, 1, 0 FROM mailboxes WHERE role = 'inbox'": "counters",
    "INSERT INTO expunged (mailbox_id, modseq, uid, at) SELECT id, 0, 1, 0 FROM mailboxes WHERE role = 'inbox'": "counters",
    "INSERT INTO expunged (mailbox_id, modseq, uid, at) VALUES (1, 1, 1, 0)": "relations",
    "UPDATE messages SET places = 2": "relations",
    "UPDATE messages SET thread_id = 1": "relations",
    "UPDATE messages SET received_at = 1": "relations",
    "UPDATE placements SET blob_id = 1": "relations",
    "UPDATE placements SET mailbox_id = 1": "relations",
    "UPDATE placements SET keywords = 'unknown'": "relations",
    "UPDATE placements SET keywords = 'b a'": "relations",
    "INSERT INTO readings (person_id, mailbox_id, uid, seen) SELECT 7, mailbox_id, uid, true FROM placements": "relations",
    "INSERT INTO readings (person_id, mailbox_id, uid, seen) SELECT 7, mailbox_id, uid, false FROM placements": "relations",
    "INSERT INTO readings (person_id, mailbox_id, uid, seen) SELECT 7, id, 9, true FROM mailboxes": "relations",
    "DELETE FROM placements": "counters",
    "UPDATE accounts SET used = used + 1": "counters",
    "UPDATE accounts SET messages = 0": "counters",
    "UPDATE accounts SET modseq = 1": "counters",
    "DELETE FROM messages": "messages",
    "DELETE FROM blobs": "messages",
    "UPDATE blobs SET digest = wrapped_key": "contents",
    "UPDATE blobs SET size = size + 1": "contents",
    "UPDATE journal SET facts = '{}' WHERE seq = 2": "journal",
    "DELETE FROM journal WHERE seq = 1": "journal",
}


@pytest.mark.parametrize("damage", _DAMAGE)
def test_the_check_finds_damage(world: World, damage: str) -> None:
    put = world.append(world.new(), world.new())
    assert put[1].modseq > 1
    world.database.write(lambda connection: connection.execute(sa.text(damage)))
    found = world.anomalies()
    assert found[_DAMAGE[damage]]
    assert all(len(sentence) > 10 for sentences in found.values() for sentence in sentences)


def test_the_check_finds_a_missing_object(world: World, tmp_path: Any) -> None:
    sealed = world.store.seal(bytes(5000))
    world.database.write(blobs.insert, [sealed])
    (tmp_path / "objects" / ids.to_text(sealed.id)[-2:] / ids.to_text(sealed.id)).unlink()
    assert [ids.to_text(sealed.id) in each for each in world.anomalies()["contents"]] == [True]
