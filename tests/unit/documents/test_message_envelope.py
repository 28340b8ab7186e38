"""Envelopes: ten fields as they stand, and addresses as RFC 5322 reads them; broken ones as people would."""

import pytest

from vaguemestre.documents import envelope
from vaguemestre.documents.envelope import Address, read_envelope, read_list
from vaguemestre.documents.header_fields import FIELD_LIMIT, read_fields, select_fields

Row = tuple[bytes | None, bytes | None, bytes | None]
NOBODY, NOWHERE = envelope.MISSING_MAILBOX, envelope.MISSING_HOST
END: Row = (None, None, None)


def rows(value: bytes) -> list[Row]:
    return [(each.name, each.mailbox, each.host) for each in read_list([value])]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"a@b", [(None, b"a", b"b")]),
        (b"<a@b>", [(None, b"a", b"b")]),
        (b"Jean Dupont <a@b>, c@d", [(b"Jean Dupont", b"a", b"b"), (None, b"c", b"d")]),
        (b"John Q. Public <a@b>", [(b"John Q. Public", b"a", b"b")]),
        (b'"Dupont, Jean" <a@b>', [(b"Dupont, Jean", b"a", b"b")]),
        (b'"say \\"hi\\"  \\\\" <a@b>', [(b'say "hi"  \\', b"a", b"b")]),
        (b'"a" "b" <c@d>', [(b"a b", b"c", b"d")]),
        (b'"" <a@b>', [(None, b"a", b"b")]),
        (b'"jean dupont"@b', [(None, b"jean dupont", b"b")]),
        (b'<"a b"@c>', [(None, b"a b", b"c")]),
        (b'"a@b"@c', [(None, b"a@b", b"c")]),
        (b"a . b @ c . d", [(None, b"a.b", b"c.d")]),
        (b"a@[192.0.2.1]", [(None, b"a", b"[192.0.2.1]")]),
        (b"a@[IPv6:2001:db8::1]", [(None, b"a", b"[IPv6:2001:db8::1]")]),
        (b"a@b (Name (nested \\) x))", [(b"Name (nested ) x)", b"a", b"b")]),
        (b"(first) a@b (last)", [(b"last", b"a", b"b")]),
        (b"Name (aside) <a@b>", [(b"Name", b"a", b"b")]),
        (b"=?utf-8?q?a_b?= <a@b>", [(b"=?utf-8?q?a_b?=", b"a", b"b")]),
        (b"=?utf-8?q?Dupont,_Jean?= <a@b>", [(b"=?utf-8?q?Dupont,_Jean?=", b"a", b"b")]),
        (b"Fran\xc3\xa7ois <f\xc3\xa9@\xc3\xa9.fr>", [(b"Fran\xc3\xa7ois", b"f\xc3\xa9", b"\xc3\xa9.fr")]),
        (b"caf\xe9 <a@b>", [(b"caf\xe9", b"a", b"b")]),
        (b"", []),
        (b" , ,", []),
        (b"(only a comment)", []),
    ],
)
def test_what_the_syntax_allows(value: bytes, expected: list[Row]) -> None:
    assert rows(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"G: a@b, C <c@d>;", [(None, b"G", None), (None, b"a", b"b"), (b"C", b"c", b"d"), END]),
        (b"undisclosed-recipients:;", [(None, b"undisclosed-recipients", None), END]),
        (b'"My group": a@b; , x@y', [(None, b"My group", None), (None, b"a", b"b"), END, (None, b"x", b"y")]),
        (b"A: ;, B: b@c;", [(None, b"A", None), END, (None, b"B", None), (None, b"b", b"c"), END]),
        (b"G: a@b", [(None, b"G", None), (None, b"a", b"b"), END]),
        (b"G: H: a@b;;", [(None, b"G", None), (None, b"a", b"b"), END]),
    ],
)
def test_groups_start_with_a_name_and_end(value: bytes, expected: list[Row]) -> None:
    assert rows(value) == expected


