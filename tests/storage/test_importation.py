"""Extraction files taken into the register, on both stores."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from vaguemestre.directory import importation, tables
from vaguemestre.directory.fictitious import files
from vaguemestre.directory.fictitious.population import Fiction
from vaguemestre.directory.intake import Summary, Terms
from vaguemestre.directory.register import Place

PEOPLE = 300


@pytest.fixture(params=["sqlcipher", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Where a register may stand, with nothing there yet."""
    if request.param == "sqlcipher":
        yield Place(tmp_path / "directory", bytes(range(32)))
        return
    server = request.getfixturevalue("postgresql")
    name = server.create()
    yield Place(tmp_path / "directory", b"", server.url(name))
    server.drop(name)


def made(folder: Path, **fiction: int) -> list[Path]:
    """Files of a fiction."""
    return list(files.write(folder, Fiction(PEOPLE, **fiction)).files)


def rows(where: Place, table: sa.Table) -> list[sa.Row[tuple[object, ...]]]:
    """What a table holds."""
    opened = where.open()
    try:
        return list(opened.read(lambda connection: connection.execute(sa.select(table)).all()))
    finally:
        opened.close()


def lines(path: Path) -> list[list[str]]:
    """The fields of a file's lines, the header's first."""
    return [line.split("|") for line in path.read_text("utf-8").split("\n") if line]


def of(paths: list[Path], part: str) -> Path:
    """The file of that name."""
    return next(path for path in paths if part in path.name)


def test_everybody_named_is_there_with_what_is_said_of_them(where: Place, tmp_path: Path) -> None:
    paths = made(tmp_path / "files")
    summary: Summary = importation.run(where, paths)
    said = lines(of(paths, "Personne_activite"))
    header, body = said[0], said[1:]
    national, family = header.index("Identification nationale PP"), header.index("Nom d'exercice")
    found = {each.national_id: each for each in rows(where, tables.practitioners)}
    assert {line[national] for line in body} <= set(found)
    assert all(found[line[national]].family == line[family] for line in body)
    assert summary.tally.practitioners.created == len(found) >= PEOPLE
    boxes = lines(of(paths, "MSSante"))
    place = boxes[0].index("Adresse BAL")
    assert {line[place] for line in boxes[1:]} == {each.address for each in rows(where, tables.addresses)}
    assert summary.refusals.count == 0


THINGS = {
    tables.practitioners: (
        "national_id",
        "civility",
        "title",
        "family",
        "given",
        "family_key",
        "profession",
        "category",
    ),
    tables.organizations: (
        "technical_id",
        "finess",
        "siret",
        "name",
        "name_key",
        "sector",
        "street",
        "city",
        "postcode",
    ),
}


def said(where: Place) -> dict[str, set[tuple[object, ...]]]:
    """What the register says, whatever the numbers of its rows: only what is active."""
    found: dict[str, set[tuple[object, ...]]] = {}
    people = {each.id: each.national_id for each in rows(where, tables.practitioners)}
    places = {each.id: each.technical_id for each in rows(where, tables.organizations)}
    for table, columns in THINGS.items():
        found[table.name] = {
            tuple(getattr(each, name) for name in columns) for each in rows(where, table) if each.active
        }
    found["activities"] = {
        (people[each.practitioner_id], places.get(each.organization_id), *each[4:10])
        for each in rows(where, tables.activities)
        if each.active
    }
    found["qualifications"] = {(people[each[0]], *each[1:]) for each in rows(where, tables.qualifications)}
    found["cards"] = {(people[each[0]], *each[1:]) for each in rows(where, tables.cards)}
    found["addresses"] = {
        (each.address, each.kind, people.get(each.practitioner_id), places.get(each.organization_id), each.service)
        for each in rows(where, tables.addresses)
        if each.active
    }
    found["spellings"] = {
        (people[each.id], each.field, each.key)
        for each in rows(where, tables.spellings)
        if any(row[0] == people[each.id] for row in found["practitioners"])
    }
    found["passages"] = {tuple(each) for each in rows(where, tables.passages)}
    return found


def test_a_difference_gives_what_all_of_it_would_give(where: Place, tmp_path: Path) -> None:
    importation.run(where, made(tmp_path / "first"))
    later = made(tmp_path / "later", day=300)
    before = said(where)
    summary = importation.run(where, later, terms=Terms(accept_withdrawals=True))
    assert not summary.full
    whole = Place(tmp_path / "whole", bytes(32))
    importation.run(whole, later)
    assert said(where) == said(whole)
    assert said(where) != before


def everything(where: Place) -> dict[str, object]:
    """All rows, but those that say that files were read."""
    apart = (tables.revisions, tables.readings)
    return {table.name: rows(where, table) for table in tables.metadata.sorted_tables if table not in apart}


def test_what_has_not_changed_is_left_alone(where: Place, tmp_path: Path) -> None:
    paths = made(tmp_path / "files")
    importation.run(where, paths)
    before = everything(where)
    for terms in (Terms(), Terms(rebuild=True)):
        summary = importation.run(where, paths, terms=terms)
        assert all((each.created, each.changed, each.withdrawn) == (0, 0, 0) for _, each in summary.tally.named())
    assert everything(where) == before
