"""What a session learns of what others did, and how it catches up. RFC 9051 §5.2, §7.4; RFC 7162 (CONDSTORE, QRESYNC)."""

import contextlib
import time

import pytest

from simulators.imap_answers import Answer, Untagged, expand
from simulators.imap_peer import ImapPeer, Login, Selected, fetched, flag_set, items_of
from simulators.letters import letter
from simulators.mail_servers import MailServer

needs, deviates = pytest.mark.needs, pytest.mark.deviates
pytestmark = pytest.mark.both_stores
SIX = 6


def fill(peer: ImapPeer, count: int = SIX) -> None:
    for number in range(count):
        peer.append(letter(f"Numero {number + 1}"))
    peer.ok("NOOP")


def modseqs(peer: ImapPeer) -> dict[int, int]:
    """MODSEQ by UID."""
    return {uid: each["MODSEQ"][0] for uid, each in peer.uid_fetch("1:*", "(MODSEQ)").items()}


def vanished(answer: Answer, *, earlier: bool = False) -> list[int]:
    """UIDs of the VANISHED answers."""
    found: list[int] = []
    for each in answer.of("VANISHED"):
        assert (each.values[0] == ("EARLIER",)) == earlier, each
        found += expand(str(each.values[-1]))
    return sorted(found)


# Sessions side by side


def test_news_come_with_noop(one: ImapPeer, two: ImapPeer) -> None:
    two.append(letter())
    assert [each.number for each in one.ok("NOOP").of("EXISTS")] == [1]
    two.ok("NOOP")
    two.ok(r"STORE 1 +FLAGS.SILENT (\Flagged)")
    (told,) = one.ok("NOOP").of("FETCH")
    assert "\\Flagged" in items_of(told)["FLAGS"]
    two.ok(r"STORE 1 +FLAGS.SILENT (\Deleted)")
    two.ok("EXPUNGE")
    answer = one.ok("NOOP")
    assert [each.number for each in answer.of("EXPUNGE")] == [1]
    assert one.ok("NOOP").untagged == []


@pytest.mark.parametrize("command", ["FETCH 1:3 FLAGS", r"STORE 1:3 +FLAGS (\Seen)", "SEARCH ALL"])
def test_no_expunge_while_numbers_are_meant(one: ImapPeer, two: ImapPeer, command: str) -> None:
    """RFC 9051 §7.5.1: not during FETCH, STORE or SEARCH; then the numbers are still those of before."""
    fill(two)
    one.ok("NOOP")
    two.ok(r"STORE 1 +FLAGS.SILENT (\Deleted)")
    two.ok("EXPUNGE")
    answer = one.command(command)
    assert answer.of("EXPUNGE", "VANISHED") == []
    assert answer.status in ("OK", "NO")
    if "FETCH" not in command:
        answer = one.command("FETCH 6 UID")
        assert answer.of("EXPUNGE", "VANISHED") == []
        assert fetched(answer)[6]["UID"] == 6
    assert [each.number for each in one.ok("NOOP").of("EXPUNGE")] == [1]
    assert one.fetch(5, "UID")[5]["UID"] == 6


def test_a_message_expunged_elsewhere_hurts_no_fetch(one: ImapPeer, two: ImapPeer) -> None:
    """RFC 2180 §4.1; RFC 5530 EXPUNGEISSUED."""
    fill(two)
    one.ok("NOOP")
    two.ok(r"STORE 2:3 +FLAGS.SILENT (\Deleted)")
    two.ok("EXPUNGE")
    answer = one.command("FETCH 1:6 (UID BODY.PEEK[])")
    assert answer.status in ("OK", "NO")
    found = fetched(answer)
    assert all(found[number]["UID"] == number for number in found)
    assert {1, 4, 5, 6} <= set(found)
    for command in (r"STORE 2:3 +FLAGS (\Seen)", "COPY 2:3 INBOX"):
        assert one.command(command).status in ("OK", "NO"), command
    one.ok("NOOP")
    assert one.uids()[:4] == [1, 4, 5, 6]


def test_a_fetch_of_a_message_not_told_of_yet_is_bad_or_empty(one: ImapPeer, two: ImapPeer) -> None:
    two.append(letter())
    answer = one.command("FETCH 1 UID")
    assert answer.status in ("BAD", "NO") or answer.of("EXISTS") or not answer.of("FETCH")


