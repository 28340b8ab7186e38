"""What a message says: its text, its preview, what is attached."""

import base64
import zlib

import pytest

from vaguemestre.documents.mime import read_message
from vaguemestre.documents.text import (
    PREVIEW_LIMIT,
    Attachment,
    attachments,
    decode_text,
    message_text,
    preview,
    read_structure,
)


def text_of(content: bytes, limit: int = 10_000) -> str:
    return message_text(read_message(content).part, lambda start, end: content[start:end], limit)


def preview_of(content: bytes) -> str:
    return preview(read_message(content).part, lambda start, end: content[start:end])


def attached(content: bytes) -> list[Attachment]:
    structure = read_structure(read_message(content), lambda start, end: content[start:end])
    found = attachments(structure.part)
    assert structure.has_attachment == bool(found)
    return found


def part(kind: str, body: bytes, *fields: str) -> bytes:
    return "\r\n".join([f"Content-Type: {kind}", *fields, "", ""]).encode("latin-1") + body


def multipart(kind: str, *parts: bytes) -> bytes:
    boundary = b"b%08x" % zlib.crc32(b"".join(parts))
    head = b"Content-Type: multipart/" + kind.encode() + b"; boundary=" + boundary + b"\r\n\r\n"
    return head + b"".join(b"--" + boundary + b"\r\n" + each + b"\r\n" for each in parts) + b"--" + boundary + b"--\r\n"


PLAIN, HTML = (
    part("text/plain; charset=utf-8", "Résultat".encode()),
    part("text/html", b"<p>R&eacute;sultat <b>riche</b>"),
)
PDF = part(
    "application/pdf; name=cr.pdf", b"JVBERi0=", "Content-Transfer-Encoding: base64", "Content-Disposition: attachment"
)
IMAGE = part("image/png; name=logo.png", b"x", "Content-ID: <logo>", "Content-Disposition: inline")
LETTER = b"Subject: =?utf-8?q?r=C3=A9f=C3=A9rence?=\r\n" + part("text/plain", b"within")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (PLAIN, "Résultat"),
        (HTML, "Résultat riche"),
        (multipart("alternative", PLAIN, HTML), "Résultat"),
        (multipart("alternative", part("text/plain", b" \r\n"), HTML), "Résultat riche"),
        (multipart("alternative", multipart("related", HTML, IMAGE)), "Résultat riche"),
        (multipart("alternative", HTML, part("application/json", b"{}")), "Résultat riche"),
        (multipart("mixed", PLAIN, PDF, part("text/plain", b"foot")), "Résultat\n\nfoot"),
        (multipart("mixed", PLAIN, part("message/rfc822", LETTER)), "Résultat\n\nréférence\n\nwithin"),
        (PDF, ""),
        (b"", ""),
    ],
)
def test_the_best_text_of_each_part(content: bytes, expected: str) -> None:
    assert text_of(content) == expected


def test_text_is_bounded() -> None:
    assert text_of(multipart("mixed", PLAIN, part("text/plain", b"x" * 5000)), 100) == "Résultat\n\n" + "x" * 90


@pytest.mark.parametrize(
    ("raw", "charset", "expected"),
    [
        (b"abc", "", "abc"),
        ("é".encode(), "", "é"),
        (b"\xe9", "", "é"),
        ("é".encode(), "us-ascii", "é"),
        (b"\xe9", "utf-8", "é"),
        ("é".encode() + b"\xe9", "utf-8", "é\ufffd"),
        ("été".encode()[:-1], "utf-8", "ét\ufffd"),
        (b"\x80", "iso-8859-1", "€"),
        (b"\xe9", "x-klingon", "é"),
        ("été".encode("utf-16"), "utf-16", "été"),
        ("時".encode("iso2022_jp"), "iso-2022-jp", "時"),
        (b"+AGEA-", "utf-7", "+AGEA-"),
    ],
)
def test_charsets(raw: bytes, charset: str, expected: str) -> None:
    assert decode_text(raw, charset) == expected


def test_text_in_base64_and_an_unknown_encoding() -> None:
    assert text_of(part("text/plain", base64.b64encode("été".encode()), "Content-Transfer-Encoding: base64")) == "été"
    assert text_of(part("text/plain", b"x", "Content-Transfer-Encoding: x-mine")) == ""


