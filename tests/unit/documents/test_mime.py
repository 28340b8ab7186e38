"""The tree of parts: where each starts and ends, whatever the message."""

import base64
import os
import time
import tracemalloc

import pytest

from vaguemestre.documents import mime
from vaguemestre.documents.mime import Scanner, read_message
from vaguemestre.documents.structure import Part

NESTED = (
    b"From: a@b.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n"
    b"--b\r\n\r\none\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\n"
    b"Subject: inner\r\nContent-Type: multipart/alternative; boundary=bb\r\n\r\n"
    b"--bb\r\n\r\nalt\r\nalt 2\r\n--bb\r\nContent-Type: text/html\r\n\r\n<p>\r\n--bb--\r\n"
    b"--b--\r\nepilogue\r\n"
)


def tree(part: Part, content: bytes) -> object:
    """A part as (type, body), or (type, [parts])."""
    if part.message:
        return part.media_type, [tree(part.message.part, content)]
    if part.parts:
        return part.media_type, [tree(each, content) for each in part.parts]
    return part.media_type, content[part.body : part.end]


def read(content: bytes) -> object:
    return tree(read_message(content).part, content)


def mixed(body: bytes, *, kind: bytes = b"multipart/mixed") -> bytes:
    return b"Content-Type: " + kind + b"; boundary=b\r\n\r\n" + body


def test_parts_nest() -> None:
    assert read(NESTED) == (
        "multipart/mixed",
        [
            ("text/plain", b"one"),
            ("message/rfc822", [("multipart/alternative", [("text/plain", b"alt\r\nalt 2"), ("text/html", b"<p>")])]),
        ],
    )


def test_places_are_octets_of_the_content() -> None:
    root = read_message(NESTED).part
    assert [NESTED[part.start : part.body] for part in root.walk()][1:3] == [
        b"\r\n",
        b"Content-Type: message/rfc822\r\n\r\n",
    ]
    assert (root.start, root.end) == (0, len(NESTED))
    embedded = root.parts[1]
    assert NESTED[embedded.body : embedded.end].startswith(b"Subject: inner")
    assert NESTED[embedded.body : embedded.end].endswith(b"--bb--\r\n")


def test_lines_are_those_of_texts_and_messages() -> None:
    assert [part.lines for part in read_message(NESTED).part.walk()] == [0, 0, 12, 0, 1, 0]


def test_a_message_within_has_its_envelope() -> None:
    message = read_message(NESTED)
    assert message.envelope.subject is None
    embedded = message.part.parts[1].message
    assert embedded is not None
    assert embedded.envelope.subject == b"inner"


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        (b"--b\r\n\r\none\r\n--b--\r\n", [b"one"]),
        (b"--b\r\n\r\none\r\n\r\n--b--\r\n", [b"one\r\n"]),
        (b"--b\r\n\r\none", [b"one"]),
        (b"--b\r\n\r\none\r\n--b", [b"one"]),
        (b"--b\r\n\r\none\r\n--b\r\n", [b"one", b""]),
        (b"--b \t\r\n\r\none\r\n--b--trailing\r\nepilogue\r\n--b\r\n", [b"one"]),
        (b"--b\n\none\n--b\n\ntwo\n--b--\n", [b"one", b"two"]),
        (b"--b\r\n\none\n--b\n\r\ntwo\r\n--b--", [b"one", b"two"]),
        (b"--b\r\n--b\r\n\r\n--b\r\n\r\n\r\n--b--\r\n", [b"", b"", b""]),
        (b"--b\r\n\r\n-- b\r\n- --b\r\n--B\r\n\r--b\r\n--b--", [b"-- b\r\n- --b\r\n--B\r\n\r--b"]),
        (b"--b\r\nX: no empty line\r\n--b\r\n\r\ntwo\r\n--b--", [b"", b"two"]),
        (b"nothing\r\n", [b""]),
        (b"", [b""]),
        (b"--b--\r\n\r\n--b\r\n\r\nafter the end\r\n", [b""]),
    ],
)
def test_delimiters_in_every_form(body: bytes, texts: list[bytes]) -> None:
    assert read(mixed(body)) == ("multipart/mixed", [("text/plain", text) for text in texts])


def test_the_longest_boundary_decides() -> None:
    inner = (
        b"--b\r\nContent-Type: multipart/mixed; boundary=bc\r\n\r\n--bc\r\n\r\none\r\n--bc--\r\n--b\r\n\r\ntwo\r\n--b--"
    )
    assert read(mixed(inner)) == (
        "multipart/mixed",
        [("multipart/mixed", [("text/plain", b"one")]), ("text/plain", b"two")],
    )


def test_of_equal_boundaries_the_innermost_decides() -> None:
    inner = b"--b\r\n" + mixed(b"--b\r\n\r\none\r\n--b--\r\n") + b"--b\r\n\r\ntwo\r\n--b--\r\n"
    assert read(mixed(inner)) == (
        "multipart/mixed",
        [("multipart/mixed", [("text/plain", b"one")]), ("text/plain", b"two")],
    )


def test_a_delimiter_of_an_outer_part_ends_the_inner_ones() -> None:
    inner = b"--b\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--i\r\n--b--"
    assert read(mixed(inner)) == (
        "multipart/mixed",
        [("multipart/mixed", [("text/plain", b"one")]), ("text/plain", b"two\r\n--i")],
    )


