"""Resources read and searched, a page at a time, all pages of a search showing one revision.

What it keeps true: a page holds no resource twice and misses none between two pages, whatever changes meanwhile; what is
red-listed is not shown; a search that would cost too much ends in time, with words.

Rules:
1. A page begins where the one before ended, by sort key and id: no page costs more for coming later.
2. A search remembers the revision of its first page. What changed since is left out of the rows as they are now, and put
   back as it was (`snapshots`). Another edition of the register, or a day, ends a search.
3. What finds few is asked first, and the rest of those it finds; where nothing finds few, rows are looked at in order,
   since then matches come soon.
4. A search for something linked looks at what is linked as it is now.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from time import monotonic
from typing import Any

import msgspec
import sqlalchemy as sa

from vaguemestre.directory import register, snapshots
from vaguemestre.directory.fhir import queries
from vaguemestre.directory.fhir.queries import COLUMNS, TABLES, Compiled, Query
from vaguemestre.directory.snapshots import Past, TooMuchChangedError
from vaguemestre.documents.fhir import matching, resources
from vaguemestre.documents.fhir.parameters import Reference
from vaguemestre.documents.fhir.resources import PUBLIC, Shape
from vaguemestre.documents.fhir.search import Clause, Condition, Linked, Search
from vaguemestre.documents.fhir.systems import Json
from vaguemestre.errors import VaguemestreError

_PROBED = 60_000  # ids that a source is counted up to: about as many may be gathered and sorted
_REMEMBERED = 4096  # counts
_WINDOW = 40_000  # rows looked at in order at first
_COUNTED = 500  # matches counted without being asked to
_MOST_NAMES = 300  # names that hold a text, asked for one by one
# What a step costs, in microseconds, where little is in memory: a row in order, one where more than its own columns is
# asked, an id of an index, one looked up.
_ROW_US, _ASKED_US, _ID_US, _LOOKUP_US = 0.3, 1.0, 0.15, 8.0
_QUICK_US = 20_000.0
_ESTIMATE_S = 1.0
_STEP = 20_000  # instructions of SQLite between two looks at the clock
_SORTS = {
    "_id": ("id",),
    "_lastUpdated": ("revision", "id"),
    "family": ("family_key", "given_key", "id"),
    "given": ("given_key", "family_key", "id"),
    "name": ("name_key", "id"),
}
_decode = msgspec.json.Decoder().decode


class GoneError(VaguemestreError):
    """The search that a page belongs to is over: it must begin anew."""


class CostlyError(VaguemestreError):
    """What was asked would take too long."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: in which edition and revision, since when (Unix milliseconds), after which row."""

    edition: str
    revision: int
    begun: int
    after: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """What a search found. `total` is None where it is not known."""

    matches: list[Json]
    included: list[Json]
    total: int | None
    next: Cursor | None


@dataclass(slots=True)
class Known:
    """What is remembered from one search to the next, of one edition. Use from any thread."""

    edition: str = ""
    instants: dict[int, int] = field(default_factory=dict)  # when each revision was
    counts: dict[tuple[int, str, str], int] = field(default_factory=dict)
    pasts: dict[tuple[int, int], Past] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)  # of a type: its last id, and how many there are
    # Of a column of names: the revision it was last looked at, and every name there is, each between line ends.
    names: dict[str, tuple[int, str]] = field(default_factory=dict)


