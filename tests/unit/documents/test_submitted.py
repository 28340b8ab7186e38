"""What is added to and taken from a header that a mail program hands over."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.documents import submitted
from vaguemestre.documents.header_fields import read_fields, select_fields

AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
WHOLE = b"From: <anne@b.example>\r\nDate: Mon, 02 Mar 2026 10:00:00 +0100\r\nMessage-ID: <1@b.example>\r\n\r\n"
LINES = [
    b"From: <anne@b.example>", b"from :\r\n <anne@b.example>", b"Bcc: <x@secret.example>", b"BCC:", b"bcc\t: a,\r\n\tb",
    b"Bcc:\r\n <x@secret.example>,\r\n\t<y@secret.example>", b"Resent-Bcc: <x@secret.example>", b"Date:", b"Date:\r\n ",
    b"Return-Path: <>", b"X-Sent-By: me", b"Subject: \xe9\xc3\xa9", b"X-Bcc: kept", b"no field", b" folded", b"\xe9: x",
    b"Message-ID:", b"From:", b"From nobody Mon Mar  2 10:00:00 2026",
]  # fmt: skip


def completed(head: bytes) -> bytes:
    return submitted.completed(head, ("Anne", "anne@b.example"), AT, "2@b.example")


def test_a_whole_header_stays_octet_for_octet() -> None:
    for more in (b"", b"Subject: caf\xe9\r\n", b"X-Bcc: \xc3\xa9\r\n\tfolded\r\n", b"Resent-To: <x@y.example>\r\n"):
        assert completed(more + WHOLE) == more + WHOLE


def test_blind_copies_go_with_their_folds() -> None:
    bcc = b"bCC :\r\n\t<x@y.example>,\r\n <z@y.example>\r\nResent-Bcc: a\r\n b\r\n"
    assert completed(bcc + WHOLE) == WHOLE
    assert completed(WHOLE[:-2] + bcc + b"\r\n") == WHOLE
    assert completed(WHOLE[:-2] + bcc.removesuffix(b"\r\n")) == WHOLE[:-2]  # no body follows


def test_what_is_missing_or_empty_is_supplied_once() -> None:
    for head in (b"\r\n", b"Date:\r\nFrom:\r\n \r\nMessage-ID: \r\n\r\n"):
        assert completed(head) == (
            b"From: Anne <anne@b.example>\r\nDate: Mon, 02 Mar 2026 09:30:00 +0000\r\nMessage-ID: <2@b.example>\r\n\r\n"
        )


def test_nobody_but_us_says_who_wrote_or_where_it_came_from() -> None:
    assert completed(b"X-Sent-By: me\r\nReturn-Path: <x@y.example>\r\n" + WHOLE) == WHOLE


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"From: Anne <Anne@B.example>\r\nSender: <x@y.example>\r\n\r\n", ("anne@b.example", "x@y.example")),
        (b"From: a@b.example, c@d.example\r\nFrom: e@f.example\r\n\r\n", ("a@b.example", "c@d.example", "e@f.example")),
        (b"Resent-From: a@b.example\r\nResent-Sender:\r\n\r\n", ("a@b.example",)),
        (b'From: "\xe9t\xe9" <a@b.example>\r\n\r\n', ("a@b.example",)),
        (b"From: =?utf-8?q?a=40b.example?=\r\n\r\n", ("",)),
        (b"From: Anne\r\n\r\n", ("",)),
        (b"From: nobody:;\r\n\r\n", ("",)),
        (b"From: (a@b.example)\r\n\r\n", ("",)),
        (b"From: a@b.example (c@d.example)\r\n\r\n", ("a@b.example",)),
        (b"From: <@x.example,@y.example:a@b.example>\r\n\r\n", ("a@b.example",)),
        (b"From: group: a@b.example, c@d.example;\r\n\r\n", ("a@b.example", "c@d.example")),
        (b"From:\r\n\r\n", ()),
    ],
)
def test_every_author_is_named_and_a_field_without_one_too(head: bytes, expected: tuple[str, ...]) -> None:
    assert set(submitted.authors(head)) == set(expected)


@pytest.mark.parametrize(
    ("head", "wrong"),
    [
        (WHOLE, False),
        (b"\r\n", False),
        (b"", False),
        (b"Subject: x\r\n", False),
        (b"Subject : x\r\n y\r\n\tz\r\n\r\nno field\r\n", False),
        (b"Subject:\xe9\r\n\r\n", False),
        (b" folded: x\r\n\r\n", True),
        (b"Bcc: a,\r\nb\r\n\r\n", True),
        (b"From nobody Mon Mar  2 10:00:00 2026\r\nFrom: a@b.example\r\n\r\n", True),
        (b"\xe9: x\r\n\r\n", True),
        (b": x\r\n\r\n", True),
        (b"Bonjour docteur\r\n", True),
    ],
)
def test_lines_that_are_no_field_are_seen(head: bytes, wrong: bool) -> None:
    assert submitted.malformed(head) is wrong


@given(st.lists(st.sampled_from(LINES) | st.binary(max_size=12), max_size=12), st.booleans())
def test_no_blind_copy_is_left_in_any_header(lines: list[bytes], ended: bool) -> None:
    head = b"".join(line + b"\r\n" for line in lines if line.strip(b"\r\n")) + b"\r\n" * ended
    submitted.authors(head)
    malformed = submitted.malformed(head)
    done = completed(head)
    assert read_fields(done, frozenset({b"bcc", b"resent-bcc", b"return-path", b"x-sent-by"})) == {}
    if not malformed:
        assert b"secret.example" not in done
        assert not submitted.malformed(done)
        assert completed(done) == done
        kept = select_fields(done, [b"subject", b"x-bcc"])
        assert kept == select_fields(head, [b"subject", b"x-bcc"])
