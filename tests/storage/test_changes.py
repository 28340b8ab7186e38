"""What a mailbox is, and what became of it since: complete, or said not to be; and read without reading everything."""

import pytest
import sqlalchemy as sa
from tests.simulators.mailbox import Box, applied, rows

from vaguemestre import clock
from vaguemestre.mailstore import changes
from vaguemestre.mailstore.changes import MailboxChange, Placed, Reading
from vaguemestre.mailstore.flags import Change
from vaguemestre.mailstore.model import NO_FLAGS, Flag, UnknownMailboxError
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database

DAY = 86_400_000


@pytest.fixture
def box(database: Database, blob_store: BlobStore) -> Box:
    """An account with five messages in its inbox."""
    box = Box(database, blob_store)
    box.append(count=5)
    return box


def test_an_empty_mailbox_loads_as_empty_columns(box: Box) -> None:
    loaded = box.database.read(changes.load, box.id("Archives"))
    assert rows(loaded) == []
    assert loaded.mailbox == box.mailbox("Archives")
    assert rows(loaded) == box.placed("Archives")


def test_the_columns_of_a_loaded_mailbox_are_side_by_side(box: Box) -> None:
    box.append(flags=Flag.SEEN | Flag.DELETED, keywords=frozenset({"b", "a"}), received_at=7, saved_at=9, size=33)
    box.append()
    loaded = box.database.read(changes.load, box.inbox)
    found = box.database.read(changes.find, box.inbox, range(1, 8))
    assert rows(loaded) == found
    assert list(loaded.uids) == [1, 2, 3, 4, 5, 6, 7]
    assert loaded.flags == bytes([0, 0, 0, 0, 0, 9, 0])
    assert loaded.keywords == ["", "", "", "", "", "a b", ""]
    assert (loaded.sizes[5], loaded.received_at[5], loaded.saved_at[5]) == (33, 7, 9)


def test_marks_and_contents_are_the_parts_of_what_is_loaded(box: Box) -> None:
    box.change([2, 4], Change.ADD, Flag.FLAGGED, "x")
    whole = box.database.read(changes.load, box.inbox)
    marks = box.database.read(changes.load_marks, box.inbox)
    contents = box.database.read(changes.load_contents, box.inbox)
    for part in (marks, contents):
        for name in part.__struct_fields__:
            assert getattr(part, name) == getattr(whole, name), name


def test_some_messages_are_found_in_order_of_uid(box: Box) -> None:
    found = box.database.read(changes.find, box.inbox, [9, 4, 2, 4])
    assert [each.uid for each in found] == [2, 4]
    assert found == [each for each in box.placed() if each.uid in {2, 4}]
    assert box.database.read(changes.find, box.inbox, []) == []


@pytest.mark.parametrize("verb", [changes.load, changes.load_marks, changes.since])
def test_an_unknown_mailbox_is_said(box: Box, verb: object) -> None:
    with pytest.raises(UnknownMailboxError):
        box.database.read(verb, 42, 0)  # type: ignore[arg-type]


def test_nothing_became_of_a_mailbox_since_now(box: Box) -> None:
    assert box.since(box.mailbox("INBOX").modseq) == ([], [], True)
    assert box.since(10**15) == ([], [], True)


def test_what_came_changed_and_went_since_is_told_once_each(box: Box) -> None:
    modseq = box.mailbox("INBOX").modseq
    box.change([2], Change.ADD, Flag.SEEN)
    box.append(count=2)
    box.change([2, 6], Change.ADD, Flag.FLAGGED)
    box.expunge([1, 7])
    changed, gone, complete = box.since(modseq)
    assert [each.uid for each in changed] == [2, 6]
    assert changed == [each for each in box.placed() if each.uid in {2, 6}]
    assert (gone, complete) == ([1, 7], True)


def test_since_the_beginning_everything_came(box: Box) -> None:
    box.change([2], Change.ADD, Flag.SEEN)
    assert box.since(0) == (box.placed(), [], True)


