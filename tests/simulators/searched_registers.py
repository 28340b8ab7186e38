"""Small registers to search: people, places and addresses written one by one, and an index that follows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import sqlalchemy as sa

from vaguemestre.directory import register
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
from vaguemestre.directory.register import Place, Thing
from vaguemestre.directory.search import building
from vaguemestre.directory.search.answers import Answer, Found
from vaguemestre.directory.search.building import Refreshed
from vaguemestre.directory.search.finder import Criteria, Finder
from vaguemestre.directory.search.index import Shelf
from vaguemestre.storage.database import Database

KEY = bytes(range(32))
FROM = Origin.EXTRACTION


def practitioner(
    number: int, family: str, given: str = "Zoé", profession: str = "40", *, title: str = "DR", active: bool = True
) -> Practitioner:
    """Somebody, by number."""
    rpps = f"{99700000000 + number}"
    return Practitioner(
        number, f"8{rpps}", rpps, "MME", title, family, given, profession, "C", active, FROM, revision=1
    )


def organization(number: int, name: str, city: str, postcode: str, *, sign: str = "", finess: str = "") -> Organization:
    """A structure, by number."""
    return Organization(
        number, f"F{number:09}", finess, "", "", "", "", name, sign, "SA07", "", "", "", "12", "", "R", "DE LA PAIX", "", "",
        postcode, "", city, postcode[:2], "F", "", "", "", "", "", None, True, FROM, revision=1,
    )  # fmt: skip


def activity(number: int, who: int, where: int | None, *, profession: str = "", active: bool = True) -> Activity:
    """Somebody practising somewhere."""
    return Activity(number, "", who, where, profession, "C", "L", "", "GENR01", "", active, FROM, revision=1)


def address(
    number: int, text: str, who: int | None = None, where: int | None = None, *, kind: Kind = Kind.PERSON,
    service: str = "", description: str = "", rank: int | None = None, red_list: bool = False, active: bool = True,
    operator: str = "", origin: Origin = FROM,
) -> Address:  # fmt: skip
    """An address and its bearer."""
    return Address(
        number, text, kind, who, where, service, description, "", rank, None, red_list, operator, 1_760_000_000_000, active,
        origin, revision=1,
    )  # fmt: skip


def know_how(who: int, code: str) -> Qualification:
    """A speciality of somebody."""
    return Qualification(who, Qualified.KNOW_HOW, "S", code)


@dataclass
class Searched:
    """A register, the index made from it and a finder over both. Call it to search."""

    place: Place
    shelf: Shelf
    register: Database
    finder: Finder
    opened: list[Database] = field(default_factory=list)

    def __call__(
        self, text: str, *, near: str = "", limit: int = 10, criteria: Criteria | None = None, **more: str
    ) -> list[Found]:
        return self.answer(text, near=near, limit=limit, criteria=criteria or Criteria(**more)).results

    def answer(self, text: str, *, near: str = "", limit: int = 10, criteria: Criteria | None = None) -> Answer:
        """The whole answer."""
        return self.finder.search(text, near=near, limit=limit, criteria=criteria or Criteria())

    def names(self, text: str, **more: str) -> list[str]:
        """The names found."""
        return [found.name for found in self(text, **more)]

    def change(self, *things: Thing) -> Refreshed:
        """Write things as a revision of their own, and have the index follow."""

        def write(connection: sa.Connection) -> None:
            revision = register.begin(connection, FROM, "202611260300")
            register.put(connection, *(stamped(thing, revision) for thing in things))

        self.register.write(write)
        return self.refresh()

    def refresh(self, *, whole: bool = False) -> Refreshed:
        """Bring the index to the register's last revision."""
        return building.refresh(self.register, self.shelf, whole=whole)


def stamped(thing: Thing, revision: int) -> Thing:
    """A thing as of a revision, where it says one."""
    return replace(thing, revision=revision) if hasattr(thing, "revision") else thing


def build(place: Place, *things: Thing, fill: Callable[[sa.Connection], None] | None = None) -> None:
    """Make a register of these things, and put it in its place."""
    built = place.next()

    def write(connection: sa.Connection) -> None:
        register.begin(connection, FROM, "202611250300")
        register.put(connection, *things)
        if fill is not None:
            fill(connection)

    built.write(write)
    place.replace(built)


@contextmanager
def searched(place: Place, folder: Path, *things: Thing) -> Iterator[Searched]:
    """A register of these things, indexed."""
    build(place, *things)
    shelf = Shelf(folder / "index", KEY)
    opened = place.open()
    finder = Finder(shelf)
    try:
        found = Searched(place, shelf, opened, finder)
        found.refresh()
        yield found
    finally:
        finder.close()
        opened.close()
