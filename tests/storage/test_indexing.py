"""Indexing: each message once, whatever happens to it, to others or to the worker; what is deleted leaves."""

import asyncio
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from hypothesis import given
from hypothesis import strategies as st

from simulators.archive import KARIM, MARIE, Archive
from vaguemestre.documents import compilation
from vaguemestre.documents.concordance import MOST_ENTRIES
from vaguemestre.errors import StorageFailure
from vaguemestre.mailstore import concordances, indexer, indexing, search
from vaguemestre.mailstore.extraction import ExtractionFailure, Extractor, UnreadableMessageError
from vaguemestre.mailstore.indexer import BATCH, MOST_OCTETS, Indexer, together
from vaguemestre.mailstore.tables import concordances as concordance_rows
from vaguemestre.mailstore.tables import forgotten, messages, to_index
from vaguemestre.storage import schema
from vaguemestre.storage.blobs import BlobReader, BlobStore, blobs
from vaguemestre.storage.database import Database
from vaguemestre.storage.sealing import UnsealingFailure
from vaguemestre.storage.sheets import sheets

KILLS = 12
Until = Callable[[Callable[[], bool]], None]


@pytest.fixture
def archive(database: Database, blob_store: BlobStore, extractor: Extractor) -> Archive:
    """Two empty accounts."""
    return Archive(database, blob_store, extractor)


def _letter(number: int, text: str = "") -> str:
    return f"From: a@b.fr\nSubject: Lettre {number}\n\nNombre{number} commun {text}\n"


def _count(archive: Archive, table: sa.Table) -> int:
    return archive.database.read(lambda c: c.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def test_a_message_waits_from_its_delivery_and_is_indexed_once(archive: Archive) -> None:
    numbers = archive.deliver(*map(_letter, range(3)))
    assert archive.waiting(MARIE) == 3
    assert archive.held() == []
    assert archive.index() == 3
    assert archive.waiting() == 0
    assert sorted(archive.held()) == numbers
    assert archive.index() == 0


def test_a_delivery_that_fails_leaves_nothing_to_index(archive: Archive) -> None:
    def deliver(connection: sa.Connection) -> None:
        archive._deliver(connection, [b"Subject: x\r\n\r\nx"], archive.accounts[MARIE])
        raise RuntimeError

    with pytest.raises(RuntimeError):
        archive.database.write(deliver)
    assert archive.waiting() == 0


def _upgrade(connection: sa.Connection, version: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(files("vaguemestre.storage") / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, version)


_BEFORE_SEARCH = (
    "INSERT INTO messages (id, account_id, blob_id, thread_id, size, received_at, summary)"
    " VALUES (1, 2, 3, 1, 10, 1000, :summary)"
)


def test_messages_from_before_there_was_search_wait_too(new_place: Any) -> None:
    def migrate(connection: sa.Connection) -> None:
        _upgrade(connection, "0002")
        connection.execute(sa.text(_BEFORE_SEARCH), {"summary": b"{}"})

    found = new_place.open()
    found.write(migrate)
    schema.migrate(found)
    assert [(each.account_id, each.message_id, each.blob_id) for each in found.read(indexing.due, -1, 10)] == [
        (2, 1, 3)
    ]


@pytest.mark.parametrize("waits", [False, True])
def test_what_was_indexed_in_another_format_waits_again(new_place: Any, waits: bool) -> None:
    def migrate(connection: sa.Connection) -> None:
        _upgrade(connection, "0002")
        connection.execute(sa.text(_BEFORE_SEARCH), {"summary": b"{}"})
        _upgrade(connection, "0008")
        if not waits:
            connection.execute(sa.text("DELETE FROM to_index"))
        connection.execute(sa.text("INSERT INTO forgotten (account_id, message_id, forgotten_at) VALUES (2, 9, 1)"))
        values = {"key": b"key"}
        connection.execute(
            sa.text(
                "INSERT INTO concordances (id, account_id, entries, size, key_number, wrapped_key, state)"
                " VALUES (7, 2, 1, 10, 1, :key, 'ready')"
            ),
            values,
        )

    found = new_place.open()
    found.write(migrate)
    schema.migrate(found)
    assert [each.message_id for each in found.read(indexing.due, -1, 10)] == [1]
    assert found.read(indexing.forgotten_of, 2) == {}
    assert found.read(concordances.of_account, 2) == []
    assert found.read(concordances.to_sweep, 0.0) == [7]


def test_an_account_has_few_concordances_and_every_message_in_one(archive: Archive) -> None:
    numbers = []
    for number in range(100):
        numbers += archive.deliver(_letter(number))
        archive.index()
    count, entries, _ = archive.database.read(concordances.totals, archive.accounts[MARIE])
    assert (entries, sorted(archive.held())) == (100, numbers)
    assert count <= 3 * 7
    assert archive.find("nombre42") == {numbers[42]}
    assert archive.find("commun") == set(numbers)
    assert _count(archive, concordance_rows) == count


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 100_000)), max_size=60))
def test_merging_whatever_comes_keeps_concordances_few_and_within_bounds(batches: list[tuple[int, int]]) -> None:
    kept: list[tuple[int, int]] = []
    for batch in batches:
        kept.append(batch)
        while chosen := together(kept):
            assert len(chosen) >= 2
            merged = sum(kept[place][0] for place in chosen), sum(kept[place][1] for place in chosen)
            assert merged[0] <= MOST_ENTRIES
            assert merged[1] <= MOST_OCTETS
            kept = [each for place, each in enumerate(kept) if place not in chosen] + [merged]
    assert len(kept) < 8 * 5


