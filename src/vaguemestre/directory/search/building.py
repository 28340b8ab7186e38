"""The index made from the register, whole or following what changed in it.

What it keeps true: the index says at every moment what the register said at one of its revisions, which it names; a build
that is interrupted leaves the former index; a change is one transaction.

Flow of a build: the register's records in one snapshot → their words, counted → tables, written by a thread of its own
while the next are read, many rows a statement, so that neither waits for Python's lock → vocabulary → in its place.
"""

from collections import Counter, deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, islice
from typing import Any, Protocol

import msgspec
import sqlalchemy as sa

from vaguemestre import log
from vaguemestre.directory import register as registers
from vaguemestre.directory import tables
from vaguemestre.directory.search import entries, index, reading, vocabulary
from vaguemestre.directory.search.index import Shelf
from vaguemestre.directory.search.records import STRUCTURES, Person, Record, decode
from vaguemestre.directory.search.spoken import Spoken
from vaguemestre.errors import VaguemestreError
from vaguemestre.storage.database import Database


class Watch(Protocol):
    """Who watches a build: told of its size in rows, under the name `search`, then of each step."""

    def begin(self, part: str, total: int) -> None:
        """It begins."""

    def advance(self, steps: int) -> None:
        """So many more rows are done."""


_BATCH = 1000
_ROWS = 20_000
_AHEAD = 3
_DEAD_SHARE = 0.25  # rows of former versions, beyond which a new index is worth its time
_IDS = 500

# One list of rows for each word, however long the build takes to come to it.
_WHILE_BUILT = (
    "INSERT INTO {table} ({table}, rank) VALUES ('hashsize', 50331648)",
    "INSERT INTO {table} ({table}, rank) VALUES ('automerge', 0)",
)
_ONCE_BUILT = (
    "INSERT INTO {table} ({table}) VALUES ('optimize')",
    "INSERT INTO {table} ({table}, rank) VALUES ('automerge', 4)",
    "INSERT INTO {table} ({table}, rank) VALUES ('hashsize', 1048576)",
)
_INSERT_RECORDS = "INSERT INTO records SELECT value->>0, value->>1, value->2 FROM json_each(?)"
_INSERT_WORDS_OF = "INSERT INTO {table} (rowid, words) SELECT value->>0, value->>1 FROM json_each(?)"
_INSERT_IDENTIFIERS = "INSERT OR IGNORE INTO identifiers SELECT value->>0, value->>1 FROM json_each(?)"
_INSERT_NAMESAKES = "INSERT INTO namesakes SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each(?)"
_INSERT_WORDS = "INSERT INTO words SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each(?)"
_INSERT_NEAR = "INSERT OR IGNORE INTO near SELECT value FROM json_each(?)"

_encode = msgspec.json.Encoder().encode
_log = log.get("directory.search")


class Outcome(StrEnum):
    """What a refresh did."""

    BUILT = "built"
    FOLLOWED = "followed"
    UNCHANGED = "unchanged"
    BUSY = "busy"  # another process is at it


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh did, and how many records it wrote."""

    outcome: Outcome
    records: int
    revision: int


def refresh(
    register: Database, shelf: Shelf, watch: Watch | None = None, *, wait: bool = True, whole: bool = False
) -> Refreshed:
    """Bring the index to the register's last revision: by what changed where it can, else (or `whole`) built anew.

    With `wait` false nothing is done where another process is at it. Raises StorageFailure.
    """
    with shelf.only_writer(wait=wait) as ours:
        if not ours:
            return Refreshed(Outcome.BUSY, 0, 0)
        return register.read(_refresh, shelf, watch, whole)


def _refresh(connection: sa.Connection, shelf: Shelf, watch: Watch | None, whole: bool) -> Refreshed:
    edition, revision = state(connection)
    found = None if whole else _standing(shelf, edition)
    if found is None:
        return Refreshed(Outcome.BUILT, _build(connection, shelf, watch, edition, revision), revision)
    try:
        seen = int(index.facts(found)["revision"])
        if seen == revision:
            return Refreshed(Outcome.UNCHANGED, 0, revision)
        return Refreshed(Outcome.FOLLOWED, _follow(connection, found, seen, revision), revision)
    finally:
        found.close()


def state(connection: sa.Connection) -> tuple[str, int]:
    """What an index may lag behind: the register's edition, and its last revision."""
    last = connection.execute(sa.select(sa.func.max(tables.revisions.c.id))).scalar()
    return registers.edition(connection), int(last or 0)


