"""Connecting, signing in, and the states of a session. RFC 9051 §2, §3, §6.1–6.3; RFC 3501 the same."""

import base64

import pytest

from simulators.imap_peer import ImapPeer, Login, quoted
from simulators.letters import letter
from simulators.mail_servers import MailServer, offers

needs, deviates = pytest.mark.needs, pytest.mark.deviates


def test_what_is_advertised_is_what_is_checked(mail: MailServer, one: ImapPeer) -> None:
    assert {each.partition("=5")[0] for each in one.capabilities()} == offers(mail.name)


def test_the_greeting_is_ok_and_comes_first(mail: MailServer) -> None:
    peer = mail.connect()
    assert peer.greeting.name == "OK"
    assert {"IMAP4REV1", "IMAP4REV2"} & peer.capabilities()


def test_nothing_is_open_before_sign_in(mail: MailServer) -> None:
    for command in ("SELECT INBOX", 'LIST "" *', "STATUS INBOX (MESSAGES)", "FETCH 1 FLAGS", "NAMESPACE", "IDLE"):
        peer = mail.connect()
        assert peer.command(command).status in ("BAD", "NO"), command
        assert peer.command("NOOP").status == "OK"


@deviates("dovecot", "takes loopback for a safe line")
def test_without_tls_no_secret_is_taken(mail: MailServer) -> None:
    if mail.starttls_port:
        peer = ImapPeer.connect(mail.starttls_port, None)
        told = peer.capabilities()
        assert {"STARTTLS", "LOGINDISABLED"} <= told
        assert not {each for each in told if each.startswith("AUTH=")} - {"AUTH=EXTERNAL"}
        assert peer.command("LOGIN nobody nothing").status == "NO"
        peer.cut()


def test_starttls_then_sign_in(mail: MailServer, login: Login) -> None:
    if mail.starttls_port:
        peer = ImapPeer.connect(mail.starttls_port, mail.context)
        told = peer.capabilities()
        assert "STARTTLS" not in told
        assert "LOGINDISABLED" not in told
        peer.login(login)
        peer.refused("STARTTLS", status="BAD")
        peer.logout()


@deviates("ours", "closes the connection, which drops them too")
def test_octets_slipped_in_behind_starttls_are_dropped(mail: MailServer) -> None:
    """RFC 9051 §11.1: what was sent in clear with STARTTLS must not be taken for what TLS protects."""
    if mail.starttls_port:
        peer = ImapPeer.connect(mail.starttls_port, None)
        peer.send(b"x STARTTLS\r\ny NOOP\r\n")
        assert peer.receive().startswith(b"x OK")
        with pytest.raises((TimeoutError, ConnectionError)):
            peer.receive(timeout=0.5)
        peer.cut()


def test_a_wrong_secret_and_an_unknown_name_are_refused_alike(mail: MailServer, login: Login) -> None:
    peer = mail.connect()
    wrong = peer.refused(f"LOGIN {quoted(login.user)} nothing", code="AUTHENTICATIONFAILED")
    unknown = peer.refused("LOGIN nobody-at-all@nowhere.example nothing", code="AUTHENTICATIONFAILED")
    assert wrong.text == unknown.text
    peer.login(login)  # the connection is still good


@needs("SASL-IR")
def test_plain_with_an_initial_response(mail: MailServer, login: Login) -> None:
    assert mail.connect().authenticate_plain(login).status == "OK"


def test_plain_after_the_challenge(mail: MailServer, login: Login) -> None:
    assert mail.connect().authenticate_plain(login, initial=False).status == "OK"


def test_a_sign_in_given_up_leaves_the_connection_as_it_was(mail: MailServer, login: Login) -> None:
    peer = mail.connect()
    peer.send(b"x AUTHENTICATE PLAIN\r\n")
    assert peer.receive().startswith(b"+")
    peer.send(b"*\r\n")
    assert peer.receive().startswith(b"x BAD")
    peer.send(b"y AUTHENTICATE PLAIN\r\n")
    assert peer.receive().startswith(b"+")
    peer.send(b"not base64!\r\n")
    assert peer.receive().split()[1] in (b"BAD", b"NO")
    peer.login(login)


