"""The register as it was a moment ago: what a reader who began before a change still sees.

What it keeps true: for a day after a change, what it replaced can be read, so that the pages of one search show one
revision. A resource is as old as its row: whoever changes what it shows stamps its row, and keeps it here first.

Rules:
1. `keep` before rows are changed or withdrawn; a new row needs nothing.
2. A practitioner is kept with its qualifications and cards, which have no rows of their own here.
3. What a change replaced more than a day ago may be forgotten (`forget`): a search begun before it is over by then.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import msgspec
import sqlalchemy as sa

from vaguemestre.directory import tables
from vaguemestre.storage.database import insert_or_ignore

KEPT_MS = 86_400_000
MOST_CHANGED = 200_000  # rows: beyond, a reader begins anew rather than being shown the past
_BATCH = 500
_QUALIFICATION = ("what", "type", "code")
_CARD = ("type", "number", "starts_on", "ends_on", "opposed_on")
_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder().decode
_THINGS = {
    table.name: table for table in (tables.practitioners, tables.activities, tables.organizations, tables.addresses)
}


class Row:
    """A row as it was: its columns as attributes."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        """A column that there is not."""
        raise AttributeError(name)


@dataclass(frozen=True, slots=True)
class Past:
    """What changed since a revision: of each thing, by id, the row as it was then, or None where there was none yet."""

    rows: dict[str, dict[int, Row | None]]
    qualifications: dict[int, list[Row]] = field(default_factory=dict)
    cards: dict[int, list[Row]] = field(default_factory=dict)

    def changed(self, thing: str) -> dict[int, Row | None]:
        """The rows of a thing that are not now what they were."""
        return self.rows.get(thing, {})


class TooMuchChangedError(Exception):
    """The register has changed so much since that showing the past would cost too much."""


def keep(connection: sa.Connection, revision: int, thing: str, ids: Iterable[int]) -> None:
    """Keep rows as they are, before change `revision` replaces them. One changed already by it was kept then."""
    table, superseded = _THINGS[thing], tables.superseded
    for part in _parts(sorted(set(ids))):
        found = connection.execute(sa.select(table).where(table.c.id.in_(part), table.c.revision < revision)).mappings()
        values = [dict(row) for row in found]
        if table is tables.practitioners and values:
            held = _held(connection, tables.qualifications, part, _QUALIFICATION)
            cards = _held(connection, tables.cards, part, _CARD)
            for each in values:
                each |= {"qualifications": held.get(each["id"], []), "cards": cards.get(each["id"], [])}
        if values:
            kept = [
                {"thing": thing, "id": each["id"], "revision": revision, "content": _encode(each)} for each in values
            ]
            connection.execute(insert_or_ignore(connection, superseded), kept)


def stamp(connection: sa.Connection, revision: int, thing: str, ids: Iterable[int]) -> None:
    """Say of rows that what they show beside themselves has changed, or is about to: they are kept as they are first."""
    table, wanted = _THINGS[thing], sorted(set(ids))
    keep(connection, revision, thing, wanted)
    for part in _parts(wanted):
        connection.execute(table.update().where(table.c.id.in_(part)).values(revision=revision))


def stamp_bearers(connection: sa.Connection, revision: int, bearers: Iterable[tuple[int | None, int | None]]) -> None:
    """Stamp what shows the addresses of bearers: a person, an organization, or a person at one.

    An address of a person at a place is shown with what they do there, and with the person where that is nothing.
    """
    wanted, activities = set(bearers), tables.activities
    people = {person for person, place in wanted if person is not None and place is None}
    places = {place for person, place in wanted if person is None and place is not None}
    both = {(person, place) for person, place in wanted if person is not None and place is not None}
    practised: dict[tuple[int, int], list[int]] = {}
    columns = (activities.c.id, activities.c.practitioner_id, activities.c.organization_id)
    for part in _parts(sorted({person for person, _ in both})):
        found = sa.select(*columns).where(activities.c.practitioner_id.in_(part), activities.c.active)
        for number, person, place in connection.execute(found):
            if (person, place) in both:
                practised.setdefault((person, place), []).append(number)
    stamp(connection, revision, tables.organizations.name, places)
    stamp(connection, revision, activities.name, (number for numbers in practised.values() for number in numbers))
    stamp(connection, revision, tables.practitioners.name, people | {person for person, _ in both - practised.keys()})


def forget(connection: sa.Connection, before: int) -> None:
    """Forget what was replaced before that time (Unix milliseconds)."""
    old = sa.select(tables.revisions.c.id).where(tables.revisions.c.at < before)
    connection.execute(tables.superseded.delete().where(tables.superseded.c.revision.in_(old)))


def latest(connection: sa.Connection) -> int:
    """The revision that a reader sees now; 0 where nothing was ever written."""
    return int(connection.execute(sa.select(sa.func.max(tables.revisions.c.id))).scalar() or 0)


def past(connection: sa.Connection, revision: int) -> Past:
    """What is no more as it was at `revision`. Raises TooMuchChangedError."""
    superseded = tables.superseded
    rows: dict[str, dict[int, Row | None]] = {}
    seen = 0
    for thing, table in _THINGS.items():
        changed = sa.select(table.c.id).where(table.c.revision > revision).limit(MOST_CHANGED + 1 - seen)
        rows[thing] = dict.fromkeys(connection.execute(changed).scalars())
        seen += len(rows[thing])
        if seen > MOST_CHANGED:
            raise TooMuchChangedError
    found = Past(rows)
    columns = (superseded.c.thing, superseded.c.id, superseded.c.content)
    replaced = sa.select(*columns).where(superseded.c.revision > revision).order_by(superseded.c.revision.desc())
    for thing, id_, content in connection.execute(replaced):  # the first to replace it comes last, and stays
        values = _decode(content)
        if thing == tables.practitioners.name:
            found.qualifications[id_] = _rows(_QUALIFICATION, values.pop("qualifications", ()))
            found.cards[id_] = _rows(_CARD, values.pop("cards", ()))
        if thing in rows:
            rows[thing][id_] = Row(values)
    return found


def _held(
    connection: sa.Connection, table: sa.Table, ids: Sequence[int], names: Sequence[str]
) -> dict[int, list[list[Any]]]:
    columns = [table.c.practitioner_id, *(table.c[name] for name in names)]
    found = connection.execute(sa.select(*columns).where(table.c.practitioner_id.in_(ids)).order_by(*columns))
    return {owner: [list(row[1:]) for row in rows] for owner, rows in groupby(found, key=lambda row: row[0])}


def _rows(names: Sequence[str], values: Iterable[Sequence[Any]]) -> list[Row]:
    return [Row(dict(zip(names, each, strict=True))) for each in values]


def _parts(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), _BATCH):
        yield ids[start : start + _BATCH]
