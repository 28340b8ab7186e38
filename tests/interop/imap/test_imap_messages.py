"""Messages put in, copied, moved, flagged and expunged. RFC 9051 §6.3.12, §6.4; RFC 3502, 4469, 4315, 6851, 3516."""

import re
from datetime import datetime, timedelta

import pytest

from simulators.imap_answers import Answer, expand
from simulators.imap_peer import ImapPeer, Login
from simulators.letters import NESTED, letter
from simulators.mail_servers import MailServer

needs, deviates = pytest.mark.needs, pytest.mark.deviates
pytestmark = pytest.mark.both_stores


def copyuid(answer: Answer) -> dict[int, int]:
    """Pairs of UID there and UID here, of COPYUID wherever it stands."""
    codes = [answer.code, *(str(each.values[0])[1:].split("]")[0] for each in answer.of("OK"))]
    (code,) = (each for each in codes if each.startswith("COPYUID"))
    _, validity, source, target = code.split(" ")
    assert int(validity) > 0
    return dict(zip(expand(source), expand(target), strict=True))


# APPEND


def test_what_was_appended_comes_back_octet_for_octet(one: ImapPeer) -> None:
    odd = b"Subject: 8 bits \xe9\r\n\r\n" + bytes(octet for octet in range(1, 256) if octet not in b"\r\n") + b"\r\n"
    contents = [letter(), NESTED, odd, b"no header at all", b"\r\n", b"a: b\r\n\r\nno line end", b"x" * 100_000]
    for content in contents:
        one.append(content)
    one.ok("NOOP")
    assert [one.body(number + 1) for number in range(len(contents))] == contents
    sizes = [each["RFC822.SIZE"] for each in one.fetch("1:*", "RFC822.SIZE").values()]
    assert sizes == [len(content) for content in contents]


@needs("UIDPLUS")
def test_append_tells_the_uid(one: ImapPeer) -> None:
    """RFC 4315 §3."""
    seen = one.select()
    answer = one.ok("APPEND INBOX ", letter())
    assert answer.code == f"APPENDUID {seen.uid_validity} {seen.uid_next}"


def test_append_keeps_flags_and_date(one: ImapPeer) -> None:
    one.append(letter(), flags="\\Seen \\Flagged $Forwarded essai", when=" 1-Feb-2024 03:04:05 +0200")
    one.ok("NOOP")
    found = one.fetch(1, "(FLAGS INTERNALDATE)")[1]
    flags = {str(each).lower() for each in found["FLAGS"]} - {"\\recent"}
    assert flags == {"\\seen", "\\flagged", "$forwarded", "essai"}
    when = datetime.strptime(found["INTERNALDATE"].decode().strip(), "%d-%b-%Y %H:%M:%S %z")
    assert when == datetime.strptime("2024-02-01 03:04:05 +0200", "%Y-%m-%d %H:%M:%S %z")
    assert re.fullmatch(rb"[ \d]\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d:\d\d [+-]\d{4}", found["INTERNALDATE"])


def test_append_without_a_date_is_of_now(one: ImapPeer) -> None:
    one.append(letter())
    one.ok("NOOP")
    when = datetime.strptime(one.fetch(1, "INTERNALDATE")[1]["INTERNALDATE"].decode().strip(), "%d-%b-%Y %H:%M:%S %z")
    assert abs(datetime.now(when.tzinfo) - when) < timedelta(minutes=2)


def test_append_to_where_nothing_is_says_that_it_may_be_made(one: ImapPeer) -> None:
    one.refused("APPEND rien ", letter(), code="TRYCREATE")
    one.refused("APPEND rien (\\Seen) ", letter(), code="TRYCREATE")
    assert "rien" not in str(one.ok('LIST "" *').untagged)


def test_append_to_the_mailbox_selected_is_told_at_once(one: ImapPeer) -> None:
    answer = one.ok("APPEND INBOX ", letter())
    assert [each.number for each in answer.of("EXISTS")] == [1]


