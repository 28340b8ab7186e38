"""Putting the resources of a pull into the register, in one change.

What it keeps true: what the service withdraws is withdrawn here; nothing that an operator published is touched; what the
service does not tell (an authorization, the day a card was opposed) stays.

Rules:
1. When everything was pulled, what the register holds and the service does not is withdrawn: its withdrawals of before
   are no more told. Where more than a given share goes, however it is told, nothing is changed (`withdrawals`).
2. A person is known by the national identifier, a structure by its technical identifier, an activity by its number; the
   resource's own id, by which resources refer to each other, is kept beside (`counterparts`) and may change.
3. A resource that cannot be read is refused, counted and told; the others go on.
4. Devices and healthcare services, which nothing else gives, are kept as they come, their references turned into ours.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import msgspec
import sqlalchemy as sa

from vaguemestre import clock
from vaguemestre.directory import register, tables, withdrawals
from vaguemestre.directory.building import Tally
from vaguemestre.directory.changes import Change, Row, parts
from vaguemestre.directory.harvest import Harvest, State
from vaguemestre.directory.model import Origin
from vaguemestre.documents.fhir import reading
from vaguemestre.documents.fhir.mailboxes import Mailbox
from vaguemestre.documents.fhir.reading import OrganizationRead, PractitionerRead, PractitionerRoleRead, ResourceError
from vaguemestre.errors import VaguemestreError

_BATCH = 500
_MOST_TOLD = 1000
_CURSOR = "pulled"
_encode = msgspec.json.Encoder().encode
_Bearer = tuple[int | None, int | None]  # practitioner, organization


@dataclass(slots=True)
class Pulled:
    """What a pull did: `since` is 0 where everything was asked for; `refused` are the reasons, the first of them."""

    since: int
    revision: int = 0
    resources: dict[str, int] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    refused_count: int = 0
    refused: list[str] = field(default_factory=list)

    def refuse(self, kind: str, technical_id: str, error: VaguemestreError) -> None:
        """Count a resource that cannot be taken."""
        self.refused_count += 1
        if len(self.refused) < _MOST_TOLD:
            self.refused.append(f"{kind}/{technical_id}: {error.en}")


def take(connection: sa.Connection, harvest: Harvest, state: State, withdrawal_limit: float) -> Pulled:
    """Put what was fetched into the register, in this transaction."""
    done = Pulled(state.since, resources=dict(state.counts))
    change = Change(connection, Origin.NATIONAL_API)
    done.tally = change.tally
    before = register.counts(connection)
    _Taking(change, harvest, done, everything=not state.since).run()
    withdrawals.check(before, change.tally, withdrawal_limit)
    done.revision = change.end()
    facts = tables.facts
    connection.execute(facts.delete().where(facts.c.name == _CURSOR))
    connection.execute(facts.insert().values(name=_CURSOR, value=str(state.began)))
    return done


class _Numbers:
    """A set of numbers of rows: a bit each, since a country has millions."""

    def __init__(self) -> None:
        self._pieces: dict[int, bytearray] = {}

    def add(self, number: int) -> None:
        """Put one in."""
        piece = self._pieces.setdefault(number >> 16, bytearray(1 << 13))
        piece[(number & 0xFFFF) >> 3] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        piece = self._pieces.get(number >> 16)
        return piece is not None and bool(piece[(number & 0xFFFF) >> 3] >> (number & 7) & 1)


class _Taking:
    """The resources of one pull, taken kind after kind; of `everything`, what is not there is withdrawn."""

    def __init__(self, change: Change, harvest: Harvest, done: Pulled, *, everything: bool) -> None:
        self._change, self._connection, self._harvest, self._done = change, change.connection, harvest, done
        self._everything = everything
        self._now = clock.now_ms()
        self._last = {table: _last(self._connection, table) for table in _THINGS}
        self._seen = {table: _Numbers() for table in _THINGS}

    def run(self) -> None:
        """All of them, and what follows."""
        legal = self._number_structures()
        for batch in _batches(self._read("Organization", reading.organization)):
            self._structures(batch, legal)
        for people in _batches(self._read("Practitioner", reading.practitioner)):
            self._people(people)
        for roles in _batches(self._read("PractitionerRole", reading.practitioner_role)):
            self._roles(roles)
        for kind in ("Device", "HealthcareService"):
            for resources in _batches(self._harvest.read(kind)):
                self._resources(kind, resources)
        if self._everything:
            self._withdraw_unseen()

    def _read(self, kind: str, reader: Callable[[Any], Any]) -> Iterator[Any]:
        return read(self._harvest, kind, reader, self._done)

    def _number(self, table: sa.Table) -> int:
        self._last[table] += 1
        return self._last[table]

    def _number_structures(self) -> dict[int, str]:
        """Give each structure its number first, since any may be part of any; the FINESS of legal entities by number."""
        legal: dict[int, str] = {}
        for batch in _batches(read(self._harvest, "Organization", reading.organization, None)):
            numbers = self._numbers("Organization", tables.organizations, "technical_id", batch)
            for each in batch:
                if each.legal_finess:
                    legal[numbers[each.technical_id]] = each.legal_finess
        return legal

    def _numbers(self, kind: str, table: sa.Table, column: str, batch: Sequence[Any]) -> dict[str, int]:
        """The numbers of resources by technical id: known by their identifier, else by that id, else new."""
        identifiers = {each.technical_id: _identifier(each) for each in batch}
        by_id = counterparts(self._connection, kind, list(identifiers))
        chosen = sa.select(table.c[column], table.c.id)
        by_identifier: dict[str, int] = {}
        for part in parts(sorted({each for each in identifiers.values() if each})):
            for value, number in self._connection.execute(chosen.where(table.c[column].in_(part))):
                by_identifier[value] = number
        found: dict[str, int] = {}
        for technical_id, identifier in identifiers.items():
            number = by_identifier.get(identifier) if identifier else None
            if number is None:
                number = by_id.get(technical_id) or self._number(table)
                if identifier:
                    by_identifier[identifier] = number
            found[technical_id] = number
        self._note(kind, {each: number for each, number in found.items() if by_id.get(each) != number})
        return found

    def _note(self, kind: str, numbers: dict[str, int]) -> None:
        known = tables.counterparts
        for part in parts(list(numbers)):
            self._connection.execute(known.delete().where(known.c.type == kind, known.c.technical_id.in_(part)))
        if numbers:
            rows = [{"type": kind, "technical_id": each, "id": number} for each, number in numbers.items()]
            self._connection.execute(known.insert(), rows)

    def _structures(self, batch: Sequence[OrganizationRead], legal: dict[int, str]) -> None:
        table = tables.organizations
        numbers = counterparts(self._connection, "Organization", [each.technical_id for each in batch])
        parents = counterparts(self._connection, "Organization", [each.parent for each in batch if each.parent])
        held = {row["id"]: row for row in self._change.held(table, "id", numbers.values())}
        above = {row["id"]: row["legal_finess"] for row in self._change.held(table, "id", parents.values())}
        wanted: dict[int, Row] = {}
        for each in batch:
            number = numbers[each.technical_id]
            self._seen[table].add(number)
            row: Row = {"id": number, "technical_id": each.identifier, "active": each.active}
            if each.active:
                parent = parents.get(each.parent)
                row |= each.facts | {"parent_id": parent, "finess": each.finess, "siret": each.siret}
                row["siren"] = each.siren or each.siret[:9]
                if parent is not None:
                    row["legal_finess"] = legal.get(parent) or above.get(parent, "")
                elif each.legal_finess or number not in held:
                    row["legal_finess"] = each.legal_finess
            elif number in held:
                row |= {"name": each.facts["name"]} if each.facts["name"] else {}
            else:
                row |= each.facts | {"finess": each.finess, "legal_finess": each.legal_finess, "siret": each.siret}
            wanted[number] = row
        self._change.put(table, wanted.values(), held)
        boxes = [(None, numbers[each.technical_id], each.mailboxes) for each in batch]
        self._mailboxes(boxes, "organization_id", "practitioner_id")

    def _people(self, batch: Sequence[PractitionerRead]) -> None:
        table = tables.practitioners
        numbers = self._numbers("Practitioner", table, "national_id", batch)
        held = {row["id"]: row for row in self._change.held(table, "id", numbers.values())}
        wanted: dict[int, Row] = {}
        qualifications: dict[int, set[tuple[Any, ...]]] = {}
        shown: dict[int, tuple[tuple[str, str, str, str], ...]] = {}
        gone: list[int] = []
        for each in batch:
            number = numbers[each.technical_id]
            self._seen[table].add(number)
            row: Row = {"id": number, "national_id": each.national_id, "rpps": each.rpps, "active": each.active}
            if each.active:
                row |= {"civility": each.civility, "title": each.title, "family": each.family, "given": each.given}
                row |= _profession(each, held.get(number))
                qualifications[number] = set(each.qualifications)
                shown[number] = each.cards
            else:
                gone.append(number)
            wanted[number] = row
        authorized = {number: set[tuple[Any, ...]]() for number in qualifications}
        for row in self._change.held(tables.qualifications, "practitioner_id", qualifications):
            if row["what"] == "A":  # which the service does not show
                authorized[row["practitioner_id"]].add((row["what"], row["type"], row["code"]))
        self._change.put(table, wanted.values(), held)
        self._change.hold_sets(
            tables.qualifications, {number: found | authorized[number] for number, found in qualifications.items()}
        )
        opposed = {
            (row["practitioner_id"], row["number"]): row["opposed_on"]
            for row in self._change.held(tables.cards, "practitioner_id", shown)
        }  # which the service does not show either
        cards = {
            number: {(*card, opposed.get((number, card[0]), "")) for card in found} for number, found in shown.items()
        }
        self._change.hold_sets(tables.cards, cards)
        boxes = [(numbers[each.technical_id], None, each.mailboxes) for each in batch]
        self._mailboxes(boxes, "practitioner_id", "organization_id")
        self._withdraw_of(tables.addresses, "practitioner_id", gone)
        self._withdraw_of(tables.activities, "practitioner_id", gone)

    def _roles(self, batch: Sequence[PractitionerRoleRead]) -> None:
        table = tables.activities
        people = counterparts(self._connection, "Practitioner", [each.practitioner for each in batch])
        places = counterparts(self._connection, "Organization", [each.organization for each in batch])
        taken: list[PractitionerRoleRead] = []
        for each in batch:
            if each.active and each.practitioner not in people:
                self._done.refuse("PractitionerRole", each.technical_id, _nobody(each.practitioner))
            else:
                taken.append(each)
        self._adopt(taken, people, places)
        numbers = self._numbers("PractitionerRole", table, "identifier", taken)
        held = {row["id"]: row for row in self._change.held(table, "id", numbers.values())}
        practising = [people[each.practitioner] for each in taken if each.active]
        named = {row["id"]: row for row in self._change.held(tables.practitioners, "id", practising)}
        wanted: dict[int, Row] = {}
        boxes: dict[_Bearer, list[Mailbox]] = {}
        told: dict[_Bearer, int] = {}
        for each in taken:
            number = numbers[each.technical_id]
            before = held.get(number)
            if not each.active and before is None:
                continue
            self._seen[table].add(number)
            row: Row = {"id": number, "active": each.active}
            if each.active:
                person, where = people[each.practitioner], places.get(each.organization)
                row |= {"identifier": each.identifier, "practitioner_id": person, "organization_id": where}
                row |= {"mode": each.mode, "function": each.function, "genre": each.genre, "section": each.section}
                if before is None or before["practitioner_id"] != person:
                    row |= {"profession": named[person]["profession"], "category": named[person]["category"]}
                pair = (person, where)
            else:
                assert before is not None  # noqa: S101 - seen above
                pair = (before["practitioner_id"], before["organization_id"])
            told[pair] = told.get(pair, 0) + 1
            boxes.setdefault(pair, []).extend(each.mailboxes)
            wanted[number] = row
        self._change.put(table, wanted.values(), held)
        self._pairs(boxes, told)

    def _adopt(self, batch: Sequence[PractitionerRoleRead], people: dict[str, int], places: dict[str, int]) -> None:
        """Take activities that came without a number for those that have one now: same person, same place."""
        table = tables.activities
        known = counterparts(self._connection, "PractitionerRole", [each.technical_id for each in batch])
        new = [each for each in batch if each.active and each.identifier and each.technical_id not in known]
        rows = self._change.held(table, "practitioner_id", (people[each.practitioner] for each in new))
        free = [row for row in rows if not row["identifier"] and row["active"]]
        numbers: dict[str, int] = {}
        for each in new:
            person, where = people[each.practitioner], places.get(each.organization)
            alike = [row for row in free if (row["practitioner_id"], row["organization_id"]) == (person, where)]
            alike.sort(key=lambda row: (row["mode"] != each.mode, row["function"] != each.function))
            if alike:
                free.remove(alike[0])
                numbers[each.technical_id] = alike[0]["id"]
        self._note("PractitionerRole", numbers)

    def _mailboxes(
        self, bearers: Iterable[tuple[int | None, int | None, tuple[Mailbox, ...]]], column: str, without: str
    ) -> None:
        """Make the addresses of bearers as told; those of a bearer that are told no more are withdrawn."""
        wanted: dict[_Bearer, list[Mailbox]] = {(person, place): list(boxes) for person, place, boxes in bearers}
        numbers = {person if place is None else place for person, place in wanted}
        rows = [row for row in self._change.held(tables.addresses, column, numbers) if row[without] is None]
        self._addresses(wanted, rows, set(wanted))

    def _pairs(self, boxes: dict[_Bearer, list[Mailbox]], told: dict[_Bearer, int]) -> None:
        """As `_mailboxes`, for people at places. Where they do several things, one of which was told, none is withdrawn."""
        people = [person for person, _ in boxes if person is not None]
        rows = [
            row
            for row in self._change.held(tables.addresses, "practitioner_id", people)
            if (row["practitioner_id"], row["organization_id"]) in boxes and row["organization_id"] is not None
        ]
        activities: dict[_Bearer, int] = {}
        for row in self._change.held(tables.activities, "practitioner_id", people):
            if row["active"]:
                pair = (row["practitioner_id"], row["organization_id"])
                activities[pair] = activities.get(pair, 0) + 1
        whole = {pair for pair in boxes if activities.get(pair, 0) <= told[pair]}
        self._addresses(dict(boxes), rows, whole)

    def _addresses(
        self,
        wanted: dict[_Bearer, list[Mailbox]],
        rows: Sequence[Row],
        whole: set[_Bearer],
    ) -> None:
        keys = {each.address.lower() for boxes in wanted.values() for each in boxes}
        published = {
            row["address_key"]
            for row in self._change.held(tables.addresses, "address_key", keys)
            if row["origin"] == Origin.OPERATOR.value
        }
        held = {(row["address_key"], row["practitioner_id"], row["organization_id"]): row for row in rows}
        made: dict[tuple[str, int | None, int | None], Row] = {}
        for bearer, boxes in wanted.items():
            for box in boxes:
                key = (box.address.lower(), *bearer)
                if key[0] in published:
                    continue
                before = held.get(key)
                row = _address_row(box, bearer, before)
                if before is not None:
                    row["id"] = before["id"]
                else:
                    row["id"] = made[key]["id"] if key in made else self._number(tables.addresses)
                    row["published_at"] = self._now
                made[key] = row
                self._seen[tables.addresses].add(made[key]["id"])
        gone = [
            {"id": row["id"], "active": False, "practitioner_id": key[1], "organization_id": key[2]}
            for key, row in held.items()
            if key not in made and key[1:] in whole and row["active"] and row["origin"] != Origin.OPERATOR.value
        ]
        self._change.addresses([*made.values(), *gone], {row["id"]: row for row in rows})

    def _withdraw_of(self, table: sa.Table, column: str, numbers: Sequence[int]) -> None:
        rows = [
            row
            for row in self._change.held(table, column, numbers)
            if row["active"] and row["origin"] != Origin.OPERATOR.value
        ]
        self._withdraw(table, rows)

    def _withdraw(self, table: sa.Table, rows: Sequence[Row]) -> None:
        held = {row["id"]: row for row in rows}
        if table is tables.addresses:
            self._change.addresses(
                [{name: row[name] for name in ("id", "practitioner_id", "organization_id")} | {"active": False} for row in rows],
                held,
            )  # fmt: skip
        else:
            self._change.put(table, [{"id": number, "active": False} for number in held], held)

    def _withdraw_unseen(self) -> None:
        """Withdraw what is here and was not in everything."""
        for table, seen in self._seen.items():
            chosen = sa.select(table.c.id).where(table.c.active, table.c.origin != Origin.OPERATOR.value)
            gone = [number for number in self._connection.execute(chosen).scalars() if number not in seen]
            for part in parts(gone):
                self._withdraw(table, self._change.held(table, "id", part))

    def _resources(self, kind: str, batch: Sequence[dict[str, Any]]) -> None:
        table = tables.resources
        read: dict[str, tuple[bytes, bool]] = {}
        referred: dict[str, list[str]] = {"Practitioner": [], "Organization": [], "PractitionerRole": []}
        for each in batch:
            for of, technical_id in _references(each):
                referred[of].append(technical_id)
        numbers = {of: counterparts(self._connection, of, wanted) for of, wanted in referred.items()}
        for each in batch:
            try:
                technical_id = reading.technical_id(each, kind)
            except ResourceError as error:
                self._done.refuse(kind, str(each.get("id")), error)
                continue
            content = {name: value for name, value in each.items() if name != "meta"}
            profile = each.get("meta", {}).get("profile") if isinstance(each.get("meta"), dict) else None
            if profile:
                content["meta"] = {"profile": profile}
            read[technical_id] = (_encode(_translated(content, numbers)), reading.is_active(each))
        chosen = sa.select(table.c.technical_id, table.c.content, table.c.active).where(table.c.type == kind)
        for part in parts(list(read)):
            for technical_id, content, active in self._connection.execute(chosen.where(table.c.technical_id.in_(part))):
                if read[technical_id] == (content, active):
                    del read[technical_id]
        if not read:
            return
        revision = self._change.revision
        for part in parts(list(read)):
            self._connection.execute(table.delete().where(table.c.type == kind, table.c.technical_id.in_(part)))
        self._connection.execute(
            table.insert(),
            [
                {
                    "type": kind,
                    "technical_id": technical_id,
                    "content": content,
                    "active": active,
                    "origin": Origin.NATIONAL_API.value,
                    "revision": revision,
                }
                for technical_id, (content, active) in read.items()
            ],
        )


_THINGS = (tables.organizations, tables.practitioners, tables.activities, tables.addresses)


def cursor(connection: sa.Connection) -> int:
    """The service's time at the beginning of the last pull, Unix milliseconds; 0 where there was none."""
    found = connection.execute(sa.select(tables.facts.c.value).where(tables.facts.c.name == _CURSOR)).scalar()
    return int(found or 0)


