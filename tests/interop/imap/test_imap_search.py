"""SEARCH, SORT and THREAD, and the ways to ask and to answer them. RFC 9051 §6.4.4; RFC 4731, 5182, 5256, 5957, 5032, 9394,
5267."""

from typing import Any

import pytest

from simulators.imap_answers import Answer, code_of, expand
from simulators.imap_peer import ImapPeer, esearch_of, numbers_of
from simulators.letters import NESTED, letter

needs, deviates = pytest.mark.needs, pytest.mark.deviates
pytestmark = pytest.mark.both_stores

# number, flags, INTERNALDATE, content
LETTERS = [
    (
        "\\Seen",
        "10-Jan-2026 10:00:00 +0000",
        letter(
            "Scanner du sinus",
            "Un kyste.\r\n",
            From="Zoe <zoe@nord.mssante.fr>",
            Date="Sat, 10 Jan 2026 10:00:00 +0000",
            Message_ID="<1@x>",
        ),
    ),
    (
        "\\Flagged cle",
        "11-Jan-2026 10:00:00 +0000",
        letter(
            "Re: Scanner du sinus",
            "Vu, merci.\r\n" + "suite " * 400 + "\r\n",
            From="Awa <awa@sud.mssante.fr>",
            Cc="hugo@sud.mssante.fr",
            Date="Sun, 11 Jan 2026 10:00:00 +0000",
            Message_ID="<2@x>",
            In_Reply_To="<1@x>",
            References="<1@x>",
        ),
    ),
    (
        "\\Answered \\Seen",
        "12-Jan-2026 10:00:00 +0000",
        letter(
            "=?utf-8?q?R=C3=A9sultats?=",
            "Glycémie élevée.\r\n",
            From="Bruno <bruno@nord.mssante.fr>",
            Bcc="secret@x.fr",
            Date="Tue, 13 Jan 2026 10:00:00 +0000",
            Message_ID="<3@x>",
        ),
    ),
    (
        "\\Draft",
        "13-Jan-2026 10:00:00 +0000",
        letter(
            "appareil",
            "Orthodontie\r\n",
            From="Claire <claire@nord.mssante.fr>",
            To="tous@nord.mssante.fr",
            Date="Mon, 12 Jan 2026 10:00:00 +0000",
            Message_ID="<4@x>",
            X_MSS_NIL="DEV1",
        ),
    ),
    (
        "\\Deleted",
        "14-Jan-2026 10:00:00 +0000",
        letter(
            "Re: Re: Scanner du sinus",
            "De rien.\r\n",
            From="Zoe <zoe@nord.mssante.fr>",
            Date="Wed, 14 Jan 2026 10:00:00 +0000",
            Message_ID="<5@x>",
            In_Reply_To="<2@x>",
            References="<1@x> <2@x>",
        ),
    ),
]


@pytest.fixture
def filled(one: ImapPeer) -> ImapPeer:
    """A session with the five letters in the inbox."""
    for flags, when, content in LETTERS:
        one.append(content, flags=flags, when=when)
    one.ok("NOOP")
    return one


