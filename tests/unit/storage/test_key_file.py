"""The key file is for its owner alone; missing, open to others or broken, it is a clear error."""

import os
from pathlib import Path

import pytest

from vaguemestre.errors import KeyFailure
from vaguemestre.storage import keys

KEY = "0f" * 32


def _file(folder: Path, text: str) -> Path:
    path = folder / "operator.keys"
    path.write_text(text, "ascii")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_a_new_file_is_for_its_owner_alone_whatever_the_mask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        keys.create(tmp_path / "operator.keys")
    finally:
        os.umask(before)
    assert (tmp_path / "operator.keys").stat().st_mode & 0o777 == 0o600


def test_what_was_made_is_what_is_read(tmp_path: Path) -> None:
    made = keys.create(tmp_path / "operator.keys")
    assert keys.load(tmp_path / "operator.keys") == made
    assert len(made.database) == len(made.content[1]) == 32
    assert made.current == 1


def test_two_operators_have_different_keys(tmp_path: Path) -> None:
    one, other = keys.create(tmp_path / "one"), keys.create(tmp_path / "other")
    assert len({one.database, other.database, one.content[1], other.content[1]}) == 4


def test_a_standing_file_is_never_written_over(tmp_path: Path) -> None:
    path = _file(tmp_path, "somebody's")
    with pytest.raises(KeyFailure, match="cannot be created"):
        keys.create(path)
    assert path.read_text() == "somebody's"


def test_a_file_that_could_not_be_written_whole_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeyFailure, match="No space left"):
        keys.create(tmp_path / "operator.keys")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(KeyFailure, match="is missing"):
        keys.load(tmp_path / "operator.keys")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
def test_a_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    keys.create(tmp_path / "operator.keys")
    (tmp_path / "operator.keys").chmod(mode)
    with pytest.raises(KeyFailure, match="chmod 600"):
        keys.load(tmp_path / "operator.keys")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment\n",
        f"database {KEY}\n",
        f"content-1 {KEY}\n",
        f"database {KEY[:-2]}\ncontent-1 {KEY}\n",
        f"database {KEY}00\ncontent-1 {KEY}\n",
        f"database {KEY[:-2]}zz\ncontent-1 {KEY}\n",
        f"database\ncontent-1 {KEY}\n",
        f"database {KEY} {KEY}\ncontent-1 {KEY}\n",
        f"database {KEY}\ncontent-x {KEY}\n",
        f"database {KEY}\ncontent- {KEY}\n",
        f"database {KEY}\ncontent--1 {KEY}\n",
        f"database {KEY}\ncontents-1 {KEY}\n",
        f"database {KEY}\ncontent-1 {KEY}\ncontent-1 {'aa' * 32}\n",
        f"database {KEY}\ndatabase {'aa' * 32}\ncontent-1 {KEY}\n",
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(KeyFailure, match="Restore it"):
        keys.load(_file(tmp_path, text))


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = _file(tmp_path, "")
    path.write_bytes(bytes(range(128, 256)))
    with pytest.raises(KeyFailure, match="Restore it"):
        keys.load(path)
    with pytest.raises(KeyFailure, match="Restore it"):
        keys.load(tmp_path)


def test_the_highest_content_key_wraps_new_content(tmp_path: Path) -> None:
    lines = f"database {KEY}\ncontent-9 {'aa' * 32}\ncontent-10 {'bb' * 32}\ncontent-2 {'cc' * 32}\n"
    ring = keys.load(_file(tmp_path, lines))
    assert ring.current == 10
    assert set(ring.content) == {2, 9, 10}


def test_keys_do_not_show_when_printed(tmp_path: Path) -> None:
    ring = keys.create(tmp_path / "operator.keys")
    assert ring.database.hex() not in repr(ring)
    assert repr(ring.content[1]) not in repr(ring)