def test_an_unknown_mechanism_is_refused(mail: MailServer, login: Login) -> None:
    peer = mail.connect()
    assert peer.command("AUTHENTICATE ROT13").status in ("NO", "BAD")
    peer.login(login)


def test_secrets_may_be_literals(mail: MailServer, login: Login) -> None:
    mail.connect().ok("LOGIN ", login.user.encode(), " ", login.password.encode())


def test_signing_in_twice_is_refused(one: ImapPeer, login: Login) -> None:
    one.refused(f"LOGIN {quoted(login.user)} {quoted(login.password)}", status="BAD")
    secret = base64.b64encode(b"\0a\0b").decode()
    one.refused(f"AUTHENTICATE PLAIN {secret}", status="BAD")


def test_logout_says_bye_then_ok_then_closes(one: ImapPeer) -> None:
    answer = one.ok("LOGOUT")
    assert [each.name for each in answer.untagged] == ["BYE"]
    assert one.is_closed()


def test_no_mailbox_is_selected_after_a_select_that_failed(one: ImapPeer) -> None:
    one.refused("SELECT nothing/there")
    one.refused("FETCH 1:* FLAGS", status="BAD")
    one.refused("SEARCH ALL", status="BAD")
    one.select()


@needs("IMAP4REV2")
def test_closed_tells_where_the_old_mailbox_ends(one: ImapPeer) -> None:
    """RFC 9051 §7.1: CLOSED comes when a mailbox is selected while another is."""
    one.ok("CREATE autre")
    answer = one.ok("SELECT autre")
    assert next(each.name for each in answer.untagged) == "OK"
    assert "[CLOSED]" in str(answer.untagged[0].values[0])


@needs("QRESYNC")
def test_closed_is_told_once_qresync_is_enabled(one: ImapPeer) -> None:
    one.ok("ENABLE QRESYNC")
    answer = one.ok("SELECT INBOX")
    assert any("[CLOSED]" in str(each.values[0]) for each in answer.of("OK"))


def test_select_tells_what_it_must(one: ImapPeer) -> None:
    seen = one.select()
    assert seen.exists == 0
    assert seen.uid_validity > 0
    assert seen.uid_next == 1
    system = {"\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft"}
    assert system <= seen.flags
    assert system | {"\\*"} <= seen.permanent
    assert seen.answer.code == "READ-WRITE"


def test_examine_changes_nothing(one: ImapPeer) -> None:
    one.append(letter())
    seen = one.select(read_only=True)
    assert seen.answer.code == "READ-ONLY"
    assert seen.permanent == frozenset() or "\\Seen" not in seen.permanent
    one.fetch(1, "BODY[]")
    assert one.command(r"STORE 1 +FLAGS (\Flagged)").status in ("NO", "OK")
    assert one.command("EXPUNGE").status in ("NO", "OK")
    one.select()
    assert list(one.flags().values()) == [frozenset()]


@needs("UNSELECT")
def test_unselect_keeps_what_close_would_expunge(one: ImapPeer) -> None:
    one.append(letter(), flags="\\Deleted")
    one.ok("UNSELECT")
    one.refused("FETCH 1 FLAGS", status="BAD")
    assert one.select().exists == 1
    answer = one.ok("CLOSE")
    assert answer.of("EXPUNGE", "VANISHED") == []
    assert one.select().exists == 0


def test_close_of_a_mailbox_examined_expunges_nothing(one: ImapPeer) -> None:
    one.append(letter(), flags="\\Deleted")
    one.select(read_only=True)
    one.ok("CLOSE")
    assert one.select().exists == 1


@needs("ID")
@pytest.mark.parametrize("said", ["NIL", '("name" "essai" "version" NIL)', "()"])
def test_id_tells_who_serves(mail: MailServer, one: ImapPeer, said: str) -> None:
    for peer in (one, mail.connect()):
        (told,) = peer.ok(f"ID {said}").of("ID")
        assert told.values[0] is None or len(told.values[0]) % 2 == 0


