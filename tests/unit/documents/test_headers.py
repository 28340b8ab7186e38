"""The header reader: what lists show, on good mail, on bad mail and on hostile mail."""

import sys
import time
from datetime import UTC, datetime
from types import FrameType
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vaguemestre.documents.addresses import read_addresses
from vaguemestre.documents.encoded_words import decode_bytes, decode_words
from vaguemestre.documents.headers import HEAD_LIMIT, Summary, base_subject, count_received, split_head, summary

ORDINARY = (
    b"Received: from mx.a.mssante.fr (mx.a.mssante.fr [192.0.2.1])\r\n"
    b"\tby mx.b.mssante.fr with ESMTPS; Tue, 1 Jul 2025 10:00:01 +0200\r\n"
    b"Message-ID: <1.2@a.mssante.fr>\r\n"
    b"In-Reply-To: <0@b.mssante.fr>\r\n"
    b"References: <x@b.mssante.fr>\r\n <0@b.mssante.fr>\r\n"
    b"Date: Tue, 1 Jul 2025 10:00:00 +0200\r\n"
    b"From: Jean Dupont <jean.dupont@a.mssante.fr>\r\n"
    b"Sender: <secretariat@a.mssante.fr>\r\n"
    b"Reply-To: cabinet@a.mssante.fr\r\n"
    b"To: marie@b.mssante.fr, Paul <paul@b.mssante.fr>\r\n"
    b"Cc: pierre@c.mssante.fr\r\n"
    b"Subject: Radio\r\n panoramique\r\n"
    b'Content-Type: Multipart/Mixed; boundary="x"\r\n'
    b"\r\n"
)


def test_an_ordinary_header_is_read_whole() -> None:
    assert summary(ORDINARY) == Summary(
        subject="Radio panoramique",
        from_=(("Jean Dupont", "jean.dupont@a.mssante.fr"),),
        to=(("", "marie@b.mssante.fr"), ("Paul", "paul@b.mssante.fr")),
        cc=(("", "pierre@c.mssante.fr"),),
        reply_to=(("", "cabinet@a.mssante.fr"),),
        sender=(("", "secretariat@a.mssante.fr"),),
        date=datetime(2025, 7, 1, 8, 0, tzinfo=UTC),
        message_id="1.2@a.mssante.fr",
        in_reply_to=("0@b.mssante.fr",),
        references=("x@b.mssante.fr", "0@b.mssante.fr"),
        content_type="multipart/mixed",
        has_attachment=True,
    )


def test_line_endings_and_case_of_names_change_nothing() -> None:
    assert summary(ORDINARY.replace(b"\r\n", b"\n")) == summary(ORDINARY)
    assert summary(ORDINARY.replace(b"Subject:", b"SUBJECT :")) == summary(ORDINARY)


def test_the_first_of_several_like_fields_wins() -> None:
    assert summary(b"Subject: one\r\nSubject: two\r\n three\r\n\r\n").subject == "one"


def test_the_body_is_not_read() -> None:
    assert summary(b"To: a@b\r\n\r\nSubject: body\r\n") == Summary(to=(("", "a@b"),))


def test_no_header_at_all_is_an_empty_summary() -> None:
    assert summary(b"") == summary(b"\r\nbody") == summary(b"no colon\r\nnor here\r\n") == Summary()


# Texts


