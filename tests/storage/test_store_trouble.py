"""A locked, full, mistaken or broken store: a clear error, nothing lost, and back to work when the trouble ends."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import sqlcipher3.dbapi2 as sqlcipher

from vaguemestre.errors import ConfigurationError, KeyFailure, StorageFailure
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.mailstore import accounts, integrity
from vaguemestre.mailstore.model import AccountKind
from vaguemestre.storage import blobs, schema
from vaguemestre.storage import database as databases
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database

DATABASE_KEY = bytes(range(32))
notes = sa.Table("notes", sa.MetaData(), sa.Column("n", sa.Integer, primary_key=True), sa.Column("text", sa.Text))


def note(connection: sa.Connection, n: int, size: int = 0) -> int:
    connection.execute(sa.insert(notes), {"n": n, "text": "x" * size})
    return n


def noted(connection: sa.Connection) -> list[int]:
    return list(connection.execute(sa.select(notes.c.n).order_by(notes.c.n)).scalars())


@pytest.fixture
def file_database(sqlcipher_place: Any, monkeypatch: pytest.MonkeyPatch) -> Database:
    """An encrypted file, with a table for notes, that waits little for another process."""
    monkeypatch.setattr(databases, "_BUSY_SECONDS", 0.1)
    found: Database = sqlcipher_place.open()
    found.write(notes.create)
    return found


@pytest.fixture
def other_process(sqlcipher_place: Any, file_database: Database) -> Any:
    """A bare connection to the same file, as another program would have."""
    connection = sqlcipher.connect(sqlcipher_place.where, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA key = \"x'{DATABASE_KEY.hex()}'\"")
    connection.execute("PRAGMA cipher_hmac_algorithm = HMAC_SHA256")
    yield connection
    connection.close()


def test_a_store_locked_by_another_process_refuses_and_loses_nothing(
    file_database: Database, other_process: Any
) -> None:
    file_database.write(note, 1)
    other_process.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageFailure, match="locked"):
        file_database.write(note, 2)
    assert file_database.read(noted) == [1]  # who reads is not stopped
    other_process.execute("ROLLBACK")
    file_database.write(note, 3)
    assert file_database.read(noted) == [1, 3]


def test_everybody_who_waits_for_a_locked_store_is_told(file_database: Database, other_process: Any) -> None:
    async def submit() -> list[Any]:
        writes = (file_database.write_async(note, n) for n in range(5))
        return await asyncio.gather(*writes, return_exceptions=True)

    other_process.execute("BEGIN IMMEDIATE")
    assert all(isinstance(outcome, StorageFailure) for outcome in asyncio.run(submit()))
    other_process.execute("ROLLBACK")
    assert asyncio.run(submit()) == [0, 1, 2, 3, 4]


def test_a_store_soon_let_go_is_waited_for(
    sqlcipher_place: Any, file_database: Database, other_process: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "_BUSY_SECONDS", 30)
    patient = sqlcipher_place.open()
    other_process.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.1, other_process.execute, ["ROLLBACK"])
    release.start()
    assert patient.write(note, 1) == 1
    release.join()


def test_a_full_disk_refuses_what_it_cannot_keep_and_keeps_the_rest(file_database: Database) -> None:
    def limit(connection: sa.Connection, more: int) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + more}")

    kept: list[int] = []
    refused: list[str] = []
    file_database.write(limit, 20)
    for n in range(20):
        try:
            kept.append(file_database.write(note, n, 20_000))
        except StorageFailure as failure:
            refused.append(failure.en)
    assert kept
    assert refused
    assert all("full" in words for words in refused)
    assert file_database.read(noted) == kept
    file_database.write(limit, 1000)
    assert file_database.write(note, 100, 20_000) == 100
    assert file_database.read(noted) == [*kept, 100]


def test_on_a_full_disk_each_of_a_batch_is_told_the_truth(file_database: Database) -> None:
    def limit(connection: sa.Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 10}")

    async def submit() -> list[Any]:
        writes = (file_database.write_async(note, n, 15_000) for n in range(30))
        return await asyncio.gather(*writes, return_exceptions=True)

    file_database.write(limit)
    outcomes = asyncio.run(submit())
    told = [outcome for outcome in outcomes if not isinstance(outcome, StorageFailure)]
    assert len(told) < 30
    assert file_database.read(noted) == told


_FULL = """
import resource, sys
from pathlib import Path
import sqlalchemy as sa
from vaguemestre.errors import StorageFailure
from vaguemestre.storage import database as databases
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.keys import Keyring
from vaguemestre.storage.objects import FolderStore
folder = Path(sys.argv[1])
database = databases.open_sqlcipher(folder / "vaguemestre.db", bytes(range(32)))
store = BlobStore(Keyring(bytes(32), {1: bytes(32)}), FolderStore(folder / "objects"), folder / "spool", 1000)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
def note(connection, n):
    connection.execute(sa.text("INSERT INTO notes (n, text) VALUES (:n, :text)"), {"n": n, "text": "x" * 20_000})
    return n
