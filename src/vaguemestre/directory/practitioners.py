"""A person of the register, by their national identifier: who they are, what they may practise, where, at which addresses.

Rule: what stands on the red list is told to nobody but the operator that serves it, which asks for it (`red_listed`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from vaguemestre.directory import tables
from vaguemestre.directory.model import (
    Activity,
    Address,
    Kind,
    Organization,
    Origin,
    Practitioner,
    Qualification,
    Qualified,
)
from vaguemestre.storage.bulk import BulkSelect

_STANDING = BulkSelect("SELECT national_id, active, given, family FROM practitioners WHERE national_id IN {keys}")


@dataclass(frozen=True, slots=True)
class Known:
    """What the register knows of a person; activities with their places, active ones only."""

    practitioner: Practitioner
    qualifications: tuple[Qualification, ...]
    activities: tuple[tuple[Activity, Organization | None], ...]
    addresses: tuple[Address, ...]

    @property
    def professions(self) -> tuple[str, ...]:
        """Codes of TRE_G15, the one shown first first."""
        first = self.practitioner.profession
        found = (each.code for each in self.qualifications if each.what is Qualified.PROFESSION)
        return tuple(dict.fromkeys(code for code in (first, *found) if code))


def find(connection: sa.Connection, national_id: str, *, red_listed: bool = False) -> Known | None:
    """The person of an identifier (8 + RPPS, 0 + ADELI), withdrawn ones included; None where there is none."""
    row = connection.execute(
        sa.select(tables.practitioners).where(tables.practitioners.c.national_id == national_id)
    ).one_or_none()
    if row is None:
        return None
    practitioner = _practitioner(row)
    return Known(
        practitioner,
        tuple(_qualification(each) for each in _of(connection, tables.qualifications, practitioner.id)),
        tuple(_activities(connection, practitioner.id)),
        tuple(
            _address(each)
            for each in _of(connection, tables.addresses, practitioner.id)
            if each.active and (red_listed or not each.red_list)
        ),
    )


def standing(connection: sa.Connection, national_ids: Sequence[str]) -> dict[str, tuple[bool, str, str]]:
    """Of many people at once: whether they practise, their given and family names. Who is not there is not in it."""
    return {row[0]: (bool(row[1]), row[2], row[3]) for row in _STANDING.run(connection, national_ids)}


def without_address(connection: sa.Connection, profession: str, count: int) -> list[Practitioner]:
    """Some people of a profession (TRE_G15) who practise and have no address, the same each time."""
    rows, addressed = tables.practitioners, tables.addresses.c
    theirs = sa.select(addressed.id).where(addressed.practitioner_id == rows.c.id, addressed.active).exists()
    wanted = sa.select(rows).where(rows.c.profession == profession, rows.c.active, rows.c.rpps != "", ~theirs)
    return [_practitioner(row) for row in connection.execute(wanted.order_by(rows.c.id).limit(count))]


def label(connection: sa.Connection, system: str, code: str) -> str:
    """The words of a code, as the sources give them, or the code itself."""
    wanted = (tables.labels.c.system == system) & (tables.labels.c.code == code)
    return connection.execute(sa.select(tables.labels.c.label).where(wanted)).scalar() or code


def _of(connection: sa.Connection, table: sa.Table, practitioner_id: int) -> Any:
    return connection.execute(sa.select(table).where(table.c.practitioner_id == practitioner_id))


def _activities(connection: sa.Connection, practitioner_id: int) -> Any:
    theirs = tables.activities.c.practitioner_id == practitioner_id
    rows = connection.execute(sa.select(tables.activities).where(theirs, tables.activities.c.active)).all()
    wanted = {row.organization_id for row in rows if row.organization_id is not None}
    places = connection.execute(sa.select(tables.organizations).where(tables.organizations.c.id.in_(wanted)))
    known = {row.id: _organization(row) for row in places}
    return [(_activity(row), known.get(row.organization_id)) for row in rows]


def _values(row: Any, kind: type) -> dict[str, Any]:
    return {name: getattr(row, name) for name in kind.__dataclass_fields__}  # type: ignore[attr-defined]


def _practitioner(row: Any) -> Practitioner:
    return Practitioner(**_values(row, Practitioner) | {"origin": Origin(row.origin)})


def _qualification(row: Any) -> Qualification:
    return Qualification(row.practitioner_id, Qualified(row.what), row.type, row.code)


def _activity(row: Any) -> Activity:
    return Activity(**_values(row, Activity) | {"origin": Origin(row.origin)})


def _organization(row: Any) -> Organization:
    return Organization(**_values(row, Organization) | {"origin": Origin(row.origin)})


def _address(row: Any) -> Address:
    return Address(**_values(row, Address) | {"origin": Origin(row.origin), "kind": Kind(row.kind)})