@pytest.mark.parametrize(
    ("raw", "subject"),
    [
        (b"=?UTF-8?Q?Pr=C3=A9l=C3=A8vement_du_3?=", "Prélèvement du 3"),
        (b"=?utf-8?B?UHLDqWzDqHZlbWVudA==?=", "Prélèvement"),
        (b"=?ISO-8859-1?Q?Pr=E9l=E8vement?= urgent", "Prélèvement urgent"),
        (b"=?iso-8859-15?Q?=A4?=", "€"),
        (b"=?windows-1252?Q?c=9Cur?=", "cœur"),
        (b"=?iso-8859-1?Q?l=92=9Cil?=", "l’œil"),  # Windows-1252 under another name, as Outlook writes it
        (b"=?utf-8*fr?Q?=C3=A9?=", "é"),
        (b"=?utf-8?Q?a?= =?utf-8?Q?b?=", "ab"),
        (b"=?utf-8?Q?a?=\r\n =?utf-8?Q?b?=", "ab"),
        (b"=?utf-8?B?w6k=?==?utf-8?Q?b?=", "éb"),
        (b"=?utf-8?Q?caf=C3?= =?utf-8?Q?=A9?=", "café"),  # cut within a character
        (b"=?utf-8?Q?a?= et =?iso-8859-1?Q?=E9?=", "a et é"),
        (b"=?utf-8?Q?a b?=", "a b"),  # a space that should not be there
        (b"=?utf-8?B?w6kg?", "=?utf-8?B?w6kg?"),  # not a word
        (b"=?utf-8?B?w6kgYWJjZ?=", "é abc"),  # cut short
        (b"=?utf-8?B?w6k?=", "é"),  # padding forgotten
        (b"=?x-unknown?Q?=C3=A9?=", "é"),
        (b"=?x-unknown?Q?=E9?=", "é"),
        (b"=?punycode?Q?abc-?=", "abc-"),
        (b"=?hex?Q?41?=", "41"),
        (b"=?utf-8?Q?=FF?=", "\N{REPLACEMENT CHARACTER}"),
        (b"=?utf-8?Q?a=0D=0ABcc:_x@y?=", "a Bcc: x@y"),  # no line breaks out of an encoded word
        (b"=?utf-16?B?//5hANgA?=", "aØ"),
        ("Prélèvement".encode(), "Prélèvement"),
        ("Prélèvement".encode("latin-1"), "Prélèvement"),
        (b"l\x92\x9cil", "l’œil"),
        (b"a\tb\x00c\x1b[31m", "a b c [31m"),
        (b"   ", ""),
    ],
)
def test_a_subject_is_decoded_as_well_as_it_can_be(raw: bytes, subject: str) -> None:
    assert summary(b"Subject: " + raw + b"\r\n\r\n").subject == subject


def test_a_charset_name_is_never_looked_up_among_python_s_codecs() -> None:
    before = set(sys.modules)
    assert decode_bytes(b"abc", "bz2") == decode_bytes(b"abc", "idna") == decode_bytes(b"abc", "../x") == "abc"
    assert not {name for name in set(sys.modules) - before if name.startswith("encodings.")}


# Addresses