def test_recent_or_not_flags_are_the_same_for_all(one: ImapPeer, two: ImapPeer) -> None:
    fill(one)
    one.ok(r"STORE 1:3 FLAGS.SILENT (\Seen a)")
    two.ok("NOOP")
    two.ok(r"UID STORE 2 -FLAGS.SILENT (a)")
    one.ok("NOOP")
    two.ok("NOOP")
    assert one.flags() == two.flags()
    assert one.flags()[2] == frozenset({"\\Seen"})


def test_a_mailbox_deleted_under_a_session_ends_it_or_refuses(mail: MailServer, login: Login, one: ImapPeer) -> None:
    one.ok("CREATE sol")
    one.append(letter(), "sol")
    other = mail.open(login, "sol")
    one.ok("DELETE sol")
    try:
        for _ in range(3):
            answer = other.command("NOOP")
            assert answer.status in ("OK", "NO", "BAD")
    except ConnectionError:
        pass
    assert mail.open(login).ok("NOOP").status == "OK"


@deviates("dovecot", "hangs up")
def test_a_mailbox_renamed_under_a_session_goes_on(mail: MailServer, login: Login, one: ImapPeer) -> None:
    one.ok("CREATE avant")
    one.append(letter(), "avant")
    other = mail.open(login, "avant")
    one.ok("RENAME avant apres")
    assert other.command("NOOP").status == "OK"
    assert other.command("FETCH 1 UID").status in ("OK", "NO")


# IDLE


def wait_for(peer: ImapPeer, name: str, seconds: float = 5.0) -> Untagged:
    """The next untagged answer of a name, keep-alives aside."""
    end = time.monotonic() + seconds
    while True:
        told = peer.next_untagged(max(0.01, end - time.monotonic()))
        if told.name == name:
            return told
        assert told.name in ("OK", "EXISTS", "RECENT", "FETCH", "EXPUNGE", "FLAGS"), told


@needs("IDLE")
def test_an_idle_session_is_told(one: ImapPeer, two: ImapPeer) -> None:
    """RFC 2177."""
    with one.idling():
        two.append(letter())
        assert wait_for(one, "EXISTS").number == 1
        two.ok("NOOP")
        two.ok(r"STORE 1 +FLAGS.SILENT (\Answered)")
        told = wait_for(one, "FETCH")
        assert "\\Answered" in items_of(told)["FLAGS"]
        two.ok(r"STORE 1 +FLAGS.SILENT (\Deleted)")
        two.ok("EXPUNGE")
        assert wait_for(one, "EXPUNGE").number == 1
    assert one.uids() == []


@needs("IDLE")
def test_idle_ends_with_done_in_any_case_and_nothing_else(one: ImapPeer) -> None:
    one.send(b"x IDLE\r\n")
    assert one.receive().startswith(b"+")
    one.send(b"done\r\n")
    assert one.receive().startswith(b"x OK")
    one.send(b"y IDLE\r\n")
    assert one.receive().startswith(b"+")
    one.send(b"NOOP\r\n")
    with contextlib.suppress(ConnectionError):
        assert b"BAD" in one.receive()


# CONDSTORE


def condstore(peer: ImapPeer) -> Selected:
    return peer.select("INBOX", "(CONDSTORE)")


@needs("CONDSTORE")
def test_modseqs_grow_with_every_change(one: ImapPeer) -> None:
    fill(one)
    first = condstore(one)
    assert first.modseq > 0
    before = modseqs(one)
    assert max(before.values()) <= first.modseq
    answer = one.ok(r"STORE 2 +FLAGS (\Flagged)")
    told = fetched(answer)[2]
    assert told["MODSEQ"][0] > first.modseq
    after = modseqs(one)
    assert after[2] == told["MODSEQ"][0]
    assert {uid: value for uid, value in after.items() if uid != 2} == {
        uid: value for uid, value in before.items() if uid != 2
    }
    assert condstore(one).modseq == after[2]


@needs("CONDSTORE")
def test_even_a_silent_store_tells_the_modseq(one: ImapPeer) -> None:
    """RFC 7162 §3.1.3."""
    fill(one, 1)
    condstore(one)
    told = fetched(one.ok(r"STORE 1 +FLAGS.SILENT (\Flagged)"))[1]
    assert "FLAGS" not in told
    assert told["MODSEQ"][0] > 0


