"""What the dialogues cannot show: waiting, misuse by the caller, memory, and the exact events."""

import pytest
from scripted_caller import OK, REFUSED, ScriptedCaller

from vaguemestre.protocols.smtp import events, faults
from vaguemestre.protocols.smtp.addresses import Address
from vaguemestre.protocols.smtp.commands import Mail
from vaguemestre.protocols.smtp.events import NEED_DATA, PAUSED
from vaguemestre.protocols.smtp.replies import Reply
from vaguemestre.protocols.smtp.server import Limits, ServerConnection

ENVELOPE = b"MAIL FROM:<anne@a.example>\r\nRCPT TO:<bob@b.example>\r\n"


def connection(limits: Limits | None = None) -> ServerConnection:
    machine = ServerConnection("mx.b.example", limits, tls_active=True)
    machine.receive_data(b"EHLO mx.a.example\r\n")
    assert machine.next_event() == events.Hello(True, "mx.a.example")
    machine.accept_hello()
    return machine


def with_content(limits: Limits | None = None, command: bytes = b"DATA") -> ServerConnection:
    machine = connection(limits)
    machine.receive_data(ENVELOPE + command + b"\r\n")
    for _ in range(2):
        machine.next_event()
        machine.reply(OK)
    assert machine.next_event() == events.ContentStarts(command != b"DATA")
    return machine


def test_the_banner_names_the_host() -> None:
    assert ServerConnection("mx.b.example").greeting() == b"220 mx.b.example ESMTP Vaguemestre\r\n"


def test_extensions_of_the_caller_are_offered() -> None:
    machine = ServerConnection("mx.b.example", tls_active=True, extensions=("LIMITS MAILMAX=5",))
    machine.receive_data(b"EHLO mx.a.example\r\n")
    machine.next_event()
    assert machine.accept_hello("welcomes you").split(b"\r\n")[::8] == [
        b"250-mx.b.example welcomes you",
        b"250 LIMITS MAILMAX=5",
    ]


def test_nothing_happens_until_the_event_is_answered() -> None:
    machine = connection()
    machine.receive_data(ENVELOPE)
    assert machine.next_event() == events.MailFrom(Mail(Address("anne", "a.example", "anne@a.example")))
    assert machine.next_event() is PAUSED
    machine.receive_data(b"NOOP\r\n")
    assert machine.next_event() is PAUSED
    assert machine.buffered == len(ENVELOPE) - ENVELOPE.index(b"RCPT") + 6
    machine.reply(OK)
    assert isinstance(machine.next_event(), events.RcptTo)


def test_a_whole_message_is_one_content_and_its_end() -> None:
    machine = with_content()
    machine.accept_content()
    machine.receive_data(b"Subject: x\r\n\r\nbody\r\n.\r\nNOOP\r\n")
    assert machine.next_event() == events.Content(b"Subject: x\r\n\r\nbody\r\n")
    assert machine.next_event() == events.ContentEnds(20)
    machine.reply(OK)
    assert isinstance(machine.next_event(), events.Answered)


def test_content_is_passed_on_without_a_copy_kept() -> None:
    machine = with_content()
    machine.accept_content()
    chunk = b"0123456789abcd\r\n" * 1000
    for _ in range(3):
        machine.receive_data(chunk)
        event = machine.next_event()
        assert isinstance(event, events.Content)
        assert event.data is chunk
        assert machine.buffered == 0
        assert machine.next_event() is NEED_DATA


def test_content_with_a_fault_cannot_be_acknowledged() -> None:
    machine = with_content()
    machine.accept_content()
    machine.receive_data(b"bare\nline\r\n.\r\n")
    event = machine.next_event()
    assert isinstance(event, events.ContentEnds)
    assert isinstance(event.fault, faults.BareLineEndError)
    assert event.refusal is not None
    with pytest.raises(RuntimeError):
        machine.reply(OK)
    assert machine.reply(event.refusal).startswith(b"550-5.6.0 ")
    assert machine.next_event() is NEED_DATA


@pytest.mark.parametrize("command", [b"DATA", b"BDAT 5"])
def test_content_starts_is_not_answered_by_a_plain_positive_reply(command: bytes) -> None:
    machine = with_content(command=command)
    with pytest.raises(RuntimeError):
        machine.reply(OK)
    machine.reply(REFUSED)
    with pytest.raises(RuntimeError):
        machine.accept_content()


def test_an_answer_needs_an_event() -> None:
    machine = connection()
    for answer in (machine.accept_hello, machine.accept_content, lambda: machine.reply(OK)):
        with pytest.raises(RuntimeError):
            answer()


