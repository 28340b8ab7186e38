"""Extraction files taken into the register, on both stores."""

import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from vaguemestre.directory import importation, register, tables
from vaguemestre.directory.fictitious import files
from vaguemestre.directory.fictitious.population import Fiction
from vaguemestre.directory.intake import Summary, Terms, Unwatched
from vaguemestre.directory.model import Origin
from vaguemestre.directory.register import Place
from vaguemestre.directory.withdrawals import WithdrawalsError
from vaguemestre.errors import ConfigurationError

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


def changed(path: Path, target: Path, change: Callable[[list[str]], list[str]]) -> Path:
    """A copy of a file with other lines."""
    header, *body = path.read_text("utf-8").removesuffix("\n").split("\n")
    target.mkdir(exist_ok=True)
    (target / path.name).write_text("\n".join([header, *change(body)]) + "\n", "utf-8")
    return target / path.name


def test_the_order_of_lines_is_of_no_matter(where: Place, tmp_path: Path) -> None:
    paths = made(tmp_path / "files")
    importation.run(where, paths)
    before = said(where)
    mixed = [changed(path, tmp_path / "mixed", lambda body: random.Random(1).sample(body, len(body))) for path in paths]
    for terms in (Terms(), Terms(rebuild=True)):
        summary = importation.run(where, mixed, terms=terms)
        assert summary.tally.practitioners.created == summary.tally.practitioners.withdrawn == 0
    other = Place(tmp_path / "other", bytes(32))
    importation.run(other, mixed)
    for found in (said(where), said(other)):
        assert {name: found[name] for name in found if name != "passages"} == {
            name: before[name] for name in before if name != "passages"
        }


