"""The register as a store: opened, versioned, replaced whole or changed a little, always seen entire.

What it keeps true: a reader sees one register, the one before a change or the one after, never a mixture; a register
half built is never read. It stands apart from the operator's store: with SQLCipher in a file of its own, with PostgreSQL
in a schema of its own, so that an import and a letter never wait for one another.

Rules:
1. A change is one transaction and one revision (`begin`). Rows it writes carry its number.
2. A register built whole is a new **edition**, made beside the one in use (`Place.next`) and put in its place at once
   (`Place.replace`). Row identifiers are kept from one edition to the next by whoever builds it.
3. Who reads asks for the register at each use (`Registers.current`): another process may have replaced it.
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from vaguemestre import clock
from vaguemestre.directory import tables
from vaguemestre.directory.model import Activity, Address, Card, Organization, Origin, Practitioner, Qualification
from vaguemestre.documents.words import fold
from vaguemestre.errors import ConfigurationError
from vaguemestre.storage import database
from vaguemestre.storage.database import Database
from vaguemestre.storage.durability import force

Thing = Practitioner | Qualification | Card | Activity | Organization | Address

VERSION = "1"
_SCHEMA, _NEXT_SCHEMA = "directory", "directory_next"
_HURRIED = ("synchronous_commit=off", "maintenance_work_mem=128MB")  # a server that stops loses the last commits, whole
_TABLES: dict[type, sa.Table] = {
    Practitioner: tables.practitioners,
    Qualification: tables.qualifications,
    Card: tables.cards,
    Activity: tables.activities,
    Organization: tables.organizations,
    Address: tables.addresses,
}
_KEYS = {
    "practitioners": (("family_key", "family"), ("given_key", "given")),
    "organizations": (("name_key", "name"), ("city_key", "city")),
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the register stands: a folder and the raw 32-byte key of its files, or a PostgreSQL database (`url`)."""

    folder: Path
    key: bytes = field(repr=False)
    url: str = ""

    def exists(self) -> bool:
        """Whether there is a register in use."""
        if self.url:
            made = sa.create_engine(self.url)
            try:
                return sa.inspect(made).has_table(tables.facts.name, schema=_SCHEMA)
            finally:
                made.dispose()
        edition = _named(self.folder / "current")
        return bool(edition) and self._file(edition).exists()

    def open(self) -> Database:
        """The register in use. Raises ConfigurationError where none was imported yet, or by other software than this."""
        if self.url:
            opened = _on_server(self.url, _SCHEMA)
        else:
            edition = _named(self.folder / "current")
            if not edition or not self._file(edition).exists():
                raise _missing()
            opened = database.open_sqlcipher(self._file(edition), self.key)
        try:
            _check(opened)
        except BaseException:
            opened.close()
            raise
        return opened

    def next(self) -> Database:
        """The edition being built: a new one without indexes, or what was left of one that was interrupted.

        Raises ConfigurationError where it was begun by other software than this: `abandon` it.
        """
        if self.url:
            _make_schema(self.url)
            opened = _on_server(self.url, _NEXT_SCHEMA, *_HURRIED)
        else:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            edition = _named(self.folder / "next") or _name(self.folder / "next", secrets.token_hex(8))
            opened = database.open_sqlcipher(self._file(edition), self.key, create=True, durable=False)
        try:
            opened.write(_create)
            _check(opened)
        except BaseException:
            opened.close()
            raise
        return opened

    def is_begun(self) -> bool:
        """Whether an edition is being built, or was left half built."""
        if self.url:
            made = sa.create_engine(self.url)
            try:
                return sa.inspect(made).has_table(tables.facts.name, schema=_NEXT_SCHEMA)
            finally:
                made.dispose()
        return bool(_named(self.folder / "next"))

    def replace(self, built: Database) -> None:
        """Close `built`, the edition from `next`, and put it in the place of the one in use.

        From here on whoever opens the register gets it; who has the former one open goes on reading it whole.
        A crash before the last line leaves the former in use and the new one to be resumed.
        """
        built.write(index)
        if self.url:
            built.write(_exchange)
            built.close()
            return
        built.close()
        # The edition was written without waiting for the disk: it is there before its name is.
        force(self._file(_named(self.folder / "next")))
        edition, former = _named(self.folder / "next"), _named(self.folder / "current")
        (self.folder / "next").replace(self.folder / "current")
        force(self.folder)
        if former and former != edition:
            self._remove(former)

    def abandon(self) -> None:
        """Forget the edition being built, if any."""
        if self.url:
            made = sa.create_engine(self.url)
            with made.begin() as connection:
                connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {_NEXT_SCHEMA} CASCADE")
            made.dispose()
            return
        edition = _named(self.folder / "next")
        (self.folder / "next").unlink(missing_ok=True)
        if edition:
            self._remove(edition)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Be the one on this machine that takes a source in, until the end of the process at the latest.

        Raises ConfigurationError where another is; OSError.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / "import.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ConfigurationError(
                    "Another import is under way. Wait for its end, or stop it.",
                    "Un autre import est en cours. Attendez sa fin, ou arrêtez-le.",
                ) from error
            yield

    def stamp(self) -> object:
        """What changes when another edition takes the place of this one; cheap."""
        if self.url:
            return None  # names are looked up by each statement: the connection finds the new one by itself
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "current").stat().st_ino
        return None

    def _file(self, edition: str) -> Path:
        return self.folder / f"register-{edition}.db"

    def _remove(self, edition: str) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._file(edition).with_name(f"register-{edition}.db{suffix}").unlink(missing_ok=True)


