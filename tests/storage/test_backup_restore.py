"""Back-ups: one moment of a running store, whole; restored only where nothing stands, and then it is the same store."""

import asyncio
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from vaguemestre.documents.headers import Summary
from vaguemestre.errors import ConfigurationError, KeyFailure, StorageFailure, VaguemestreError
from vaguemestre.evidence import journal
from vaguemestre.mailstore import accounts, integrity, mailboxes, messages
from vaguemestre.mailstore.model import AccountKind, NewMessage, Role
from vaguemestre.storage import backup
from vaguemestre.storage import database as databases
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database
from vaguemestre.storage.keys import Keyring
from vaguemestre.storage.objects import FolderStore
from vaguemestre.storage.packs import PackStore

DATABASE_KEY = bytes(range(32))
SIZES = (100, 5000, 70_000)  # in the row, in a pack, in the object store
MARKER = b"MARQUEUR-radio"


class Operator:
    """A store under a folder, with one account."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "vaguemestre.db"
        self.folders = {"objects": folder / "objects", "packs": folder / "packs"}
        self.open()

    def open(self) -> None:
        self.database: Database = databases.open_sqlcipher(self.file, DATABASE_KEY)
        self.packs = PackStore(self.folders["packs"], full=100_000, quiet_s=0)
        objects = FolderStore(self.folders["objects"])
        ring = Keyring(DATABASE_KEY, {1: b"\x01" * 32})
        self.blobs = BlobStore(ring, objects, self.folder / "spool", 50_000, self.packs)

    def close(self) -> None:
        self.database.close()
        self.packs.close()

    def deliver(self, size: int) -> int:
        """A message of so many octets in the account's inbox; returns its content's identifier."""
        sealed = self.blobs.seal((MARKER * (size // len(MARKER) + 1))[:size])

        def append(connection: sa.Connection) -> None:
            self.blobs.insert(connection, [sealed])
            account = accounts.get(connection, "dr@a.mssante.fr")
            inbox = mailboxes.with_role(connection, account.id, Role.INBOX)
            messages.append(connection, [NewMessage(account.id, inbox.id, sealed.id, size, 1, Summary())])

        self.database.write(append)
        return sealed.id

    def pass_through(self, size: int) -> None:
        """Content that comes and goes, as a relayed message does."""
        sealed = self.blobs.seal(bytes(size))
        self.database.write(self.blobs.insert, [sealed])
        self.blobs.discard(self.database.write(self.blobs.delete, [sealed.id]))
        self.database.read(self.blobs.drop_dead_packs)

    def count(self) -> int:
        return self.database.read(accounts.get, "dr@a.mssante.fr").messages

    def anomalies(self) -> list[str]:
        found = self.database.read(integrity.check, self.blobs, lambda opened: None)
        return [sentence for sentences in found.values() for sentence in sentences]

    def save(self, target: Path) -> int:
        return backup.save(self.file, DATABASE_KEY, self.folders, target, lambda count: None)


@pytest.fixture
def operator(sqlcipher_place: Any, tmp_path: Path) -> Iterator[Operator]:
    """A running store with a few messages of each size."""
    folder = tmp_path / "operator"
    folder.mkdir()
    shutil.copyfile(sqlcipher_place.where, folder / "vaguemestre.db")
    found = Operator(folder)
    found.database.write(accounts.create, AccountKind.PER, "dr@a.mssante.fr", "Dr")
    for size in SIZES * 2:
        found.deliver(size)
    yield found
    found.close()


@pytest.fixture
def restored(operator: Operator, tmp_path: Path) -> Iterator[Operator]:
    """What a back-up of `operator` restores, opened."""
    operator.save(tmp_path / "saved")
    found = restore(tmp_path / "saved", tmp_path / "elsewhere")
    yield found
    found.close()


def restore(source: Path, folder: Path) -> Operator:
    folders = {name: folder / name for name in ("objects", "packs")}
    backup.restore(source, folder / "vaguemestre.db", folders, lambda count: None)
    return Operator(folder)


def test_a_restored_store_is_the_same_and_whole(operator: Operator, restored: Operator) -> None:
    assert restored.count() == operator.count() == 6
    assert restored.anomalies() == []
    assert restored.database.read(journal.verify) == operator.database.read(journal.verify)
    restored.deliver(70_000)
    assert restored.count() == 7


def test_a_back_up_counts_what_it_copies(operator: Operator, tmp_path: Path) -> None:
    heard: list[int] = []
    count = backup.save(operator.file, DATABASE_KEY, operator.folders, tmp_path / "saved", heard.append)
    assert heard == list(range(1, count + 1))
    assert count == 2 + 1  # two large objects and a pack


def test_a_back_up_made_while_messages_come_and_go_is_one_moment(operator: Operator, tmp_path: Path) -> None:
    enough, stop = threading.Semaphore(0), threading.Event()

    def work() -> int:
        done = 0
        while not stop.is_set():
            operator.deliver(SIZES[done % 3])
            operator.pass_through(SIZES[done % 3])
            done += 1
            enough.release()
        return done

    with ThreadPoolExecutor(2) as pool:
        working = [pool.submit(work) for _ in range(2)]
        try:
            for number in range(4):
                for _ in range(5):
                    assert enough.acquire(timeout=30)
                operator.save(tmp_path / f"saved{number}")
        finally:
            stop.set()
        total = 6 + sum(job.result() for job in working)
    counts = []
    for number in range(4):
        found = restore(tmp_path / f"saved{number}", tmp_path / f"elsewhere{number}")
        assert found.anomalies() == []
        counts.append(found.count())
        found.close()
    assert counts == sorted(counts)
    assert 6 < counts[0] <= counts[-1] <= total
    assert operator.anomalies() == []


def test_content_deleted_between_rows_and_files_is_still_copied(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of the back-up name it; it goes afterwards, with the next sweep."""
    doomed = [operator.blobs.seal(bytes(70_000)) for _ in range(2)]
    operator.database.write(operator.blobs.insert, doomed)
    copied = backup._copy_rows

    def then_delete(*arguments: Any) -> None:
        copied(*arguments)
        operator.blobs.discard(operator.database.write(operator.blobs.delete, [each.id for each in doomed]))
        operator.database.read(operator.blobs.drop_dead_packs)

    monkeypatch.setattr(backup, "_copy_rows", then_delete)
    operator.save(tmp_path / "saved")
    found = restore(tmp_path / "saved", tmp_path / "elsewhere")
    assert found.anomalies() == []
    assert found.database.read(found.blobs.open, doomed[0].id).read() == bytes(70_000)
    found.close()
    monkeypatch.setattr("vaguemestre.storage.blobs._OBJECT_MAY_BE_UNROWED_S", 0)
    assert operator.database.read(operator.blobs.sweep) == 2


