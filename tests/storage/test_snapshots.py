"""The register as it was: names of several words, and rows kept for who began before a change. On both stores."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from vaguemestre.directory import register, snapshots, spellings, tables
from vaguemestre.directory.model import Card, Origin, Practitioner, Qualification, Qualified
from vaguemestre.directory.register import Place
from vaguemestre.storage.database import Database


@pytest.fixture(params=["sqlcipher", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A register with nothing in it, open."""
    server = request.getfixturevalue("postgresql") if request.param == "postgresql" else None
    name = server.create() if server else ""
    where = Place(tmp_path / "directory", bytes(range(32)), server.url(name) if server else "")
    where.replace(where.next())
    found = where.open()
    yield found
    found.close()
    if server:
        server.drop(name)


def _practitioner(number: int, family: str, given: str = "Zoé", revision: int = 1) -> Practitioner:
    rpps = f"{99700000000 + number}"
    return Practitioner(
        number, f"8{rpps}", rpps, "MME", "DR", family, given, "40", "C", True, Origin.EXTRACTION, revision
    )


def _spellings(connection: sa.Connection) -> set[tuple[int, str, str]]:
    return {tuple(row) for row in connection.execute(sa.select(tables.spellings))}


def _write(connection: sa.Connection, *people: Practitioner) -> None:
    revision = register.begin(connection, Origin.EXTRACTION)
    register.put(connection, *people)
    spellings.refresh(connection, revision - 1)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("dupond", []),
        ("lefevre-noel", ["lefevre noel", "noel"]),
        ("de la tour", ["de la tour", "la tour", "tour"]),
        ("d'aubigne", ["d aubigne", "aubigne"]),
        ("", []),
    ],
)
def test_a_name_of_several_words_is_spelled_from_each_of_them(name: str, found: list[str]) -> None:
    assert spellings.of(name) == found


def test_spellings_follow_names(opened: Database) -> None:
    opened.write(
        _write, _practitioner(1, "Lefèvre-Noël"), _practitioner(2, "Petit", "Jean-Luc"), _practitioner(3, "Roux")
    )
    assert opened.read(_spellings) == {
        (1, "f", "lefevre noel"), (1, "f", "noel"), (2, "g", "jean luc"), (2, "g", "luc"),
    }  # fmt: skip
    opened.write(_write, _practitioner(1, "Noël", revision=2))
    assert opened.read(_spellings) == {(2, "g", "jean luc"), (2, "g", "luc")}


def test_what_a_change_replaces_can_be_read(opened: Database) -> None:
    opened.write(_write, _practitioner(1, "Martin"), _practitioner(2, "Petit"))
    opened.write(
        register.put, Qualification(1, Qualified.PROFESSION, "C", "40"), Card(1, "CPS", "28001", "2020-01-01", "", "")
    )

    def change(connection: sa.Connection) -> None:
        revision = register.begin(connection, Origin.EXTRACTION)
        for _ in range(2):  # a second time within one change must not keep what it has itself written
            snapshots.keep(connection, revision, "practitioners", [1])
            register.put(connection, _practitioner(1, "Durand", revision=revision))
        connection.execute(tables.qualifications.delete())
        register.put(connection, _practitioner(3, "Neuf", revision=revision))

    opened.write(change)
    found = opened.read(snapshots.past, 1)
    assert set(found.changed("practitioners")) == {1, 3}
    assert found.changed("practitioners")[1].family == "Martin"
    assert found.changed("practitioners")[3] is None
    assert [each.code for each in found.qualifications[1]] == ["40"]
    assert [each.number for each in found.cards[1]] == ["28001"]
    assert opened.read(snapshots.past, 2).changed("practitioners") == {}


def test_the_first_state_after_a_revision_is_the_one_shown(opened: Database) -> None:
    opened.write(_write, _practitioner(1, "Un"))
    for number, family in enumerate(("Deux", "Trois"), 2):

        def change(connection: sa.Connection, number: int = number, family: str = family) -> None:
            revision = register.begin(connection, Origin.EXTRACTION)
            snapshots.keep(connection, revision, "practitioners", [1])
            register.put(connection, _practitioner(1, family, revision=number))

        opened.write(change)
    assert opened.read(snapshots.past, 1).changed("practitioners")[1].family == "Un"
    assert opened.read(snapshots.past, 2).changed("practitioners")[1].family == "Deux"


def test_what_was_replaced_long_ago_is_forgotten(opened: Database) -> None:
    opened.write(_write, _practitioner(1, "Un"))

    def change(connection: sa.Connection) -> int:
        revision = register.begin(connection, Origin.EXTRACTION)
        snapshots.keep(connection, revision, "practitioners", [1])
        return int(connection.execute(sa.select(tables.revisions.c.at).where(tables.revisions.c.id == 2)).scalar_one())

    at = opened.write(change)
    count = sa.select(sa.func.count()).select_from(tables.superseded)
    opened.write(snapshots.forget, at)
    assert opened.read(lambda connection: connection.execute(count).scalar()) == 1
    opened.write(snapshots.forget, at + 1)
    assert opened.read(lambda connection: connection.execute(count).scalar()) == 0


def test_too_much_change_is_said(opened: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "MOST_CHANGED", 2)
    opened.write(_write, *(_practitioner(number, "Un") for number in range(1, 4)))
    with pytest.raises(snapshots.TooMuchChangedError):
        opened.read(snapshots.past, 0)