class Reader:
    """Reads the register as FHIR; its methods take an open connection to it. `limit` bounds a search, in seconds."""

    def __init__(self, shape: Shape = PUBLIC, limit: float = 10.0) -> None:
        self._shape = shape
        self._limit = limit
        self._known = Known()

    def read(self, connection: sa.Connection, kind: str, identifier: str, shape: Shape | None = None) -> Json | None:
        """The resource of a technical id, or None."""
        flow = _Flow(self._knowledge(connection), connection, 0, shape or self._shape)
        if kind not in TABLES:
            return flow.kept(kind, identifier)
        number = resources.number_of(kind, identifier)
        found = flow.by_ids(kind, [number]) if number is not None else {}
        return found.get(number) if number is not None else None

    def version(self, connection: sa.Connection, kind: str, identifier: str) -> int | None:
        """The version of a resource, without reading the rest of it; None where there is none."""
        number = resources.number_of(kind, identifier) if kind in TABLES else None
        if number is None:
            found = self.read(connection, kind, identifier)
            return int(found["meta"]["versionId"]) if found else None
        query = Query.on(connection, 0, lambda *_: ())
        statement = f"SELECT revision FROM {TABLES[kind]} WHERE id = {query.bind(number)}"
        revision = connection.exec_driver_sql(statement, query.values).scalar()
        return None if revision is None else int(revision)

    def find(
        self,
        connection: sa.Connection,
        search: Search,
        now: int,
        cursor: Cursor | None = None,
        shape: Shape | None = None,
    ) -> Page:
        """A page of a search: the first, or the one that begins at `cursor`; `now` is Unix milliseconds.

        Raises GoneError, CostlyError.
        """
        known = self._knowledge(connection)
        revision = snapshots.latest(connection)
        if cursor is None:
            cursor = Cursor(known.edition, revision, now)
        elif cursor.edition != known.edition or not now - snapshots.KEPT_MS < cursor.begun <= now + 60_000:
            raise GoneError(
                "This search is over: the register was replaced since, or a day has passed. Begin it anew.",
                "Cette recherche est terminée : le registre a été remplacé depuis, ou un jour a passé. Recommencez-la.",
            )
        flow = _Flow(known, connection, now, shape or self._shape)
        with limited(connection, self._limit):
            if search.kind not in TABLES:
                return flow.find_kept(search, cursor)
            if cursor.revision != revision:
                flow.past = _past(known, connection, cursor.revision, revision)
            return flow.find(search, cursor)

    def ids(self, connection: sa.Connection, kind: str, conditions: Sequence[Condition], most: int) -> list[int]:
        """The numbers of resources that meet conditions, `most` at most. Raises CostlyError."""
        flow = _Flow(self._knowledge(connection), connection, 0, self._shape)
        with limited(connection, self._limit):
            rows = flow.rows(Search(kind, tuple(conditions)), (), 0, most)
        return [row.id for row in rows]

    def _knowledge(self, connection: sa.Connection) -> Known:
        edition = register.edition(connection)
        known = self._known
        if known.edition != edition:
            self._known = known = Known(edition)
        return known


@contextmanager
def limited(connection: sa.Connection, seconds: float) -> Iterator[None]:
    """What is asked within ends in time. Raises CostlyError."""
    end = monotonic() + seconds
    driver: Any = connection.connection.dbapi_connection
    server = connection.dialect.name == "postgresql"
    if server:
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {max(1, int(seconds * 1000))}")
    else:
        driver.set_progress_handler(lambda: monotonic() > end, _STEP)
    try:
        yield
    except sa.exc.OperationalError as error:
        if "interrupted" not in str(error.orig) and getattr(error.orig, "sqlstate", "") != "57014":
            raise
        raise CostlyError(
            f"This search takes more than {seconds:g} s. Add a condition that finds fewer resources.",
            f"Cette recherche prend plus de {seconds:g} s. Ajoutez une condition qui trouve moins de ressources.",
        ) from error
    finally:
        if not server:
            driver.set_progress_handler(None, 0)


def _past(known: Known, connection: sa.Connection, revision: int, latest: int) -> Past:
    found = known.pasts.get((revision, latest))
    if found is None:
        try:
            found = snapshots.past(connection, revision)
        except TooMuchChangedError:
            raise GoneError(
                "This search is over: too much of the register has changed since. Begin it anew.",
                "Cette recherche est terminée : le registre a trop changé depuis. Recommencez-la.",
            ) from None
        if len(known.pasts) >= 4:
            known.pasts.clear()
        known.pasts[revision, latest] = found
    return found


