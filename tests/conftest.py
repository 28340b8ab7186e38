"""What every test may ask for: a store on SQLCipher and on PostgreSQL, fresh each time, and its blobs.

A test that takes `place`, `database` or `stores` runs on both stores. Nothing is skipped: without PostgreSQL such a test
fails and says how to install it. Hypothesis looks at the same examples each time, so that a failure is one for everybody.
"""

import getpass
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings

from vaguemestre.storage import database as databases
from vaguemestre.storage import schema
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database
from vaguemestre.storage.keys import Keyring
from vaguemestre.storage.objects import FolderStore

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

DATABASE_KEY = bytes(range(32))
_START_S = 30
_numbers = count()


@dataclass(frozen=True, slots=True)
class Place:
    """Where one store stands: `open` it as often as wanted, each gives a Database that ends with the test.

    `kind` is sqlcipher or postgresql; `where` is the file's path or the URL.
    """

    kind: str
    where: str
    opened: list[Database] = field(default_factory=list)

    def open(self, elsewhere: databases.Elsewhere | None = None) -> Database:
        """Another Database on this store, as another process would have; `elsewhere` as a front has."""
        if self.kind == "sqlcipher":
            found = databases.open_sqlcipher(Path(self.where), DATABASE_KEY, create=True, elsewhere=elsewhere)
        else:
            found = databases.open_postgresql(self.where, elsewhere=elsewhere)
        self.opened.append(found)
        return found

    def close(self) -> None:
        """Close every Database opened here."""
        for each in self.opened:
            each.close()


@dataclass(frozen=True, slots=True)
class PostgresqlServer:
    """A server of this test session alone, on a socket of its own."""

    folder: Path
    administrator: "psycopg.Connection[tuple[object, ...]]"

    def create(self, template: str = "template0") -> str:
        """A new database, a copy of `template`; returns its name."""
        name = f"test_{next(_numbers)}"
        self.administrator.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, name: str) -> None:
        """Forget a database, its connections included."""
        self.administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def url(self, name: str) -> str:
        """What opens a database of this server."""
        return f"postgresql+psycopg://postgres@/{name}?host={self.folder}"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A PostgreSQL server in a temporary folder, stopped at the end; durable for nobody, so that it is quick."""
    programs = _postgresql_programs()
    user = "postgres" if os.geteuid() == 0 else getpass.getuser()  # PostgreSQL refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="vaguemestre-pg-"))  # a socket's path must be short
    shutil.chown(folder, user)
    initdb = [programs / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8"]
    quickly = ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]
    place = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", "max_connections=200"]
    # The server ends with this process even where that is killed, and no fixture is torn down.
    serve = ["setpriv", "--pdeathsig", "INT", programs / "postgres", "-D", folder / "data", *quickly, *place]
    try:
        subprocess.run(
            [*initdb, "--no-locale", "--no-sync"], user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL
        )
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(serve, user=user, cwd=folder, stdout=log, stderr=log)
        try:
            with _administrator(folder, server) as administrator:
                yield PostgresqlServer(folder, administrator)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(_START_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_database(postgresql: PostgresqlServer) -> str:
    """The name of a database at the latest version, to be copied."""
    name = postgresql.create()
    _migrate(databases.open_postgresql(postgresql.url(name)))
    return name


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encrypted file at the latest version, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "vaguemestre.db"
    _migrate(databases.open_sqlcipher(path, DATABASE_KEY, create=True))
    return path


@pytest.fixture
def sqlcipher_place(tmp_path: Path, migrated_file: Path) -> Iterator[Place]:
    """A store at the latest version on SQLCipher alone, for what only a file can suffer."""
    path = tmp_path / "vaguemestre.db"
    shutil.copyfile(migrated_file, path)
    found = Place("sqlcipher", str(path))
    yield found
    found.close()


@pytest.fixture
def postgresql_place(postgresql: PostgresqlServer, migrated_database: str) -> Iterator[Place]:
    """A store at the latest version on PostgreSQL alone, for what only a server can suffer."""
    name = postgresql.create(migrated_database)
    found = Place("postgresql", postgresql.url(name))
    yield found
    found.close()
    postgresql.drop(name)


@pytest.fixture(params=["sqlcipher", "postgresql"])
def place(request: pytest.FixtureRequest) -> Place:
    """A store at the latest version, empty; the test runs once on each kind."""
    found: Place = request.getfixturevalue(f"{request.param}_place")
    return found


@pytest.fixture(params=["sqlcipher", "postgresql"])
def new_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A store without any table; the test runs once on each kind."""
    if request.param == "sqlcipher":
        found = Place("sqlcipher", str(tmp_path / "new.db"))
        yield found
        found.close()
    else:
        server: PostgresqlServer = request.getfixturevalue("postgresql")
        name = server.create()
        found = Place("postgresql", server.url(name))
        yield found
        found.close()
        server.drop(name)


@pytest.fixture
def database(place: Place) -> Database:
    """An open store at the latest version, empty; the test runs once on each kind."""
    return place.open()


@pytest.fixture(scope="session")
def ring() -> Keyring:
    """Keys of an operator; the same in every test."""
    return Keyring(DATABASE_KEY, {1: b"\x01" * 32})


@pytest.fixture
def blob_store(tmp_path: Path, ring: Keyring) -> BlobStore:
    """Sealed content, large ones in a folder; above 1000 octets it is large."""
    return BlobStore(ring, FolderStore(tmp_path / "objects"), tmp_path / "spool", 1000)


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Waits for a condition that another thread brings about; fails after some seconds."""

    def wait(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + _START_S
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.002)

    return wait


def _migrate(database: Database) -> None:
    try:
        schema.migrate(database)
    finally:
        database.close()


def _postgresql_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[4]))
    if not found:
        pytest.fail("PostgreSQL is not installed, and this test runs on it: `make test` installs it.", pytrace=False)
    return found[-1].parent


def _administrator(folder: Path, server: "subprocess.Popen[bytes]") -> "psycopg.Connection[tuple[object, ...]]":
    end = time.monotonic() + _START_S
    while True:
        try:
            return psycopg.connect(f"host={folder} user=postgres dbname=postgres", autocommit=True)
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > end:
                pytest.fail(f"PostgreSQL does not start: {(folder / 'log').read_text()}", pytrace=False)
            time.sleep(0.05)