@pytest.mark.parametrize(
    "head",
    [
        r"APPEND INBOX (\Nonsense) ",
        'APPEND INBOX "yesterday" ',
        pytest.param('APPEND INBOX "32-Jan-2024 00:00:00 +0000" ', marks=deviates("dovecot", "reckons with it")),
    ],
)
def test_append_with_a_wrong_flag_or_date_changes_nothing(one: ImapPeer, head: str) -> None:
    assert one.command(head, letter()).status in ("BAD", "NO"), head
    one.ok("NOOP")
    assert one.uids() == []


@needs("MULTIAPPEND")
def test_several_at_once_or_none(one: ImapPeer) -> None:
    """RFC 3502."""
    first, second = letter("Premier"), letter("Second")
    answer = one.ok("APPEND INBOX (\\Seen) ", first, ' " 1-Feb-2024 03:04:05 +0000" ', second, " (\\Flagged) ", first)
    assert expand(answer.code.split()[2]) == [1, 2, 3]
    one.ok("NOOP")
    assert one.flags() == {1: frozenset({"\\Seen"}), 2: frozenset(), 3: frozenset({"\\Flagged"})}
    assert one.body(2) == second
    assert one.command("APPEND INBOX ", first, " (\\Nonsense) ", second).status in ("BAD", "NO")
    one.ok("NOOP")
    assert len(one.uids()) == 3


@needs("CATENATE")
def test_a_message_is_put_together_from_pieces(one: ImapPeer, login: Login) -> None:
    """RFC 4469."""
    one.append(NESTED)
    seen = one.select()
    whole = f"/INBOX;UIDVALIDITY={seen.uid_validity}/;UID=1"
    answer = one.ok(
        "APPEND INBOX (\\Seen) CATENATE (TEXT ",
        b"Subject: Ensemble\r\n\r\n",
        f' URL "{whole}/;SECTION=1" TEXT ',
        b"\r\nfin\r\n",
        ' URL "/INBOX/;UID=1/;SECTION=HEADER")',
    )
    assert answer.code.startswith("APPENDUID")
    one.ok("NOOP")
    wanted = b"Subject: Ensemble\r\n\r\n" + one.body(1, "1") + b"\r\nfin\r\n" + one.body(1, "HEADER")
    assert one.body(2) == wanted
    bad = one.refused('APPEND INBOX CATENATE (URL "/INBOX/;UID=99")')
    assert bad.code.startswith("BADURL")
    assert len(one.uids()) == 2


@needs("BINARY")
def test_a_binary_literal_may_hold_anything(one: ImapPeer) -> None:
    """RFC 3516 §4.4."""
    content = b"MIME-Version: 1.0\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\1\2\r\n"
    one.send(b"x APPEND INBOX ~{%d}\r\n" % len(content))
    assert one.receive().startswith(b"+")
    one.send(content + b"\r\n")
    while (data := one.receive()).startswith(b"*"):
        pass
    assert data.startswith(b"x OK") or b"[UNKNOWN-CTE]" in data, data
    if data.startswith(b"x OK"):
        one.ok("NOOP")
        (found,) = one.fetch(1, "BINARY.PEEK[1]").values()
        assert found["BINARY[1]"] == b"\0\1\2\r\n"


# STORE


def test_store_in_its_three_ways(one: ImapPeer) -> None:
    one.append(letter(), flags="\\Seen")
    one.ok("NOOP")
    for command, flags in (
        (r"STORE 1 +FLAGS (\Flagged a)", {"\\Seen", "\\Flagged", "a"}),
        (r"STORE 1 -FLAGS (\Seen b)", {"\\Flagged", "a"}),
        (r"STORE 1 FLAGS (\Answered $Junk)", {"\\Answered", "$Junk"}),
        (r"STORE 1 FLAGS ()", set()),
        (r"STORE 1 +FLAGS \Draft", {"\\Draft"}),
        (r"UID STORE 1 FLAGS \Deleted \Seen", {"\\Deleted", "\\Seen"}),
    ):
        answer = one.ok(command)
        told = [each for each in answer.of("FETCH") if each.number == 1]
        assert told, command
        assert list(one.flags().values()) == [frozenset(flags)], command
    assert "UID" in str(one.ok(r"UID STORE 1 +FLAGS (\Answered)").of("FETCH")[-1].values)