def counterparts(connection: sa.Connection, kind: str, technical_ids: Sequence[str]) -> dict[str, int]:
    """The numbers of resources of a kind that are known by their technical ids."""
    table = tables.counterparts
    found: dict[str, int] = {}
    for part in parts(sorted(set(technical_ids))):
        chosen = sa.select(table.c.technical_id, table.c.id).where(table.c.type == kind, table.c.technical_id.in_(part))
        found |= {row.technical_id: row.id for row in connection.execute(chosen)}
    return found


def _last(connection: sa.Connection, table: sa.Table) -> int:
    return int(connection.execute(sa.select(sa.func.max(table.c.id))).scalar() or 0)


def read(harvest: Harvest, kind: str, reader: Callable[[Any], Any], done: Pulled | None) -> Iterator[Any]:
    """What was fetched of a kind, read; what cannot be is refused where `done` counts it."""
    for resource in harvest.read(kind):
        try:
            yield reader(resource)
        except ResourceError as error:
            if done is not None:
                done.refuse(kind, str(resource.get("id"))[:64], error)


def _batches(things: Iterable[Any]) -> Iterator[list[Any]]:
    """Some at a time, the last of those that bear the same technical id: a page may repeat what another gave."""
    remaining = iter(things)
    while batch := list(islice(remaining, _BATCH)):
        if isinstance(batch[0], dict):
            yield batch
        else:
            yield list({each.technical_id: each for each in batch}.values())


