"""Line ends on their way: whatever the cutting, CRLF here and LF there, and nothing lost that can be kept."""

import re

from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.mailstore.transfer.line_ends import Unix, canonical

CONTENT = st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b"a", b"\xe9", b"\r\r\n", b"From "]), max_size=20).map(
    b"".join
)
STEPS = st.integers(1, 7)


def cut(content: bytes, step: int) -> list[bytes]:
    return [content[start : start + step] for start in range(0, len(content), step)]


@given(CONTENT, STEPS)
def test_lf_alone_becomes_crlf_and_nothing_else_changes(content: bytes, step: int) -> None:
    assert b"".join(canonical(cut(content, step))) == re.sub(rb"(?<!\r)\n", b"\r\n", content)


@given(CONTENT, STEPS)
def test_crlf_becomes_lf_whatever_the_cutting(content: bytes, step: int) -> None:
    assert b"".join(Unix(cut(content, step))) == content.replace(b"\r\n", b"\n")


@given(CONTENT, STEPS, STEPS)
def test_what_is_said_to_come_back_comes_back(content: bytes, step: int, again: int) -> None:
    unix = Unix(cut(content, step))
    written = b"".join(unix)
    if unix.exact:
        assert b"".join(canonical(cut(written, again))) == content


def test_ordinary_content_comes_back() -> None:
    unix = Unix([b"Subject: a\r\n\r", b"\nHello\rworld\r\n"])
    assert b"".join(unix) == b"Subject: a\n\nHello\rworld\n"
    assert unix.exact