def test_a_421_of_the_caller_closes_the_connection() -> None:
    machine = connection()
    machine.receive_data(ENVELOPE)
    machine.next_event()
    machine.reply(Reply(421, "4.3.2", ("Shutting down",)))
    assert machine.closed
    assert machine.next_event() is PAUSED
    machine.receive_data(b"NOOP\r\n")
    assert machine.buffered == 0


def test_octets_in_clear_that_arrive_after_220_are_a_violation() -> None:
    machine = ServerConnection("mx.b.example")
    machine.receive_data(b"STARTTLS\r\n")
    assert machine.next_event() == events.StartTls()
    machine.receive_data(b"MAIL FROM:<forged@a.example>\r\n")
    machine.reply(Reply(220, "2.0.0", ("Go ahead",)))
    assert machine.next_event() is PAUSED
    machine.tls_started()
    event = machine.next_event()
    assert isinstance(event, events.Violation)
    assert isinstance(event.fact, faults.PlaintextAfterStartTlsError)
    machine.reply(event.reply)
    assert machine.closed


def test_a_refused_starttls_goes_on_in_clear() -> None:
    machine = ServerConnection("mx.b.example")
    machine.receive_data(b"STARTTLS\r\n")
    machine.next_event()
    machine.reply(Reply(454, "4.7.0", ("Later",)))
    machine.receive_data(b"EHLO mx.a.example\r\n")
    assert isinstance(machine.next_event(), events.Hello)
    assert not machine.tls_active


def test_a_refused_hello_leaves_the_peer_unknown() -> None:
    machine = ServerConnection("mx.b.example", tls_active=True)
    machine.receive_data(b"EHLO mx.a.example\r\nMAIL FROM:<anne@a.example>\r\n")
    machine.next_event()
    machine.reply(REFUSED)
    event = machine.next_event()
    assert isinstance(event, events.Rejected)
    assert isinstance(event.fact, faults.SequenceError)


@pytest.mark.parametrize("command", [b"DATA", b"BDAT 1000000"])
def test_refused_content_without_end_closes_the_connection(command: bytes) -> None:
    machine = with_content(Limits(message_size=100, drained=500), command)
    machine.accept_content()
    for _ in range(9):
        assert machine.next_event() is NEED_DATA
        machine.receive_data(b"x" * 98 + b"\r\n" + b"y" * 8 + b"\r\n")
        while isinstance(event := machine.next_event(), events.Content):
            pass
        if isinstance(event, events.Violation):
            break
    else:
        pytest.fail("the machine reads on for ever")
    assert event.reply.code == 552


def test_a_skipped_chunk_without_end_closes_the_connection() -> None:
    caller = ScriptedCaller(connection(Limits(drained=500)))
    caller.feed(b"BDAT 1000000\r\n" + b"x" * 501)
    assert caller.log == ["Rejected", "Violation", "closed"]


def test_an_endless_command_line_is_not_waited_for() -> None:
    caller = ScriptedCaller(connection(Limits(command_line=100)))
    caller.feed(b"x" * 100)
    assert caller.log == []
    caller.feed(b"x")
    assert caller.log == ["Violation", "closed"]


def test_eight_bit_headers_pass_without_smtputf8() -> None:
    caller = ScriptedCaller(connection())
    caller.feed(ENVELOPE + b"DATA\r\n")
    caller.feed("Subject: été\r\n\r\n".encode() + b"\xff\xfe\r\n.\r\n")
    assert caller.messages == ["Subject: été\r\n\r\n".encode() + b"\xff\xfe\r\n"]


def test_without_tls_required_mail_passes_in_clear_and_starttls_waits_for_the_end_of_the_transaction() -> None:
    caller = ScriptedCaller(ServerConnection("mx.b.example", tls_required=False))
    caller.feed(b"HELO mx.a.example\r\n" + ENVELOPE + b"STARTTLS\r\n")
    assert caller.log == ["Hello", "MailFrom", "RcptTo", "Rejected"]
    caller.feed(b"RSET\r\n")
    caller.feed(b"STARTTLS\r\n")
    assert caller.machine.tls_active


def test_nothing_is_passed_on_of_a_chunk_announced_too_large() -> None:
    machine = with_content(Limits(message_size=10), b"BDAT 11 LAST")
    machine.accept_content()
    machine.receive_data(b"12345\r\n")
    assert machine.next_event() is NEED_DATA
    machine.receive_data(b"12\r\n")
    event = machine.next_event()
    assert isinstance(event, events.ContentEnds)
    assert isinstance(event.fault, faults.MessageSizeError)
    assert event.size == 0
