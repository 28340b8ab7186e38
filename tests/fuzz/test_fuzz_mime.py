"""The kept corpus of ugly mail, and fresh mail as ugly, never break what must always hold of the reader of messages."""

from pathlib import Path

import pytest
from fuzz_mime import check, fed
from hypothesis import given, settings
from hypothesis import strategies as st

from vaguemestre.documents.mime import read_message

CORPUS = sorted((Path(__file__).parent / "corpus" / "mime").iterdir())
WORDS = [
    b"Content-Type: multipart/mixed; boundary=b\r\n", b"Content-Type: multipart/digest; boundary=bb\r\n",
    b"Content-Type: multipart/alternative; boundary=\"b c \"\n", b"Content-Type: message/rfc822\r\n",
    b"Content-Type: text/html; charset=utf-8\r\n", b"Content-Type: ", b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Transfer-Encoding: quoted-printable\n", b"Content-Disposition: attachment; filename*0*=utf-8''a%20; ",
    b"MIME-Version: 1.0\r\n", b"From: ", b"To: ", b"Subject: ", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b"--b\r\n",
    b"--b\n", b"--bb\r\n", b"--bb--\r\n", b"--b--\r\n", b"--b", b"--", b"-", b"--b c", b" ", b"\t", b"\0", b"\xc3\xa9",
    b"\xe9", b'"', b"\\", b"(", b")", b"<", b">", b",", b";", b":", b"@", b"=", b"=?utf-8?q?=C3=A9?=", b"a", b"x" * 300,
    b"QUJD", b"=C3=A9", b"<p>", b"<script>", b"<!--", b"> quoted\r\n", b"[", b"name", b"*1*=",
]  # fmt: skip


def test_the_corpus_has_many_kinds() -> None:
    assert len(CORPUS) > 100


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_corpus_holds(path: Path) -> None:
    check(path.read_bytes())


@pytest.mark.parametrize("path", [path for path in CORPUS if path.stat().st_size < 3000], ids=lambda path: path.name)
def test_every_cutting_of_the_corpus_gives_the_same(path: Path) -> None:
    content = path.read_bytes()
    whole = read_message(content)
    for step in (*range(1, 100), 200, 500, 1000):
        assert fed(content, step) == whole


@settings(max_examples=1500, deadline=None)
@given(step=st.integers(1, 300), words=st.lists(st.sampled_from(WORDS) | st.binary(max_size=6), max_size=60))
def test_anything_holds(step: int, words: list[bytes]) -> None:
    check(b"".join(words), step)