def test_text_has_no_control_characters() -> None:
    assert text_of(part("message/rfc822", b"Subject: a\x1b[31m\0b\r\n\r\n")) == "a [31m\ufffdb"
    assert text_of(part("text/plain", b"a\x1b[31mb\r\nc\td\0\x07e\rf")) == "a [31mb\nc\td e f"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"Bonjour,\r\n\r\n  voici   le compte\trendu.\r\n", "Bonjour, voici le compte rendu."),
        (b"> old\r\n> older\r\nNew words.", "New words."),
        (b"New words.\r\n\r\nLe 3 mars, Jean a \xe9crit :\r\n> old", "New words."),
        (b"Jean wrote:\r\nno quote", "Jean wrote: no quote"),
        (b"New words.\r\n-- \r\nDr Jean Dupont", "New words."),
        (b"New words.\r\n-----Original Message-----\r\nFrom: x", "New words."),
        (b"New words.\r\n________________________________\r\nDe : x", "New words."),
        (b"> only what was quoted", "> only what was quoted"),
        (b"", ""),
        ("inv\u200bisi\u00adble\ufeff".encode(), "invisible"),
    ],
)
def test_a_preview_is_what_the_author_wrote(body: bytes, expected: str) -> None:
    assert preview_of(part("text/plain", body)) == expected


def test_a_preview_is_short_and_of_one_line() -> None:
    found = preview_of(part("text/html", b"<div>word</div>" * 1000))
    assert len(found) <= PREVIEW_LIMIT
    assert found.startswith("word word")


def test_a_preview_is_of_the_text_and_not_of_what_is_attached() -> None:
    log = part("text/plain; name=log.txt", b"log", "Content-Disposition: attachment")
    assert preview_of(multipart("mixed", log, multipart("alternative", PLAIN, HTML))) == "Résultat"
    assert preview_of(multipart("mixed", log, PDF)) == ""
    quoted = b"<p>Oui.</p><blockquote><p>D'accord ?</p></blockquote>"
    assert preview_of(part("text/html", quoted)) == "Oui."


def test_attachments_have_their_number_and_decoded_name() -> None:
    named = part("application/pdf", b"x", "Content-Disposition: attachment; filename*=utf-8''r%C3%A9sum%C3%A9.pdf")
    content = multipart("mixed", multipart("alternative", PLAIN, HTML), named, PDF, part("message/rfc822", LETTER))
    assert attached(content) == [
        Attachment("2", "résumé.pdf", "application/pdf", 1),
        Attachment("3", "cr.pdf", "application/pdf", 5),
        Attachment("4", "référence.eml", "message/rfc822", len(LETTER)),
    ]


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        multipart("alternative", PLAIN, HTML),
        multipart("related", HTML, IMAGE),
        multipart("signed", PLAIN, part("application/pkcs7-signature; name=smime.p7s", b"x")),
        multipart("report", PLAIN, part("message/delivery-status", b"Action: failed\r\n")),
        part("text/plain; name=body.txt", b"the message's own text"),
        b"",
    ],
)
def test_what_only_shows_or_signs_the_text_is_no_attachment(content: bytes) -> None:
    assert attached(content) == []


@pytest.mark.parametrize(
    "content",
    [
        PDF,
        multipart("mixed", PLAIN, IMAGE),
        multipart("mixed", PLAIN, part("text/plain; name=a.txt", b"x")),
        multipart("mixed", PLAIN, part("text/csv", b"a,b")),
        multipart("related", HTML, PDF),
        multipart("alternative", PLAIN, part("text/calendar", b"BEGIN:VCALENDAR")),
        part("text/html; name=x", b"x", "Content-Disposition: attachment"),
    ],
)
def test_what_people_would_save_is_an_attachment(content: bytes) -> None:
    assert len(attached(content)) == 1


@pytest.mark.parametrize("name", ["../../etc/passwd", "C:\\\\x\\\\passwd", "/passwd", "a/../passwd"])
def test_a_name_has_no_folders(name: str) -> None:
    content = part("application/x", b"x", f'Content-Disposition: attachment; filename="{name}"')
    assert attached(content)[0].name == "passwd"