@pytest.mark.parametrize(
    ("criteria", "numbers"),
    [
        ("ALL", [1, 2, 3, 4, 5]),
        ("SEEN", [1, 3]),
        ("UNSEEN", [2, 4, 5]),
        ("FLAGGED", [2]),
        ("UNFLAGGED", [1, 3, 4, 5]),
        ("ANSWERED", [3]),
        ("UNANSWERED", [1, 2, 4, 5]),
        ("DRAFT", [4]),
        ("UNDRAFT", [1, 2, 3, 5]),
        ("DELETED", [5]),
        ("UNDELETED", [1, 2, 3, 4]),
        ("KEYWORD cle", [2]),
        ("KEYWORD CLE", [2]),
        ("KEYWORD none", []),
        ("UNKEYWORD cle", [1, 3, 4, 5]),
        ("2:4", [2, 3, 4]),
        ("*", [5]),
        ("UID 3:*", [3, 4, 5]),
        ("UID 90:*", [5]),
        ("1,5 UNSEEN", [5]),
        ("SUBJECT scanner", [1, 2, 5]),
        ("SUBJECT SCANNER SUBJECT sinus", [1, 2, 5]),
        ("FROM zoe", [1, 5]),
        ("FROM awa@sud.mssante.fr", [2]),
        ("TO tous@nord.mssante.fr", [4]),
        ("CC hugo", [2]),
        ("BCC secret", [3]),
        ("BODY kyste", [1]),
        ("TEXT kyste", [1]),
        ("TEXT sinus", [1, 2, 5]),
        ("BODY sinus", []),
        ("HEADER X-MSS-NIL DEV1", [4]),
        ('HEADER X-MSS-NIL ""', [4]),
        ("HEADER Message-ID 3@x", [3]),
        ('HEADER In-Reply-To ""', [2, 5]),
        ("SINCE 12-Jan-2026", [3, 4, 5]),
        ("BEFORE 12-Jan-2026", [1, 2]),
        ("ON 12-Jan-2026", [3]),
        ("SENTSINCE 13-Jan-2026", [3, 5]),
        ("SENTBEFORE 12-Jan-2026", [1, 2]),
        ('SENTON "12-Jan-2026"', [4]),
        ("LARGER 2000", [2]),
        ("SMALLER 2000", [1, 3, 4, 5]),
        ("NOT SEEN", [2, 4, 5]),
        ("NOT NOT SEEN", [1, 3]),
        pytest.param("NOT (SEEN ANSWERED)", [1, 2, 4, 5], marks=deviates("dovecot", "finds NOT SEEN NOT ANSWERED")),
        ("OR SEEN FLAGGED", [1, 2, 3]),
        ("OR (SEEN ANSWERED) (UNSEEN DRAFT)", [3, 4]),
        ("OR 1 OR 2 3", [1, 2, 3]),
        ("(SEEN) (UNANSWERED)", [1]),
        ("CHARSET US-ASCII SUBJECT appareil", [4]),
    ],
)
def test_keys(filled: ImapPeer, criteria: str, numbers: list[int]) -> None:
    assert sorted(filled.search(criteria)) == numbers


@pytest.mark.parametrize(
    ("word", "numbers"), [("résultats", [3]), ("RÉSULTATS", [3]), ("glycémie", [3]), ("ÉLEVÉE", [3])]
)
def test_words_in_utf8(filled: ImapPeer, word: str, numbers: list[int]) -> None:
    assert filled.search("CHARSET UTF-8 TEXT ", word.encode()) == numbers


def test_text_is_found_inside_transfer_encodings_and_parts(one: ImapPeer) -> None:
    one.append(NESTED)
    one.ok("NOOP")
    assert one.search("CHARSET UTF-8 BODY ", "confrère".encode()) == [1]
    assert one.search("BODY Interieur") == [1]
    assert one.search("CHARSET UTF-8 SUBJECT ", "contrôle".encode()) == [1]
    assert one.search("CHARSET UTF-8 CC ", "Lefèvre".encode()) == [1]


def test_an_unknown_charset_is_refused(filled: ImapPeer) -> None:
    filled.refused("SEARCH CHARSET X-NONE ALL", code="BADCHARSET")


def test_nothing_found_is_told(filled: ImapPeer) -> None:
    (told,) = filled.ok("SEARCH FROM nobody").of("SEARCH")
    assert told.values == ()


def test_search_of_an_empty_mailbox(one: ImapPeer) -> None:
    assert one.search("ALL") == []
    assert one.uids() == []
    assert one.ok("UID SEARCH 1:*").of("SEARCH")[0].values == ()


@needs("WITHIN")
def test_younger_and_older(one: ImapPeer) -> None:
    """RFC 5032."""
    one.append(letter(), when="10-Jan-2020 10:00:00 +0000")
    one.append(letter())
    one.ok("NOOP")
    assert one.search("YOUNGER 3600") == [2]
    assert one.search("OLDER 3600") == [1]
    assert one.command("SEARCH YOUNGER 0").status == "BAD"


# ESEARCH


def answered(answer: Answer) -> dict[str, Any]:
    """The one ESEARCH of an answer; there must be no SEARCH."""
    assert answer.of("SEARCH", "SORT") == []
    (told,) = answer.of("ESEARCH")
    found = esearch_of(told)
    assert found["TAG"].decode() == answer.tag
    return dict(found)


@needs("ESEARCH")
def test_returned_as_asked(filled: ImapPeer) -> None:
    """RFC 4731."""
    assert answered(filled.ok("SEARCH RETURN (MIN MAX COUNT ALL) UNSEEN")) | {"TAG": b""} == {
        "TAG": b"",
        "MIN": 2,
        "MAX": 5,
        "COUNT": 3,
        "ALL": "2,4:5",
    }
    assert answered(filled.ok("SEARCH RETURN (COUNT) SEEN"))["COUNT"] == 2
    assert expand(str(answered(filled.ok("SEARCH RETURN () SEEN"))["ALL"])) == [1, 3]
    assert answered(filled.ok("UID SEARCH RETURN (MIN) ALL"))["UID"] is True


