"""What a function announces is told once it is durable, in order, before its caller wakes; what is undone never was."""

import asyncio
import threading
from collections.abc import Sequence

import pytest
import sqlalchemy as sa
from tests.conftest import Place

from vaguemestre.errors import StorageFailure, VaguemestreError
from vaguemestre.storage.database import Database, announce, savepoint

facts_told = sa.Table("facts_told", sa.MetaData(), sa.Column("fact", sa.Text, primary_key=True))


class OddityError(VaguemestreError):
    """A fact of some domain."""


class Listener:
    """Hears facts, and what the store holds at that moment."""

    def __init__(self, database: Database) -> None:
        self.heard: list[list[object]] = []
        self.stored: list[set[str]] = []
        self.threads: set[str] = set()
        self._database = database
        database.listen(self.hear)

    def hear(self, facts: Sequence[object]) -> None:
        self.heard.append(list(facts))
        self.stored.append(self._database.read(stored))
        self.threads.add(threading.current_thread().name)


def stored(connection: sa.Connection) -> set[str]:
    return set(connection.execute(sa.select(facts_told.c.fact)).scalars())


def tell(connection: sa.Connection, *facts: str) -> None:
    for fact in facts:
        connection.execute(sa.insert(facts_told), {"fact": fact})
        announce(connection, fact)


def tell_all(connection: sa.Connection, facts: Sequence[str]) -> list[str]:
    tell(connection, *facts)
    if "odd" in facts:
        raise OddityError("That is odd.")
    return list(facts)


def tell_and_raise(connection: sa.Connection, fact: str) -> None:
    tell(connection, fact)
    raise OddityError("That is odd.")


@pytest.fixture
def database(database: Database) -> Database:
    """With a table for what is told."""
    database.write(facts_told.create)
    return database


def test_facts_are_told_in_order_once_they_are_durable(database: Database) -> None:
    listener = Listener(database)
    database.write(tell, "one", "two")
    database.write(tell, "three")
    assert listener.heard == [["one", "two"], ["three"]]
    assert listener.stored == [{"one", "two"}, {"one", "two", "three"}]
    assert listener.threads == {"writer"}


def test_a_write_that_announces_nothing_tells_nothing(database: Database) -> None:
    listener = Listener(database)
    database.write(stored)
    assert listener.heard == []


def test_what_a_function_that_raises_announced_is_forgotten(database: Database) -> None:
    listener = Listener(database)
    with pytest.raises(OddityError):
        database.write(tell_and_raise, "lost")
    database.write(tell, "kept")
    assert listener.heard == [["kept"]]


def test_what_an_undone_savepoint_announced_is_forgotten(database: Database) -> None:
    listener = Listener(database)

    def undone(connection: sa.Connection) -> None:
        with savepoint(connection):
            tell(connection, "within")
            with savepoint(connection):
                tell(connection, "deeper")
            raise OddityError("That is odd.")

    def partly(connection: sa.Connection) -> None:
        tell(connection, "before")
        with pytest.raises(OddityError):
            undone(connection)
        with savepoint(connection):
            tell(connection, "after")

    database.write(partly)
    assert listener.heard == [["before", "after"]]
    assert listener.stored == [{"before", "after"}]


def test_of_a_batch_with_a_bad_item_the_others_are_told(database: Database) -> None:
    listener = Listener(database)

    async def together() -> list[object]:
        gate = threading.Event()
        held = database.write_async(lambda connection: gate.wait() and None)
        waiting = asyncio.ensure_future(held)
        await asyncio.sleep(0)
        items = [database.write_together(tell_all, fact) for fact in ("a", "odd", "b")]
        gate.set()
        await waiting
        return await asyncio.gather(*items, return_exceptions=True)

    first, odd, last = asyncio.run(together())
    assert (first, last) == ("a", "b")
    assert isinstance(odd, OddityError)
    assert listener.heard == [["a", "b"]]
    assert listener.stored == [{"a", "b"}]


def test_writers_of_one_batch_are_told_of_together(database: Database) -> None:
    listener = Listener(database)

    async def together() -> None:
        gate = threading.Event()
        waiting = asyncio.ensure_future(database.write_async(lambda connection: gate.wait() and None))
        await asyncio.sleep(0)
        items = [database.write_async(tell, fact) for fact in ("a", "b", "c")]
        rest = asyncio.gather(*items)
        await asyncio.sleep(0)
        gate.set()
        await waiting
        await rest

    asyncio.run(together())
    assert [fact for facts in listener.heard for fact in facts] == ["a", "b", "c"]


def test_the_caller_wakes_after_the_listeners_heard(database: Database) -> None:
    heard: list[object] = []
    database.listen(heard.extend)

    async def write() -> list[object]:
        await database.write_async(tell, "now")
        return list(heard)

    assert asyncio.run(write()) == ["now"]


def test_a_listener_that_raises_is_logged_and_the_others_hear(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(facts: Sequence[object]) -> None:
        raise RuntimeError(f"{len(facts)} too many")

    database.listen(broken)
    listener = Listener(database)
    database.write(tell, "one")
    database.write(tell, "two")
    assert listener.heard == [["one"], ["two"]]
    shown = capsys.readouterr()
    assert "listener failed" in shown.out + shown.err


def test_a_transaction_that_fails_tells_nothing(database: Database) -> None:
    listener = Listener(database)

    def lose(connection: sa.Connection, facts: Sequence[str]) -> list[str]:
        tell(connection, *facts)
        raise OSError("no space left on device")

    async def write() -> None:
        with pytest.raises(StorageFailure):
            await database.write_together(lose, "lost")

    asyncio.run(write())
    database.write(tell, "kept")
    assert listener.heard == [["kept"]]


def test_facts_stay_within_the_process_that_commits(place: Place) -> None:
    here, elsewhere = place.open(), place.open()
    here.write(facts_told.create)
    listener = Listener(here)
    elsewhere.write(tell, "unheard")
    assert listener.heard == []
    assert here.read(stored) == {"unheard"}