def _standing(shelf: Shelf, edition: str) -> Any:
    """The index in use, to be changed; None where there is none that can follow."""
    path = shelf.current()
    if path is None:
        return None
    try:
        found = index.open_writer(path, shelf.key)
    except VaguemestreError:  # another key, or damage: it is derived, and made again
        return None
    try:
        facts = index.facts(found)
        fit = facts["format"] == index.FORMAT and facts["edition"] == edition
        if fit and int(facts["dead"]) <= _DEAD_SHARE * max(int(facts["rows"]), 1000):
            return found
    except Exception as error:  # whatever is wrong with it, it is made again
        _log.warning("search index unreadable", error=type(error).__name__)
    found.close()
    return None


def _build(connection: sa.Connection, shelf: Shelf, watch: Watch | None, edition: str, revision: int) -> int:
    path = shelf.new()
    writing = _Writing(index.create(path, shelf.key))
    try:
        spoken = Spoken(_labels(connection))
        total = sum(
            connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in (tables.practitioners, tables.organizations)
        )
        if watch is not None:
            watch.begin("search", total)
        made = 0
        records: Iterable[Record] = chain(reading.people(connection), reading.structures(connection))
        for record in records:
            writing.add(record, spoken)
            made += 1
            if watch is not None and made % _BATCH == 0:
                watch.advance(_BATCH)
        writing.finish(
            {"format": index.FORMAT, "edition": edition, "revision": str(revision)},
            _copies(connection),
        )
    except BaseException:
        writing.abandon()
        path.unlink(missing_ok=True)
        raise
    shelf.replace(path)
    if watch is not None:
        watch.advance(total - made // _BATCH * _BATCH)
    return made


def _labels(connection: sa.Connection) -> dict[tuple[str, str], str]:
    found = connection.execute(sa.select(tables.labels.c.system, tables.labels.c.code, tables.labels.c.label))
    return {(system, code): label for system, code, label in found}


def _copies(connection: sa.Connection) -> tuple[list[Any], list[Any]]:
    """What the index copies whole: labels and revisions."""
    labels = [[system, code, label] for (system, code), label in _labels(connection).items()]
    of = tables.revisions.c
    dated = connection.execute(sa.select(of.id, of.at, of.origin, of.stamp))
    return labels, [list(row) for row in dated]


def _copy(connection: Any, copies: tuple[list[Any], list[Any]]) -> None:
    labels, revisions = copies
    connection.execute("DELETE FROM labels")
    connection.executemany("INSERT INTO labels VALUES (?, ?, ?)", labels)
    connection.executemany("INSERT OR REPLACE INTO revisions VALUES (?, ?, ?, ?)", revisions)


def _state(connection: Any, facts: dict[str, str]) -> None:
    connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())


