"""Addresses as a directory lists them: each with its bearer, their profession and their place, on one line.

What it keeps true: an address that is withdrawn, or on the red list, or whose bearer is withdrawn, is never listed.
The order is that of the addresses' identifiers.

A person's address without a structure is shown with the place of their first activity, since homonyms are told apart by
where they practise; `organization_id` then is None, and `elsewhere` true.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec
import sqlalchemy as sa

from vaguemestre.directory.model import Qualified
from vaguemestre.directory.tables import activities, addresses, labels, organizations, practitioners, qualifications

_AT_ONCE = 500


class Listed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One line. Texts are empty where the register has none; `organization_id` is that of the address."""

    id: int
    address: str
    kind: str
    service: str
    description: str
    responsible: str
    rank: int | None
    digitization: bool | None
    operator: str
    practitioner_id: int | None
    national_id: str
    rpps: str
    civility: str
    title: str
    family: str
    given: str
    profession: str
    category: str
    know_how: tuple[str, ...]
    organization_id: int | None
    elsewhere: bool
    technical_id: str
    finess: str
    siret: str
    rpps_rank: str
    name: str
    sign: str
    recipient: str
    point: str
    number: str
    repetition: str
    street_type: str
    street: str
    mention: str
    cedex: str
    postcode: str
    city: str
    department: str
    country: str
    phone: str
    fax: str


def names(line: Listed) -> tuple[str, ...]:
    """What an address is called: a person in both orders, a structure with its service."""
    if line.family:
        if not line.given:
            return (line.family,)
        return (f"{line.given} {line.family}", f"{line.family} {line.given}")
    structure = line.sign or line.name
    if structure and line.service:
        return (f"{structure} - {line.service}",)
    return (structure or line.service or line.description or line.address,)


def is_person(line: Listed) -> bool:
    """Whether its entry is an inetOrgPerson."""
    return bool(line.family)


class Key(StrEnum):
    """What an address is found by, exactly."""

    ID = "id"
    ADDRESS = "address"
    RPPS = "rpps"
    NATIONAL_ID = "national id"
    FINESS = "finess"
    SIRET = "siret"
    STRUCTURE = "technical id"


_FIRST_PLACE = (
    sa.select(sa.func.min(activities.c.organization_id))
    .where(activities.c.practitioner_id == addresses.c.practitioner_id, activities.c.active)
    .scalar_subquery()
)
_PRACTITIONER = ("national_id", "rpps", "civility", "title", "family", "given", "profession", "category")
_ORGANIZATION = (
    *("technical_id", "finess", "siret", "rpps_rank", "name", "sign", "recipient", "point", "number", "repetition"),
    *("street_type", "street", "mention", "cedex", "postcode", "city", "department", "country", "phone", "fax"),
)
_OWN = ("id", "address", "kind", "service", "description", "responsible", "rank", "digitization", "operator")
_SHOWN = (
    addresses.c.active
    & ~addresses.c.red_list
    & sa.func.coalesce(practitioners.c.active, sa.true())
    & sa.func.coalesce(organizations.c.active, sa.true())
)
_LISTED = (
    sa.select(
        *(addresses.c[name] for name in _OWN),
        addresses.c.practitioner_id,
        *(practitioners.c[name] for name in _PRACTITIONER),
        addresses.c.organization_id,
        *(organizations.c[name] for name in _ORGANIZATION),
    )
    .select_from(
        addresses.outerjoin(practitioners, practitioners.c.id == addresses.c.practitioner_id).outerjoin(
            organizations, organizations.c.id == sa.func.coalesce(addresses.c.organization_id, _FIRST_PLACE)
        )
    )
    .where(_SHOWN)
    .order_by(addresses.c.id)
)
_AT_PERSON = 1 + len(_OWN)
_AT_STRUCTURE = _AT_PERSON + len(_PRACTITIONER)


def after(connection: sa.Connection, last: int, limit: int) -> list[Listed]:
    """The next addresses after one."""
    return _lines(connection, _LISTED.where(addresses.c.id > last).limit(limit))


def listed(connection: sa.Connection, numbers: Sequence[int]) -> list[Listed]:
    """Those of these addresses that are listed."""
    found: list[Listed] = []
    for start in range(0, len(numbers), _AT_ONCE):
        found += _lines(connection, _LISTED.where(addresses.c.id.in_(numbers[start : start + _AT_ONCE])))
    return found


