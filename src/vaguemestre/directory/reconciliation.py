"""What files say of people and places, compared with what the register holds, and the rows that make the difference.

Rules:
1. A row whose content is what the register holds is not written; one that differs carries the revision, and what it was
   is kept first (`snapshots`). Identifiers of rows stay. A person's row carries the revision too where only the
   qualifications or cards changed, since they are shown as one resource.
2. A file has the last word on what it tells of a person, and no word on what it does not tell: the file of activities on
   names, professions and activities; that of know-how on know-how (the file of activities where that one was never
   taken); that of diplomas on diplomas and authorizations; that of cards on cards.
3. An activity has no number in the files. It is known by its place, profession, category, mode, function, genre and
   section; where one goes and another comes at the same place, it is the same one that has changed.
4. A person of whom nothing is left, address included, is withdrawn: not active. So is a place that has lost its last
   activity or address.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from vaguemestre.directory import snapshots, tables
from vaguemestre.directory.building import LOADS, Row, Tally, last_id, names_of, practitioner_row
from vaguemestre.directory.dossiers import Dossiers, Exercise, Named, place_columns
from vaguemestre.directory.model import Origin, Qualified
from vaguemestre.documents.extraction import Kind
from vaguemestre.storage.bulk import RowUpdate, Statement

_EXTRACTION = Origin.EXTRACTION.value
_STANDING = 3  # columns at the end of a row: active, origin, revision
_ACTIVE, _ORIGIN, _REVISION = -3, -2, -1

_QUALIFICATIONS_OF = {
    Kind.ACTIVITIES: {Qualified.PROFESSION.value},
    Kind.KNOW_HOW: {Qualified.KNOW_HOW.value},
    Kind.DIPLOMAS: {Qualified.DIPLOMA.value, Qualified.AUTHORIZATION.value},
}


def _select(table: sa.Table, key: str, among: str = "{among}") -> Statement:
    return Statement(f"SELECT {', '.join(names_of(table))} FROM {table.name} WHERE {key} {among}")  # noqa: S608


_PEOPLE = _select(tables.practitioners, "national_id", "{among_texts}")
_QUALIFICATIONS = _select(tables.qualifications, "practitioner_id")
_CARDS = _select(tables.cards, "practitioner_id")
_ACTIVITIES = _select(tables.activities, "practitioner_id")
_PLACES = _select(tables.organizations, "technical_id", "{among_texts}")
# An address that an operator publishes does not make a person one of the register.
_ADDRESSED = Statement(
    "SELECT DISTINCT practitioner_id FROM addresses WHERE practitioner_id {among} AND active AND origin <> 'operator'"
)
_TOLD = (
    Statement("SELECT DISTINCT practitioner_id FROM qualifications WHERE practitioner_id {among}"),
    Statement("SELECT DISTINCT practitioner_id FROM cards WHERE practitioner_id {among}"),
    Statement("SELECT DISTINCT practitioner_id FROM activities WHERE practitioner_id {among} AND active"),
)
_BOXES = Statement(
    f"SELECT {', '.join(names_of(tables.addresses))} FROM addresses WHERE practitioner_id {{among}} AND active"  # noqa: S608
)
_PRACTISED = Statement("SELECT DISTINCT organization_id FROM activities WHERE organization_id {among} AND active")
_WRITTEN_TO = Statement("SELECT DISTINCT organization_id FROM addresses WHERE organization_id {among} AND active")
_PARENTS = Statement("SELECT DISTINCT parent_id FROM organizations WHERE parent_id {among}")
_ORIGINS = Statement("SELECT id, origin FROM organizations WHERE id {among} AND active")


@dataclass(slots=True)
class Changes:
    """Rows to write of one table: new ones, and others in the place of what they were, by id."""

    new: list[Row] = field(default_factory=list)
    changed: dict[int, Row] = field(default_factory=dict)
    before: dict[int, Row] = field(default_factory=dict)

    def change(self, before: Row, row: Row) -> None:
        """Write a row in the place of what it was."""
        self.changed[row[0]], self.before[row[0]] = row, before

    def updates(self) -> dict[tuple[int, ...], list[Row]]:
        """For each set of columns that change together: their values in each row, then its id."""
        found: dict[tuple[int, ...], list[Row]] = defaultdict(list)
        for number in sorted(self.changed):
            row, before = self.changed[number], self.before[number]
            columns = tuple(place for place, (new, old) in enumerate(zip(row, before, strict=True)) if new != old)
            if columns:
                found[columns].append((*(row[place] for place in columns), number))
        return found


@dataclass(slots=True)
class _Held:
    """What the register holds of some people, and the places that are named now."""

    people: dict[str, Row]
    qualifications: dict[int, set[tuple[str, str, str]]]
    cards: dict[int, dict[str, tuple[str, ...]]]
    activities: dict[int, list[Row]]
    places: dict[str, Row]


class Reconciler:
    """Writes the differences of one change, a batch of people at a time, then what follows from all of them (`end`)."""

    def __init__(self, connection: sa.Connection, revision: int, tally: Tally, know_how_known: bool) -> None:
        """`know_how_known`: whether the file of know-how was ever taken, this time included."""
        self.revision, self.tally = revision, tally
        self._know_how_known = know_how_known
        self._person = last_id(connection, tables.practitioners)
        self._activity = last_id(connection, tables.activities)
        self._place = last_id(connection, tables.organizations)
        self.left_places: set[int] = set()  # that lost an activity or an address
        self.bare_people: set[int] = set()  # of whom no file of people says anything any more
        self.may_be_bare: set[int] = set()  # that lost an address

    def new_person(self) -> int:
        """A number never given."""
        self._person += 1
        return self._person

    def new_place(self) -> int:
        """A number never given."""
        self._place += 1
        return self._place

    def standing(self, *, active: bool = True) -> Row:
        """The last columns of a row written now."""
        return (active, _EXTRACTION, self.revision)

    def people(self, connection: sa.Connection, dossiers: Dossiers, keys: Iterable[str]) -> None:
        """Reconcile the people of these keys with what is said of them, all of it or nothing."""
        wanted = sorted({*keys, *dossiers.named, *dossiers.also_named})
        held = _hold(connection, wanted, dossiers)
        places = Changes()
        numbers = self._places(dossiers, held, places)
        people, activities = Changes(), Changes()
        qualifications: dict[int, set[tuple[str, str, str]]] = {}
        cards: dict[int, dict[str, tuple[str, ...]]] = {}
        for key in wanted:
            before = held.people.get(key)
            named = dossiers.named.get(key) or dossiers.also_named.get(key)
            if before is None and named is None:
                continue
            person = before[0] if before is not None else self.new_person()
            had, shown = held.qualifications.get(person, set()), held.cards.get(person, {})
            has = self._qualifications(dossiers, key, had)
            shows = dict(dossiers.cards.get(key, {})) if dossiers.tells(Kind.CARDS, key) else shown
            if has != had:
                qualifications[person] = has
            if shows != shown:
                cards[person] = shows
            exercises = dossiers.exercises.get(key, {}) if dossiers.tells(Kind.ACTIVITIES, key) else None
            practises = self._activities(person, exercises, numbers, held.activities.get(person, []), activities)
            said = named is not None or bool(has or shows or practises)
            if not said:
                self.bare_people.add(person)
            row = self._person_row(person, before, named, dossiers, key, said)
            if before is None:
                people.new.append(row)
            elif row[:_REVISION] != before[:_REVISION] or has != had or shows != shown:
                people.change(before, row)
        self._write_people(connection, people, held, qualifications, cards)
        self.write(connection, tables.activities, activities)
        self.write(connection, tables.organizations, places)

    def _person_row(
        self, person: int, before: Row | None, named: Named | None, dossiers: Dossiers, key: str, said: bool
    ) -> Row:
        if before is None:
            assert named is not None  # noqa: S101 - somebody new is named by a line
            return practitioner_row(person, named, self.standing())
        if key in dossiers.named:
            row = practitioner_row(person, dossiers.named[key], self.standing())
            origin = before[_ORIGIN] if row[:_ACTIVE] == before[:_ACTIVE] else _EXTRACTION
            return (*row[:_ACTIVE], True, origin, self.revision)
        return (*before[:_ACTIVE], before[_ACTIVE] or said, before[_ORIGIN], self.revision)

    def _qualifications(
        self, dossiers: Dossiers, key: str, had: Set[tuple[str, str, str]]
    ) -> set[tuple[str, str, str]]:
        told: set[str] = set()
        for kind, qualified in _QUALIFICATIONS_OF.items():
            if dossiers.tells(kind, key):
                told |= qualified
        if not self._know_how_known and dossiers.tells(Kind.ACTIVITIES, key):
            told |= _QUALIFICATIONS_OF[Kind.KNOW_HOW]
        said = {each for each in dossiers.qualifications.get(key, ()) if each[0] in told}
        return said | {each for each in had if each[0] not in told}

    def _activities(
        self,
        person: int,
        exercises: Mapping[Exercise, None] | None,
        numbers: Mapping[str, int],
        before: Sequence[Row],
        changes: Changes,
    ) -> bool:
        """Reconcile a person's activities; whether one is left. Without exercises, nothing is said of them."""
        if exercises is None:
            return any(each[_ACTIVE] for each in before)
        wanted = [(numbers.get(each[0]), *each[1:]) for each in exercises]
        had: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
        for row in sorted(before, key=lambda each: not each[_ACTIVE]):
            had[row[3:10]].append(row)
        new = []
        for each in wanted:
            if same := had.get(each):
                row = same.pop(0)
                if not row[_ACTIVE]:
                    changes.change(row, (*row[:_ACTIVE], *self.standing()))
                    self.tally.activities.created += 1
            else:
                new.append(each)
        left = [row for rows in had.values() for row in rows if _may_go(row)]
        for each in new:
            other = next((row for row in left if row[3] == each[0]), None)
            if other is not None:
                left.remove(other)
                changes.change(other, (*other[:3], *each, *self.standing()))
                self.tally.activities.changed += 1
            else:
                self._activity += 1
                changes.new.append((self._activity, "", person, *each, *self.standing()))
                self.tally.activities.created += 1
        for row in left:
            changes.change(row, (*row[:_ACTIVE], False, row[_ORIGIN], self.revision))
            self.tally.activities.withdrawn += 1
            if row[3] is not None:
                self.left_places.add(row[3])
        return bool(wanted)

    def _places(self, dossiers: Dossiers, held: _Held, changes: Changes) -> dict[str, int]:
        """The numbers of the places that are named."""
        numbers = {}
        for technical_id, line in dossiers.places.items():
            columns = place_columns(technical_id, line)
            before = held.places.get(technical_id)
            if before is None:
                numbers[technical_id] = self.new_place()
                changes.new.append((numbers[technical_id], *columns, None, *self.standing()))
                self.tally.organizations.created += 1
                continue
            numbers[technical_id] = before[0]
            width = len(columns)
            row = (before[0], *columns[: _CATEGORY - 1], before[_CATEGORY], *columns[_CATEGORY:])  # no file has it
            if row != before[: width + 1] or not before[_ACTIVE]:
                changes.change(before, (*row, before[width + 1], *self.standing()))
                if before[_ACTIVE]:
                    self.tally.organizations.changed += 1
                else:
                    self.tally.organizations.created += 1
        return numbers

    def _write_people(
        self,
        connection: sa.Connection,
        people: Changes,
        held: _Held,
        qualifications: Mapping[int, set[tuple[str, str, str]]],
        cards: Mapping[int, dict[str, tuple[str, ...]]],
    ) -> None:
        active = {row[0]: row[_ACTIVE] for row in held.people.values()}
        for person, row in people.changed.items():
            if row[_ACTIVE] and not active[person]:
                self.tally.practitioners.created += 1
            else:
                self.tally.practitioners.changed += 1
        self.tally.practitioners.created += len(people.new)
        self.write(connection, tables.practitioners, people)
        for person, has in qualifications.items():
            had = held.qualifications.get(person, set())
            self.tally.qualifications.created += len(has - had)
            self.tally.qualifications.withdrawn += len(had - has)
        for person, shows in cards.items():
            shown = held.cards.get(person, {})
            self.tally.cards.created += len(shows.keys() - shown.keys())
            self.tally.cards.withdrawn += len(shown.keys() - shows.keys())
            self.tally.cards.changed += sum(number in shown and shown[number] != card for number, card in shows.items())
        _delete(connection, tables.qualifications, qualifications)
        rows = [(person, *each) for person, has in sorted(qualifications.items()) for each in sorted(has)]
        LOADS[tables.qualifications].run(connection, rows)
        _delete(connection, tables.cards, cards)
        shown_rows = [
            (person, number, *shows[number]) for person, shows in sorted(cards.items()) for number in sorted(shows)
        ]
        LOADS[tables.cards].run(connection, shown_rows)

    def write(self, connection: sa.Connection, table: sa.Table, changes: Changes) -> None:
        """Write rows, what they were kept first."""
        snapshots.keep(connection, self.revision, table.name, changes.changed)
        names = names_of(table)
        for columns, rows in changes.updates().items():
            RowUpdate(table, [names[place] for place in columns]).run(connection, rows)
        LOADS[table].run(connection, changes.new)

    def _withdraw(self, connection: sa.Connection, table: sa.Table, rows: Iterable[Row]) -> None:
        changes = Changes()
        for row in rows:
            changes.change(row, (*row[:_ACTIVE], False, row[_ORIGIN], self.revision))
        self.write(connection, table, changes)

    def end(self, connection: sa.Connection) -> None:
        """Withdraw the people and the places of whom nothing is left."""
        bare = self._bare(connection)
        found = [row for row in _rows(connection, tables.practitioners, bare) if _may_go(row)]
        self.tally.practitioners.changed -= sum(row[_REVISION] == self.revision for row in found)
        self.tally.practitioners.withdrawn += len(found)
        self._withdraw(connection, tables.practitioners, found)
        people = sorted(row[0] for row in found)
        boxes = [plain(tables.addresses, row) for row in _BOXES.run(connection, people)]
        self.tally.addresses.withdrawn += len(boxes)
        self.left_places |= {row[6] for row in boxes if row[6] is not None}
        self._withdraw(connection, tables.addresses, boxes)
        left = sorted(self.left_places)
        kept = {row[0] for select in (_PRACTISED, _WRITTEN_TO, _PARENTS) for row in select.run(connection, left)}
        gone = [row[0] for row in _ORIGINS.run(connection, sorted(set(left) - kept)) if row[1] == _EXTRACTION]
        places = _rows(connection, tables.organizations, gone)
        self.tally.organizations.withdrawn += len(places)
        self._withdraw(connection, tables.organizations, places)

    def _bare(self, connection: sa.Connection) -> list[int]:
        """The people of whom nothing is left."""
        unsure = sorted(self.may_be_bare - self.bare_people)
        told = {row[0] for select in _TOLD for row in select.run(connection, unsure)}
        bare = sorted(self.bare_people | (set(unsure) - told))
        return sorted(set(bare) - {row[0] for row in _ADDRESSED.run(connection, bare)})


