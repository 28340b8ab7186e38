"""Message content as sealed blobs: written as it streams in, read by chunk, never whole unless asked.

What it keeps true: a blob row points to content that is already durable and opens with the row's wrapped key; content
stands nowhere in clear, the spool included; a blob's digest and size are bound into its key's wrapping.

Rules: very small content stands in its row; content up to `inline_limit` octets in a pack, flushed before the commit
(docs/adr/0007-packs.md), or in its row where the store has no packs; larger content goes sealed to a spool file as it
comes, then to the object store before the row is written. A crash in between leaves an object without a row: `sweep`
deletes those.
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import msgspec
import sqlalchemy as sa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vaguemestre import ids
from vaguemestre.errors import StorageFailure
from vaguemestre.storage import sealing
from vaguemestre.storage.bulk import BulkInsert, Statement
from vaguemestre.storage.database import Identifier, metadata
from vaguemestre.storage.keys import Keyring
from vaguemestre.storage.objects import ObjectStore
from vaguemestre.storage.packs import PackStore

blobs = sa.Table(
    "blobs",
    metadata,
    sa.Column("id", Identifier, primary_key=True, autoincrement=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.LargeBinary(32), nullable=False),
    sa.Column("key_number", sa.Integer, nullable=False),
    sa.Column("wrapped_key", sa.LargeBinary, nullable=False),
    # Sealed content: here; or, where this is null, in a pack; or, where that is null too, in the object store.
    sa.Column("content", sa.LargeBinary, nullable=True),
    sa.Column("pack", sa.BigInteger, nullable=True),
    sa.Column("place", sa.BigInteger, nullable=True),
    sa.Index("ix_blobs_pack", "pack"),
)

# The `info` of a column whose rows need the blob it names, in whatever room: a blob stays as long as one row does.
HOLDS = {"holds": "blob"}

_COLUMNS = ("id", "size", "digest", "key_number", "wrapped_key", "content", "pack", "place")
_DELETE = Statement("DELETE FROM blobs WHERE id {among} RETURNING id, content IS NULL AND pack IS NULL")
_INSERT = BulkInsert(blobs, *_COLUMNS)
_OPEN = Statement(f"SELECT {', '.join(_COLUMNS)} FROM blobs WHERE id {{among}}")  # noqa: S608 - names from this code
_ROW_LIMIT = 1024  # sealed content up to this costs less in its row than a place in a pack
_OBJECT_MAY_BE_UNROWED_S = 86_400  # no delivery takes a day from spool to commit


class Sealed(msgspec.Struct, frozen=True):
    """A blob ready to be inserted: its content is in `content`, or in a pack, or already durable in the object store."""

    id: int
    size: int
    digest: bytes
    key_number: int
    wrapped_key: bytes
    content: bytes | None
    pack: int | None = None
    place: int | None = None


class BlobStore:
    """Makes and opens blobs of one operator."""

    def __init__(
        self,
        ring: Keyring,
        objects: ObjectStore,
        spool: Path,
        inline_limit: int = 262_144,
        packs: PackStore | None = None,
    ) -> None:
        self._ring = ring
        self._objects = objects
        self._spool = spool
        self._packs = packs
        self.inline_limit = inline_limit
        spool.mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def ring(self) -> Keyring:
        """The keys of this operator, for what else is sealed beside content."""
        return self._ring

    def writer(self) -> "BlobWriter":
        """A writer for one new blob."""
        return BlobWriter(self._ring, self._objects, self._spool, self.inline_limit, self._packs)

    def seal(self, content: bytes) -> Sealed:
        """Seal content that is already in memory."""
        writer = self.writer()
        writer.write(content)
        return writer.finish()

    def open(self, connection: sa.Connection, blob_id: int) -> "BlobReader":
        """A reader of a blob. Raises UnsealingFailure when it is unknown or its key is gone."""
        rows = _OPEN.run(connection, [blob_id])
        if not rows:
            raise sealing.UnsealingFailure
        return self._reader(Sealed(*rows[0]))

    def open_all(self, connection: sa.Connection, blob_ids: Sequence[int]) -> "dict[int, BlobReader]":
        """Readers of many blobs in one statement; those unknown, or whose key is gone, are left out."""
        readers = {}
        for row in _OPEN.run(connection, list(dict.fromkeys(blob_ids))):
            with suppress(sealing.UnsealingFailure):
                readers[row[0]] = self._reader(Sealed(*row))
        return readers

    def open_each(self, connection: sa.Connection, blob_ids: Sequence[int]) -> "list[BlobReader | StorageFailure]":
        """A reader of each of some blobs, or why it does not open."""
        found: list[BlobReader | StorageFailure] = []
        for blob_id in blob_ids:
            try:
                found.append(self.open(connection, blob_id))
            except StorageFailure as error:
                found.append(error)
        return found

    def known(self, connection: sa.Connection, blob_ids: Sequence[int]) -> set[int]:
        """Which of these are still there, whether they can be opened or not."""
        return {row[0] for row in _OPEN.run(connection, list(blob_ids))}

    def _reader(self, row: Sealed) -> "BlobReader":
        aead = self.cipher(row.id, row.size, row.digest, row.key_number, row.wrapped_key)
        return BlobReader(aead, row.size, self._fetch(row))

    def cipher(self, blob_id: int, size: int, digest: bytes, key_number: int, wrapped_key: bytes) -> AESGCM:
        """The cipher of a blob, of columns of its row: what opens its content, and the notes beside it. Raises
        UnsealingFailure when its key is gone."""
        return sealing.unwrap(self._ring, key_number, wrapped_key, _binding(blob_id, digest, size))

    def insert(self, connection: sa.Connection, new: Sequence[Sealed]) -> None:
        """Write the rows of sealed blobs; their content becomes part of the store with the commit."""
        insert(connection, new, self._packs)

    def _fetch(self, row: Sealed) -> Callable[[int, int], bytes]:
        """How to read octets [start, end) of a row's sealed content."""
        content, pack, place, name = row.content, row.pack, row.place or 0, _object_name(row.id)
        if content is not None:
            return lambda start, end: content[start:end]
        packs = self._packs
        if pack is None:
            return lambda start, end: self._objects.get_range(name, start, end)
        if packs is None:
            raise sealing.UnsealingFailure
        return lambda start, end: packs.read(pack, place + start, end - start)

    def clear_spool(self) -> None:
        """Delete what a killed process left half received; nobody was told it was accepted."""
        for path in self._spool.iterdir():
            path.unlink(missing_ok=True)

    def sweep(self, connection: sa.Connection) -> int:
        """Delete objects no row points to, a day old at least; returns how many."""
        gone = 0
        for name in self._objects.names():
            try:
                identifier = ids.from_text(name)
            except ValueError:  # somebody else's file: neither ours to delete, nor a reason to stop
                continue
            if time.time() - ids.made_at(identifier) < _OBJECT_MAY_BE_UNROWED_S:
                continue
            if connection.execute(sa.select(blobs.c.id).where(blobs.c.id == identifier)).one_or_none() is None:
                self._objects.delete(name)
                gone += 1
        return gone

    def drop_dead_packs(self, connection: sa.Connection) -> int:
        """Delete the packs nothing lives in; returns how many."""
        if self._packs is None:
            return 0
        living = connection.execute(sa.select(blobs.c.pack).where(blobs.c.pack.is_not(None)).distinct()).scalars()
        return self._packs.drop_dead(set(living))

    def delete(self, connection: sa.Connection, blob_ids: Sequence[int]) -> list[str]:
        """Delete rows, and so keys: what remains of the content is unreadable. Returns objects to `discard` once durable."""
        return delete(connection, blob_ids)

    def discard(self, names: Sequence[str]) -> None:
        """Delete objects whose rows are gone. A crash before this leaves them to `sweep`."""
        for name in names:
            self._objects.delete(name)


