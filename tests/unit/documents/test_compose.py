"""Composing: what the standard email package reads back is what was said."""

from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.documents.compose import Attachment, compose, new_message_id
from vaguemestre.documents.fields import CompositionError
from vaguemestre.documents.headers import split_head, summary
from vaguemestre.documents.parts import media_type_of, multipart, text_part

AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
JEAN = ("Dr Jean Dupont", "jean@a.mssante.fr")
MARIE = ("", "marie@b.mssante.fr")


def _read(message: bytes) -> EmailMessage:
    parsed = message_from_bytes(message, policy=SMTP)
    assert isinstance(parsed, EmailMessage)
    assert not any(part.defects for part in parsed.walk())
    return parsed


def _conformant(message: bytes) -> None:
    assert message.isascii()
    assert message.count(b"\n") == message.count(b"\r") == message.count(b"\r\n")
    assert max(map(len, message.split(b"\r\n"))) <= 998
    assert b"\0" not in message


def _compose(subject: str = "Radio", text: str = "Bonjour", attachments: tuple[Attachment, ...] = ()) -> bytes:
    return compose(author=JEAN, to=[MARIE], subject=subject, text=text, at=AT, attachments=attachments)


def test_a_letter_with_its_files_reads_back() -> None:
    panoramic = bytes(range(256)) * 500
    message = compose(
        author=("Hélène Œil, Dr", "helene@a.mssante.fr"),
        to=[MARIE, ('Paul "Pau" Durand', "paul@b.mssante.fr")],
        cc=[("Cabinet", "cabinet@c.mssante.fr")],
        subject="Panoramique de M. Élan – contrôle à 6 mois",
        text="Cher confrère,\n\nVoici l'image.\n",
        at=AT,
        attachments=[Attachment("panoramique élan.png", panoramic), Attachment("compte-rendu.pdf", b"%PDF-")],
        message_id="1@a.mssante.fr",
        in_reply_to=["0@b.mssante.fr"],
        references=["x@b.mssante.fr", "0@b.mssante.fr"],
        extra=[("X-MSS-NIL", "n° 12")],
    )
    _conformant(message)
    parsed = _read(message)
    text, image, report = parsed.iter_parts()
    assert text.get_content().replace("\r\n", "\n") == "Cher confrère,\n\nVoici l'image.\n"
    assert (image.get_content_type(), image.get_filename()) == ("image/png", "panoramique élan.png")
    assert image.get_content() == panoramic
    assert (report.get_content_type(), report.get_filename()) == ("application/pdf", "compte-rendu.pdf")
    assert report.get_content_disposition() == "attachment"
    assert parsed["X-MSS-NIL"] == "n° 12"
    assert parsed["MIME-Version"] == "1.0"
    assert parsed["Message-ID"] == "<1@a.mssante.fr>"
    read = summary(message[: split_head(message)])
    assert read.from_ == (("Hélène Œil, Dr", "helene@a.mssante.fr"),)
    assert read.to == (MARIE, ('Paul "Pau" Durand', "paul@b.mssante.fr"))
    assert read.subject == "Panoramique de M. Élan – contrôle à 6 mois"
    assert read.date == AT
    assert read.references == ("x@b.mssante.fr", "0@b.mssante.fr")
    assert read.has_attachment


def test_a_letter_alone_is_one_part_with_an_identifier_of_its_own() -> None:
    first, second = (_read(_compose()) for _ in range(2))
    assert first.get_content_type() == "text/plain"
    assert first["Message-ID"] != second["Message-ID"]
    assert str(first["Message-ID"]).endswith("@a.mssante.fr>")


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=40))
def test_any_words_make_a_conformant_message(subject: str, text: str, name: str) -> None:
    message = compose(
        author=(name, JEAN[1]), to=[MARIE], subject=subject, text=text, at=AT, attachments=[Attachment(name, b"x")]
    )
    _conformant(message)
    head = message[: split_head(message)]
    assert head.count(b"\r\nTo:") == 1
    assert head.count(b"\r\nSubject:") == 1
    assert len(list(_read(message).iter_parts())) == 2
    assert summary(head).to == (MARIE,)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=400))
