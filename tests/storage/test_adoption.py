"""Adoption: each professional once, shares of those practising, months side by side, and nobody named."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vaguemestre.directory import adoption, register, tables
from vaguemestre.directory.fictitious import edition
from vaguemestre.directory.fictitious.population import FLAWLESS, Fiction
from vaguemestre.directory.model import Activity, Address, Kind, Organization, Origin, Practitioner
from vaguemestre.directory.register import Place
from vaguemestre.statistics.adoption import By, Figure, NothingCountedError, Report, report
from vaguemestre.storage.database import Database


@pytest.fixture(params=["sqlcipher", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty register in use."""
    if request.param == "sqlcipher":
        where = Place(tmp_path / "directory", bytes(range(32)))
        yield from _empty(where)
        return
    server = request.getfixturevalue("postgresql")
    name = server.create()
    yield from _empty(Place(tmp_path / "directory", b"", server.url(name)))
    server.drop(name)


def _empty(where: Place) -> Iterator[Database]:
    where.replace(where.next())
    found = where.open()
    yield found
    found.close()


def person(number: int, profession: str = "40", active: bool = True) -> Practitioner:
    national = f"8{number:011d}"
    return Practitioner(
        number, national, national[1:], "MME", "DR", "X", "Y", profession, "C", active, Origin.EXTRACTION, 1
    )


def activity(number: int, of: int, at: int | None, active: bool = True) -> Activity:
    return Activity(number, "", of, at, "40", "C", "L", "", "", "", active, Origin.EXTRACTION, 1)


def place(number: int, department: str) -> Organization:
    texts = [""] * 24
    return Organization(
        number, f"R{number}", *texts[:20], department, *texts[:6], None, True, Origin.EXTRACTION, 1
    )  # fmt: skip


def address(
    number: int,
    of: int | None,
    domain: str,
    operator: str = "",
    kind: Kind = Kind.PERSON,
    red: bool = False,
    active: bool = True,
) -> Address:
    return Address(
        number,
        f"a{number}@{domain}",
        kind,
        of,
        None,
        "",
        "",
        "",
        None,
        None,
        red,
        operator,
        1,
        active,
        Origin.EXTRACTION,
        1,
    )


def fill(connection: sa.Connection, stamp: str = "202610010300") -> None:
    register.begin(connection, Origin.EXTRACTION, stamp)
    register.put(
        connection,
        place(1, "75"), place(2, "2A"), place(3, ""),
        person(1), activity(1, 1, 1), activity(2, 1, 2), address(1, 1, "a.fr"), address(2, 1, "a.fr"), address(3, 1, "b.fr"),
        person(2), activity(3, 2, 2), address(4, 2, "b.fr", "Ordre", red=True),
        person(3), activity(4, 3, None), address(5, 3, "b.fr", active=False), address(6, 3, "b.fr", kind=Kind.PRACTICE),
        person(4), activity(5, 4, 1, active=False), address(7, 4, "a.fr"),
        person(5, active=False), activity(6, 5, 1), address(8, 5, "a.fr"),
        person(6, "10"), activity(7, 6, 3), address(9, 6, "a.fr"),
        address(10, None, "a.fr", kind=Kind.ORGANIZATION),
    )  # fmt: skip


def figures(found: Report) -> dict[str, tuple[int, int]]:
    return {each.key: (each.practising, each.addressed) for each in found.figures}


def test_each_professional_counts_once(opened: Database) -> None:
    opened.write(fill)
    assert adoption.record(opened) == "2026-10"
    by_profession = opened.read(report, By.PROFESSION)
    assert figures(by_profession) == {"10": (1, 1), "40": (3, 2)}
    assert by_profession.total == Figure("", "Total", 4, 3)
    assert [each.share for each in by_profession.figures] == [1.0, 2 / 3]
    assert figures(opened.read(report, By.DEPARTMENT)) == {"75": (1, 1), "2A": (1, 1), "": (2, 1)}
    assert figures(opened.read(report, By.DEPARTMENT, "", "40")) == {"75": (1, 1), "2A": (1, 1), "": (1, 0)}
    # Who has addresses at two operators counts at each; the share is of all who practise.
    assert figures(opened.read(report, By.OPERATOR)) == {"a.fr": (4, 2), "b.fr": (4, 1), "Ordre": (4, 1)}
    assert figures(opened.read(report, By.OPERATOR, "", "40")) == {"a.fr": (3, 1), "b.fr": (3, 1), "Ordre": (3, 1)}