class BlobWriter:
    """One blob being written. `write` then `finish`, or `abandon`. Not for two threads at once."""

    def __init__(
        self, ring: Keyring, objects: ObjectStore, spool: Path, inline_limit: int, packs: PackStore | None
    ) -> None:
        self.id = ids.next_id()
        self.size = 0
        self._ring = ring
        self._objects = objects
        self._spool = spool
        self._inline_limit = inline_limit
        self._packs = packs
        self._sealer = sealing.Sealer()
        self._digest = hashlib.sha256()
        self._sealed: list[bytes] = []
        self._file: BinaryIO | None = None

    @property
    def spooled(self) -> bool:
        """Whether content goes to a file by now, so that writing and finishing touch the disk and belong in a thread."""
        return self._file is not None

    def write(self, content: bytes, *, digested: bool = True) -> None:
        """Take some content, of any length. Raises StorageFailure when the spool cannot take it.

        What is not `digested`, our own trace lines, is kept and sealed alike, but left out of the digest, which is then
        of what the author's side sent: the same for every recipient, operator and attempt.
        """
        self.size += len(content)
        if digested:
            self._digest.update(content)
        sealed = self._sealer.write(content)
        if sealed:
            self._keep(sealed)

    def finish(self) -> Sealed:
        """Seal the end; when it returns the content is in the value, in a pack, or durable. Raises StorageFailure."""
        self._keep(self._sealer.finish())
        digest = self._digest.digest()
        number, wrapped = sealing.wrap(self._ring, self._sealer.key, _binding(self.id, digest, self.size))
        content, pack, place = None, None, None
        if self._file is not None:
            path = Path(self._file.name)
            self._file.close()
            try:
                self._objects.put(_object_name(self.id), path)
            finally:
                path.unlink(missing_ok=True)
        else:
            content = b"".join(self._sealed)
            if self._packs is not None and len(content) > _ROW_LIMIT:
                pack, place = self._packs.append(content)
                content = None
        return Sealed(self.id, self.size, digest, number, wrapped, content, pack, place)

    def abandon(self) -> None:
        """Forget what was written. Harmless after `finish`."""
        self._sealed.clear()
        if self._file is not None:
            self._file.close()
            Path(self._file.name).unlink(missing_ok=True)

    def _keep(self, sealed: bytes) -> None:
        try:
            if self._file is None:
                self._sealed.append(sealed)
                if self.size <= self._inline_limit:
                    return
                descriptor, name = tempfile.mkstemp(dir=self._spool)
                os.close(descriptor)
                self._file = Path(name).open("wb", buffering=0)  # noqa: SIM115 - closed by finish or abandon
                sealed = b"".join(self._sealed)
                self._sealed.clear()
            view = memoryview(sealed)
            while view:  # an unbuffered write may be partial when the disk fills up
                view = view[self._file.write(view) :]
        except OSError as error:
            raise StorageFailure(
                f"The spool cannot take the message: {error.strerror}.",
                f"Le message ne peut pas être mis en attente : {error.strerror}.",
            ) from error


