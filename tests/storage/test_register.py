"""The register on both stores: built whole beside the one in use, then in its place at once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from vaguemestre.directory import register, tables
from vaguemestre.directory.model import Origin, Practitioner
from vaguemestre.directory.register import Place, Registers
from vaguemestre.errors import ConfigurationError


@pytest.fixture(params=["sqlcipher", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Where a register may stand, with nothing there yet."""
    if request.param == "sqlcipher":
        yield Place(tmp_path / "directory", bytes(range(32)))
        return
    server = request.getfixturevalue("postgresql")
    name = server.create()
    yield Place(tmp_path, b"", server.url(name))
    server.drop(name)


def _practitioner(number: int, family: str = "Lefèvre-Noël") -> Practitioner:
    rpps = f"{99700000000 + number}"
    return Practitioner(
        number, f"8{rpps}", rpps, "MME", "DR", family, "Zoé", "40", "C", True, Origin.EXTRACTION, revision=1
    )


def _build(where: Place, *families: str) -> None:
    built = where.next()

    def fill(connection: sa.Connection) -> None:
        register.begin(connection, Origin.EXTRACTION, "202611250300")
        register.put(connection, *(_practitioner(number, each) for number, each in enumerate(families, 1)))

    built.write(fill)
    where.replace(built)


def _families(connection: sa.Connection) -> list[str]:
    return list(connection.execute(sa.select(tables.practitioners.c.family_key).order_by("id")).scalars())


def test_there_is_none_at_first(where: Place) -> None:
    with pytest.raises(ConfigurationError, match="no register yet"):
        where.open()


def test_a_register_built_is_the_one_in_use(where: Place) -> None:
    _build(where, "Lefèvre-Noël")
    opened = where.open()
    assert opened.read(_families) == ["lefevre-noel"]
    opened.close()


def test_one_half_built_is_not_seen_and_is_resumed(where: Place) -> None:
    _build(where, "Martin")
    half = where.next()
    half.write(register.put, _practitioner(1, "Durand"))
    half.close()
    seen = where.open()
    assert seen.read(_families) == ["martin"]
    seen.close()
    resumed = where.next()
    assert resumed.read(_families) == ["durand"]
    where.replace(resumed)
    seen = where.open()
    assert seen.read(_families) == ["durand"]
    seen.close()


def test_who_has_one_open_finds_the_next(where: Place) -> None:
    _build(where, "Martin")
    registers = Registers(where)
    first = registers.current().read(register.edition)
    _build(where, "Durand", "Petit")
    assert registers.current().read(_families) == ["durand", "petit"]
    assert registers.current().read(register.edition) != first
    registers.close()


def test_an_abandoned_one_leaves_nothing(where: Place) -> None:
    half = where.next()
    half.write(register.put, _practitioner(1))
    half.close()
    where.abandon()
    again = where.next()
    assert again.read(_families) == []
    again.close()


def test_revisions_grow(where: Place) -> None:
    built = where.next()
    assert [built.write(register.begin, Origin.OPERATOR) for _ in range(3)] == [1, 2, 3]
    built.close()