def test_an_obsolete_route_is_kept() -> None:
    assert read_list([b"<@r1.example, @r2.example:a@b>"]) == [Address(None, b"a", b"b", b"@r1.example,@r2.example")]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"root", [(None, b"root", NOWHERE)]),
        (b"<root>", [(None, b"root", NOWHERE)]),
        (b"@b", [(None, NOBODY, b"b")]),
        (b"<>", [(None, NOBODY, NOWHERE)]),
        (b"no address here", [(b"no address here", NOBODY, NOWHERE)]),
        (b'"quoted"', [(b"quoted", NOBODY, NOWHERE)]),
        (b"Doe, John <a@b>", [(None, b"Doe", NOWHERE), (b"John", b"a", b"b")]),
        (b"Name a@b", [(b"Name", b"a", b"b")]),
        (b"a@b Name", [(b"Name", b"a", b"b")]),
        (b"a@b <c@d>", [(b"a@b", b"c", b"d")]),
        (b"[list] <a@b>", [(b"[list]", b"a", b"b")]),
        (b"a@b; c@d", [(None, b"a", b"b"), (None, b"c", b"d")]),
        (b"<a@b, c@d", [(None, b"a", b"b"), (None, b"c", b"d")]),
        (b"<<a@b>>", [(None, b"a", b"b")]),
        (b"a@b>", [(None, b"a", b"b")]),
        (b"<a@b> tail, c@d", [(None, b"a", b"b"), (None, b"c", b"d")]),
        (b"a@b@c", [(None, b"a@b", b"c")]),
        (b'"unclosed <a@b>, c@d', [(b"unclosed", b"a", b"b"), (None, b"c", b"d")]),
        (b"a@b (unclosed", [(b"unclosed", b"a", b"b")]),
        (b'"\\', [(None, b"\\", NOWHERE)]),
    ],
)
def test_broken_lists_still_show_who(value: bytes, expected: list[Row]) -> None:
    assert rows(value) == expected


def test_fields_are_unfolded_and_not_decoded() -> None:
    found = read_envelope(
        b"Subject: =?utf-8?q?a?=\r\n\t=?utf-8?q?b?= \r\nDate:\r\n Mon,  1 Jan 2024 (x)\r\nMessage-ID : <a@b> (c)\r\n"
        b"In-Reply-To: <c@d>\r\n <e@f>\r\nX: y\r\n\r\nTo: not@header\r\n"
    )
    assert found.subject == b"=?utf-8?q?a?= =?utf-8?q?b?="
    assert found.date == b"Mon,  1 Jan 2024 (x)"
    assert found.message_id == b"<a@b> (c)"
    assert found.in_reply_to == b"<c@d> <e@f>"


def test_a_field_may_be_empty_or_missing() -> None:
    found = read_envelope(b"Subject:\r\nTo: \r\n")
    assert (found.subject, found.date, found.to, found.from_) == (b"", None, (), ())


def test_of_texts_the_first_counts_and_of_addresses_all() -> None:
    found = read_envelope(b"Subject: 1\nTo: a@b\nsubject: 2\nTO: c@d\n")
    assert found.subject == b"1"
    assert [each.mailbox for each in found.to] == [b"a", b"c"]


def test_values_have_no_line_end_and_no_nul() -> None:
    assert read_envelope(b"Subject: a\rb\0c\r\r\n").subject == "a b\ufffdc".encode()


def test_a_value_and_a_list_are_bounded() -> None:
    found = read_envelope(b"Subject: " + b"x" * (FIELD_LIMIT + 10) + b"\nTo: " + b"a@b, " * 100_000)
    assert found.subject is not None
    assert len(found.subject) == FIELD_LIMIT
    assert len(found.to) == envelope.ADDRESS_LIMIT


HEAD = b"From x@y Mon\r\nSubject: a\r\n b\r\nTO : c\r\njunk\r\n folded junk\r\nX-Y: z\r\n\r\n"


def test_chosen_fields_are_as_they_stand() -> None:
    assert select_fields(HEAD, [b"SUBJECT", b"to", b"None"]) == b"Subject: a\r\n b\r\nTO : c\r\n\r\n"
    assert select_fields(HEAD, [b"none"]) == b"\r\n"


def test_all_fields_but_some_are_as_they_stand() -> None:
    expected = b"From x@y Mon\r\njunk\r\n folded junk\r\nX-Y: z\r\n\r\n"
    assert select_fields(HEAD, [b"Subject", b"To"], others=True) == expected
    assert select_fields(HEAD, [], others=True) == HEAD


def test_chosen_fields_of_a_header_without_end_have_one() -> None:
    assert select_fields(b"A: b\nC: d", [b"c"]) == b"C: d\r\n\r\n"
    assert select_fields(b"A: b\nC: d", [b"a"], others=True) == b"C: d"


def test_fields_are_found_by_prefix_too() -> None:
    found = read_fields(b"Content-A: 1\ncontent-B: 2\nX: 3\n", frozenset({b"x"}), b"content-")
    assert found == {b"content-a": [b"1"], b"content-b": [b"2"], b"x": [b"3"]}