@needs("ESEARCH")
def test_nothing_found_returns_a_count_of_none_and_no_set(filled: ImapPeer) -> None:
    found = answered(filled.ok("SEARCH RETURN (MIN MAX COUNT ALL) FROM nobody"))
    assert set(found) == {"TAG", "COUNT"}
    assert found["COUNT"] == 0
    assert set(answered(filled.ok("UID SEARCH RETURN (ALL) FROM nobody"))) == {"TAG", "UID"}


@needs("ESEARCH")
def test_an_unknown_return_option_is_bad(filled: ImapPeer) -> None:
    assert filled.command("SEARCH RETURN (NONSENSE) ALL").status == "BAD"


# SEARCHRES


@needs("SEARCHRES")
def test_the_result_saved_stands_for_a_set(filled: ImapPeer) -> None:
    """RFC 5182."""
    assert filled.ok("SEARCH RETURN (SAVE) UNSEEN").of("SEARCH", "ESEARCH") == []
    assert sorted(filled.fetch("$", "UID")) == [2, 4, 5]
    assert sorted(filled.uid_fetch("$", "FLAGS")) == [2, 4, 5]
    assert filled.search("$ FLAGGED") == [2]
    assert filled.search("NOT $") == [1, 3]
    filled.ok(r"STORE $ +FLAGS.SILENT (saved)")
    assert filled.search("KEYWORD saved") == [2, 4, 5]
    assert sorted(filled.fetch("$", "UID")) == [2, 4, 5], "a SEARCH without SAVE changes nothing"


@needs("SEARCHRES")
def test_min_and_max_save_only_themselves(filled: ImapPeer) -> None:
    filled.ok("SEARCH RETURN (SAVE MIN MAX) ALL")
    assert sorted(filled.fetch("$", "UID")) == [1, 5]
    filled.ok("SEARCH RETURN (SAVE COUNT) SEEN")
    assert sorted(filled.fetch("$", "UID")) == [1, 3]


@needs("SEARCHRES")
def test_what_is_expunged_leaves_the_result(filled: ImapPeer) -> None:
    filled.ok("SEARCH RETURN (SAVE) 4:5")
    filled.ok("EXPUNGE")
    assert sorted(filled.uid_fetch("$", "FLAGS")) == [4]


@needs("SEARCHRES")
def test_the_result_is_empty_at_first_and_after_a_failure(filled: ImapPeer) -> None:
    filled.select()
    assert filled.uid_fetch("$", "FLAGS") == {}
    filled.ok("SEARCH RETURN (SAVE) ALL")
    filled.refused("SEARCH RETURN (SAVE) CHARSET X-NONE ALL")
    assert filled.fetch("$", "FLAGS") == {}
    filled.ok("SEARCH RETURN (SAVE) ALL")
    filled.select()
    assert filled.fetch("$", "FLAGS") == {}


@needs("SEARCHRES", "MOVE")
def test_the_result_may_be_copied_and_moved(filled: ImapPeer) -> None:
    filled.ok("CREATE la")
    filled.ok("UID SEARCH RETURN (SAVE) SUBJECT scanner")
    filled.ok("COPY $ la")
    filled.ok("UID MOVE $ la")
    assert filled.uids() == [3, 4]
    filled.select("la")
    assert len(filled.uids()) == 6


# SORT


@needs("SORT")
@pytest.mark.parametrize(
    ("keys", "numbers"),
    [
        ("ARRIVAL", [1, 2, 3, 4, 5]),
        ("REVERSE ARRIVAL", [5, 4, 3, 2, 1]),
        ("DATE", [1, 2, 4, 3, 5]),
        ("FROM", [2, 3, 4, 1, 5]),
        ("REVERSE FROM", [1, 5, 4, 3, 2]),
        ("SUBJECT", [4, 3, 1, 2, 5]),
        ("SUBJECT REVERSE DATE", [4, 3, 5, 2, 1]),
        ("REVERSE SIZE", None),
        ("TO", [1, 2, 3, 5, 4]),
        ("CC", [1, 3, 4, 5, 2]),
    ],
)
def test_sorting(filled: ImapPeer, keys: str, numbers: list[int] | None) -> None:
    """RFC 5256 §3: the base subject, the mailbox of the first address, the sequence number where all is equal."""
    found = numbers_of(filled.ok(f"SORT ({keys}) UTF-8 ALL"))
    if numbers is None:
        sizes = {number: -each["RFC822.SIZE"] for number, each in filled.fetch("1:*", "RFC822.SIZE").items()}
        numbers = sorted(sizes, key=lambda number: (sizes[number], number))
    assert found == numbers


