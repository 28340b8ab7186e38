"""Passages: every word that people would look for stands in its chapter, whatever the message is made of."""

import base64
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.documents.compilation import Passages
from vaguemestre.documents.concordance import CHAPTERS
from vaguemestre.documents.headers import summary
from vaguemestre.documents.passages import Chapter, fields, of_content, of_head, of_summary

_HEAD = """\
Received: from mx.b.mssante.fr by a.mssante.fr with ESMTPS id 4x7
Message-ID: <1.abc@b.mssante.fr>
From: =?utf-8?Q?H=C3=A9l=C3=A8ne?= Dupont <helene@b.mssante.fr>
To: groupe: Jean <jean@a.mssante.fr>, awa@a.mssante.fr;
To: second@a.mssante.fr
Subject: =?utf-8?B?Q29tcHRlLXJlbmR1IG9ww6lyYXRvaXJl?=
X-Logiciel: Cabinet
 numérique 3
DKIM-Signature: v=1; b=TmFub3BhcnRpY3VsZQ
MIME-Version: 1.0
"""


def _lines(passages: Passages) -> list[str]:
    return [" ".join(words) for words in passages]


def _message(body: str, content_type: str = "text/plain; charset=utf-8") -> bytes:
    return f"{_HEAD}Content-Type: {content_type}\n\n{body}".replace("\n", "\r\n").encode()


def _part(content_type: str, text: str, more: str = "") -> str:
    return f"--b\nContent-Type: {content_type}\n{more}\n{text}\n"


def _body(content: bytes) -> list[str]:
    return _lines(of_content(content)[Chapter.BODY])


def test_addresses_are_searched_as_people_see_them_and_as_they_are_written() -> None:
    found = of_head(_HEAD.encode())
    assert _lines(found[Chapter.FROM]) == ["helene dupont helene b mssante fr"]
    assert _lines(found[Chapter.TO]) == [
        "jean jean a mssante fr",
        "awa a mssante fr",
        "groupe jean jean a mssante fr awa a mssante fr",
        "second a mssante fr",
    ]
    assert _lines(found[Chapter.SUBJECT]) == ["compte rendu operatoire"]
    assert found[Chapter.CC] == found[Chapter.BCC] == found[Chapter.BODY] == []


def test_other_fields_are_searched_by_value_and_kept_by_name() -> None:
    found = of_head(_HEAD.encode())
    others = _lines(found[Chapter.OTHER_FIELDS])
    assert "1 abc b mssante fr" in others
    assert "cabinet numerique 3" in others
    assert not any("logiciel" in line for line in others)
    assert ["x-logiciel"] in found[Chapter.FIELD_NAMES]
    assert ["dkim-signature"] in found[Chapter.FIELD_NAMES]


def test_what_machines_sign_and_boundaries_are_not_searched() -> None:
    found = of_content(_message("", 'multipart/mixed; boundary="=_Rare123"; charset=utf-8'))
    others = " ".join(_lines(found[Chapter.OTHER_FIELDS]))
    assert "tmfub" not in others
    assert "rare123" not in others
    assert "multipart mixed charset utf 8" in others


def test_a_body_is_its_texts_decoded() -> None:
    assert _body(_message("Dent nº 36,\nà revoir.")) == ["dent n 36 a revoir"]
    quoted = _message(
        "Cr=C3=A9atinine =\n9 mg", "text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable"
    )
    assert _body(quoted) == ["creatinine 9 mg"]


def test_the_text_of_pages_is_searched_without_their_marks() -> None:
    html = _message("<p>Bilan <b>sanguin</b></p><script>var secret</script>", "text/html")
    assert _body(html) == ["bilan sanguin"]