def test_a_subject_reads_back_whatever_its_length(subject: str) -> None:
    message = _compose(subject=subject)
    assert "".join(summary(message[: split_head(message)]).subject.split()) == subject


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=2000))
def test_a_text_reads_back(text: str) -> None:
    content = _read(_compose(text=text)).get_payload(decode=True)
    assert isinstance(content, bytes)
    assert content.decode().replace("\r\n", "\n") == text.removesuffix("\n") + "\n"


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=200))
def test_a_file_name_reads_back(name: str) -> None:
    [_, file] = _read(_compose(attachments=(Attachment(name, b"x"),))).iter_parts()
    assert file.get_filename() == name


@pytest.mark.parametrize("subject", ["a\r\nBcc: eve@e", "a\nb", "=?utf-8?Q?x?="])
def test_a_value_never_makes_another_field(subject: str) -> None:
    message = _compose(subject=subject)
    assert _read(message)["Bcc"] is None
    assert summary(message).subject == " ".join(subject.replace("\r\n", " ").split())


@pytest.mark.parametrize("address", ["", "marie", "marie@", "@b", "a@b\r\nBcc: c@d", "a@b>, <c@d", "a b@c", "a@b, c@d"])
def test_what_is_not_an_address_is_named(address: str) -> None:
    with pytest.raises(CompositionError, match="is not an address"):
        compose(author=JEAN, to=[("Marie", address)], subject="", text="", at=AT)


def test_a_field_name_never_makes_another_field() -> None:
    with pytest.raises(CompositionError):
        compose(author=JEAN, to=[MARIE], subject="", text="", at=AT, extra=[("X\r\nBcc", "c@d")])


def test_an_address_that_is_not_ascii_is_written_in_utf_8() -> None:
    message = compose(author=JEAN, to=[("René", "rené@b.mssante.fr")], subject="é", text="é", at=AT)
    head = message[: split_head(message)]
    assert "rené@b.mssante.fr".encode() in head
    assert message[len(head) :].isascii()
    assert summary(head).to == (("René", "rené@b.mssante.fr"),)


def test_many_recipients_are_folded() -> None:
    to = [("Dr Machin", f"adresse.numero.{n}@b.mssante.fr") for n in range(300)]
    message = compose(author=JEAN, to=to, subject="", text="", at=AT)
    _conformant(message)
    assert summary(message).to == tuple(to)


def test_a_long_identifier_is_never_cut() -> None:
    long = "x" * 200 + "@a.mssante.fr"
    message = compose(author=JEAN, to=[MARIE], subject="", text="", at=AT, references=[long, long], message_id=long)
    assert (summary(message).message_id, summary(message).references) == (long, (long, long))


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.PDF", "application/pdf"),
        ("a.dcm", "application/dicom"),
        ("a.jpg", "image/jpeg"),
        ("cda.xml", "application/xml"),
        ("a.tar.gz", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ],
)
def test_a_type_is_guessed_by_the_name(name: str, media_type: str) -> None:
    assert media_type_of(name) == media_type


@pytest.mark.parametrize("media_type", ["message/rfc822", "multipart/mixed", "text/plain\r\nX: y", "nonsense"])
def test_a_type_that_base64_may_not_hold_becomes_bytes(media_type: str) -> None:
    [_, file] = _read(_compose(attachments=(Attachment("a.eml", b"x", media_type),))).iter_parts()
    assert file.get_content_type() == "application/octet-stream"


def test_parts_with_8_bit_bytes_are_announced() -> None:
    assert b"Content-Transfer-Encoding: 8bit\r\n" in multipart("multipart/mixed", [b"\r\n\xe9\r\n"])
    assert b"8bit" not in multipart("multipart/mixed", [text_part("é")])


def test_a_message_id_is_ascii_even_in_a_domain_that_is_not() -> None:
    assert new_message_id("é.mssante.fr").endswith("@xn--9ca.mssante.fr")