@needs("CONDSTORE")
def test_changes_since(one: ImapPeer) -> None:
    fill(one)
    seen = condstore(one)
    one.ok(r"STORE 3,5 +FLAGS.SILENT (\Seen)")
    found = one.fetch("1:*", f"(FLAGS) (CHANGEDSINCE {seen.modseq})")
    assert sorted(found) == [3, 5]
    assert all("MODSEQ" in each for each in found.values())
    assert one.fetch("1:*", f"(FLAGS) (CHANGEDSINCE {condstore(one).modseq})") == {}


@needs("CONDSTORE")
def test_store_only_what_nobody_changed(one: ImapPeer, two: ImapPeer) -> None:
    """RFC 7162 §3.1.3: UNCHANGEDSINCE, MODIFIED."""
    fill(one)
    seen = condstore(one)
    two.ok("NOOP")
    two.ok(r"STORE 2,4 +FLAGS.SILENT (\Flagged)")
    answer = one.ok(rf"STORE 1:5 (UNCHANGEDSINCE {seen.modseq}) +FLAGS.SILENT (\Deleted)")
    assert answer.code.split(" ")[0] == "MODIFIED"
    assert expand(answer.code.split(" ")[1]) == [2, 4]
    flags = one.flags()
    assert [uid for uid in flags if "\\Deleted" in flags[uid]] == [1, 3, 5]
    answer = one.ok(rf"UID STORE 6 (UNCHANGEDSINCE {seen.modseq}) +FLAGS.SILENT (\Draft)")
    assert "MODIFIED" not in answer.code
    assert "MODSEQ" in fetched(answer)[6]


@needs("CONDSTORE")
def test_unchangedsince_zero_refuses_every_system_flag(one: ImapPeer) -> None:
    fill(one, 2)
    condstore(one)
    answer = one.ok(r"STORE 1:2 (UNCHANGEDSINCE 0) +FLAGS.SILENT (\Deleted)")
    assert answer.code == "MODIFIED 1:2"
    assert set(one.flags().values()) == {frozenset()}


@needs("CONDSTORE")
def test_search_by_modseq_tells_the_highest(one: ImapPeer) -> None:
    """RFC 7162 §3.1.5."""
    fill(one)
    seen = condstore(one)
    one.ok(r"STORE 4 +FLAGS.SILENT (\Seen)")
    (told,) = one.ok(f"SEARCH MODSEQ {seen.modseq + 1}").of("SEARCH")
    assert told.values[0] == 4
    name, value = told.values[1]
    assert str(name).upper() == "MODSEQ"
    assert value == modseqs(one)[4]
    (told,) = one.ok(f"SEARCH MODSEQ {2**62}").of("SEARCH")
    assert told.values == ()
    assert one.command('SEARCH MODSEQ "/flags/\\\\Seen" all 1').status == "OK"


@needs("CONDSTORE")
def test_once_asked_for_every_fetch_of_flags_has_its_modseq(one: ImapPeer, two: ImapPeer) -> None:
    """RFC 7162 §3.1: a session that enabled CONDSTORE is told MODSEQ with every change of flags."""
    fill(two, 2)
    one.ok("NOOP")
    one.ok("FETCH 1 (MODSEQ)")
    two.ok(r"STORE 2 +FLAGS.SILENT (\Flagged)")
    (told,) = one.ok("NOOP").of("FETCH")
    assert {"FLAGS", "MODSEQ"} <= set(items_of(told))


@needs("CONDSTORE")
def test_setting_what_is_set_need_not_raise_the_modseq_but_never_lowers_it(one: ImapPeer) -> None:
    fill(one, 1)
    condstore(one)
    one.ok(r"STORE 1 +FLAGS.SILENT (\Seen)")
    first = modseqs(one)[1]
    one.ok(r"STORE 1 +FLAGS.SILENT (\Seen)")
    assert modseqs(one)[1] >= first


@needs("CONDSTORE")
def test_an_expunge_raises_the_highest_modseq(one: ImapPeer) -> None:
    fill(one, 3)
    seen = condstore(one)
    one.ok(r"STORE 2 +FLAGS.SILENT (\Deleted)")
    between = condstore(one)
    one.ok("EXPUNGE")
    after = condstore(one)
    assert seen.modseq < between.modseq
    assert after.modseq > between.modseq
    assert max(modseqs(one).values()) <= after.modseq


# QRESYNC


