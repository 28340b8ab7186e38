"""Sections: the numbers of parts, and where each text of a message is."""

import pytest

from vaguemestre.documents import sections
from vaguemestre.documents.mime import read_message
from vaguemestre.documents.sections import Text

# The example of RFC 9051 §6.4.5.1, each text naming its number.
CONTENT = b"""Subject: root
Content-Type: multipart/mixed; boundary=b

--b

1
--b
Content-Type: application/octet-stream

2
--b
Content-Type: message/rfc822

Subject: three
Content-Type: multipart/mixed; boundary=c

--c

3.1
--c
Content-Type: application/octet-stream

3.2
--c--
--b
Content-Type: multipart/mixed; boundary=d

--d
Content-Type: image/gif

4.1
--d
Content-Type: message/rfc822

Subject: four two
Content-Type: multipart/mixed; boundary=e

--e

4.2.1
--e
Content-Type: multipart/alternative; boundary=f

--f

4.2.2.1
--f
Content-Type: text/richtext

4.2.2.2
--f--
--e--
--d--
--b--
""".replace(b"\n", b"\r\n")
ROOT = read_message(CONTENT).part
PLAIN = b"Subject: x\r\n\r\nbody"
WITHIN = b"Subject: outer\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ntext"


def cut(content: bytes, number: str, text: Text = Text.BODY) -> bytes | None:
    numbers = [int(each) for each in number.split(".")] if number else []
    place = sections.locate(read_message(content).part, numbers, text)
    return None if place is None else content[place[0] : place[1]]


@pytest.mark.parametrize("number", ["1", "2", "3.1", "3.2", "4.1", "4.2.1", "4.2.2.1", "4.2.2.2"])
def test_parts_have_the_numbers_of_the_standard(number: str) -> None:
    assert cut(CONTENT, number) == number.encode()


def test_every_part_is_numbered() -> None:
    assert [number for number, _ in sections.numbered(ROOT)] == [
        "1", "2", "3", "3.1", "3.2", "4", "4.1", "4.2", "4.2.1", "4.2.2", "4.2.2.1", "4.2.2.2",
    ]  # fmt: skip
    assert [number for number, _ in sections.numbered(read_message(PLAIN).part)] == ["1"]
    assert [number for number, _ in sections.numbered(read_message(WITHIN).part)] == ["1", "1.1"]


@pytest.mark.parametrize(
    ("number", "text", "expected"),
    [
        ("", Text.HEADER, b"Subject: root\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"),
        ("3", Text.HEADER, b"Subject: three\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"),
        ("4.2", Text.HEADER, b"Subject: four two\r\nContent-Type: multipart/mixed; boundary=e\r\n\r\n"),
        ("3", Text.MIME, b"Content-Type: message/rfc822\r\n\r\n"),
        ("4.1", Text.MIME, b"Content-Type: image/gif\r\n\r\n"),
        ("1", Text.MIME, b"\r\n"),
    ],
)
def test_headers(number: str, text: Text, expected: bytes) -> None:
    assert cut(CONTENT, number, text) == expected


def test_the_text_of_a_message_follows_its_header() -> None:
    assert cut(CONTENT, "") == CONTENT
    assert (cut(CONTENT, "", Text.HEADER) or b"") + (cut(CONTENT, "", Text.TEXT) or b"") == CONTENT
    assert (cut(CONTENT, "3", Text.HEADER) or b"") + (cut(CONTENT, "3", Text.TEXT) or b"") == cut(CONTENT, "3")


@pytest.mark.parametrize("number", ["0", "5", "1.1", "2.1", "3.3", "3.1.1", "4.1.1", "4.2.2.3", "1.1.1", "99999999999"])
def test_a_number_that_no_part_has(number: str) -> None:
    assert cut(CONTENT, number) is None


def test_a_part_that_is_no_message_has_no_header_but_mime() -> None:
    assert cut(CONTENT, "1", Text.HEADER) is None
    assert cut(CONTENT, "4", Text.TEXT) is None
    assert sections.locate(ROOT, [], Text.MIME) is None


def test_the_body_of_a_message_that_is_no_multipart_is_its_part_1() -> None:
    assert cut(PLAIN, "1") == b"body"
    assert cut(PLAIN, "1", Text.MIME) == b"Subject: x\r\n\r\n"
    assert cut(PLAIN, "1.1") is None
    assert cut(PLAIN, "2") is None


def test_a_message_in_a_message() -> None:
    assert cut(WITHIN, "1") == b"Subject: inner\r\n\r\ntext"
    assert cut(WITHIN, "1", Text.HEADER) == b"Subject: inner\r\n\r\n"
    assert cut(WITHIN, "1.1") == cut(WITHIN, "1", Text.TEXT) == b"text"


def test_a_multipart_without_parts_has_an_empty_one() -> None:
    assert cut(b"Content-Type: multipart/mixed\r\n\r\nx", "1") == b""