class Registers:
    """The register in use, for a process that goes on while others replace it. Use from any thread; `close` it."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._stamp = place.stamp()
        self._current = place.open()
        self._former: Database | None = None

    def current(self) -> Database:
        """The register to read now; keep it for one flow, not longer."""
        stamp = self._place.stamp()
        if stamp != self._stamp:
            if self._former is not None:
                self._former.close()
            self._former, self._current, self._stamp = self._current, self._place.open(), stamp
        return self._current

    def close(self) -> None:
        """Let go of the files."""
        self._current.close()
        if self._former is not None:
            self._former.close()


def begin(connection: sa.Connection, origin: Origin, stamp: str = "") -> int:
    """Begin a change: its revision, greater than every one before, and no earlier. Within a write, once a transaction."""
    revisions = tables.revisions
    newest = sa.select(revisions.c.id, revisions.c.at).order_by(revisions.c.id.desc()).limit(1)
    last, at = connection.execute(newest).one_or_none() or (0, 0)
    now = max(clock.now_ms(), at)  # a clock put back must not put a change before another
    connection.execute(revisions.insert().values(id=last + 1, at=now, origin=origin.value, stamp=stamp))
    return int(last + 1)


def put(connection: sa.Connection, *things: Thing) -> None:
    """Write things, each new or in the place of what its key held. What many thousand rows need is `importation`."""
    for thing in things:
        table = _TABLES[type(thing)]
        row = {field.name: getattr(thing, field.name) for field in fields(thing)}
        row |= {key: fold(row[name]) for key, name in _KEYS.get(table.name, ())}
        if isinstance(thing, Organization):
            row["line_key"] = line_key(row)
        if isinstance(thing, Address):
            key = thing.address.lower()
            row |= {"address_key": key, "domain": key.rpartition("@")[2]}
        place = [column == row[column.name] for column in table.primary_key]
        connection.execute(table.delete().where(*place))
        connection.execute(table.insert().values(row))


def link_parents(connection: sa.Connection, revision: int) -> None:
    """Give the structures of that revision the legal entity that the register has for them."""
    places = tables.organizations
    changed = (places.c.revision == revision, places.c.legal_finess != "", places.c.legal_finess != places.c.finess)
    connection.execute(
        places.update().where(places.c.revision == revision, places.c.parent_id.is_not(None)).values(parent_id=None)
    )
    # Found once for all, not for each: asked for the least number of one FINESS, PostgreSQL looks through all numbers.
    above = places.alias("above")
    entities = (
        sa.select(above.c.finess, sa.func.min(above.c.id).label("id"))
        .where(above.c.finess.in_(sa.select(places.c.legal_finess).where(*changed)))
        .group_by(above.c.finess)
        .subquery("entities")
    )
    connection.execute(
        places.update().where(*changed, places.c.legal_finess == entities.c.finess).values(parent_id=entities.c.id)
    )


def index(connection: sa.Connection) -> None:
    """Make the indexes of an edition that has none yet."""
    for each in tables.INDEXES:
        connection.execute(sa.schema.CreateIndex(each, if_not_exists=True))
    connection.exec_driver_sql("ANALYZE")


def following(connection: sa.Connection, kind: type[Thing]) -> int:
    """The identifier after the last that a thing of this kind was given. Within the write that gives it."""
    return int(connection.execute(sa.select(sa.func.max(_TABLES[kind].c.id))).scalar() or 0) + 1


def knows(connection: sa.Connection, national_id: str) -> bool:
    """Whether a person of this national identifier (IdNat_PS) is in the register, withdrawn or not."""
    people = tables.practitioners
    return connection.execute(sa.select(people.c.id).where(people.c.national_id == national_id)).first() is not None


def counts(connection: sa.Connection) -> dict[str, int]:
    """How many practitioners, activities, organizations and addresses are active."""
    counted = (tables.practitioners, tables.activities, tables.organizations, tables.addresses)
    return {
        table.name: int(
            connection.execute(sa.select(sa.func.count()).select_from(table).where(table.c.active)).scalar_one()
        )
        for table in counted
    }


def line_key(row: Mapping[str, Any]) -> str:
    """The key of an organization's street line."""
    parts = (row["number"], row["repetition"], row["street_type"], row["street"])
    return fold(" ".join(part for part in parts if part))


