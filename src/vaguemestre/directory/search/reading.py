"""The register read as records: all of it in one pass, or those of what changed.

What it keeps true: records come in the order of their numbers, each once and whole, from the reader's snapshot; rows are
streamed, so that the memory used does not depend on how many there are.

Rules: a place is that of an activity in force; a structure has a record where it has an address, a FINESS or a SIRET (a
practice that is nothing but where somebody works is found by who works there).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from vaguemestre.directory import tables
from vaguemestre.directory.search.records import Mailbox, Person, Place, Structure

_PAGE = 2000
_IDS = 500

_people = tables.practitioners.c
_qualifications = tables.qualifications.c
_activities = tables.activities.c
_places = tables.organizations.c
_addresses = tables.addresses.c

_PLACE = (
    _places.id, _places.name, _places.sign, _places.number, _places.repetition, _places.street_type, _places.street,
    _places.postcode, _places.city, _places.department, _places.finess, _places.siret, _places.sector,
)  # fmt: skip
_MAILBOX = (
    _addresses.address, _addresses.kind, _addresses.rank, _addresses.service, _addresses.description,
    _addresses.operator, _addresses.origin, _addresses.published_at, _addresses.revision,
)  # fmt: skip
_SHOWN = (_addresses.active.is_(sa.true()), _addresses.red_list.is_(sa.false()))


def people(connection: sa.Connection, ids: Iterable[int] | None = None) -> Iterator[Person]:
    """Every person, or those of `ids`, in the order of their ids."""
    for chosen in _chunks(ids):
        yield from _people_of(connection, chosen)


def structures(connection: sa.Connection, ids: Iterable[int] | None = None) -> Iterator[Structure]:
    """Every structure that has a record, or those of `ids` that have, in the order of their ids."""
    for chosen in _chunks(ids):
        yield from _structures_of(connection, chosen)


def _chunks(ids: Iterable[int] | None) -> "Iterator[Sequence[int] | None]":
    if ids is None:
        yield None
    else:
        wanted = sorted(set(ids))
        yield from (wanted[start : start + _IDS] for start in range(0, len(wanted), _IDS))


def _people_of(connection: sa.Connection, ids: Sequence[int] | None) -> Iterator[Person]:
    persons = sa.select(
        _people.id, _people.national_id, _people.rpps, _people.civility, _people.title, _people.family, _people.given,
        _people.active, _people.profession, _people.origin, _people.revision,
    ).order_by(_people.id)  # fmt: skip
    entitled = (
        sa.select(_qualifications.practitioner_id, _qualifications.what, _qualifications.code)
        .where(_qualifications.what.in_(("P", "K")))
        .order_by(_qualifications.practitioner_id)
    )
    practising = (
        sa.select(_activities.practitioner_id, _activities.profession, *_PLACE)
        .outerjoin_from(tables.activities, tables.organizations, _places.id == _activities.organization_id)
        .where(_activities.active.is_(sa.true()))
        .order_by(_activities.practitioner_id, _activities.id)
    )
    written_to = (
        sa.select(_addresses.practitioner_id, *_MAILBOX, *_PLACE)
        .outerjoin_from(tables.addresses, tables.organizations, _places.id == _addresses.organization_id)
        .where(_addresses.practitioner_id.is_not(None), *_SHOWN)
        .order_by(_addresses.practitioner_id, _addresses.id)
    )
    if ids is not None:
        persons = persons.where(_people.id.in_(ids))
        entitled = entitled.where(_qualifications.practitioner_id.in_(ids))
        practising = practising.where(_activities.practitioner_id.in_(ids))
        written_to = written_to.where(_addresses.practitioner_id.in_(ids))
    qualified, active, addressed = (_Groups(_stream(connection, each)) for each in (entitled, practising, written_to))
    for row in _stream(connection, persons):
        yield _person(row, qualified.of(row[0]), active.of(row[0]), addressed.of(row[0]))


def _person(row: Any, qualified: list[Any], practising: list[Any], addressed: list[Any]) -> Person:
    id_, national_id, rpps, civility, title, family, given, active, profession, origin, revision = row
    if not active:
        return Person(
            id_, national_id, rpps, civility, title, family, given, False, [profession], [], [], [], origin, revision
        )
    professions = {profession: None} if profession else {}
    know_how: dict[str, None] = {}
    for _, what, code in qualified:
        (professions if what == "P" else know_how)[code] = None
    numbers: dict[int, int] = {}
    places: list[Place] = []
    for each in practising:
        if each[1]:
            professions[each[1]] = None
        _placed(each[2:], numbers, places)
    mailboxes = [_mailbox(each[1:10], _placed(each[10:], numbers, places)) for each in addressed]
    mailboxes.sort(key=_preference)
    return Person(
        id_, national_id, rpps, civility, title, family, given, True, list(professions), list(know_how), places, mailboxes,
        origin, revision,
    )  # fmt: skip


def _structures_of(connection: sa.Connection, ids: Sequence[int] | None) -> Iterator[Structure]:
    boxes = (
        sa.select(_addresses.organization_id, *_MAILBOX)
        .where(_addresses.organization_id.is_not(None), _addresses.practitioner_id.is_(None), *_SHOWN)
        .order_by(_addresses.organization_id, _addresses.id)
    )
    own = sa.select(_places.technical_id, _places.origin, _places.revision, *_PLACE).order_by(_places.id)
    own = own.where(_places.active.is_(sa.true()))
    if ids is not None:
        boxes = boxes.where(_addresses.organization_id.in_(ids))
        own = own.where(_places.id.in_(ids))
    addressed = _Groups(_stream(connection, boxes))
    for row in _stream(connection, own):
        place = _place(row[3:])
        found = addressed.of(place.organization_id)
        if found or place.finess or place.siret:
            mailboxes = sorted((_mailbox(each[1:], 0) for each in found), key=_preference)
            yield Structure(place.organization_id, row[0], True, [place], mailboxes, row[1], row[2])


def _place(row: Any) -> Place:
    id_, name, sign, number, repetition, street_type, street, postcode, city, department, finess, siret, sector = row
    line = " ".join(filter(None, (number + repetition, street_type, street)))
    return Place(id_, name, sign, line, postcode, city, department, finess, siret, sector)


def _placed(row: Any, numbers: dict[int, int], places: list[Place]) -> int:
    """The index of a place in a record, added where it is not there yet; -1 for none."""
    if row[0] is None:
        return -1
    number = numbers.setdefault(row[0], len(places))
    if number == len(places):
        places.append(_place(row))
    return number


def _mailbox(row: Any, place: int) -> Mailbox:
    address, kind, rank, service, description, operator, origin, published_at, revision = row
    return Mailbox(address, kind, place, rank, service, description, operator, origin, published_at, revision)


def _preference(mailbox: Mailbox) -> tuple[bool, int]:
    return mailbox.rank is None, mailbox.rank or 0


def _stream(connection: sa.Connection, statement: "sa.Select[Any]") -> Iterator[Any]:
    streamed = {"stream_results": True, "yield_per": _PAGE}
    for page in connection.execute(statement, execution_options=streamed).partitions():
        yield from page


class _Groups:
    """Rows sorted by their first column, taken group by group in step with something else that is sorted."""

    def __init__(self, rows: Iterator[Any]) -> None:
        self._rows = rows
        self._next: Any = next(rows, None)

    def of(self, key: int) -> list[Any]:
        """The rows of this key; those of lower ones are passed over."""
        found = []
        row = self._next
        while row is not None and row[0] <= key:
            if row[0] == key:
                found.append(row)
            row = next(self._rows, None)
        self._next = row
        return found
