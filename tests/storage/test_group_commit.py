"""Group commit keeps its word on both stores: what `write` returned is there, what raised left nothing."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vaguemestre.errors import StorageFailure, VaguemestreError
from vaguemestre.storage.bulk import Statement
from vaguemestre.storage.database import Database

notes = sa.Table("notes", sa.MetaData(), sa.Column("n", sa.Integer, primary_key=True), sa.Column("text", sa.Text))
counter = sa.Table("counter", sa.MetaData(), sa.Column("n", sa.Integer, nullable=False))


class OddityError(VaguemestreError):
    """A fact of some domain."""


def note(connection: sa.Connection, n: int) -> int:
    connection.execute(sa.insert(notes), {"n": n, "text": "kept"})
    return n


def note_and_raise(connection: sa.Connection, n: int) -> int:
    note(connection, n)
    raise OddityError(f"{n} is odd.")


def note_all(connection: sa.Connection, numbers: Sequence[int]) -> list[int]:
    """Notes many; negative ones are refused, after some were noted already."""
    for n in numbers:
        note(connection, n)
        if n < 0:
            raise OddityError(f"{n} is odd.")
    return [n * 10 for n in numbers]


def noted(connection: sa.Connection) -> list[int]:
    return list(connection.execute(sa.select(notes.c.n).order_by(notes.c.n)).scalars())


@pytest.fixture
def database(database: Database) -> Database:
    """With a table for notes."""
    database.write(notes.create)
    return database


class Commits:
    """Counts the commits of a database's writer."""

    def __init__(self, database: Database) -> None:
        self.count = 0
        sa.event.listen(database._writing, "commit", self._counted)

    def _counted(self, connection: sa.Connection) -> None:
        self.count += 1


@contextlib.asynccontextmanager
async def one_batch(database: Database) -> AsyncIterator[None]:
    """What is submitted inside waits while the writer is held, and so makes one batch."""
    entered, gate = threading.Event(), threading.Event()

    def hold(connection: sa.Connection) -> None:
        entered.set()
        assert gate.wait(30)

    held = asyncio.create_task(database.write_async(hold))
    await asyncio.to_thread(entered.wait)
    try:
        yield
    finally:
        await asyncio.sleep(0)  # every task made inside has submitted once it ran so far
        gate.set()
        await held


def test_what_write_returned_is_visible_to_every_reader_and_process(place: Any, database: Database) -> None:
    other = place.open()
    for n in range(5):
        assert database.write(note, n) == n
        assert database.read(noted) == list(range(n + 1))
        assert other.read(noted) == list(range(n + 1))


def test_what_write_returned_is_there_after_closing(place: Any, database: Database) -> None:
    database.write(note, 1)
    database.close()
    assert place.open().read(noted) == [1]


_KILLED = """
import sys
from pathlib import Path
import sqlalchemy as sa
from vaguemestre.storage import database as databases
kind, where = sys.argv[1:]
database = (databases.open_sqlcipher(Path(where), bytes(range(32))) if kind == "sqlcipher"
            else databases.open_postgresql(where))
def note(connection, n):
    connection.execute(sa.text("INSERT INTO notes (n, text) VALUES (:n, '')"), {"n": n})
for n in range(1_000_000):
    database.write(note, n)
    print(n, flush=True)
"""


def test_what_write_returned_survives_the_death_of_its_process(place: Any, database: Database) -> None:
    arguments = [sys.executable, "-c", _KILLED, place.kind, place.where]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as writing:
        assert writing.stdout is not None
        told = [int(writing.stdout.readline()) for _ in range(20)]
        writing.send_signal(signal.SIGKILL)
        told += [int(line) for line in writing.stdout.read().splitlines()]
    found = database.read(noted)
    assert found[: len(told)] == told
    assert len(found) <= len(told) + 1  # the one that was committed and not told, at most


def test_a_function_that_raises_leaves_nothing(database: Database) -> None:
    with pytest.raises(OddityError, match="3 is odd"):
        database.write(note_and_raise, 3)
    assert database.read(noted) == []


def test_a_defect_reaches_its_caller_and_leaves_nothing(database: Database) -> None:
    def divide(connection: sa.Connection) -> float:
        note(connection, 1)
        return 1 / 0

    with pytest.raises(ZeroDivisionError):
        database.write(divide)
    assert database.read(noted) == []


def test_what_the_database_refuses_becomes_a_storage_failure(database: Database) -> None:
    database.write(note, 1)
    with pytest.raises(StorageFailure):
        database.write(note, 1)
    with pytest.raises(StorageFailure):
        database.read(lambda connection: connection.execute(sa.text("SELECT * FROM nowhere")))
    assert database.read(noted) == [1]


def test_a_function_may_catch_its_own_error_and_undo_its_part(database: Database) -> None:
    def careful(connection: sa.Connection) -> str:
        note(connection, 1)
        try:
            with connection.begin_nested():
                note_and_raise(connection, 2)
        except OddityError:
            note(connection, 3)
        return "done"

    assert database.write(careful) == "done"
    assert database.read(noted) == [1, 3]


