"""Connections are counted in all and by address, alike in one process and in several."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.servers.limits import Admittance, ServerLimits, SharedAdmittance

LIMITS = ServerLimits(connections=5, connections_per_address=3)
RACE = """
import os, sys
from vaguemestre.servers.limits import ServerLimits, SharedAdmittance

shared = SharedAdmittance(ServerLimits(connections=1000, connections_per_address=600))
here, there = os.pipe(), os.pipe()
for number in range(4):
    if os.fork() == 0:
        os.close(here[1])
        os.read(here[0], 1)  # its end is the start for all at once
        for turn in range(2000):  # places come and go meanwhile
            if shared.enter("192.0.2.9"):
                shared.leave("192.0.2.9")
        entered = sum(shared.enter(f"192.0.2.{number % 2}") for _ in range(1000))
        os.write(there[1], f"{number % 2} {entered}\\n".encode())
        os._exit(0)
os.close(here[1])
for _ in range(4):
    os.wait()
os.close(there[1])
print(os.read(there[0], 1000).decode(), end="")
print(2, sum(shared.enter(f"198.51.100.{number}") for number in range(1001)))  # what is left
"""


@pytest.fixture(params=[Admittance, SharedAdmittance])
def admittance(request: pytest.FixtureRequest) -> Iterator[Admittance]:
    """Each kind, with five places, three an address."""
    found: Admittance = request.param(LIMITS)
    yield found
    if isinstance(found, SharedAdmittance):
        found.close()


def test_no_more_enter_than_there_are_places(admittance: Admittance) -> None:
    assert [admittance.enter("192.0.2.1") for _ in range(4)] == [True, True, True, False]
    assert [admittance.enter("192.0.2.2") for _ in range(3)] == [True, True, False]
    admittance.leave("192.0.2.1")
    assert admittance.enter("192.0.2.3")
    assert not admittance.enter("192.0.2.1")
    admittance.leave("192.0.2.2")
    assert admittance.enter("192.0.2.1")


@given(steps=st.lists(st.tuples(st.booleans(), st.sampled_from("abc")), max_size=60))
def test_both_kinds_count_alike(steps: list[tuple[bool, str]]) -> None:
    one, shared = Admittance(LIMITS), SharedAdmittance(LIMITS)
    entered: list[str] = []
    for enters, address in steps:
        if enters:
            answer = one.enter(address)
            assert shared.enter(address) is answer
            entered += [address] * answer
        elif address in entered:
            entered.remove(address)
            one.leave(address)
            shared.leave(address)
    shared.close()


def test_processes_that_race_take_every_place_and_no_more() -> None:
    said = subprocess.run([sys.executable, "-c", RACE], check=True, capture_output=True, text=True, timeout=60).stdout
    entered = [tuple(map(int, line.split())) for line in said.split("\n") if line]
    assert len(entered) == 5
    assert sum(count for _, count in entered) == 1000
    for address in (0, 1):
        assert sum(count for number, count in entered if number == address) <= 600