def _identifier(read: PractitionerRead | PractitionerRoleRead | OrganizationRead) -> str:
    return read.national_id if isinstance(read, PractitionerRead) else read.identifier


def _profession(person: PractitionerRead, before: Row | None) -> Row:
    """The profession shown first: the one that was, while it is among the qualifications."""
    held = [(code, category) for what, category, code in person.qualifications if what == "P"]
    if before is not None and (before["profession"], before["category"]) in held:
        return {}
    code, category = held[0] if held else ("", "")
    return {"profession": code, "category": category}


def _address_row(box: Mailbox, bearer: tuple[int | None, int | None], before: Row | None) -> Row:
    person, place = bearer
    row: Row = {
        "address": box.address,
        "practitioner_id": person,
        "organization_id": place,
        "kind": box.kind or (before or {}).get("kind") or ("PER" if person is not None else "ORG"),
        "rank": box.rank,
    }
    for name in ("service", "description", "responsible", "digitization", "red_list"):
        value = getattr(box, name)
        if value is not None:
            row[name] = value
    return row


def _references(element: Any) -> Iterator[tuple[str, str]]:
    if isinstance(element, dict):
        for name, value in element.items():
            if name == "reference" and isinstance(value, str):
                kind, _, technical_id = value.partition("/")
                if kind in ("Practitioner", "Organization", "PractitionerRole"):
                    yield kind, technical_id
            else:
                yield from _references(value)
    elif isinstance(element, list):
        for each in element:
            yield from _references(each)


_PREFIXES = {"Organization": "001-", "Practitioner": "003-", "PractitionerRole": "005-"}


def _translated(element: Any, numbers: dict[str, dict[str, int]]) -> Any:
    """An element whose references are to our resources."""
    if isinstance(element, list):
        return [_translated(each, numbers) for each in element]
    if not isinstance(element, dict):
        return element
    made = {name: _translated(value, numbers) for name, value in element.items()}
    reference = made.get("reference")
    if isinstance(reference, str):
        kind, _, technical_id = reference.partition("/")
        number = numbers.get(kind, {}).get(technical_id)
        if number is not None:
            made["reference"] = f"{kind}/{_PREFIXES[kind]}{number}"
    return made


def _nobody(technical_id: str) -> VaguemestreError:
    return ResourceError(
        f"It refers to Practitioner/{technical_id}, which the service did not give.",
        f"Elle renvoie à Practitioner/{technical_id}, que le service n'a pas donné.",
    )