@pytest.mark.parametrize(
    ("value", "mailboxes"),
    [
        ("", ()),
        ("a@b", (("", "a@b"),)),
        ("<a@b>", (("", "a@b"),)),
        ("a@b, , c@d,", (("", "a@b"), ("", "c@d"))),
        ("a@b; c@d", (("", "a@b"), ("", "c@d"))),
        ('"Dupont, Jean" <a@b>', (("Dupont, Jean", "a@b"),)),
        ('"Jean \\"JD\\" Dupont" <a@b>', (('Jean "JD" Dupont', "a@b"),)),
        ('Dr "Jean" Dupont <a@b>', (("Dr Jean Dupont", "a@b"),)),
        ("=?utf-8?Q?Ren=C3=A9,_Dr?= <a@b>, c@d", (("René, Dr", "a@b"), ("", "c@d"))),
        ('"=?utf-8?Q?Ren=C3=A9?=" <a@b>', (("René", "a@b"),)),
        ("René <a@b>", (("René", "a@b"),)),
        ("a@b (Jean (dit JD) Dupont)", (("Jean (dit JD) Dupont", "a@b"),)),
        ("Jean (chirurgien) <a@b>", (("Jean", "a@b"),)),
        ('a@b (it is 5" long), c@d', (('it is 5" long', "a@b"), ("", "c@d"))),
        ("a@b (never closed, c@d", (("never closed, c@d", "a@b"),)),
        ("undisclosed-recipients:;", ()),
        ("Cabinet: a@b, Jean <c@d>; e@f", (("", "a@b"), ("Jean", "c@d"), ("", "e@f"))),
        ("<@x,@y:a@b>", (("", "a@b"),)),
        ('"a b"@c', (("", '"a b"@c'),)),
        ('<"a,b"@c>', (("", '"a,b"@c'),)),
        ("a . b @ c", (("", "a.b@c"),)),
        ("a@[192.0.2.1], c@d", (("", "a@[192.0.2.1]"), ("", "c@d"))),
        ("Jean Dupont", (("Jean Dupont", ""),)),
        ("root", (("", "root"),)),
        ("Jean <a@b", (("Jean", "a@b"),)),
        ('"Jean <a@b>, c@d', (("Jean", "a@b"), ("", "c@d"))),
        ("Jean <>", (("Jean", ""),)),
        ("a@b <a@b>", (("a@b", "a@b"),)),
        ("Jean <a@b> (cabinet), c@d", (("Jean", "a@b"), ("", "c@d"))),
    ],
)
def test_an_address_list_is_read_as_people_meant_it(value: str, mailboxes: tuple[tuple[str, str], ...]) -> None:
    assert read_addresses(value) == mailboxes


# Dates, identifiers, types


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (b"Tue, 01 Jul 2025 10:00:00 +0200", datetime(2025, 7, 1, 8, tzinfo=UTC)),
        (b"1 jul 2025 10:00 -0330", datetime(2025, 7, 1, 13, 30, tzinfo=UTC)),
        (b"Tue, 1 Jul 2025 10:00:60 GMT", datetime(2025, 7, 1, 10, 0, 59, tzinfo=UTC)),
        (b"Tue, 1 Jul 2025 10:00:00 +0200 (CEST)", datetime(2025, 7, 1, 8, tzinfo=UTC)),
        (b"Tue, 1 Jul 25 10:00:00 EST", datetime(2025, 7, 1, 15, tzinfo=UTC)),
        (b"Tue, 1 Jul 2025 10:00:00", datetime(2025, 7, 1, 10, tzinfo=UTC)),
        (b"Tue, 1 Jul 2025 10:00:00 -0000", datetime(2025, 7, 1, 10, tzinfo=UTC)),
        (b"31 Feb 2025 10:00:00 +0000", None),
        (b"1 Jan 0001 00:00:00 +1200", None),
        (b"31 Dec 9999 23:59:59 -1200", None),
        (b"1 Foo 2025 10:00:00 +0000", None),
        (b"1 Jul 2025 10:00:00 +9999", None),
        (b"yesterday", None),
        (b"1 " * 10_000, None),
        (b"", None),
    ],
)
def test_a_date_is_read_in_utc_or_not_at_all(value: bytes, moment: datetime | None) -> None:
    assert summary(b"Date: " + value + b"\r\n\r\n").date == moment


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        (b"<a@b>", ("a@b",)),
        (b"<a@b>\r\n\t<c@d><e@f>, <g@h>", ("a@b", "c@d", "e@f", "g@h")),
        (b"a@b", ("a@b",)),
        (b"Message of Tuesday <a@b>", ("a@b",)),
        (b"<unclosed@b", ("unclosed@b",)),
        (b"<>", ()),
        (b"", ()),
    ],
)
def test_message_ids_lose_their_brackets(value: bytes, ids: tuple[str, ...]) -> None:
    read = summary(b"References: " + value + b"\r\nMessage-ID: " + value + b"\r\n\r\n")
    assert read.references == ids
    assert read.message_id == "".join(ids[:1])