class BlobReader:
    """An open blob. `size` is its content's, in octets."""

    def __init__(self, aead: AESGCM, size: int, fetch: Callable[[int, int], bytes]) -> None:
        self.size = size
        self._aead = aead
        self._fetch = fetch

    def read(self) -> bytes:
        """The whole content."""
        return b"".join(self.chunks())

    def chunks(self, start: int = 0) -> Iterator[bytes]:
        """The content from octet `start`, 64 KiB at a time. Raises UnsealingFailure."""
        first = start // sealing.CHUNK
        for number in range(first, sealing.chunk_count(self.size)):
            content = self._chunk(number)
            yield content[start - first * sealing.CHUNK :] if number == first else content

    def read_range(self, start: int, length: int) -> bytes:
        """At most `length` octets from `start`."""
        first, last = start // sealing.CHUNK, (start + length - 1) // sealing.CHUNK
        if first == last and 0 < length <= self.size - start:  # of one chunk: not copied where it is the whole of it
            begin = start - first * sealing.CHUNK
            return self._chunk(first)[begin : begin + length]
        wanted, taken = bytearray(), 0
        for content in self.chunks(start) if start < self.size else ():
            wanted += content[: length - taken]
            taken = len(wanted)
            if taken >= length:
                break
        return bytes(wanted)

    def _chunk(self, number: int) -> bytes:
        step = sealing.CHUNK + sealing.TAG
        start = number * step
        end = min(start + step, sealing.sealed_size(self.size))
        sealed = self._fetch(start, end)
        return sealing.open_chunk(self._aead, number, number == sealing.chunk_count(self.size) - 1, sealed)


def insert(connection: sa.Connection, new: Sequence[Sealed], packs: PackStore | None = None) -> None:
    """Write the rows of sealed blobs, once the packs that hold their content are on disk."""
    if packs is not None:
        packs.flush({each.pack for each in new if each.pack is not None})
    rows = [
        (each.id, each.size, each.digest, each.key_number, each.wrapped_key, each.content, each.pack, each.place)
        for each in new
    ]
    _INSERT.run(connection, rows)


def delete(connection: sa.Connection, blob_ids: Sequence[int]) -> list[str]:
    """Delete rows, and so keys. Returns the names of objects to discard once that is durable."""
    return [_object_name(row[0]) for row in _DELETE.run(connection, list(blob_ids)) if row[1]]


def unneeded(connection: sa.Connection, blob_ids: Sequence[int]) -> list[int]:
    """Those of some blobs that no row needs any more, of any column marked HOLDS."""
    left = dict.fromkeys(blob_ids)
    for statement in _holders(len(metadata.tables)):
        if left:
            for row in statement.run(connection, list(left)):
                left.pop(row[0], None)
    return list(left)


@lru_cache(1)
def _holders(tables: int) -> list[Statement]:
    """For each column that holds blobs, which of some blobs it holds; anew when more tables are known."""
    del tables
    return [
        Statement(
            f"SELECT value FROM json_each({{value}}) AS wanted WHERE {_exists(table, column)}",  # noqa: S608
            postgresql=f"SELECT value FROM unnest({{value}}::bigint[]) AS wanted (value) WHERE {_exists(table, column)}",  # noqa: S608
        )
        for table in metadata.tables.values()
        for column in table.c
        if column.info.items() >= HOLDS.items()
    ]


def _exists(table: sa.Table, column: "sa.Column[int]") -> str:
    """One row is enough: hundreds of recipients may share a content."""
    return f"EXISTS (SELECT 1 FROM {table.name} WHERE {table.name}.{column.name} = wanted.value)"  # noqa: S608


def _binding(blob_id: int, digest: bytes, size: int) -> bytes:
    return blob_id.to_bytes(8, "big") + size.to_bytes(8, "big") + digest


def _object_name(blob_id: int) -> str:
    return ids.to_text(blob_id)
