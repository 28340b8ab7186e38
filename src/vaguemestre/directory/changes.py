"""One change of the register: rows compared with what is wanted, kept as they were, written with one revision.

What it keeps true: a row that is as wanted is not touched; a change that touches nothing is no revision at all; a resource
carries the revision of whatever it shows: a person's of their qualifications and cards, a bearer's of its addresses.

Rule: what a source does not say of a thing (a column left out) stays as it was.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from vaguemestre.directory import register, snapshots, spellings, tables
from vaguemestre.directory.building import Counts, Tally
from vaguemestre.directory.model import Origin
from vaguemestre.documents.words import fold

Row = dict[str, Any]

_BATCH = 500
_KEYS = {
    tables.practitioners: (("family_key", "family"), ("given_key", "given")),
    tables.organizations: (("name_key", "name"), ("city_key", "city")),
}
_DEFAULTS: dict[sa.Table, Row] = {
    table: {
        column.name: False if column.name in ("red_list",) else None if column.nullable else ""
        for column in table.columns
        if column.name not in ("id", "active", "origin", "revision", "published_at")
    }
    for table in (tables.practitioners, tables.activities, tables.organizations, tables.addresses)
}


class Change:
    """A change being made, within one write. `origin` is that of the rows it writes; `end` it once."""

    def __init__(self, connection: sa.Connection, origin: Origin, stamp: str = "") -> None:
        self.connection, self.origin = connection, origin
        self.tally = Tally()
        self._stamp, self._revision = stamp, 0
        self._bearers: set[tuple[int | None, int | None]] = set()

    @property
    def revision(self) -> int:
        """Its revision, begun when first needed; 0 at the end of a change that changed nothing."""
        if not self._revision:
            self._revision = register.begin(self.connection, self.origin, self._stamp)
        return self._revision

    @property
    def begun(self) -> bool:
        """Whether anything was changed."""
        return self._revision != 0

    def held(self, table: sa.Table, column: str, values: Iterable[Any]) -> list[Row]:
        """The rows of a table where a column is among some values."""
        found: list[Row] = []
        for part in parts(sorted(set(values))):
            chosen = sa.select(table).where(table.c[column].in_(part))
            found += [dict(row) for row in self.connection.execute(chosen).mappings()]
        return found

    def put(self, table: sa.Table, wanted: Iterable[Row], held: Mapping[int, Row]) -> None:
        """Make rows as wanted: each has its `id` and what is said of it; `held` are those there are, by id."""
        new: list[Row] = []
        changed: list[Row] = []
        counts: Counts = getattr(self.tally, table.name)
        for each in wanted:
            before = held.get(each["id"])
            said: Row = {"active": True, **each}
            for key, column in _KEYS.get(table, ()):
                if column in said:
                    said[key] = fold(said[column])
            if table is tables.organizations and "street" in said:
                said["line_key"] = register.line_key(_DEFAULTS[table] | (before or {}) | said)
            if before is None:
                new.append(_DEFAULTS[table] | said)
                counts.created += said["active"]
            elif any(before[name] != value for name, value in said.items()):
                changed.append(before | said)
                if not said["active"]:
                    counts.withdrawn += bool(before["active"])
                elif before["active"]:
                    counts.changed += 1
                else:
                    counts.created += 1
        if not new and not changed:
            return
        standing = {"origin": self.origin.value, "revision": self.revision}
        snapshots.keep(self.connection, self.revision, table.name, [each["id"] for each in changed])
        self._delete(table, "id", [each["id"] for each in changed])
        self.connection.execute(table.insert(), [each | standing for each in (*new, *changed)])

    def hold_sets(self, table: sa.Table, wanted: Mapping[int, set[tuple[Any, ...]]]) -> None:
        """Make the qualifications or cards of people as wanted: whole rows without the person's id, in column order."""
        columns = [column.name for column in table.columns][1:]
        held: dict[int, set[tuple[Any, ...]]] = {each: set() for each in wanted}
        for row in self.held(table, "practitioner_id", wanted):
            held[row["practitioner_id"]].add(tuple(row[name] for name in columns))
        different = [each for each, rows in wanted.items() if rows != held[each]]
        if not different:
            return
        counts: Counts = getattr(self.tally, table.name)
        snapshots.stamp(self.connection, self.revision, tables.practitioners.name, different)
        self._delete(table, "practitioner_id", different)
        rows = []
        for each in different:
            counts.created += len(wanted[each] - held[each])
            counts.withdrawn += len(held[each] - wanted[each])
            rows += [
                dict(zip(("practitioner_id", *columns), (each, *row), strict=True)) for row in sorted(wanted[each])
            ]
        if rows:
            self.connection.execute(table.insert(), rows)

    def addresses(self, wanted: Iterable[Row], held: Mapping[int, Row]) -> None:
        """Make addresses as wanted; whoever bears one that changes is shown anew."""
        wanted = [each | _keyed(each) for each in wanted]
        touched = [
            (held.get(each["id"]) or {}) | each
            for each in wanted
            if each["id"] not in held
            or any(held[each["id"]][name] != value for name, value in ({"active": True} | each).items())
        ]
        self.put(tables.addresses, wanted, held)
        self._bearers |= {(each["practitioner_id"], each["organization_id"]) for each in touched}

    def end(self) -> int:
        """Show anew what shows something changed, find people by their names; its revision, 0 where nothing changed."""
        if self._bearers:
            snapshots.stamp_bearers(self.connection, self.revision, self._bearers)
        if self._revision:
            spellings.refresh(self.connection, self._revision - 1)
        return self._revision

    def _delete(self, table: sa.Table, column: str, numbers: Sequence[int]) -> None:
        for part in parts(numbers):
            self.connection.execute(table.delete().where(table.c[column].in_(part)))


def parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Some values at a time, as many as one statement takes."""
    for start in range(0, len(values), _BATCH):
        yield values[start : start + _BATCH]


def _keyed(address: Row) -> Row:
    if "address" not in address:
        return {}
    key = address["address"].lower()
    return {"address_key": key, "domain": key.rpartition("@")[2]}
