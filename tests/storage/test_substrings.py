"""The index of runs of letters follows the register, on both stores, and never shows what is hidden."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from simulators import small_register
from simulators.small_register import SHOWN, address, organization, practitioner
from vaguemestre.directory import listing, register
from vaguemestre.directory.listing import Key
from vaguemestre.directory.model import Origin
from vaguemestre.directory.register import Place, Registers, Thing
from vaguemestre.directory.substrings import Run, Substrings

KEY = bytes(range(1, 33))


@pytest.fixture(params=["sqlcipher", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A place for a register, with the small one in it."""
    if request.param == "sqlcipher":
        found = Place(tmp_path / "directory", bytes(range(32)))
        small_register.build(found)
        yield found
        return
    server = request.getfixturevalue("postgresql")
    name = server.create()
    found = Place(tmp_path / "directory", b"", server.url(name))
    small_register.build(found)
    yield found
    server.drop(name)


class Desk:
    """A register, its index, and changes of the one that the other must follow."""

    def __init__(self, where: Place) -> None:
        self.where = where
        self.registers = Registers(where)
        self.index = Substrings(where.folder, KEY)

    def refresh(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        self.index.refresh(self.registers.current(), goes_on)

    def change(self, *things: Thing) -> None:
        def write(connection: sa.Connection) -> None:
            revision = register.begin(connection, Origin.OPERATOR)
            register.put(connection, *(_at(thing, revision) for thing in things))

        self.registers.current().write(write)

    def found(self, letters: str, column: str = "name") -> list[int]:
        return self.index.current().read(self.index.find, Run(column, letters).expression(), 0, 100)

    def every(self) -> set[int]:
        return {row.id for row in self.index.current().read(self.index.follow, 0, 100)}


def _at(thing: Thing, revision: int) -> Thing:
    return replace(thing, revision=revision)  # type: ignore[call-arg]


@pytest.fixture
def desk(where: Place) -> Iterator[Desk]:
    made = Desk(where)
    yield made
    made.index.close()
    made.registers.close()


def test_what_is_listed_is_found_by_any_run_of_letters(desk: Desk) -> None:
    assert not desk.index.ready
    desk.refresh()
    assert desk.every() == SHOWN
    assert desk.found("dup") == [2, 3, 4, 8, 9]
    assert desk.found(" dup") == [2, 3, 8, 9]
    assert desk.found("fevre-no") == [1]
    assert desk.found("dupont jean") == [2]
    assert desk.found("cardio", "mail") == [8]
    assert desk.found("bordeaux", "city") == [4, 8, 9]


def test_lines_say_what_the_register_does(desk: Desk) -> None:
    desk.refresh()
    (line,) = desk.index.current().read(desk.index.lines, [1])
    assert (line.given, line.family, line.rpps, line.know_how) == ("Zoé", "LEFÈVRE-NOËL", "99700000001", ("SCD01",))
    assert (line.name, line.city, line.elsewhere, line.digitization) == ("CABINET DES LILAS", "LYON", False, True)
    assert desk.index.words["TRE_G15-ProfessionSante", "40"] == "Chirurgien-Dentiste"


def test_a_red_list_is_honoured_at_the_next_refresh(desk: Desk) -> None:
    desk.refresh()
    desk.change(address(2, "jean.dupont", of=2, at=1, red_list=True))
    desk.refresh()
    assert desk.every() == SHOWN - {2}
    assert desk.found("dupont") == []
    desk.change(address(2, "jean.dupont", of=2, at=1))
    desk.refresh()
    assert desk.found("dupont") == [2]


def test_what_changes_of_a_bearer_or_a_place_changes_its_lines(desk: Desk) -> None:
    desk.refresh()
    desk.change(practitioner(2, "Jean", "DURAND"))
    desk.refresh()
    assert (desk.found("dupont"), desk.found("durand")) == ([], [2])
    desk.change(organization(2, "CLINIQUE DU PORT", "BORDEAUX", finess="330000002"))
    desk.refresh()
    assert desk.found("dupuytren") == []
    assert desk.found("clinique", "structure") == [4, 8, 9]
    desk.change(practitioner(4, "Marc", "LEDUPLEIX", active=False))
    desk.refresh()
    assert desk.found("ledupleix") == []


def test_another_edition_makes_another_file_and_leaves_none_behind(desk: Desk) -> None:
    desk.refresh()
    small_register.build(desk.where, [practitioner(1, "Anne", "NOUVELLE"), address(1, "anne.nouvelle", of=1)])
    desk.refresh()
    assert desk.every() == {1}
    files = {path.name for path in desk.where.folder.glob("substrings-*.db")}
    assert len(files) == 1


def test_a_file_half_made_is_made_again(desk: Desk) -> None:
    desk.refresh(lambda: False)
    assert not desk.index.ready
    desk.refresh()
    assert desk.every() == SHOWN


def test_it_serves_again_after_a_restart_and_a_damaged_file_is_made_again(desk: Desk) -> None:
    desk.refresh()
    desk.index.close()
    (path,) = desk.where.folder.glob("substrings-*.db")
    before = path.stat().st_ino
    again = Desk(desk.where)
    again.refresh()
    assert path.stat().st_ino == before
    assert again.every() == SHOWN
    again.index.close()
    path.write_bytes(b"x" * 8192)
    once_more = Desk(desk.where)
    once_more.refresh()
    assert once_more.every() == SHOWN
    for each in (again, once_more):
        each.index.close()
        each.registers.close()


def test_keys(desk: Desk) -> None:
    def keyed(key: Key, value: str) -> list[int]:
        return desk.registers.current().read(listing.keyed, key, value, 100)

    assert keyed(Key.ADDRESS, "JEAN.DUPONT@annuaire.mssante.fr") == [2]
    assert keyed(Key.RPPS, "99700000002") == [2, 7]
    assert keyed(Key.NATIONAL_ID, "899700000001") == [1]
    assert keyed(Key.FINESS, "330000002") == [4, 8, 9]
    assert keyed(Key.STRUCTURE, "F690000001") == [1, 2, 5, 6, 7]
    assert keyed(Key.ID, "3") == [3]
    assert keyed(Key.ID, "x") == keyed(Key.SIRET, "1") == []
