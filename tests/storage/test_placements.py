"""Messages copied, moved, expunged: a message goes with its last place, a content with the last that needs it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from tests.conftest import Place
from tests.simulators.mailbox import SIZE, Box

from vaguemestre.mailstore import accounts, keywords, messages, model, placements
from vaguemestre.mailstore.flags import Change
from vaguemestre.mailstore.model import (
    NO_FLAGS,
    AccountKind,
    Flag,
    MailboxFullError,
    QuotaExceededError,
    UnknownMailboxError,
)
from vaguemestre.storage import blobs
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database
from vaguemestre.transport import queue
from vaguemestre.transport.envelope import Envelope, Recipient


@pytest.fixture
def box(database: Database, blob_store: BlobStore) -> Box:
    """An account with five messages in its inbox, and another mailbox."""
    box = Box(database, blob_store)
    box.append(count=5)
    box.create("a")
    return box


def used(box: Box) -> tuple[int, int]:
    """Messages and octets the account counts."""
    account = box.database.read(accounts.get, box.account.address)
    return account.messages, account.used


def contents(box: Box) -> int:
    """How many contents are kept."""
    count = sa.select(sa.func.count()).select_from(blobs.blobs)
    return box.database.read(lambda connection: connection.execute(count).scalar_one())


def test_a_copy_is_the_same_message_and_counts_once(box: Box) -> None:
    box.change([2], Change.ADD, Flag.FLAGGED | Flag.SEEN, "x")
    copied = box.copy([4, 2, 9], "a")
    target = box.mailbox("a")
    assert (copied.uid_validity, copied.source, copied.target) == (target.uid_validity, [2, 4], [1, 2])
    originals = [each for each in box.placed() if each.uid in {2, 4}]
    for original, made in zip(originals, box.placed("a"), strict=True):
        assert made.message_id == original.message_id
        assert (made.flags, made.keywords, made.size) == (original.flags, original.keywords, original.size)
        assert (made.blob_id, made.thread_id) == (original.blob_id, original.thread_id)
        assert made.received_at == original.received_at == 1_000
        assert made.saved_at > 1_700_000_000_000
        assert made.modseq == target.modseq
    assert (target.total, target.unseen, target.octets) == (2, 1, 2 * SIZE)
    assert used(box) == (5, 5 * SIZE)
    assert box.anomalies() == {}


def test_a_copy_into_the_same_mailbox_is_another_place(box: Box) -> None:
    assert box.copy([1, 2], "INBOX").target == [6, 7]
    placed = box.placed()
    assert [each.message_id for each in placed[:2]] == [each.message_id for each in placed[5:]]
    assert used(box) == (5, 5 * SIZE)
    assert box.expunge([1, 6]).uids == [1, 6]
    assert used(box) == (4, 4 * SIZE)
    assert box.anomalies() == {}


def test_a_move_takes_messages_along_and_remembers_where_they_were(box: Box) -> None:
    modseq, before = box.mailbox("INBOX").modseq, box.placed()
    moved = box.move([5, 1, 9], "a")
    assert (moved.source, moved.target) == ([1, 5], [1, 2])
    assert [each.uid for each in box.placed()] == [2, 3, 4]
    assert [each.message_id for each in box.placed("a")] == [before[0].message_id, before[4].message_id]
    assert box.since(modseq) == ([], [1, 5], True)
    assert used(box) == (5, 5 * SIZE)
    assert box.anomalies() == {}


def test_a_move_within_a_mailbox_gives_new_uids(box: Box) -> None:
    modseq = box.mailbox("INBOX").modseq
    assert box.move([1, 2], "INBOX").target == [6, 7]
    assert [each.uid for each in box.placed()] == [3, 4, 5, 6, 7]
    changed, gone, complete = box.since(modseq)
    assert ([each.uid for each in changed], gone, complete) == ([6, 7], [1, 2], True)
    assert box.anomalies() == {}


@pytest.mark.parametrize("verb", ["copy", "move", "expunge"])
def test_nothing_found_changes_nothing(box: Box, verb: str) -> None:
    before = box.mailbox("INBOX"), box.mailbox("a")
    box.facts.clear()
    if verb == "expunge":
        assert box.expunge([9]).uids == box.expunge([]).uids == box.expunge(only_deleted=True).uids == []
        assert box.expunge([9]).modseq == before[0].modseq
    else:
        assert getattr(box, verb)([9], "a").source == getattr(box, verb)([], "a").target == []
    assert (box.mailbox("INBOX"), box.mailbox("a")) == before
    assert box.facts == []


def test_what_is_copied_moved_and_expunged_is_told(box: Box) -> None:
    inbox, other = box.mailbox("INBOX").modseq, box.mailbox("a").modseq
    box.facts.clear()
    box.move([1, 2], "a")
    gone = box.expunge([3])
    (come,) = box.told("a")
    left, expunged = box.told()
    assert (come.before, come.after) == (other, box.mailbox("a").modseq)
    assert list(come.placed) == box.placed("a")
    assert (left.before, left.expunged, left.placed) == (inbox, (1, 2), ())
    assert (expunged.before, expunged.after, expunged.expunged) == (left.after, gone.modseq, (3,))
    assert gone.modseq == box.mailbox("INBOX").modseq


def test_only_those_marked_deleted_go_where_that_is_asked(box: Box) -> None:
    box.change([2, 3, 4], Change.ADD, Flag.DELETED)
    assert box.expunge([1, 2], only_deleted=True).uids == [2]
    assert box.expunge(only_deleted=True).uids == [3, 4]
    assert box.expunge([1]).uids == [1]
    assert box.expunge().uids == [5]
    assert box.mailbox("INBOX").total == 0
    assert used(box) == (0, 0)
    assert contents(box) == 0
    assert box.anomalies() == {}


def test_a_message_stays_until_its_last_place_is_gone(box: Box) -> None:
    box.copy([1], "a")
    box.expunge([1])
    assert used(box) == (5, 5 * SIZE)
    assert contents(box) == 5
    box.expunge(mailbox="a")
    assert used(box) == (4, 4 * SIZE)
    assert contents(box) == 4
    assert box.anomalies() == {}


def test_content_stays_while_another_message_or_the_queue_needs_it(box: Box) -> None:
    blob = box.content()
    other = Box(box.database, box.store, "autre@a.mssante.fr")
    box.append("a", blob_id=blob)
    other.append(blob_id=blob)
    way = Envelope(box.account.address, (Recipient("x@b.mssante.fr"),))
    (row,) = box.database.write(queue.enqueue, blob, SIZE, way, 1_000, 1_000)

    def kept() -> bool:
        found = sa.select(blobs.blobs.c.id).where(blobs.blobs.c.id == blob)
        return box.database.read(lambda connection: connection.execute(found).one_or_none()) is not None

    box.expunge(mailbox="a")
    assert kept()
    other.expunge()
    assert kept()
    box.database.write(queue.settle, row)
    box.database.write(queue.release, box.store, blob)
    assert not kept()
    assert box.anomalies() == {}


def test_a_queue_that_lets_go_leaves_content_to_the_message(box: Box) -> None:
    blob = box.placed()[0].blob_id
    way = Envelope(box.account.address, (Recipient("x@b.mssante.fr"),))
    (row,) = box.database.write(queue.enqueue, blob, SIZE, way, 1_000, 1_000)
    box.database.write(queue.settle, row)
    box.database.write(queue.release, box.store, blob)
    assert contents(box) == 5
    box.expunge([1])
    assert contents(box) == 4


def test_every_column_that_needs_content_is_known(box: Box) -> None:
    held = {
        f"{table.name}.{column.name}"
        for table in blobs.metadata.tables.values()
        for column in table.c
        if column.info.items() >= blobs.HOLDS.items()
    }
    assert held >= {"messages.blob_id", "queue.blob_id"}


def test_large_content_is_discarded_once_that_is_durable(box: Box) -> None:
    blob = box.content(bytes(5000))
    box.append("a", 2, blob_id=blob, size=5000)
    assert box.expunge([1], mailbox="a").objects == []
    objects = box.expunge([2], mailbox="a").objects
    assert len(objects) == 1
    box.store.discard(objects)
    assert box.anomalies() == {}


def test_a_uid_is_never_given_again(box: Box) -> None:
    box.expunge()
    assert box.append()[0].uid == 6
    box.move([6], "a")
    assert box.copy([1], "INBOX", source="a").target == [7]


def test_keywords_are_spelled_as_the_target_does(box: Box) -> None:
    box.append("a", keywords=frozenset({"Urgent"}))
    box.change([1, 2], Change.ADD, NO_FLAGS, "URGENT", "x")
    box.change([3], Change.ADD, NO_FLAGS, "x")
    box.facts.clear()
    box.copy([1, 2, 3, 4], "a")
    assert [each.keywords for each in box.placed("a")] == ["Urgent", "Urgent x", "Urgent x", "x", ""]
    assert list(box.told("a")[0].placed) == box.placed("a")[1:]
    assert box.mailbox("a").keywords == ("Urgent", "x")
    assert box.anomalies() == {}


def test_keywords_that_the_target_has_no_room_for_stay_behind(box: Box) -> None:
    words = frozenset(f"k{n:03}" for n in range(keywords.MOST))
    box.append("a", keywords=words)
    box.change([1], Change.ADD, NO_FLAGS, "k001", "more")
    box.move([1], "a")
    assert box.placed("a")[-1].keywords == "k001"
    assert box.anomalies() == {}


def test_a_mailbox_of_another_account_is_no_target(box: Box) -> None:
    other = Box(box.database, box.store, "autre@a.mssante.fr")
    for verb in (placements.copy, placements.move):
        for source, target in ((box.inbox, other.inbox), (other.inbox, box.inbox), (box.inbox, 42), (42, box.inbox)):
            with pytest.raises(UnknownMailboxError):
                box.database.write(verb, source, [1], target)
    assert box.mailbox("INBOX").total == 5
    assert other.mailbox("INBOX").total == 0


def test_copies_end_at_the_limit_of_a_mailbox(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (placements, messages):
        monkeypatch.setattr(module, "MOST_IN_A_MAILBOX", 6)
    assert model.MOST_IN_A_MAILBOX > 6
    for verb in (box.copy, box.move):
        with pytest.raises(MailboxFullError):
            verb([1, 2], "INBOX")
    new = [model.NewMessage(box.account.id, box.inbox, box.content(), 1, 1, model.Summary()) for _ in range(2)]
    with pytest.raises(MailboxFullError):
        box.database.write(lambda connection: messages.append(connection, new, within_quota=True))
    box.copy([1], "INBOX")
    box.database.write(messages.append, new)
    assert box.mailbox("INBOX").total == 8


def test_mail_programs_are_held_to_the_quota_and_delivery_is_not(box: Box) -> None:
    box.database.write(accounts.change_quota, box.account.address, 6 * SIZE)
    new = [model.NewMessage(box.account.id, box.inbox, box.content(), SIZE, 1, model.Summary()) for _ in range(2)]

    def append(*messages_: model.NewMessage) -> None:
        box.database.write(lambda connection: messages.append(connection, messages_, within_quota=True))

    with pytest.raises(QuotaExceededError):
        append(*new)
    assert box.mailbox("INBOX").total == 5
    append(new[0])
    with pytest.raises(QuotaExceededError):
        append(new[1])
    box.copy([1], "a")
    box.database.write(messages.append, new[1:])
    assert used(box) == (7, 7 * SIZE)


def test_appended_messages_have_their_own_dates_and_keywords(box: Box) -> None:
    box.facts.clear()
    box.append("a", received_at=5, saved_at=1_800_000_000_000, keywords=frozenset({"b", "a"}), flags=Flag.DELETED)
    box.append("a", received_at=6)
    first, second = box.placed("a")
    assert (first.received_at, first.saved_at, first.keywords) == (5, 1_800_000_000_000, "a b")
    assert (second.received_at, second.saved_at, second.keywords) == (6, 6, "")
    assert [fact.placed for fact in box.told("a")] == [(first,), (second,)]
    assert box.mailbox("a").deleted == 1


def test_ten_thousand_messages_are_copied_moved_and_expunged(box: Box) -> None:
    blob = box.content()
    box.append(count=10_000, blob_id=blob)
    box.copy(range(1, 10_006), "a")
    box.move(range(6, 10_006), "a")
    assert box.mailbox("a").total == 20_005
    assert len(box.expunge(range(1, 20_006), mailbox="a").uids) == 20_005
    assert used(box) == (5, 5 * SIZE)
    assert box.anomalies() == {}


def test_two_processes_may_work_on_one_account_at_once(place: Place, blob_store: BlobStore) -> None:
    box, other = Box(place.open(), blob_store), place.open()
    box.create("a")
    box.append(count=40)
    box.append("a", 40)
    inbox, target, blob = box.inbox, box.id("a"), box.content()

    def here(number: int) -> None:
        box.database.write(placements.copy, inbox, [number], target)
        box.change([number], Change.ADD, Flag.SEEN)

    def there(number: int) -> None:
        other.write(placements.move, target, [number], inbox)
        new = model.NewMessage(box.account.id, target, blob, SIZE, 1, model.Summary())
        other.write(messages.append, [new])

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(verb, number) for number in range(1, 41) for verb in (here, there)]:
            done.result()
    assert (box.mailbox("INBOX").total, box.mailbox("a").total) == (80, 80)
    assert box.anomalies() == {}
    assert box.database.read(accounts.get, box.account.address).kind is AccountKind.CAB


def test_expunges_of_one_batch_take_each_message_once(box: Box) -> None:
    other = Box(box.database, box.store, "autre@a.mssante.fr")
    box.append(count=3)
    (theirs,) = other.append()
    box.change([1, 2], Change.ADD, Flag.DELETED)
    other.change([theirs.uid], Change.ADD, Flag.DELETED)
    wanted = [(box.inbox, [1, 2, 3]), (other.inbox, [theirs.uid, 99]), (box.inbox, [2])]
    first, second, third = box.database.write(placements.expunge_deleted, wanted)
    assert (first.uids, second.uids, third.uids) == ([1, 2], [theirs.uid], [])
    assert first.modseq == third.modseq == box.mailbox("INBOX").modseq
    assert box.mailbox("INBOX").deleted == other.mailbox("INBOX").total == 0
    assert box.anomalies() == {}
    assert other.anomalies() == {}
