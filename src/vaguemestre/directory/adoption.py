"""How many professionals can be written to: counted from the register, and kept month by month.

What it keeps true: a month's figures are those of the last count in it; each professional counts once in a profession and
a department, so that figures add up; whom the red list hides is counted, and named nowhere.

Rules:
1. Practising: active, with an active activity. The profession is the one shown first; the department that of the first
   activity, empty where nobody says.
2. With an address: one that is personal (PER) and active, whoever publishes it.
3. An operator is what publishes the address: its name, or the domain where that is all that is known. Who has addresses at
   two operators counts at each; by operator, departments are not told apart.
4. The month is that of the register: of the extraction taken in last; where there was none, of the last change.
"""

import sqlalchemy as sa

from vaguemestre import clock
from vaguemestre.directory import snapshots, tables
from vaguemestre.directory.model import Kind
from vaguemestre.storage.database import Database

# month, profession, department, operator, practising, addressed
Row = tuple[str, str, str, str, int, int]
_COUNTED = "counted"
PROFESSIONS, DEPARTMENTS = "TRE_G15-ProfessionSante", "TRE_G09-DepartementOM"


def record(database: Database, *, again: bool = False) -> str:
    """Count, in the place of what was counted for the same month; gives the month, empty for an empty register.

    Where nothing changed since the last count, nothing is done, unless `again`.
    """
    month, revision, last = database.read(_standing)
    if month and (again or revision != last):
        counted = database.read(_count, month)
        database.write(_keep, month, revision, counted)
    return month


def months(connection: sa.Connection) -> list[str]:
    """The months that were counted, in order."""
    table = tables.adoption
    return list(connection.execute(sa.select(table.c.month).distinct().order_by(table.c.month)).scalars())


def rows(connection: sa.Connection, month: str = "", profession: str = "") -> list[Row]:
    """What was counted, of one month or of all, of one profession or of all."""
    table = tables.adoption
    chosen = sa.select(table).order_by(*table.primary_key)
    if month:
        chosen = chosen.where(table.c.month == month)
    if profession:
        chosen = chosen.where(table.c.profession == profession)
    return [tuple(row) for row in connection.execute(chosen)]


def words(connection: sa.Connection, system: str) -> dict[str, str]:
    """The words of a nomenclature's codes."""
    labels = tables.labels
    chosen = sa.select(labels.c.code, labels.c.label).where(labels.c.system == system)
    return {row.code: row.label for row in connection.execute(chosen)}


def _standing(connection: sa.Connection) -> tuple[str, int, int]:
    """The register's month, its revision, and the one that was counted last."""
    facts, revision = tables.facts, snapshots.latest(connection)
    last = connection.execute(sa.select(facts.c.value).where(facts.c.name == _COUNTED)).scalar()
    return _month(connection), revision, int(last or 0)


def _count(connection: sa.Connection, month: str) -> list[Row]:
    people, activities, places, addresses = (
        tables.practitioners,
        tables.activities,
        tables.organizations,
        tables.addresses,
    )
    first = (
        sa.select(activities.c.practitioner_id, sa.func.min(activities.c.id).label("id"))
        .where(activities.c.active)
        .group_by(activities.c.practitioner_id)
        .cte("first_activity")
    )
    personal = (addresses.c.active, addresses.c.kind == Kind.PERSON.value, addresses.c.practitioner_id.is_not(None))
    reachable = sa.select(addresses.c.practitioner_id).where(*personal).distinct().cte("reachable")
    department = sa.func.coalesce(places.c.department, "")
    by_place = (
        sa.select(people.c.profession, department, sa.func.count(), sa.func.count(reachable.c.practitioner_id))
        .select_from(people)
        .join(first, first.c.practitioner_id == people.c.id)
        .join(activities, activities.c.id == first.c.id)
        .join(places, places.c.id == activities.c.organization_id, isouter=True)
        .join(reachable, reachable.c.practitioner_id == people.c.id, isouter=True)
        .where(people.c.active)
        .group_by(people.c.profession, department)
    )
    operator = sa.case((addresses.c.operator != "", addresses.c.operator), else_=addresses.c.domain)
    by_operator = (
        sa.select(people.c.profession, operator, sa.func.count(sa.distinct(people.c.id)))
        .select_from(addresses)
        .join(people, people.c.id == addresses.c.practitioner_id)
        .join(first, first.c.practitioner_id == people.c.id)
        .where(people.c.active, *personal)
        .group_by(people.c.profession, operator)
    )
    counted: list[Row] = [(month, row[0], row[1], "", row[2], row[3]) for row in connection.execute(by_place)]
    counted += [(month, row[0], "", row[1], 0, row[2]) for row in connection.execute(by_operator)]
    return counted


def _month(connection: sa.Connection) -> str:
    """AAAA-MM; empty where nothing was ever written."""
    revisions = tables.revisions
    newest = sa.select(revisions.c.at, revisions.c.stamp).order_by(revisions.c.id.desc()).limit(1)
    # A register made of files is as old as they are, even where operators publish in it today.
    of_files = connection.execute(newest.where(revisions.c.stamp != "")).first()
    last = connection.execute(newest).first()
    if of_files is not None:
        return f"{of_files.stamp[:4]}-{of_files.stamp[4:6]}"
    return f"{clock.from_ms(last.at):%Y-%m}" if last is not None else ""


def _keep(connection: sa.Connection, month: str, revision: int, counted: list[Row]) -> None:
    table, facts = tables.adoption, tables.facts
    connection.execute(facts.delete().where(facts.c.name == _COUNTED))
    connection.execute(facts.insert().values(name=_COUNTED, value=str(revision)))
    connection.execute(table.delete().where(table.c.month == month))
    if counted:
        names = [column.name for column in table.columns]
        connection.execute(table.insert(), [dict(zip(names, row, strict=True)) for row in counted])
