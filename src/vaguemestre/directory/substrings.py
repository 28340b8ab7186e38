"""An index of runs of letters: which listed addresses hold a run of three letters or more, anywhere in their names.

Programs complete addresses with filters such as `cn=*dup*`: no index of words nor of beginnings answers that. It is a
derived file, encrypted like the register, that may be deleted at any time; it also holds the lines themselves, so that a
search reads one file, whatever store the register is on.

What it keeps true: what is found was listed at the revision it stands at; `refresh` brings it to the register's; a file
half made is never read. Whether a line really matches is for who asks to verify: runs of several values of one column
lie in one text.

Rules: each value begins with a space and is folded; so a run that begins with a space begins a word. A file is of one
edition of the register; another edition makes another file, and the former serves until it is whole.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import sqlalchemy as sa

from vaguemestre.directory import listing, register, tables
from vaguemestre.directory.listing import Listed
from vaguemestre.documents.words import literal
from vaguemestre.storage import database
from vaguemestre.storage.database import Database

COLUMNS = ("name", "mail", "structure", "unit", "city", "description")
LEAST = 3  # letters of a run: the index is of trigrams
_VERSION = "2"
_STEP = 2000
_MOST_CHANGES = 100_000  # beyond, a new file is made sooner than this one changed
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Listed).decode

# FTS5 keeps the runs alone; the lines stand beside them.
_SCHEMA = (
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE lines (id INTEGER PRIMARY KEY, content BLOB NOT NULL)",
    "CREATE VIRTUAL TABLE runs USING fts5(name, mail, structure, unit, city, description, content='',"
    " contentless_delete=1,"
    " tokenize='trigram case_sensitive 1')",
)
_FIND = "SELECT rowid FROM runs WHERE runs MATCH ? AND rowid > ? ORDER BY rowid LIMIT ?"
_PUT = f"INSERT INTO runs (rowid, {', '.join(COLUMNS)}) VALUES (?{', ?' * len(COLUMNS)})"  # noqa: S608 - names of this code
_FOLLOW = "SELECT content FROM lines WHERE id > ? ORDER BY id LIMIT ?"


@dataclass(frozen=True, slots=True)
class Run:
    """Letters sought in one of COLUMNS; folded, LEAST of them or more."""

    column: str
    letters: str

    def expression(self) -> str:
        """In the language of FTS5."""
        quoted = self.letters.replace('"', '""')
        return f'{{{self.column}}} : "{quoted}"'


def texts(line: Listed) -> tuple[str, ...]:
    """What the index holds of a line, by column. A name stands in both orders; what is rare to be asked in none."""
    person = listing.is_person(line)
    name = (line.given, line.family, line.given) if person else listing.names(line)
    unit = (line.service,) if person or line.service else listing.names(line)
    values = (name, (line.address,), (line.name, line.sign), unit, (line.city,), (line.description,))
    return tuple(map(_text, values))


def _text(values: Iterable[str]) -> str:
    return "".join(f" {literal(value).strip()}" for value in values if value)


class Substrings:
    """The index of one process. `refresh` it from a thread; read from any; `close` it."""

    def __init__(self, folder: Path, key: bytes) -> None:
        self._folder = folder
        self._key = key
        self._lock = threading.Lock()
        self._current: Database | None = None
        self._former: Database | None = None
        self._edition = ""
        self._revision = 0
        self.generation = 0
        """Another number once anything changed: what was kept of lines read before is of the past."""
        self.words: dict[tuple[str, str], str] = {}
        """What codes mean, by nomenclature and code."""

    @property
    def ready(self) -> bool:
        """Whether there is anything to read yet."""
        return self._current is not None

    def refresh(self, source: Database, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Bring the index to what the register holds now; long where there is no file yet.

        `goes_on` is asked at each step; what is left undone is done at the next call.
        """
        with self._lock:
            edition, revision = source.read(_standing)
            if edition == self._edition and revision == self._revision:
                return
            if edition != self._edition:
                self._switch(source, edition, goes_on)
            if edition == self._edition and revision != self._revision:
                self._follow(source, revision, goes_on)

    def find(self, connection: sa.Connection, expression: str, after: int, limit: int) -> list[int]:
        """The first lines after one, by identifier, whose runs an expression of FTS5 matches: their identifiers."""
        rows = connection.exec_driver_sql(_FIND, (expression, after, limit)).fetchall()
        return [row[0] for row in rows]

    def follow(self, connection: sa.Connection, after: int, limit: int) -> list[Listed]:
        """The first lines after one."""
        return [_decode(row[0]) for row in connection.exec_driver_sql(_FOLLOW, (after, limit))]

    def lines(self, connection: sa.Connection, numbers: Sequence[int]) -> list[Listed]:
        """Those of these lines that are there, by identifier."""
        marks = ", ".join("?" * len(numbers))
        text = f"SELECT content FROM lines WHERE id IN ({marks}) ORDER BY id"  # noqa: S608 - marks only
        return [_decode(row[0]) for row in connection.exec_driver_sql(text, tuple(numbers))]

    def current(self) -> Database:
        """What to read from now; only once `ready`."""
        assert self._current is not None  # noqa: S101 - its caller asked
        return self._current

    def close(self) -> None:
        """Let go of the files."""
        with self._lock:
            for each in (self._current, self._former):
                if each is not None:
                    each.close()
            self._current = self._former = None

    def _switch(self, source: Database, edition: str, goes_on: Callable[[], bool]) -> None:
        path = self._folder / f"substrings-{edition}.db"
        opened = self._opened(path, edition)
        if opened is None:
            opened = self._build(source, path, edition, goes_on)
            if opened is None:
                return
        if self._former is not None:
            self._former.close()
        self._former, self._current, self._edition = self._current, opened, edition
        self._revision = int(opened.read(_fact, "revision"))
        self.words = source.read(listing.words_of_codes)
        self.generation += 1
        for each in self._folder.glob("substrings-*"):
            if not each.name.startswith(path.name):
                each.unlink(missing_ok=True)

    def _opened(self, path: Path, edition: str) -> Database | None:
        """The file of this edition, where it stands and is whole; one that is not is made again."""
        if not path.exists():
            return None
        with contextlib.suppress(Exception):  # derived: whatever is wrong with it, a new one is right
            opened = database.open_sqlcipher(path, self._key)
            try:
                if opened.read(_fact, "edition") == edition and opened.read(_fact, "version") == _VERSION:
                    return opened
            except BaseException:
                opened.close()
                raise
            opened.close()
        return None

    def _build(self, source: Database, path: Path, edition: str, goes_on: Callable[[], bool]) -> Database | None:
        building = path.with_name(f"{path.name}.building")
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _remove(building)
        _remove(path)
        made = database.open_sqlcipher(building, self._key, create=True)
        try:
            made.write(_create)
            revision, last = source.read(_standing)[1], 0
            while goes_on():
                # A row that changes meanwhile has a later revision, and is followed once this is whole.
                rows = source.read(listing.after, last, _STEP)
                if not rows:
                    break
                made.write(_add, rows)
                last = rows[-1].id
            else:
                return None
            facts = {"version": _VERSION, "edition": edition, "revision": str(revision)}
            made.write(_note, facts)
        finally:
            made.close()
        building.replace(path)
        for suffix in ("-wal", "-shm"):
            building.with_name(building.name + suffix).unlink(missing_ok=True)
        return database.open_sqlcipher(path, self._key)

    def _follow(self, source: Database, revision: int, goes_on: Callable[[], bool]) -> None:
        numbers = source.read(listing.changed, self._revision, _MOST_CHANGES)
        if numbers is None:
            self._edition = ""
            _remove(self._folder / f"substrings-{source.read(register.edition)}.db")
            self._switch(source, source.read(register.edition), goes_on)
            return
        target = self.current()
        for start in range(0, len(numbers), _STEP):
            part = numbers[start : start + _STEP]
            target.write(_change, part, source.read(listing.listed, part))
        target.write(_note, {"revision": str(revision)})
        self._revision = revision
        self.words = source.read(listing.words_of_codes)
        self.generation += 1