def test_parts_of_a_digest_are_messages() -> None:
    content = mixed(
        b"--b\r\n\r\nSubject: x\r\n\r\none\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>\r\n--b--",
        kind=b"multipart/digest",
    )
    assert read(content) == (
        "multipart/digest",
        [("message/rfc822", [("text/plain", b"one")]), ("text/html", b"<p>")],
    )


@pytest.mark.parametrize(
    ("head", "kind", "encoding"),
    [
        (b"", "text/plain", b""),
        (b"Content-Type: garbage\r\n", "text/plain", b""),
        (b"Content-Type:\r\n", "text/plain", b""),
        (b"Content-Type: TEXT/Html\r\n", "text/html", b""),
        (b"Content-Type: multipart\r\n", "multipart/mixed", b""),
        (b"Content-Transfer-Encoding: base64\r\n", "text/plain", b""),
        (b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: Base64 (x)\r\n", "text/plain", b"Base64"),
        (b"Content-Type: a/b\r\nContent-Type: c/d\r\nContent-Transfer-Encoding: x-mine\r\n", "a/b", b"x-mine"),
        (b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8 bit\r\n", "text/plain", b""),
        (b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64; x\r\n", "text/plain", b"base64"),
    ],
)
def test_what_a_header_says_of_its_body(head: bytes, kind: str, encoding: bytes) -> None:
    part = read_message(head + b"\r\nbody").part
    assert (part.media_type, part.encoding) == (kind, encoding)


def test_header_without_end_is_all_header() -> None:
    part = read_message(b"Subject: x\r\nContent-Type: text/html").part
    assert (part.media_type, part.start, part.body, part.end) == ("text/html", 0, 35, 35)


def test_parts_nest_no_deeper_than_the_limit() -> None:
    content = b"Content-Type: message/rfc822\r\n\r\n" * 250
    parts = list(read_message(content).part.walk())
    assert len(parts) == mime.DEPTH_LIMIT
    assert parts[-1].media_type == "application/octet-stream"
    assert parts[-1].end == len(content)


def test_parts_are_no_more_than_the_limit() -> None:
    content = mixed(b"--b\r\n\r\nx\r\n" * (mime.PARTS_LIMIT + 500) + b"--b--\r\n")
    parts = read_message(content).part.parts
    assert len(parts) == mime.PARTS_LIMIT - 1
    assert parts[-1].end == len(content)


def test_headers_beyond_the_limit_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mime, "HEADS_LIMIT", 1000)
    content = b"X: " + b"y" * 2000 + b"\r\nSubject: late\r\nContent-Type: text/html\r\n\r\nbody"
    message = read_message(content)
    assert (message.envelope.subject, message.part.media_type) == (None, "text/plain")
    assert content[message.part.body :] == b"body"


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_any_kind_of_octets_is_read(kind: type) -> None:
    large = NESTED.replace(b"<p>", b"<p>" + b"x" * 3_000_000)
    assert read_message(kind(large)) == read_message(large)


def test_a_large_message_is_never_held() -> None:
    chunk = base64.encodebytes(os.urandom(49_152)).replace(b"\n", b"\r\n")
    scanner = Scanner()
    scanner.feed(mixed(b"--b\r\nContent-Type: application/dicom\r\nContent-Transfer-Encoding: base64\r\n\r\n"))
    tracemalloc.start()
    try:
        for _ in range(500):  # 33 MB
            scanner.feed(chunk)
        scanner.feed(b"--b\r\n\r\nafter\r\n--b--\r\n")
        message = scanner.finish()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [part.media_type for part in message.part.parts] == ["application/dicom", "text/plain"]
    assert message.part.parts[0].octets == 500 * len(chunk) - 2
    assert peak < 1_000_000


@pytest.mark.parametrize(
    "content",
    [
        mixed(b"--b\n\nx\n" * 200_000),
        mixed(b"--\n" * 500_000),
        b"Content-Type: multipart/mixed; boundary=1\n\n--1\nContent-Type: multipart/mixed; boundary=2\n\n" + b"--3\n" * 300_000,
        b"".join(b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (n, n) for n in range(20_000)),
        b"a\n" * 500_000,
        b"To: " + b"a@b," * 250_000,
        b"To: " + b"<" * 1_000_000,
        b"To: " + b'"' * 1_000_000,
        b"To: " + b"(" * 1_000_000,
        b"To: " + b"<:" * 500_000,
        b"To: " + b"a:" * 500_000,
        b"To: a" + b" " * 1_000_000 + b"b@c",
        b"To: " + b"=?" * 500_000,
        b"To: " + b"[" * 1_000_000,
        b"Content-Type: a/b" + b";x=y" * 250_000,
        b"Content-Type: " + b"(" * 1_000_000,
        b"Content-Type: a/b; " + b'x="' * 300_000,
        b"Subject: x\n" + b" \n" * 500_000,
    ],
    ids=lambda content: content[-40:][:20].decode("latin-1").encode("unicode_escape").decode(),
)  # fmt: skip
def test_hostile_megabytes_are_read_in_linear_time(content: bytes) -> None:
    start = time.process_time()
    read_message(content)
    assert time.process_time() - start < 10  # some tenths of a second; what is quadratic takes minutes