class _Writing:
    """A new index being filled: rows gather here, and a thread writes them by the thousand."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="search index")
        self._under_way: deque[Future[Any]] = deque()
        self._records: list[Any] = []
        self._present: list[Any] = []
        self._absent: list[Any] = []
        self._numbers: list[Any] = []
        self._namesakes: list[Any] = []
        self._own: list[str] = []  # words of records not counted yet
        self._other: list[str] = []
        self._counts: tuple[Counter[str], Counter[str]] = Counter(), Counter()
        self._rows = 0
        connection.execute("BEGIN")
        for table in ("present", "absent"):
            for statement in _WHILE_BUILT:
                connection.execute(statement.format(table=table))

    def add(self, record: Record, spoken: Spoken) -> None:
        """Take one more record; they come in the order of their numbers."""
        thing = record.thing
        if record.active:
            own, other, line = entries.indexed(record, spoken)
            self._own += own
            self._other += other
            doc = index.row_number(thing, 1)
            (self._present if record.mailboxes else self._absent).append((doc, line))
            self._rows += 1
        else:
            doc = 0
        self._records.append((thing, doc, record))
        self._numbers += [(number, thing) for number in entries.numbers(record)]
        if record.active and isinstance(record, Person):
            self._namesakes.append(_namesake(record))
        if len(self._records) >= _BATCH:
            self._flush()

    def finish(self, facts: dict[str, str], copies: tuple[list[Any], list[Any]]) -> None:
        """Write what is left, the vocabulary and what the index says of itself; then it can be put in place."""
        self._flush()
        for table in ("present", "absent"):
            for statement in _ONCE_BUILT:
                self._run(statement.format(table=table))
        listed = list(vocabulary.rows(*self._counts))
        self._counts = Counter(), Counter()
        for start in range(0, len(listed), _ROWS):
            self._run(_INSERT_WORDS, listed[start : start + _ROWS])
        for part in vocabulary.traces(listed):
            for start in range(0, len(part), _ROWS * 5):
                self._run(_INSERT_NEAR, part[start : start + _ROWS * 5].tolist())
        self._settle(0)
        _copy(self._connection, copies)
        _state(self._connection, {**facts, "rows": str(self._rows), "dead": "0"})
        for statement in index.INDEXES:
            self._connection.execute(statement)
        self._connection.execute("COMMIT")
        self._connection.execute("ANALYZE words")
        self._thread.shutdown()
        index.finish(self._connection)

    def abandon(self) -> None:
        """Let go of a file that will not be used."""
        self._thread.shutdown(cancel_futures=True)
        self._connection.close()

    def _flush(self) -> None:
        for counts, said in zip(self._counts, (self._own, self._other), strict=True):
            counts.update(said)
            said.clear()
        self._run(_INSERT_RECORDS, self._records)
        self._run(_INSERT_WORDS_OF.format(table="present"), self._present)
        self._run(_INSERT_WORDS_OF.format(table="absent"), self._absent)
        self._run(_INSERT_IDENTIFIERS, self._numbers)
        self._run(_INSERT_NAMESAKES, self._namesakes)
        self._records, self._present, self._absent, self._numbers, self._namesakes = [], [], [], [], []

    def _run(self, statement: str, rows: list[Any] | None = None) -> None:
        """Have a statement run by the thread, over rows given as JSON: it needs Python's lock once, not once a row."""
        if rows is not None and not rows:
            return
        values = () if rows is None else (_encode(rows).decode(),)
        self._settle(_AHEAD)
        self._under_way.append(self._thread.submit(self._connection.execute, statement, values))

    def _settle(self, most: int) -> None:
        while len(self._under_way) > most:
            self._under_way.popleft().result()


def _namesake(person: Person) -> tuple[int, int, str, str]:
    return entries.namesake(person), person.thing, *entries.profile(person)


def _follow(connection: sa.Connection, opened: Any, seen: int, revision: int) -> int:
    """Index anew what changed above a revision, in one transaction; returns how many records were written."""
    opened.execute("BEGIN IMMEDIATE")
    try:
        copies = _copies(connection)
        _copy(opened, copies)
        spoken = Spoken({(system, code): label for system, code, label in copies[0]})
        people, structures = _changed(connection, opened, seen)
        change = _Change(opened, spoken)
        for ids, of, base in ((people, reading.people, 0), (structures, reading.structures, STRUCTURES)):
            left = {base + each for each in ids}
            for record in of(connection, ids):
                left.discard(record.thing)
                change.put(record)
            for thing in left:
                change.remove(thing)
        facts = index.facts(opened)
        _state(
            opened,
            {
                "revision": str(revision),
                "rows": str(int(facts["rows"]) + change.rows),
                "dead": str(int(facts["dead"]) + change.dead),
            },
        )
    except BaseException:
        opened.execute("ROLLBACK")
        raise
    opened.execute("COMMIT")
    return len(people) + len(structures)


