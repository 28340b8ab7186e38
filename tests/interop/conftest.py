"""Operators as processes, for other people's software to talk to. What that software is and that it is here, each test
module says; where it is missing a test fails and names the package."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from simulators.operators import Operator
from simulators.space import SOUTH, TrustSpace


@pytest.fixture(scope="session")
def space(tmp_path_factory: pytest.TempPathFactory) -> TrustSpace:
    """The trust space of all tests, which must leave it as it is."""
    return TrustSpace(tmp_path_factory.mktemp("space"))


@pytest.fixture(scope="module")
def south(space: TrustSpace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """A running operator with people, one test module's own. Each test writes to a person of its own."""
    people = ("claire", "karim", "awa", "lucie", "hugo", "ines")
    running = Operator(space, tmp_path_factory.mktemp("south"), SOUTH, people, smtp={"message_size": 100_000_000})
    yield running.start_process()
    running.close()
