"""The kept corpus of SASL messages, and anything near it, is read or refused with words."""

from pathlib import Path

import fuzz_sasl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

CORPUS = sorted((Path(__file__).parent / "corpus" / "sasl").iterdir())
pieces = st.sampled_from(
    [b"\0", b"\1", b"user=", b"auth=Bearer ", b"n,", b"y,,", b"a=", b"=2C", b"p=x,", b"tok", b"=", b"\xc3"]
)
near = st.lists(st.one_of(pieces, st.binary(max_size=6)), max_size=14).map(b"".join)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_the_corpus_is_read_or_refused(path: Path) -> None:
    assert fuzz_sasl.check(path.read_bytes()) == path.name.startswith("good")


@settings(max_examples=600)
@given(st.one_of(near, st.binary(max_size=200)))
def test_bytes_near_a_message_are_read_or_refused(data: bytes) -> None:
    fuzz_sasl.check(data)
