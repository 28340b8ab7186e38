"""Operators, callers and peers for the end-to-end tests."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from simulators.operators import Operator, OperatorFactory
from simulators.space import NORTH, SOUTH, Place, TrustSpace
from vaguemestre.transport import delivery


@pytest.fixture(scope="session")
def space(tmp_path_factory: pytest.TempPathFactory) -> TrustSpace:
    """The trust space of all tests, which must leave it as it is."""
    return TrustSpace(tmp_path_factory.mktemp("space"))


@pytest.fixture
def operator(space: TrustSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OperatorFactory]:
    """Makes operators, not started yet: `operator(place, people, **sections)`; closes them afterwards."""
    monkeypatch.setattr(delivery, "_POLL_S", 0.05)
    made: list[Operator] = []

    def make(place: Place = SOUTH, people: tuple[str, ...] = ("claire",), **sections: dict[str, Any]) -> Operator:
        made.append(Operator(space, tmp_path / f"operator-{len(made)}", place, people, **sections))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def south(space: TrustSpace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """A running operator with many people, one test module's own. Each test writes to a person of its own."""
    people = ("claire", "karim", "awa", "lucie", "hugo", "ines", "paul", "rose", "sami", "zoe", "plein")
    running = Operator(space, tmp_path_factory.mktemp("south"), SOUTH, people).start()
    yield running
    running.close()


@pytest.fixture
def north(operator: OperatorFactory) -> Operator:
    """An operator with one author, claire, not started yet."""
    return operator(NORTH)