def resync(peer: ImapPeer, seen: Selected, more: str = "") -> Answer:
    """SELECT with what a session knew."""
    return peer.select("INBOX", f"(QRESYNC ({seen.uid_validity} {seen.modseq}{more}))").answer


@pytest.fixture
def away(mail: MailServer, login: Login, one: ImapPeer) -> tuple[Selected, ImapPeer]:
    """What a session knew of six messages before others were flagged (2), expunged (3, 4) and came (7), and a session
    that has enabled QRESYNC and selected nothing."""
    fill(one)
    seen = condstore(one)
    one.ok(r"STORE 2 +FLAGS.SILENT (\Flagged)")
    one.ok(r"STORE 3:4 +FLAGS.SILENT (\Deleted)")
    one.ok("EXPUNGE")
    one.append(letter("Nouveau"))
    peer = mail.open(login)
    peer.ok("ENABLE QRESYNC")
    return seen, peer


@needs("QRESYNC")
def test_select_tells_all_that_changed(away: tuple[Selected, ImapPeer]) -> None:
    """RFC 7162 §3.2.5."""
    seen, peer = away
    answer = resync(peer, seen)
    assert vanished(answer, earlier=True) == [3, 4]
    told = {items_of(each)["UID"]: items_of(each) for each in answer.of("FETCH")}
    assert sorted(told) == [2, 7]
    assert flag_set(told[2]["FLAGS"]) == frozenset({"\\Flagged"})
    assert all(each["MODSEQ"][0] > seen.modseq for each in told.values())
    numbers = {items_of(each)["UID"]: each.number for each in answer.of("FETCH")}
    assert numbers == {2: 2, 7: 5}
    names = [each.name for each in answer.untagged]
    assert names.index("VANISHED") < names.index("FETCH")


@needs("QRESYNC")
def test_select_tells_only_of_known_uids(away: tuple[Selected, ImapPeer]) -> None:
    seen, peer = away
    answer = resync(peer, seen, " 1:3")
    assert vanished(answer, earlier=True) == [3]
    assert {items_of(each)["UID"] for each in answer.of("FETCH")} <= {2, 7}


@needs("QRESYNC")
def test_nothing_is_told_for_another_uidvalidity(away: tuple[Selected, ImapPeer]) -> None:
    seen, peer = away
    seen.uid_validity += 1
    answer = resync(peer, seen)
    assert answer.of("VANISHED", "FETCH") == []


@needs("QRESYNC")
def test_nothing_is_told_to_who_knows_it_all(away: tuple[Selected, ImapPeer]) -> None:
    _, peer = away
    seen = peer.select()
    assert resync(peer, seen).of("VANISHED", "FETCH") == []


@needs("QRESYNC")
def test_a_match_of_numbers_and_uids_is_taken(away: tuple[Selected, ImapPeer]) -> None:
    """RFC 7162 §3.2.5.2: the fourth parameter."""
    seen, peer = away
    answer = resync(peer, seen, " 1:6 (1,3,5 1,3,5)")
    assert set(vanished(answer, earlier=True)) >= {3, 4} or set(vanished(answer, earlier=True)) == {4}


@needs("QRESYNC")
def test_uid_fetch_tells_what_vanished(away: tuple[Selected, ImapPeer]) -> None:
    """RFC 7162 §3.2.6."""
    seen, peer = away
    peer.select()
    answer = peer.ok(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {seen.modseq} VANISHED)")
    assert vanished(answer, earlier=True) == [3, 4]
    assert sorted(items_of(each)["UID"] for each in answer.of("FETCH")) == [2, 7]
    assert peer.command(f"FETCH 1:* (FLAGS) (CHANGEDSINCE {seen.modseq} VANISHED)").status == "BAD"
    assert peer.command("UID FETCH 1:* (FLAGS) (VANISHED)").status == "BAD"


@needs("QRESYNC")
def test_what_is_expunged_vanishes(away: tuple[Selected, ImapPeer], two: ImapPeer) -> None:
    """RFC 7162 §3.2.10: VANISHED instead of EXPUNGE once enabled, one's own expunges too."""
    _, peer = away
    peer.select()
    two.ok(r"UID STORE 1,5 +FLAGS.SILENT (\Deleted)")
    two.ok("UID EXPUNGE 1")
    answer = peer.ok("NOOP")
    assert answer.of("EXPUNGE") == []
    assert vanished(answer) == [1]
    answer = peer.ok("EXPUNGE")
    assert answer.of("EXPUNGE") == []
    assert vanished(answer) == [5]
    assert peer.ok("NOOP").of("VANISHED") == []


