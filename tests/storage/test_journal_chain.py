"""The journal's chain: entries commit with their facts, nothing in it can change unseen, persons can be erased."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vaguemestre.errors import StorageFailure
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event, entry_hash
from vaguemestre.evidence.journal import Verdict
from vaguemestre.evidence.tables import journal as rows
from vaguemestre.evidence.tables import journal_head
from vaguemestre.storage.database import Database

LENGTH = 12


class Undone(Exception):
    """Raised to undo a transaction."""


def entry(n: int, *, personal: bool = True) -> Entry:
    """An entry of message n % 4."""
    return Entry(
        Event.ACCEPTANCE,
        f"message{n % 4}",
        {"n": n, "peer": "CN=é"},
        {"from": f"dr.{n}@a.mssante.fr"} if personal else {},
    )


def verified(database: Database) -> Verdict:
    return database.read(journal.verify)


@pytest.fixture
def chain(database: Database) -> Database:
    """A store with LENGTH entries, every third without a personal part."""
    for n in range(0, LENGTH, 4):
        database.write(journal.append, [entry(m, personal=m % 3 != 0) for m in range(n, n + 4)])
    return database


def test_an_empty_journal_verifies(database: Database) -> None:
    assert verified(database) == Verdict(0, bytes(32).hex(), None)
    assert database.read(journal.log) == []


def test_a_chain_verifies_and_numbers_entries_without_a_gap(chain: Database) -> None:
    found = verified(chain)
    recorded = chain.read(journal.log)
    assert (found.entries, found.broken_at) == (LENGTH, None)
    assert [each.seq for each in recorded] == list(range(1, LENGTH + 1))
    assert found.head == recorded[-1].hash


def test_an_entry_reads_as_it_was_written(chain: Database) -> None:
    first, second = chain.read(journal.log)[:2]
    assert (second.event, second.subject, second.facts) == ("acceptance", "message1", {"n": 1, "peer": "CN=é"})
    assert (first.personal, second.personal) == ({}, {"from": "dr.1@a.mssante.fr"})


def test_the_hash_is_the_documented_one(database: Database) -> None:
    """RFC 6962 leaf hash over canonical JSON, computed here without the code that writes it."""
    import hashlib
    import json

    database.write(journal.append, [entry(1)])
    row = database.read(lambda connection: connection.execute(sa.select(rows)).one())
    digest = hashlib.sha256(row.salt + b'{"from":"dr.1@a.mssante.fr"}').hexdigest()
    facts = json.dumps({"n": 1, "peer": "CN=é"}, separators=(",", ":"), ensure_ascii=False)
    fields = [1, row.at, "acceptance", "message1", facts, digest, "00" * 32]
    leaf = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
    assert row.hash == hashlib.sha256(b"\x00" + leaf.encode()).digest()


def test_appending_nothing_changes_nothing(database: Database) -> None:
    assert database.write(journal.append, []) == []
    assert verified(database).entries == 0


def test_append_returns_the_numbers_given(chain: Database) -> None:
    assert chain.write(journal.append, [entry(1), entry(2)]) == [LENGTH + 1, LENGTH + 2]


def test_an_entry_is_part_of_its_fact_s_transaction(chain: Database) -> None:
    def fail_after(connection: sa.Connection) -> None:
        journal.append(connection, [entry(1)])
        raise Undone

    before = verified(chain)
    with pytest.raises(Undone):
        chain.write(fail_after)
    assert verified(chain) == before
    assert chain.write(journal.append, [entry(1)]) == [LENGTH + 1]


def test_the_log_pages_forward_and_shows_the_newest_and_one_subject(chain: Database) -> None:
    def numbers(**wanted: Any) -> list[int]:
        return [each.seq for each in chain.read(lambda connection: journal.log(connection, **wanted))]

    assert numbers(limit=5) == [1, 2, 3, 4, 5]
    assert numbers(after=5, limit=5) == [6, 7, 8, 9, 10]
    assert numbers(limit=3, newest=True) == [10, 11, 12]
    assert numbers(subject="message1") == [2, 6, 10]
    assert numbers(subject="message1", after=2, limit=1) == [6]
    assert numbers(subject="nobody") == []


def test_a_long_chain_is_verified_page_by_page(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_PAGE", 7)
    for length in (6, 1, 7, 3):
        database.write(journal.append, [entry(n) for n in range(length)])
        assert verified(database).broken_at is None
    assert verified(database).entries == 17


_CHANGES: dict[str, st.SearchStrategy[Any]] = {
    "at": st.integers(0, 2**40),
    "event": st.sampled_from(["refusal", "acceptance", ""]),
    "subject": st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=10),
    "facts": st.sampled_from(["{}", '{"n": 1}', '{"n":7,"peer":"CN=\u00e9"}', ""]),
    "personal": st.binary(max_size=30),
    "salt": st.none() | st.binary(max_size=16),
    "personal_digest": st.binary(max_size=32),
    "hash": st.binary(max_size=32),
}


@given(
    change=st.sampled_from(sorted(_CHANGES)).flatmap(lambda name: st.tuples(st.just(name), _CHANGES[name])),
    data=st.data(),
)
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_altered_entry_is_found(chain: Database, change: tuple[str, Any], data: st.DataObject) -> None:
    column, value = change
    seq = data.draw(st.integers(1, LENGTH))

    def alter(connection: sa.Connection) -> None:
        row = rows.c.seq == seq
        before = connection.execute(sa.select(rows).where(row)).one()._mapping[column]
        connection.execute(sa.update(rows).where(row).values({column: value}))
        if value == before:
            assert journal.verify(connection).broken_at is None
        else:
            broken_at = journal.verify(connection).broken_at
            assert broken_at == seq, f"{column} of {seq}: {before!r} became {value!r}"
        raise Undone

    with pytest.raises(Undone):
        chain.write(alter)


@given(gone=st.sets(st.integers(1, LENGTH), min_size=1))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_removed_entries_are_found(chain: Database, gone: set[int]) -> None:
    def remove(connection: sa.Connection) -> None:
        connection.execute(sa.delete(rows).where(rows.c.seq.in_(gone)))
        assert journal.verify(connection).broken_at == min(gone)
        raise Undone

    with pytest.raises(Undone):
        chain.write(remove)


@given(place=st.sampled_from([-(2**63), -1, 0, *range(1, LENGTH + 3)]), rehash=st.booleans())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_inserted_entry_is_found(chain: Database, place: int, rehash: bool) -> None:
    """Even with a hash of its own that fits what is before it, and what follows moved out of its way."""

    def insert(connection: sa.Connection) -> None:
        table = connection.execute(sa.select(rows).order_by(rows.c.seq)).all()
        previous = table[place - 2].hash if 2 <= place <= LENGTH + 1 else bytes(32)
        for row in reversed(table):
            if row.seq >= place > 0:
                connection.execute(sa.update(rows).where(rows.c.seq == row.seq).values(seq=row.seq + 1))
        forged = {"seq": place, "at": 1, "event": "relay", "subject": "", "facts": "{}", "personal_digest": b""}
        own = entry_hash(place, 1, "relay", "", "{}", b"", previous) if rehash else bytes(32)
        connection.execute(sa.insert(rows), {**forged, "hash": own})
        assert journal.verify(connection).broken_at is not None
        raise Undone

    with pytest.raises(Undone):
        chain.write(insert)


@given(pair=st.lists(st.integers(1, LENGTH), min_size=2, max_size=2, unique=True))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_entries_that_changed_places_are_found(chain: Database, pair: list[int]) -> None:
    def swap(connection: sa.Connection) -> None:
        for old, new in ((pair[0], 1000), (pair[1], pair[0]), (1000, pair[1])):
            connection.execute(sa.update(rows).where(rows.c.seq == old).values(seq=new))
        assert journal.verify(connection).broken_at == min(pair)
        raise Undone

    with pytest.raises(Undone):
        chain.write(swap)


@pytest.mark.parametrize("change", [{"seq": LENGTH - 1}, {"seq": LENGTH + 1}, {"hash": bytes(32)}])
def test_a_head_that_does_not_fit_is_found(chain: Database, change: dict[str, Any]) -> None:
    chain.write(lambda connection: connection.execute(sa.update(journal_head).values(change)))
    assert verified(chain).broken_at == LENGTH + 1


def test_a_missing_head_is_found(chain: Database) -> None:
    chain.write(lambda connection: connection.execute(sa.delete(journal_head)))
    assert verified(chain).broken_at == LENGTH + 1


def test_erasing_a_person_keeps_the_chain_and_the_facts(chain: Database) -> None:
    before = chain.read(journal.log)
    head = verified(chain)
    assert chain.write(journal.erase_person, "message1") == 2  # of three: one names nobody
    after = chain.read(journal.log)
    assert verified(chain) == head
    assert [each.facts for each in after] == [each.facts for each in before]
    assert [each.seq for each in before if each.personal and after[each.seq - 1].personal is None] == [
        seq for seq in (2, 6, 10) if before[seq - 1].personal
    ]
    left = chain.read(lambda connection: connection.execute(sa.select(rows.c.salt, rows.c.personal)).all())
    assert all((row.salt is None) == (row.personal is None) for row in left)
    assert chain.write(journal.append, [entry(1)]) == [LENGTH + 1]
    assert verified(chain).broken_at is None


def test_an_erased_person_cannot_be_put_back_as_another(chain: Database) -> None:
    chain.write(journal.erase_person, "message1")
    forged = {"salt": bytes(16), "personal": b'{"from":"dr.somebody@else.example"}'}
    chain.write(lambda connection: connection.execute(sa.update(rows).where(rows.c.seq == 2).values(forged)))
    assert verified(chain).broken_at == 2


def test_writers_of_several_processes_keep_one_chain_without_a_gap(place: Any) -> None:
    """From the very first entry on, that every process wants to write."""
    writers, each = 3, 20
    databases = [place.open() for _ in range(writers)]
    ready = threading.Barrier(writers)

    def write(database: Database) -> list[int]:
        ready.wait(30)
        return [seq for n in range(each) for seq in database.write(journal.append, [entry(n), entry(n + 1)])]

    with ThreadPoolExecutor(writers) as pool:
        told = [seq for job in [pool.submit(write, database) for database in databases] for seq in job.result()]
    assert sorted(told) == list(range(1, writers * each * 2 + 1))
    assert verified(databases[0]) == verified(databases[1])
    assert (verified(databases[0]).entries, verified(databases[0]).broken_at) == (writers * each * 2, None)


def test_the_database_refuses_a_second_entry_of_one_number(chain: Database) -> None:
    def repeat(connection: sa.Connection) -> None:
        row = connection.execute(sa.select(rows).where(rows.c.seq == 1)).one()
        connection.execute(sa.insert(rows), dict(row._mapping))

    with pytest.raises(StorageFailure):
        chain.write(repeat)
