"""What another operator's server says is read as values, then as mailboxes and messages; or passed over."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.mailstore.model import NO_FLAGS, Flag, Role
from vaguemestre.mailstore.transfer import imap_answers
from vaguemestre.mailstore.transfer.imap_answers import Described, Listed


def test_values_are_lists_texts_and_nothing() -> None:
    answers: list[Any] = [
        rb'(\Seen \*) "a \"b\\" NIL "NIL" ()',
        None,
        (b"1 (UID 7 BODY[] {8}", b"(a) NIL "),
        (b" X {3}", b"xyz"),
        b")",
    ]
    assert imap_answers.values(answers) == [
        [[b"\\Seen", b"\\*"], b'a "b\\', None, b"NIL", []],
        [b"1", [b"UID", b"7", b"BODY[]", b"(a) NIL ", b"X", b"xyz"]],
    ]


@pytest.mark.parametrize("line", [b"(a", b"a)", b'"a', b"(" * 30 + b")" * 30, b'(a "b)'])
def test_what_is_not_whole_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        imap_answers.values([line])


@given(st.lists(st.binary(max_size=60) | st.tuples(st.binary(max_size=20), st.binary(max_size=20)), max_size=5))
def test_any_answer_is_read_or_refused(answers: list[Any]) -> None:
    try:
        values = imap_answers.values(answers)
    except ValueError:
        return
    for each in imap_answers.listed(values, values):
        assert each.wire
    assert imap_answers.count(values) >= 0
    assert all(each.uid > 0 for each in imap_answers.described(values))


def listed(lines: list[bytes], spaces: bytes = b"") -> list[Listed]:
    return imap_answers.listed(imap_answers.values(lines), imap_answers.values([spaces] if spaces else []))


def test_mailboxes_get_the_names_people_read() -> None:
    assert listed(
        [
            rb'(\HasNoChildren) "/" INBOX',
            rb'(\HasNoChildren \Sent) "/" "Sent Items"',
            rb'(\HasNoChildren) "/" "Projets/&AOk-t&AOk-"',
            rb'(\Noselect) "/" "Projets"',
            rb'(\All \HasNoChildren) "/" "[Gmail]/All Mail"',
            rb'(\Drafts) NIL "a/b"',
            rb"() nonsense",
            b'() "/" ""',
        ]
    ) == [
        Listed(b"INBOX", "INBOX", Role.INBOX),
        Listed(b"Sent Items", "Sent Items", Role.SENT),
        Listed(b"Projets/&AOk-t&AOk-", "Projets/été", None),
        Listed(b"a/b", "a_b", Role.DRAFTS),
    ]


def test_the_prefix_of_a_namespace_is_no_part_of_a_name_and_others_mailboxes_are_left() -> None:
    lines = [
        b'() "." INBOX',
        b'() "." "INBOX.Sent.2025"',
        b'() "." "INBOX.a/b"',
        b'() "." "shared.x"',
        b'() "." "user.y"',
    ]
    spaces = b'(("INBOX." ".")) (("user." ".")) (("shared." "."))'
    assert [each.name for each in listed(lines, spaces)] == ["INBOX", "Sent/2025", "a_b"]
    assert [each.name for each in listed(lines[:2], b"NIL NIL NIL")] == ["INBOX", "INBOX/Sent/2025"]


def test_messages_are_described_by_uid() -> None:
    lines: list[Any] = [
        rb'1 (FLAGS (\Seen \Recent $Forwarded Perso) UID 7 INTERNALDATE " 1-Mar-2026 13:00:00 +0100" RFC822.SIZE 12)',
        (b"2 (UID 8 BODY[]<0> {3}", b"abc"),
        b")",
        b'3 (UID 9 BODY[] "abc" FLAGS ())',
        b"4 (UID 10 BODY[] NIL)",
        b"5 (FLAGS ())",
        b"6 (UID x)",
        b'7 (UID 11 INTERNALDATE "31-Feb-2026 13:00:00 +0100" RFC822.SIZE -5)',
    ]
    assert imap_answers.described(imap_answers.values(lines)) == [
        Described(7, 12, Flag.SEEN, frozenset({"$Forwarded", "Perso"}), 1_772_366_400_000),
        Described(8, body=b"abc"),
        Described(9, body=b"abc"),
        Described(10, body=b""),
        Described(11, 0, NO_FLAGS, frozenset(), None),
    ]


def test_the_count_of_a_status_is_found() -> None:
    assert imap_answers.count(imap_answers.values([b"INBOX (UNSEEN 3 MESSAGES 12)"])) == 12
    assert imap_answers.count(imap_answers.values([b"INBOX (MESSAGES twelve)"])) == 0
    assert imap_answers.count([]) == 0
