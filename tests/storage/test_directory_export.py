"""Export: read back it is what was there, but for whom the red list hides and what was withdrawn."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from vaguemestre.directory import export, importation, register, tables
from vaguemestre.directory.export import Choice
from vaguemestre.directory.fictitious import edition
from vaguemestre.directory.fictitious.population import FLAWLESS, Fiction
from vaguemestre.directory.model import Address, Kind, Origin, Practitioner
from vaguemestre.directory.register import Place


@pytest.fixture(params=["sqlcipher", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlcipher":
        yield Place(tmp_path / "directory", bytes(range(32)))
        return
    server = request.getfixturevalue("postgresql")
    name = server.create()
    yield Place(tmp_path / "directory", b"", server.url(name))
    server.drop(name)


EVERYTHING = Choice()


def exported(where: Place, choice: Choice = EVERYTHING) -> list[str]:
    opened = where.open()
    try:
        return opened.read(lambda connection: list(export.lines(connection, choice)))
    finally:
        opened.close()


def boxes(where: Place) -> set[tuple[str, str, str]]:
    addresses, people = tables.addresses, tables.practitioners
    chosen = sa.select(addresses.c.address, addresses.c.kind, people.c.national_id)
    chosen = chosen.join(people, people.c.id == addresses.c.practitioner_id, isouter=True).where(addresses.c.active)
    opened = where.open()
    try:
        return {tuple(row) for row in opened.read(lambda connection: connection.execute(chosen).all())}
    finally:
        opened.close()


def test_what_is_exported_is_read_back(where: Place, tmp_path: Path) -> None:
    edition.make(where, Fiction(3000, defects=FLAWLESS))
    file = tmp_path / "Extraction_Correspondance_MSSante_202601050312.txt"
    lines = exported(where)
    file.write_text("\n".join([export.header(), *lines]) + "\n", "utf-8")
    other = Place(tmp_path / "other", bytes(range(32)))
    summary = importation.run(other, [file])
    assert summary.refusals.count == 0
    assert boxes(other) == boxes(where)
    assert len(lines) > 500
    dentists = exported(where, Choice(profession="40"))
    assert dentists
    assert {line.split("|")[14] for line in dentists} == {"Chirurgien-Dentiste"}
    domain = lines[0].split("|")[1].partition("@")[2]
    assert {line.split("|")[1].partition("@")[2] for line in exported(where, Choice(domain=domain.upper()))} == {domain}


def test_the_red_list_and_what_was_withdrawn_are_in_no_file(where: Place) -> None:
    where.replace(where.next())
    opened = where.open()

    def fill(connection: sa.Connection) -> None:
        register.begin(connection, Origin.OPERATOR)
        for number, active in ((1, True), (2, False)):
            national = f"8{number:011d}"
            person = Practitioner(
                number, national, national[1:], "M", "", "X", "Y", "40", "C", active, Origin.OPERATOR, 1
            )
            register.put(connection, person)
        for number, (bearer, red, active) in enumerate(
            [(1, False, True), (1, True, True), (1, False, False), (2, False, True), (None, True, True)], 1
        ):
            box = Address(
                number, f"a{number}@x.fr", Kind.PERSON, bearer, None, "a|b\nc", "", "", None, None, red, "", 1, active,
                Origin.OPERATOR, 1,
            )  # fmt: skip
            register.put(connection, box)

    opened.write(fill)
    opened.close()
    (line,) = exported(where)
    assert line.startswith("PER|a1@x.fr|8|00000000001|800000000001|||a b c|M|X|Y|C|")
    assert line.count("|") == 30


@settings(max_examples=20, deadline=None)
@given(service=st.text(max_size=30), red=st.booleans())
def test_no_text_breaks_a_line(tmp_path_factory: pytest.TempPathFactory, service: str, red: bool) -> None:
    where = Place(tmp_path_factory.mktemp("directory"), bytes(range(32)))
    where.replace(where.next())
    opened = where.open()
    text = service.encode("utf-8", "replace").decode().replace("\x00", "")
    one = Address(
        1, "a@x.fr", Kind.ORGANIZATION, None, None, text, "", "", None, None, red, "", 1, True, Origin.OPERATOR, 1
    )
    opened.write(register.put, one)
    opened.close()
    found = exported(where)
    assert len(found) == (not red)
    for line in found:
        assert line.count("|") == 30
        assert len(line.splitlines()) == 1