def _changed(connection: sa.Connection, opened: Any, seen: int) -> tuple[set[int], set[int]]:
    """The practitioners and organizations whose record may differ: their rows, and those it is made of."""
    people, activities, places, addresses = (
        table.c for table in (tables.practitioners, tables.activities, tables.organizations, tables.addresses)
    )

    def ids(statement: Any) -> set[int]:
        return set(connection.execute(statement).scalars())

    changed_people = ids(sa.select(people.id).where(people.revision > seen))
    changed_people |= ids(sa.select(activities.practitioner_id).where(activities.revision > seen))
    changed_places = ids(sa.select(places.id).where(places.revision > seen))
    for few in _few(changed_places):
        changed_people |= ids(sa.select(activities.practitioner_id).where(activities.organization_id.in_(few)))
        here = sa.select(addresses.practitioner_id).where(addresses.organization_id.in_(few))
        changed_people |= ids(here.where(addresses.practitioner_id.is_not(None)))
    written = sa.select(addresses.address_key, addresses.practitioner_id, addresses.organization_id)
    for address, practitioner_id, organization_id in connection.execute(written.where(addresses.revision > seen)):
        if practitioner_id is not None:
            changed_people.add(practitioner_id)
        elif organization_id is not None:
            changed_places.add(organization_id)
        former = "SELECT thing FROM identifiers WHERE number = ?"  # whose it was, where it went to another
        for (thing,) in opened.execute(former, (entries.number(address),)):
            (changed_people if thing < STRUCTURES else changed_places).add(thing % STRUCTURES)
    return changed_people, changed_places


def _few(ids: Iterable[int]) -> Iterable[list[int]]:
    left = iter(sorted(ids))
    while few := list(islice(left, _IDS)):
        yield few


class _Change:
    """Records put into, and taken out of, an index in use; within its transaction."""

    def __init__(self, connection: Any, spoken: Spoken) -> None:
        self._connection = connection
        self._spoken = spoken
        self.rows = 0
        self.dead = 0

    def put(self, record: Record) -> None:
        """Write a record in the place of what was known."""
        thing = record.thing
        former_doc, former = self._former(thing)
        kept = former is not None and former_doc > 0 and record.active and self._same_words(former, record)
        doc = former_doc
        if not kept:
            version = index.version(former_doc)
            self.dead += former_doc > 0
            doc = self._index(record, version + 1) if record.active else -version
        execute, execute_many = self._connection.execute, self._connection.executemany
        execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", (thing, doc, _encode(record).decode()))
        if former is not None:
            self._forget_keys(former)
        keys = [(each, thing) for each in entries.numbers(record)]
        execute_many("INSERT OR IGNORE INTO identifiers VALUES (?, ?)", keys)
        if record.active and isinstance(record, Person):
            execute("INSERT OR REPLACE INTO namesakes VALUES (?, ?, ?, ?)", _namesake(record))

    def remove(self, thing: int) -> None:
        """Forget a record."""
        former_doc, former = self._former(thing)
        if former is not None:
            self.dead += former_doc > 0
            self._forget_keys(former)
            # Its number stays taken, so that a record that comes back has another version.
            statement = "UPDATE records SET doc = ?, content = '' WHERE thing = ?"
            self._connection.execute(statement, (-index.version(former_doc), thing))

    def _former(self, thing: int) -> tuple[int, Record | None]:
        found = self._connection.execute("SELECT doc, content FROM records WHERE thing = ?", (thing,)).fetchone()
        return (0, None) if found is None else (found[0], decode(found[1]) if found[1] else None)

    def _same_words(self, former: Record, record: Record) -> bool:
        if bool(former.mailboxes) != bool(record.mailboxes):
            return False
        return entries.word_sets(former, self._spoken) == entries.word_sets(record, self._spoken)

    def _index(self, record: Record, version: int) -> int:
        own, other, line = entries.indexed(record, self._spoken)
        doc = index.row_number(record.thing, version)
        table = "present" if record.mailboxes else "absent"
        self._connection.execute(f"INSERT INTO {table} (rowid, words) VALUES (?, ?)", (doc, line))  # noqa: S608
        vocabulary.learn(self._connection, own, other)
        self.rows += 1
        return doc

    def _forget_keys(self, former: Record) -> None:
        keys = [(each, former.thing) for each in entries.numbers(former)]
        self._connection.executemany("DELETE FROM identifiers WHERE number = ? AND thing = ?", keys)
        if isinstance(former, Person):
            statement = "DELETE FROM namesakes WHERE name = ? AND thing = ?"
            self._connection.execute(statement, (entries.namesake(former), former.thing))