@needs("QRESYNC")
def test_expunge_and_close_tell_the_highest_modseq(away: tuple[Selected, ImapPeer]) -> None:
    """RFC 7162 §3.2.7, §3.2.8."""
    _, peer = away
    peer.select()
    peer.ok(r"UID STORE 1,5 +FLAGS.SILENT (\Deleted)")
    answer = peer.ok("UID EXPUNGE 1")
    assert answer.code.startswith("HIGHESTMODSEQ ")
    first = int(answer.code.split()[1])
    answer = peer.ok("CLOSE")
    if answer.code:
        assert int(answer.code.split()[1]) > first
    assert condstore(peer).modseq >= first


@needs("QRESYNC")
def test_qresync_without_enable_is_bad(one: ImapPeer) -> None:
    assert one.command("SELECT INBOX (QRESYNC (1 1))").status == "BAD"


@needs("QRESYNC")
@pytest.mark.parametrize(
    "parameters",
    [
        "(QRESYNC)",
        "(QRESYNC ())",
        pytest.param("(QRESYNC (0 1))", marks=deviates("dovecot", "takes it")),
        "(QRESYNC (1))",
        "(NONSENSE)",
    ],
)
def test_wrong_parameters_are_bad(one: ImapPeer, parameters: str) -> None:
    one.ok("ENABLE QRESYNC")
    assert one.command(f"SELECT INBOX {parameters}").status == "BAD"


# NOTIFY


@needs("NOTIFY")
def test_a_session_is_told_of_other_mailboxes(one: ImapPeer, two: ImapPeer) -> None:
    """RFC 5465."""
    two.ok("CREATE ailleurs")
    answer = one.ok("NOTIFY SET STATUS (personal (MessageNew MessageExpunge FlagChange))")
    assert {_text(each.values[0]) for each in answer.of("STATUS")} >= {"ailleurs"}
    two.append(letter(), "ailleurs")
    told = one.next_untagged()
    assert told.name == "STATUS"
    assert _text(told.values[0]) == "ailleurs"
    assert "UIDNEXT" in told.values[1]
    assert told.values[1][told.values[1].index("MESSAGES") + 1] == 1


@needs("NOTIFY")
@deviates("dovecot", "tells of the mailbox selected with the next command only")
def test_a_session_is_told_of_the_mailbox_selected_with_what_it_asked(one: ImapPeer, two: ImapPeer) -> None:
    one.ok("NOTIFY SET (selected (MessageNew (UID FLAGS) MessageExpunge))")
    two.append(letter())
    seen = [one.next_untagged()]
    while seen[-1].name != "FETCH":
        seen.append(one.next_untagged())
    assert [each.number for each in seen if each.name == "EXISTS"] == [1]
    assert items_of(seen[-1])["UID"] == 1
    two.ok("NOOP")
    two.ok(r"STORE 1 +FLAGS.SILENT (\Deleted)")
    two.ok("EXPUNGE")
    told = one.next_untagged()
    assert (told.name, told.number) == ("EXPUNGE", 1)


@needs("NOTIFY")
def test_notify_none_silences(one: ImapPeer, two: ImapPeer) -> None:
    one.ok("NOTIFY SET (selected (MessageNew MessageExpunge))")
    one.ok("NOTIFY NONE")
    two.append(letter())
    with pytest.raises(TimeoutError):
        one.next_untagged(timeout=1.5)


@needs("NOTIFY")
@pytest.mark.parametrize(
    "command",
    [
        "NOTIFY",
        pytest.param("NOTIFY SET", marks=deviates("dovecot", "takes it")),
        "NOTIFY SET (selected (MessageNew))",
        pytest.param("NOTIFY SET (personal (FlagChange))", marks=deviates("dovecot", "takes it")),
    ],
)
def test_a_notify_that_asks_for_half_is_bad(one: ImapPeer, command: str) -> None:
    """RFC 5465 §5: MessageNew and MessageExpunge go together, and FlagChange with both."""
    assert one.command(command).status in ("BAD", "NO")


def _text(value: object) -> str:
    """A name, quoted or not."""
    return value.decode() if isinstance(value, bytes) else str(value)
