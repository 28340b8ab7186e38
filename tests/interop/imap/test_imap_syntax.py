"""What is not a command is answered BAD, and the session goes on. RFC 9051 §2.2, §4, §5.5, §9; RFC 7888."""

import contextlib
import time

import pytest

from simulators.imap_answers import Answer, read_answer
from simulators.imap_peer import ImapPeer, Login
from simulators.letters import letter
from simulators.mail_servers import MailServer

needs, deviates = pytest.mark.needs, pytest.mark.deviates


@pytest.mark.parametrize(
    "command",
    [
        "NONSENSE",
        "FETCH",
        "FETCH 1",
        "FETCH 0 FLAGS",
        "FETCH x FLAGS",
        "FETCH 1 (FLAGS",
        "FETCH 1 FLAGS)",
        "FETCH 1 BODY[",
        "FETCH 1 BODY[HEADER.FIELDS]",
        pytest.param("FETCH 1 BODY[]<0>", marks=deviates("dovecot", "takes it")),
        "FETCH 1 BODY[MIME]",
        "FETCH 1 NOTHING",
        "UID",
        "UID NOOP",
        "UID EXPUNGE",
        pytest.param("STORE 1 FLAGS", marks=deviates("dovecot", "takes it")),
        "STORE 1 *FLAGS (\\Seen)",
        "STORE 1 +FLAGS (\\Recent)",
        "SEARCH",
        "SEARCH NOSUCHKEY",
        "SEARCH SUBJECT",
        "SEARCH (ALL",
        "SEARCH SINCE 31-Foo-2026",
        "COPY 1",
        "STATUS INBOX",
        "STATUS INBOX (NOTHING)",
        "SELECT",
        "CREATE",
        "RENAME INBOX",
        "LIST",
        'LIST ""',
        "APPEND INBOX",
        'SELECT "INBOX',
        pytest.param("NOOP nonsense", marks=deviates("dovecot", "takes it")),
    ],
)
def test_what_is_no_command_is_bad(one: ImapPeer, command: str) -> None:
    one.append(letter())
    assert one.command(command).status in ("BAD", "NO"), command
    one.ok("NOOP")


def test_verbs_and_atoms_have_no_case(one: ImapPeer) -> None:
    one.ok("noop")
    one.ok("SeLeCt inbox")
    one.append(letter())
    assert "FLAGS" in one.ok("fetch 1 (flags)").of("FETCH")[0].values[0]
    one.ok("store 1 +flags.silent (\\seen)")
    assert list(one.flags().values()) == [frozenset({"\\Seen"})]
    assert one.ok("uid search all").of("SEARCH")[0].values == (1,)


def test_tags_come_back_as_they_were(one: ImapPeer) -> None:
    for tag in ("A1", "x.y-z", "0", "tag'with!marks&more"):
        one.send(f"{tag} NOOP\r\n".encode())
        assert one.receive().startswith(f"{tag} OK".encode()), tag


@deviates("dovecot", "calls it invalid")
def test_a_closing_bracket_is_a_tag(one: ImapPeer) -> None:
    """RFC 9051 §9: tag = 1*<any ASTRING-CHAR except "+">, and resp-specials are among them."""
    one.send(b"]] NOOP\r\n")
    assert one.receive().startswith(b"]] OK")


def test_a_line_without_a_tag_is_bad(one: ImapPeer) -> None:
    for line in (b"\r\n", b" NOOP\r\n", b"+ NOOP\r\n", b"x\r\n"):
        one.send(line)
        assert b"BAD" in one.receive(), line
    one.ok("NOOP")


def test_commands_sent_together_are_answered_in_order(one: ImapPeer) -> None:
    one.send(b"".join(b"t%d NOOP\r\n" % number for number in range(50)))
    for number in range(50):
        assert one.receive().startswith(b"t%d OK" % number)


def test_octet_by_octet(one: ImapPeer) -> None:
    for octet in (
        b'x APPEND "INBOX" (\\Seen) {3+}\r\na:b\r\n' if one.literals == "+" else b"x STATUS INBOX (MESSAGES)\r\n"
    ):
        one.send(bytes([octet]))
        time.sleep(0.001)
    while (data := one.receive()).startswith(b"*"):
        pass
    assert data.startswith(b"x OK")