def test_store_silent_says_nothing(one: ImapPeer) -> None:
    one.append(letter())
    one.ok("NOOP")
    for way in ("+FLAGS.SILENT", "-FLAGS.SILENT", "FLAGS.SILENT"):
        assert one.ok(f"STORE 1 {way} (\\Seen)").of("FETCH") == []


def test_keywords_have_no_case(one: ImapPeer) -> None:
    one.append(letter())
    one.ok("NOOP")
    one.ok("STORE 1 +FLAGS.SILENT (Urgent)")
    one.ok("STORE 1 +FLAGS.SILENT (uRGENT)")
    (flags,) = one.flags().values()
    assert {each.lower() for each in flags} == {"urgent"}
    assert len(flags) == 1
    one.ok("STORE 1 -FLAGS.SILENT (URGENT)")
    assert list(one.flags().values()) == [frozenset()]


def test_a_new_keyword_is_among_the_flags_told(one: ImapPeer) -> None:
    one.append(letter())
    one.ok("NOOP")
    one.ok("STORE 1 +FLAGS (motcle)")
    assert "motcle" in one.select().flags


def test_store_of_a_number_beyond_the_last_is_bad(one: ImapPeer) -> None:
    one.append(letter())
    one.ok("NOOP")
    assert one.command(r"STORE 2 +FLAGS (\Seen)").status in ("BAD", "NO")
    one.ok(r"UID STORE 99 +FLAGS (\Seen)")
    one.ok(r"UID STORE 99:100 +FLAGS (\Seen)")
    one.ok(r"STORE 1:* +FLAGS (\Seen)")
    one.ok(r"STORE *:1 +FLAGS (\Flagged)")
    assert list(one.flags().values()) == [frozenset({"\\Seen", "\\Flagged"})]


# EXPUNGE


def fill(one: ImapPeer, count: int) -> None:
    for number in range(count):
        one.append(letter(f"Numero {number + 1}"))
    one.ok("NOOP")


def test_expunge_tells_numbers_as_they_are_by_then(one: ImapPeer) -> None:
    fill(one, 6)
    one.ok(r"STORE 2,3,5 +FLAGS.SILENT (\Deleted)")
    left = [1, 2, 3, 4, 5, 6]
    for each in one.ok("EXPUNGE").of("EXPUNGE"):
        assert each.number is not None
        left.pop(each.number - 1)
    assert left == [1, 4, 6]
    assert one.uids() == left
    assert one.ok("EXPUNGE").of("EXPUNGE") == []


@needs("UIDPLUS")
def test_uid_expunge_takes_only_its_own(one: ImapPeer) -> None:
    fill(one, 5)
    one.ok(r"STORE 1,3,5 +FLAGS.SILENT (\Deleted)")
    one.ok("UID EXPUNGE 2:3,99")
    assert one.uids() == [1, 2, 4, 5]


def test_uids_are_never_used_again(one: ImapPeer) -> None:
    fill(one, 3)
    one.ok(r"STORE 3 +FLAGS.SILENT (\Deleted)")
    one.ok("EXPUNGE")
    assert one.append(letter()) in (0, 4)
    one.ok("NOOP")
    assert one.uids() == [1, 2, 4]


# COPY and MOVE


def test_copy_keeps_content_flags_and_date(one: ImapPeer) -> None:
    one.append(NESTED, flags="\\Flagged etoile", when=" 1-Feb-2024 03:04:05 +0200")
    one.ok("CREATE la")
    one.ok("COPY 1 la")
    assert one.uids() == [1]
    before = one.fetch(1, "(INTERNALDATE RFC822.SIZE)")
    one.select("la")
    assert one.body(1) == NESTED
    assert one.fetch(1, "(INTERNALDATE RFC822.SIZE)") == before
    assert one.flags() == {1: frozenset({"\\Flagged", "etoile"})}