def edition(connection: sa.Connection) -> str:
    """Which edition this is: another name where the register was built anew."""
    return str(connection.execute(_fact("edition")).scalar_one())


def _fact(name: str) -> "sa.Select[tuple[str]]":
    return sa.select(tables.facts.c.value).where(tables.facts.c.name == name)


def _create(connection: sa.Connection) -> None:
    if sa.inspect(connection).has_table(tables.facts.name):
        return
    indexes = {index.name for index in tables.INDEXES}
    for table in tables.metadata.sorted_tables:
        connection.execute(sa.schema.CreateTable(table))
        for index in table.indexes:
            if index.name not in indexes:
                connection.execute(sa.schema.CreateIndex(index))
    connection.execute(
        tables.facts.insert(),
        [{"name": "version", "value": VERSION}, {"name": "edition", "value": secrets.token_hex(8)}],
    )


def _exchange(connection: sa.Connection) -> None:
    connection.exec_driver_sql("SET LOCAL synchronous_commit = on")  # and with it all that was written before
    connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {_SCHEMA} CASCADE")
    connection.exec_driver_sql(f"ALTER SCHEMA {_NEXT_SCHEMA} RENAME TO {_SCHEMA}")


def _make_schema(url: str) -> None:
    made = sa.create_engine(url)
    with made.begin() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {_NEXT_SCHEMA}")
    made.dispose()


def _on_server(url: str, schema: str, *options: str) -> Database:
    said = " ".join(f"-c{option}" for option in (f"search_path={schema}", *options))
    placed = sa.make_url(url).update_query_dict({"options": said})
    return database.open_postgresql(placed.render_as_string(hide_password=False))


def _check(opened: Database) -> None:
    if not opened.read(lambda connection: sa.inspect(connection).has_table(tables.facts.name)):
        raise _missing()
    found = opened.read(lambda connection: connection.execute(_fact("version")).scalar())
    if found != VERSION:
        raise ConfigurationError(
            f"The register is of version {found}, this software needs {VERSION}. Import it again.",
            f"Le registre est en version {found}, il faut {VERSION}. Importez-le à nouveau.",
        )


def _missing() -> ConfigurationError:
    return ConfigurationError(
        "There is no register yet. Run: vaguemestre directory import FILES",
        "Il n'y a pas encore de registre. Lancez : vaguemestre directory import FICHIERS",
    )


def _named(pointer: Path) -> str:
    try:
        return pointer.read_text("ascii").strip()
    except FileNotFoundError:
        return ""


def _name(pointer: Path, edition_: str) -> str:
    being_written = pointer.with_suffix(".new")
    being_written.write_text(edition_ + "\n", "ascii")
    with being_written.open("rb") as file:
        os.fsync(file.fileno())
    being_written.replace(pointer)
    force(pointer.parent)
    return edition_