def test_a_back_up_is_encrypted_and_for_its_owner_alone(operator: Operator, tmp_path: Path) -> None:
    operator.save(tmp_path / "saved")
    found = [path for path in (tmp_path / "saved").rglob("*") if path.is_file()]
    assert found
    assert not any(MARKER in path.read_bytes() or b"dr@a.mssante.fr" in path.read_bytes() for path in found)
    assert {path.stat().st_mode & 0o777 for path in found} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "saved").rglob("*") if path.is_dir()} == {0o700}
    with pytest.raises(KeyFailure):
        databases.open_sqlcipher(tmp_path / "saved" / "vaguemestre.db", bytes(32))


def test_a_back_up_is_written_over_nothing(operator: Operator, tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "precious").touch()
    with pytest.raises(ConfigurationError, match="exists already"):
        operator.save(tmp_path / "saved")
    assert [path.name for path in (tmp_path / "saved").iterdir()] == ["precious"]


@pytest.mark.parametrize("wrong", ["missing", "key", "empty"])
def test_what_is_no_store_is_not_backed_up_and_stays_as_it_is(tmp_path: Path, operator: Operator, wrong: str) -> None:
    file, key = (operator.file, bytes(32)) if wrong == "key" else (tmp_path / "other.db", DATABASE_KEY)
    if wrong == "empty":
        file.touch()
    before = file.read_bytes() if file.exists() else None
    with pytest.raises(VaguemestreError):
        backup.save(file, key, operator.folders, tmp_path / "saved", lambda count: None)
    assert not (tmp_path / "saved").exists()
    assert (file.read_bytes() if file.exists() else None) == before


def test_a_back_up_that_fails_leaves_nothing_in_the_way_of_the_next(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        target.touch()
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(backup, "_copy_file", full)
        with pytest.raises(StorageFailure, match="No space left"):
            operator.save(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
    operator.save(tmp_path / "saved")


def test_a_restoration_that_fails_leaves_nothing_in_the_way_of_the_next(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.save(tmp_path / "saved")
    copy, done = backup._copy_file, []

    def full(source: Path, target: Path) -> None:
        if len(done) == 3:
            raise OSError(28, "No space left on device")
        done.append(target)
        copy(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(backup, "_copy_file", full)
        with pytest.raises(StorageFailure, match="No space left"):
            restore(tmp_path / "saved", tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere" / "vaguemestre.db").exists()
    found = restore(tmp_path / "saved", tmp_path / "elsewhere")
    assert found.anomalies() == []
    found.close()


@pytest.mark.parametrize("standing", ["vaguemestre.db", "vaguemestre.db-wal", "objects/aa/x", "packs/x.pack"])
def test_nothing_is_restored_over_what_stands(operator: Operator, tmp_path: Path, standing: str) -> None:
    """A log left beside a lost database would be replayed into the restored one."""
    operator.save(tmp_path / "saved")
    path = tmp_path / "elsewhere" / standing
    path.parent.mkdir(parents=True)
    path.write_bytes(b"precious")
    with pytest.raises(ConfigurationError, match="exists already"):
        restore(tmp_path / "saved", tmp_path / "elsewhere")
    assert [each for each in (tmp_path / "elsewhere").rglob("*") if each.is_file()] == [path]
    assert path.read_bytes() == b"precious"


def test_what_is_no_back_up_is_not_restored(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(ConfigurationError, match="no back-up"):
        restore(tmp_path / "other", tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


def test_deletions_wait_for_nobody_and_go_on_after_a_back_up(operator: Operator, tmp_path: Path) -> None:
    operator.save(tmp_path / "saved")
    sealed = operator.blobs.seal(bytes(70_000))
    operator.database.write(operator.blobs.insert, [sealed])
    before = len(list(operator.folders["objects"].rglob("*")))
    operator.blobs.discard(operator.database.write(operator.blobs.delete, [sealed.id]))
    assert len(list(operator.folders["objects"].rglob("*"))) == before - 1


def test_writers_do_not_wait_for_a_back_up(operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message is delivered while a back-up is between its rows and its files."""
    copied = backup._copy_rows

    def deliver_between(*arguments: Any) -> None:
        copied(*arguments)
        asyncio.run(asyncio.wait_for(asyncio.to_thread(operator.deliver, 70_000), 20))

    monkeypatch.setattr(backup, "_copy_rows", deliver_between)
    operator.save(tmp_path / "saved")
    assert operator.count() == 7
    found = restore(tmp_path / "saved", tmp_path / "elsewhere")
    assert (found.count(), found.anomalies()) == (6, [])
    found.close()
