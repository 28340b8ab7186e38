"""What contents are made of, read once and kept: envelope, parts with their places, preview.

What it keeps true: a kept structure is that of its content, which never changes; it is sealed under that content's key,
for it holds names and words of the message, and goes with the content, by the database's own rule.

Rules: what is missing is read from the content as it streams, never whole in memory. Reading writes nothing, and gives
what a writer may keep. A structure that another version kept, and this one cannot read, is read again from the content.
"""

import asyncio
from collections import ChainMap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec
import sqlalchemy as sa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vaguemestre import log
from vaguemestre.documents.mime import Scanner
from vaguemestre.documents.structure import Structure
from vaguemestre.documents.text import read_structure
from vaguemestre.errors import StorageFailure
from vaguemestre.mailstore.tables import structures
from vaguemestre.storage import sealing
from vaguemestre.storage.blobs import BlobReader, BlobStore
from vaguemestre.storage.bulk import BulkInsert, BulkSelect, Statement
from vaguemestre.storage.database import Database

_PURPOSE = b"structure 1"  # another number where a structure of the same content comes out otherwise
_ROWS = BulkSelect(
    "SELECT blobs.id, blobs.size, blobs.digest, blobs.key_number, blobs.wrapped_key, structures.structure"
    " FROM blobs LEFT JOIN structures ON structures.blob_id = blobs.id WHERE blobs.id IN {keys}"
)
_LIVING = Statement("SELECT id FROM blobs WHERE id {among}", lock=True)
_INSERT = BulkInsert(structures, "blob_id", "structure")
_STEP = 10_000
_PAUSE_S = 1.0
_MOST_WAITING = 500
_log = log.get("mailstore.structures")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Structure).decode


class Structures(NamedTuple):
    """Structures by blob identifier; and those that were not kept, sealed for `keep`."""

    found: dict[int, Structure]
    unkept: dict[int, bytes]


def get(connection: sa.Connection, store: BlobStore, blob_ids: Sequence[int]) -> Structures:
    """The structures of contents; one that is gone, or does not open, has none. Raises StorageFailure."""
    found: dict[int, Structure] = {}
    unkept: dict[int, bytes] = {}
    for blob_id, size, digest, key_number, wrapped_key, kept in _ROWS.run(connection, blob_ids):
        try:
            cipher = store.cipher(blob_id, size, bytes(digest), key_number, bytes(wrapped_key))
            structure = None if kept is None else _opened(cipher, bytes(kept))
            if structure is None:
                structure = compute(store.open(connection, blob_id))
                unkept[blob_id] = sealing.seal_note(cipher, _encode(structure), _PURPOSE)
        except sealing.UnsealingFailure:
            continue
        found[blob_id] = structure
    return Structures(found, unkept)


def compute(reader: BlobReader) -> Structure:
    """The structure of an open content. Raises UnsealingFailure."""
    scanner = Scanner()
    for chunk in reader.chunks():
        scanner.feed(chunk)
    return read_structure(scanner.finish(), lambda start, end: reader.read_range(start, end - start))


def keep(connection: sa.Connection, unkept: Mapping[int, bytes]) -> None:
    """Keep what `get` computed, of contents that still are."""
    if not unkept:
        return
    living = [row[0] for row in _LIVING.run(connection, list(unkept))]
    drop(connection, living)
    _INSERT.run(connection, [(blob_id, unkept[blob_id]) for blob_id in living])


def keep_all(connection: sa.Connection, several: Sequence[Mapping[int, bytes]]) -> list[None]:
    """`keep` for all who wait together (`Database.write_together`)."""
    keep(connection, ChainMap(*map(dict, several)))
    return [None] * len(several)


class Keeper:
    """Keeps what was computed a second later at most, in one write for all who computed; use from one event loop.

    Nobody waits for it: what is lost with the process, or by a store that fails, is computed again.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[int, bytes] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, unkept: Mapping[int, bytes]) -> None:
        """Keep these soon."""
        self._waiting |= unkept
        if len(self._waiting) >= _MOST_WAITING:
            self.write()
        elif self._timer is None and self._waiting:
            self._timer = asyncio.get_running_loop().call_later(_PAUSE_S, self.write)

    def write(self) -> None:
        """Keep what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, {}
        if waiting:
            with suppress(StorageFailure):  # closing
                self._database.write_together(keep_all, waiting).add_done_callback(_notice)


def _notice(done: "asyncio.Future[None]") -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        _log.error("structures could not be kept", error=str(error))


def drop(connection: sa.Connection, blob_ids: Sequence[int]) -> None:
    """Forget the structures of contents that stay."""
    for start in range(0, len(blob_ids), _STEP):
        connection.execute(sa.delete(structures).where(structures.c.blob_id.in_(blob_ids[start : start + _STEP])))


def _opened(cipher: AESGCM, kept: bytes) -> Structure | None:
    try:
        return _decode(sealing.open_note(cipher, kept, _PURPOSE))
    except (sealing.UnsealingFailure, msgspec.DecodeError):
        return None
