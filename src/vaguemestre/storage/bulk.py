"""Many rows in one statement: the hot path's way of writing and looking up.

Why not executemany: the driver lets go of Python's lock at each step of SQLite, and a thread that serves peers takes it;
twenty rows written one by one are twenty such exchanges, and cost more than the rows. One statement is one exchange.

Each class holds the statement's text by dialect and number of rows; values are always bound, never written in the text.

Where any number of rows may be meant, a `Statement` binds them as one value: its text stays the same, and the driver,
which keeps a thousand prepared texts, keeps one of it. `ColumnSelect` likewise reads a hundred thousand rows as one.
`Prepared` is for look-ups: composing and spelling one costs ten times what the store takes to answer it.
"""

import sys
from array import array
from collections import namedtuple
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import msgspec
import sqlalchemy as sa

_numbers = msgspec.json.Decoder(list[int]).decode
_texts = msgspec.json.Decoder(dict[int, str]).decode

_AMONG = "IN (SELECT value FROM json_each(?))"
_MOST_VALUES = 30_000  # SQLite binds 32,766 in a statement, PostgreSQL 65,535


class BulkInsert:
    """INSERT of whole rows into the named columns of a table."""

    def __init__(self, table: sa.Table, *columns: str) -> None:
        # Only names from this code stand in the texts.
        self._head = f"INSERT INTO {table.name} ({', '.join(table.c[name].name for name in columns)}) VALUES "  # noqa: S608
        self._width = len(columns)

    def run(self, connection: sa.Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows; each has a value for every column, in order."""
        mark = _mark(connection)
        row = f"({', '.join([mark] * self._width)})"
        step = _MOST_VALUES // self._width
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            _execute(connection, self._head + ", ".join([row] * len(part)), chain.from_iterable(part))


class BulkLoad:
    """INSERT of whole rows, by the hundred thousand: the driver's own loop on SQLite, COPY on PostgreSQL.

    For a process that has no other thread to serve: see above.
    """

    def __init__(self, table: sa.Table, *columns: str) -> None:
        names = ", ".join(table.c[name].name for name in columns)
        marks = ", ".join("?" * len(columns))
        self._sqlite = f"INSERT INTO {table.name} ({names}) VALUES ({marks})"  # noqa: S608 - names of this code
        self._postgresql = f"COPY {table.name} ({names}) FROM STDIN"

    def run(self, connection: sa.Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows; each has a value for every column, in order."""
        if not rows:
            return
        with _translated(connection, self._sqlite):
            cursor = connection.connection.cursor()
            if connection.dialect.name != "postgresql":
                cursor.executemany(self._sqlite, rows)
                return
            driver: Any = cursor
            with driver.copy(self._postgresql) as copy:
                for row in rows:
                    copy.write_row(row)


class RowUpdate:
    """UPDATE of some columns of rows by id, each with values of its own, of any type; by the driver's own loop.

    Only the columns that change should be named: an index of a column that is named is written, whatever its value.
    """

    def __init__(self, table: sa.Table, columns: Sequence[str]) -> None:
        self._heads = {
            mark: f"UPDATE {table.name} SET {', '.join(f'{table.c[name].name} = {mark}' for name in columns)} "  # noqa: S608
            f"WHERE id = {mark}"
            for mark in ("?", "%s")
        }

    def run(self, connection: sa.Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Update rows; each has a value for every column, in order, then the id."""
        text = self._heads[_mark(connection)]
        with _translated(connection, text):
            connection.connection.cursor().executemany(text, rows)


class BulkUpdate:
    """UPDATE of many rows by key, each with values of its own.

    `changes` maps a column to an SQL expression over the table's columns and `new.NAME`, the values of `names`.
    """

    def __init__(self, table: sa.Table, key: str, names: Sequence[str], changes: dict[str, str]) -> None:
        settings = ", ".join(f"{table.c[column].name} = {expression}" for column, expression in changes.items())
        self._head = f"WITH new (key, {', '.join(names)}) AS (VALUES "
        self._tail = f") UPDATE {table.name} SET {settings} FROM new WHERE {table.name}.{table.c[key].name} = new.key"  # noqa: S608
        self._width = 1 + len(names)

    def run(self, connection: sa.Connection, rows: Sequence[Sequence[int]]) -> None:
        """Update rows; each is the key, then a value for every name, in order; all integers."""
        row = f"({', '.join([_mark(connection)] * self._width)})"
        step = _MOST_VALUES // self._width
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            _execute(connection, self._head + ", ".join([row] * len(part)) + self._tail, chain.from_iterable(part))


class BulkSelect:
    """SELECT of the rows whose key is among some values. `text` holds `{keys}` where the values go."""

    def __init__(self, text: str) -> None:
        self._before, self._after = text.split("{keys}")

    def run(self, connection: sa.Connection, keys: Sequence[Any]) -> list[Any]:
        """The rows, in the statement's order for each 30,000 keys."""
        rows: list[Any] = []
        for start in range(0, len(keys), _MOST_VALUES):
            part = keys[start : start + _MOST_VALUES]
            text = f"{self._before}({', '.join([_mark(connection)] * len(part))}){self._after}"
            rows += _execute(connection, text, part).fetchall()
        return rows


class Statement:
    """A statement of the driver's own, the same text for one row and for a hundred thousand.

    In `text`, `{value}` stands for a value, `{among}` after a column for "is among these whole numbers", and
    `{among_texts}` for "is among these texts". What differs by store is given whole as `postgresql`.
    """

    def __init__(self, text: str, *, postgresql: str = "", lock: bool = False) -> None:
        self._sqlite = text.format(value="?", among=_AMONG, among_texts=_AMONG)
        server = (postgresql or text).format(value="%s", among="= ANY(%s::bigint[])", among_texts="= ANY(%s::text[])")
        self._postgresql = server + (" FOR UPDATE" if lock else "")

    def run(self, connection: sa.Connection, *values: Any) -> list[Any]:
        """The rows it gives, if any. A list of numbers, or of texts, is one value; with `lock`, rows are held until the end."""
        if connection.dialect.name == "postgresql":
            cursor = _execute(connection, self._postgresql, values)
        else:
            bound = [_json(value) if isinstance(value, list) else value for value in values]
            cursor = _execute(connection, self._sqlite, bound)
        return cursor.fetchall() if cursor.description else []


class Prepared:
    """A SELECT that is composed once, spelled once for each store, and run by the driver: for look-ups by a few keys.

    Rows have the names of the statement's columns. The driver's values come as they are: a truth value may be 0 or 1.
    """

    def __init__(self, select: "sa.Select[Any]") -> None:
        self._select = select
        self._row = namedtuple("Row", [column.name for column in select.selected_columns])  # type: ignore[misc]
        self._spelled: dict[str, tuple[str, Sequence[str] | None, dict[str, Any]]] = {}

    def run(self, connection: sa.Connection, **values: Any) -> list[Any]:
        """The rows; `values` are those of the statement's `bindparam`s."""
        name = connection.dialect.name
        if name not in self._spelled:
            compiled: Any = self._select.compile(dialect=connection.dialect)
            self._spelled[name] = str(compiled), compiled.positiontup, compiled.params
        text, order, constants = self._spelled[name]
        bound: Any = constants | values
        if order is not None:
            bound = [bound[each] for each in order]
        return [self._row(*row) for row in _execute(connection, text, bound).fetchall()]

    def one(self, connection: sa.Connection, **values: Any) -> Any | None:
        """The row, where there is one at most; else None."""
        rows = self.run(connection, **values)
        return rows[0] if rows else None


class ColumnSelect:
    """Whole columns of numbers, each as one array; the rows come in the order of the first.

    Made by the store into one row of long texts: fetched one by one, a hundred thousand rows would hold Python's lock
    and let it go as often. `text` is a column of texts, most of them empty: those that are not come by first column.
    """

    def __init__(self, table: str, *columns: str, where: str, text: str = "") -> None:
        lite = [f"group_concat({column})" for column in columns]
        server = [f"string_agg(int8send({column}::bigint), ''::bytea)" for column in columns]
        if text:
            some = f"{columns[0]}, {text}) FILTER (WHERE {text} <> '')"
            lite.append(f"json_group_object({some}")
            server.append(f"json_object_agg({some}::text")
        rows = f"(SELECT * FROM {table} WHERE {where} ORDER BY {columns[0]}) AS found"  # noqa: S608 - names of this code
        self._sqlite = f"SELECT {', '.join(lite)} FROM {table} WHERE {where}".format(value="?")  # noqa: S608
        self._postgresql = f"SELECT {', '.join(server)} FROM {rows}".format(value="%s")  # noqa: S608
        self._width = len(columns)

    def run(self, connection: sa.Connection, *values: Any) -> "tuple[list[array[int]], dict[int, str]]":
        """The columns, and the texts that are not empty by first column."""
        if connection.dialect.name == "postgresql":
            row = _execute(connection, self._postgresql, values, binary=True).fetchone()
            columns = [_unpacked(each) for each in row[: self._width]]
        else:
            row = _execute(connection, self._sqlite, values).fetchone()
            columns = [array("q", _numbers(f"[{each or ''}]")) for each in row[: self._width]]
        texts = row[self._width] if len(row) > self._width else None
        return columns, _texts(texts) if texts else {}


def _unpacked(packed: bytes | None) -> "array[int]":
    numbers = array("q", packed or b"")
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


def _json(values: list[int] | list[str]) -> str:
    return msgspec.json.encode(values).decode()


def _execute(connection: sa.Connection, text: str, values: Iterable[Any], **options: Any) -> Any:
    """Run a statement on the driver's own cursor: SQLAlchemy's share of a statement costs more than this one does."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(text, values if isinstance(values, dict) else tuple(values), **options)
    except _driver(connection).Error as error:
        raise _as_sqlalchemy(connection, text, error) from error
    return cursor


@contextmanager
def _translated(connection: sa.Connection, text: str) -> Iterator[None]:
    """What the driver raises, as SQLAlchemy would."""
    try:
        yield
    except _driver(connection).Error as error:
        raise _as_sqlalchemy(connection, text, error) from error


def _driver(connection: sa.Connection) -> Any:
    assert connection.dialect.loaded_dbapi is not None  # noqa: S101 - a connection has a driver
    return connection.dialect.loaded_dbapi


def _as_sqlalchemy(connection: sa.Connection, text: str, error: Exception) -> Exception:
    dialect, base = connection.dialect, _driver(connection).Error
    return sa.exc.DBAPIError.instance(text, None, error, base, hide_parameters=True, dialect=dialect)


def _mark(connection: sa.Connection) -> str:
    return "%s" if connection.dialect.name == "postgresql" else "?"
