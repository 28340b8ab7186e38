"""The kept corpus and fresh random input never break what must always hold of the IMAP server's machine."""

from pathlib import Path

import pytest
from fuzz_imap_server import run
from hypothesis import given, settings
from hypothesis import strategies as st

from vaguemestre.protocols.imap import commands, events

CORPUS = sorted((Path(__file__).parent / "corpus" / "imap").iterdir())
WORDS = [
    b"a NOOP\r\n", b"a SELECT b", b"a APPEND b", b" CATENATE (", b"TEXT ", b"URL x", b" UTF8 (", b"a FETCH 1:* ",
    b"a UID STORE 1 ", b"a SEARCH ", b"OR ", b"NOT ", b"(", b")", b"ALL", b" {5}\r\n", b" {3+}\r\n", b"~{2+}\r\n",
    b"{99}\r\n", b"{999999+}\r\n", b"hello", b"abc", b"\r\n", b"\n", b"\r", b"\0", b'"', b"\\", b" ", b"\xc3\xa9",
    b"&AOk-", b"*", b"$", b"a IDLE\r\n", b"DONE\r\n", b"a STARTTLS\r\n", b"a AUTHENTICATE PLAIN", b" =", b"YQ==",
    b"a LOGIN b c\r\n", b"a ENABLE UTF8=ACCEPT\r\n", b"FLAGS (\\Seen)", b"BODY[HEADER.FIELDS (", b"]<0.1>",
    b"a LOGOUT\r\n", b"x" * 150,
]  # fmt: skip


def test_the_corpus_reaches_every_command_and_event() -> None:
    reached = {name for path in CORPUS for name in run(path.read_bytes())}
    kinds = {*commands.Command.__args__, *events.Event.__args__} - {events.Command}
    assert reached == {kind.__name__ for kind in kinds}


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_corpus_holds(path: Path) -> None:
    run(path.read_bytes())


@settings(max_examples=700)
@given(seed=st.integers(0, 255), words=st.lists(st.sampled_from(WORDS) | st.binary(max_size=6), max_size=40))
def test_anything_holds(seed: int, words: list[bytes]) -> None:
    run(bytes([seed]) + b"".join(words))