def test_too_many_withdrawals_change_nothing_until_accepted(where: Place, tmp_path: Path) -> None:
    paths = made(tmp_path / "files")
    importation.run(where, paths)
    before = {**everything(where), "readings": rows(where, tables.readings), "revisions": rows(where, tables.revisions)}
    half = [changed(path, tmp_path / "half", lambda body: body[: len(body) // 2]) for path in paths]
    with pytest.raises(WithdrawalsError, match=r"withdraw \d+ of \d+ practitioners"):
        importation.run(where, half)
    after = {**everything(where), "readings": rows(where, tables.readings), "revisions": rows(where, tables.revisions)}
    assert after == before
    summary = importation.run(where, half, terms=Terms(accept_withdrawals=True))
    assert summary.tally.practitioners.withdrawn > PEOPLE * 0.4
    whole = Place(tmp_path / "whole", bytes(32))
    importation.run(whole, half)
    for name in ("activities", "qualifications", "cards"):
        assert said(where)[name] == said(whole)[name]
    assert people(where) == people(whole)


def people(where: Place) -> set[str]:
    """Those whom the register names."""
    return {each.national_id for each in rows(where, tables.practitioners) if each.active}


def test_who_is_withdrawn_keeps_the_number_and_gets_it_back(where: Place, tmp_path: Path) -> None:
    paths = made(tmp_path / "files")
    importation.run(where, paths)
    numbers = {each.national_id: each.id for each in rows(where, tables.practitioners)}
    gone = lines(of(paths, "Personne_activite"))[5][2]
    without = [
        changed(path, tmp_path / "without", lambda body: [line for line in body if f"|{gone}|" not in line])
        for path in paths
    ]
    importation.run(where, without)
    found = {each.national_id: each for each in rows(where, tables.practitioners)}
    assert not found[gone].active
    assert not any(
        each.active
        for table in (tables.activities, tables.addresses)
        for each in rows(where, table)
        if each.practitioner_id == numbers[gone]
    )
    kept = [each for each in rows(where, tables.superseded) if each.thing == "practitioners"]
    assert [each.id for each in kept] == [numbers[gone]]
    importation.run(where, paths)
    assert {each.national_id: each.id for each in rows(where, tables.practitioners) if each.active} == numbers


def test_an_address_that_an_operator_publishes_is_the_operator_s(where: Place, tmp_path: Path) -> None:
    paths = made(tmp_path / "files")
    importation.run(where, paths)
    opened = where.open()
    before = next(each for each in rows(where, tables.addresses) if each.practitioner_id)
    table = tables.addresses

    def publish(connection: sa.Connection) -> None:
        revision = register.begin(connection, Origin.OPERATOR)
        values = {"origin": "operator", "red_list": True, "service": "Accueil", "revision": revision}
        connection.execute(table.update().where(table.c.id == before.id).values(values))

    opened.write(publish)
    opened.close()
    published = next(each for each in rows(where, table) if each.id == before.id)
    closed = [
        changed(path, tmp_path / "closed", lambda body: [line for line in body if before.address not in line])
        for path in paths
    ]
    for files_ in (closed, paths):
        for terms in (Terms(), Terms(rebuild=True)):
            importation.run(where, files_, terms=terms)
            found = [each for each in rows(where, table) if each.address_key == before.address_key and each.active]
            assert found == [published]


def test_lines_that_cannot_be_read_are_refused_with_their_number(where: Place, tmp_path: Path) -> None:
    paths = made(tmp_path / "files")
    broken = changed(
        of(paths, "Personne_activite"),
        tmp_path / "broken",
        lambda body: [*body[:3], "8|not|enough", *body[3:10], body[10].replace("|8", "|\x01", 1), *body[11:]],
    )
    summary = importation.run(where, [broken if path.name == broken.name else path for path in paths])
    assert [(each.line, each.en) for each in summary.refusals.first] == [
        (5, "3 fields instead of 56"),
        (13, "holds a control character"),
    ]
    assert summary.refusals.count == 2
    assert summary.tally.practitioners.created >= PEOPLE - 1


def test_readers_see_the_register_before_or_after_never_a_mixture(where: Place, tmp_path: Path) -> None:
    first, later = made(tmp_path / "first"), made(tmp_path / "later", day=200)
    importation.run(where, first)
    seen: set[tuple[int, int, int, int]] = set()
    ended = threading.Event()

    def look() -> None:
        opened = where.open()
        while not ended.is_set():
            seen.add(opened.read(_state))
        seen.add(opened.read(_state))
        opened.close()

    watching = threading.Thread(target=look)
    watching.start()
    importation.run(where, later, terms=Terms(accept_withdrawals=True))
    ended.set()
    watching.join()
    assert len(seen) == 2
    assert {state[0] for state in seen} == {1, 2}


def _state(connection: sa.Connection) -> tuple[int, int, int, int]:
    """The last revision, and some counts, each read by a statement of its own."""
    tables_ = (tables.practitioners, tables.activities, tables.addresses)
    counts = [
        connection.execute(sa.select(sa.func.count()).select_from(each).where(each.c.active)).scalar_one()
        for each in tables_
    ]
    last = connection.execute(sa.select(sa.func.max(tables.revisions.c.id))).scalar_one()
    return (int(last), *map(int, counts))  # type: ignore[return-value]


def test_two_imports_do_not_meet(where: Place, tmp_path: Path) -> None:
    paths = made(tmp_path / "files")
    failures: list[ConfigurationError] = []

    class Second(Unwatched):
        def begin(self, part: str, total: int) -> None:
            if not failures:
                with pytest.raises(ConfigurationError, match="under way") as found:
                    importation.run(where, paths)
                failures.append(found.value)

    importation.run(where, paths, Second())
    assert len(failures) == 1


def test_each_file_may_come_alone(where: Place, tmp_path: Path) -> None:
    paths = made(tmp_path / "files")
    for path in paths:
        importation.run(where, [path])
    whole = Place(tmp_path / "whole", bytes(32))
    importation.run(whole, paths)
    assert said(where) == said(whole)
    later = made(tmp_path / "later", day=200)
    for path in later:
        importation.run(where, [path], terms=Terms(accept_withdrawals=True))
    after = Place(tmp_path / "after", bytes(32))
    importation.run(after, later)
    assert said(where) == said(after)


def test_a_doubtful_identifier_is_taken_and_told(where: Place, tmp_path: Path) -> None:
    paths = made(tmp_path / "files")
    header, *body = lines(of(paths, "Personne_activite"))
    number = body[0][2]
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    broken = [
        changed(path, tmp_path / "broken", lambda lines_: [x.replace(number, wrong) for x in lines_]) for path in paths
    ]
    summary = importation.run(where, broken)
    assert sum(summary.doubts.counts.values()) == 1
    assert [text for text, _ in summary.doubts.first] == [wrong]
    assert wrong in people(where)
    assert header


def test_a_structure_is_below_its_legal_entity_where_that_is_one_of_the_register(where: Place, tmp_path: Path) -> None:
    paths = made(tmp_path / "files")
    header, *body = lines(of(paths, "Personne_activite"))
    legal, finess = header.index("Numéro FINESS établissement juridique"), header.index("Numéro FINESS site")
    child = next(line for line in body if line[finess] and line[legal] and line[finess] != line[legal])
    parent = next(line for line in body if line[finess] and line[finess] != child[finess])

    def below(lines_: list[str]) -> list[str]:
        cut = [line.split("|") for line in lines_]
        for line in cut:
            if line[finess] == child[finess]:
                line[legal] = parent[finess]
        return ["|".join(line) for line in cut]

    importation.run(where, paths)
    joined = [changed(path, tmp_path / "joined", below if "activite" in path.name else list) for path in paths]
    for files_, expected in ((joined, True), (paths, False)):
        importation.run(where, files_)
        found = {each.finess: each for each in rows(where, tables.organizations) if each.finess}
        assert (found[child[finess]].parent_id == found[parent[finess]].id) is expected