def test_the_red_list_is_in_the_figure_and_named_nowhere(opened: Database) -> None:
    opened.write(fill)
    adoption.record(opened)
    for by in By:
        assert "a4@b.fr" not in repr(opened.read(report, by))
    before = opened.read(report, By.DEPARTMENT)

    def show(connection: sa.Connection) -> None:
        connection.execute(tables.addresses.update().values(red_list=False))

    opened.write(show)
    adoption.record(opened, again=True)
    assert opened.read(report, By.DEPARTMENT) == before


def test_months_stand_side_by_side(opened: Database) -> None:
    opened.write(fill)
    adoption.record(opened)
    opened.write(lambda connection: register.put(connection, person(7), activity(8, 7, 1), address(11, 7, "a.fr")))
    assert adoption.record(opened) == "2026-10"  # nothing changed, as far as revisions say: not counted again
    assert opened.read(report, By.PROFESSION).total.practising == 4
    opened.write(register.begin, Origin.EXTRACTION, "202611010300")
    opened.write(register.begin, Origin.OPERATOR)  # published later: the month is still that of the files
    assert adoption.record(opened) == "2026-11"
    found = opened.read(report, By.PROFESSION)
    assert found.month == "2026-11"
    assert [(each.key, each.practising, each.addressed) for each in found.history] == [
        ("2026-10", 4, 3),
        ("2026-11", 5, 4),
    ]
    assert opened.read(report, By.PROFESSION, "2026-10").total.practising == 4
    history = opened.read(report, By.PROFESSION, "", "40").history
    assert [(each.practising, each.addressed) for each in history] == [(3, 2), (4, 3)]
    with pytest.raises(NothingCountedError, match="2026-10, 2026-11") as refused:
        opened.read(report, By.PROFESSION, "2025-12")
    assert "2025-12" in refused.value.fr


def test_an_empty_register_has_no_figures(opened: Database) -> None:
    assert adoption.record(opened) == ""
    with pytest.raises(NothingCountedError, match="no month yet"):
        opened.read(report, By.PROFESSION)


def test_the_dentists_figure_is_the_one_their_order_published(tmp_path: Path) -> None:
    where = Place(tmp_path / "directory", bytes(range(32)))
    edition.make(where, Fiction(12_000, defects=FLAWLESS))
    opened = where.open()
    adoption.record(opened)
    found = {each.key: each for each in opened.read(report, By.PROFESSION).figures}
    opened.close()
    assert found["40"].label == "Chirurgien-Dentiste"
    assert found["40"].share == pytest.approx(0.203, abs=0.005)
    assert set(found) >= {"10", "21", "40", "50", "60", "70", "80", "91"}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["10", "40"]), st.integers(0, 3), st.integers(0, 3)), max_size=12))
def test_figures_add_up(tmp_path_factory: pytest.TempPathFactory, people: list[tuple[str, int, int]]) -> None:
    """Whoever practises at any number of places, with any number of addresses."""
    assume(any(places for _, places, _ in people))
    where = Place(tmp_path_factory.mktemp("directory"), bytes(range(32)))
    where.replace(where.next())
    opened = where.open()

    def write(connection: sa.Connection) -> None:
        register.begin(connection, Origin.EXTRACTION, "202610010300")
        register.put(
            connection, *(place(number, department) for number, department in enumerate(["75", "13", "2B"], 1))
        )
        for number, (profession, places, boxes) in enumerate(people, 1):
            register.put(connection, person(number, profession))
            register.put(connection, *(activity(number * 10 + each, number, each + 1) for each in range(places)))
            register.put(connection, *(address(number * 10 + each, number, f"{each}.fr") for each in range(boxes)))

    opened.write(write)
    adoption.record(opened)
    reports = {by: opened.read(report, by) for by in By}
    opened.close()
    practising = sum(places > 0 for _, places, _ in people)
    addressed = sum(places > 0 and boxes > 0 for _, places, boxes in people)
    for by, found in reports.items():
        assert (found.total.practising, found.total.addressed) == (practising, addressed)
        if by is not By.OPERATOR:
            assert sum(each.practising for each in found.figures) == practising
            assert sum(each.addressed for each in found.figures) == addressed
        assert all(0 <= each.share <= 1 for each in found.figures)
