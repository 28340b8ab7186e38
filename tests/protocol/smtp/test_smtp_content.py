"""Content ends at CRLF.CRLF only, comes out as it went in, and is refused when a line breaks the rules."""

import re
from collections.abc import Iterable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vaguemestre.protocols.smtp import content
from vaguemestre.protocols.smtp.content import ChunkReader, ContentJudge, DataReader
from vaguemestre.protocols.smtp.faults import BareLineEndError, LongLineError, MessageSizeError, NulError

MANY = 1 << 30
cuttings = st.lists(st.integers(1, 12), min_size=1, max_size=10)


def pieces(data: bytes, cuts: list[int]) -> Iterable[bytes]:
    start = turn = 0
    while start < len(data):
        size = cuts[turn % len(cuts)]
        yield data[start : start + size]
        start, turn = start + size, turn + 1


def read_data(data: bytes, cuts: list[int], limit: int = MANY) -> tuple[bytes, bytes | None, ContentJudge]:
    """The content, what follows its end (None: it has not ended) and the judge."""
    judge = ContentJudge(limit)
    reader = DataReader(judge)
    got, buffer, consumed = bytearray(), b"", 0
    for piece in pieces(data, cuts):
        buffer += piece
        admitted, position, ended = reader.read(buffer, 0)
        got += admitted
        consumed += position
        buffer = buffer[position:]
        if ended:
            return bytes(got), data[consumed:], judge
        assert len(buffer) <= 2
    return bytes(got), None, judge


def stuffed(message: bytes) -> bytes:
    return (b"\r\n" + message).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"


line = st.binary(max_size=40).map(lambda octets: re.sub(rb"[\r\n\0]", b".", octets) + b"\r\n")
messages = st.lists(line, max_size=12).map(b"".join)


@given(message=messages, cuts=cuttings, rest=st.binary(max_size=8))
def test_stuffing_then_reading_is_identity_under_any_cutting(message: bytes, cuts: list[int], rest: bytes) -> None:
    got, following, judge = read_data(stuffed(message) + rest, cuts)
    assert (got, following, judge.fault, judge.size) == (message, rest, None, len(message))


@settings(max_examples=600, deadline=None)
@given(
    data=st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"a", b"\0", b"\r\n.\r\n"])).map(b"".join),
    cuts=cuttings,
)
@example(data=b"\r\n..\r\n.\r\n", cuts=[3])
@example(data=b".\r.\r\n\r\n.\r\n", cuts=[2])
def test_reading_agrees_with_the_definition(data: bytes, cuts: list[int]) -> None:
    """The definition, octet by octet: RFC 5321 §4.5.2 over the whole stream, the DATA line's CRLF before it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(content, "LINE_LIMIT", 6)
        got, following, judge = read_data(data, cuts)
    stream = b"\r\n" + data
    end = stream.find(b"\r\n.\r\n")
    body = stream[: end + 2] if end >= 0 else stream
    message = body.replace(b"\r\n.", b"\r\n")[2:]
    assert following == (stream[end + 5 :] if end >= 0 else None)
    if end >= 0:
        legal = re.fullmatch(rb"(?:[^\r\n\0]{0,4}\r\n)*", message) is not None
        assert (judge.fault is None) == legal
        assert message.startswith(got)
        assert not legal or got == message


@given(message=messages, cuts=cuttings, chunk_cuts=cuttings)
def test_chunks_come_out_as_they_went_in(message: bytes, cuts: list[int], chunk_cuts: list[int]) -> None:
    judge = ContentJudge(MANY)
    reader = ChunkReader(judge)
    got = bytearray()
    chunks = list(pieces(message, chunk_cuts))
    for number, chunk in enumerate(chunks):
        reader.expect(len(chunk), number == len(chunks) - 1)
        for piece in pieces(chunk, cuts):
            got += reader.read(piece, 0)[0]
        assert reader.done
    assert (bytes(got), judge.fault) == (message, None)


def test_a_last_chunk_without_line_end_gets_one() -> None:
    reader = ChunkReader(ContentJudge(MANY))
    reader.expect(3, True)
    assert reader.read(b"endQUIT", 0) == (b"end\r\n", 3, True)


@pytest.mark.parametrize("chunk", [b"a\r", b"a\nb\r\n", b"\n", b"a\rb"])
def test_a_chunk_with_bare_line_ends_is_refused(chunk: bytes) -> None:
    judge = ContentJudge(MANY)
    reader = ChunkReader(judge)
    reader.expect(len(chunk), True)
    reader.read(chunk, 0)
    assert isinstance(judge.fault, BareLineEndError)


SMUGGLED = b"MAIL FROM:<forged@a.example>\r\nRCPT TO:<bob@b.example>\r\nDATA\r\nforged\r\n.\r\n"


@pytest.mark.parametrize("cuts", [[1], [2], [3], [5], [7, 1], [10_000]])
@pytest.mark.parametrize(
    "false_end",
    [
        b"\n.\n", b"\n.\r\n", b"\r.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r", b"\n.\r", b"\r.\n", b"\r\r\n.\n",
        b"\r\n.\r\r\n", b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\n\n.\n\n", b"\r\n..\r\n\n",
    ],
)  # fmt: skip
def test_a_false_end_never_ends_and_the_message_is_refused(false_end: bytes, cuts: list[int]) -> None:
    data = b"hello" + false_end + SMUGGLED
    _, following, judge = read_data(data + b"QUIT\r\n", cuts)
    assert following == b"QUIT\r\n"  # the first true end is that of the smuggled message
    assert isinstance(judge.fault, BareLineEndError | NulError)


@pytest.mark.parametrize("cuts", [[1], [999], [1000], [1001], [64, 3000], [10_000]])
@pytest.mark.parametrize("before", [b"", b"short\r\n" * 3, b"x" * 990 + b"\r\n"])
def test_a_line_has_1000_octets_at_most(before: bytes, cuts: list[int]) -> None:
    longest = before + b"x" * 998 + b"\r\n"
    assert read_data(longest + b".\r\n", cuts)[0] == longest
    assert read_data(b"." + b"." * 998 + b"\r\n.\r\n", cuts)[0] == b"." * 998 + b"\r\n"  # the added dot does not count
    _, following, judge = read_data(before + b"x" * 999 + b"\r\nmore\r\n.\r\nNOOP\r\n", cuts)
    assert isinstance(judge.fault, LongLineError)
    assert following == b"NOOP\r\n"


@pytest.mark.parametrize("cuts", [[1], [7], [10_000]])
def test_a_message_over_the_size_is_drained_to_its_end(cuts: list[int]) -> None:
    message = b"0123456\r\n" * 11 + b"..\r\n"
    assert read_data(message + b".\r\n", cuts, limit=102)[2].fault is None
    got, following, judge = read_data(message + b".\r\nNOOP\r\n", cuts, limit=101)
    assert isinstance(judge.fault, MessageSizeError)
    assert following == b"NOOP\r\n"
    assert len(got) <= 101
    assert judge.size + judge.drained == 102


def test_a_whole_message_in_one_chunk_is_one_piece_and_not_copied_twice() -> None:
    message = b"a line\r\n" * 1000
    reader = DataReader(ContentJudge(MANY))
    assert reader.read(message + b".\r\n", 0) == (message, len(message) + 3, True)
