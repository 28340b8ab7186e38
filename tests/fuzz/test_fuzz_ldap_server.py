"""The kept corpus and fresh random input never break what must always hold of the LDAP server's machine."""

from pathlib import Path

import pytest
from fuzz_ldap_server import run
from hypothesis import given, settings
from hypothesis import strategies as st

CORPUS = sorted((Path(__file__).parent / "corpus" / "ldap").iterdir())
MESSAGES = [path.read_bytes()[1:] for path in CORPUS]


def test_the_corpus_reaches_every_operation_and_event() -> None:
    reached = {name for path in CORPUS for name in run(path.read_bytes())}
    operations = {"Bind", "Unbind", "Search", "Compare", "Abandon", "Extended", "Write"}
    assert reached == {"Request", "StartTls", "Rejected", *operations}


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_corpus_holds(path: Path) -> None:
    run(path.read_bytes())


@settings(max_examples=400)
@given(st.integers(0, 255), st.lists(st.sampled_from(MESSAGES) | st.binary(max_size=8), max_size=8))
def test_anything_holds(seed: int, parts: list[bytes]) -> None:
    run(bytes([seed]) + b"".join(parts))


@settings(max_examples=600)
@given(st.integers(0, 255), st.sampled_from(MESSAGES), st.integers(0, 400), st.binary(min_size=1, max_size=3))
def test_messages_with_other_octets_hold(seed: int, message: bytes, at: int, other: bytes) -> None:
    at %= len(message)
    run(bytes([seed]) + message[:at] + other + message[at + len(other) :])