def test_an_alternative_is_searched_where_it_says_more() -> None:
    same = _part("text/plain", "Bonjour docteur") + _part("text/html", "<p>Bonjour <i>docteur</i></p>") + "--b--\n"
    more = _part("text/plain", "Voir la version HTML") + _part("text/html", "<p>Résultat normal</p>") + "--b--\n"
    related = _part("text/plain", "Bonjour") + (
        "--b\nContent-Type: multipart/related; boundary=c\n\n--c\nContent-Type: text/html\n\n<p>Bonjour</p>\n--c--\n--b--\n"
    )
    assert _body(_message(same, "multipart/alternative; boundary=b")) == ["bonjour docteur"]
    assert _body(_message(more, "multipart/alternative; boundary=b")) == ["voir la version html", "resultat normal"]
    assert _body(_message(related, "multipart/alternative; boundary=b")) == ["bonjour"]


def test_attached_texts_names_and_messages_are_searched() -> None:
    inner = "From: Zoé <zoe@c.fr>\nSubject: Avis ancien\n\nTexte transféré"
    body = (
        _part("text/plain", "Ci-joint")
        + _part("text/csv", "glycémie;1,05", 'Content-Disposition: attachment; filename="résultats.csv"\n')
        + _part(
            "application/octet-stream", "AAAA", "Content-Disposition: attachment; filename*=utf-8''sch%C3%A9ma.png\n"
        )
        + _part("message/rfc822", inner)
        + "--b--\n"
    )
    found = _body(_message(body, "multipart/mixed; boundary=b"))
    assert "ci joint" in found
    assert "resultats csv" in found
    assert "glycemie 1 05" in found
    assert "schema png" in found
    assert "zoe zoe c fr" in found
    assert "avis ancien" in found
    assert "texte transfere" in found


def test_fields_of_parts_are_searched_with_those_of_the_header() -> None:
    body = _part("application/dicom", "AAAA", "Content-Description: Panoramique\n") + "--b--\n"
    others = _lines(of_content(_message(body, "multipart/mixed; boundary=b"))[Chapter.OTHER_FIELDS])
    assert "application dicom" in others
    assert "panoramique" in others


@pytest.mark.parametrize("content_type", ["application/pdf", 'application/octet-stream; name="bilan.PDF"'])
def test_the_text_of_pdfs_is_searched(content_type: str) -> None:
    sample_pdf = (files("vaguemestre.samples") / "report.pdf").read_bytes()
    body = (
        _part(content_type, base64.encodebytes(sample_pdf).decode(), "Content-Transfer-Encoding: base64\n") + "--b--\n"
    )
    message = _message(body, "multipart/mixed; boundary=b")
    assert any("panoramique" in line for line in _body(message))
    without = of_content(message, with_attachments=False)
    assert not any("panoramique" in line for line in _lines(without[Chapter.BODY]))


def test_a_broken_pdf_leaves_the_rest() -> None:
    body = _part("text/plain", "Lettre") + _part("application/pdf", "%PDF-1.7 rien") + "--b--\n"
    assert "lettre" in _body(_message(body, "multipart/mixed; boundary=b"))


def test_a_summary_stands_in_for_what_cannot_be_read() -> None:
    found = of_summary(summary(_HEAD.encode()))
    assert _lines(found[Chapter.FROM]) == ["helene dupont helene b mssante fr"]
    assert _lines(found[Chapter.SUBJECT]) == ["compte rendu operatoire"]
    assert "1 abc b mssante fr" in _lines(found[Chapter.OTHER_FIELDS])
    assert found[Chapter.BODY] == []


@given(st.binary(max_size=400))
def test_no_bytes_make_it_fail(noise: bytes) -> None:
    for content in (noise, _HEAD.encode() + noise, _message("", "multipart/mixed; boundary=b") + b"--b\r\n" + noise):
        found = of_content(content, with_attachments=False)
        assert len(found) == CHAPTERS
        for passages in found:
            assert all(word and "\n" not in word for words in passages for word in words)


def test_fields_are_unfolded_and_bounded() -> None:
    assert fields(b"A: b\r\n c\r\nnone\r\n  d\r\n: e\r\nA : f\r\n\r\nB: g") == [("a", "b c"), ("a", "f")]
    assert len(fields(b"X: y\r\n" * 100_000)) < 12_000
