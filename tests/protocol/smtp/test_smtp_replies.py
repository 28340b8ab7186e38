"""Replies leave as safe ASCII lines and are read back as they were written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.protocols.smtp import faults
from vaguemestre.protocols.smtp.refusals import refusal
from vaguemestre.protocols.smtp.replies import READ_LINE_LIMIT, READ_LINES_LIMIT, Reply, ReplyError, ReplyReader


def test_reply_is_written_with_its_code_on_each_line() -> None:
    assert Reply(250).encode() == b"250 \r\n"
    assert Reply(354, "", ("Go",)).encode() == b"354 Go\r\n"
    assert Reply(250, "2.1.0", ("a", "", "b")).encode() == b"250-2.1.0 a\r\n250-2.1.0 \r\n250 2.1.0 b\r\n"


def test_an_explained_reply_is_french_then_english_in_ascii() -> None:
    reply = Reply.explained(550, "5.7.1", "Le cœur « n’est » pas…  là — désolé\r\n250 OK", "It is not there")
    assert reply.encode() == (
        b'550-5.7.1 Le coeur " n\'est " pas... la - desole 250 OK\r\n550 5.7.1 It is not there\r\n'
    )


@given(st.text(max_size=1500), st.text(max_size=1500))
def test_no_text_can_break_a_reply(fr: str, en: str) -> None:
    for reply in (Reply.explained(550, "5.7.1", fr, en), Reply(550, "5.7.1", (fr[:300], en[:100]))):
        encoded = reply.encode()
        assert encoded.isascii()
        assert encoded.endswith(b"\r\n")
        lines = encoded[:-2].split(b"\r\n")
        assert len(lines) == len(reply.lines)
        assert all(line[:4] == b"550-" for line in lines[:-1])
        assert lines[-1][:4] == b"550 "
        assert all(line[4:].decode().isprintable() for line in lines)
    assert all(len(line) < 400 for line in Reply.explained(550, "5.7.1", fr, en).encode().split(b"\r\n"))


def leaves(kind: type[faults.PeerError]) -> list[type[faults.PeerError]]:
    below = kind.__subclasses__()
    return [leaf for child in below for leaf in leaves(child)] if below else [kind]


@pytest.mark.parametrize("kind", leaves(faults.PeerError), ids=lambda kind: kind.__name__)
def test_every_fault_has_a_code_and_words_in_both_languages(kind: type[faults.PeerError]) -> None:
    if kind is faults.MessageSizeError:
        fact: faults.PeerError = faults.MessageSizeError(5)
    elif kind is faults.SequenceError:
        fact = faults.SequenceError("MAIL")
    else:
        fact = kind() if kind.EN else kind("Say this.", "Dites ceci.")
    reply = refusal(fact)
    assert reply.transient or reply.permanent
    assert reply.enhanced[0] == str(reply.code)[0]
    assert len(reply.lines) >= 2
    assert reply.lines[-1] == fact.en
    assert fact.fr != fact.en


def read_all(data: bytes, size: int) -> list[Reply]:
    reader, replies = ReplyReader(), []
    for start in range(0, len(data), size):
        reader.receive_data(data[start : start + size])
        while (reply := reader.next_reply()) is not None:
            replies.append(reply)
    assert not reader.pending
    return replies


line = st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126), max_size=60).filter(
    lambda text: not (text[:1] in "245" and text[1:2] == ".")
)
replies = st.builds(
    lambda code, enhanced, lines: Reply(code, f"{code // 100}{enhanced}" if code // 100 != 3 else "", tuple(lines)),
    st.integers(200, 599),
    st.sampled_from([".0.0", ".7.25", ".1.510"]),
    st.lists(line, min_size=1, max_size=5),
)


@given(st.lists(replies, min_size=1, max_size=4), st.integers(1, 50))
def test_replies_are_read_as_they_were_written(written: list[Reply], size: int) -> None:
    assert read_all(b"".join(reply.encode() for reply in written), size) == written


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        (b"250\r\n", Reply(250)),
        (b"250-mx\r\n250-SIZE 1\r\n250 DSN\r\n", Reply(250, "", ("mx", "SIZE 1", "DSN"))),
        (b"550-5.1.1 no\r\n550 such\r\n", Reply(550, "5.1.1", ("no", "such"))),
        (b"250 5.1.1 odd class\r\n", Reply(250, "", ("5.1.1 odd class",))),
        (b"550 5.1.1\r\n", Reply(550, "5.1.1", ("",))),
        ("550 refusé\r\n".encode(), Reply(550, "", ("refusé",))),
        (b"550 refus\xe9\r\n", Reply(550, "", ("refus\ufffd",))),
    ],
)
def test_what_real_servers_send_is_read(data: bytes, reply: Reply) -> None:
    assert read_all(data, 3) == [reply]


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n", b"25\r\n", b"650 x\r\n", b"150 x\r\n", b"250x\r\n", b"250 ok\n", b"250 a\rb\n", b"\r\n",
        b"250-a\r\n251 b\r\n", b"250 " + b"x" * READ_LINE_LIMIT + b"\r\n", b"2" * (READ_LINE_LIMIT + 1),
        b"250-x\r\n" * (READ_LINES_LIMIT + 1), "２50 x\r\n".encode(),
    ],
)  # fmt: skip
def test_what_is_no_reply_is_an_error(data: bytes) -> None:
    with pytest.raises(ReplyError):
        read_all(data, 500)


def test_injected_plaintext_behind_a_reply_is_seen() -> None:
    reader = ReplyReader()
    reader.receive_data(b"220 go\r\n250-evil")
    assert reader.next_reply() == Reply(220, "", ("go",))
    assert reader.pending
