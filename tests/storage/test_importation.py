"""Extraction files taken into the register, on both stores."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from vaguemestre.directory import importation, tables
from vaguemestre.directory.fictitious import files
from vaguemestre.directory.fictitious.population import Fiction
from vaguemestre.directory.importation import Summary
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
