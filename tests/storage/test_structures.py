"""Structures of contents: computed once, kept sealed under the content's key, gone with it; on both stores."""

import os
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from vaguemestre.documents.mime import read_message
from vaguemestre.documents.structure import Structure
from vaguemestre.documents.text import read_structure
from vaguemestre.mailstore import structures
from vaguemestre.mailstore.tables import structures as table
from vaguemestre.storage import blobs, sealing
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database
from vaguemestre.storage.keys import Keyring
from vaguemestre.storage.objects import FolderStore

LETTER = b"Subject: confidential subject\r\nContent-Type: text/plain\r\n\r\nconfidential words\r\n"
LARGE = (
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsee attached\r\n--b\r\nContent-Type: image/png\r\n\r\n"
    + os.urandom(3_000_000)
    + b"\r\n--b\r\n\r\nlast\r\n--b--\r\n"
)


@pytest.fixture
def kept(database: Database, blob_store: BlobStore) -> list[int]:
    """Contents in the store: a letter, another, a large one."""
    sealed = [blob_store.seal(content) for content in (LETTER, LETTER.replace(b"subject", b"matter"), LARGE)]
    database.write(blobs.insert, sealed)
    return [each.id for each in sealed]


def get(database: Database, store: BlobStore, blob_ids: Sequence[int]) -> structures.Structures:
    return database.read(structures.get, store, blob_ids)


def expected(content: bytes) -> Structure:
    return read_structure(read_message(content), lambda start, end: content[start:end])


def test_what_is_missing_is_computed_and_then_kept(database: Database, blob_store: BlobStore, kept: list[int]) -> None:
    first = get(database, blob_store, kept[:2])
    assert first.found[kept[0]] == expected(LETTER)
    assert list(first.unkept) == kept[:2]
    database.write(structures.keep, first.unkept)
    again = get(database, blob_store, kept)
    assert (list(again.unkept), again.found[kept[0]]) == ([kept[2]], expected(LETTER))
    assert again.found[kept[2]] == expected(LARGE)


def test_reading_writes_nothing(database: Database, blob_store: BlobStore, kept: list[int]) -> None:
    get(database, blob_store, kept)
    assert _rows(database) == {}


def test_several_may_keep_the_same(database: Database, blob_store: BlobStore, kept: list[int]) -> None:
    one, two = get(database, blob_store, kept[:2]).unkept, get(database, blob_store, kept[1:]).unkept
    assert database.write(structures.keep_all, [one, two]) == [None, None]
    database.write(structures.keep, one)
    database.write(structures.keep, {})
    again = get(database, blob_store, kept)
    assert (again.unkept, len(again.found)) == ({}, 3)


def test_none_is_asked_for(database: Database, blob_store: BlobStore) -> None:
    assert get(database, blob_store, []) == ({}, {})


def test_what_is_kept_shows_nothing_of_the_message(database: Database, blob_store: BlobStore, kept: list[int]) -> None:
    database.write(structures.keep, get(database, blob_store, kept).unkept)
    assert not any(b"confidential" in row for row in _rows(database).values())


def test_a_structure_goes_with_its_content(database: Database, blob_store: BlobStore, kept: list[int]) -> None:
    unkept = get(database, blob_store, kept).unkept
    database.write(structures.keep, unkept)
    database.write(blob_store.delete, kept[:1])
    assert set(_rows(database)) == set(kept[1:])
    database.write(structures.keep, unkept)  # computed before the content went
    assert set(_rows(database)) == set(kept[1:])


def test_a_structure_may_be_dropped_alone(database: Database, blob_store: BlobStore, kept: list[int]) -> None:
    database.write(structures.keep, get(database, blob_store, kept).unkept)
    database.write(structures.drop, kept[:2])
    assert list(get(database, blob_store, kept).unkept) == kept[:2]


@pytest.mark.parametrize("damage", [b"", b"short", b"\xff" * 100])
def test_what_was_kept_and_cannot_be_read_is_computed_again(
    database: Database, blob_store: BlobStore, kept: list[int], damage: bytes
) -> None:
    database.write(structures.keep, get(database, blob_store, kept).unkept)
    database.write(lambda connection: connection.execute(sa.update(table).values(structure=damage)))
    again = get(database, blob_store, kept[:1])
    assert (again.found[kept[0]], list(again.unkept)) == (expected(LETTER), kept[:1])


def test_one_kept_for_another_content_is_not_believed(
    database: Database, blob_store: BlobStore, kept: list[int]
) -> None:
    unkept = get(database, blob_store, kept[:2]).unkept
    database.write(structures.keep, dict(zip(kept[:2], reversed(list(unkept.values())), strict=True)))
    assert get(database, blob_store, kept[:2]).found[kept[0]] == expected(LETTER)


def test_a_content_that_is_gone_or_does_not_open_has_none(
    database: Database, blob_store: BlobStore, kept: list[int], tmp_path: Path
) -> None:
    database.write(structures.keep, get(database, blob_store, kept).unkept)
    database.write(blob_store.delete, kept[:1])
    assert set(get(database, blob_store, kept).found) == set(kept[1:])
    stranger = BlobStore(
        Keyring(b"\x05" * 32, {1: b"\x06" * 32}), FolderStore(tmp_path / "objects"), tmp_path / "s", 1000
    )
    assert get(database, stranger, kept) == ({}, {})


def test_a_large_content_is_never_whole_in_memory(database: Database, blob_store: BlobStore, kept: list[int]) -> None:
    def measure(connection: sa.Connection) -> tuple[Structure, int]:
        reader = blob_store.open(connection, kept[2])
        tracemalloc.start()
        try:
            return structures.compute(reader), tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    computed, octets = database.read(measure)
    assert computed == expected(LARGE)
    assert computed.preview == "see attached"
    assert octets < 1_000_000


def test_a_note_opens_only_for_its_purpose_and_key(blob_store: BlobStore) -> None:
    sealed = blob_store.seal(b"x")
    cipher = blob_store.cipher(sealed.id, sealed.size, sealed.digest, sealed.key_number, sealed.wrapped_key)
    other = blob_store.seal(b"x")
    note = sealing.seal_note(cipher, b"words", b"one purpose")
    assert sealing.open_note(cipher, note, b"one purpose") == b"words"
    assert note != sealing.seal_note(cipher, b"words", b"one purpose")
    strange = blob_store.cipher(other.id, other.size, other.digest, other.key_number, other.wrapped_key)
    for wrong, purpose, text in (
        (cipher, b"another", note),
        (strange, b"one purpose", note),
        (cipher, b"one purpose", b""),
    ):
        with pytest.raises(sealing.UnsealingFailure):
            sealing.open_note(wrong, text, purpose)


def _rows(database: Database) -> dict[int, bytes]:
    return {row.blob_id: bytes(row.structure) for row in database.read(lambda c: c.execute(sa.select(table)).all())}
