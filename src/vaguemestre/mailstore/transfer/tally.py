"""What a mailbox holds already, by content: so that nothing is filed twice, nor a twin taken for its other.

What it keeps true: of n messages of one content in a source, as many are new as the mailbox lacks. Content is known by its
SHA-256 and size. A message that came in by SMTP or was sent from here has the digest of what its author's side sent, which
leaves out the trace lines that we put before it: so a source's copy of it is known by the same.

Memory: some 150 octets a message of the mailbox, and as much for each one taken.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator

import sqlalchemy as sa

from vaguemestre.errors import StorageFailure
from vaguemestre.mailstore.tables import placements
from vaguemestre.mailstore.transfer.model import Content, Fingerprint
from vaguemestre.storage.blobs import BlobStore, blobs
from vaguemestre.storage.database import Database

_PAGE = 2000
_OPEN_TOGETHER = 50
_KEY = 16  # octets of a digest kept in memory
_LONGEST_TRACE = 4096
_TRACE = re.compile(
    rb"(?:Return-Path: <[^\r\n]*>\r\n)?Received: (?:from|by) [^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)+(?=[^ \t])"
)
_OURS = b"(Vaguemestre)"


class Identity:
    """What a content is known by, while it passes: its digest, and that of what follows our own trace, if it has one."""

    def __init__(self) -> None:
        self._whole = hashlib.sha256()
        self._rest: hashlib._Hash | None = None
        self._head: bytes | None = b""
        self.size = 0

    def add(self, chunk: bytes) -> None:
        """Take some more of the content."""
        self.size += len(chunk)
        self._whole.update(chunk)
        if self._head is not None:
            self._head += chunk
            if len(self._head) >= _LONGEST_TRACE:
                self._look()
        elif self._rest is not None:
            self._rest.update(chunk)

    @property
    def digest(self) -> bytes:
        """SHA-256 of the whole."""
        return self._whole.digest()

    @property
    def keys(self) -> list[bytes]:
        """What a row that holds this content may have as its digest and size."""
        if self._head is not None:
            self._look()
        digests = [self._whole.digest()] + ([self._rest.digest()] if self._rest else [])
        return [_key(digest, self.size) for digest in digests]

    def _look(self) -> None:
        head, self._head = self._head or b"", None
        found = _TRACE.match(head)
        if found and _OURS in found[0]:
            self._rest = hashlib.sha256(head[found.end() :])


class Tally:
    """The contents of one mailbox, counted, while a source is filed into it."""

    def __init__(self, database: Database, store: BlobStore, mailbox_id: int) -> None:
        self._database = database
        self._blobs = store
        self._mailbox_id = mailbox_id
        self._there: Counter[bytes] = Counter()
        self._taken: Counter[bytes] = Counter()
        for _, _, key in self._rows():
            self._there[key] += 1

    def has(self, identity: Identity) -> bool:
        """Whether the mailbox holds one more of this content than was asked about before; then it counts as taken."""
        return any(self._take(key) for key in identity.keys)

    def still_has(self, digest: bytes, size: int) -> bool:
        """The same, for a content that an earlier run filed."""
        return self._take(_key(digest, size))

    def filed(self, identity: Identity) -> None:
        """One of this content was filed."""
        self._taken[identity.keys[0]] += 1

    def check(self) -> Fingerprint:
        """Open again, and measure, what was taken: as many of each content as the mailbox really has."""
        found, left = Fingerprint(), self._taken.copy()
        page: list[int] = []
        for blob_id, _, key in self._rows():
            if left[key] > 0:
                left[key] -= 1
                page.append(blob_id)
            if len(page) >= _OPEN_TOGETHER:
                self._measure(page, found)
                page = []
        self._measure(page, found)
        return found

    def _measure(self, blob_ids: list[int], found: Fingerprint) -> None:
        for opened in self._database.read(self._blobs.open_each, blob_ids):
            try:
                if isinstance(opened, StorageFailure):
                    raise opened
                content = Content(opened.chunks())
                for _ in content:
                    pass
            except StorageFailure:  # what does not open is not there
                continue
            found.add(content.digest, content.size)

    def _take(self, key: bytes) -> bool:
        if self._there[key] <= 0:
            return False
        self._there[key] -= 1
        self._taken[key] += 1
        return True

    def _rows(self) -> Iterator[tuple[int, int, bytes]]:
        """Blob, size and key of each message of the mailbox, a page at a time."""
        after = 0
        while True:
            rows = self._database.read(_page, self._mailbox_id, after)
            for uid, blob_id, size, digest in rows:
                yield blob_id, size, _key(bytes(digest), size)
                after = uid
            if len(rows) < _PAGE:
                return


def _page(connection: sa.Connection, mailbox_id: int, after: int) -> list[tuple[int, int, int, bytes]]:
    wanted = (
        sa.select(placements.c.uid, placements.c.blob_id, blobs.c.size, blobs.c.digest)
        .join_from(placements, blobs, placements.c.blob_id == blobs.c.id)
        .where(placements.c.mailbox_id == mailbox_id, placements.c.uid > after)
        .order_by(placements.c.uid)
        .limit(_PAGE)
    )
    return [(row[0], row[1], row[2], row[3]) for row in connection.execute(wanted)]


def _key(digest: bytes, size: int) -> bytes:
    return digest[:_KEY] + size.to_bytes(8, "big")