def _standing(connection: sa.Connection) -> tuple[str, int]:
    last = connection.execute(sa.select(sa.func.max(tables.revisions.c.id))).scalar() or 0
    return register.edition(connection), int(last)


def _create(connection: sa.Connection) -> None:
    for statement in _SCHEMA:
        connection.exec_driver_sql(statement)


def _fact(connection: sa.Connection, name: str) -> str:
    return str(connection.exec_driver_sql("SELECT value FROM facts WHERE name = ?", (name,)).scalar_one())


def _note(connection: sa.Connection, facts: dict[str, str]) -> None:
    connection.exec_driver_sql("INSERT OR REPLACE INTO facts VALUES (?, ?)", list(facts.items()))


def _add(connection: sa.Connection, rows: Sequence[Listed]) -> None:
    connection.exec_driver_sql("INSERT INTO lines VALUES (?, ?)", [(row.id, _encode(row)) for row in rows])
    connection.exec_driver_sql(_PUT, [(row.id, *texts(row)) for row in rows])


def _change(connection: sa.Connection, numbers: Sequence[int], rows: Sequence[Listed]) -> None:
    gone = [(number,) for number in numbers]
    if gone:
        connection.exec_driver_sql("DELETE FROM runs WHERE rowid = ?", gone)
        connection.exec_driver_sql("DELETE FROM lines WHERE id = ?", gone)
    if rows:
        _add(connection, rows)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