def test_one_that_raises_harms_nobody_of_its_batch(database: Database) -> None:
    async def submit() -> list[Any]:
        commits = Commits(database)
        async with one_batch(database):
            tasks = [
                asyncio.create_task(database.write_async(note_and_raise if n % 3 == 0 else note, n)) for n in range(9)
            ]
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert commits.count == 2  # the one that held the writer, and this batch
        return outcomes

    outcomes = asyncio.run(submit())
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, OddityError)] == [0, 3, 6]
    assert database.read(noted) == [1, 2, 4, 5, 7, 8]


def test_a_wrong_statement_harms_nobody_of_its_batch(database: Database) -> None:
    def wrong(connection: sa.Connection, n: int) -> None:
        note(connection, n)
        connection.execute(sa.text("INSERT INTO nowhere VALUES (1)"))

    def wrong_together(connection: sa.Connection, numbers: Sequence[int]) -> list[None]:
        return [wrong(connection, n) for n in numbers]

    async def submit() -> list[Any]:
        async with one_batch(database):
            futures = [
                database.write_together(note_all, 1),
                asyncio.ensure_future(database.write_async(wrong, 2)),
                database.write_together(wrong_together, 3),
                database.write_together(note_all, 4),
                asyncio.ensure_future(database.write_async(note, 5)),
            ]
        return await asyncio.gather(*futures, return_exceptions=True)

    outcomes = asyncio.run(submit())
    assert [outcomes[0], outcomes[3], outcomes[4]] == [10, 40, 5]
    assert all(isinstance(outcomes[n], StorageFailure) for n in (1, 2))
    assert database.read(noted) == [1, 4, 5]


def test_items_of_one_function_run_as_one_call_in_order(database: Database) -> None:
    calls: list[list[int]] = []

    def counted(connection: sa.Connection, numbers: Sequence[int]) -> list[int]:
        calls.append(list(numbers))
        return note_all(connection, numbers)

    async def submit() -> list[int]:
        async with one_batch(database):
            futures = [database.write_together(counted, n) for n in range(20)]
        return await asyncio.gather(*futures)

    assert asyncio.run(submit()) == [n * 10 for n in range(20)]
    assert calls == [list(range(20))]
    assert database.read(noted) == list(range(20))


def test_a_bad_item_fails_alone(database: Database) -> None:
    async def submit() -> list[Any]:
        async with one_batch(database):
            futures = [database.write_together(note_all, n) for n in (1, 2, -3, 4, -5)]
        return await asyncio.gather(*futures, return_exceptions=True)

    outcomes = asyncio.run(submit())
    assert outcomes[0:2] + outcomes[3:4] == [10, 20, 40]
    assert [str(outcomes[n]) for n in (2, 4)] == ["-3 is odd.", "-5 is odd."]
    assert database.read(noted) == [1, 2, 4]


def test_writes_run_in_the_order_they_were_submitted(database: Database) -> None:
    ran: list[str] = []

    def run(connection: sa.Connection, name: str) -> None:
        ran.append(name)

    def run_all(connection: sa.Connection, names: Sequence[str]) -> list[None]:
        return [ran.append("+" + name) for name in names]  # type: ignore[func-returns-value]

    async def submit() -> None:
        async with one_batch(database):
            tasks = [asyncio.ensure_future(database.write_async(run, "a"))]
            await asyncio.sleep(0)
            tasks.append(database.write_together(run_all, "b"))
            tasks.append(asyncio.ensure_future(database.write_async(run, "c")))
            await asyncio.sleep(0)
            tasks.append(database.write_together(run_all, "d"))
        await asyncio.gather(*tasks)

    asyncio.run(submit())
    assert ran == ["a", "+b", "+d", "c"]  # items of one function stand at the place of the first


def test_many_threads_and_tasks_are_each_served_once(database: Database) -> None:
    threads, tasks, each = 6, 100, 30

    def begin(connection: sa.Connection) -> None:
        counter.create(connection)
        connection.execute(sa.insert(counter), {"n": 0})

    def increment(connection: sa.Connection) -> int:
        return connection.execute(sa.update(counter).values(n=counter.c.n + 1).returning(counter.c.n)).scalar_one()

    async def from_tasks() -> list[int]:
        return await asyncio.gather(*(database.write_async(increment) for _ in range(tasks)))

    database.write(begin)
    with ThreadPoolExecutor(threads + 2) as pool:
        loops = [pool.submit(lambda: asyncio.run(from_tasks())) for _ in range(2)]
        others = [pool.submit(lambda: [database.write(increment) for _ in range(each)]) for _ in range(threads)]
        told = [n for job in (*loops, *others) for n in job.result()]
    assert sorted(told) == list(range(1, 2 * tasks + threads * each + 1))