_MOST = 10_000
_CATEGORY = names_of(tables.organizations).index("category")
_DELETES = {
    table: Statement(f"DELETE FROM {table.name} WHERE practitioner_id {{among}}")  # noqa: S608
    for table in (tables.qualifications, tables.cards)
}
_BY_ID = {table: _select(table, "id") for table in (tables.practitioners, tables.organizations, tables.activities)}


def _may_go(row: Row) -> bool:
    """Whether a row may be withdrawn because no file names it: not what an operator put there."""
    return bool(row[_ACTIVE]) and row[_ORIGIN] != Origin.OPERATOR.value


def _rows(connection: sa.Connection, table: sa.Table, numbers: list[int]) -> list[Row]:
    return [plain(table, row) for row in _BY_ID[table].run(connection, numbers)]


def _delete(connection: sa.Connection, table: sa.Table, people: Iterable[int]) -> None:
    wanted = sorted(people)
    for start in range(0, len(wanted), _MOST):
        _DELETES[table].run(connection, wanted[start : start + _MOST])


def _hold(connection: sa.Connection, keys: list[str], dossiers: Dossiers) -> _Held:
    people = {row[1]: plain(tables.practitioners, row) for row in _PEOPLE.run(connection, keys)}
    numbers = sorted(row[0] for row in people.values())
    qualifications: dict[int, set[tuple[str, str, str]]] = defaultdict(set)
    for row in _QUALIFICATIONS.run(connection, numbers):
        qualifications[row[0]].add(tuple(row[1:]))
    cards: dict[int, dict[str, tuple[str, ...]]] = defaultdict(dict)
    for row in _CARDS.run(connection, numbers):
        cards[row[0]][row[1]] = tuple(row[2:])
    activities: dict[int, list[Row]] = defaultdict(list)
    for row in _ACTIVITIES.run(connection, numbers):
        activities[row[2]].append(plain(tables.activities, row))
    places = {row[1]: plain(tables.organizations, row) for row in _PLACES.run(connection, sorted(dossiers.places))}
    return _Held(people, qualifications, cards, activities, places)


def plain(table: sa.Table, row: Sequence[Any]) -> Row:
    """A row of the driver's, with what is true or false as such: SQLite has numbers."""
    truths = _TRUTHS[table]
    if len(truths) == 1:
        return (*row[:_ACTIVE], bool(row[_ACTIVE]), *row[_ORIGIN:])
    return tuple(bool(each) if place in truths and each is not None else each for place, each in enumerate(row))


_TRUTHS = {
    table: {place for place, column in enumerate(table.columns) if isinstance(column.type, sa.Boolean)}
    for table in LOADS
}