told, refused = [], 0
for n in range(40):
    try:
        told.append(database.write(note, n))
    except StorageFailure:
        refused += 1
writer = store.writer()
try:
    for _ in range(100):
        writer.write(bytes(20_000))
    spooled = "kept"
except StorageFailure:
    spooled = "refused"
    writer.abandon()
left = len(list((folder / "spool").iterdir()))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
told.append(database.write(note, 1000))
database.close()
print(told, refused, spooled, left, sep=";")
"""


def test_a_file_that_cannot_grow_refuses_and_works_again_once_it_can(
    sqlcipher_place: Any, file_database: Database, tmp_path: Path
) -> None:
    file_database.close()
    ran = subprocess.run([sys.executable, "-c", _FULL, str(tmp_path)], capture_output=True, text=True, check=True)
    told, refused, spooled, left = ran.stdout.splitlines()[-1].split(";")
    assert int(refused) > 0
    assert (spooled, left) == ("refused", "0")
    found = sqlcipher_place.open()
    assert found.read(noted) == [int(n) for n in told.strip("[]").split(",")]
    assert found.read(lambda connection: connection.exec_driver_sql("PRAGMA integrity_check").scalar()) == "ok"


@pytest.mark.parametrize("when", ["before", "between"])
@pytest.mark.parametrize("how", ["alone", "together"])
def test_a_lost_server_is_a_failure_loses_nothing_told_and_the_next_write_works(
    postgresql_place: Any, postgresql: Any, when: str, how: str
) -> None:
    database: Database = postgresql_place.open()

    def cut() -> None:
        name = postgresql_place.where.partition("@/")[2].partition("?")[0]
        ended = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s"
        postgresql.administrator.execute(ended, [name])

    def record(connection: sa.Connection, entries: Sequence[Entry]) -> list[int]:
        numbers = journal.append(connection, entries)
        if when == "between":
            cut()
        return numbers + journal.append(connection, entries)

    async def together() -> int:
        return await database.write_together(record, entry)

    entry = Entry(Event.RELAY, "message", {})
    assert database.write(journal.append, [entry]) == [1]
    database.read(journal.verify)
    if when == "before":
        cut()
    with pytest.raises(StorageFailure):
        database.write(record, [entry]) if how == "alone" else asyncio.run(together())
    assert database.write(journal.append, [entry]) == [2]
    with contextlib.suppress(StorageFailure):
        database.read(journal.verify)  # the idle reader's connection was cut as well
    assert database.read(journal.verify).entries == 2


def test_an_unreachable_server_is_a_storage_failure(tmp_path: Path) -> None:
    with pytest.raises(StorageFailure):
        databases.open_postgresql(f"postgresql+psycopg://postgres@/mail?host={tmp_path}")


def test_a_wrong_key_is_a_key_failure_and_changes_nothing(file_database: Database, sqlcipher_place: Any) -> None:
    file_database.write(note, 1)
    file_database.close()
    before = Path(sqlcipher_place.where).read_bytes()
    for create in (False, True):
        with pytest.raises(KeyFailure):
            databases.open_sqlcipher(Path(sqlcipher_place.where), bytes(32), create=create)
    assert Path(sqlcipher_place.where).read_bytes() == before
    assert sqlcipher_place.open().read(noted) == [1]


@pytest.mark.parametrize("size", [1, 512, 4095])
def test_a_file_cut_short_is_refused_and_left_as_it_is(
    file_database: Database, sqlcipher_place: Any, size: int
) -> None:
    file_database.close()
    os.truncate(sqlcipher_place.where, size)
    for create in (False, True):
        with pytest.raises(StorageFailure, match="cut short"):
            databases.open_sqlcipher(Path(sqlcipher_place.where), DATABASE_KEY, create=create)
    assert Path(sqlcipher_place.where).stat().st_size == size


def test_a_missing_file_is_an_error_and_stays_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no database"):
        databases.open_sqlcipher(tmp_path / "elsewhere.db", DATABASE_KEY)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "vaguemestre.db").touch()
    for create in (False, True):
        with pytest.raises(StorageFailure, match="cut short"):
            databases.open_sqlcipher(tmp_path / "vaguemestre.db", DATABASE_KEY, create=create)


@pytest.mark.parametrize("content", [b"SQLite format 3\0" + bytes(8176), b"no database" * 1000])
def test_a_file_that_is_no_database_of_ours_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "vaguemestre.db").write_bytes(content)
    with pytest.raises(KeyFailure):
        databases.open_sqlcipher(tmp_path / "vaguemestre.db", DATABASE_KEY)
    assert (tmp_path / "vaguemestre.db").read_bytes() == content


def test_damage_inside_the_file_is_an_error_never_other_content(file_database: Database, sqlcipher_place: Any) -> None:
    for n in range(50):
        file_database.write(note, n, 10_000)
    file_database.close()
    path = Path(sqlcipher_place.where)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    opened = sqlcipher_place.open()
    with pytest.raises(StorageFailure):
        opened.read(lambda connection: connection.execute(sa.select(notes)).all())


def test_damage_inside_the_file_is_found_by_the_check(
    file_database: Database, sqlcipher_place: Any, blob_store: BlobStore
) -> None:
    for n in range(50):
        file_database.write(note, n, 10_000)
    file_database.close()
    path = Path(sqlcipher_place.where)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    found = sqlcipher_place.open().read(integrity.check, blob_store, lambda opened: None)
    assert found["pages"]


def test_every_file_of_a_store_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        opened = databases.open_sqlcipher(tmp_path / "vaguemestre.db", DATABASE_KEY, create=True)
        try:
            opened.write(notes.create)
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        finally:
            opened.close()
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(["vaguemestre.db", "vaguemestre.db-wal", "vaguemestre.db-shm"], 0o600)


def test_nothing_stands_on_disk_in_clear(tmp_path: Path, blob_store: BlobStore) -> None:
    marker = "MARQUEUR-radio-panoramique"
    opened = databases.open_sqlcipher(tmp_path / "vaguemestre.db", DATABASE_KEY, create=True)
    try:
        schema.migrate(opened)
        opened.write(accounts.create, AccountKind.PER, f"{marker}@a.mssante.fr", marker)
        entry = Entry(Event.ACCEPTANCE, marker, {"note": marker}, {"from": marker})
        opened.write(journal.append, [entry] * 50)
        opened.write(lambda connection: blobs.insert(connection, [blob_store.seal(marker.encode())]))
        writer = blob_store.writer()
        for _ in range(20_000):
            writer.write(marker.encode())
        assert writer.spooled
        spooled = _containing(tmp_path, marker)
        sealed = writer.finish()
        opened.write(lambda connection: blobs.insert(connection, [sealed]))
        assert (tmp_path / "vaguemestre.db-wal").stat().st_size > 0
        seen = [path for path in tmp_path.rglob("*") if path.is_file()]
        found = _containing(tmp_path, marker)
    finally:
        opened.close()
    assert len(seen) >= 4  # the file, its log, its index, one object
    assert spooled == found == _containing(tmp_path, marker) == []


def _containing(folder: Path, marker: str) -> list[Path]:
    wanted = (marker.encode(), marker.lower().encode(), marker.encode("utf-16-le"))
    return [path for path in folder.rglob("*") if path.is_file() and any(form in path.read_bytes() for form in wanted)]


def test_a_copied_file_opens_only_with_its_key(file_database: Database, sqlcipher_place: Any, tmp_path: Path) -> None:
    file_database.write(note, 7)
    file_database.close()
    copy = Path(shutil.copy(sqlcipher_place.where, tmp_path / "copy.db"))
    opened = databases.open_sqlcipher(copy, DATABASE_KEY)
    assert opened.read(noted) == [7]
    opened.close()
