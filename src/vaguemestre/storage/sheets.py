"""Sheets: sealed bytes in rows of 64 KiB, for what is read by parts and rewritten often.

Why not blobs: those stand in packs, which only grow; what is rewritten would fill them with bytes nobody can read.

What it keeps true: a volume's bytes never change, and open only with its own key, which its row elsewhere holds wrapped:
where that row is deleted, the sheets left are noise. They are sealed as content is (`sealing`), and bound to the volume.
"""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vaguemestre.storage import sealing
from vaguemestre.storage.bulk import BulkInsert, Statement
from vaguemestre.storage.database import metadata
from vaguemestre.storage.keys import Keyring

sheets = sa.Table(
    "sheets",
    metadata,
    sa.Column("volume_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
)

_INSERT = BulkInsert(sheets, "volume_id", "number", "content")
_READ = Statement("SELECT number, content FROM sheets WHERE volume_id = {value} AND number {among}")
_SEALED = sealing.CHUNK + sealing.TAG


class Volume(msgspec.Struct, frozen=True):
    """What opens a volume: its size in octets, and its key, wrapped by the operator's content key of a number."""

    id: int
    size: int
    key_number: int
    wrapped_key: bytes


def seal(ring: Keyring, volume_id: int, content: bytes) -> tuple[Volume, list[bytes]]:
    """A volume of this content, and its sheets, to be inserted."""
    sealer = sealing.Sealer()
    sealed = sealer.write(content) + sealer.finish()
    number, wrapped = sealing.wrap(ring, sealer.key, _binding(volume_id, len(content)))
    volume = Volume(volume_id, len(content), number, wrapped)
    return volume, [sealed[start : start + _SEALED] for start in range(0, len(sealed), _SEALED)]


def insert(connection: sa.Connection, volume_id: int, sealed: Sequence[bytes], first: int = 0) -> None:
    """Write sheets of a volume, numbered from `first`."""
    _INSERT.run(connection, [(volume_id, number, sheet) for number, sheet in enumerate(sealed, first)])


def delete(connection: sa.Connection, volume_id: int, limit: int) -> bool:
    """Delete at most `limit` sheets of a volume, the last ones first; whether none is left."""
    wanted = sa.select(sheets.c.number).where(sheets.c.volume_id == volume_id)
    left = connection.execute(wanted.order_by(sheets.c.number.desc()).limit(limit + 1)).scalars().all()
    chosen = list(left[:limit])
    connection.execute(sa.delete(sheets).where(sheets.c.volume_id == volume_id, sheets.c.number.in_(chosen)))
    return len(left) <= limit


class SheetReader:
    """Reads an open volume by parts, each sheet once. Keeps what it opened: for one question, not for long."""

    def __init__(self, ring: Keyring, volume: Volume) -> None:
        self._volume = volume
        self._ring = ring
        self._aead: AESGCM | None = None
        self._count = sealing.chunk_count(volume.size)
        self._open: dict[int, bytes] = {}

    def read(self, connection: sa.Connection, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """The octets of each range [start, end). Raises UnsealingFailure."""
        chunk, opened = sealing.CHUNK, self._open
        spans = [(start // chunk, (end - 1) // chunk + 1) for start, end in ranges if start < end]
        if not spans:
            return [b""] * len(ranges)
        first, last = min(spans)[0], max(last for _, last in spans)
        many = len(ranges) >= last - first  # then one string of all that is between costs less than looking each up
        wanted = {number for span in ([(first, last)] if many else spans) for number in range(*span)}
        missing = sorted(wanted - opened.keys())
        if missing:
            self._load(connection, missing)
        if len(wanted) == last - first:
            between, base = b"".join(opened[number] for number in range(first, last)), first * chunk
            return [between[start - base : end - base] for start, end in ranges]
        return [self._cut(start, end) for start, end in ranges]

    def _cut(self, start: int, end: int) -> bytes:
        chunk = sealing.CHUNK
        first = start // chunk
        within = b"".join(self._open[number] for number in range(first, (end - 1) // chunk + 1))
        return within[start - first * chunk : end - first * chunk]

    def _load(self, connection: sa.Connection, missing: list[int]) -> None:
        if self._aead is None:
            volume = self._volume
            binding = _binding(volume.id, volume.size)
            self._aead = sealing.unwrap(self._ring, volume.key_number, volume.wrapped_key, binding)
        rows = _READ.run(connection, self._volume.id, missing)
        if len(rows) != len(missing):
            raise sealing.UnsealingFailure
        for number, content in rows:
            self._open[number] = sealing.open_chunk(self._aead, number, number == self._count - 1, bytes(content))


def _binding(volume_id: int, size: int) -> bytes:
    return b"sheets" + volume_id.to_bytes(8, "big") + size.to_bytes(8, "big")
