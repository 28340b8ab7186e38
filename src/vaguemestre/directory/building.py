"""An edition written for the first time: rows go in one after the other, numbered as they come, compared with nothing.

What it keeps true: rows are written in the order of their keys, so that the store appends and never searches; and memory
holds, of two million structures, only which number each was given.
"""

from array import array
from dataclasses import dataclass, field, fields
from typing import Any

import sqlalchemy as sa

from vaguemestre.directory import tables
from vaguemestre.directory.dossiers import Dossiers, Named, place_columns, rpps
from vaguemestre.directory.model import Origin
from vaguemestre.documents.words import fold
from vaguemestre.storage.bulk import BulkLoad

Row = tuple[Any, ...]


def names_of(table: sa.Table) -> list[str]:
    """The names of a table's columns, in order."""
    return [column.name for column in table.columns]


def _load(table: sa.Table) -> BulkLoad:
    return BulkLoad(table, *names_of(table))


LOADS = {
    table: _load(table)
    for table in (
        tables.practitioners,
        tables.qualifications,
        tables.cards,
        tables.activities,
        tables.organizations,
        tables.addresses,
        tables.superseded,
        tables.labels,
    )
}


@dataclass(slots=True)
class Counts:
    """How many of one thing were created, changed and withdrawn."""

    created: int = 0
    changed: int = 0
    withdrawn: int = 0


@dataclass(slots=True)
class Tally:
    """What a change does, by thing."""

    practitioners: Counts = field(default_factory=Counts)
    activities: Counts = field(default_factory=Counts)
    qualifications: Counts = field(default_factory=Counts)
    cards: Counts = field(default_factory=Counts)
    organizations: Counts = field(default_factory=Counts)
    addresses: Counts = field(default_factory=Counts)

    def named(self) -> list[tuple[str, Counts]]:
        """Each thing with its counts."""
        return [(each.name, getattr(self, each.name)) for each in fields(self)]


class Numbers:
    """Which number a text was given, for some millions of texts in little memory: their hashes, not themselves.

    Two texts of one hash (64 bits) would be taken for one: a chance of one in ten million for two million texts.
    """

    def __init__(self) -> None:
        self._mask = (1 << 16) - 1
        self._hashes = array("q", bytes(8 << 16))
        self._numbers = array("q", bytes(8 << 16))
        self._count = 0

    def get(self, text: str) -> int:
        """Its number, or 0."""
        return self._numbers[self._slot(hash(text) or 1)]

    def put(self, text: str, number: int) -> None:
        """Give it a number, not 0."""
        wanted = hash(text) or 1
        slot = self._slot(wanted)
        if not self._numbers[slot]:
            self._count += 1
        self._hashes[slot], self._numbers[slot] = wanted, number
        if self._count * 3 > self._mask * 2:
            self._grow()

    def _slot(self, wanted: int) -> int:
        hashes, mask = self._hashes, self._mask
        slot = wanted & mask
        while (found := hashes[slot]) != wanted and found:
            slot = (slot + 1) & mask
        return slot

    def _grow(self) -> None:
        hashes, numbers = self._hashes, self._numbers
        size = (self._mask + 1) * 2
        self._mask = size - 1
        self._hashes, self._numbers = array("q", bytes(8 * size)), array("q", bytes(8 * size))
        for wanted, number in zip(hashes, numbers, strict=True):
            if wanted:
                slot = self._slot(wanted)
                self._hashes[slot], self._numbers[slot] = wanted, number


class Builder:
    """Writes dossiers into an edition that holds none of them yet."""

    def __init__(self, revision: int) -> None:
        self._revision = revision
        self._places = Numbers()
        self._person = self._activity = self._place = 0

    def resume(self, connection: sa.Connection) -> None:
        """Go on after what an earlier run wrote."""
        self._person = last_id(connection, tables.practitioners)
        self._activity = last_id(connection, tables.activities)
        self._place = last_id(connection, tables.organizations)
        named = sa.select(tables.organizations.c.technical_id, tables.organizations.c.id)
        for technical_id, number in connection.execute(named).yield_per(10_000):
            self._places.put(technical_id, number)

    def write(self, connection: sa.Connection, dossiers: Dossiers) -> None:
        """Write some people, none of whom was written before."""
        standing = (True, Origin.EXTRACTION.value, self._revision)
        places = self._new_places(dossiers, standing)
        people: list[Row] = []
        activities: list[Row] = []
        qualifications: list[Row] = []
        cards: list[Row] = []
        person, activity, number_of = self._person, self._activity, self._places.get
        everybody = dossiers.named | dossiers.also_named if dossiers.also_named else dossiers.named
        for national_id in sorted(everybody) if dossiers.also_named else everybody:
            person += 1
            people.append(practitioner_row(person, everybody[national_id], standing))
            for exercise in dossiers.exercises.get(national_id, ()):
                activity += 1
                place = number_of(exercise[0]) if exercise[0] else None
                activities.append((activity, "", person, place, *exercise[1:], *standing))
            if held := dossiers.qualifications.get(national_id):
                qualifications += [(person, *each) for each in (held if len(held) == 1 else sorted(held))]
            if shown := dossiers.cards.get(national_id):
                cards += [(person, number, *shown[number]) for number in sorted(shown)]
        self._person, self._activity = person, activity
        LOADS[tables.organizations].run(connection, places)
        LOADS[tables.practitioners].run(connection, people)
        LOADS[tables.activities].run(connection, activities)
        LOADS[tables.qualifications].run(connection, qualifications)
        LOADS[tables.cards].run(connection, cards)

    def _new_places(self, dossiers: Dossiers, standing: Row) -> list[Row]:
        rows = []
        for technical_id, line in dossiers.places.items():
            if not self._places.get(technical_id):
                self._place += 1
                self._places.put(technical_id, self._place)
                rows.append((self._place, *place_columns(technical_id, line), None, *standing))
        return rows


def practitioner_row(number: int, named: Named, standing: Row) -> Row:
    """A row of practitioners."""
    national_id, civility, title, family, given, profession, category = named
    return (
        number,
        national_id,
        rpps(national_id),
        civility,
        title,
        family,
        given,
        fold(family),
        fold(given),
        profession,
        category,
        *standing,
    )


def last_id(connection: sa.Connection, table: sa.Table) -> int:
    """The greatest number given, or 0."""
    return int(connection.execute(sa.select(sa.func.max(table.c.id))).scalar() or 0)
