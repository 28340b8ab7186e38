"""Addresses as the extraction gives them, and their bearers found in the register.

Rules:
1. The bearer of an address is the person its line names, at the structure it names if any; or the structure alone. Who is
   not in the register yet is put there with what the line says.
2. A structure is named by its FINESS, SIRET, RPPS-rang or technical identifier, with or without the figure that
   announces which (IdNat_Struct, §5.3).
3. One row for each address and bearer: the same address may have several bearers (169 had, in August 2026).
4. Of an address that its operator publishes here, its operator alone has a word to say: lines of it are passed over.
5. A row of an address carries the revision where it changed, and so does what it is shown with: the person, the
   activities of the person at that structure, or the structure.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from vaguemestre import clock
from vaguemestre.directory import snapshots, tables
from vaguemestre.directory.building import LOADS, Row, last_id, names_of, practitioner_row
from vaguemestre.directory.dossiers import Named
from vaguemestre.directory.model import Origin
from vaguemestre.directory.reconciliation import Changes, Reconciler, plain
from vaguemestre.documents.words import fold
from vaguemestre.storage.bulk import Statement

# The fields wanted of each line, in the order that is counted on here.
WANTED = (
    "Adresse BAL",  # 0
    "Type de BAL",
    "Identification nationale PP",
    "Type identifiant structure",
    "Identification Structure",
    "Service de rattachement",  # 5
    "Dématérialisation",
    "Civilité d'exercice",
    "Nom d'exercice",
    "Prénom d'exercice",
    "Code Profession",  # 10
    "Catégorie profession",
    "Raison Sociale structure BAL",
    "Enseigne commerciale structure BAL",
    "L2COMPLEMENTLOCALISATION structure BAL",
    "L3COMPLEMENTDISTRIBUTION structure BAL",  # 15
    "L4NUMEROVOIE structure BAL",
    "L4COMPLEMENTNUMEROVOIE structure BAL",
    "L4TYPEVOIE structure BAL",
    "L4LIBELLEVOIE structure BAL",
    "L5LIEUDITMENTION structure BAL",  # 20
    "L6LIGNEACHEMINEMENT structure BAL",
    "Code postal structure BAL",
    "Département structure BAL",
    "Pays structure BAL",
)
Line = tuple[str, ...]
_ACTIVE, _ORIGIN, _REVISION = -3, -2, -1
Bearers = tuple[int | None, int | None]

_PEOPLE = Statement("SELECT national_id, id FROM practitioners WHERE national_id {among_texts}")
# First those by their own identifier: of two structures with one FINESS, the one named for it.
_PLACES = tuple(
    Statement(f"SELECT {column}, id FROM organizations WHERE {column} {{among_texts}} ORDER BY id DESC")  # noqa: S608
    for column in ("siret", "finess", "technical_id")
)
_RANKS = Statement("SELECT rpps_rank, id FROM organizations WHERE rpps_rank {among_texts} AND rpps_rank <> ''")


def find(connection: sa.Connection, lines: Iterable[Line]) -> tuple[dict[str, int], dict[str, int]]:
    """The people named by lines, by national identifier, and the structures, by each of their identifiers."""
    wanted = {line[2] for line in lines if line[2]}
    people = dict(_pairs(_PEOPLE.run(connection, sorted(wanted))))
    named = sorted({each for line in lines for each in identifiers(line)})
    places: dict[str, int] = dict(_pairs(_RANKS.run(connection, named)))
    for select in _PLACES:
        places.update(_pairs(select.run(connection, named)))
    return people, places


def identifiers(line: Line) -> tuple[str, ...]:
    """The texts that may stand in the register for the structure that a line names, the likeliest first."""
    text = line[4]
    if not text:
        return ()
    if text[0] in "0134" and len(text) in (10, 15):  # announced: 1 FINESS, 3 SIRET, 4 RPPS-rang
        return (text[1:], text)
    return (text,)


def place_of(line: Line, places: Mapping[str, int]) -> int | None:
    """The structure that a line names, where it is known."""
    return next((places[each] for each in identifiers(line) if each in places), None)


def named(line: Line) -> Named:
    """What a line says of its person."""
    return (line[2], "", line[7], line[8], line[9], line[10], line[11])


def structure(line: Line) -> tuple[str, ...]:
    """What a line says of its structure: the columns of an organization from `technical_id` to `registrar`."""
    bare = identifiers(line)[0]
    said = line[3].strip().upper()
    finess = bare if len(bare) == 9 or said.startswith("FINESS") else ""
    siret = bare if not finess and (said.startswith(("SIRET", "3")) or (len(bare) == 14 and not said)) else ""
    rank = bare if not finess and not siret and len(bare) == 14 else ""
    technical = "F" + finess if finess else "C" + siret if siret else bare
    city = line[21].removeprefix(line[22]).strip()
    return (
        technical,
        finess,
        "",
        siret,
        siret[:9],
        rank,
        line[12],
        line[13],
        fold(line[12]),
        fold(" ".join(filter(None, line[16:20]))),
        "",
        "",
        "",
        line[14],
        line[16],
        line[17],
        line[18],
        line[19],
        line[20] or line[15],
        "",
        line[22],
        "",
        city,
        fold(city),
        line[23],
        line[24],
        "",
        "",
        "",
        "",
        "",
    )


def content(line: Line, bearers: Bearers) -> tuple[Any, ...]:
    """The columns of an address from `address` to `organization_id`, and what its line says beside: service, digitization."""
    address = line[0].strip()
    key = address.lower()
    paper = line[6].strip().lower()
    digitization = True if paper in _YES else False if paper in _NO else None
    return (address, key, key.rpartition("@")[2], line[1].strip().upper(), *bearers, line[5], digitization)


class AddressBuilder:
    """Writes the addresses of an edition that holds none yet, and those of their bearers that it lacks."""

    def __init__(self, connection: sa.Connection, revision: int) -> None:
        self._standing = (True, Origin.EXTRACTION.value, revision)
        self._person = last_id(connection, tables.practitioners)
        self._place = last_id(connection, tables.organizations)
        self._address = last_id(connection, tables.addresses)
        columns = (
            tables.addresses.c.address_key,
            tables.addresses.c.practitioner_id,
            tables.addresses.c.organization_id,
        )
        self._known = {hash(tuple(row)) for row in connection.execute(sa.select(*columns))}
        self._now = clock.now_ms()

    def write(self, connection: sa.Connection, lines: Sequence[Line]) -> None:
        """Write the addresses of some lines."""
        people, places = find(connection, lines)
        new_people: list[Row] = []
        new_places: list[Row] = []
        rows: list[Row] = []
        for line in lines:
            if line[2] and line[2] not in people:
                self._person += 1
                people[line[2]] = self._person
                new_people.append(practitioner_row(self._person, named(line), self._standing))
            place = place_of(line, places)
            if place is None and line[4]:
                self._place += 1
                place = places[identifiers(line)[0]] = self._place
                new_places.append((place, *structure(line), None, *self._standing))
            said = content(line, (people.get(line[2]), place))
            known = hash((said[1], said[4], said[5]))
            if known not in self._known:
                self._known.add(known)
                self._address += 1
                rows.append(_new_row(self._address, said, self._now, self._standing))
        LOADS[tables.practitioners].run(connection, new_people)
        LOADS[tables.organizations].run(connection, new_places)
        LOADS[tables.addresses].run(connection, rows)


class AddressReconciler:
    """Writes the differences between lines and the addresses that the register holds."""

    def __init__(self, connection: sa.Connection, change: Reconciler) -> None:
        self._change = change
        self._address = last_id(connection, tables.addresses)
        self._now = clock.now_ms()
        self._bearers: set[Bearers] = set()

    def write(self, connection: sa.Connection, lines: Sequence[Line], keys: Iterable[str]) -> None:
        """Reconcile the addresses of these keys with the lines there are of them, all of them or none."""
        people, places = find(connection, lines)
        self._make_bearers(connection, lines, people, places)
        said: dict[str, dict[Bearers, tuple[Any, ...]]] = defaultdict(dict)
        for line in lines:
            bearers = (people.get(line[2]), place_of(line, places))
            each = content(line, bearers)
            said[each[1]].setdefault(bearers, each)
        held: dict[str, list[Row]] = defaultdict(list)
        wanted = sorted({*keys, *said})
        for row in _ADDRESSES.run(connection, wanted):
            held[row[2]].append(plain(tables.addresses, row))
        changes = Changes()
        for key in wanted:
            self._reconcile(said.get(key, {}), held.get(key, []), changes)
        self._change.write(connection, tables.addresses, changes)

    def _reconcile(self, said: dict[Bearers, tuple[Any, ...]], held: Sequence[Row], changes: Changes) -> None:
        tally, standing = self._change.tally.addresses, self._change.standing()
        if any(row[_ORIGIN] == Origin.OPERATOR for row in held):
            said = {}
        had = {(row[5], row[6]): row for row in held if row[_ORIGIN] != Origin.OPERATOR}
        for bearers, each in said.items():
            before = had.pop(bearers, None)
            if before is None:
                before = next((row for other, row in had.items() if other not in said and other[0] == bearers[0]), None)
                if before is not None:
                    del had[before[5], before[6]]
                    self._touch(before)
                    self._leave(before)
            if before is None:
                self._address += 1
                row = _new_row(self._address, each, self._now, standing)
                changes.new.append(row)
                tally.created += 1
                self._touch(row)
                continue
            digitization = each[7]
            row = (before[0], *each[:7], *before[8:11], digitization, *before[12:_ACTIVE], *standing)
            if row[:_ACTIVE] != before[:_ACTIVE] or not before[_ACTIVE]:
                changes.change(before, row)
                if before[_ACTIVE]:
                    tally.changed += 1
                else:
                    tally.created += 1
                self._touch(row)
        for row in had.values():
            if row[_ACTIVE]:
                changes.change(row, (*row[:_ACTIVE], False, row[_ORIGIN], self._change.revision))
                tally.withdrawn += 1
                self._touch(row)
                self._leave(row)

    def _leave(self, row: Row) -> None:
        if row[5] is not None:
            self._change.may_be_bare.add(row[5])
        if row[6] is not None:
            self._change.left_places.add(row[6])

    def _touch(self, row: Row) -> None:
        self._bearers.add((row[5], row[6]))

    def _make_bearers(
        self, connection: sa.Connection, lines: Sequence[Line], people: dict[str, int], places: dict[str, int]
    ) -> None:
        new_people, new_places = Changes(), Changes()
        for line in lines:
            if line[2] and line[2] not in people:
                person = people[line[2]] = self._change.new_person()
                new_people.new.append(practitioner_row(person, named(line), self._change.standing()))
            if line[4] and place_of(line, places) is None:
                place = places[identifiers(line)[0]] = self._change.new_place()
                new_places.new.append((place, *structure(line), None, *self._change.standing()))
        self._change.write(connection, tables.practitioners, new_people)
        self._change.write(connection, tables.organizations, new_places)
        self._change.tally.practitioners.created += len(new_people.new)
        self._change.tally.organizations.created += len(new_places.new)

    def end(self, connection: sa.Connection) -> None:
        """Stamp what the addresses that changed are shown with."""
        snapshots.stamp_bearers(connection, self._change.revision, self._bearers)


def _new_row(number: int, said: tuple[Any, ...], now: int, standing: Row) -> Row:
    return (number, *said[:7], "", "", None, said[7], False, "", now, *standing)


_ADDRESSES = Statement(
    f"SELECT {', '.join(names_of(tables.addresses))} FROM addresses WHERE address_key {{among_texts}}"  # noqa: S608
)


def _pairs(rows: Sequence[Any]) -> list[tuple[str, int]]:
    return [(row[0], row[1]) for row in rows]


_YES = frozenset({"true", "o", "oui", "1", "vrai"})
_NO = frozenset({"false", "n", "non", "0", "faux"})