@pytest.mark.parametrize(
    ("head", "content_type", "attachment"),
    [
        (b"", "text/plain", False),
        (b"Content-Type: text/html; charset=utf-8\r\n", "text/html", False),
        (b"Content-Type: multipart/alternative; boundary=x\r\n", "multipart/alternative", False),
        (b"Content-Type: MULTIPART/MIXED\r\n", "multipart/mixed", True),
        (b"Content-Type: application/pdf\r\n", "application/pdf", True),
        (b"Content-Type: text/plain\r\nContent-Disposition: Attachment; filename=a\r\n", "text/plain", True),
        (b"Content-Type: text\r\n", "text/plain", False),
        (b"Content-Type: ;;;\r\n", "text/plain", False),
    ],
)
def test_the_type_tells_whether_there_are_attachments(head: bytes, content_type: str, attachment: bool) -> None:
    read = summary(head + b"\r\n")
    assert (read.content_type, read.has_attachment) == (content_type, attachment)


# Head and hops


@pytest.mark.parametrize(
    ("content", "head"),
    [
        (b"A: b\r\n\r\nbody", b"A: b\r\n\r\n"),
        (b"A: b\n\nbody", b"A: b\n\n"),
        (b"A: b\n\r\nbody", b"A: b\n\r\n"),
        (b"A: b\n\nbody\r\n\r\n", b"A: b\n\n"),
        (b"A: b\r\n\r\nbody\n\n", b"A: b\r\n\r\n"),
        (b"\r\nbody", b"\r\n"),
        (b"\nbody\n\n", b"\n"),
        (b"A: b\r\n", b"A: b\r\n"),
        (b"", b""),
    ],
)
def test_the_head_ends_with_its_empty_line(content: bytes, head: bytes) -> None:
    assert content[: split_head(content)] == head


def test_hops_are_counted_whatever_their_case_and_only_as_fields() -> None:
    assert count_received(b"Received: a\r\nRECEIVED: b\r\n received: folded\r\nX-Received: c\r\nreceived: d\r\n") == 3
    assert count_received(b"") == 0


# Base subjects


@pytest.mark.parametrize(
    ("subject", "base", "answered"),
    [
        ("Radio", "radio", False),
        ("Re: Radio", "radio", True),
        ("RE : Radio", "radio", True),
        ("RE\N{NO-BREAK SPACE}: Radio", "radio", True),
        ("TR: Radio", "radio", True),
        ("Tr : RE: Radio", "radio", True),
        ("Fwd: Radio", "radio", True),
        ("FW: Radio", "radio", True),
        ("Réf : Radio", "radio", True),
        ("Re\u0301f : Radio", "radio", True),
        ("Rép: Radio", "radio", True),
        ("Re[2]: Radio", "radio", True),
        ("Re: [labo] Re: Radio", "radio", True),
        ("[labo] Radio", "radio", False),
        ("[a] [b]", "[b]", False),
        ("[labo]", "[labo]", False),
        ("Radio (fwd)", "radio", True),
        ("Radio (Fwd) (fwd) ", "radio", True),
        ("[Fwd: Re: Radio]", "radio", True),
        ("[Fwd: [Fwd: Radio] (fwd)]", "radio", True),
        ("  Radio \t panoramique ", "radio panoramique", False),
        ("Re:", "", True),
        ("", "", False),
        ("Référence: Radio", "référence: radio", False),
        ("Rendez-vous: lundi", "rendez-vous: lundi", False),
        ("Trois: points", "trois: points", False),
        ("XDM/1.0/DDM+CR DUPONT Jean 01/01/1970", "xdm/1.0/ddm+cr dupont jean 01/01/1970", False),
        ("[not closed Re: a", "[not closed re: a", False),
    ],
)
def test_the_base_subject_is_what_a_thread_is_about(subject: str, base: str, answered: bool) -> None:
    assert base_subject(subject) == (base, answered)


@given(st.text(max_size=60))
def test_the_base_subject_has_no_prefix_left(subject: str) -> None:
    base, _ = base_subject(subject)
    assert base_subject(base)[0] == base or "[" in base  # a label that alone remains may unveil another prefix