@needs("SORT=DISPLAY")
def test_sorting_by_what_is_displayed(filled: ImapPeer) -> None:
    """RFC 5957: the display name where there is one."""
    assert numbers_of(filled.ok("SORT (DISPLAYFROM) UTF-8 ALL")) == [2, 3, 4, 1, 5]
    assert sorted(numbers_of(filled.ok("SORT (REVERSE DISPLAYTO) UTF-8 ALL"))) == [1, 2, 3, 4, 5]


@needs("SORT")
def test_sorting_what_was_searched(filled: ImapPeer) -> None:
    assert numbers_of(filled.ok("UID SORT (REVERSE DATE) UTF-8 SUBJECT scanner UNDELETED")) == [2, 1]
    (told,) = filled.ok("SORT (DATE) UTF-8 FROM nobody").of("SORT")
    assert told.values == ()
    assert filled.command("SORT () UTF-8 ALL").status == "BAD"
    assert filled.command("SORT (NONSENSE) UTF-8 ALL").status == "BAD"
    filled.refused("SORT (DATE) X-NONE ALL", code="BADCHARSET")


@needs("ESORT")
def test_sorting_with_return(filled: ImapPeer) -> None:
    """RFC 5267 §3: in the order of the sort."""
    found = answered(filled.ok("SORT RETURN (ALL COUNT MIN MAX) (REVERSE ARRIVAL) UTF-8 ALL"))
    assert found["COUNT"] == 5
    # 5:1 would say the same: a set in ESEARCH goes either way.
    text = str(found["ALL"])
    assert text in ("5,4,3,2,1", "5:1")
    assert (found["MIN"], found["MAX"]) in ((5, 1), (1, 5))


# THREAD


def branches(value: tuple[Any, ...]) -> Any:
    """A thread as nested tuples."""
    return tuple(branches(each) if isinstance(each, tuple) else each for each in value)


@needs("THREAD=REFERENCES")
def test_threads_by_references(filled: ImapPeer) -> None:
    """RFC 5256 §3: threads by the date of their root."""
    (told,) = filled.ok("THREAD REFERENCES UTF-8 ALL").of("THREAD")
    assert branches(told.values) == ((1, 2, 5), (4,), (3,))
    (told,) = filled.ok("UID THREAD REFERENCES UTF-8 FROM zoe").of("THREAD")
    assert branches(told.values) == ((1, 5),)
    (told,) = filled.ok("THREAD REFERENCES UTF-8 FROM nobody").of("THREAD")
    assert told.values == ()


@needs("THREAD=ORDEREDSUBJECT")
def test_threads_by_subject(filled: ImapPeer) -> None:
    (told,) = filled.ok("THREAD ORDEREDSUBJECT UTF-8 ALL").of("THREAD")
    assert branches(told.values) == ((1, (2,), (5,)), (4,), (3,))


@needs("THREAD=REFERENCES")
def test_two_answers_to_one_letter_branch(one: ImapPeer) -> None:
    one.append(letter("Racine", Message_ID="<r@x>", Date="Sat, 10 Jan 2026 10:00:00 +0000"))
    for number in (1, 2):
        one.append(
            letter(
                "Re: Racine",
                Message_ID=f"<b{number}@x>",
                References="<r@x>",
                Date=f"Sat, 10 Jan 2026 1{number}:00:00 +0000",
            )
        )
    one.ok("NOOP")
    (told,) = one.ok("THREAD REFERENCES UTF-8 ALL").of("THREAD")
    assert branches(told.values) == ((1, (2,), (3,)),)


@needs("THREAD=REFERENCES")
def test_a_letter_whose_parent_is_not_there_is_a_root(one: ImapPeer) -> None:
    one.append(letter("Orphelin", References="<absent@x>", Message_ID="<o@x>"))
    one.append(letter("Frere", References="<absent@x>", Message_ID="<f@x>", Date="Mon, 2 Mar 2026 12:00:00 +0100"))
    one.ok("NOOP")
    (told,) = one.ok("THREAD REFERENCES UTF-8 ALL").of("THREAD")
    assert branches(told.values) == (((1,), (2,)),)