def test_closing_finishes_what_waits_and_then_takes_no_more(place: Any, database: Database, until: Any) -> None:
    async def submit() -> list[Any]:
        async with one_batch(database):
            waiting = [database.write_together(note_all, n) for n in range(10)]
            waiting += [asyncio.ensure_future(database.write_async(note, n)) for n in range(10, 20)]
            await asyncio.sleep(0)
            closing = asyncio.create_task(asyncio.to_thread(database.close))
            await asyncio.to_thread(until, lambda: database._closing)
            with pytest.raises(StorageFailure):
                database.write_together(note_all, 98)
            with pytest.raises(StorageFailure):
                await database.write_async(note, 99)
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        await closing
        return outcomes

    assert asyncio.run(submit()) == [n * 10 for n in range(10)] + list(range(10, 20))
    assert place.open().read(noted) == list(range(20))


def test_a_closed_database_says_so(database: Database) -> None:
    database.close()
    with pytest.raises(StorageFailure):
        database.write(note, 1)
    with pytest.raises(StorageFailure):
        database.read(noted)
    with pytest.raises(StorageFailure):
        asyncio.run(database.read_async(noted))


def test_a_cancelled_wait_undoes_nothing_and_harms_nobody(database: Database) -> None:
    async def submit() -> None:
        complaints: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
        async with one_batch(database):
            gone = [asyncio.create_task(database.write_async(note, 1)), database.write_together(note_all, 2)]
            gone += [asyncio.create_task(database.write_async(note_and_raise, 3))]
            kept = asyncio.create_task(database.write_async(note, 4))
            await asyncio.sleep(0)
            for each in gone:
                each.cancel()
        assert await kept == 4
        assert all(each.cancelled() for each in gone)
        assert complaints == []

    asyncio.run(submit())
    assert database.read(noted) == [1, 2, 4]


def test_a_loop_that_ends_before_its_answer_stops_nobody(database: Database) -> None:
    entered, gate = threading.Event(), threading.Event()

    def hold(connection: sa.Connection) -> None:
        entered.set()
        assert gate.wait(30)
        note(connection, 1)

    async def leave() -> None:
        database.write_together(lambda connection, items: [hold(connection) for _ in items], None)
        await asyncio.to_thread(entered.wait)

    asyncio.run(leave())
    gate.set()
    assert database.write(note, 2) == 2
    assert database.read(noted) == [1, 2]


def noted_by_the_driver(connection: sa.Connection) -> list[int]:
    return [row[0] for row in Statement("SELECT n FROM notes ORDER BY n").run(connection)]


@pytest.mark.parametrize("look", [noted, noted_by_the_driver])
def test_a_reader_sees_one_moment(database: Database, look: Callable[[sa.Connection], list[int]]) -> None:
    database.write(note, 1)
    seen, written = threading.Event(), threading.Event()

    def look_twice(connection: sa.Connection) -> tuple[list[int], list[int]]:
        first = look(connection)
        seen.set()
        assert written.wait(30)
        return first, look(connection)

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(database.read, look_twice)
        assert seen.wait(30)
        database.write(note, 2)
        written.set()
        assert looking.result() == ([1], [1])
    assert database.read(noted) == [1, 2]


def test_a_reader_changes_nothing(database: Database) -> None:
    with contextlib.suppress(StorageFailure):
        database.read(note, 1)
    assert database.read(noted) == []
    assert database.write(note, 2) == 2


@given(kinds=st.lists(st.sampled_from(["kept", "raised", "together", "together-raised", "clash"]), max_size=25))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_batch_leaves_exactly_what_it_acknowledged(database: Database, kinds: list[str]) -> None:
    actions: dict[str, Callable[[int], Any]] = {
        "kept": lambda n: database.write_async(note, n),
        "raised": lambda n: database.write_async(note_and_raise, n),
        "together": lambda n: database.write_together(note_all, n),
        "together-raised": lambda n: database.write_together(note_all, -n),
        "clash": lambda n: database.write_async(note, 0),
    }

    async def submit() -> list[Any]:
        async with one_batch(database):
            tasks = [asyncio.ensure_future(actions[kind](n)) for n, kind in enumerate(kinds, 1)]
        return await asyncio.gather(*tasks, return_exceptions=True)

    database.write(lambda connection: connection.execute(sa.delete(notes)))
    database.write(note, 0)
    outcomes = asyncio.run(submit())
    kept = [n for n, kind in enumerate(kinds, 1) if kind in ("kept", "together")]
    assert [n for n, outcome in enumerate(outcomes, 1) if not isinstance(outcome, Exception)] == kept
    assert database.read(noted) == [0, *kept]


def test_a_waiter_that_cannot_be_told_keeps_no_other_waiting(database: Database) -> None:
    async def submit() -> list[Any]:
        async with one_batch(database):
            settled = database.write_together(note_all, 1)
            others = [database.write_together(note_all, n) for n in (2, 3)]
            settled.set_result(None)  # by a defect, before its time
        return await asyncio.wait_for(asyncio.gather(*others), 30)

    assert asyncio.run(submit()) == [20, 30]
    assert database.read(noted) == [1, 2, 3]