def test_strings_in_every_shape_mean_the_same(one: ImapPeer) -> None:
    one.append(letter("Trois"))
    assert one.search("SUBJECT Trois") == [1]
    assert one.search('SUBJECT "Trois"') == [1]
    assert one.search("SUBJECT ", b"Trois") == [1]
    assert one.search("SUBJECT ", b"") == [1]
    assert one.search('SUBJECT ""') == [1]
    one.ok('SELECT "INBOX"')
    one.ok("SELECT ", b"InBoX")
    one.ok('CREATE "a \\"b\\" \\\\c"')
    one.select('a "b" \\c')


def test_a_literal_announced_is_asked_for(one: ImapPeer) -> None:
    one.send(b"x SEARCH SUBJECT {5}\r\n")
    assert one.receive().startswith(b"+ ")
    one.send(b"abcde\r\n")
    assert read_answer(one.receive())[1] is not None
    assert one.receive().startswith(b"x OK")


@needs("LITERAL+")
def test_a_literal_may_come_unasked(one: ImapPeer) -> None:
    one.literals = "+"
    content = letter("Sans attendre")
    one.append(content)
    one.ok("NOOP")
    assert one.body(1) == content
    assert one.search("SUBJECT ", b"attendre", " SUBJECT ", b"Sans") == [1]


@needs("LITERAL-")
def test_a_small_literal_may_come_unasked(one: ImapPeer) -> None:
    one.literals = "+"
    assert one.search("SUBJECT ", b"x" * 4096) == []


@needs("LITERAL+")
def test_a_refused_literal_that_comes_unasked_is_passed_over(one: ImapPeer) -> None:
    """RFC 7888 §4: its octets are no commands."""
    content = b"x1 LOGOUT\r\n" * 100
    one.send(b"x APPEND nothing/there {%d+}\r\n%s\r\ny NOOP\r\n" % (len(content), content))
    answers: list[Answer] = []
    while len(answers) < 2:
        tagged, _ = read_answer(one.receive())
        answers += [tagged] if tagged else []
    assert [(each.tag, each.status) for each in answers] == [("x", "NO"), ("y", "OK")]
    assert answers[0].code == "TRYCREATE"


def test_a_huge_literal_is_refused_before_it_is_sent(one: ImapPeer) -> None:
    one.send(b"x APPEND INBOX {99999999999}\r\n")
    data = one.receive()
    assert data.split()[1] in (b"NO", b"BAD") or data.startswith(b"* BYE"), data


@pytest.mark.parametrize("size", [10_000, 200_000])
def test_a_long_line_ends_in_bad_or_farewell_not_in_silence(mail: MailServer, login: Login, size: int) -> None:
    peer = mail.open(login, "INBOX")
    try:
        peer.send(b"x SEARCH " + b"OR ALL " * (size // 7) + b"ALL ALL\r\n")
        data = peer.receive()
    except ConnectionError:
        return
    while data.startswith(b"* SEARCH"):
        data = peer.receive()
    assert data.split()[1] in (b"BAD", b"NO", b"OK", b"BYE"), data


@pytest.mark.parametrize("depth", [100, 20_000])
def test_deep_nesting_stalls_nobody(mail: MailServer, login: Login, depth: int) -> None:
    peer = mail.open(login, "INBOX")
    try:
        answer = peer.command("SEARCH " + "(" * depth + "ALL" + ")" * depth)
        assert answer.status in ("OK", "BAD", "NO")
        deep = peer.command("SEARCH " + "NOT " * depth + "ALL")
        assert deep.status in ("OK", "BAD", "NO")
    except (ConnectionError, AssertionError):
        pass  # hung up with a BYE: allowed
    mail.open(login, "INBOX").ok("NOOP")


def test_a_nul_octet_is_refused_and_the_session_goes_on_or_ends(mail: MailServer, login: Login) -> None:
    peer = mail.open(login, "INBOX")
    peer.send(b"x SEARCH SUBJECT \0\r\n")
    with contextlib.suppress(ConnectionError):
        assert b"BAD" in peer.receive()
    mail.open(login, "INBOX").ok("NOOP")


def test_eight_bits_in_a_quoted_string_do_no_harm(one: ImapPeer) -> None:
    assert one.command('SEARCH SUBJECT "é"').status in ("OK", "BAD", "NO")
    one.ok("NOOP")