def test_since_any_modseq_gives_the_present_though_all_was_changed_once(box: Box) -> None:
    past: list[tuple[int, dict[int, Placed]]] = []

    def remember() -> None:
        past.append((box.mailbox("INBOX").modseq, {each.uid: each for each in box.placed()}))

    remember()
    for step in range(5):
        box.change(range(1, 6 + step), Change.ADD, NO_FLAGS, f"k{step}")
        remember()
        box.append()
        remember()
        box.expunge([2 * step + 1])
        remember()
    _, now = past[-1]
    for modseq, then in past:
        changed, gone, complete = box.since(modseq)
        assert complete
        assert applied(then, changed, gone) == now


def test_forgotten_uids_are_said_to_be_unknown(box: Box) -> None:
    first = box.mailbox("INBOX").modseq
    box.expunge([1, 2])
    second = box.mailbox("INBOX").modseq
    assert changes.trim(box.database, clock.now_ms() - DAY) == 0
    assert changes.trim(box.database, clock.now_ms() + DAY) == 2
    assert changes.trim(box.database, clock.now_ms() + DAY) == 0
    box.expunge([3])
    assert box.since(first) == ([], [3], False)
    assert box.since(second) == ([], [3], True)
    assert box.anomalies() == {}


def test_only_what_is_old_is_forgotten_in_each_mailbox(box: Box) -> None:
    box.append("Archives", 2)
    start, other = box.mailbox("INBOX").modseq, box.mailbox("Archives").modseq
    box.expunge([1])
    old = sa.text("UPDATE expunged SET at = 5")
    box.database.write(lambda connection: connection.execute(old))
    box.expunge([2])
    box.expunge([1], mailbox="Archives")
    assert changes.trim(box.database, 6) == 1
    assert box.since(start) == ([], [2], False)
    assert box.since(other, "Archives")[1:] == ([1], True)


def test_much_is_forgotten_a_part_at_a_time(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "_TRIMMED", 2)
    for uid in range(1, 6):
        box.expunge([uid])
    written: list[object] = []
    box.database.listen(written.extend)
    assert changes.trim(box.database, clock.now_ms() + DAY) == 5
    assert box.since(0)[1:] == ([], False)
    assert box.anomalies() == {}


def test_asking_since_reads_what_changed_and_not_the_rest(box: Box) -> None:
    """By the index of changed rows, and from the newest back to the first that was there."""
    if box.database.read(lambda connection: connection.dialect.name) != "sqlite":
        box.append("Archives", 200, blob_id=box.content())
        box.database.write(lambda connection: connection.exec_driver_sql("ANALYZE placements"))

    def plans(connection: sa.Connection) -> str:
        texts = []
        for statement, values in ((changes._CHANGED, (box.inbox, 3)), (changes._COME, (box.inbox, box.inbox, 3))):
            if connection.dialect.name == "sqlite":
                found = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement._sqlite}", values)
                texts += [row[3] for row in found]
            else:
                connection.exec_driver_sql("SET enable_seqscan = off")
                found = connection.exec_driver_sql(f"EXPLAIN {statement._postgresql}", values)
                texts += [row[0] for row in found]
        return "\n".join(texts)

    plan = box.database.read(plans)
    assert "ix_placements_changed" in plan
    assert "SCAN placements" not in plan
    assert "Seq Scan" not in plan


def test_a_fact_shows_each_reader_what_they_see() -> None:
    placed = tuple(Placed(uid, 1, 1, 1, 9, flags, "", 1, 1, 1) for uid, flags in ((1, 4), (2, 1), (3, 1)))
    fact = MailboxChange(1, 2, 8, 9, placed, readings=(Reading(7, 1, True), Reading(7, 3, False), Reading(8, 2, False)))

    def seen(reader: int) -> list[int]:
        return [each.flags for each in fact.for_reader(reader)]

    assert fact.for_reader(0) == placed
    assert (seen(7), seen(8), seen(9)) == ([5, 1, 0], [4, 0, 1], [4, 1, 1])
