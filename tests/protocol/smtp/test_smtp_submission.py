"""Signing in, where dialogues cannot show it: exact events, misuse by the caller, secrets, what a line may hold."""

from base64 import b64encode

import pytest
from scripted_caller import OK

from vaguemestre.protocols.smtp import events, faults
from vaguemestre.protocols.smtp.commands import Mail, parse_command, parse_submission_command
from vaguemestre.protocols.smtp.events import NEED_DATA, PAUSED
from vaguemestre.protocols.smtp.replies import Reply
from vaguemestre.protocols.smtp.submission import LINE, SubmissionConnection

SIGNED_IN = Reply(235, "2.7.0", ("Signed in",))
REFUSED = Reply(535, "5.7.8", ("No",))


def connection(said: bytes = b"", *, tls_active: bool = True) -> SubmissionConnection:
    machine = SubmissionConnection("mx.b.example", ("XOAUTH2", "PLAIN"), tls_active=tls_active)
    machine.receive_data(b"EHLO poste.example\r\n" + said)
    assert machine.next_event() == events.Hello(True, "poste.example")
    machine.accept_hello()
    return machine


def test_the_initial_response_is_decoded_and_an_empty_one_is_not_none() -> None:
    machine = connection(b"AUTH plain AGEAYg==\r\n")
    assert machine.next_event() == events.Authenticate("PLAIN", b"\0a\0b")
    machine.reply(REFUSED)
    machine.receive_data(b"AUTH PLAIN =\r\nAUTH PLAIN\r\n")
    assert machine.next_event() == events.Authenticate("PLAIN", b"")
    machine.reply(REFUSED)
    assert machine.next_event() == events.Authenticate("PLAIN", None)


def test_secrets_do_not_show_in_events() -> None:
    assert "sesame" not in repr(events.Authenticate("PLAIN", b"sesame"))
    assert "sesame" not in repr(events.SaslResponse(b"sesame"))


def test_one_sign_in_at_a_time_waits_for_its_answer() -> None:
    machine = connection(b"AUTH PLAIN\r\nAGEAYg==\r\nMAIL FROM:<a@b.example>\r\n")
    assert machine.next_event() == events.Authenticate("PLAIN", None)
    assert machine.next_event() is PAUSED
    assert machine.challenge(b"") == b"334 \r\n"
    assert machine.next_event() == events.SaslResponse(b"\0a\0b")
    assert machine.next_event() is PAUSED
    machine.reply(SIGNED_IN)
    assert machine.authenticated
    assert isinstance(machine.next_event(), events.MailFrom)


def test_an_empty_line_is_an_empty_response() -> None:
    machine = connection(b"AUTH XOAUTH2 dXNlcg==\r\n\r\n")
    machine.next_event()
    assert machine.challenge(b'{"status":"401"}') == b"334 eyJzdGF0dXMiOiI0MDEifQ==\r\n"
    assert machine.next_event() == events.SaslResponse(b"")


def test_a_challenge_answers_nothing_but_a_sign_in() -> None:
    machine = connection(b"NOOP\r\n")
    with pytest.raises(RuntimeError):
        machine.challenge(b"")
    machine.next_event()
    with pytest.raises(RuntimeError):
        machine.challenge(b"")


@pytest.mark.parametrize("initial", [True, False], ids=["initial", "response"])
def test_a_token_as_long_as_a_line_allows_is_taken_and_no_longer_one(initial: bool) -> None:
    """RFC 4954 §4: 12,288 octets."""
    command = b"AUTH PLAIN " if initial else b""
    fits = b64encode(b"x" * ((LINE - len(command) - 2) // 4 * 3))
    for sent, taken in ((fits, True), (fits + b"AAAA" * 4, False)):
        machine = connection(b"" if initial else b"AUTH PLAIN\r\n")
        if not initial:
            machine.next_event()
            machine.challenge(b"")
        machine.receive_data(command + sent + b"\r\n")
        event = machine.next_event()
        assert isinstance(event, events.Authenticate | events.SaslResponse) == taken
        assert isinstance(event, events.Violation) != taken


def test_a_response_that_never_ends_is_not_kept() -> None:
    machine = connection(b"AUTH PLAIN\r\n")
    machine.next_event()
    machine.challenge(b"")
    machine.receive_data(b"A" * LINE)
    assert machine.next_event() is NEED_DATA
    machine.receive_data(b"A")
    event = machine.next_event()
    assert isinstance(event, events.Violation)
    assert isinstance(event.fact, faults.SaslLineError)


@pytest.mark.parametrize("line", [b"AGEAYg==\n", b"AG\rEAYg==\r\n"])
def test_only_crlf_ends_a_response(line: bytes) -> None:
    machine = connection(b"AUTH PLAIN\r\n" + line)
    machine.next_event()
    machine.challenge(b"")
    event = machine.next_event()
    assert isinstance(event, events.Violation | events.Rejected)
    assert event.reply.permanent


def test_signing_in_is_forgotten_by_nobody_at_a_second_ehlo() -> None:
    machine = connection(b"AUTH PLAIN AGEAYg==\r\nEHLO poste.example\r\nMAIL FROM:<a@b.example>\r\n")
    machine.next_event()
    machine.reply(SIGNED_IN)
    machine.next_event()
    machine.accept_hello()
    assert isinstance(machine.next_event(), events.MailFrom)
    machine.reply(OK)


def test_nothing_is_offered_without_a_mechanism() -> None:
    machine = SubmissionConnection("mx.b.example", (), tls_active=True)
    machine.receive_data(b"EHLO poste.example\r\n")
    machine.next_event()
    assert b"AUTH" not in machine.accept_hello()


def test_who_wrote_is_said_to_a_server_for_submission_alone() -> None:
    line = b"MAIL FROM:<anne@b.example> AUTH=anne+2Bx+40b.example SIZE=3"
    assert parse_submission_command(line) == Mail(parse_submission_command(line).reverse_path, 3)  # type: ignore[union-attr]
    with pytest.raises(faults.ParameterError):
        parse_command(line)
    for wrong in (b"AUTH=", b"AUTH", b"AUTH=+4", b"AUTH=<> AUTH=<>", b"AUTH=" + b"x" * 501):
        with pytest.raises((faults.ArgumentError, faults.ParameterError)):
            parse_submission_command(b"MAIL FROM:<anne@b.example> " + wrong)
