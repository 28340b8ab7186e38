"""What the server writes reads back as what it meant, and nothing in a value can end a line or begin another."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from response_reader import tokens

from vaguemestre.protocols.imap import faults, modified_utf7, refusals, response_codes, responses, values
from vaguemestre.protocols.imap.commands import StatusItem
from vaguemestre.protocols.imap.responses import Branch, Found
from vaguemestre.protocols.imap.sequence_sets import Partial

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)


def value(spelled: bytes) -> object:
    (found,) = tokens(spelled + b"\r\n")
    return found


# ---- values


@given(TEXTS, st.booleans())
def test_a_string_reads_back(text: str, utf8: bool) -> None:
    octets = text.encode().replace(b"\0", b"\x80")
    assert value(values.string(text, utf8)) == octets
    assert value(values.nstring(text, utf8)) == octets
    assert value(values.astring(text, utf8)) == octets


@given(st.binary(max_size=40), st.booleans())
def test_any_octets_read_back(octets: bytes, utf8: bool) -> None:
    assert value(values.string(octets, utf8)) == octets.replace(b"\0", b"\x80")
    assert value(values.literal(octets)) == octets.replace(b"\0", b"\x80")
    assert value(values.literal_start(len(octets)) + values.without_nul(octets)) == octets.replace(b"\0", b"\x80")
    assert value(values.binary(octets)) == octets


@pytest.mark.parametrize(
    ("text", "spelled", "with_utf8"),
    [
        ("", b'""', b'""'),
        ("a b", b'"a b"', b'"a b"'),
        ('a"\\', b'"a\\"\\\\"', b'"a\\"\\\\"'),
        ("été", b"{5}\r\n\xc3\xa9t\xc3\xa9", b'"\xc3\xa9t\xc3\xa9"'),
        ('é"', b'{3}\r\n\xc3\xa9"', b'"\xc3\xa9\\""'),
        ("a\r\nb", b"{4}\r\na\r\nb", b"{4}\r\na\r\nb"),
        ("a\tb", b"{3}\r\na\tb", b"{3}\r\na\tb"),
        ("x" * 1001, b"{1001}\r\n" + b"x" * 1001, b"{1001}\r\n" + b"x" * 1001),
    ],
)
def test_a_string_is_quoted_where_the_client_can_read_it(text: str, spelled: bytes, with_utf8: bytes) -> None:
    assert values.string(text) == spelled
    assert values.string(text, utf8=True) == with_utf8


def test_octets_that_are_not_utf_8_are_never_quoted() -> None:
    assert values.string(b"\xe9", utf8=True) == b"{1}\r\n\xe9"


def test_an_atom_that_would_read_as_nil_is_quoted() -> None:
    assert values.astring("nil") == b'"nil"'
    assert values.astring("a]b") == b'"a]b"'
    assert values.astring("INBOX") == b"INBOX"
    assert values.nstring(None) == b"NIL"


@given(TEXTS.filter(lambda text: "\0" not in text))
def test_a_mailbox_name_reads_back_in_both_spellings(name: str) -> None:
    spelled = value(values.mailbox(name))
    assert isinstance(spelled, bytes)
    assert modified_utf7.decode(spelled) == name
    assert value(values.mailbox(name, utf8=True)) == name.encode()


@pytest.mark.parametrize(
    ("milliseconds", "spelled"),
    [
        (0, b'" 1-Jan-1970 00:00:00 +0000"'),
        (837_596_665_999, b'"17-Jul-1996 09:44:25 +0000"'),
        (-1000, b'"31-Dec-1969 23:59:59 +0000"'),
    ],
)
def test_a_moment_is_spelled_in_utc(milliseconds: int, spelled: bytes) -> None:
    assert values.internal_date(milliseconds) == spelled


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40))
def test_a_number_set_reads_back_in_order(numbers: list[int]) -> None:
    read: list[int] = []
    for piece in values.number_set(numbers).split(b","):
        low, _, high = piece.partition(b":")
        read += range(int(low), int(high or low) + 1)
    without_repeats = [each for place, each in enumerate(numbers) if place == 0 or numbers[place - 1] != each]
    assert read == without_repeats


def test_a_number_set_is_compact() -> None:
    assert values.number_set([1, 2, 3, 5, 7, 8]) == b"1:3,5,7:8"
    assert values.number_set(range(1, 100_001)) == b"1:100000"
    assert values.number_set([5]) == b"5"
    assert values.number_set([5, 4, 3]) == b"5,4,3"
    assert values.range_set([(1, 3), (7, 7)]) == b"1:3,7"


# ---- responses


@pytest.mark.parametrize(
    ("response", "line"),
    [
        (responses.ok(b"a1", "Done"), b"a1 OK Done"),
        (responses.no(b"a1", "No room", b"OVERQUOTA"), b"a1 NO [OVERQUOTA] No room"),
        (responses.bad(b"a1", "What?"), b"a1 BAD What?"),
        (responses.untagged_ok("Hello", response_codes.capability(["IMAP4rev2", "IDLE"])),
            b"* OK [CAPABILITY IMAP4rev2 IDLE] Hello"),
        (responses.untagged_no("Nearly full"), b"* NO Nearly full"),
        (responses.preauth("Hello"), b"* PREAUTH Hello"),
        (responses.bye("Stopping\r\na1 OK é"), b"* BYE Stopping a1 OK ?"),
        (responses.capability(["IMAP4rev2", "ID"]), b"* CAPABILITY IMAP4rev2 ID"),
        (responses.enabled(["CONDSTORE"]), b"* ENABLED CONDSTORE"),
        (responses.enabled([]), b"* ENABLED"),
        (responses.identification([("name", "Vaguemestre"), ("os", None)]), b'* ID ("name" "Vaguemestre" "os" NIL)'),
        (responses.identification([]), b"* ID NIL"),
        (responses.mailbox_list("INBOX", ["\\HasNoChildren"], False), b'* LIST (\\HasNoChildren) "/" "INBOX"'),
        (responses.mailbox_list("é", [], False), b'* LIST () "/" "&AOk-"'),
        (responses.mailbox_list("é", [], True), b'* LIST () "/" "\xc3\xa9"'),
        (responses.mailbox_list("a", ["\\NonExistent"], False, child_info=["SUBSCRIBED"], old_name="b"),
            b'* LIST (\\NonExistent) "/" "a" ("CHILDINFO" ("SUBSCRIBED") "OLDNAME" ("b"))'),
        (responses.mailbox_list("", ["\\Noselect"], False), b'* LIST (\\Noselect) "/" ""'),
        (responses.mailbox_list("a", [], False, lsub=True), b'* LSUB () "/" "a"'),
        (responses.status("a b", [(StatusItem.MESSAGES, 3), (StatusItem.MAILBOXID, "F1"), (StatusItem.APPENDLIMIT, None)], False),
            b'* STATUS "a b" (MESSAGES 3 MAILBOXID (F1) APPENDLIMIT NIL)'),
        (responses.namespace(), b'* NAMESPACE (("" "/")) NIL NIL'),
        (responses.namespace(("",), ("~",), ("Shared/", "News/")),
            b'* NAMESPACE (("" "/")) (("~" "/")) (("Shared/" "/")("News/" "/"))'),
        (responses.quota("", [("STORAGE", 10, 512), ("MESSAGE", 1, 5)]), b'* QUOTA "" (STORAGE 10 512 MESSAGE 1 5)'),
        (responses.quota_root("INBOX", [""], False), b'* QUOTAROOT "INBOX" ""'),
        (responses.quota_root("INBOX", [], False), b'* QUOTAROOT "INBOX"'),
        (responses.exists(23), b"* 23 EXISTS"),
        (responses.recent(0), b"* 0 RECENT"),
        (responses.expunged(4), b"* 4 EXPUNGE"),
        (responses.vanished([3, 4, 9]), b"* VANISHED 3:4,9"),
        (responses.vanished([3], earlier=True), b"* VANISHED (EARLIER) 3"),
        (responses.flags(["\\Seen", "$Junk"]), b"* FLAGS (\\Seen $Junk)"),
        (responses.fetch(1, b"UID 4", b"RFC822.SIZE 5"), b"* 1 FETCH (UID 4 RFC822.SIZE 5)"),
        (responses.fetch_flags(1, b"(\\Seen)"), b"* 1 FETCH (FLAGS (\\Seen))"),
        (responses.fetch_flags(1, b"()", 7), b"* 1 FETCH (UID 7 FLAGS ())"),
        (responses.fetch_flags(1, b"()", None, 9), b"* 1 FETCH (FLAGS () MODSEQ (9))"),
        (responses.fetch_flags(1, b"()", 7, 9), b"* 1 FETCH (UID 7 FLAGS () MODSEQ (9))"),
        (responses.search([2, 84]), b"* SEARCH 2 84"),
        (responses.search([2, 84], 917), b"* SEARCH 2 84 (MODSEQ 917)"),
        (responses.search([], 917), b"* SEARCH"),
        (responses.sort([5, 2]), b"* SORT 5 2"),
        (responses.esearch(b"a1", Found(), uid=False), b'* ESEARCH (TAG "a1")'),
        (responses.esearch(b"a1", Found(3, 2, 11, [2, 10, 11], modseq=9), uid=True),
            b'* ESEARCH (TAG "a1") UID MIN 2 MAX 11 COUNT 3 ALL 2,10:11 MODSEQ 9'),
        (responses.esearch(b"a1", Found(0, partial=(Partial(-1, -100), [])), uid=True),
            b'* ESEARCH (TAG "a1") UID COUNT 0 PARTIAL (-1:-100 NIL)'),
        (responses.esearch(b"a1", Found(partial=(Partial(1, 2), [7, 9])), uid=False),
            b'* ESEARCH (TAG "a1") PARTIAL (1:2 7,9)'),
        (responses.esearch(b"a1", Found(added=[(1, [5]), (1, [4])], removed=[(0, [2, 3])]), uid=True),
            b'* ESEARCH (TAG "a1") UID REMOVEFROM (0 2:3) ADDTO (1 5 1 4)'),
        (responses.thread([]), b"* THREAD"),
        (responses.thread([Branch(2), Branch(3, [Branch(6, [Branch(4, [Branch(23)]), Branch(44, [Branch(7, [Branch(96)])])])])]),
            b"* THREAD (2)(3 6 (4 23)(44 7 96))"),
        (responses.thread([Branch(0, [Branch(3), Branch(5)])]), b"* THREAD ((3)(5))"),
    ],
)  # fmt: skip
def test_responses(response: bytes, line: bytes) -> None:
    assert response == line + b"\r\n"
    assert tokens(response)


@pytest.mark.parametrize(
    ("code", "spelled"),
    [
        (response_codes.append_uid(38505, [3955, 3956]), b"APPENDUID 38505 3955:3956"),
        (response_codes.copy_uid(1, [4, 7], [1, 2]), b"COPYUID 1 4,7 1:2"),
        (response_codes.uid_validity(3), b"UIDVALIDITY 3"),
        (response_codes.uid_next(3), b"UIDNEXT 3"),
        (response_codes.unseen(3), b"UNSEEN 3"),
        (response_codes.highest_modseq(3), b"HIGHESTMODSEQ 3"),
        (response_codes.modified([7, 9]), b"MODIFIED 7,9"),
        (response_codes.permanent_flags(["\\Seen", "\\*"]), b"PERMANENTFLAGS (\\Seen \\*)"),
        (response_codes.mailbox_id("F22"), b"MAILBOXID (F22)"),
        (response_codes.bad_charset(), b"BADCHARSET (US-ASCII UTF-8)"),
        (response_codes.bad_url("/a;UID=1"), b'BADURL "/a;UID=1"'),
        (response_codes.no_update(b"a1"), b'NOUPDATE "a1"'),
    ],
)
def test_response_codes(code: bytes, spelled: bytes) -> None:
    assert code == spelled


def test_a_thread_of_ten_thousand_answers_is_written() -> None:
    branch = Branch(1)
    for number in range(2, 10_001):
        branch = Branch(number, [branch])
    assert responses.thread([branch]).startswith(b"* THREAD (10000 9999 ")


WITHOUT_WORDS = (faults.ClientError, faults.CombinationError, faults.ArgumentError)  # they are told what to say
FACTS = [
    kind()
    for kind in vars(faults).values()
    if isinstance(kind, type) and issubclass(kind, faults.ClientError) and kind not in WITHOUT_WORDS
] + [faults.ArgumentError("a number", "un nombre")]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
def test_every_fault_has_sentences_and_a_response(fact: faults.ClientError) -> None:
    assert fact.en.endswith(".")
    assert fact.fr.endswith(".")
    assert fact.fr != fact.en
    assert re.fullmatch(rb"a1 (BAD|NO) (\[[A-Z-]+[^]]*\] )?[ -~]+\r\n", refusals.refusal(b"a1", fact))
    assert refusals.refusal(b"", fact).startswith((b"* BAD ", b"* NO "))
    assert refusals.farewell(fact).startswith(b"* BYE ")
