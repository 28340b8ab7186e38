"""Packs: bytes once appended stay where they are; one process appends to a pack; dead ones go, living ones never."""

import fcntl
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vaguemestre import ids
from vaguemestre.errors import StorageFailure
from vaguemestre.storage import packs
from vaguemestre.storage.packs import PackStore


def pack_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.pack"))


@given(contents=st.lists(st.binary(min_size=1, max_size=300), max_size=12))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_content_reads_back_from_its_place(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]
) -> None:
    store = PackStore(tmp_path_factory.mktemp("packs"), full=500)
    placed = [(*store.append(content), content) for content in contents]
    store.flush({pack for pack, _, _ in placed})
    assert all(store.read(pack, place, len(content)) == content for pack, place, content in placed)
    assert len({pack for pack, _, _ in placed}) >= sum(map(len, contents)) // 800
    store.close()


def test_what_was_appended_reads_back_after_reopening_and_is_never_written_over(tmp_path: Path) -> None:
    first = PackStore(tmp_path)
    pack, place = first.append(b"first")
    first.flush({pack})
    first.close()
    again = PackStore(tmp_path)
    assert again.append(b"second") == (pack, place + 5)
    assert again.read(pack, place, 5) == b"first"
    again.close()
    assert pack_files(tmp_path)[0].read_bytes() == b"firstsecond"


def test_what_a_killed_process_left_half_written_is_passed_over(tmp_path: Path) -> None:
    killed = PackStore(tmp_path)
    pack, _ = killed.append(b"whole")
    killed.close()
    with pack_files(tmp_path)[0].open("ab") as file:
        file.write(b"hal")
    store = PackStore(tmp_path)
    assert store.append(b"next") == (pack, 8)
    assert store.read(pack, 8, 4) == b"next"
    store.close()


def test_a_full_pack_is_followed_by_another(tmp_path: Path) -> None:
    store = PackStore(tmp_path, full=10)
    one, two, three = (store.append(b"12345678")[0] for _ in range(3))
    assert one == two != three
    store.close()
    again = PackStore(tmp_path, full=10)
    assert again.append(b"x")[0] == three
    again.close()


def test_two_processes_never_append_to_one_pack_and_read_each_other_s(tmp_path: Path) -> None:
    one, other = PackStore(tmp_path), PackStore(tmp_path)
    mine, theirs = one.append(b"mine"), other.append(b"theirs")
    assert mine[0] != theirs[0]
    assert other.read(*mine, 4) == b"mine"
    other.flush({mine[0], theirs[0]})
    one.close()
    other.close()


def test_processes_that_begin_together_each_get_a_pack(tmp_path: Path) -> None:
    count = 6
    ready = threading.Barrier(count)

    def begin(folder: Path) -> tuple[int, PackStore]:
        store = PackStore(folder)
        ready.wait(30)
        return store.append(b"content")[0], store

    with ThreadPoolExecutor(count) as pool:
        for turn in range(15):
            begun = list(pool.map(begin, [tmp_path / str(turn)] * count))
            assert len({pack for pack, _ in begun}) == count
            for _, store in begun:
                store.close()


def test_the_name_of_a_pack_is_on_disk_before_its_first_content_whoever_made_it(
    tmp_path: Path, forced: Callable[[Path], bool]
) -> None:
    """A pack that another process made, and was killed before it forced the name, looks like any empty one."""
    (tmp_path / f"{ids.to_text(1)}.pack").touch()
    store = PackStore(tmp_path)
    assert store.append(b"content") == (1, 0)
    assert forced(tmp_path)
    store.close()
    new = PackStore(tmp_path / "new")
    assert forced(tmp_path)
    new.append(b"content")
    assert forced(tmp_path / "new")
    new.append(b"content")
    assert not forced(tmp_path / "new")
    new.close()


def test_a_pack_whose_name_could_not_be_forced_is_forced_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forced: Callable[[Path], bool]
) -> None:
    store = PackStore(tmp_path)

    def fail(file: int) -> None:
        raise OSError(5, os.strerror(5))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(StorageFailure):
            store.append(b"content")
    store.append(b"content")
    assert forced(tmp_path)
    assert len(pack_files(tmp_path)) == 1
    store.close()


def test_packs_are_for_their_owner_alone(tmp_path: Path) -> None:
    store = PackStore(tmp_path / "packs")
    store.append(b"content")
    store.close()
    assert (tmp_path / "packs").stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in pack_files(tmp_path / "packs")] == [0o600]


def test_a_disk_that_takes_no_more_is_a_failure_and_appending_goes_on_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PackStore(tmp_path)
    pack, place = store.append(b"before")
    written = os.pwrite

    def full(file: int, content: bytes, at: int) -> int:
        if len(content) > 4:
            return written(file, content[:4], at)
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patched:
        patched.setattr(packs.os, "pwrite", full)
        with pytest.raises(StorageFailure, match="No space left"):
            store.append(b"too much")
    after = store.append(b"after")
    assert (store.read(pack, place, 6), store.read(*after, 5)) == (b"before", b"after")
    store.close()


