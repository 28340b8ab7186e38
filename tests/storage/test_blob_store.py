"""Blobs: small ones in the row, large ones in the object store, sealed alike, on both stores."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore.store
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vaguemestre import ids
from vaguemestre.errors import StorageFailure
from vaguemestre.storage import blobs
from vaguemestre.storage.blobs import BlobStore, Sealed
from vaguemestre.storage.database import Database
from vaguemestre.storage.keys import Keyring
from vaguemestre.storage.objects import FolderStore, RemoteStore
from vaguemestre.storage.packs import PackStore
from vaguemestre.storage.sealing import CHUNK, UnsealingFailure

LIMIT = 1000  # the inline limit of `blob_store`
SIZES = sorted({0, 1, LIMIT - 1, LIMIT, LIMIT + 1, *(k * CHUNK + d for k in (1, 2) for d in (-1, 0, 1))})


class Undone(Exception):
    """Raised to undo a transaction."""


def kept(database: Database, store: BlobStore, content: bytes) -> Sealed:
    """Content sealed and inserted."""
    sealed = store.seal(content)
    database.write(blobs.insert, [sealed])
    return sealed


def opened(database: Database, store: BlobStore, blob_id: int) -> bytes:
    return database.read(lambda connection: store.open(connection, blob_id).read())


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_any_size_comes_back(database: Database, blob_store: BlobStore, tmp_path: Path) -> None:
    for size in SIZES:
        content = os.urandom(size)
        sealed = kept(database, blob_store, content)
        assert (sealed.size, sealed.content is None) == (size, size > LIMIT)
        assert opened(database, blob_store, sealed.id) == content
    assert len(files(tmp_path / "objects")) == sum(size > LIMIT for size in SIZES)
    assert files(tmp_path / "spool") == []


def test_many_blobs_are_inserted_together(database: Database, blob_store: BlobStore) -> None:
    contents = [os.urandom(size) for size in (0, 10, 5000, 20, 3000)]
    sealed = [blob_store.seal(content) for content in contents]
    database.write(blobs.insert, sealed)
    assert [opened(database, blob_store, each.id) for each in sealed] == contents


def test_inserting_none_does_nothing(database: Database) -> None:
    database.write(blobs.insert, [])
    assert database.read(lambda c: c.execute(sa.select(sa.func.count()).select_from(blobs.blobs)).scalar()) == 0


@given(start=st.integers(0, 3 * CHUNK + 10), length=st.integers(0, 3 * CHUNK))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_range_is_that_of_the_content(
    database: Database, blob_store: BlobStore, tmp_path: Path, start: int, length: int
) -> None:
    content = bytes(n & 0xFF for n in range(7, 2 * CHUNK + 107))
    if not (tmp_path / "made").exists():
        (tmp_path / "made").write_text(str(kept(database, blob_store, content).id))
    blob_id = int((tmp_path / "made").read_text())
    reader = database.read(blob_store.open, blob_id)
    assert reader.read_range(start, length) == content[start : start + length]
    assert b"".join(reader.chunks(start)) == content[start:]


def test_content_in_a_remote_store_comes_back(database: Database, tmp_path: Path, ring: Keyring) -> None:
    remote = obstore.store.MemoryStore()
    store = BlobStore(ring, RemoteStore(remote), tmp_path / "spool", LIMIT)
    content = os.urandom(3 * CHUNK + 5)
    sealed = kept(database, store, content)
    reader = database.read(store.open, sealed.id)
    assert reader.read() == content
    assert reader.read_range(CHUNK - 2, 4) == content[CHUNK - 2 : CHUNK + 2]
    assert files(tmp_path) == [path for path in files(tmp_path) if path.parent.name != "spool"]
    names = database.write(store.delete, [sealed.id])
    store.discard(names)
    assert [entry for page in remote.list() for entry in page] == []


@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_altered_row_or_object_does_not_open(
    database: Database, blob_store: BlobStore, tmp_path: Path, place: float, flip: int
) -> None:
    small, large = kept(database, blob_store, b"x" * 500), kept(database, blob_store, b"y" * (CHUNK + 500))

    def alter(connection: sa.Connection, column: str) -> None:
        row = blobs.blobs.c.id == small.id
        value = bytearray(connection.execute(sa.select(blobs.blobs.c[column]).where(row)).scalar_one())
        value[int(place * len(value))] ^= flip
        connection.execute(sa.update(blobs.blobs).where(row).values({column: bytes(value)}))
        with pytest.raises(UnsealingFailure):
            blob_store.open(connection, small.id).read()
        raise Undone

    for column in ("content", "wrapped_key", "digest"):
        with pytest.raises(Undone):
            database.write(alter, column)
    assert opened(database, blob_store, small.id) == b"x" * 500

    path = tmp_path / "objects" / ids.to_text(large.id)[-2:] / ids.to_text(large.id)
    whole = path.read_bytes()
    altered = bytearray(whole)
    altered[int(place * len(whole))] ^= flip
    for content in (bytes(altered), whole[: int(place * len(whole))]):
        path.write_bytes(content)
        with pytest.raises(UnsealingFailure):
            opened(database, blob_store, large.id)


def test_a_row_moved_resized_or_given_anothers_content_does_not_open(database: Database, blob_store: BlobStore) -> None:
    one, other = kept(database, blob_store, b"x" * 500), kept(database, blob_store, b"y" * 500)
    assert other.content is not None
    for values in ({"size": 499}, {"size": 501}, {"id": 7}, {"content": other.content}, {"key_number": 2}):

        def alter(connection: sa.Connection, values: Any = values) -> None:
            connection.execute(sa.update(blobs.blobs).where(blobs.blobs.c.id == one.id).values(values))
            with pytest.raises(UnsealingFailure):
                blob_store.open(connection, values.get("id", one.id)).read()
            raise Undone

        with pytest.raises(Undone):
            database.write(alter)


def test_an_unknown_blob_and_a_missing_object_are_failures(
    database: Database, blob_store: BlobStore, tmp_path: Path
) -> None:
    with pytest.raises(UnsealingFailure):
        opened(database, blob_store, 42)
    sealed = kept(database, blob_store, bytes(5000))
    files(tmp_path / "objects")[0].unlink()
    with pytest.raises(StorageFailure):
        opened(database, blob_store, sealed.id)


def test_a_rotated_key_seals_and_the_old_one_opens_until_it_is_removed(
    database: Database, tmp_path: Path, ring: Keyring
) -> None:
    objects, spool = FolderStore(tmp_path / "objects"), tmp_path / "spool"
    before = kept(database, BlobStore(ring, objects, spool), b"old")
    rotated = BlobStore(Keyring(ring.database, {**ring.content, 2: b"\x02" * 32}), objects, spool)
    after = kept(database, rotated, b"new")
    assert (before.key_number, after.key_number) == (1, 2)
    assert [opened(database, rotated, each.id) for each in (before, after)] == [b"old", b"new"]
    destroyed = BlobStore(Keyring(ring.database, {2: b"\x02" * 32}), objects, spool)
    assert opened(database, destroyed, after.id) == b"new"
    with pytest.raises(UnsealingFailure):
        opened(database, destroyed, before.id)


@pytest.mark.parametrize("size", [0, LIMIT, 3 * CHUNK])
def test_an_abandoned_blob_leaves_nothing(blob_store: BlobStore, tmp_path: Path, size: int) -> None:
    writer = blob_store.writer()
    writer.write(bytes(size))
    writer.abandon()
    writer.abandon()
    assert files(tmp_path) == []


def test_abandoning_what_is_finished_is_harmless(database: Database, blob_store: BlobStore) -> None:
    writer = blob_store.writer()
    writer.write(bytes(5000))
    sealed = writer.finish()
    writer.abandon()
    database.write(blobs.insert, [sealed])
    assert opened(database, blob_store, sealed.id) == bytes(5000)


def test_the_spool_is_for_its_owner_alone_and_cleared_of_what_a_killed_process_left(
    blob_store: BlobStore, tmp_path: Path
) -> None:
    writer = blob_store.writer()
    writer.write(bytes(3 * CHUNK))
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in files(tmp_path / "spool")] == [0o600]
    blob_store.clear_spool()
    assert files(tmp_path / "spool") == []
    with pytest.raises(StorageFailure):
        writer.finish()


def test_a_full_disk_while_spooling_is_a_failure_and_leaves_nothing(blob_store: BlobStore, tmp_path: Path) -> None:
    writer = blob_store.writer()
    writer.write(bytes(2 * CHUNK))
    assert writer._file is not None
    writer._file.close()
    writer._file = FullFile(writer._file.name)  # type: ignore[assignment]
    with pytest.raises(StorageFailure, match="No space left"):
        writer.write(bytes(2 * CHUNK))
    writer.abandon()
    assert files(tmp_path) == []


class FullFile:
    """A spool file on a full disk."""

    def __init__(self, name: str) -> None:
        self.name = name

    def write(self, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        """Closes nothing."""


def test_a_spool_that_cannot_be_written_is_a_failure(blob_store: BlobStore, tmp_path: Path) -> None:
    (tmp_path / "spool").rmdir()
    writer = blob_store.writer()
    with pytest.raises(StorageFailure):
        writer.write(bytes(3 * CHUNK))
    writer.abandon()


def test_an_object_store_that_fails_keeps_nothing_in_the_spool(tmp_path: Path, ring: Keyring) -> None:
    objects = FolderStore(tmp_path / "objects")
    store = BlobStore(ring, objects, tmp_path / "spool", LIMIT)
    (tmp_path / "objects").rmdir()
    (tmp_path / "objects").touch()
    with pytest.raises(StorageFailure):
        store.seal(bytes(5000))
    assert files(tmp_path / "spool") == []


def test_deleting_a_row_makes_its_content_unreadable_and_discarding_removes_the_object(
    database: Database, blob_store: BlobStore, tmp_path: Path
) -> None:
    small, large = kept(database, blob_store, bytes(10)), kept(database, blob_store, bytes(5000))
    names = database.write(blob_store.delete, [small.id, large.id, 42])
    assert names == [ids.to_text(large.id)]
    for each in (small, large):
        with pytest.raises(UnsealingFailure):
            opened(database, blob_store, each.id)
    assert len(files(tmp_path / "objects")) == 1
    blob_store.discard(names)
    blob_store.discard(names)
    assert files(tmp_path / "objects") == []


def test_the_sweep_deletes_old_objects_without_a_row_and_nothing_else(
    database: Database, blob_store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_row = kept(database, blob_store, bytes(5000))
    old = blob_store.seal(bytes(5000))
    assert database.read(blob_store.sweep) == 0  # a delivery may be under way
    made = ids.made_at(old.id)
    monkeypatch.setattr("vaguemestre.storage.blobs.time.time", lambda: made + 86_400 - 5)
    assert database.read(blob_store.sweep) == 0
    monkeypatch.setattr("vaguemestre.storage.blobs.time.time", lambda: made + 86_400 + 5)
    assert database.read(blob_store.sweep) == 1
    assert [path.name for path in files(tmp_path / "objects")] == [ids.to_text(with_row.id)]
    assert opened(database, blob_store, with_row.id) == bytes(5000)


def test_the_sweep_passes_over_what_is_not_an_object(
    database: Database, blob_store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan = blob_store.seal(bytes(5000))
    folder = tmp_path / "objects" / ids.to_text(orphan.id)[-2:]
    (folder / ".nfs0001").touch()
    (folder / "copy of something").touch()
    made = ids.made_at(orphan.id)
    monkeypatch.setattr("vaguemestre.storage.blobs.time.time", lambda: made + 2 * 86_400)
    assert database.read(blob_store.sweep) == 1
    assert sorted(path.name for path in files(tmp_path / "objects")) == [".nfs0001", "copy of something"]


@pytest.fixture
def packed_store(tmp_path: Path, ring: Keyring) -> Iterator[BlobStore]:
    """Like `blob_store`, with packs for what is neither very small nor large."""
    packs = PackStore(tmp_path / "packs", full=200_000, quiet_s=0)
    yield BlobStore(ring, FolderStore(tmp_path / "objects"), tmp_path / "spool", 3 * CHUNK, packs)
    packs.close()


def inserted(database: Database, store: BlobStore, *contents: bytes) -> list[Sealed]:
    sealed = [store.seal(content) for content in contents]
    database.write(store.insert, sealed)
    return sealed


def test_any_size_comes_back_from_row_pack_or_object(
    database: Database, packed_store: BlobStore, tmp_path: Path
) -> None:
    contents = [os.urandom(size) for size in (0, 1000, 1023, 1024, 1025, CHUNK, 3 * CHUNK, 3 * CHUNK + 1)]
    sealed = inserted(database, packed_store, *contents)
    where = ["row" if each.content is not None else "pack" if each.pack is not None else "object" for each in sealed]
    assert where == ["row", "row", "pack", "pack", "pack", "pack", "pack", "object"]
    assert [opened(database, packed_store, each.id) for each in sealed] == contents
    assert len(files(tmp_path / "objects")) == 1
    assert len(files(tmp_path / "packs")) == 1


def test_a_range_of_packed_content_is_that_of_the_content(database: Database, packed_store: BlobStore) -> None:
    first, second = os.urandom(5000), os.urandom(2 * CHUNK)
    sealed = inserted(database, packed_store, first, second)[1]
    reader = database.read(packed_store.open, sealed.id)
    assert reader.read_range(CHUNK - 10, 20) == second[CHUNK - 10 : CHUNK + 10]


def test_packed_content_is_on_disk_before_its_row(
    database: Database, packed_store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = packed_store.seal(bytes(5000))

    def fail(file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        with pytest.raises(StorageFailure):
            database.write(packed_store.insert, [sealed])
    with pytest.raises(UnsealingFailure):
        opened(database, packed_store, sealed.id)
    again = inserted(database, packed_store, bytes(5000))[0]
    assert opened(database, packed_store, again.id) == bytes(5000)


def test_altered_or_missing_packs_do_not_open(database: Database, packed_store: BlobStore, tmp_path: Path) -> None:
    sealed = inserted(database, packed_store, bytes(5000))[0]
    path = files(tmp_path / "packs")[0]
    whole = path.read_bytes()
    for altered in (whole[:-1], b"x" + whole[1:], whole[:2000] + b"x" + whole[2001:], b""):
        path.write_bytes(altered)
        with pytest.raises(UnsealingFailure):
            opened(database, packed_store, sealed.id)
    path.unlink()
    with pytest.raises(StorageFailure):
        opened(database, packed_store, sealed.id)


def test_packed_content_without_packs_does_not_open(
    database: Database, packed_store: BlobStore, blob_store: BlobStore
) -> None:
    sealed = inserted(database, packed_store, bytes(5000))[0]
    with pytest.raises(UnsealingFailure):
        opened(database, blob_store, sealed.id)


def test_a_pack_goes_once_all_that_lived_in_it_is_deleted(
    database: Database, packed_store: BlobStore, tmp_path: Path
) -> None:
    contents = [bytes(CHUNK) for _ in range(7)]  # four fill a pack
    sealed = inserted(database, packed_store, *contents)
    assert database.write(packed_store.delete, [each.id for each in sealed[:3]]) == []
    assert database.read(packed_store.drop_dead_packs) == 0
    database.write(packed_store.delete, [sealed[3].id])
    assert database.read(packed_store.drop_dead_packs) == 1
    assert [opened(database, packed_store, each.id) for each in sealed[4:]] == contents[4:]
