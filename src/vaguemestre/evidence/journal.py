"""The journal: facts appended in the transaction that makes them true, each chained to the one before.

What it keeps true: no entry without its fact and no fact without its entry, since both commit together; sequence numbers
have no gap; changing, removing or inserting an entry breaks the chain, and `verify` says where. It does not stop someone
who holds the database key from rewriting it all: signed checkpoints, held by others, will.

Standards: RFC 6962 §2.1 (leaf hashing). Why each entry covers a digest of its personal part: docs/adr/0005.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from vaguemestre.clock import now_ms
from vaguemestre.evidence.entries import Entry, Event, canonical, entry_hash, personal_digest
from vaguemestre.evidence.tables import journal, journal_head
from vaguemestre.storage.bulk import BulkInsert, Statement
from vaguemestre.storage.database import insert_or_ignore

_GENESIS = bytes(32)
_PAGE = 1000
_HEAD = Statement("SELECT seq, hash FROM journal_head WHERE id = 1", lock=True)
_MOVE_HEAD = Statement("UPDATE journal_head SET seq = {value}, hash = {value} WHERE id = 1")
_INSERT = BulkInsert(journal, "seq", "at", "event", "subject", "facts", "personal", "salt", "personal_digest", "hash")


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry as it stands in the journal; `at` in Unix milliseconds; `personal` is None once erased."""

    seq: int
    at: int
    event: str
    subject: str
    facts: dict[str, Any]
    personal: dict[str, Any] | None
    hash: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found: `broken_at` is the first entry that does not fit, None when all do."""

    entries: int
    head: str
    broken_at: int | None


def append(connection: sa.Connection, entries: Sequence[Entry]) -> list[int]:
    """Append entries in order; returns their sequence numbers. Part of the caller's transaction."""
    if not entries:
        return []
    head = _HEAD.run(connection)
    if not head:  # the very first entry, that another process may be writing at this moment
        connection.execute(insert_or_ignore(connection, journal_head), {"id": 1, "seq": 0, "hash": _GENESIS})
        head = _HEAD.run(connection)
    seq, previous = head[0]
    rows, at, salts = [], now_ms(), os.urandom(16 * len(entries))
    for place, entry in enumerate(entries):
        seq += 1
        facts = canonical(entry.facts).decode()
        personal = canonical(entry.personal) if entry.personal else None
        salt = salts[16 * place : 16 * place + 16] if personal else None
        digest = personal_digest(salt, personal) if salt and personal else b""
        previous = entry_hash(seq, at, entry.event, entry.subject, facts, digest, previous)
        rows.append((seq, at, str(entry.event), entry.subject, facts, personal, salt, digest, previous))
    _INSERT.run(connection, rows)
    _MOVE_HEAD.run(connection, seq, previous)
    return [row[0] for row in rows]


def log(
    connection: sa.Connection, *, subject: str | None = None, after: int = 0, limit: int = 100, newest: bool = False
) -> list[Recorded]:
    """Entries after a sequence number, oldest first; of one subject where given; the last ones where `newest`."""
    wanted = sa.select(journal).where(journal.c.seq > after).limit(limit)
    if subject is not None:
        wanted = wanted.where(journal.c.subject == subject)
    rows = connection.execute(wanted.order_by(journal.c.seq.desc() if newest else journal.c.seq)).all()
    return [_recorded(row) for row in (reversed(rows) if newest else rows)]


def verify(connection: sa.Connection) -> Verdict:
    """Recompute the whole chain, a page at a time, and compare its end with the head."""
    previous, seq = _GENESIS, 0
    for row in _pages(connection):
        expected = entry_hash(seq + 1, row.at, row.event, row.subject, row.facts, row.personal_digest, previous)
        if row.seq != seq + 1 or row.hash != expected or not _personal_fits(row):
            return Verdict(seq, previous.hex(), seq + 1)
        seq, previous = row.seq, row.hash
    head = connection.execute(sa.select(journal_head.c.seq, journal_head.c.hash)).one_or_none()
    fits = (head is None and seq == 0) or (head is not None and tuple(head) == (seq, previous))
    return Verdict(seq, previous.hex(), None if fits else seq + 1)


def erase_person(connection: sa.Connection, subject: str) -> int:
    """Erase the personal part of a subject's entries, and the salts; the chain still verifies. Returns how many had one."""
    named = (journal.c.subject == subject) & journal.c.personal.is_not(None)
    return connection.execute(sa.update(journal).where(named).values(personal=None, salt=None)).rowcount


def erase(connection: sa.Connection, subject: str) -> int:
    """`erase_person`, and an entry that says it was done, where there was somebody to erase."""
    count = erase_person(connection, subject)
    if count:
        append(connection, [Entry(Event.ERASURE, subject, {"entries": count})])
    return count


def _personal_fits(row: Any) -> bool:
    if row.personal is None:
        return row.salt is None  # erased, or never there
    return row.salt is not None and personal_digest(row.salt, row.personal) == row.personal_digest


def _pages(connection: sa.Connection) -> Iterator[Any]:
    page = sa.select(journal).order_by(journal.c.seq).limit(_PAGE)
    after = None
    while True:
        rows = connection.execute(page if after is None else page.where(journal.c.seq > after)).all()
        yield from rows
        if len(rows) < _PAGE:
            return
        after = rows[-1].seq


def _recorded(row: Any) -> Recorded:
    erased = row.personal is None and row.personal_digest  # the digest stays; an entry about nobody has none
    personal = None if erased else msgspec.json.decode(row.personal or b"{}")
    return Recorded(row.seq, row.at, row.event, row.subject, msgspec.json.decode(row.facts), personal, row.hash.hex())