# Hostile input

FIELDS = [b"Subject: ", b"From: ", b"Date: ", b"References: ", b"Content-Type: ", b"\r\n", b"\n ", b"=?utf-8?B?", b"?="]
PIECES = st.lists(
    st.one_of(st.binary(max_size=8), st.sampled_from([*FIELDS, b'"', b"<", b">", b"(", b",", b":", b"\\", b"[", b"@"])),
    max_size=40,
).map(b"".join)


@given(PIECES)
@example(b"From: \xff\xfe")
@example(b"Subject: =?utf-16?B?2AA=?=")
def test_no_bytes_make_it_fail_and_what_it_says_can_be_stored(head: bytes) -> None:
    read = summary(head)
    assert msgspec.json.decode(msgspec.json.encode(read), type=Summary) == read
    for text in (read.subject, *(part for mailbox in (*read.from_, *read.to) for part in mailbox)):
        assert not any(character < " " or "\x7f" <= character <= "\x9f" for character in text)
    assert 0 <= split_head(head) <= len(head)
    base_subject(read.subject)


@given(st.text())
def test_no_text_makes_the_readers_fail(text: str) -> None:
    read_addresses(text)
    decode_words(text)
    base_subject(text)


PATHOLOGICAL = {
    "comments": b"To: " + b"(" * HEAD_LIMIT,
    "closed comments": b"To: " + b"(a)" * HEAD_LIMIT,
    "quotes": b"To: " + b'"\\"' * HEAD_LIMIT,
    "open quotes": b'To: "' + b'\\"' * HEAD_LIMIT,
    "escapes": b"To: x;" + b"\\" * HEAD_LIMIT,
    "literals": b"To: " + b"[" * HEAD_LIMIT,
    "brackets": b"To: ;" + b"<" * HEAD_LIMIT,
    "groups": b"To: " + b":" * HEAD_LIMIT,
    "addresses": b"To: " + b'"a" <a@b>,' * HEAD_LIMIT,
    "open words": b"To: " + b"=?u?q?" * HEAD_LIMIT,
    "words": b"Subject: " + b"=?utf-8?Q?a?= " * HEAD_LIMIT,
    "charsets": b"Subject: " + b" ".join(b"=?utf-8*%d?B?YQ==?=" % n for n in range(4000)),
    "word starts": b"Subject: " + b"=?" * HEAD_LIMIT,
    "folds": b"Subject:" + b"\n a" * HEAD_LIMIT,
    "lines": b"a\n" * HEAD_LIMIT,
    "references": b"References: " + b"<" * HEAD_LIMIT,
    "re": b"Subject: " + b"Re: " * HEAD_LIMIT,
    "labels": b"Subject: " + b"[a]" * HEAD_LIMIT,
    "forwards": b"Subject: " + b"[fwd:" * (HEAD_LIMIT // 8) + b"]" * HEAD_LIMIT,
    "trailers": b"Subject: a" + b"(fwd)" * HEAD_LIMIT,
}


def _steps(head: bytes) -> int:
    """Lines of Python executed to read this header."""
    steps = 0

    def count(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal steps
        steps += event == "line"
        return count

    previous = sys.gettrace()
    sys.settrace(count)
    try:
        base_subject(summary(head).subject)
    finally:
        sys.settrace(previous)
    return steps


@pytest.mark.parametrize("kind", PATHOLOGICAL)
def test_hostile_headers_take_a_time_that_grows_as_their_size(kind: str) -> None:
    head = PATHOLOGICAL[kind]
    assert _steps(head[:8000]) < 2.2 * _steps(head[:4000]) + 200
    # Python's own steps are counted; a regular expression that went quadratic would take minutes here.
    started = time.process_time()
    base_subject(summary(head).subject)
    assert time.process_time() - started < 2