class _Flow:
    """One reading: a connection, what is remembered, and the past where the reader began before a change."""

    def __init__(self, known: Known, connection: sa.Connection, now: int, shape: Shape) -> None:
        self._known = known
        self._connection = connection
        self._now = now
        self._shape = shape
        self.past: Past | None = None

    # Searching

    def find(self, search: Search, cursor: Cursor) -> Page:
        """A page of what stands in rows."""
        if search.only_count or not search.count:
            return Page([], [], self._count(search, exact=True), None)
        rows = self.rows(search, cursor.after, cursor.revision, search.count + 1)
        more = len(rows) > search.count
        del rows[search.count :]
        ended = None
        if more:
            keys = _SORTS[search.sort[0]]
            ended = Cursor(cursor.edition, cursor.revision, cursor.begun, tuple(getattr(rows[-1], key) for key in keys))
        matches = self._build(search.kind, rows)
        total = len(matches) if not more and not cursor.after else self._total(search)
        return Page(list(matches.values()), self._included(search, rows), total, ended)

    def rows(self, search: Search, after: tuple[Any, ...], revision: int, most: int) -> list[Any]:
        """Rows that meet a search, in its order, after a place; of the past where there is one."""
        conditions = [self._compiled(condition) for condition in search.conditions]
        found = self._rows_now(search, conditions, after, revision, most)
        if self.past is None:
            return found
        keys, descending = _SORTS[search.sort[0]], search.sort[1]
        former = [
            row
            for row in self.past.changed(TABLES[search.kind]).values()
            if row is not None and (not after or _key(row, keys) > after if not descending else _key(row, keys) < after)
        ]
        if former:
            built = self._build(search.kind, former)
            met = [row for row in former if self._meets(built[row.id], search.conditions)]
            found = sorted([*found, *met], key=lambda row: _key(row, keys), reverse=descending)
        return found[:most]

    def _meets(self, resource: Json, conditions: Iterable[Condition]) -> bool:
        return all(matching.matches(resource, condition, self._follow, self._now) for condition in conditions)

    def _follow(self, linked: Linked, resource: Json) -> bool:
        """Whether a linked condition is met by what is linked now."""
        reference, number = linked.reference, resources.number_of(resource["resourceType"], resource["id"])
        if not linked.backwards:
            number = resources.number_of(reference.target, matching.referred(resource, reference.parameter))
        if number is None:
            return False
        query = self._query()
        if linked.backwards:
            met = queries.compiled(query, linked).predicate
            statement = f"SELECT 1 FROM {TABLES[reference.target]} r WHERE r.id = {query.bind(number)} AND {met}"
        else:
            met = queries.compiled(query, linked.inner).predicate
            statement = f"SELECT 1 FROM {TABLES[reference.target]} r WHERE r.id = {query.bind(number)} AND {met}"
        return self._run(statement, query).first() is not None

    def _compiled(self, condition: Condition) -> tuple[Condition, Compiled, Query]:
        query = self._query()
        return condition, queries.compiled(query, condition), query

    def _rows_now(
        self,
        search: Search,
        conditions: Sequence[tuple[Condition, Compiled, Query]],
        after: tuple[Any, ...],
        revision: int,
        most: int,
    ) -> list[Any]:
        drivers, cost = self._drivers(search.kind, conditions, most)
        if not conditions or (drivers and cost <= _QUICK_US):
            return self._select(search, drivers, after, revision, most)
        # Either many meet the conditions, and some stand among the next rows, or gathering them is worth its price: ids
        # of one place or time stand together, so only looking tells.
        asked = any("SELECT" in found.predicate for _, found, _ in conditions)
        if search.sort == ("_id", False):
            found = self._select(search, (), after, revision, most, _WINDOW)
            if len(found) >= most or (after[0] if after else 0) + _WINDOW >= self._size(search.kind):
                return found
            rows = (most - len(found)) * _WINDOW / max(len(found), 0.5)
            in_order = min(rows, self._size(search.kind)) * (_ASKED_US if asked else _ROW_US)
            drivers = drivers if cost < in_order else []
        return self._select(search, drivers, after, revision, most)

    def _drivers(
        self, kind: str, conditions: Sequence[tuple[Condition, Compiled, Query]], most: int
    ) -> tuple[list[Condition], float]:
        """The conditions whose ids may be gathered, the fewest first, and about what that costs, in microseconds."""
        scanning: list[Condition] = []
        counted: list[tuple[int, Condition, Compiled]] = []
        for condition, found, query in conditions:
            if not found.source:
                continue
            if found.few:
                return [condition], 0.0
            if found.scans:
                scanning.append(condition)
            else:
                counted.append((self._probe(found, query), condition, found))
        total = max(1, self._size(kind))
        if not counted:
            return scanning[:1], total * _ID_US
        counted.sort(key=lambda each: each[0])
        fewest, first, compiled = counted[0]
        by_names = queries.of_names(first)
        others = [
            each
            for each in counted[1:]
            if (by_names and queries.of_names(each[1])) or (each[0] < _PROBED and not each[2].seeks)
        ]
        apart = sum(each[0] for each in others if not (by_names and queries.of_names(each[1])))
        shares = {id(each): min(1.0, each[0] / total) for each in counted}
        both = total * prod(shares[id(each)] for each in (counted[0], *others))
        rest = prod(shares[id(each)] for each in counted[1:] if each not in others)
        gathered = apart * _ID_US + fewest * (_LOOKUP_US if compiled.seeks else _ID_US)
        if fewest == _PROBED:  # or more
            gathered *= 4
        looked_up = min(max(both, 1.0), most / max(rest, 1e-9)) * _LOOKUP_US
        return [first, *(each[1] for each in others)], gathered + looked_up

    def _size(self, kind: str) -> int:
        """About how many rows there are of a type."""
        return int(self._run(f"SELECT coalesce(max(id), 0) FROM {TABLES[kind]}", self._query()).scalar_one())

    def _probe(self, found: Compiled, query: Query) -> int:
        """How many a source finds, as far as it matters."""
        key = (0, found.counted, repr(sorted(query.values.items())))
        known = self._known.counts
        count = known.get(key)
        if count is None:
            count = self._run(
                f"SELECT count(*) FROM (SELECT 1 FROM ({found.counted}) s LIMIT {_PROBED}) c", query
            ).scalar_one()
            if len(known) >= _REMEMBERED:
                known.clear()
            known[key] = count
        return count

    def _select(
        self,
        search: Search,
        drivers: Sequence[Condition],
        after: tuple[Any, ...],
        revision: int,
        most: int,
        window: int = 0,
    ) -> list[Any]:
        """Rows of a search; of those of the next `window` ids alone where one is given."""
        query = self._query()
        sort, descending = search.sort
        table, keys = TABLES[search.kind], _SORTS[sort]
        parts = self._gathered(query, drivers, search.conditions)
        if after:
            row = ", ".join(f"r.{key}" for key in keys)
            parts.append(f"({row}) {'<' if descending else '>'} ({', '.join(query.bind(value) for value in after)})")
        if self.past is not None:
            parts.append(f"r.revision <= {query.bind(revision)}")
        parts += [queries.compiled(query, condition).predicate for condition in search.conditions]
        order = ", ".join(f"r.{key}{' DESC' if descending else ''}" for key in keys)
        if window:
            parts.append(f"r.id <= {query.bind((after[0] if after else 0) + window)}")
        where = f" WHERE {' AND '.join(parts)}" if parts else ""
        return list(self._run(f"SELECT r.* FROM {table} r{where} ORDER BY {order} LIMIT {most}", query))

    def _gathered(self, query: Query, drivers: Sequence[Condition], conditions: Sequence[Condition]) -> list[str]:
        """That a row is among the ids of each driver; SQLite goes through those of the first."""
        if not drivers:
            return []
        names = [each for each in conditions if each is not drivers[0] and queries.of_names(each)]
        if names and queries.of_names(drivers[0]):
            first = queries.narrowed(query, drivers[0], names)
        else:
            first, names = queries.compiled(query, drivers[0]).source, []
        plus = "" if query.server else "+"
        others = [
            f"{plus}r.id IN ({queries.compiled(query, each).source})" for each in drivers[1:] if each not in names
        ]
        # PostgreSQL would weigh going through all rows in order; an array is made first, and each of its ids looked up.
        return [f"r.id = ANY(ARRAY({first}))" if query.server else f"r.id IN ({first})", *others]

    # Counting

    def _total(self, search: Search) -> int | None:
        """As the search asks: `none`, exactly, or what is quickly known."""
        if search.total == "none":
            return None
        if search.total == "accurate":
            return self._count(search, exact=True)
        if not search.conditions:
            return self._all(search.kind)
        known = self._known.counts.get(self._counted(search))
        if known is not None or not search.total:
            return known if known is not None else self._count_few(search)
        return self._count(search, exact=False)

    def _all(self, kind: str) -> int:
        """How many there are of a type: rows stay, and new ones have greater ids."""
        last, count = self._known.sizes.get(kind, (-(2**62), 0))
        query = self._query()
        statement = f"SELECT max(id), count(*) FROM {TABLES[kind]} WHERE id > {query.bind(last)}"
        newest, more = self._run(statement, query).one()
        if more:
            last, count = newest, count + more
            self._known.sizes[kind] = last, count
        return count

    def _counted(self, search: Search) -> tuple[int, str, str]:
        asked = repr((search.conditions, sorted(self._shape.own_domains)))
        return snapshots.latest(self._connection), search.kind, asked

    def _count_few(self, search: Search) -> int | None:
        """The number of matches of one condition that an index tells alone, where it is not large."""
        if len(search.conditions) != 1:
            return None
        _, found, query = self._compiled(search.conditions[0])
        if not found.source or found.scans or self._probe(found, query) > _COUNTED:
            return None
        return self._count(search, exact=True)

    def _count(self, search: Search, *, exact: bool) -> int | None:
        key = self._counted(search)
        known = self._known.counts
        if key not in known:
            conditions = [self._compiled(condition) for condition in search.conditions]
            drivers, _ = self._drivers(search.kind, conditions, _PROBED)
            query = self._query()
            parts = self._gathered(query, drivers, search.conditions)
            parts += [queries.compiled(query, condition).predicate for condition in search.conditions]
            where = f" WHERE {' AND '.join(parts)}" if parts else ""
            statement = f"SELECT count(*) FROM {TABLES[search.kind]} r{where}"
            if exact:
                count = self._run(statement, query).scalar_one()
            else:
                estimated = self._estimate(statement, query)
                if estimated is None:
                    return None
                count = estimated
            if len(known) >= _REMEMBERED:
                known.clear()
            known[key] = int(count)
        return known[key]

    def _estimate(self, statement: str, query: Query) -> int | None:
        """A count, unless it takes more than a second."""
        try:
            if self._connection.dialect.name == "postgresql":
                with self._connection.begin_nested(), limited(self._connection, _ESTIMATE_S):
                    return int(self._run(statement, query).scalar_one())
            with limited(self._connection, _ESTIMATE_S):
                return int(self._run(statement, query).scalar_one())
        except CostlyError:
            return None

    # Included

    def _included(self, search: Search, rows: Sequence[Any]) -> list[Json]:
        """What the search includes besides, each once."""
        seen = {(search.kind, row.id) for row in rows}
        found: list[Json] = []

        def add(kind: str, more: dict[int, Json]) -> None:
            for number, resource in more.items():
                if (kind, number) not in seen:
                    seen.add((kind, number))
                    found.append(resource)

        for reference in search.includes:
            add(reference.target, self._referred(reference, rows))
        referring: list[tuple[str, list[Any]]] = []
        for reference in search.revincludes:
            if reference.source in TABLES:
                more = self._referring(reference, rows)
                referring.append((reference.source, more))
                add(reference.source, self._build(reference.source, more))
            else:
                found += self._kept_of(reference, [row.id for row in rows])
        for reference in search.iterated:
            for kind, more in referring:
                if reference.source == kind:
                    add(reference.target, self._referred(reference, more))
        return found

    def _referred(self, reference: Reference, rows: Sequence[Any]) -> dict[int, Json]:
        column = COLUMNS[str(reference)]
        ids = [getattr(row, column) for row in rows if row.active]
        return self.by_ids(reference.target, [number for number in dict.fromkeys(ids) if number is not None])

    def _referring(self, reference: Reference, rows: Sequence[Any]) -> list[Any]:
        column, table = COLUMNS[str(reference)], TABLES[reference.source]
        ids = [row.id for row in rows]
        query = self._query()
        statement = f"SELECT * FROM {table} WHERE {query.among(column, ids)} AND active ORDER BY id"
        found = list(self._run(statement, query)) if ids else []
        if self.past is None:
            return found
        changed, wanted = self.past.changed(table), set(ids)
        former = [row for row in changed.values() if row is not None and row.active and getattr(row, column) in wanted]
        return [row for row in found if row.id not in changed] + former

    def by_ids(self, kind: str, ids: Sequence[int]) -> dict[int, Json]:
        """Resources by number."""
        query = self._query()
        statement = f"SELECT * FROM {TABLES[kind]} WHERE {query.among('id', ids)}"
        rows = list(self._run(statement, query)) if ids else []
        if self.past is not None:
            changed = self.past.changed(TABLES[kind])
            rows = [row for row in rows if row.id not in changed]
            rows += [row for number in ids if (row := changed.get(number)) is not None]
        return self._build(kind, rows)

    # Building

    def _build(self, kind: str, rows: Sequence[Any]) -> dict[int, Json]:
        """Resources of rows, by number, in order."""
        if not rows:
            return {}
        updated = self._instants({row.revision for row in rows})
        shown = [row.id for row in rows if row.active]
        boxes = self._boxes(kind, [row for row in rows if row.active]) if shown else {}
        if kind == "PractitionerRole":
            return {
                row.id: resources.practitioner_role(row, boxes.get(row.id, ()), updated[row.revision], self._shape)
                for row in rows
            }
        if kind == "Organization":
            return {
                row.id: resources.organization(row, boxes.get(row.id, ()), updated[row.revision], self._shape)
                for row in rows
            }
        held = self._held("qualifications", "what, type, code", shown) if shown else {}
        cards = self._held("cards", "type, number, starts_on, ends_on, opposed_on", shown) if shown else {}
        if self.past is not None:
            former = self.past.qualifications
            held |= {row.id: sorted(former[row.id], key=_held_order) for row in rows if row.id in former}
            cards |= {row.id: self.past.cards[row.id] for row in rows if row.id in self.past.cards}
        return {
            row.id: resources.practitioner(
                row, held.get(row.id, ()), cards.get(row.id, ()), boxes.get(row.id, ()), updated[row.revision],
                self._shape,
            )
            for row in rows
        }  # fmt: skip

    def _instants(self, revisions: set[int]) -> dict[int, int]:
        known = self._known.instants
        missing = [revision for revision in revisions if revision not in known]
        if missing:
            query = self._query()
            found = self._run(f"SELECT id, at FROM revisions WHERE {query.among('id', missing)}", query)
            known.update({row.id: row.at for row in found})
            for revision in missing:
                known.setdefault(revision, 0)
        return known

    def _held(self, table: str, columns: str, ids: Sequence[int]) -> dict[int, list[Any]]:
        query = self._query()
        chosen = query.among("practitioner_id", ids)
        order = "what DESC, type, code" if table == "qualifications" else "number"
        statement = f"SELECT practitioner_id, {columns} FROM {table} WHERE {chosen} ORDER BY practitioner_id, {order}"
        found: dict[int, list[Any]] = {}
        for row in self._run(statement, query):
            found.setdefault(row[0], []).append(row)
        return found

    def _boxes(self, kind: str, rows: Sequence[Any]) -> dict[int, list[Any]]:
        """Addresses by number of who bears them; those red-listed too where some are shown to who administers them."""
        column = "organization_id" if kind == "Organization" else "practitioner_id"
        owners = {getattr(row, column if kind == "PractitionerRole" else "id") for row in rows}
        query = self._query()
        hidden = "" if self._shape.own_domains else " AND NOT a.red_list"
        chosen = query.among(f"a.{column}", list(owners))
        found = list(self._run(f"SELECT a.* FROM addresses a WHERE {chosen} AND a.active{hidden}", query))
        if self.past is not None:
            changed = self.past.changed("addresses")
            found = [row for row in found if row.id not in changed]
            found += [row for row in changed.values() if row and row.active and getattr(row, column) in owners]
            found = [row for row in found if not row.red_list or self._shape.own_domains]
        found.sort(key=lambda box: (box.rank is None, box.rank, box.id))
        if kind == "PractitionerRole":
            at: dict[tuple[int, int], list[Any]] = {}
            for box in found:
                at.setdefault((box.practitioner_id, box.organization_id), []).append(box)
            return {row.id: at.get((row.practitioner_id, row.organization_id), []) for row in rows}
        placed = [box for box in found if box.organization_id is not None] if kind == "Practitioner" else []
        there = self._practised({box.practitioner_id for box in placed}) if placed else set()
        borne: dict[int, list[Any]] = {}
        for box in found:
            if kind == "Organization" and box.practitioner_id is not None:
                continue
            if kind == "Practitioner" and (box.practitioner_id, box.organization_id) in there:
                continue
            borne.setdefault(getattr(box, column), []).append(box)
        return borne

    def _practised(self, ids: set[int]) -> set[tuple[int, int]]:
        """Who practises where, of these people."""
        query = self._query()
        chosen = query.among("practitioner_id", list(ids))
        found = list(self._run(f"SELECT * FROM activities WHERE {chosen} AND active", query))
        if self.past is not None:
            changed = self.past.changed("activities")
            found = [row for row in found if row.id not in changed]
            found += [row for row in changed.values() if row and row.active and row.practitioner_id in ids]
        return {(row.practitioner_id, row.organization_id) for row in found}

    # Resources kept whole

    def kept(self, kind: str, identifier: str) -> Json | None:
        """A resource that is kept as it came."""
        return next((each for each in self._kept(kind, technical_id=identifier)), None)

    def find_kept(self, search: Search, cursor: Cursor) -> Page:
        """A page of resources kept whole: each is looked at."""
        after = str(cursor.after[0]) if cursor.after else ""
        ids = _technical_ids(search)
        matches: list[Json] = []
        total = 0
        # Pages that follow count nothing: what was counted was on the first.
        counting = search.only_count or not search.count or (search.total != "none" and not after)
        for each in self._kept(search.kind, after="" if search.sort[1] else after, ids=ids, descending=search.sort[1]):
            if search.sort[1] and after and each["id"] >= after:
                continue
            if self._meets(each, search.conditions):
                total += 1
                if len(matches) <= search.count:
                    matches.append(each)
                elif not counting:
                    break
        if search.only_count or not search.count:
            return Page([], [], total, None)
        ended = None
        if len(matches) > search.count:
            del matches[search.count :]
            ended = Cursor(cursor.edition, cursor.revision, cursor.begun, (matches[-1]["id"],))
        included: dict[str, Json] = {}
        for reference in search.includes:
            numbers = [
                number
                for each in matches
                if (number := resources.number_of(reference.target, matching.referred(each, reference.parameter)))
            ]
            included |= {
                each["id"]: each for each in self.by_ids(reference.target, list(dict.fromkeys(numbers))).values()
            }
        return Page(matches, list(included.values()), total if counting else None, ended)

    def _kept(
        self,
        kind: str,
        *,
        technical_id: str = "",
        after: str = "",
        ids: Sequence[str] | None = None,
        descending: bool = False,
    ) -> Iterator[Json]:
        query = self._query()
        parts = [f"type = {query.bind(kind)}"]
        if technical_id:
            parts.append(f"technical_id = {query.bind(technical_id)}")
        if after:
            parts.append(f"technical_id > {query.bind(after)}")
        if ids is not None:
            parts.append(f"technical_id IN ({', '.join(query.bind(each) for each in ids) or 'NULL'})")
        statement = (
            f"SELECT technical_id, content, active, revision FROM resources WHERE {' AND '.join(parts)}"
            f" ORDER BY technical_id{' DESC' if descending else ''}"
        )
        for row in self._run(statement, query):
            at = self._instants({row.revision})[row.revision]
            yield resources.kept(kind, row.technical_id, _decode(row.content), bool(row.active), row.revision, at)

    def _kept_of(self, reference: Reference, numbers: Sequence[int]) -> list[Json]:
        """Resources kept whole that refer to organizations."""
        wanted = {resources.technical_id(reference.target, number) for number in numbers}
        return [each for each in self._kept(reference.source) if matching.referred(each, reference.parameter) in wanted]

    def _referred_by_kept(self, reference: Reference, condition: Condition) -> list[int]:
        found = []
        for each in self._kept(reference.source):
            number = resources.number_of(reference.target, matching.referred(each, reference.parameter))
            if number is not None and self._meets(each, [condition]):
                found.append(number)
        return found

    def _query(self) -> Query:
        return Query.on(self._connection, self._now, self._referred_by_kept, self._shape.own_domains, self._names)

    def _names(self, column: str, text: str) -> list[str] | None:
        """The names of a column that hold a text; None for too many. A line end stands before and after each."""
        if not text.strip("\n"):
            return None
        blob = self._every_name(column)
        found: list[str] = []
        at = blob.find(text)
        while at >= 0:
            start = blob.rfind("\n", 0, at + 1) + 1  # what is sought may begin or end by a line end
            end = blob.find("\n", start)
            found.append(blob[start:end])
            if len(found) > _MOST_NAMES:
                return None
            at = blob.find(text, end)
        return found

    def _every_name(self, column: str) -> str:
        """Every name of a column; what has come since the last look is added, and what is gone does no harm."""
        latest = snapshots.latest(self._connection)
        seen, blob = self._known.names.get(column, (0, "\n"))
        if seen < latest:
            query = self._query()
            since = f" WHERE revision > {query.bind(seen)}" if seen else ""
            found = self._run(f"SELECT DISTINCT {column} FROM practitioners{since}", query).scalars()
            new = [name for name in found if not seen or f"\n{name}\n" not in blob]
            blob += "".join(f"{name}\n" for name in new)
            self._known.names[column] = latest, blob
        return blob

    def _run(self, statement: str, query: Query) -> Any:
        return self._connection.exec_driver_sql(statement, query.values)


def _key(row: Any, keys: Sequence[str]) -> tuple[Any, ...]:
    return tuple(getattr(row, key) for key in keys)


def _held_order(row: Any) -> tuple[int, str, str]:
    return "PKDA".find(row.what), row.type, row.code


def _technical_ids(search: Search) -> list[str] | None:
    """The ids that a search names, where it does."""
    for condition in search.conditions:
        if isinstance(condition, Clause) and condition.parameter.name == "_id" and not condition.modifier:
            return list(condition.values)
    return None