@needs("THREAD=REFERENCES")
def test_references_that_turn_in_a_circle_stall_nobody(one: ImapPeer) -> None:
    one.append(letter("A", Message_ID="<a@x>", References="<b@x>"))
    one.append(letter("B", Message_ID="<b@x>", References="<a@x>"))
    one.append(letter("C", Message_ID="<c@x>", References="<c@x> <c@x>"))
    one.ok("NOOP")
    (told,) = one.ok("THREAD REFERENCES UTF-8 ALL").of("THREAD")
    assert {"1", "2", "3"} == set(str(told.values).replace("(", " ").replace(")", " ").replace(",", " ").split())


# PARTIAL and CONTEXT


@needs("PARTIAL", "ESEARCH")
def test_a_page_of_the_result(filled: ImapPeer) -> None:
    """RFC 9394 §3.1."""
    for page, wanted in {"1:2": "1:2", "-1:-2": "4:5", "4:9": "4:5", "2:1": "1:2"}.items():
        found = answered(filled.ok(f"UID SEARCH RETURN (PARTIAL {page}) ALL"))["PARTIAL"]
        assert expand(str(found[1])) == expand(wanted), page
    assert answered(filled.ok("UID SEARCH RETURN (PARTIAL 7:9) ALL"))["PARTIAL"][1] is None
    assert filled.command("UID SEARCH RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL").status == "BAD"
    assert filled.command("UID SEARCH RETURN (PARTIAL 1:-2) ALL").status == "BAD"
    assert filled.command("UID SEARCH RETURN (PARTIAL 1:2 ALL) ALL").status == "BAD"


@needs("CONTEXT=SEARCH")
def test_a_page_by_context(filled: ImapPeer) -> None:
    """RFC 5267 §4.4."""
    found = answered(filled.ok("SEARCH RETURN (PARTIAL 2:3) ALL"))["PARTIAL"]
    assert (str(found[0]), expand(str(found[1]))) == ("2:3", [2, 3])


@needs("CONTEXT=SEARCH")
def test_a_result_is_kept_up_to_date(filled: ImapPeer, two: ImapPeer) -> None:
    """RFC 5267 §4.3: ADDTO and REMOVEFROM until CANCELUPDATE."""
    answer = filled.ok("UID SEARCH RETURN (UPDATE COUNT) FLAGGED")
    assert answered(answer)["COUNT"] == 1
    tag = answer.tag
    two.ok(r"UID STORE 3 +FLAGS.SILENT (\Flagged)")
    two.ok(r"UID STORE 2 -FLAGS.SILENT (\Flagged)")
    told = [esearch_of(each) for _ in range(3) for each in filled.ok("NOOP").of("ESEARCH")]
    added = [each["ADDTO"] for each in told if "ADDTO" in each]
    removed = [each["REMOVEFROM"] for each in told if "REMOVEFROM" in each]
    assert all(each["TAG"].decode() == tag for each in told)
    assert [(where, expand(str(which))) for pair in added for where, which in [pair]] == [(0, [3])]
    assert [(where, expand(str(which))) for pair in removed for where, which in [pair]] == [(0, [2])]
    filled.ok(f'CANCELUPDATE "{tag}"')
    two.ok(r"UID STORE 4 +FLAGS.SILENT (\Flagged)")
    assert filled.ok("NOOP").of("ESEARCH") == []


def test_a_search_right_after_much_was_filed_finds_all_of_it(one: ImapPeer, two: ImapPeer) -> None:
    for number in range(60):
        one.append(letter(f"Bilan {number}", f"Le patient {number} va {'mieux' if number % 3 else 'bien'}.\r\n"))
    for each in (one, two):
        each.ok("NOOP")
        assert each.search("TEXT bien") == [*range(1, 61, 3)]
        assert each.search('BODY "patient 59"') == [60]
        assert each.search("58:60 SUBJECT bilan") == [58, 59, 60]


@needs("CONTEXT=SEARCH")
@deviates("dovecot", "keeps searches of text up to date too")
def test_a_search_of_text_is_answered_and_said_not_to_be_kept_up_to_date(filled: ImapPeer) -> None:
    """RFC 5267 §4.3.1."""
    answer = filled.ok('UID SEARCH RETURN (UPDATE ALL) TEXT "kyste"')
    (said,) = answer.of("NO")
    assert code_of(said) == f'NOUPDATE "{answer.tag}"'
    assert numbers_of(answer)
