"""Traces: written soon and together, counted rather than repeated, kept through trouble, forgotten by age."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa

from simulators.patience import until_async
from simulators.people import MARIE, People, address
from vaguemestre.clock import now_ms
from vaguemestre.errors import StorageFailure
from vaguemestre.identity import traces
from vaguemestre.identity.traces import Trace, Tracer
from vaguemestre.mailstore import sharing
from vaguemestre.storage.database import Database


@pytest.fixture
def people(database: Database) -> People:
    """The operator's people."""
    return People(database)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits a second."""
    monkeypatch.setattr(traces, "_PAUSE_S", 0.01)


def of(people: People, account_id: int) -> list[Trace]:
    return people.database.read(traces.of_account, account_id)


def traced(people: People, do: Callable[[Tracer], Awaitable[None] | None]) -> None:
    """Let `do` note traces, then close."""

    async def within() -> None:
        tracer = Tracer(people.database)
        waiting = do(tracer)
        if waiting is not None:
            await waiting
        await tracer.close()

    asyncio.run(within())


def test_a_trace_says_who_what_when_and_the_outcome(people: People) -> None:
    people.account("marie")
    grant = people.holder("marie")
    before = now_ms()

    def note(tracer: Tracer) -> None:
        tracer.note(grant.account_id, grant.person.id, 7, "imap", "open", "OK", "SELECT", "12")
        tracer.note(grant.account_id, 0, 8, "submission", "send", "550 5.7.1", "DATA")

    traced(people, note)
    opened, sent = of(people, grant.account_id)
    assert before <= opened.at <= now_ms()
    assert opened == Trace(opened.at, MARIE, MARIE, 7, "imap", "open", "SELECT", "12", "OK", 1)
    assert sent == Trace(sent.at, "", "", 8, "submission", "send", "DATA", "", "550 5.7.1", 1)


def test_like_ones_are_counted_and_cost_one_row(people: People) -> None:
    def note(tracer: Tracer) -> None:
        for number in range(1000):
            tracer.note(1, 2, 3, "imap", "read", "OK", "FETCH", str(number % 2))

    traced(people, note)
    assert [(each.target, each.times) for each in of(people, 1)] == [("0", 500), ("1", 500)]


def test_they_are_written_while_the_session_goes_on(people: People) -> None:
    async def note(tracer: Tracer) -> None:
        tracer.note(1, 2, 3, "imap", "read", "OK")
        await until_async(lambda: of(people, 1), "traces in the store")
        tracer.note(1, 2, 3, "imap", "read", "OK")

    traced(people, note)
    assert [each.times for each in of(people, 1)] == [1, 1]


def test_more_than_one_statement_holds_are_all_written(people: People) -> None:
    def note(tracer: Tracer) -> None:
        for number in range(12_000):
            tracer.note(1, 2, 3, "imap", "read", "OK", "FETCH", str(number))

    traced(people, note)
    assert people.database.read(lambda c: c.execute(sa.text("SELECT count(*) FROM traces")).scalar()) == 12_000


def test_what_the_store_refuses_is_kept_for_the_next_time(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []
    right = traces.append

    def append(connection: sa.Connection, parts: list[list[Any]]) -> list[None]:
        tries.append(sum(map(len, parts)))
        if len(tries) < 4:
            raise StorageFailure("The disk is full.")
        return right(connection, parts)

    monkeypatch.setattr(traces, "append", append)

    async def note(tracer: Tracer) -> None:
        tracer.note(1, 2, 3, "imap", "read", "OK")
        await until_async(lambda: tries, "a try")
        tracer.note(1, 2, 3, "imap", "read", "OK")
        await until_async(lambda: of(people, 1), "traces in the store")

    traced(people, note)
    assert sum(each.times for each in of(people, 1)) == 2


def test_very_many_that_cannot_be_written_do_not_fill_memory(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "_MOST_WAITING", 100)
    monkeypatch.setattr(traces, "_PAUSE_S", 60)

    def note(tracer: Tracer) -> None:
        for number in range(1050):
            tracer.note(1, 2, 3, "imap", "read", "OK", "FETCH", str(number))
        assert tracer.waiting <= 100

    traced(people, note)
    assert len(of(people, 1)) == 50


def test_a_store_that_closes_ends_the_traces_without_a_fuss(people: People) -> None:
    async def within() -> None:
        tracer = Tracer(people.database)
        tracer.note(1, 2, 3, "imap", "read", "OK")
        await asyncio.to_thread(people.database.close)
        await tracer.close()

    asyncio.run(within())


def test_they_are_forgotten_by_age_a_part_at_a_time(people: People) -> None:
    rows = [((1, 2, 3, "imap", "read", "", str(at), "OK"), at, 1) for at in range(1000, 1025)]
    people.database.write(traces.append, [rows])
    forgotten = []
    while count := people.database.write(traces.forget, 1020, 8):
        forgotten.append(count)
    assert forgotten == [8, 8, 4]
    assert [each.at for each in of(people, 1)] == list(range(1020, 1025))


def test_they_are_read_between_two_moments_the_last_ones_first_kept(people: People) -> None:
    account = people.account("marie")
    rows = [((account.id, 2, 3, "imap", "read", "", str(at), "OK"), at, 1) for at in range(1000, 1010)]
    people.database.write(traces.append, [rows])
    read = people.database.read(sharing.traces_of, address("marie"), 1002, 1008, 3)
    assert [each.at for each in read] == [1005, 1006, 1007]
    assert [each.at for each in people.database.read(sharing.traces_of, address("marie"), 1008, None, 100)] == [
        1008,
        1009,
    ]