def test_the_largest_are_left_as_they_are() -> None:
    assert together([(MOST_ENTRIES // 2 + 1, 1)] * 20) == together([(10, MOST_OCTETS // 2 + 1)] * 20) == []
    assert together([(MOST_ENTRIES // 2, 1)] * 8) == together([(10, MOST_OCTETS // 2)] * 8) == [0, 1]
    assert together([(1, 1)] * 7) == []


def test_accounts_take_turns(archive: Archive) -> None:
    archive.deliver(*map(_letter, range(50)), to=MARIE)
    archive.deliver(*map(_letter, range(2)), to=KARIM)
    for _ in range(3):
        archive.indexer.work(10)
    assert archive.waiting(KARIM) == 0
    assert archive.waiting(MARIE) > 0


def test_a_message_that_cannot_be_read_is_set_aside_and_stops_nothing(archive: Archive) -> None:
    first, lost, last = archive.deliver(*map(_letter, range(3)))
    content = sa.select(messages.c.blob_id).where(messages.c.id == lost).scalar_subquery()
    archive.database.write(lambda c: c.execute(sa.delete(blobs).where(blobs.c.id == content)) and None)
    assert archive.find("commun") == {first, last}
    assert archive.index() == 3
    assert archive.waiting() == 0
    assert archive.find("commun") == {first, last}
    assert archive.find("lettre") == {first, lost, last}
    assert archive.find_field("subject") == {first, last}


class _Choking(Extractor):
    """A reader that dies of one message, and of all that are with it."""

    def read_together(self, contents: Sequence[tuple[int, bytes]]) -> bytes:
        if any(b"poison" in content for _, content in contents):
            raise UnreadableMessageError
        return super().read_together(contents)

    def read(self, message_id: int, content: bytes) -> bytes:
        if b"poison" in content:
            raise UnreadableMessageError
        return super().read(message_id, content)


def test_a_message_that_kills_its_reader_is_set_aside_and_stops_nothing(
    database: Database, blob_store: BlobStore
) -> None:
    extractor = _Choking(niceness=0)
    archive = Archive(database, blob_store, extractor)
    first, bad, last = archive.deliver(_letter(0), _letter(1, "poison"), _letter(2))
    for _ in range(2):
        assert archive.find("commun") == {first, last}
        assert archive.find("lettre") == {first, bad, last}
        archive.index()
    assert archive.waiting() == 0
    extractor.close()


def test_without_a_reader_messages_wait(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    (letter,) = archive.deliver(_letter(0))
    extractor = Extractor(niceness=0)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", "/bin/false")
        with pytest.raises(ExtractionFailure):
            Indexer(archive.database, archive.store, extractor).work()
    assert archive.waiting() == 1
    assert Indexer(archive.database, archive.store, extractor).work() == 1
    assert archive.held() == [letter]
    extractor.close()


def test_what_may_pass_is_tried_again_later_and_not_for_ever(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    first, late = archive.deliver(_letter(0), _letter(1))
    broken = [True]
    content = BlobReader.read

    def failing(blob: BlobReader) -> bytes:
        found = content(blob)
        if broken[0] and b"Nombre1" in found:
            raise StorageFailure("The object store does not answer.")
        return found

    monkeypatch.setattr(BlobReader, "read", failing)
    now = [time.time_ns() // 1_000_000]
    for module in (indexing, indexer):
        monkeypatch.setattr(module, "now_ms", lambda: now[0])
    archive.index()
    assert archive.held() == [first]
    assert archive.waiting() == 1
    assert archive.indexer.work() == 0, "not again at once"
    with pytest.raises(StorageFailure):  # a search is whole, or says that it cannot be
        archive.find("commun")
    for _ in range(3):
        now[0] += 24 * 3_600_000
        archive.index()
        assert archive.waiting() == 1
    broken[0] = False
    now[0] += 24 * 3_600_000
    archive.index()
    assert archive.find("commun") == {first, late}
    broken[0] = True
    (never,) = archive.deliver(_letter(1))
    for _ in range(6):
        now[0] += 24 * 3_600_000
        archive.index()
    assert archive.waiting() == 0
    assert never in archive.find("lettre")
    assert never not in archive.find("commun")


def test_what_is_deleted_leaves_the_words_with_the_next_merge(archive: Archive) -> None:
    (gone,) = archive.deliver(_letter(0, "secret"))
    archive.index()
    archive.delete(gone)
    assert b"secret" in archive.octets()
    for number in range(1, 8):
        archive.deliver(_letter(number))
        archive.index()
    assert b"secret" not in archive.octets()
    assert gone not in archive.held()
    assert _count(archive, forgotten) == 0


def test_much_that_is_deleted_leaves_at_the_next_upkeep(archive: Archive) -> None:
    numbers = archive.deliver(*map(_letter, range(20)))
    archive.index()
    archive.delete(numbers[0])
    archive.indexer.keep_up()
    assert numbers[0] in archive.held(), "one in twenty is not worth it yet"
    archive.delete(*numbers[1:4])
    archive.indexer.keep_up()
    assert sorted(archive.held()) == numbers[4:]
    assert b"nombre3" not in archive.octets()
    assert archive.find("commun") == set(numbers[4:])
    archive.delete(*numbers[4:])
    archive.indexer.keep_up()
    assert archive.held() == []
    assert _count(archive, concordance_rows) == _count(archive, sheets) == 0


def test_what_was_deleted_a_month_ago_leaves(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = archive.deliver(*map(_letter, range(20)))
    archive.index()
    archive.delete(numbers[0])
    (never_indexed,) = archive.deliver(_letter(30))
    archive.delete(never_indexed)
    assert archive.waiting() == 0
    later = time.time_ns() // 1_000_000 + 31 * 86_400_000
    monkeypatch.setattr(indexer, "now_ms", lambda: later)
    archive.indexer.keep_up()
    assert numbers[0] not in archive.held()
    assert _count(archive, forgotten) == 0


def test_a_message_deleted_while_it_is_read_is_not_found(archive: Archive) -> None:
    kept, gone = archive.deliver(_letter(0), _letter(1))

    class Meanwhile(Extractor):
        def read_together(self, contents: Sequence[tuple[int, bytes]]) -> bytes:
            assert {message_id for message_id, _ in contents} == {kept, gone}
            archive.delete(gone)
            return archive.extractor.read_together(contents)

    assert Indexer(archive.database, archive.store, Meanwhile()).work() == 2
    assert archive.waiting() == 0
    assert archive.find("commun") == {kept}


def test_a_large_concordance_is_written_in_steps_and_shows_at_the_last(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (concordances, indexer):
        monkeypatch.setattr(module, "STEP", 1)
    words = " ".join(f"mot{number}" for number in range(3000))
    numbers = []
    seen: list[list[int]] = []
    begin = concordances.begin

    def watched(connection: sa.Connection, made: concordances.Made) -> None:
        begin(connection, made)
        seen.append(archive._held(connection, archive.accounts[MARIE]))

    monkeypatch.setattr(concordances, "begin", watched)
    for number in range(8):
        numbers += archive.deliver(_letter(number, words))
        archive.index()
    assert [sorted(each) for each in seen] == [numbers]
    assert sorted(archive.held()) == numbers
    assert archive.find("mot2999") == set(numbers)
    assert _count(archive, concordance_rows) == 1
    assert _count(archive, sheets) > 1


def test_what_was_never_finished_is_swept(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = archive.deliver(_letter(0))
    made = concordances.seal(archive.store.ring, archive.accounts[MARIE], compilation.build([]))
    archive.database.write(concordances.begin, made)
    archive.index()
    archive.indexer.keep_up()
    assert _count(archive, concordance_rows) == 2, "it may be coming yet"
    monkeypatch.setattr(indexer.time, "time", lambda: time.time_ns() / 1e9 + 7200)
    archive.indexer.keep_up()
    assert _count(archive, concordance_rows) == 1
    assert archive.held() == numbers


def test_indexing_anew_finds_the_same(archive: Archive) -> None:
    numbers = archive.deliver(*map(_letter, range(5)))
    (theirs,) = archive.deliver(_letter(1), to=KARIM)
    archive.index()
    archive.database.write(indexing.reindex, archive.accounts[MARIE])
    assert archive.waiting(MARIE) == 5
    assert archive.waiting(KARIM) == 0
    assert archive.find("commun") == set(numbers)
    archive.index()
    archive.database.write(indexing.reindex)
    assert archive.waiting() == 6
    archive.index()
    archive.indexer.keep_up()
    assert sorted(archive.held()) == numbers
    assert archive.find("commun", of=KARIM) == {theirs}
    assert _count(archive, concordance_rows) == 2


def test_a_damaged_concordance_is_made_anew_from_the_messages(archive: Archive) -> None:
    numbers = []
    for number in range(7):
        numbers += archive.deliver(_letter(number))
        archive.index()
    archive.database.write(lambda c: c.execute(sa.update(sheets).values(content=b"damaged")) and None)
    concordances.forget_fronts()
    with pytest.raises(UnsealingFailure):
        archive.find("commun")
    (said,) = archive.database.read(concordances.check, archive.store.ring)
    assert "vaguemestre db reindex" in said
    numbers += archive.deliver(_letter(7))
    archive.index()
    assert archive.find("commun") == set(numbers)
    assert sorted(archive.held()) == numbers
    assert archive.database.read(concordances.check, archive.store.ring) == []


def test_two_workers_index_each_message_once(place: Any, blob_store: BlobStore, extractor: Extractor) -> None:
    archive = Archive(place.open(), blob_store, extractor)
    numbers = archive.deliver(*map(_letter, range(120)))
    other = Indexer(place.open(), blob_store, extractor)

    def run(worker: Indexer) -> None:
        while worker.work(7):
            pass

    threads = [threading.Thread(target=run, args=(each,)) for each in (archive.indexer, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(archive.held()) == numbers
    assert archive.waiting() == 0


def test_after_a_failure_it_waits_before_it_tries_again(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.deliver(_letter(0))
    worker = Indexer(archive.database, archive.store, Extractor(niceness=0))
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", "/bin/false")
        with pytest.raises(ExtractionFailure):
            asyncio.run(worker.turn())
    asyncio.run(worker.turn())
    assert archive.waiting() == 1
    worker._not_before = 0
    asyncio.run(worker.turn())
    assert archive.waiting() == 0
    worker.close()


class _Watched(Extractor):
    """A reader that remembers what it was asked, and answers once it may."""

    def __init__(self) -> None:
        super().__init__(niceness=0)
        self.asked: list[list[int]] = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    def read_together(self, contents: Sequence[tuple[int, bytes]]) -> bytes:
        self.asked.append([message_id for message_id, _ in contents])
        self.may_answer.wait()
        return super().read_together(contents)


@pytest.fixture
def watched(database: Database, blob_store: BlobStore) -> Iterator[Archive]:
    """Two empty accounts, and a reader that is watched."""
    extractor = _Watched()
    yield Archive(database, blob_store, extractor)
    extractor.close()


def test_an_account_is_caught_up_with_once_for_all_who_wait_newest_first(watched: Archive) -> None:
    numbers = watched.deliver(*map(_letter, range(2 * BATCH + 20)))
    watched.deliver(*map(_letter, range(3)), to=KARIM)
    marie = watched.accounts[MARIE]
    assert watched.database.read(search.behind, marie)

    async def search_all_at_once() -> None:
        await asyncio.gather(*(watched.indexer.catch_up(marie) for _ in range(5)))

    asyncio.run(search_all_at_once())
    assert not watched.database.read(search.behind, marie)
    assert (watched.waiting(MARIE), watched.waiting(KARIM)) == (0, 3)
    asked = watched.extractor.asked  # type: ignore[attr-defined]
    assert sorted(each for some in asked for each in some) == numbers
    assert [max(some) for some in asked] == sorted(map(max, asked), reverse=True)
    assert sorted(watched.held()) == numbers
    assert watched.find("commun") == set(numbers)


def test_an_account_that_is_caught_up_with_has_few_concordances_at_once(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer, "BATCH", 4)
    numbers = archive.deliver(*map(_letter, range(80)))
    asyncio.run(archive.indexer.catch_up(archive.accounts[MARIE]))
    assert archive.waiting() == 0
    assert archive.database.read(concordances.totals, archive.accounts[MARIE])[0] < 10
    assert sorted(archive.held()) == numbers
    assert archive.find("commun") == set(numbers)


def test_the_indexer_leaves_an_account_to_who_catches_up_with_it(watched: Archive, until: Until) -> None:
    extractor: Any = watched.extractor
    numbers = watched.deliver(*map(_letter, range(40)))
    theirs = watched.deliver(*map(_letter, range(3)), to=KARIM)
    indexer = Indexer(watched.database, watched.store)

    async def run() -> None:
        indexer._hastening = extractor
        extractor.may_answer.clear()
        catching_up = asyncio.create_task(indexer.catch_up(watched.accounts[MARIE]))
        await asyncio.to_thread(until, lambda: bool(extractor.asked))
        await asyncio.to_thread(indexer.work)
        assert sorted(watched.held(of=KARIM)) == theirs
        assert await asyncio.to_thread(indexer.work) == 0
        assert watched.waiting(MARIE) == 40
        extractor.may_answer.set()
        await catching_up
        await indexer.stop()

    asyncio.run(run())
    assert sorted(watched.held()) == numbers


def test_who_has_little_does_not_wait_for_who_has_much(watched: Archive) -> None:
    watched.deliver(*map(_letter, range(4 * BATCH)))
    watched.deliver(*map(_letter, range(20)), to=KARIM)

    async def run() -> int:
        much = asyncio.create_task(watched.indexer.catch_up(watched.accounts[MARIE]))
        await asyncio.sleep(0)
        await watched.indexer.catch_up(watched.accounts[KARIM])
        left = watched.waiting(MARIE)
        await much
        return left

    assert asyncio.run(run()) > 0
    assert watched.waiting() == 0


def test_without_a_reader_nothing_is_caught_up_with_and_the_search_says_why(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.deliver(*map(_letter, range(20)))
    worker = Indexer(archive.database, archive.store)
    archive.extractor = Extractor()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", "/bin/false")
        asyncio.run(worker.catch_up(archive.accounts[MARIE]))
        with pytest.raises(ExtractionFailure):
            archive.find("commun")
    assert archive.waiting() == 20


def test_stopping_waits_for_who_catches_up_and_leaves_the_rest(watched: Archive, until: Until) -> None:
    numbers = watched.deliver(*map(_letter, range(2 * BATCH)))
    extractor: Any = watched.extractor

    async def run() -> None:
        extractor.may_answer.clear()
        catching_up = asyncio.create_task(watched.indexer.catch_up(watched.accounts[MARIE]))
        await asyncio.to_thread(until, lambda: bool(extractor.asked))
        stopping = asyncio.create_task(watched.indexer.stop())
        await asyncio.sleep(0)
        extractor.may_answer.set()
        await asyncio.gather(catching_up, stopping)
        await watched.indexer.catch_up(watched.accounts[MARIE])

    asyncio.run(run())
    assert watched.waiting(MARIE) >= BATCH
    waiting = watched.database.read(lambda c: list(c.execute(sa.select(to_index.c.message_id)).scalars()))
    assert sorted(watched.held() + waiting) == numbers


def test_much_that_waits_is_behind_and_little_is_not(archive: Archive) -> None:
    numbers = archive.deliver(*map(_letter, range(16)))
    marie = archive.accounts[MARIE]
    assert not archive.database.read(search.behind, marie)
    numbers += archive.deliver(_letter(16))
    assert archive.database.read(search.behind, marie)
    assert not archive.database.read(search.behind, archive.accounts[KARIM])
    assert not archive.database.read(search.behind, marie, set(numbers[:16]))
    assert not archive.database.read(lambda c: search.behind(c, marie, contents=False))
    archive.index()
    assert not archive.database.read(search.behind, marie)
    archive.deliver(_letter(17, "mot " * 300_000))
    assert archive.database.read(search.behind, marie), "a message that is large"


class _Clock:
    """Time that passes only while the indexer rests or works, in a process that uses so much of a processor."""

    def __init__(self, used: float) -> None:
        self.now, self.used, self.rested = 0.0, used, 0.0

    def monotonic(self) -> float:
        return self.now

    def process_time(self) -> float:
        return self.now * self.used

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        self.rested += seconds
        return False

    def is_set(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("used", "worked", "least", "most"), [(0.1, 1, 0, 0.01), (0.9, 0.1, 0.9, 1), (0.9, 30, 2, 2.1)]
)
def test_it_rests_where_others_work_and_goes_on_all_the_same(
    used: float, worked: float, least: float, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = _Clock(used)
    monkeypatch.setattr(indexer, "time", clock)
    worker = Indexer(None, None)  # type: ignore[arg-type]
    worker._stopping = clock  # type: ignore[assignment]
    clock.now += worked
    worker._give_way()
    assert least <= clock.rested <= most


def test_stopping_waits_for_what_is_under_way_and_leaves_the_rest(
    database: Database, blob_store: BlobStore, until: Callable[[Callable[[], bool]], None]
) -> None:
    archive = Archive(database, blob_store, Extractor(niceness=0))
    numbers = archive.deliver(*map(_letter, range(2000)))

    async def run() -> None:
        turn = asyncio.create_task(archive.indexer.turn())
        await asyncio.to_thread(until, lambda: bool(archive.held()))
        turn.cancel()
        await archive.indexer.stop()

    asyncio.run(run())
    waiting = archive.database.read(lambda c: list(c.execute(sa.select(to_index.c.message_id)).scalars()))
    assert waiting
    assert sorted(archive.held() + waiting) == numbers


_WORKER = """
import sys
from pathlib import Path
from vaguemestre.mailstore.indexer import Indexer
from vaguemestre.storage import database
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.keys import Keyring
from vaguemestre.storage.objects import FolderStore

kind, where, folder = sys.argv[1:]
ring = Keyring(bytes(range(32)), {1: b"\\x01" * 32})
opened = database.open_sqlcipher(Path(where), ring.database) if kind == "sqlcipher" else database.open_postgresql(where)
store = BlobStore(ring, FolderStore(Path(folder) / "objects"), Path(folder) / "spool", 1000)
worker = Indexer(opened, store)
print("ready", flush=True)
while worker.work(5):
    pass
"""


def test_a_worker_killed_at_any_moment_loses_and_doubles_nothing(
    place: Any, blob_store: BlobStore, extractor: Extractor, tmp_path: Any
) -> None:
    archive = Archive(place.open(), blob_store, extractor)
    numbers: list[int] = []
    chance = random.Random()
    for _ in range(KILLS):
        numbers += archive.deliver(*(_letter(len(numbers) + each, "mot " * 50) for each in range(30)))
        with subprocess.Popen(
            [sys.executable, "-c", _WORKER, place.kind, place.where, str(tmp_path)], stdout=subprocess.PIPE
        ) as worker:
            assert worker.stdout is not None
            worker.stdout.readline()
            time.sleep(chance.uniform(0.3, 0.8))
            worker.send_signal(signal.SIGKILL)
        waiting = archive.database.read(lambda c: list(c.execute(sa.select(to_index.c.message_id)).scalars()))
        assert sorted(archive.held() + waiting) == numbers
    assert archive.held(), "the worker was killed before it did anything"
    archive.index()
    assert [count for count in Counter(archive.held()).values() if count > 1] == []
    assert sorted(archive.held()) == numbers
    assert archive.find("commun") == set(numbers)
