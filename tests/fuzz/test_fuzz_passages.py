"""Ugly mail, kept or fresh, is read for search within bounds, and found by every word read of it."""

from pathlib import Path

import pytest
from fuzz_passages import check
from hypothesis import given, settings
from hypothesis import strategies as st

CORPUS = sorted((Path(__file__).parent / "corpus" / "mime").iterdir())
CONTENTS = [path.read_bytes() for path in CORPUS if path.stat().st_size < 20_000]


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_corpus_is_read(path: Path) -> None:
    check(path.read_bytes())


@settings(max_examples=300, deadline=None)
@given(content=st.sampled_from(CONTENTS), noise=st.binary(max_size=40), data=st.data())
def test_what_is_spoilt_is_read(content: bytes, noise: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 200)))
    check(content[:start] + noise + content[end:])


@settings(max_examples=300, deadline=None)
@given(text=st.text(), charset=st.sampled_from(["utf-8", "utf-16", "latin-1", "x-none"]))
def test_any_text_is_read(text: str, charset: str) -> None:
    body = text.encode("utf-8" if charset in ("x-none", "latin-1") else charset, "replace")
    check(b"Subject: " + body + b"\r\nContent-Type: text/plain; charset=" + charset.encode() + b"\r\n\r\n" + body)
