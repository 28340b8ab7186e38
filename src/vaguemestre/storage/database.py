"""The database: many readers, one writer that commits all who wait together.

What it keeps true: when `write` returns, what it did is on disk and visible to every reader; when it raises, none of it
is. Two stores run the same code: SQLite through SQLCipher (one file, wholly encrypted) and PostgreSQL.

Rules:
1. Functions given to `read` and `write` take an open Connection first, and neither open nor commit.
2. One writer thread takes all that wait, runs them in one transaction, then wakes their callers (group commit): the cost
   of making a commit durable is shared, and grows no queue.
3. Items handed to `write_together` with the same function run as one call over the list of them, so that statements are
   prepared once. If that call fails, each item runs alone: one bad item fails nobody else.
4. A function that raises leaves nothing behind. A fact of the domain (VaguemestreError) reaches the caller as it is;
   what the database says becomes a StorageFailure: nothing was acknowledged, the caller may try again.
5. What a function announces is told to the listeners of this process once it is durable, in order, before its caller
   is woken; what is rolled back, a savepoint's work included, was never announced.

A crash before the commit loses only what nobody was told of; after it, only the telling.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
import sqlcipher3.dbapi2 as sqlcipher
from sqlalchemy.pool import QueuePool

from vaguemestre import log
from vaguemestre.errors import ConfigurationError, KeyFailure, StorageFailure, VaguemestreError

Result = TypeVar("Result")
Item = TypeVar("Item")

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# A 64-bit primary key. SQLite makes only an INTEGER one the row's own number, any other a second index to write.
Identifier = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")

_BATCH = 256  # more would not share the commit better, and would make the first wait for the last
_BUSY_SECONDS = 10
_PAGE_OCTETS = 4096  # what SQLCipher takes by itself

# Values of these types are bound as they are. Unless told so, the driver asks each how it wants to be adapted, which
# costs more than binding it, and delivery binds a dozen a message.
sqlcipher.register_adapter(type(None), lambda none: none)
sqlcipher.register_adapter(bytes, bytes)
sqlcipher.register_adapter(bool, int)

_SQLITE_OF_ONE_STATEMENT = {1, 18, 19, 20, 25}  # ERROR, TOOBIG, CONSTRAINT, MISMATCH, RANGE: the transaction goes on
_FACTS = "vaguemestre.facts"  # where a connection holds what its transaction announced
_log = log.get("storage.database")


class Database:
    """An open store. `close` it; use from any thread."""

    def __init__(
        self,
        reading: sa.Engine,
        writing: "sa.Engine | Elsewhere",
        readers: int = 4,
        nearby: sa.Engine | None = None,
    ) -> None:
        """`nearby`: where the store is a file, connections for the thread of an event loop.

        Where another process writes, `writing` hands each write to it from the event loop, and settles it; whoever knows
        what was announced there says so here, by `told`.
        """
        self._reading = reading
        self._nearby = nearby
        self._at_hand: sa.Connection | None = None
        self._elsewhere = None if isinstance(writing, sa.Engine) else writing
        self._threads = ThreadPoolExecutor(readers, thread_name_prefix="read")
        self._waiting: deque[Write] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._closed = False
        self._listeners: tuple[Callable[[Sequence[object]], None], ...] = ()
        if isinstance(writing, sa.Engine):
            self._writing = writing
            self._held: sa.Connection | None = None  # the writer's, from one batch to the next
            self._writer = threading.Thread(target=self._write_until_closed, name="writer", daemon=True)
            self._writer.start()

    def read(self, fn: Callable[..., Result], *args: Any) -> Result:
        """Run `fn(connection, *args)` on a reader's connection, in a snapshot."""
        if self._closed:
            raise _closing()
        return self._read(fn, *args)

    def _read(self, fn: Callable[..., Result], *args: Any) -> Result:
        try:
            with self._reading.connect() as connection:
                # Statements given to the driver begin nothing by themselves: each would see another moment.
                connection.begin()
                return fn(connection, *args)
        except sa.exc.SQLAlchemyError as error:
            raise _failure(error) from error

    async def read_async(self, fn: Callable[..., Result], *args: Any) -> Result:
        """`read`, awaited from an event loop."""
        if self._closed:
            raise _closing()
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: self._read(fn, *args))

    async def read_at_once(self, fn: Callable[..., Result], *args: Any) -> Result:
        """`read_async` for what takes a tenth of a millisecond: a few rows by their keys, a small content.

        Where the store is a file it is read in the loop's own thread: a hop to another one and back, with Python's lock
        taken from the loop and waited for, costs several times what such a read does. Use from one loop only.
        """
        if self._nearby is None:
            return await self.read_async(fn, *args)
        if self._closed:
            raise _closing()
        try:
            if self._at_hand is None:
                self._at_hand = self._nearby.connect()
            connection = self._at_hand
            driver: Any = connection.connection
            driver.execute("BEGIN")  # SQLAlchemy's own way to begin and end costs as much as the read
            try:
                return fn(connection, *args)
            finally:
                if connection.in_transaction():
                    connection.rollback()
                else:
                    driver.rollback()
        except sa.exc.SQLAlchemyError as error:
            raise _failure(error) from error
        except sqlcipher.Error as error:
            raise _failure(error) from error

    def write(self, fn: Callable[..., Result], *args: Any) -> Result:
        """Run `fn(connection, *args)` in a durable transaction; returns once it is on disk."""
        if self._elsewhere is not None:
            raise TypeError("another process writes: an event loop alone may ask it")
        waiter = _ThreadWaiter()
        self._submit(Write(fn, args, False, waiter))
        return waiter.outcome()  # type: ignore[no-any-return]

    async def write_async(self, fn: Callable[..., Result], *args: Any) -> Result:
        """`write`, awaited from an event loop. Cancelling the wait does not undo the write."""
        waiter = _LoopWaiter(asyncio.get_running_loop())
        self._submit(Write(fn, args, False, waiter))
        return await waiter.future  # type: ignore[no-any-return]

    def write_together(
        self, fn: Callable[[sa.Connection, Sequence[Item]], Sequence[Result]], item: Item
    ) -> "asyncio.Future[Result]":
        """Run `fn(connection, items)` over all items waiting for the same `fn`; the future holds this item's result.

        A future, not a coroutine: on the hot path a callback costs less than a task.
        """
        waiter = _LoopWaiter(asyncio.get_running_loop())
        self._submit(Write(fn, item, True, waiter))
        return waiter.future

    def listen(self, hear: Callable[[Sequence[object]], None]) -> None:
        """Have `hear(facts)` called after each commit with what its functions announced, in order; never with nothing.

        It runs in the writer's thread, and everybody waits for it: it must be quick. One that raises is logged, and the
        others still hear. Facts of other processes on the same store are not told.
        """
        self._listeners = (*self._listeners, hear)

    def close(self) -> None:
        """Finish what waits, then let go of the files."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._elsewhere is None:
            self._writer.join()
        self._closed = True
        self._threads.shutdown()
        self._reading.dispose()
        if self._elsewhere is None:
            if self._held is not None:
                self._held.close()
            self._writing.dispose()
        if self._at_hand is not None:
            self._at_hand.close()
        if self._nearby is not None:
            self._nearby.dispose()

    def _submit(self, write: "Write") -> None:
        with self._wake:
            if self._closing:
                raise _closing()
            if self._elsewhere is None:
                self._waiting.append(write)
                self._wake.notify()
                return
        self._elsewhere(write)

    def _write_until_closed(self) -> None:
        while True:
            with self._wake:
                while not self._waiting and not self._closing:
                    self._wake.wait()
                if not self._waiting:
                    return
                batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            try:
                facts = self._commit(batch)
            except Exception as error:  # rule 4: whatever broke, every caller is told and the writer lives on
                failure, facts = _failure(error), []
                for write in batch:
                    write.result, write.error = None, failure
                _log.error("commit failed", error=type(error).__name__, writes=len(batch))
            if facts:
                self.told(facts)
            _tell(batch)

    def _commit(self, batch: list["Write"]) -> list[object]:
        """Run a batch in one transaction; returns what it announced."""
        if self._held is None:  # taking it from its pool and giving it back costs as much as beginning and committing
            self._held = self._writing.connect()
        try:
            return self._commit_on(self._held, batch)
        except BaseException:
            held, self._held = self._held, None
            held.close()  # its pool makes it good again, or makes another
            raise

    def _commit_on(self, connection: sa.Connection, batch: list["Write"]) -> list[object]:
        if len(batch) == 1 or all(write.together for write in batch):
            facts = self._commit_plainly(connection, batch)
            if facts is not None:
                return facts
        with connection.begin():
            facts = connection.info[_FACTS] = []
            for writes in _groups(batch):
                if len(writes) == 1 or not _try_together(connection, writes):
                    for write in writes:
                        _run_alone(connection, write)
        return facts

    def _commit_plainly(self, connection: sa.Connection, batch: list["Write"]) -> list[object] | None:
        """The usual case, where nothing raises: the transaction itself is the savepoint. None: nothing was done."""
        with connection.begin() as transaction:
            facts: list[object] = []
            connection.info[_FACTS] = facts
            try:
                for writes in _groups(batch):
                    _run(connection, writes)
            except Exception as error:
                if _hopeless(connection, error):
                    raise
                transaction.rollback()
                if batch[0].together:
                    return None
                batch[0].error = _told(error)
                return []
        return facts

    def told(self, facts: Sequence[object]) -> None:
        """Tell those who listen of what was announced; from outside, only where another process writes."""
        for hear in self._listeners:
            try:
                hear(facts)
            except Exception as error:  # what it missed is its own loss; the writes are durable and the callers wait
                _log.error("listener failed", error=type(error).__name__, facts=len(facts), exc_info=True)


def announce(connection: sa.Connection, *facts: object) -> None:
    """Tell listeners of facts once the transaction under way is durable; forgotten if it (or its savepoint) is rolled back.

    Listeners are those of the process that commits.
    """
    connection.info.setdefault(_FACTS, []).extend(facts)


@contextmanager
def savepoint(connection: sa.Connection) -> Iterator[None]:
    """What is done within is undone if it raises, and what it announced forgotten; the transaction goes on."""
    facts: list[object] = connection.info.setdefault(_FACTS, [])
    announced = len(facts)
    try:
        with connection.begin_nested():
            yield
    except BaseException:
        del facts[announced:]
        raise


class Write:
    """Something to be written: `fn(connection, *argument)`, or of an item that goes `together` with others, `argument`.

    `finish` it, once.
    """

    __slots__ = ("argument", "error", "fn", "result", "together", "waiter")

    def __init__(
        self, fn: Callable[..., Any], argument: Any, together: bool, waiter: "_ThreadWaiter | _LoopWaiter"
    ) -> None:
        self.fn = fn
        self.argument = argument
        self.together = together
        self.waiter = waiter
        self.result: Any = None
        self.error: BaseException | None = None

    def finish(self, result: Any, error: BaseException | None = None) -> None:
        """Tell who waits how it ended; in the thread of their event loop, where they have one."""
        self.result, self.error = result, error
        self.waiter.settle(self)


Elsewhere = Callable[[Write], None]


class _ThreadWaiter:
    __slots__ = ("_done", "_write")

    def __init__(self) -> None:
        self._done = threading.Event()
        self._write: Write | None = None

    def settle(self, write: Write) -> None:
        self._write = write
        self._done.set()

    def outcome(self) -> Any:
        self._done.wait()
        write, self._write = self._write, None  # they hold each other, and what was written
        assert write is not None  # noqa: S101 - set before the event
        if write.error is not None:
            raise write.error
        return write.result


class _LoopWaiter:
    __slots__ = ("future", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()

    def settle(self, write: Write) -> None:
        if self.future.cancelled():
            return
        if write.error is not None:
            self.future.set_exception(write.error)
        else:
            self.future.set_result(write.result)


def _tell(batch: list[Write]) -> None:
    """Wake the callers: one call into each event loop however many of its tasks wait."""
    loops: dict[asyncio.AbstractEventLoop, list[Write]] = {}
    for write in batch:
        if isinstance(write.waiter, _LoopWaiter):
            loops.setdefault(write.waiter.loop, []).append(write)
        else:
            write.waiter.settle(write)
    for loop, writes in loops.items():
        try:
            loop.call_soon_threadsafe(_settle_all, writes)
        except RuntimeError:  # the loop is closed: its tasks are gone, what they wrote stays written
            continue


def _settle_all(writes: Iterable[Write]) -> None:
    for write in writes:
        try:
            write.waiter.settle(write)
        except Exception as error:  # one waiter must not keep the others waiting
            _log.error("a waiter failed", error=type(error).__name__)


def _groups(batch: list[Write]) -> Iterable[list[Write]]:
    """Items of one function together, at the place of the first; each other write alone, in its place."""
    groups: dict[Any, list[Write]] = {}
    for place, write in enumerate(batch):
        groups.setdefault(write.fn if write.together else place, []).append(write)
    return groups.values()


def _run(connection: sa.Connection, writes: list[Write]) -> None:
    first = writes[0]
    if not first.together:
        first.result = first.fn(connection, *first.argument)
        return
    results = first.fn(connection, [write.argument for write in writes])
    for write, result in zip(writes, results, strict=True):
        write.result = result


def _try_together(connection: sa.Connection, writes: list[Write]) -> bool:
    try:
        with savepoint(connection):
            _run(connection, writes)
    except Exception as error:
        if _hopeless(connection, error):
            raise
        return False
    return True


def _run_alone(connection: sa.Connection, write: Write) -> None:
    try:
        with savepoint(connection):
            _run(connection, [write])
    except Exception as error:
        if _hopeless(connection, error):
            raise
        write.error = _told(error)


def _told(error: Exception) -> Exception:
    """What the caller is told: a fact of the domain, or a defect of one function that must not fail the others, as it is."""
    return _failure(error) if isinstance(error, sa.exc.SQLAlchemyError) else error


def _hopeless(connection: sa.Connection, error: Exception) -> bool:
    """Whether the whole transaction is lost: the disk is full, the file is locked or broken, the server is gone.

    Going on in a transaction that SQLite has rolled back would acknowledge what is gone.
    """
    if not isinstance(error, sa.exc.DBAPIError):
        return isinstance(error, OSError)
    if error.connection_invalidated:
        return True
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.dbapi_connection
        code = getattr(error.orig, "sqlite_errorcode", None)
        return not driver.in_transaction or (code is not None and code & 0xFF not in _SQLITE_OF_ONE_STATEMENT)
    of_server = isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError)
    return of_server and getattr(error.orig, "sqlstate", None) is not None


def _failure(error: Exception) -> VaguemestreError:
    if isinstance(error, VaguemestreError):
        return error
    first = _first(error)
    cause = str(getattr(first, "orig", None) or first).splitlines()[0] if str(first) else type(first).__name__
    if "not a database" in cause:
        return _wrong_key()
    return StorageFailure(f"The database failed: {cause}.", f"La base de données a échoué : {cause}.")


def _first(error: BaseException) -> BaseException:
    """What went wrong first: rolling back after it fails too, and says less."""
    first, each = error, error.__context__
    while each is not None:
        first = each if isinstance(each, sa.exc.DBAPIError) else first
        each = each.__context__
    return first


def _closing() -> StorageFailure:
    return StorageFailure("The database is closing.", "La base de données se ferme.")


def _wrong_key() -> KeyFailure:
    return KeyFailure(
        "The key does not open the database. Check which key file belongs to it.",
        "La clé n'ouvre pas la base de données. Vérifiez quel fichier de clés lui appartient.",
    )


def open_sqlcipher(
    path: Path,
    key: bytes,
    *,
    create: bool = False,
    readers: int = 4,
    durable: bool = True,
    elsewhere: Elsewhere | None = None,
) -> Database:
    """Open the encrypted file at `path` with a raw 32-byte key; `elsewhere` where another process writes.

    Not `durable`: what is written outlives the process, not the machine; for a file that nobody reads until it is forced.

    Raises KeyFailure when the key is not this file's, StorageFailure when the file is cut short, ConfigurationError when
    it is missing and `create` is false: a mistaken path must never look like an empty mailbox.
    """
    size = path.stat().st_size if path.exists() else None
    if size is not None and size < _PAGE_OCTETS:  # SQLite would take it for an empty database
        raise StorageFailure(
            f"The database {path} is cut short. Restore it from a back-up; if it never held anything, delete it.",
            f"La base de données {path} est tronquée. Restaurez une sauvegarde ; si elle n'a jamais servi, effacez-la.",
        )
    if not create and size is None:
        raise ConfigurationError(
            f"There is no database at {path}. Run: vaguemestre db migrate --config FILE",
            f"Il n'y a pas de base de données à {path}. Lancez : vaguemestre db migrate --config FICHIER",
        )

    def connect(*, reader: bool) -> Any:
        connection = sqlcipher.connect(
            str(path), isolation_level=None, check_same_thread=False, timeout=_BUSY_SECONDS, cached_statements=1024
        )
        try:
            connection.execute("PRAGMA cipher_log_level = NONE")  # its errors reach us as exceptions
            connection.execute(f"PRAGMA key = \"x'{key.hex()}'\"")
            connection.execute("PRAGMA cipher_hmac_algorithm = HMAC_SHA256")  # processors have instructions for it
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA cache_size = -16384")
            connection.execute("PRAGMA wal_autocheckpoint = 4000")
            connection.execute("PRAGMA temp_store = MEMORY")  # a temporary file would stand on disk in clear
            if reader:
                connection.execute("PRAGMA query_only = ON")
        except sqlcipher.DatabaseError as error:
            connection.close()
            raise (_wrong_key() if "not a database" in str(error) else _failure(error)) from error
        return connection

    def engine(size: int, begin: str | None, *, reader: bool) -> sa.Engine:
        made = sa.create_engine(
            "sqlite+pysqlite://",
            module=sqlcipher,
            creator=lambda: connect(reader=reader),
            poolclass=QueuePool,
            pool_size=size,
            max_overflow=0,
            pool_reset_on_return=None if reader else "rollback",
        )
        if begin is not None:
            sa.event.listen(made, "begin", lambda connection: connection.exec_driver_sql(begin))
        return made

    reading, nearby = engine(readers, "BEGIN", reader=True), engine(1, None, reader=True)
    if elsewhere is not None:
        return Database(reading, elsewhere, readers, nearby)
    writing = engine(1, "BEGIN IMMEDIATE", reader=False)
    with writing.connect():
        path.chmod(0o600)
    return Database(reading, writing, readers, nearby)


def open_postgresql(url: str, *, readers: int = 4, elsewhere: Elsewhere | None = None) -> Database:
    """Open a PostgreSQL database by its SQLAlchemy URL (`postgresql+psycopg://…`)."""
    reading = sa.create_engine(url, pool_size=readers, max_overflow=0, isolation_level="REPEATABLE READ")
    if elsewhere is not None:
        return Database(reading, elsewhere, readers)
    writing = sa.create_engine(url, pool_size=1, max_overflow=0)
    try:
        with writing.connect():
            pass
    except sa.exc.SQLAlchemyError as error:
        raise _failure(error) from error
    return Database(reading, writing, readers)


def insert_or_ignore(connection: sa.Connection, table: sa.Table) -> Any:
    """An INSERT that passes over rows whose key stands already, on either store."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert  # noqa: PLC0415 - only where it is used
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment] # noqa: PLC0415
    return insert(table).on_conflict_do_nothing()
