"""The queue's rows: due in order, held, hastened, postponed and settled; content stays while any row needs it."""

from typing import Any

import pytest
import sqlalchemy as sa

from vaguemestre.storage import blobs
from vaguemestre.storage.database import Database
from vaguemestre.transport import queue
from vaguemestre.transport.envelope import Envelope, Recipient
from vaguemestre.transport.queue import Queued

NOW = 1_000_000
DAY = 86_400_000


def envelope(*recipients: str, **others: Any) -> Envelope:
    return Envelope("dr@a.mssante.fr", tuple(Recipient(each) for each in recipients), **others)


def put(database: Database, *recipients: str, blob: int = 1, at: int = NOW) -> list[int]:
    return database.write(queue.enqueue, blob, 10, envelope(*recipients), at, DAY)


def due(
    database: Database, at: int = NOW, besides: tuple[int, ...] = (), domains: tuple[str, ...] = (), limit: int = 100
) -> list[int]:
    return [each.id for each in database.read(queue.due, at, besides, domains, limit)]


def test_every_recipient_has_a_row_of_its_own_that_says_all(database: Database) -> None:
    sent = Envelope(
        "dr@a.mssante.fr",
        (
            Recipient("One@B.mssante.fr", frozenset({"SUCCESS", "DELAY"}), "rfc822;one@b"),
            Recipient("deux@c.mssante.fr"),
            Recipient("zoé@d.mssante.fr", frozenset({"NEVER"})),
        ),
        "HDRS",
        "envelope-1",
        utf8=True,
        eight_bit=True,
    )
    row_ids = database.write(queue.enqueue, 7, 1234, sent, NOW, DAY)
    rows = database.read(queue.listing)
    assert [row.id for row in rows] == row_ids
    assert [row.envelope.recipients for row in rows] == [(each,) for each in sent.recipients]
    assert [row.domain for row in rows] == ["b.mssante.fr", "c.mssante.fr", "d.mssante.fr"]
    first = rows[0]
    assert (first.envelope.reverse_path, first.envelope.returned, first.envelope.envelope_id) == (
        "dr@a.mssante.fr",
        "HDRS",
        "envelope-1",
    )
    assert (first.envelope.utf8, first.envelope.eight_bit) == (True, True)
    assert (first.blob_id, first.size, first.created_at, first.due_at, first.expires_at) == (
        7,
        1234,
        NOW,
        NOW,
        NOW + DAY,
    )
    assert (first.attempts, first.delay_told, first.last_reply, first.held) == (0, False, "", False)
    assert database.read(queue.get, first.id) == first


def test_nobody_to_send_to_is_no_row(database: Database) -> None:
    assert put(database) == []
    assert database.read(queue.listing) == []


def test_the_longest_due_come_first_and_only_what_is_due(database: Database) -> None:
    late, first, second, future = (
        put(database, "x@b.mssante.fr", at=at)[0] for at in (NOW, NOW - 500, NOW - 300, NOW + 1)
    )
    assert due(database) == [first, second, late]
    assert due(database, limit=2) == [first, second]
    assert due(database, NOW + 1) == [first, second, late, future]


def test_rows_being_tried_and_busy_domains_are_passed_over(database: Database) -> None:
    one, two, three = put(database, "x@b.mssante.fr", "y@c.mssante.fr", "z@B.MSSANTE.FR")
    assert due(database, besides=(one,)) == [two, three]
    assert due(database, domains=("b.mssante.fr",)) == [two]
    assert due(database, besides=(two,), domains=("b.mssante.fr",)) == []
    assert sorted(due(database, besides=(42,), domains=("d.mssante.fr",))) == sorted([one, two, three])


def test_more_rows_may_be_passed_over_than_are_ever_tried_at_once(database: Database) -> None:
    row_ids = put(database, *[f"n{n}@b.mssante.fr" for n in range(600)])
    assert due(database, besides=tuple(row_ids[1:])) == row_ids[:1]


def test_a_held_row_is_not_due_until_it_is_let_go(database: Database) -> None:
    one, two = put(database, "x@b.mssante.fr", "y@c.mssante.fr")
    assert database.write(queue.hold, one, True) == 1
    assert due(database) == [two]
    assert database.write(queue.hold, None, True) == 2
    assert due(database) == []
    assert database.write(queue.hold, one, False) == 1
    assert due(database) == [one]
    assert database.write(queue.hold, 42, True) == 0


def test_a_postponed_row_is_due_later_and_remembers_why(database: Database) -> None:
    row_id = put(database, "x@b.mssante.fr")[0]
    database.write(lambda c: queue.postpone(c, row_id, NOW + 60, "451 later " + "x" * 600, told=False))
    assert due(database) == []
    assert due(database, NOW + 60) == [row_id]
    database.write(lambda c: queue.postpone(c, row_id, NOW + 90, "451 greylisted", told=True))
    database.write(lambda c: queue.postpone(c, row_id, NOW + 95, "", told=False))
    row = database.read(queue.get, row_id)
    assert row is not None
    assert (row.attempts, row.delay_told, row.last_reply, row.due_at) == (3, True, "", NOW + 95)
    assert row.expires_at == NOW + DAY  # what postpones it does not lengthen its life


def test_a_long_reply_is_kept_in_part(database: Database) -> None:
    row_id = put(database, "x@b.mssante.fr")[0]
    database.write(lambda c: queue.postpone(c, row_id, NOW, "é" * 5000, told=False))
    row = database.read(queue.get, row_id)
    assert row is not None
    assert row.last_reply == "é" * 500


def test_a_hastened_row_is_due_now(database: Database) -> None:
    one, two = put(database, "x@b.mssante.fr", "y@c.mssante.fr", at=NOW + 5000)
    assert database.write(queue.hasten, one, NOW) == 1
    assert due(database) == [one]
    assert database.write(queue.hasten, None, NOW) == 2
    assert due(database) == [one, two]
    assert database.write(queue.hasten, 42, NOW) == 0


def test_a_settled_row_is_gone_once(database: Database) -> None:
    one, two = put(database, "x@b.mssante.fr", "y@c.mssante.fr")
    assert database.write(queue.settle, one)
    assert not database.write(queue.settle, one)
    assert database.read(queue.get, one) is None
    assert due(database) == [two]


def test_content_is_needed_until_its_last_row_is_settled(database: Database) -> None:
    one, two = put(database, "x@b.mssante.fr", "y@c.mssante.fr", blob=5)
    other = put(database, "z@b.mssante.fr", blob=6)[0]
    database.write(queue.settle, one)
    assert database.read(blobs.unneeded, [5]) == []
    database.write(queue.settle, two)
    assert database.read(blobs.unneeded, [5]) == [5]
    assert database.read(blobs.unneeded, [6]) == []
    database.write(queue.settle, other)
    assert database.read(blobs.unneeded, [6]) == [6]


def test_the_listing_shows_the_oldest_first_up_to_its_limit(database: Database) -> None:
    row_ids = [put(database, f"n{n}@b.mssante.fr", at=NOW - n)[0] for n in range(5)]
    shown: list[Queued] = database.read(queue.listing, 3)
    assert [row.id for row in shown] == row_ids[:3]


def test_what_was_queued_in_a_transaction_that_failed_is_not(database: Database) -> None:
    def fail_after(connection: sa.Connection) -> None:
        queue.enqueue(connection, 1, 10, envelope("x@b.mssante.fr"), NOW, DAY)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.write(fail_after)
    assert database.read(queue.listing) == []
