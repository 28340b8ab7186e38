"""The index's file: where it stands, what is in it, how it is opened.

What it keeps true: the index is derived, and may be deleted at any time; it is encrypted like what it is made from; who
reads it has the former whole file or the new one, and within one file what was before a change or after it.

Rules: a file is built under another name and put in place at once; `search` in the folder names the one in use. One
process at a time builds or changes it (`only_writer`). Two full-text tables, so that those who can be written to come
first: `present` for records with an address, `absent` for the others. Their rows are numbered by record and by version: a
record that changes is indexed anew under another version, and what its former row says is passed over, since no record
has that number any more.

Tables: `records` what results show · `words` the vocabulary, with how often and how it sounds · `near` traces of words,
packed with their numbers · `identifiers` keys of numbers and addresses · `namesakes` who has the same name · `labels`,
`revisions` copied from the register · `facts`. FTS5: https://www.sqlite.org/fts5.html
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import sqlcipher3.dbapi2 as sqlcipher

from vaguemestre.errors import KeyFailure
from vaguemestre.storage.durability import force

FORMAT: Final = "2"
LONGEST_PREFIX: Final = 7  # letters: longer beginnings have few words, which the vocabulary gives
_PREFIXES = " ".join(str(1 + letters) for letters in range(1, LONGEST_PREFIX + 1))  # the mark counts for one
_THINGS = 42  # bits of a row's number that say whose it is; those above are the version
THING_MASK: Final = (1 << _THINGS) - 1
WORD_BITS: Final = 28  # of a row of `near`, the word's number; those above are its trace's

_FULL_TEXT = "USING fts5(words, content='', columnsize=0, detail=none, tokenize='ascii', prefix='{prefixes}')"
_SCHEMA = (
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE records (thing INTEGER PRIMARY KEY, doc INTEGER NOT NULL, content TEXT NOT NULL)",
    f"CREATE VIRTUAL TABLE present {_FULL_TEXT.format(prefixes=_PREFIXES)}",
    f"CREATE VIRTUAL TABLE absent {_FULL_TEXT.format(prefixes=_PREFIXES)}",
    "CREATE TABLE words (number INTEGER PRIMARY KEY, word TEXT NOT NULL, own INTEGER NOT NULL, other INTEGER NOT NULL,"
    " sound TEXT NOT NULL)",
    "CREATE TABLE near (packed INTEGER PRIMARY KEY)",
    "CREATE TABLE identifiers (number INTEGER, thing INTEGER, PRIMARY KEY (number, thing)) WITHOUT ROWID",
    "CREATE TABLE namesakes (name INTEGER, thing INTEGER, profession TEXT NOT NULL, department TEXT NOT NULL,"
    " PRIMARY KEY (name, thing)) WITHOUT ROWID",
    "CREATE TABLE labels (system TEXT, code TEXT, label TEXT NOT NULL, PRIMARY KEY (system, code)) WITHOUT ROWID",
    "CREATE TABLE revisions (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, origin TEXT NOT NULL, stamp TEXT NOT NULL)",
)
INDEXES: Final = (
    "CREATE UNIQUE INDEX uq_words_word ON words (word, own, other)",
    "CREATE INDEX ix_words_sound ON words (sound, own, other, word) WHERE sound <> ''",
)
_READER_CACHE, _WRITER_CACHE = 98_304, 98_304  # KiB


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where the index stands: a folder, and the raw 32-byte key of its files."""

    folder: Path
    key: bytes = field(repr=False)

    def current(self) -> Path | None:
        """The file in use; None where there is none."""
        with contextlib.suppress(FileNotFoundError):
            path = self.folder / self._pointer.read_text("ascii").strip()
            if path.exists():
                return path
        return None

    def stamp(self) -> object:
        """What changes when another file takes the place of this one; cheap."""
        with contextlib.suppress(FileNotFoundError):
            found = self._pointer.stat()
            return found.st_ino, found.st_mtime_ns
        return None

    def new(self) -> Path:
        """The name of a file to build; what interrupted builds left is removed. For the only writer."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in self.folder.glob("search-*.building*"):
            left.unlink()
        return self.folder / f"search-{secrets.token_hex(8)}.building"

    def replace(self, built: Path) -> Path:
        """Put a built file in the place of the one in use, and remove that one. For the only writer."""
        with built.open("rb") as file:
            os.fsync(file.fileno())
        path = built.with_suffix(".db")
        built.rename(path)
        being_written = self._pointer.with_suffix(".new")
        being_written.write_text(path.name + "\n", "ascii")
        with being_written.open("rb") as file:
            os.fsync(file.fileno())
        being_written.replace(self._pointer)
        force(self.folder)
        for former in self.folder.glob("search-*.db*"):
            if not former.name.startswith(path.name):
                former.unlink(missing_ok=True)
        return path

    @contextlib.contextmanager
    def only_writer(self, *, wait: bool = True) -> Iterator[bool]:
        """Hold the right to change the index; gives False at once where another process has it and `wait` is false."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / "search.lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            yield True

    @property
    def _pointer(self) -> Path:
        return self.folder / "search"


def create(path: Path, key: bytes) -> Any:
    """A new file, its tables there and empty, written without care for crashes until it is put in place."""
    path.touch(mode=0o600)
    connection = _connect(path, key)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(f"PRAGMA cache_size = -{_WRITER_CACHE}")
    for statement in _SCHEMA:
        connection.execute(statement)
    return connection


def finish(connection: Any) -> None:
    """Close a file from `create`, so that it can be read while it changes."""
    connection.execute("PRAGMA locking_mode = NORMAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()


def open_reader(path: Path, key: bytes) -> Any:
    """A connection that reads. Raises KeyFailure. Use from one thread at a time."""
    connection = _connect(path, key)
    connection.execute(f"PRAGMA cache_size = -{_READER_CACHE}")
    connection.execute("PRAGMA query_only = ON")
    return connection


def open_writer(path: Path, key: bytes) -> Any:
    """A connection that changes the file in use. For the only writer."""
    connection = _connect(path, key)
    connection.execute(f"PRAGMA cache_size = -{_WRITER_CACHE}")
    connection.execute("PRAGMA synchronous = NORMAL")  # derived: a lost change is made again
    return connection


def facts(connection: Any) -> dict[str, str]:
    """What the file says of itself: format, edition, revision…"""
    return dict(connection.execute("SELECT name, value FROM facts"))


def row_number(thing: int, version: int) -> int:
    """The number of a full-text row."""
    return version << _THINGS | thing


def version(doc: int) -> int:
    """Which version of its record a full-text row is; what stands for a record without a row is minus its last one."""
    return doc >> _THINGS if doc > 0 else -doc


def _connect(path: Path, key: bytes) -> Any:
    connection = sqlcipher.connect(
        str(path), isolation_level=None, check_same_thread=False, timeout=10, cached_statements=256
    )
    try:
        connection.execute("PRAGMA cipher_log_level = NONE")
        connection.execute(f"PRAGMA key = \"x'{key.hex()}'\"")
        connection.execute("PRAGMA cipher_hmac_algorithm = HMAC_SHA256")
        connection.execute("PRAGMA temp_store = MEMORY")  # a temporary file would stand on disk in clear
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlcipher.DatabaseError as error:
        connection.close()
        raise KeyFailure(
            "The key does not open the search index. Delete it: it is made again.",
            "La clé n'ouvre pas l'index de recherche. Effacez-le : il sera refait.",
        ) from error
    return connection
