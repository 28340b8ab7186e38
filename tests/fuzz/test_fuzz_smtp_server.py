"""The kept corpus and fresh random input never break what must always hold of the SMTP server's machine, nor of the one for
submission."""

from pathlib import Path

import pytest
from fuzz_smtp_server import run
from hypothesis import given, settings
from hypothesis import strategies as st

CORPUS = sorted((Path(__file__).parent / "corpus" / "smtp").iterdir())
WORDS = [
    b"EHLO a.example\r\n", b"MAIL FROM:<a@b.example>", b"MAIL FROM:<>", b"RCPT TO:<c@d.example>", b"DATA\r\n",
    b"BDAT 5", b" LAST", b"RSET\r\n", b"QUIT\r\n", b"STARTTLS\r\n", b"NOOP\r\n", b" SIZE=9", b" SMTPUTF8",
    b" BODY=8BITMIME", b"AUTH PLAIN", b"AUTH LOGIN YQ==\r\n", b" AUTH=<>", b"QQ==\r\n", b"*\r\n",
    b"\r\n", b"\r", b"\n", b".", b"\r\n.\r\n", b"\0", b"x" * 150, b"\xc3\xa9", b'"', b"hello\r\n",
]  # fmt: skip


def test_the_corpus_reaches_every_event() -> None:
    reached = {name for path in CORPUS for name in run(path.read_bytes())}
    assert reached == {
        "Hello", "StartTls", "Authenticate", "SaslResponse",
        "MailFrom", "RcptTo", "ContentStarts", "Content", "ContentEnds", "Reset", "Quit",
        "Answered", "Rejected", "Violation",
    }  # fmt: skip


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_corpus_holds(path: Path) -> None:
    run(path.read_bytes())


@settings(max_examples=500, deadline=None)
@given(seed=st.integers(0, 255), words=st.lists(st.sampled_from(WORDS) | st.binary(max_size=6), max_size=40))
def test_anything_holds(seed: int, words: list[bytes]) -> None:
    run(bytes([seed]) + b"".join(words))
