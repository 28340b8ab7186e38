"""What the dialogues cannot show: waiting, misuse by the caller, memory, and the exact events."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from small_server import SmallServer

from vaguemestre.protocols.imap import commands, events, faults
from vaguemestre.protocols.imap.commands import Authenticate, Idle, Login, Logout, Noop, Select, StartTls
from vaguemestre.protocols.imap.events import NEED_DATA, PAUSED
from vaguemestre.protocols.imap.server import ServerConnection
from vaguemestre.protocols.imap.standing import SIGNED_IN_CLIENT, STRANGER, Limits


def connection(limits: Limits | None = None, *, selected: bool = False) -> ServerConnection:
    machine = ServerConnection(limits, tls_active=True)
    machine.authenticated()
    if selected:
        machine.selected(read_only=False)
    return machine


def signed_in(**allowed: int) -> Limits:
    return Limits(then=replace(SIGNED_IN_CLIENT, **allowed))


def everything(machine: ServerConnection, data: bytes) -> list[events.Event]:
    machine.receive_data(data)
    found = []
    while not isinstance(event := machine.next_event(), events.Wait):
        found.append(event)
    return found


def test_commands_that_turn_nothing_follow_one_another_unanswered() -> None:
    found = everything(connection(), b"a NOOP\r\nb NOOP\r\nc NOO")
    assert found == [events.Command(b"a", Noop()), events.Command(b"b", Noop())]


@pytest.mark.parametrize(
    "line",
    [b"LOGOUT", b"SELECT a", b"EXAMINE a", b"CLOSE", b"UNSELECT", b"ENABLE a", b"IDLE", b"COMPRESS DEFLATE"],
)
def test_a_command_that_turns_the_session_pauses_it(line: bytes) -> None:
    machine = connection(selected=True)
    (event,) = everything(machine, b"a " + line + b"\r\n")
    assert isinstance(event, events.Command)
    assert isinstance(event.command, commands.TURNING)
    machine.receive_data(b"b NOOP\r\n")
    assert machine.next_event() is PAUSED
    machine.answered()
    assert machine.closed == isinstance(event.command, Logout)
    assert machine.next_event() == (PAUSED if machine.closed else events.Command(b"b", Noop()))


def test_answered_does_nothing_where_nothing_waits() -> None:
    machine = connection()
    machine.receive_data(b"a SELECT {3}\r\nab")
    assert machine.next_event() is NEED_DATA
    machine.answered()
    machine.receive_data(b"c\r\n")
    assert machine.next_event() == events.Command(b"a", Select("abc"))


def test_no_secret_is_asked_for_in_clear_where_tls_is_required() -> None:
    machine = ServerConnection()
    (event,) = everything(machine, b"a LOGIN {4}\r\n")
    assert isinstance(event, events.Rejected)
    assert isinstance(event.fact, faults.PrivacyError)
    assert machine.data_to_send().startswith(b"a NO [PRIVACYREQUIRED] ")
    assert machine.next_event() is NEED_DATA


def test_sign_in_in_clear_where_it_is_allowed() -> None:
    machine = ServerConnection(tls_required=False)
    assert everything(machine, b"a LOGIN b c\r\n") == [events.Command(b"a", Login("b", "c"))]


def test_octets_in_clear_that_arrive_before_the_handshake_are_a_violation() -> None:
    machine = ServerConnection()
    assert everything(machine, b"a STARTTLS\r\n") == [events.Command(b"a", StartTls())]
    machine.receive_data(b"b LOGIN c d\r\n")
    assert machine.next_event() is PAUSED
    machine.tls_started()
    event = machine.next_event()
    assert isinstance(event, events.Violation)
    assert isinstance(event.fact, faults.PlaintextAfterStartTlsError)
    assert machine.data_to_send().startswith(b"* BYE ")
    assert machine.closed
    assert machine.next_event() is PAUSED
    machine.receive_data(b"c NOOP\r\n")
    assert machine.buffered == 0


def test_a_refused_starttls_goes_on_in_clear() -> None:
    machine = ServerConnection()
    everything(machine, b"a STARTTLS\r\n")
    machine.answered()
    assert not machine.tls_active
    assert everything(machine, b"b NOOP\r\n") == [events.Command(b"b", Noop())]


def test_a_challenge_is_encoded_and_its_response_decoded() -> None:
    machine = ServerConnection(tls_active=True)
    assert everything(machine, b"a AUTHENTICATE LOGIN\r\n") == [events.Command(b"a", Authenticate("LOGIN"))]
    machine.challenge(b"Username:")
    assert machine.data_to_send() == b"+ VXNlcm5hbWU6\r\n"
    assert everything(machine, b"YW5uZQ==\r\n") == [events.SaslResponse(b"a", b"anne")]
    machine.challenge(b"x" * 100)
    assert machine.data_to_send().count(b"\n") == 1
    assert everything(machine, b"\r\n") == [events.SaslResponse(b"a", b"")]
    machine.answered()
    assert everything(machine, b"b NOOP\r\n") == [events.Command(b"b", Noop())]


def test_content_is_passed_on_without_a_copy_kept() -> None:
    machine = connection()
    assert everything(machine, b"a APPEND b {48000}\r\n") == [
        events.AppendStarts(b"a", "b"),
        events.AppendMessage(frozenset()),
        events.AppendLiteral(48_000),
    ]
    assert machine.data_to_send() == b""
    machine.accept_literal()
    assert machine.data_to_send() == b"+ OK\r\n"
    chunk = b"0123456789abcd\r\n" * 1000
    for _ in range(3):
        machine.receive_data(chunk)
        event = machine.next_event()
        assert isinstance(event, events.AppendContent)
        assert event.data is chunk
        assert machine.buffered == 0
        assert machine.next_event() is NEED_DATA
    assert everything(machine, b"\r\n") == [events.AppendMessageEnds(), events.AppendEnds(b"a")]
    assert machine.next_event() is PAUSED
    machine.answered()


def test_what_append_says_of_each_message() -> None:
    machine = connection()
    said = b'a APPEND b (\\Seen x) " 1-Jan-1970 01:00:00 +0100" ~{1}\r\n'
    assert everything(machine, said)[1:] == [
        events.AppendMessage(frozenset({"\\Seen", "x"}), 0),
        events.AppendLiteral(1, True, True),
    ]
    machine.accept_literal()
    assert everything(machine, b"\0 CATENATE (URL x TEXT {2+}\r\n") == [
        events.AppendContent(b"\0"),
        events.AppendMessageEnds(),
        events.AppendMessage(frozenset(), None, True),
        events.AppendUrl("x"),
        events.AppendLiteral(2, False),
    ]
    machine.accept_literal()
    assert machine.next_event() is NEED_DATA
    assert everything(machine, b"yz UTF8 (~{0+}\r\n") == [
        events.AppendContent(b"yz"),
        events.AppendLiteral(0, False, True, True),
    ]
    machine.accept_literal()
    assert everything(machine, b")) UTF8 (~{3+}\r\n") == [
        events.AppendMessageEnds(),
        events.AppendMessage(frozenset()),
        events.AppendLiteral(3, False, True, True),
    ]


@pytest.mark.parametrize(
    ("spelled", "milliseconds"),
    [
        (b"01-Jan-1970 00:00:00 +0000", 0),
        (b"17-Jul-1996 02:44:25 -0700", 837_596_665_000),
        (b"29-feb-2024 23:59:60 +0545", 1_709_230_499_000),
        (b"31-Dec-1969 23:59:59 +0000", -1000),
    ],
)
def test_the_date_of_append_is_a_moment(spelled: bytes, milliseconds: int) -> None:
    found = everything(connection(), b'a APPEND b "' + spelled + b'" {1}\r\n')
    assert found[1] == events.AppendMessage(frozenset(), milliseconds)


@pytest.mark.parametrize(
    "spelled",
    [b"1-Jan-2027 00:00:00 +0000", b"30-Feb-2027 00:00:00 +0000", b"01-Foo-2027 00:00:00 +0000",
     b"01-Jan-2027 24:00:00 +0000", b"01-Jan-2027 00:00:00 +2400", b"01-Jan-2027 00:00:00", b"01-Jan-0000 00:00:00 +0000",
     b"01-Jan-0001 00:00:00 +0500", b"31-Dec-9999 23:00:00 -0500"],
)  # fmt: skip
def test_a_date_that_does_not_exist_is_refused(spelled: bytes) -> None:
    (event,) = everything(connection(), b'a APPEND b "' + spelled + b'" {1}\r\n')
    assert isinstance(event, events.Rejected)


def refused(machine: ServerConnection) -> bytes:
    machine.refuse_append(b"a NO\r\n")
    return machine.data_to_send()


def test_an_append_is_refused_wherever_it_stands() -> None:
    machine = connection()
    machine.receive_data(b"a APPEND b {5}\r\n")
    machine.next_event()
    assert refused(machine) == b"a NO\r\n"  # at AppendStarts, although the literal was announced behind it
    assert everything(machine, b"b NOOP\r\n") == [events.Command(b"b", Noop())]

    everything(machine, b"a APPEND b {5+}\r\nhe")
    machine.accept_literal()
    assert everything(machine, b"") == [events.AppendContent(b"he")]
    assert refused(machine) == b""  # within content: the client would not read it yet
    assert everything(machine, b"llo {5}\r\nb NOOP\r\n") == [events.Command(b"b", Noop())]
    assert machine.data_to_send() == b"a NO\r\n"

    everything(machine, b"a APPEND b {5+}\r\n")
    machine.accept_literal()
    everything(machine, b"hello")
    assert refused(machine) == b""  # behind content
    assert everything(machine, b"\r\nb NOOP\r\n") == [events.Command(b"b", Noop())]
    assert machine.data_to_send() == b"a NO\r\n"

    everything(machine, b"a APPEND b CATENATE (URL x)\r\n")
    assert refused(machine) == b"a NO\r\n"  # at its end
    assert everything(machine, b"b NOOP\r\n") == [events.Command(b"b", Noop())]

    machine.receive_data(b"a APPEND b CATENATE (URL x URL {4+}\r\nab")
    while not isinstance(machine.next_event(), events.AppendUrl):
        pass
    assert refused(machine) == b""  # within a literal that is collected
    assert everything(machine, b"cd)\r\nb NOOP\r\n") == [events.Command(b"b", Noop())]
    assert machine.data_to_send() == b"a NO\r\n"


def test_an_append_that_goes_wrong_after_content_is_rejected_and_over() -> None:
    machine = connection()
    everything(machine, b"a APPEND b {1+}\r\n")
    machine.accept_literal()
    found = everything(machine, b"x y\r\nb NOOP\r\n")
    assert [type(each) for each in found] == [events.AppendContent, events.Rejected, events.Command]
    with pytest.raises(RuntimeError):
        machine.refuse_append(b"a NO\r\n")


def test_refused_content_without_end_closes_the_connection() -> None:
    machine = connection(signed_in(drained=100))
    everything(machine, b"a APPEND b {60+}\r\n")
    machine.refuse_append(b"a NO\r\n")
    assert everything(machine, b"x" * 60 + b" {10+}\r\n" + b"x" * 10) == []
    (event,) = everything(machine, b" {60+}\r\n")
    assert isinstance(event, events.Violation)
    assert isinstance(event.fact, faults.DrainedError)
    assert machine.closed


def test_an_endless_refused_line_is_neither_kept_nor_read_for_ever() -> None:
    machine = connection(signed_in(line=50, drained=1000))
    machine.receive_data(b"a NOOP " + b"x" * 50)
    assert isinstance(machine.next_event(), events.Rejected)
    for _ in range(30):
        machine.receive_data(b"x" * 40)
        event = machine.next_event()
        assert machine.buffered < 30
        if event is not NEED_DATA:
            break
    assert isinstance(event, events.Violation)


def test_literals_are_collected_and_not_copied_with_each_octet() -> None:
    machine = connection(selected=True)
    machine.receive_data(b"a SEARCH TEXT {3000+}\r\n")
    for _ in range(3000):
        machine.receive_data(b"x")
        assert machine.next_event() is NEED_DATA
        assert machine.buffered == 0
    (event,) = everything(machine, b"\r\n")
    assert isinstance(event, events.Command)


@pytest.mark.parametrize("phase", ["sasl", "idle"])
def test_an_endless_line_ends_sasl_and_idle(phase: str) -> None:
    both = Limits(replace(STRANGER, line=100), replace(SIGNED_IN_CLIENT, line=100))
    machine = ServerConnection(both, tls_active=True)
    if phase == "idle":
        machine.authenticated()
        assert everything(machine, b"a IDLE\r\n") == [events.Command(b"a", Idle())]
        machine.start_idle()
    else:
        everything(machine, b"a AUTHENTICATE PLAIN\r\n")
        machine.challenge(b"")
    (event,) = everything(machine, b"x" * 101)
    assert isinstance(event, events.Violation)
    assert machine.closed


def test_the_caller_answers_what_there_is() -> None:
    machine = connection()
    answers: list[Callable[[], None]] = [
        machine.accept_literal,
        machine.start_idle,
        machine.tls_started,
        lambda: machine.challenge(b""),
        lambda: machine.refuse_append(b""),
    ]
    for line in (b"", b"a SELECT b\r\n"):
        everything(machine, line)
        for answer in answers:
            with pytest.raises(RuntimeError):
                answer()


def test_a_literal_is_accepted_only_once_its_offer_is_seen() -> None:
    machine = connection()
    machine.receive_data(b"a APPEND b {5}\r\n")
    assert machine.next_event() == events.AppendStarts(b"a", "b")
    with pytest.raises(RuntimeError):
        machine.accept_literal()


def test_what_is_refused_without_being_bad_never_ends_the_connection() -> None:
    machine = connection(signed_in(bad_commands=2))
    machine.selected(read_only=True)
    found = everything(machine, b"a STORE 1 FLAGS (a)\r\n" * 10)
    assert {type(each.fact) for each in found if isinstance(each, events.Rejected)} == {faults.ReadOnlyError}
    assert not machine.closed


def test_a_tag_is_not_repeated_whatever_its_length() -> None:
    for line in (b"x" * 201 + b" NOOP\r\n", b"x" * 70_000):
        machine = connection()
        (event,) = everything(machine, line)
        assert isinstance(event, events.Rejected)
        assert event.tag == b""
        assert machine.data_to_send().startswith(b"* BAD ")


def test_limits_of_default_let_a_session_of_a_thousand_uids_pass() -> None:
    uids = b",".join(b"%d" % (uid * 1000) for uid in range(1, 5000))
    (event,) = everything(connection(selected=True), b"a UID FETCH " + uids + b" FLAGS\r\n")
    assert isinstance(event, events.Command)


def test_the_small_server_of_these_tests_hears_everything() -> None:
    """So that a dialogue which passes is not one that was never read."""
    small = SmallServer(connection())
    small.feed(b"a NOOP\r\nb FROBNICATE\r\nc IDLE\r\nDONE\r\nd LOGOUT\r\n")
    assert small.log == ["Noop", "Rejected", "Idle", "IdleDone", "Logout"]
    assert small.machine.closed