@needs("UIDPLUS")
def test_copy_tells_uids_in_pairs(one: ImapPeer) -> None:
    fill(one, 4)
    one.ok("CREATE la")
    one.append(letter("Deja"), "la")
    pairs = copyuid(one.ok("COPY 2:3 la"))
    assert pairs == {2: 2, 3: 3}
    pairs |= copyuid(one.ok("UID COPY 4,1 la"))
    subjects = {uid: one.body(uid, "HEADER.FIELDS (SUBJECT)", uid=True) for uid in (1, 2, 3, 4)}
    one.select("la")
    assert {there: one.body(here, "HEADER.FIELDS (SUBJECT)", uid=True) for there, here in pairs.items()} == subjects


def test_copy_of_nothing_is_ok_and_copies_nothing(one: ImapPeer) -> None:
    fill(one, 1)
    one.ok("CREATE la")
    assert "COPYUID" not in one.ok("UID COPY 99 la").code
    one.select("la")
    assert one.uids() == []


def test_copy_to_where_nothing_is_says_that_it_may_be_made(one: ImapPeer) -> None:
    fill(one, 1)
    one.refused("COPY 1 rien", code="TRYCREATE")
    one.refused("UID COPY 1 rien", code="TRYCREATE")


def test_copy_into_the_same_mailbox_doubles(one: ImapPeer) -> None:
    fill(one, 2)
    one.ok("COPY 1:* INBOX")
    one.ok("NOOP")
    assert one.uids() == [1, 2, 3, 4]
    assert one.body(1) == one.body(3)


@needs("MOVE")
def test_move_tells_uids_then_what_is_gone(one: ImapPeer) -> None:
    """RFC 6851 §3.3: COPYUID, untagged, before the EXPUNGE."""
    fill(one, 4)
    one.ok("CREATE la")
    answer = one.ok("MOVE 2:3 la")
    assert copyuid(answer) == {2: 1, 3: 2}
    names = [each.name for each in answer.untagged]
    assert names.index("OK") < names.index("EXPUNGE")
    assert names.count("EXPUNGE") == 2
    assert one.uids() == [1, 4]
    answer = one.ok("UID MOVE 4,77 la")
    assert copyuid(answer) == {4: 3}
    one.select("la")
    assert b"Numero 4" in one.body(3)


@needs("MOVE")
def test_move_of_nothing_and_to_nowhere(one: ImapPeer) -> None:
    fill(one, 1)
    one.refused("MOVE 1 rien", code="TRYCREATE")
    one.ok("CREATE la")
    one.ok("UID MOVE 99 la")
    assert one.uids() == [1]


@needs("MOVE")
def test_messages_deleted_but_not_moved_stay(one: ImapPeer) -> None:
    fill(one, 3)
    one.ok("CREATE la")
    one.ok(r"STORE 1 +FLAGS.SILENT (\Deleted)")
    one.ok("MOVE 2 la")
    assert one.uids() == [1, 3]


# What outlives a restart


def test_uids_flags_and_modseqs_outlive_a_restart(mail: MailServer, one: ImapPeer, login: Login) -> None:
    if mail.restart is not None:
        fill(one, 4)
        one.ok(r"STORE 2 +FLAGS.SILENT (\Flagged reste)")
        one.ok(r"STORE 4 +FLAGS.SILENT (\Deleted)")
        one.ok("EXPUNGE")
        before, flags = one.select(), one.flags()
        mail.restart()
        again = mail.open(login)
        seen = again.select()
        assert (seen.uid_validity, seen.uid_next, seen.modseq) == (before.uid_validity, 5, before.modseq)
        assert again.flags() == flags