def keyed(connection: sa.Connection, key: Key, value: str, limit: int) -> list[int]:
    """The first addresses that have this value, whether they are listed or not; any case of the address's."""
    match key:
        case Key.ID:
            wanted = addresses.c.id == int(value) if value.isascii() and value.isdigit() else sa.false()
        case Key.ADDRESS:
            wanted = addresses.c.address_key == value.lower()
        case Key.RPPS:
            wanted = _borne_by(practitioners.c.rpps == value)
        case Key.NATIONAL_ID:
            wanted = _borne_by(practitioners.c.national_id == value)
        case Key.FINESS:
            wanted = _placed_in(organizations.c.finess == value)
        case Key.SIRET:
            wanted = _placed_in(organizations.c.siret == value)
        case Key.STRUCTURE:
            wanted = _placed_in(organizations.c.technical_id == value)
    return list(
        connection.execute(sa.select(addresses.c.id).where(wanted).order_by(addresses.c.id).limit(limit)).scalars()
    )


def changed(connection: sa.Connection, revision: int, limit: int) -> list[int] | None:
    """The addresses whose line a change after this revision may have altered; None where they are more than `limit`."""
    own = sa.select(addresses.c.id).where(addresses.c.revision > revision)
    people = sa.select(practitioners.c.id).where(practitioners.c.revision > revision)
    busy = sa.select(activities.c.practitioner_id).where(activities.c.revision > revision)
    places = sa.select(organizations.c.id).where(organizations.c.revision > revision)
    there = sa.select(activities.c.practitioner_id).where(activities.c.organization_id.in_(places))
    found: set[int] = set()
    for wanted in (
        own,
        sa.select(addresses.c.id).where(addresses.c.practitioner_id.in_(people)),
        sa.select(addresses.c.id).where(addresses.c.practitioner_id.in_(busy)),
        sa.select(addresses.c.id).where(addresses.c.organization_id.in_(places)),
        sa.select(addresses.c.id).where(addresses.c.organization_id.is_(None), addresses.c.practitioner_id.in_(there)),
    ):
        found.update(connection.execute(wanted.limit(limit + 1)).scalars())
        if len(found) > limit:
            return None
    return sorted(found)


def words_of_codes(connection: sa.Connection) -> dict[tuple[str, str], str]:
    """What codes mean: by nomenclature and code."""
    rows = connection.execute(sa.select(labels.c.system, labels.c.code, labels.c.label))
    return {(system, code): label for system, code, label in rows}


def _borne_by(who: "sa.ColumnElement[bool]") -> "sa.ColumnElement[bool]":
    return addresses.c.practitioner_id.in_(sa.select(practitioners.c.id).where(who))


def _placed_in(where: "sa.ColumnElement[bool]") -> "sa.ColumnElement[bool]":
    return addresses.c.organization_id.in_(sa.select(organizations.c.id).where(where))


def _lines(connection: sa.Connection, wanted: "sa.Select[tuple[object, ...]]") -> list[Listed]:
    rows = [tuple(row) for row in connection.execute(wanted)]
    people = sorted({row[_AT_PERSON - 1] for row in rows if row[_AT_PERSON - 1] is not None})
    know_how: dict[int, list[str]] = {}
    for start in range(0, len(people), _AT_ONCE):
        skilled = sa.select(qualifications.c.practitioner_id, qualifications.c.code).where(
            qualifications.c.practitioner_id.in_(people[start : start + _AT_ONCE]),
            qualifications.c.what == Qualified.KNOW_HOW.value,
        )
        for person, code in connection.execute(skilled.order_by(qualifications.c.code)):
            know_how.setdefault(person, []).append(code)
    return [_line(row, know_how) for row in rows]


def _line(row: tuple[object, ...], know_how: dict[int, list[str]]) -> Listed:
    person, structure = row[_AT_PERSON - 1], row[_AT_STRUCTURE]
    skills = tuple(know_how.get(person, ())) if isinstance(person, int) else ()
    place = row[_AT_STRUCTURE + 1 :]
    values: list[Any] = [*row[:_AT_PERSON], *(value or "" for value in row[_AT_PERSON:_AT_STRUCTURE])]
    values += [skills, structure, structure is None and place[0] is not None, *(value or "" for value in place)]
    return Listed(*values)  # columns are selected in the order of the fields
