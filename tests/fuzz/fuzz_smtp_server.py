"""Feeds the SMTP server's machine, or the one for submission, anything, in any cutting, with a caller that accepts
or refuses by the input.

`python tests/fuzz/fuzz_smtp_server.py tests/fuzz/corpus/smtp` runs under atheris; the corpus is replayed by
`test_fuzz_smtp_server.py`. The first octet of an input chooses how the rest is cut and answered.
"""

import sys

from vaguemestre.protocols.smtp import events
from vaguemestre.protocols.smtp.replies import Reply, ReplyReader
from vaguemestre.protocols.smtp.server import Limits, ServerConnection
from vaguemestre.protocols.smtp.submission import SubmissionConnection

LIMITS = Limits(message_size=400, recipients=3, transactions=3, bad_commands=5, command_line=200, drained=600)
OK = Reply(250, "2.0.0", ("OK",))
NO = Reply(451, "4.3.0", ("No",))


def run(data: bytes) -> list[str]:
    """Plays one input, checks what must always hold, gives the names of the events."""
    seed, data = data[0] if data else 0, data[1:]
    machine = _submission(seed) if seed & 64 else _peers(seed)
    size = (seed >> 2) % 16 + 1 if seed & 128 else len(data) + 1
    names: list[str] = []
    answers = ReplyReader()
    expected = answered = 0
    open_content = False
    for start in range(0, len(data), size):
        machine.receive_data(data[start : start + size])
        while not isinstance(event := machine.next_event(), events.Wait):
            assert not machine.closed, "an event after the end"
            names.append(type(event).__name__)
            if isinstance(event, events.Content):
                assert open_content
                assert event.data
                continue
            assert machine.next_event() is events.PAUSED
            sent = answer(machine, event, refuse=(seed ^ len(names)) % 7 == 0)
            if isinstance(event, events.ContentStarts):
                open_content = sent[:3] in (b"354", b"")
            elif not isinstance(event, events.Answered | events.Rejected):
                open_content = False
            expected += sent != b""
            answers.receive_data(sent)
            while answers.next_reply() is not None:
                answered += 1
        assert machine.buffered <= max(LIMITS.command_line, 2), "more kept than one line"
    assert answered == expected
    assert not answers.pending
    return names


def _peers(seed: int) -> ServerConnection:
    return ServerConnection("mx.example", LIMITS, tls_active=bool(seed & 1), tls_required=not seed & 2)


def _submission(seed: int) -> ServerConnection:
    return SubmissionConnection("mx.example", ("PLAIN", "LOGIN"), LIMITS, tls_active=bool(seed & 1))


def answer(machine: ServerConnection, event: events.Event, refuse: bool) -> bytes:
    match event:
        case events.Answered(reply) | events.Rejected(_, reply) | events.Violation(_, reply):
            sent = machine.reply(reply)
            assert machine.closed or not isinstance(event, events.Violation)
        case events.ContentEnds(size, fault, refusal):
            assert size <= LIMITS.message_size
            sent = machine.reply(NO if refuse else refusal if fault and refusal else OK)
        case events.Quit():
            sent = machine.reply(Reply(221, "2.0.0", ("Bye",)))
            assert machine.closed
        case _ if refuse:
            sent = machine.reply(NO)
        case events.MailFrom() if isinstance(machine, SubmissionConnection):
            assert machine.authenticated
            assert machine.tls_active
            sent = machine.reply(OK)
        case events.Authenticate(_, None) if isinstance(machine, SubmissionConnection):
            sent = machine.challenge(b"")
        case events.SaslResponse(data) if isinstance(machine, SubmissionConnection) and len(data) == 1:
            sent = machine.challenge(data)
        case events.Hello():
            sent = machine.accept_hello()
        case events.ContentStarts():
            sent = machine.accept_content()
        case events.StartTls():
            sent = machine.reply(Reply(220, "2.0.0", ("Go ahead",)))
            machine.tls_started()
        case _:
            sent = machine.reply(OK)
    return sent


def main() -> None:
    """Runs under atheris until stopped or until its `-max_total_time`."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, lambda data: run(data) and None)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