@needs("ENABLE")
def test_enable_tells_what_it_enabled(one: ImapPeer) -> None:
    one.ok("UNSELECT")
    (told,) = one.ok("ENABLE CONDSTORE X-UNKNOWN").of("ENABLED")
    assert [str(each).upper() for each in told.values] == ["CONDSTORE"]
    for each in one.ok("ENABLE X-UNKNOWN").of("ENABLED"):
        assert each.values == ()


@needs("NAMESPACE")
def test_namespace_tells_the_separator(one: ImapPeer) -> None:
    (told,) = one.ok("NAMESPACE").of("NAMESPACE")
    personal, others, shared = told.values
    assert personal == ((b"", b"/"),)
    assert others is None or isinstance(others, tuple)
    assert shared is None or isinstance(shared, tuple)


@needs("COMPRESS=DEFLATE")
def test_a_compressed_session_does_as_any(one: ImapPeer) -> None:
    one.compress()
    content = letter("Compresse", "Bonjour. " * 20_000 + "\r\n")
    one.append(content)
    one.ok("NOOP")
    assert one.body(1) == content
    one.refused("COMPRESS DEFLATE", code="COMPRESSIONACTIVE")
    with one.idling():
        pass
    one.logout()


@needs("COMPRESS=DEFLATE")
def test_only_deflate_is_known(one: ImapPeer) -> None:
    assert one.command("COMPRESS LZ4").status in ("NO", "BAD")
    one.ok("NOOP")


@needs("UTF8=ACCEPT", "ENABLE")
def test_after_enable_utf8_names_and_headers_go_as_they_are(one: ImapPeer) -> None:
    """RFC 6855 §3, §4."""
    one.ok("UNSELECT")
    (told,) = one.ok("ENABLE UTF8=ACCEPT").of("ENABLED")
    assert [str(each).upper() for each in told.values] == ["UTF8=ACCEPT"]
    one.ok('CREATE "Comptes rendus é"')
    names = [each.values[2] for each in one.ok('LIST "" "Comptes*"').of("LIST")]
    assert names == ["Comptes rendus é".encode()]
    content = letter("Été à l'hôpital")
    assert one.ok('APPEND "Comptes rendus é" UTF8 (~', content, ")").code.startswith("APPENDUID")
    one.select("Comptes rendus é")
    assert one.body(1) == content
    assert one.search('SUBJECT "hôpital"') == [1]
    assert one.command("SEARCH CHARSET UTF-8 ALL").status == "BAD"


@needs("IMAP4REV2", "ENABLE")
def test_imap4rev2_is_enabled_on_demand(one: ImapPeer) -> None:
    """RFC 9051 §6.3.1, appendix E: ESEARCH instead of SEARCH, no RECENT, names in UTF-8."""
    one.append(letter())
    one.ok("UNSELECT")
    (told,) = one.ok("ENABLE IMAP4rev2").of("ENABLED")
    assert [str(each).upper() for each in told.values] == ["IMAP4REV2"]
    seen = one.select()
    assert seen.answer.of("RECENT") == []
    assert seen.answer.of("LIST")
    answer = one.ok("SEARCH ALL")
    assert answer.of("SEARCH") == []
    assert len(answer.of("ESEARCH")) == 1
    one.ok('CREATE "Été"')
    assert any(each.values[2] == "Été".encode() for each in one.ok('LIST "" *').of("LIST"))


@pytest.mark.both_stores
def test_a_message_is_recent_to_the_first_session_only(mail: MailServer, login: Login) -> None:
    """RFC 3501 §2.3.2, §7.3.2. Looking without touching (EXAMINE) leaves it recent."""
    one, two = mail.open(login), mail.open(login)
    one.append(letter())

    def recent(peer: ImapPeer, *, read_only: bool = False) -> tuple[int | None, bool]:
        (told,) = peer.select(read_only=read_only).answer.of("RECENT")
        flags = {str(each).lower() for each in peer.fetch(1, "FLAGS")[1]["FLAGS"]}
        return told.number, "\\recent" in flags

    assert recent(two, read_only=True) == (1, True)
    assert recent(one) == (1, True)
    if mail.processes == 1:  # among several it is not known who was the first, and then it is recent (§2.3.2)
        assert recent(two) == (0, False)
    assert recent(one) == (0, False)