def test_a_partial_write_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = os.pwrite
    monkeypatch.setattr(packs.os, "pwrite", lambda file, content, at: written(file, content[:3], at))
    store = PackStore(tmp_path)
    pack, place = store.append(b"content in parts")
    assert store.read(pack, place, 16) == b"content in parts"
    store.close()


def test_nothing_is_acknowledged_from_a_pack_that_could_not_be_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even later, by another process, when the system takes as written what it dropped."""
    store, writer = PackStore(tmp_path), PackStore(tmp_path)
    kept = store.append(b"kept")
    writer.flush({kept[0]})
    lost = store.append(b"lost")

    def fail(file: int) -> None:
        raise OSError(5, os.strerror(5))

    with monkeypatch.context() as patched:
        patched.setattr(packs.os, "fdatasync", fail)
        with pytest.raises(StorageFailure):
            writer.flush({lost[0]})
    another = PackStore(tmp_path)
    for each in (writer, another, store):
        with pytest.raises(StorageFailure):
            each.flush({lost[0]})
    after = store.append(b"after")
    assert after[0] != lost[0]
    writer.flush({after[0]})
    assert (writer.read(*kept, 4), writer.read(*after, 5)) == (b"kept", b"after")
    store.close()
    assert another.append(b"more")[0] == after[0]
    for each in (writer, another):
        each.close()


def test_more_packs_are_flushed_than_files_are_kept_open(tmp_path: Path) -> None:
    store = PackStore(tmp_path, full=1)
    appended = [store.append(b"x")[0] for _ in range(packs._MOST_OPEN + 5)]
    store.flush(appended)
    store.flush(appended[:1])
    assert len(store._flushed) <= packs._MOST_OPEN
    store.close()


def test_what_is_missing_is_a_failure(tmp_path: Path) -> None:
    store = PackStore(tmp_path)
    with pytest.raises(StorageFailure):
        store.read(42, 0, 1)
    with pytest.raises(StorageFailure):
        store.flush({42})
    store.close()


def test_only_packs_in_which_nothing_lives_and_nobody_writes_are_dropped(tmp_path: Path) -> None:
    held, store = PackStore(tmp_path, full=5, quiet_s=0), PackStore(tmp_path, full=5, quiet_s=0)
    living, dead, at_hand = (store.append(b"content")[0] for _ in range(3))
    elsewhere = held.append(b"c")[0]
    assert store.drop_dead({living}) == 1
    with pytest.raises(StorageFailure):
        store.read(dead, 0, 1)
    assert [store.read(pack, 0, 1) for pack in (living, at_hand, elsewhere)] == [b"c", b"c", b"c"]
    store.close()
    held.close()
    again = PackStore(tmp_path, quiet_s=0)
    assert again.drop_dead({living}) == 2
    assert len(pack_files(tmp_path)) == 1
    again.close()


def test_a_pack_written_to_lately_is_not_dropped(tmp_path: Path) -> None:
    store = PackStore(tmp_path, full=1, quiet_s=100)
    old, new = (store.append(b"x")[0] for _ in range(2))
    store.close()
    os.utime(pack_files(tmp_path)[0], (0, 0))
    assert old < new
    assert store.drop_dead(set()) == 1
    assert store.read(new, 0, 1) == b"x"
    store.close()


def test_a_pack_appended_to_at_the_moment_it_is_to_be_dropped_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = PackStore(tmp_path), PackStore(tmp_path)
    pack, _ = store.append(b"dead")
    store.close()
    os.utime(pack_files(tmp_path)[0], (0, 0))
    lock = fcntl.flock

    def append_first(file: Any, how: int) -> None:
        monkeypatch.setattr(packs.fcntl, "flock", lock)
        assert other.append(b"alive")[0] == pack
        other.flush({pack})
        other.close()
        lock(file, how)

    monkeypatch.setattr(packs.fcntl, "flock", append_first)
    assert store._drop(set()) == 0
    assert store.read(pack, 4, 5) == b"alive"


def test_a_pack_dropped_at_the_moment_it_is_taken_is_not_appended_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PackStore(tmp_path)
    pack, _ = store.append(b"x")
    store.close()
    opened = os.open

    def drop_first(path: Path, *arguments: int) -> int:
        file = opened(path, *arguments)
        if arguments == (os.O_RDWR,):
            path.unlink(missing_ok=True)
        return file

    with monkeypatch.context() as patched:
        patched.setattr(packs.os, "open", drop_first)
        assert not store._take(pack)
    again = store.append(b"y")
    assert again[0] != pack
    store.flush({again[0]})
    store.close()


def test_somebody_else_s_file_stops_nothing(tmp_path: Path) -> None:
    store = PackStore(tmp_path, quiet_s=0)
    (tmp_path / "copy of.pack").touch()
    store.append(b"x")
    store.close()
    assert store.drop_dead(set()) == 1
    assert (tmp_path / "copy of.pack").exists()
