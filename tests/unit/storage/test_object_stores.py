"""A folder and a remote store keep the same contract for large objects."""

from collections.abc import Callable
from pathlib import Path

import obstore.store
import pytest

from vaguemestre.errors import StorageFailure
from vaguemestre.storage.objects import FolderStore, ObjectStore, RemoteStore

NAME = "0123456789abc"


@pytest.fixture(params=["folder", "memory", "remote folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """An empty store; the test runs once on each kind."""
    if request.param == "folder":
        return FolderStore(tmp_path / "objects")
    if request.param == "memory":
        return RemoteStore(obstore.store.MemoryStore())
    return RemoteStore(obstore.store.LocalStore(tmp_path / "remote", mkdir=True))


@pytest.fixture
def put(store: ObjectStore, tmp_path: Path) -> Callable[[str, bytes], None]:
    """Puts content under a name, from a spool file."""

    def put(name: str, content: bytes) -> None:
        spooled = tmp_path / "spooled"
        spooled.write_bytes(content)
        store.put(name, spooled)
        spooled.unlink(missing_ok=True)

    return put


def test_any_range_of_an_object_comes_back(store: ObjectStore, put: Callable[[str, bytes], None]) -> None:
    content = bytes(range(256)) * 40_000  # larger than one part of an upload
    put(NAME, content)
    for start, end in ((0, 1), (0, len(content)), (65_552, 131_104), (len(content) - 1, len(content))):
        assert store.get_range(NAME, start, end) == content[start:end]


def test_names_are_those_put_and_not_deleted(store: ObjectStore, put: Callable[[str, bytes], None]) -> None:
    names = [f"{n:013}" for n in range(300)]
    for name in names:
        put(name, b"x")
    store.delete(names[0])
    assert sorted(store.names()) == names[1:]


def test_a_deleted_object_is_gone_and_deleting_it_again_is_no_error(
    store: ObjectStore, put: Callable[[str, bytes], None]
) -> None:
    put(NAME, b"content")
    store.delete(NAME)
    store.delete(NAME)
    with pytest.raises(StorageFailure):
        store.get_range(NAME, 0, 1)


def test_what_cannot_be_put_is_a_storage_failure(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(StorageFailure):
        store.put(NAME, tmp_path / "missing")
    assert list(store.names()) == []


def test_what_cannot_be_deleted_is_a_storage_failure(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "objects")
    (tmp_path / "objects" / NAME[-2:] / NAME).mkdir(parents=True)  # a folder cannot be unlinked, by root neither
    with pytest.raises(StorageFailure):
        store.delete(NAME)


def test_a_folder_of_objects_is_for_its_owner_alone(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "objects")
    spooled = tmp_path / "spooled"
    spooled.write_bytes(b"x")
    store.put(NAME, spooled)
    assert (tmp_path / "objects").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "objects" / NAME[-2:]).stat().st_mode & 0o777 == 0o700
    assert not spooled.exists()


def test_the_names_above_an_object_are_on_disk_whoever_made_its_folder(
    tmp_path: Path, forced: Callable[[Path], bool]
) -> None:
    """A sub-folder that another process made, and was killed before it forced the name, looks like any other."""
    objects = tmp_path / "objects"
    store = FolderStore(objects)
    assert forced(tmp_path)
    folder = objects / NAME[-2:]
    folder.mkdir()
    for turn in range(2):
        spooled = tmp_path / "spooled"
        spooled.write_bytes(b"x")
        store.put(NAME, spooled)
        assert forced(objects) == (turn == 0)
        assert forced(folder)
